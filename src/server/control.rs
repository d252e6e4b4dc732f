//! The routes that change something, and who may use them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hyper::header::{FORWARDED, HOST, HeaderMap, ORIGIN};
use hyper::{Method, StatusCode};

use super::answer::Answer;
use super::ask::Ask;
use super::query::decode;
use super::{App, Control};
use crate::model::snapshot::Snapshot;

/// `/-/drain`.
pub(super) fn drain(ask: &Ask<'_>, app: &App, snapshot: &Snapshot) -> Answer {
    guarded(ask, snapshot, |ask| {
        let control: &dyn Control = &*app.control;
        match *ask.method {
            Method::POST => {
                control.drain();
                Answer::text(StatusCode::OK, draining(snapshot.plan.answers.drain))
            }
            Method::DELETE => {
                control.undrain();
                Answer::text(StatusCode::OK, "not draining\n")
            }
            _ => Answer::method_not_allowed("POST, DELETE"),
        }
    })
}

/// How long the drain takes, exactly: `probelet drain` waits for it.
fn draining(drain: Duration) -> String {
    format!("draining for {}s\n", drain.as_secs_f64())
}

/// `/v1/heartbeats/{check}`.
pub(super) fn heartbeat(ask: &Ask<'_>, app: &App, snapshot: &Snapshot, name: &str) -> Answer {
    guarded(ask, snapshot, |ask| {
        if *ask.method != Method::PUT {
            return Answer::method_not_allowed("PUT");
        }
        if app.control.beat(&decode(name)) {
            return Answer::text(StatusCode::NO_CONTENT, "");
        }
        Answer::text(StatusCode::NOT_FOUND, "no check of that name takes heartbeats over HTTP\n")
    })
}

fn guarded(ask: &Ask<'_>, snapshot: &Snapshot, act: impl FnOnce(&Ask<'_>) -> Answer) -> Answer {
    if !snapshot.plan.answers.control {
        return Answer::not_found(snapshot.plan.answers.details);
    }
    if !is_from_here(ask) {
        let body = "forbidden; this path is for the same host alone: use http://127.0.0.1 or http://localhost, \
                    without a proxy and not from a web page\n";
        return Answer::text(StatusCode::FORBIDDEN, body);
    }
    act(ask)
}

/// Whether both ends of the connection are on loopback, the request is for this host, and neither a proxy nor a web
/// page is behind it.
fn is_from_here(ask: &Ask<'_>) -> bool {
    let named_by_uri = ask.uri.host().is_none_or(is_local_name);
    is_loopback(ask.ends.peer)
        && is_loopback(ask.ends.local)
        && named_by_uri
        && is_for_localhost(ask.headers)
        && !ask
            .headers
            .keys()
            .any(|name| *name == ORIGIN || *name == FORWARDED || name.as_str().starts_with("x-forwarded-"))
}

/// Loopback, but for 127.0.0.6, which meshes use for strangers.
fn is_loopback(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() && address != IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6))
}

/// Whether there is exactly one `Host`, and it is this one: a name that somebody else resolves to loopback is not.
fn is_for_localhost(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    host.to_str().is_ok_and(|host| is_local_name(without_port(host.trim())))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

fn is_local_name(name: &str) -> bool {
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').and_then(|inner| inner.parse().ok().map(IpAddr::V6)),
        None => name.parse().ok().map(IpAddr::V4),
    };
    address.is_some_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_loopback_in_every_form_but_the_one_of_meshes() {
        for (address, local) in [
            ("127.0.0.1", true),
            ("127.8.9.10", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("127.0.0.6", false),
            ("::ffff:127.0.0.6", false),
            ("10.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("fe80::1", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(is_loopback(address.parse().unwrap()), local, "{address}");
        }
    }

    #[test]
    fn the_host_must_be_this_one() {
        for (host, local) in [
            ("localhost", true),
            ("LocalHost:10240", true),
            ("127.0.0.1", true),
            ("127.0.0.1:10240", true),
            ("[::1]", true),
            ("[::1]:10240", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("", false),
            ("::1", false),
            ("localhost.evil.example", false),
            ("localhost:evil", false),
            ("127.0.0.1.nip.io", false),
            ("10.0.0.1:10240", false),
            ("[::1", false),
            ("2130706433", false),
        ] {
            assert_eq!(is_local_name(without_port(host)), local, "{host}");
        }
    }
}
