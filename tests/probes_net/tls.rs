//! TLS, as `tcp` and `http` speak it: the same certificates give the same words.

use std::sync::Arc;
use std::time::Duration;

use probelet::base::value::Value;
use probelet::probe::net::Network;
use probelet::probe::{Probe, http, tcp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::certs::{Authority, DAY, Folder, Identity};
use crate::fake::{self, Act, Fake};
use crate::section::{SectionBuilder, observe};
use crate::{LONG, said, said_where};

/// Both kinds, with this section `tls`, against a server on `localhost`.
fn probes(fake: &Fake, tls: impl Fn() -> SectionBuilder) -> [Box<dyn Probe>; 2] {
    probes_of("localhost", fake, tls)
}

fn probes_of(host: &str, fake: &Fake, tls: impl Fn() -> SectionBuilder) -> [Box<dyn Probe>; 2] {
    let tcp = SectionBuilder::new().text("address", format!("{host}:{}", fake.port())).text("send", "PING\r\n");
    let http = SectionBuilder::new().text("url", format!("https://{host}:{}/", fake.port()));
    [tcp.text("expect", "200").section("tls", tls()).probe(&tcp::KIND), http.section("tls", tls()).probe(&http::KIND)]
}

async fn check(fake: &Fake, tls: impl Fn() -> SectionBuilder, expected: &str) {
    for (mut probe, kind) in probes(fake, tls).into_iter().zip(["tcp", "http"]) {
        assert_eq!(said(&mut *probe, LONG).await, expected, "{kind}");
    }
}

async fn server(identity: &Identity) -> Fake {
    Fake::answers(fake::http(200, &[], "ok")).await.with_tls(identity.server())
}

/// An authority with its certificate in a file.
struct Known {
    authority: Authority,
    folder: Folder,
    ca_file: String,
}

impl Known {
    fn new() -> Self {
        let (authority, folder) = (Authority::new("the test's own"), Folder::new());
        let ca_file = folder.write("ca.pem", authority.pem());
        Self { authority, folder, ca_file }
    }

    fn tls(&self) -> SectionBuilder {
        SectionBuilder::new().text("ca_file", &self.ca_file)
    }
}

#[tokio::test]
async fn a_server_of_a_known_authority_is_trusted() {
    let known = Known::new();
    let fake = server(&known.authority.server(&["localhost"])).await;
    check(&fake, || known.tls(), "pass").await;
}

#[tokio::test]
async fn each_wrong_certificate_has_its_name() {
    let (known, stranger) = (Known::new(), Authority::new("a stranger"));
    let cases = [
        (known.authority.server_valid(&["localhost"], -9 * DAY..-DAY), "tls: certificate has expired"),
        (known.authority.server_valid(&["localhost"], DAY..9 * DAY), "tls: certificate is not valid yet"),
        (known.authority.server(&["elsewhere.test"]), "tls: certificate is for another host"),
        (stranger.server(&["localhost"]), "tls: certificate is self-signed or from an unknown issuer"),
        (Identity::self_signed(&["localhost"], false), "tls: certificate is self-signed or from an unknown issuer"),
        (Identity::self_signed(&["localhost"], true), "tls: certificate is self-signed or from an unknown issuer"),
        (known.authority.client("localhost"), "tls: certificate is not meant for a server"),
    ];
    for (identity, expected) in cases {
        let fake = server(&identity).await;
        check(&fake, || known.tls(), expected).await;
    }
}

#[tokio::test]
async fn the_server_s_own_certificate_may_stand_in_the_ca_file() {
    let folder = Folder::new();
    for authority in [false, true] {
        let identity = Identity::self_signed(&["localhost"], authority);
        let ca_file = folder.write("own.pem", &identity.certificate);
        let fake = server(&identity).await;
        check(&fake, || SectionBuilder::new().text("ca_file", &ca_file), "pass").await;
        for mut probe in probes_of("127.0.0.1", &fake, || SectionBuilder::new().text("ca_file", &ca_file)) {
            assert_eq!(said(&mut *probe, LONG).await, "tls: certificate is for another host");
        }
    }
}

#[tokio::test]
async fn a_certificate_may_be_for_an_address() {
    let known = Known::new();
    let fake = server(&known.authority.server(&["127.0.0.1"])).await;
    for mut probe in probes_of("127.0.0.1", &fake, || known.tls()) {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
    }
}

#[tokio::test]
async fn the_server_s_name_may_differ_from_the_host() {
    let known = Known::new();
    for (host, name) in [("localhost", "api.internal"), ("127.0.0.1", "api.internal"), ("localhost", "192.0.2.1")] {
        let fake = server(&known.authority.server(&[name])).await;
        for mut probe in probes_of(host, &fake, || known.tls().text("server_name", name)) {
            assert_eq!(said(&mut *probe, LONG).await, "pass", "{host} as {name}");
        }
        // The request still names the host that was asked for.
        let request = fake.seen().requests.pop().unwrap();
        assert!(request.contains(&format!("Host: {host}:{}\r\n", fake.port())), "{request}");
    }
}

#[tokio::test]
async fn a_server_s_name_is_none_for_the_one_that_it_redirects_to() {
    let known = Known::new();
    let other = server(&known.authority.server_valid(&["127.0.0.1"], -DAY..6 * DAY)).await;
    let location = format!("https://127.0.0.1:{}/", other.port());
    let redirect = fake::http(302, &[("Location", &location)], "");
    let first = Fake::answers(redirect).await.with_tls(known.authority.server(&["api.internal"]).server());
    let section = SectionBuilder::new().text("url", format!("https://localhost:{}/", first.port()));
    let tls = known.tls().text("server_name", "api.internal");
    let mut probe = section
        .section("tls", tls)
        .with("max_redirects", Value::Integer(1))
        .with("redirects", Value::Word("any"))
        .probe(&http::KIND);
    let earliest = observe(&mut *probe, LONG).await.unwrap().unwrap().facts.tls_not_after;
    let mut alone = SectionBuilder::new().text("url", location).section("tls", known.tls()).probe(&http::KIND);
    assert_eq!(earliest, observe(&mut *alone, LONG).await.unwrap().unwrap().facts.tls_not_after);
    // The same with both connections kept, where the one that is asked first presented the later end.
    assert_eq!(observe(&mut *probe, LONG).await.unwrap().unwrap().facts.tls_not_after, earliest);
}

#[tokio::test]
async fn any_certificate_is_accepted_when_told_so_and_its_end_is_reported() {
    let fake = server(&Identity::self_signed(&["elsewhere.test"], true)).await;
    let skip = || SectionBuilder::new().with("insecure_skip_verify", Value::Bool(true));
    for mut probe in probes(&fake, skip) {
        let pass = observe(&mut *probe, LONG).await.unwrap().unwrap();
        assert!(pass.facts.tls_not_after.is_some());
    }
}

#[tokio::test]
async fn a_certificate_that_ends_too_soon_makes_a_pass_degraded() {
    let known = Known::new();
    let fake = server(&known.authority.server_valid(&["localhost"], -DAY..6 * DAY + 3600)).await;
    let at_least = |days: u32| Value::Duration(days * Duration::from_secs(86_400));
    check(&fake, || known.tls().with("min_validity", at_least(14)), "degraded: certificate expires in 6d").await;
    check(&fake, || known.tls().with("min_validity", at_least(5)), "pass").await;
}

#[tokio::test]
async fn a_certificate_that_ends_much_too_soon_fails() {
    let known = Known::new();
    let days = |days: u32| Value::Duration(days * Duration::from_secs(86_400));
    let fake = server(&known.authority.server_valid(&["localhost"], -DAY..6 * DAY + 3600)).await;
    let failing = "tls: certificate expires in 6d, and `fails_below` is 14d";
    check(&fake, || known.tls().with("fails_below", days(14)), failing).await;
    check(&fake, || known.tls().with("fails_below", days(5)), "pass").await;
    let degraded = "degraded: certificate expires in 6d";
    check(&fake, || known.tls().with("fails_below", days(2)).with("min_validity", days(14)), degraded).await;
    // Whoever is trusted anyway: the end counts.
    let skip = || SectionBuilder::new().with("insecure_skip_verify", Value::Bool(true));
    check(&fake, || skip().with("fails_below", days(14)), failing).await;
    for mut probe in probes(&fake, || known.tls().with("fails_below", days(14))) {
        let failure = observe(&mut *probe, LONG).await.unwrap().unwrap_err();
        assert!(failure.facts.tls_not_after.is_some());
    }
    let expired = server(&known.authority.server_valid(&["localhost"], -9 * DAY..-DAY)).await;
    check(&expired, || skip().with("fails_below", days(0)), "tls: certificate has expired").await;
    check(&expired, skip, "pass").await;
    // One of the chain that ends first.
    let issuer = known.authority.intermediate("in between", -DAY..5 * DAY + 3600);
    let fake = server(&issuer.server(&["localhost"]).behind(&issuer)).await;
    let words = "tls: the certificate of an issuer expires in 5d, and `fails_below` is 14d";
    check(&fake, || known.tls().with("fails_below", days(14)), words).await;
}

#[test]
fn a_certificate_that_fails_first_is_never_degraded() {
    let hours = |hours: u32| Value::Duration(hours * Duration::from_secs(3600));
    let tls = |degraded: u32, fails: u32| {
        let tls = SectionBuilder::new().with("min_validity", hours(degraded)).with("fails_below", hours(fails));
        SectionBuilder::new().text("address", "shop.test:443").section("tls", tls).read(&tcp::KIND).map(|_| ())
    };
    assert_eq!(tls(336, 48), Ok(()));
    let message = "`min_validity` has no effect: it is not above `fails_below`, below which the check fails";
    assert_eq!(tls(48, 48), Err(vec![format!("ineffective-key: {message}")]));
}

#[tokio::test]
async fn the_earliest_end_in_the_chain_counts() {
    let known = Known::new();
    let at_least = |days: u32| Value::Duration(days * Duration::from_secs(86_400));
    let words = "degraded: the certificate of an issuer expires in 5d";
    for (issuer_ends, own_ends, expected) in
        [(5, 90, words), (90, 5, "degraded: certificate expires in 5d"), (90, 90, "pass")]
    {
        let issuer = known.authority.intermediate("in between", -DAY..issuer_ends * DAY + 3600);
        let own = issuer.server_valid(&["localhost"], -DAY..own_ends * DAY + 3600).behind(&issuer);
        let fake = server(&own).await;
        check(&fake, || known.tls().with("min_validity", at_least(14)), expected).await;
        let alone = Fake::answers(fake::http(200, &[], "ok"))
            .await
            .with_tls(issuer.server_valid(&["localhost"], -DAY..5 * DAY + 3600).server());
        let ca_file = known.folder.write("in-between.pem", issuer.pem());
        for (one, other) in probes(&fake, || known.tls())
            .iter_mut()
            .zip(&mut probes(&alone, || SectionBuilder::new().text("ca_file", &ca_file)))
        {
            let end = observe(&mut **one, LONG).await.unwrap().unwrap().facts.tls_not_after.unwrap();
            let five_days = observe(&mut **other, LONG).await.unwrap().unwrap().facts.tls_not_after.unwrap();
            let is_the_same = (end.whole_seconds() - five_days.whole_seconds()).abs() < 3600;
            assert_eq!(is_the_same, issuer_ends.min(own_ends) == 5, "the fact is the earliest end");
        }
    }
}

#[tokio::test]
async fn an_issuer_s_certificate_is_told_from_the_server_s() {
    let known = Known::new();
    for (seconds, expected) in [
        (-9 * DAY..-DAY, "tls: the certificate of an issuer has expired"),
        (DAY..9 * DAY, "tls: the certificate of an issuer is not valid yet"),
    ] {
        let issuer = known.authority.intermediate("in between", seconds);
        let fake = server(&issuer.server(&["localhost"]).behind(&issuer)).await;
        check(&fake, || known.tls(), expected).await;
    }
}

#[tokio::test]
async fn the_end_of_a_certificate_is_reported_of_a_failed_handshake_too() {
    let known = Known::new();
    let fake = server(&known.authority.server_valid(&["localhost"], -9 * DAY..-DAY)).await;
    for mut probe in probes(&fake, || known.tls()) {
        let failure = observe(&mut *probe, LONG).await.unwrap().unwrap_err();
        assert!(failure.facts.tls_not_after.is_some());
    }
}

#[tokio::test]
async fn a_client_certificate_is_presented() {
    let (known, clients) = (Known::new(), Authority::new("clients"));
    let identity = known.authority.server(&["localhost"]);
    let fake = Fake::answers(fake::http(200, &[], "ok")).await.with_tls(identity.server_for_clients_of(&clients));
    let write = |identity: &Identity, name: &str| {
        let certificate = known.folder.write(&format!("{name}.pem"), &identity.certificate);
        let key = known.folder.write(&format!("{name}.key"), &identity.key);
        (certificate, key)
    };
    let (certificate, key) = write(&clients.client("probelet"), "good");
    check(&fake, || known.tls().text("cert_file", &certificate).text("key_file", &key), "pass").await;
    check(&fake, || known.tls(), "tls: server wants a client certificate").await;
    let (certificate, key) = write(&Authority::new("a stranger").client("probelet"), "bad");
    let stranger = || known.tls().text("cert_file", &certificate).text("key_file", &key);
    check(&fake, stranger, "tls: server rejects the client certificate").await;
}

#[tokio::test]
async fn each_trouble_in_the_handshake_has_its_name_and_is_over_once_it_is_mended() {
    let known = Known::new();
    let tls = known.authority.server(&["localhost"]).server();
    let cases = [
        (Act::Refuse, "connect: connection refused"),
        (Act::Silent, "timeout: in the TLS handshake"),
        (Act::CloseAfter(vec![]), "tls: connection closed in the TLS handshake"),
        (Act::Answer(fake::http(400, &[], "this is plain HTTP")), "tls: server does not speak TLS"),
        (Act::garbage(), "tls: server does not speak TLS"),
    ];
    let fake = Fake::refuses().await;
    for mut probe in probes(&fake, || known.tls()) {
        for (act, expected) in &cases {
            fake.set_tls(None);
            fake.act(act.clone()).await;
            let said = said_where(&mut *probe, expected).await;
            assert_eq!(said.strip_suffix(": write `http://`").unwrap_or(&said), *expected);
            fake.set_tls(Some(Arc::clone(&tls)));
            fake.mend(fake::http(200, &[], "ok")).await;
            assert_eq!(crate::said(&mut *probe, LONG).await, "pass", "after {expected}");
        }
    }
}

#[tokio::test]
async fn the_machine_s_authorities_are_asked_where_there_is_no_ca_file() {
    let authority = Authority::new("the machine's");
    let fake = server(&authority.server(&["localhost"])).await;
    let certificate = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
    for (roots, expected) in [
        (vec![certificate], "pass"),
        (vec![], "tls: this machine has no CA certificates: mount a bundle or set `tls.ca_file`"),
    ] {
        let network = Arc::new(Network::trusting(roots));
        let url = format!("https://localhost:{}/", fake.port());
        let mut probe = SectionBuilder::new().text("url", url).probe_on(&http::KIND, &network);
        assert_eq!(said(&mut *probe, LONG).await, expected);
    }
}

#[tokio::test]
async fn plain_targets_need_no_authorities() {
    let fake = Fake::answers(fake::http(200, &[], "ok")).await;
    let url = format!("http://localhost:{}/", fake.port());
    let section = SectionBuilder::new().text("url", url).with("max_redirects", Value::Integer(3));
    let mut probe = section.probe_on(&http::KIND, &Arc::new(Network::trusting(vec![])));
    assert_eq!(said(&mut *probe, LONG).await, "pass");
}

#[test]
fn wrong_files_are_reported_at_their_keys() {
    let (known, folder) = (Known::new(), Folder::new());
    let (one, other) = (known.authority.client("one"), known.authority.client("other"));
    let (certificate, key) = (folder.write("one.pem", &one.certificate), folder.write("one.key", &one.key));
    let other_key = folder.write("other.key", &other.key);
    let cases = [
        (SectionBuilder::new().text("ca_file", &key), "bad-certificate: the file holds no certificate"),
        (
            SectionBuilder::new().text("ca_file", folder.write("broken.pem", "-----BEGIN CERTIFICATE-----\nAA")),
            "bad-certificate: the file is not PEM all through",
        ),
        (SectionBuilder::new().text("cert_file", &certificate), "missing-key: `cert_file` needs `key_file`"),
        (SectionBuilder::new().text("key_file", &key), "missing-key: `key_file` needs `cert_file`"),
        (
            SectionBuilder::new().text("cert_file", &certificate).text("key_file", &other_key),
            "bad-certificate: the private key does not belong to the certificate",
        ),
        (
            SectionBuilder::new().text("cert_file", &certificate).text("key_file", &certificate),
            "bad-certificate: the file holds no private key",
        ),
        (SectionBuilder::new().text("server_name", "https://db"), "invalid-value: not a host name"),
    ];
    for (tls, expected) in cases {
        let problems = SectionBuilder::new().text("address", "db:1").section("tls", tls).read(&tcp::KIND).unwrap_err();
        assert_eq!(problems, [expected]);
    }
    let missing = SectionBuilder::new().text("ca_file", "/no/such/file");
    let problems = SectionBuilder::new().text("address", "db:1").section("tls", missing).read(&tcp::KIND).unwrap_err();
    assert_eq!(problems, ["unreadable-file: cannot read the file /no/such/file: no such file"]);
}

#[tokio::test]
async fn no_key_is_shown_by_what_holds_it() {
    let known = Known::new();
    let identity = known.authority.client("probelet");
    let tls = || {
        let certificate = known.folder.write("c.pem", &identity.certificate);
        known.tls().text("cert_file", certificate).text("key_file", known.folder.write("c.key", &identity.key))
    };
    let spec = SectionBuilder::new().text("address", "db:1").section("tls", tls()).read(&tcp::KIND).unwrap();
    assert_eq!(format!("{spec:?}"), r#"TcpSpec("db:1")"#);
}
