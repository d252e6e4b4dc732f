//! Who may use a route: whoever has the token, where there is one; for what changes something whoever is in this pod.
//!
//! A proxy in the pod has a loopback address too. It is known by what it says of itself (HTTP/1.0, headers). One that
//! says nothing cannot be told from the app: then only the token, or the proxy's own configuration, keeps strangers
//! out.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use hyper::{Method, Version};

use super::kubelet;
use super::request::IncomingRequest;
use crate::base::token::Token;
use crate::model::route::{Route, RouteSet};
use crate::model::snapshot::Snapshot;

/// What a request gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// What `server.details` says.
    Full,
    /// The verdict, and no more.
    Narrow,
    /// Nothing without the token.
    Unauthorized,
    /// Nothing: there is no such route at this address.
    Nothing,
}

/// What a request on `route` with these headers gets to see at an address that has `routes`. It is judged before any
/// name in the path is looked at.
pub(super) fn sight(route: Route, routes: RouteSet, headers: &HeaderMap, token: Option<&Token>) -> Sight {
    if route.set() > routes {
        return Sight::Nothing;
    }
    let is_of_probes = route.set() == RouteSet::Probes;
    if is_of_probes && routes != RouteSet::All {
        return Sight::Narrow;
    }
    match token {
        Some(token) if !presents(headers, token) => {
            if is_of_probes {
                Sight::Narrow
            } else {
                Sight::Unauthorized
            }
        }
        _ => Sight::Full,
    }
}

/// Who a beat comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beater {
    /// Somebody who has the token of the check.
    HasToken,
    /// Somebody who needs none, if it is this pod.
    MayBeOfPod,
    /// Somebody who lacks `server.token`.
    LacksServerToken,
    /// Somebody who presents another token than that of the check.
    HasWrongToken,
}

/// Who sends `incoming`, a beat for `check`. A stranger is not told whether there is such a check, nor which checks take
/// tokens.
pub(super) fn beater(incoming: &IncomingRequest<'_>, snapshot: &Snapshot, check: &str) -> Beater {
    let plan = &snapshot.plan;
    let own = plan.position(check).and_then(|check| plan.checks[check].beat_token);
    let any_takes_tokens = plan.checks.iter().any(|check| check.beat_token.is_some());
    // It takes as long for a check that there is not.
    if any_takes_tokens && presents(incoming.headers, &own.unwrap_or(Token::NOBODYS)) {
        return Beater::HasToken;
    }
    match &plan.answers.token {
        Some(token) if !presents(incoming.headers, token) => return Beater::LacksServerToken,
        Some(_) => return Beater::MayBeOfPod,
        None => {}
    }
    let is_stranger = || sign_of_stranger(incoming).is_some();
    let presents_something = any_takes_tokens && incoming.headers.contains_key(AUTHORIZATION);
    if presents_something && (own.is_some() || is_stranger()) { Beater::HasWrongToken } else { Beater::MayBeOfPod }
}

/// Whether `token` is presented: as `Bearer`, or as the password of basic authentication, with any user.
pub(super) fn presents(headers: &HeaderMap, token: &Token) -> bool {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(given), None) = (given.next(), given.next()) else { return false };
    let Some((scheme, credentials)) = given.to_str().ok().and_then(|given| given.split_once(' ')) else { return false };
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return token.is(credentials.as_bytes());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return false;
    }
    let Ok(pair) = STANDARD.decode(credentials) else { return false };
    let colon = pair.iter().position(|byte| *byte == b':');
    colon.is_some_and(|colon| token.is(&pair[colon + 1..]))
}

/// What shows that a request does not come straight from this pod, if anything does.
pub(super) fn sign_of_stranger(incoming: &IncomingRequest<'_>) -> Option<Cow<'static, str>> {
    if !is_loopback(incoming.ends.peer) || !is_loopback(incoming.ends.local) {
        return Some("the connection is not one within the pod".into());
    }
    // nginx says so to whatever is behind it, unless it is told otherwise (always until 1.29.7).
    if incoming.version != Version::HTTP_11 {
        let version = if incoming.version == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.0" };
        return Some(format!("this is {version}, as proxies speak it").into());
    }
    if !incoming.uri.host().is_none_or(is_local_name) || !is_for_localhost(incoming.headers) {
        return Some("the request is for another host".into());
    }
    if incoming.headers.contains_key(ORIGIN) || is_cross_site(incoming.headers) {
        return Some("the request comes from a web page".into());
    }
    let sign = sign_of_proxy(incoming.headers)?;
    // A longer one is nobody's but the client's.
    Some(if sign.len() <= 40 { format!("a proxy sent the header {sign}").into() } else { "a proxy sent it".into() })
}

/// Whether kubelet itself can have sent this: what comes through a proxy or from a page is somebody else's, whatever it
/// calls itself. `probelet ask` speaks HTTP/1.0, as proxies do; kubelet does not, and over HTTP/2 it speaks gRPC alone.
pub(super) fn may_be_of_kubelet(incoming: &IncomingRequest<'_>) -> bool {
    let is_of_command = kubelet::is_command(incoming.headers) && is_loopback(incoming.ends.peer);
    let is_call = incoming.version == Version::HTTP_2 && *incoming.method == Method::POST;
    (incoming.version == Version::HTTP_11 || is_call || is_of_command)
        && !incoming.headers.contains_key(ORIGIN)
        && !is_cross_site(incoming.headers)
        && sign_of_proxy(incoming.headers).is_none()
}

/// The first header that shows a proxy.
fn sign_of_proxy(headers: &HeaderMap) -> Option<&str> {
    headers.keys().map(hyper::header::HeaderName::as_str).find(|name| is_of_proxy(name))
}

/// Headers that proxies, content delivery networks and meshes add, and nobody else.
const OF_PROXIES: [&str; 8] =
    ["via", "forwarded", "true-client-ip", "cdn-loop", "max-forwards", "x-client-ip", "x-azure-clientip", "x-varnish"];
/// How others of them begin.
const PREFIXES: [&str; 6] = ["x-forwarded-", "x-original-", "x-real-", "x-envoy-", "cf-", "proxy-"];
/// How others of them end: `x-cluster-client-ip`, `fastly-client-ip`, `do-connecting-ip`.
const SUFFIXES: [&str; 2] = ["-client-ip", "-connecting-ip"];

fn is_of_proxy(name: &str) -> bool {
    OF_PROXIES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// Whether a browser says that a page of somebody else asks.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    sites.any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
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
    use hyper::header::HeaderValue;

    #[test]
    fn a_token_is_presented_as_bearer_or_as_a_password() {
        let token = Token::new("hun:ter 2");
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for (given, expected) in [
            ("Bearer hun:ter 2", true),
            ("bearer  hun:ter 2 ", true),
            (&basic("anna:hun:ter 2"), true),
            (&basic(":hun:ter 2"), true),
            ("Bearer hunter2", false),
            ("Bearer", false),
            ("hun:ter 2", false),
            ("Token hun:ter 2", false),
            ("Basic hun:ter 2", false),
            (&basic("hun:ter 2"), false),
            (&basic("no colon"), false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(given).unwrap())]);
            assert_eq!(presents(&headers, &token), expected, "{given}");
        }
        assert!(!presents(&HeaderMap::new(), &token));
        let good = || (AUTHORIZATION, HeaderValue::from_static("Bearer hun:ter 2"));
        let mut two = HeaderMap::from_iter([good()]);
        two.append(AUTHORIZATION, good().1);
        assert!(!presents(&two, &token));
    }

    #[test]
    fn every_route_is_seen_by_those_for_whom_it_is() {
        let token = Token::new("hunter2");
        let with = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer hunter2"))]);
        let without = HeaderMap::new();
        for route in Route::ALL {
            let seen = |routes, headers, token| sight(route, routes, headers, token);
            let of_probes = route.set() == RouteSet::Probes;
            for given in [None, Some(&token)] {
                for headers in [&without, &with] {
                    let narrow = if of_probes { Sight::Narrow } else { Sight::Nothing };
                    assert_eq!(seen(RouteSet::Probes, headers, given), narrow, "{route:?}");
                }
                assert_eq!(seen(RouteSet::All, &with, given), Sight::Full, "{route:?}");
            }
            assert_eq!(seen(RouteSet::All, &without, None), Sight::Full, "{route:?}");
            let guarded = if of_probes { Sight::Narrow } else { Sight::Unauthorized };
            assert_eq!(seen(RouteSet::All, &without, Some(&token)), guarded, "{route:?}");
            let scraped = match route {
                Route::Metrics => [Sight::Full, Sight::Unauthorized],
                _ if of_probes => [Sight::Narrow; 2],
                _ => [Sight::Nothing; 2],
            };
            let at_metrics = [&with, &without].map(|headers| seen(RouteSet::Metrics, headers, Some(&token)));
            assert_eq!(at_metrics, scraped, "{route:?}");
        }
    }

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
