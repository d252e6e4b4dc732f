//! What is allowed and probably not what was meant.

use std::net::IpAddr;

use super::check::{Draft, Observed};
use crate::base::quantity::show_duration;
use crate::config::source::Environment;
use crate::model::plan::Critical;
use crate::probe::Spec;

/// Reports what is questionable about one check.
pub fn look_at(draft: &Draft, environment: &Environment) {
    timeout_above_interval(draft);
    restart_for_another(draft, environment);
    live_without_effect(draft);
    bare_tcp(draft);
}

fn timeout_above_interval(Draft { fields, timing, .. }: &Draft) {
    if timing.timeout <= timing.interval {
        return;
    }
    let key = if fields.get("timeout").is_some() { "timeout" } else { "interval" };
    let (timeout, interval) = (show_duration(timing.timeout), show_duration(timing.interval));
    let message = format!("`timeout` ({timeout}) is above `interval` ({interval}): a slow run makes the next one late");
    fields.warning(key, "timeout-above-interval", message, Some("lower `timeout` or raise `interval`".into()));
}

/// A restart of the app cannot mend what runs elsewhere.
fn restart_for_another(draft: &Draft, environment: &Environment) {
    let asks_for_restart = draft.gates.live || draft.gates.startup;
    let is_external = |observed: &Observed| is_external(&*observed.target.spec, environment);
    if !(draft.observed.as_ref().is_some_and(is_external) && asks_for_restart && draft.critical != Critical::No) {
        return;
    }
    let gate = if draft.gates.live { "live" } else { "startup" };
    let message = format!("an external dependency gates `{gate}`: a restart of the app cannot mend it");
    let help = "write `gates: [ready]`, with `critical: at_startup` if other pods need it as well";
    draft.fields.warning("gates", "external-gate", message, Some(help.into()));
}

/// Whether what `spec` observes is an external dependency: any part of it is on a host other than this pod.
#[must_use]
pub fn is_external(spec: &dyn Spec, environment: &Environment) -> bool {
    spec.hosts().iter().any(|host| !is_own_host(host, environment))
}

/// Whether `host` is the pod itself: `localhost`, a loopback address, or `$POD_IP`.
#[must_use]
pub fn is_own_host(host: &str, environment: &Environment) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    if host.eq_ignore_ascii_case("localhost") || environment.get("POD_IP").is_some_and(|own| own == host) {
        return true;
    }
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => address.to_canonical().is_loopback(),
        Ok(address) => address.is_loopback(),
        Err(_) => false,
    }
}

fn live_without_effect(Draft { fields, critical, gates, .. }: &Draft) {
    if *critical == Critical::No && gates.live {
        let message = "`critical: false` never closes `/livez`, so `live` in `gates` does nothing but degrade it";
        let help = "take `live` out of `gates`, or write `critical: true`";
        fields.warning("critical", "uncritical-live", message, Some(help.into()));
    }
}

/// A connection without a word tells little about these servers, and disturbs them.
fn bare_tcp(Draft { fields, .. }: &Draft) {
    let Some(section) = fields.section("tcp").filter(|tcp| tcp.text("send").or(tcp.text("expect")).is_none()) else {
        return;
    };
    let address = section.text("address").and_then(crate::base::value::Text::fixed).unwrap_or_default();
    let (kind, why) = match address.rsplit(':').next() {
        Some("5432") => ("postgres", "PostgreSQL starts a process for each connection"),
        Some("5672") => ("amqp", "RabbitMQ logs an error for each connection"),
        Some("6379") => ("redis", "an open port says nothing about Redis"),
        _ => return,
    };
    let message = format!("a bare TCP connection to the port of `{kind}`: {why}");
    section.warning("address", "bare-tcp", message, Some(format!("write `{kind}: …`, which asks the server itself")));
}
