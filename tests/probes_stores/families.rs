//! The key `address_family` of the stores: they listen on IPv4 alone, and their names have an address of each family.

use std::net::IpAddr;
use std::sync::Arc;

use probelet::base::value::Value;
use probelet::probe::net::Network;
use probelet::probe::{ProbeKind, amqp, postgres, redis};

use crate::LIMIT;
use crate::support::section::{SectionBuilder, observe};

#[tokio::test]
async fn stores_are_dialled_by_the_family_that_is_asked_for() {
    let network = |addresses: &'static [&str]| {
        Arc::new(Network::resolving_with(move |_| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            Box::pin(async move { Ok(addresses) })
        }))
    };
    let stores: [(&'static ProbeKind, String); 3] = [
        (&postgres::KIND, format!("postgres://probe:hunter2@store.test:{}/orders", crate::postgres::port())),
        (&redis::KIND, format!("redis://:hunter2@store.test:{}", crate::redis::port())),
        (&amqp::KIND, format!("amqp://probe:hunter2@store.test:{}", crate::amqp::port())),
    ];
    for (kind, url) in stores {
        for (addresses, family, expected) in [
            (&["::1", "127.0.0.1"] as &'static [&str], "any", "pass"),
            (&["::1", "127.0.0.1"], "ipv4", "pass"),
            (&["::1", "127.0.0.1"], "ipv6", "connection refused"),
            (&["127.0.0.1"], "ipv6", "the host has no IPv6 address, and `address_family` asks for one"),
            (&["::1"], "ipv4", "the host has no IPv4 address, and `address_family` asks for one"),
        ] {
            let section = SectionBuilder::new().text("url", &url).with("address_family", Value::Word(family));
            let result = observe(&mut *section.probe_on(kind, &network(addresses)), LIMIT).await.unwrap();
            let said = result.map_or_else(|failure| failure.message, |_| "pass".into());
            assert_eq!(said, expected, "{} by {family} of {addresses:?}", kind.name);
        }
        let literal = url.replace("store.test", "127.0.0.1");
        let section = SectionBuilder::new().text("url", literal).with("address_family", Value::Word("ipv6"));
        let expected = "invalid-value: what is dialled is an IPv4 address, which `address_family` rules out";
        assert_eq!(section.read(kind).map(|_| ()).unwrap_err(), [expected], "{}", kind.name);
    }
}
