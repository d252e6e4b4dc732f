//! The key `address_family`: which of a host's addresses are tried.

use std::net::IpAddr;
use std::sync::Arc;

use probelet::base::value::Value;
use probelet::probe::net::Network;
use probelet::probe::{Probe, http, tcp};

use crate::fake::{self, Act, Fake};
use crate::section::SectionBuilder;
use crate::{LONG, said};

/// A network in which every name has these addresses.
fn network(addresses: &[&str]) -> Arc<Network> {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Arc::new(Network::resolving_with(move |_| {
        let addresses = addresses.clone();
        Box::pin(async move { Ok(addresses) })
    }))
}

/// Both kinds; each is satisfied by what is said on the one family alone.
fn probes(port: u16, family: &'static str, expect: &str, network: &Arc<Network>) -> [Box<dyn Probe>; 2] {
    let family = |section: SectionBuilder| section.with("address_family", Value::Word(family));
    let tcp = SectionBuilder::new().text("address", format!("both.test:{port}")).text("send", "GET / HTTP/1.1\r\n\r\n");
    let http = SectionBuilder::new().text("url", format!("http://both.test:{port}/"));
    let expected = SectionBuilder::new().text("body_contains", expect);
    [
        family(tcp.text("expect", expect)).probe_on(&tcp::KIND, network),
        family(http.section("expect", expected)).probe_on(&http::KIND, network),
    ]
}

#[tokio::test]
async fn only_addresses_of_the_family_are_tried() {
    let fourth = Fake::answers(fake::http(200, &[], "by IPv4")).await;
    let port = fourth.port();
    let sixth =
        Fake::start_on(format!("[::1]:{port}").parse().unwrap(), Act::Answer(fake::http(200, &[], "by IPv6"))).await;
    let both = network(&["::1", "127.0.0.1"]);
    for (family, body, expected) in
        [("ipv4", "by IPv4", ""), ("ipv6", "by IPv6", ""), ("any", "by IPv6", "the one that the resolver prefers")]
    {
        for mut probe in probes(port, family, body, &both) {
            assert_eq!(said(&mut *probe, LONG).await, "pass", "{family}: {expected}");
        }
    }
    // Nobody falls back to the other.
    sixth.act(Act::Refuse).await;
    for (family, body, expected) in
        [("ipv6", "by IPv4", "connect: connection refused"), ("any", "by IPv4", "pass"), ("ipv4", "by IPv4", "pass")]
    {
        for mut probe in probes(port, family, body, &both) {
            assert_eq!(said(&mut *probe, LONG).await, expected, "{family}");
        }
    }
    for (has, lacks, family) in [("127.0.0.1", "IPv6", "ipv6"), ("::1", "IPv4", "ipv4")] {
        for mut probe in probes(port, family, "", &network(&[has])) {
            let expected = format!("resolve: the host has no {lacks} address, and `address_family` asks for one");
            assert_eq!(said(&mut *probe, LONG).await, expected);
        }
    }
}

#[tokio::test]
async fn a_redirect_stays_in_the_family() {
    let other = Fake::start_on("[::1]:0".parse().unwrap(), Act::Answer(fake::http(200, &[], "ok"))).await;
    let location = format!("http://[::1]:{}/", other.port());
    let first = Fake::answers(fake::http(302, &[("Location", &location)], "")).await;
    for (family, expected) in
        [("any", "pass"), ("ipv4", "resolve: the host has no IPv4 address, and `address_family` asks for one")]
    {
        let section = SectionBuilder::new().text("url", format!("http://127.0.0.1:{}/", first.port()));
        let section = section.with("max_redirects", Value::Integer(1)).with("redirects", Value::Word("any"));
        let mut probe = section.with("address_family", Value::Word(family)).probe(&http::KIND);
        // The resolver has no IPv4 address to give for what is one of IPv6.
        assert_eq!(said(&mut *probe, LONG).await, expected, "{family}");
    }
}

#[test]
fn an_address_of_the_other_family_is_refused_at_once() {
    for (host, family, other) in [("127.0.0.1", "ipv6", "IPv4"), ("[::1]", "ipv4", "IPv6")] {
        let expected =
            format!("invalid-value: what is dialled is an {other} address, which `address_family` rules out");
        let family = || SectionBuilder::new().with("address_family", Value::Word(family));
        for read in [
            family().text("address", format!("{host}:80")).read(&tcp::KIND),
            family().text("url", format!("http://{host}:80/")).read(&http::KIND),
        ] {
            assert_eq!(read.map(|_| ()).unwrap_err(), [expected.as_str()], "{host}");
        }
    }
}

#[test]
fn a_unix_socket_has_no_family() {
    let section = SectionBuilder::new().text("url", "http://shop.test/").text("unix_socket", "/run/app.sock");
    let read = section.with("address_family", Value::Word("ipv4")).read(&http::KIND).map(|_| ());
    assert_eq!(read.unwrap_err(), ["ineffective-key: `address_family` has no effect on a Unix socket"]);
}

#[tokio::test]
async fn the_family_is_that_of_a_proxy_where_there_is_one() {
    let proxy = Fake::answers(fake::http(200, &[], "ok")).await;
    let of_the_proxy = |host: &str, family: &'static str| {
        let section = SectionBuilder::new().text("url", "http://[2001:db8::1]/");
        let section = section.text("proxy", format!("http://{host}:{}", proxy.port()));
        section.with("address_family", Value::Word(family))
    };
    let both = network(&["::1", "127.0.0.1"]);
    for (family, expected) in [("ipv4", "pass"), ("ipv6", "connect: proxy: connection refused")] {
        let mut probe = of_the_proxy("proxy.test", family).probe_on(&http::KIND, &both);
        assert_eq!(said(&mut *probe, LONG).await, expected, "{family}");
    }
    let problems = of_the_proxy("127.0.0.1", "ipv6").read(&http::KIND).map(|_| ()).unwrap_err();
    assert_eq!(problems, ["invalid-value: what is dialled is an IPv4 address, which `address_family` rules out"]);
}
