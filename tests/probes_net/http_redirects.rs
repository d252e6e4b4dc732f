//! The kind `http`: where redirects may lead, and what goes along.

use std::net::IpAddr;
use std::sync::Arc;

use probelet::base::secret::Secret;
use probelet::base::value::{Text, TextPart, Value};
use probelet::probe::http::KIND;
use probelet::probe::net::Network;

use crate::fake::{self, Act, Fake};
use crate::section::SectionBuilder;
use crate::{LONG, said};

/// A server that redirects there.
async fn redirecting(status: u16, location: &str) -> Fake {
    Fake::answers(fake::http(status, &[("Location", location)], "")).await
}

fn there() -> Vec<u8> {
    fake::http(200, &[], "there")
}

fn following(fake: &Fake, most: i64) -> SectionBuilder {
    let section = SectionBuilder::new().text("url", format!("http://127.0.0.1:{}/", fake.port()));
    section.with("max_redirects", Value::Integer(most))
}

const ANOTHER_HOST: &str = "mismatch: redirected to another host: only `redirects: any` follows there";
const ITSELF: &str = "mismatch: redirected to probelet itself, which is never followed";

#[tokio::test]
async fn a_redirect_to_another_host_is_followed_only_where_the_file_says_so() {
    let other = Fake::answers(there()).await;
    let first = redirecting(302, &format!("http://localhost:{}/", other.port())).await;
    assert_eq!(said(&mut *following(&first, 1).probe(&KIND), LONG).await, ANOTHER_HOST);
    assert_eq!(other.seen().accepted, 0);
    let any = following(&first, 1).with("redirects", Value::Word("any"));
    assert_eq!(said(&mut *any.probe(&KIND), LONG).await, "pass");
    assert_eq!(other.seen().accepted, 1);
    // Another port or scheme of the same host is no other host, as for kubelet.
    first.mend(fake::http(302, &[("Location", &format!("http://127.0.0.1:{}/", other.port()))], "")).await;
    assert_eq!(said(&mut *following(&first, 1).probe(&KIND), LONG).await, "pass");
    // The host is that of the check, not of the redirect before.
    let back = redirecting(302, &format!("http://127.0.0.1:{}/", other.port())).await;
    first.mend(fake::http(302, &[("Location", &format!("http://localhost:{}/", back.port()))], "")).await;
    let any = following(&first, 2).with("redirects", Value::Word("any"));
    assert_eq!(said(&mut *any.probe(&KIND), LONG).await, "pass");
    assert_eq!(said(&mut *following(&first, 2).probe(&KIND), LONG).await, ANOTHER_HOST);
}

#[tokio::test]
async fn no_redirect_leads_to_probelet_itself_by_whatever_name() {
    let own = Fake::answers(there()).await;
    let port = own.port();
    let resolving = |own: &str| {
        let network = Network::resolving_with(|host| {
            let addresses: &[&str] = match host.as_str() {
                "rebound" => &["::ffff:127.0.0.1"],
                "mixed" => &["192.0.2.1", "127.0.0.1"],
                _ => &["127.0.0.1"],
            };
            let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            Box::pin(std::future::ready(Ok(addresses)))
        });
        Arc::new(network.around(&[own.parse().unwrap()]))
    };
    for listening in [format!("127.0.0.1:{port}"), format!("[::]:{port}"), format!("0.0.0.0:{port}")] {
        for host in [
            "127.0.0.1",
            "localhost",
            "LOCALHOST.",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "0",
            "0.0.0.0",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "rebound",
            "mixed",
        ] {
            for status in [301, 302, 303, 307, 308] {
                let first = redirecting(status, &format!("http://{host}:{port}/-/drain")).await;
                let section = following(&first, 3).with("redirects", Value::Word("any"));
                let section = section.with("method", Value::Word("POST"));
                let mut probe = section.probe_on(&KIND, &resolving(&listening));
                assert_eq!(said(&mut *probe, LONG).await, ITSELF, "{status} {host} {listening}");
            }
        }
    }
    assert_eq!(own.seen().accepted, 0, "nobody was dialled");
    // What the file itself names is asked.
    let direct = SectionBuilder::new().text("url", format!("http://127.0.0.1:{port}/"));
    let mut probe = direct.probe_on(&KIND, &resolving(&format!("127.0.0.1:{port}")));
    assert_eq!(said(&mut *probe, LONG).await, "pass");
}

#[tokio::test]
async fn a_connection_that_stands_is_no_way_around() {
    // The check asks probelet itself, is redirected away and from there back: a second connection would be at hand.
    let own = Fake::start(Act::Silent).await;
    let back = redirecting(302, &format!("http://127.0.0.1:{}/back", own.port())).await;
    own.mend(fake::http(302, &[("Location", &format!("http://127.0.0.1:{}/", back.port()))], "")).await;
    let network = Arc::new(Network::default().around(&[own.address()]));
    let mut probe = following(&own, 3).probe_on(&KIND, &network);
    for _ in 0..3 {
        assert_eq!(said(&mut *probe, LONG).await, ITSELF);
    }
    assert!(own.seen().requests.iter().all(|request| request.starts_with("GET / ")));
}

#[tokio::test]
async fn no_redirect_leads_to_what_only_the_link_can_reach() {
    let network = Network::resolving_with(|host| {
        let address = if host == "metadata.internal" { "169.254.169.254" } else { "127.0.0.1" };
        Box::pin(std::future::ready(Ok(vec![address.parse().unwrap()])))
    });
    let network = Arc::new(network);
    for host in
        ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "metadata.internal", "2852039166", "[::ffff:a9fe:a9fe]"]
    {
        let first = redirecting(302, &format!("http://{host}/latest/meta-data/")).await;
        let section = following(&first, 1).with("redirects", Value::Word("any"));
        assert_eq!(
            said(&mut *section.probe_on(&KIND, &network), LONG).await,
            "mismatch: redirected from elsewhere to a link-local address, which is never followed",
            "{host}"
        );
    }
}

/// A text that an expansion brought in.
fn expanded(text: &str) -> Value {
    Value::Text(Text { parts: vec![TextPart::Expanded(Secret::new(text))], written: "${SECRET}".into() })
}

#[tokio::test]
async fn a_body_that_may_be_a_secret_goes_to_no_other_origin() {
    let other = Fake::answers(there()).await;
    let elsewhere = format!("http://127.0.0.1:{}/", other.port());
    let post = |fake: &Fake| following(fake, 1).with("method", Value::Word("POST"));
    for status in [307, 308] {
        let first = redirecting(status, &elsewhere).await;
        let secret = post(&first).with("body", expanded("user=probe&pass=hunter2"));
        assert_eq!(
            said(&mut *secret.probe(&KIND), LONG).await,
            "mismatch: redirected to another origin, to which no body with an expansion or a captured value is sent"
        );
        let named = post(&first).text("body", r#"{"user":"probe","Password":"hunter2"}"#);
        assert_eq!(
            said(&mut *named.probe(&KIND), LONG).await,
            "mismatch: redirected to another origin, to which no body with a credential is sent"
        );
        assert_eq!(other.seen().accepted, 0);
    }
    // Without the body nothing is wrong with it: what is sent then is what browsers send.
    for status in [301, 302, 303] {
        let first = redirecting(status, &elsewhere).await;
        assert_eq!(said(&mut *post(&first).with("body", expanded("hunter2")).probe(&KIND), LONG).await, "pass");
    }
    let first = redirecting(307, &elsewhere).await;
    assert_eq!(said(&mut *post(&first).text("body", "ping").probe(&KIND), LONG).await, "pass");
    let requests = other.seen().requests;
    assert!(requests.iter().all(|request| !request.contains("hunter2")), "{requests:?}");
    assert!(requests[3].ends_with("\r\n\r\nping"), "{requests:?}");
    // The same origin gets it again.
    let same = Fake::start(Act::serve(|number, _| {
        Some(if number == 0 { fake::http(307, &[("Location", "/again")], "") } else { there() })
    }))
    .await;
    let section = post(&same).with("body", expanded("hunter2"));
    same.act(Act::serve(|_, request| {
        let is_first = request.starts_with("POST / ");
        Some(if is_first { fake::http(307, &[("Location", "/again")], "") } else { there() })
    }))
    .await;
    assert_eq!(said(&mut *section.probe(&KIND), LONG).await, "pass");
    assert!(same.seen().requests[1].starts_with("POST /again ") && same.seen().requests[1].ends_with("hunter2"));
}

#[tokio::test]
async fn headers_that_name_a_credential_stay_with_their_origin() {
    let other = Fake::answers(there()).await;
    let first = redirecting(307, &format!("http://127.0.0.1:{}/", other.port())).await;
    let headers = [
        ("Authorization", "Bearer hunter2"),
        ("Proxy-Authorization", "hunter2"),
        ("Cookie", "session=hunter2"),
        ("X-Api-Key", "hunter2"),
        ("X-Auth-Token", "hunter2"),
        ("X-Auth", "hunter2"),
        ("X-Client-Secret", "hunter2"),
        ("X-Db-Password", "hunter2"),
        ("X-Session-Id", "hunter2"),
        ("X-Tenant", "a"),
    ];
    assert_eq!(said(&mut *following(&first, 1).texts("headers", &headers).probe(&KIND), LONG).await, "pass");
    assert_eq!(first.seen().requests[0].matches("hunter2").count(), 9);
    let request = other.seen().requests[0].clone();
    assert!(!request.contains("hunter2") && request.contains("X-Tenant: a\r\n"), "{request}");
}
