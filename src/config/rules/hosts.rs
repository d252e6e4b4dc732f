//! Which hosts are the pod itself.

use std::net::IpAddr;

use crate::config::source::Environment;
use crate::probe::Spec;

/// Whether what `spec` observes is an external dependency: any part of it is on a host other than this pod.
#[must_use]
pub fn is_external(spec: &dyn Spec, environment: &Environment) -> bool {
    spec.hosts().iter().any(|host| !is_own_host(host, environment))
}

/// Whether `host` is the pod itself: `localhost`, a loopback address, or `$POD_IP`.
#[must_use]
pub fn is_own_host(host: &str, environment: &Environment) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let is_loopback = || match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => address.to_canonical().is_loopback(),
        Ok(address) => address.is_loopback(),
        Err(_) => false,
    };
    host.eq_ignore_ascii_case("localhost") || is_loopback() || environment.get("POD_IP").is_some_and(|own| own == host)
}
