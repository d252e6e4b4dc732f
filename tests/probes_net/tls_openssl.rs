//! TLS against OpenSSL's server, with what the library of the other tests does not make: old and rare certificates, and
//! servers that take no more than something old.

use probelet::base::value::Value;
use probelet::probe::{http, tcp};

use crate::openssl::Workshop;
use crate::section::SectionBuilder;
use crate::webservers::WebServer;
use crate::{LONG, said};

const RSA: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
const SHORT_RSA: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:1024";
const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
const P384: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-384";
const P521: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-521";
const NAMED: &str = "subjectAltName=DNS:localhost";

async fn probe(port: u16, tls: SectionBuilder) -> String {
    let url = format!("https://localhost:{port}/");
    said(&mut *SectionBuilder::new().text("url", url).section("tls", tls).probe(&http::KIND), LONG).await
}

/// What a probe says of a server that presents `name` and is told `more`, when it trusts `ca`.
async fn trusting(workshop: &Workshop, ca: &str, name: &str, more: &str) -> String {
    let (port, _server) = workshop.serve(name, more);
    probe(port, SectionBuilder::new().text("ca_file", workshop.path(&format!("{ca}.pem")))).await
}

async fn skipping(workshop: &Workshop, name: &str, more: &str) -> String {
    let (port, _server) = workshop.serve(name, more);
    probe(port, SectionBuilder::new().with("insecure_skip_verify", Value::Bool(true))).await
}

#[tokio::test]
async fn what_ring_does_not_verify_is_verified() {
    let workshop = Workshop::new();
    for (curve, name) in [(P521, "p521"), (P384, "p384"), (P256, "p256")] {
        for hash in ["sha256", "sha384", "sha512"] {
            let name = format!("{name}-{hash}");
            workshop.self_signed(&name, curve, &format!("-{hash}"));
            assert_eq!(trusting(&workshop, &name, &name, "").await, "pass", "{name} as a server's own");
            workshop.signed("leaf", RSA, &name, NAMED, &format!("-{hash}"));
            assert_eq!(trusting(&workshop, &name, "leaf", "").await, "pass", "{name} as a CA");
        }
    }
    for more in ["-tls1_2", "-tls1_3", "-tls1_2 -groups P-521", "-tls1_3 -groups P-521"] {
        assert_eq!(trusting(&workshop, "p521-sha512", "p521-sha512", more).await, "pass", "{more}");
    }
    // One whose key is another: its name alone says that it is trusted.
    workshop.self_signed("other", P521, "-sha512");
    workshop.signed("leaf", P521, "other", NAMED, "-sha512");
    assert_eq!(trusting(&workshop, "p521-sha512", "leaf", "").await, "tls: certificate has a wrong signature");
}

#[tokio::test]
async fn what_is_not_verified_is_named() {
    let workshop = Workshop::new();
    workshop.self_signed("ca", RSA, "no-names");
    workshop.self_signed("short-ca", SHORT_RSA, "no-names");
    let old = "-cipher DEFAULT@SECLEVEL=0";
    workshop.signed("short", SHORT_RSA, "ca", NAMED, "");
    workshop.signed("by-short", RSA, "short-ca", NAMED, "");
    workshop.signed("sha1", P256, "ca", NAMED, "-sha1");
    workshop.signed("version-1", P256, "ca", "", "");
    workshop.signed("nameless", P256, "ca", "basicConstraints=CA:FALSE", "");
    workshop.signed("no-ca", P256, "ca", "basicConstraints=CA:FALSE", "");
    workshop.signed("by-no-ca", P256, "no-ca", NAMED, "");
    let not_a_ca = format!("-cert_chain {}", workshop.path("no-ca.pem"));
    for (ca, name, more, expected) in [
        ("ca", "short", old, "certificate has an RSA key of 1024 bits: fewer than 2048 are not accepted"),
        (
            "short-ca",
            "by-short",
            old,
            "certificate is signed with an RSA key of 1024 bits: fewer than 2048 are not accepted",
        ),
        ("ca", "sha1", old, "certificate is signed with RSA with SHA-1, which is not supported"),
        ("ca", "version-1", "", "certificate is of X.509 version 1: version 3 is needed"),
        (
            "ca",
            "nameless",
            "",
            "certificate names its host in the common name alone: it needs a subject alternative name",
        ),
        ("ca", "by-no-ca", not_a_ca.as_str(), "the certificate of an issuer is not meant for a CA"),
    ] {
        assert_eq!(trusting(&workshop, ca, name, more).await, format!("tls: {expected}"), "{name}");
    }
}

#[tokio::test]
async fn any_certificate_is_any_certificate() {
    let workshop = Workshop::new();
    workshop.self_signed("ca", RSA, "");
    workshop.self_signed("p521", P521, "");
    workshop.self_signed("short", SHORT_RSA, "-sha1");
    workshop.self_signed("ed448", "-algorithm ED448", "");
    workshop.self_signed("pss", "-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048", "");
    workshop.signed("version-1", P256, "ca", "", "");
    let old = "-cipher DEFAULT@SECLEVEL=0";
    for (name, more) in [
        ("p521", ""),
        ("short", old),
        ("short", "-tls1_2 -cipher DEFAULT@SECLEVEL=0"),
        ("ed448", ""),
        ("p521", "-tls1_2"),
        ("pss", ""),
        ("version-1", ""),
        ("version-1", "-tls1_2"),
    ] {
        assert_eq!(skipping(&workshop, name, more).await, "pass", "{name} {more}");
    }
    for name in ["ed448", "pss"] {
        let expected = "tls: server signs with an algorithm that is not supported in TLS 1.2";
        assert_eq!(skipping(&workshop, name, "-tls1_2").await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_server_with_nothing_in_common_is_called_so() {
    let workshop = Workshop::new();
    workshop.self_signed("rsa", RSA, "");
    workshop.self_signed("ed448", "-algorithm ED448", "");
    for (name, more) in [
        ("rsa", "-tls1_2 -cipher ECDHE-RSA-AES128-SHA256"),
        ("rsa", "-tls1_2 -cipher AES128-GCM-SHA256"),
        ("rsa", "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256"),
        ("rsa", "-tls1_1 -cipher DEFAULT@SECLEVEL=0"),
        ("ed448", ""),
    ] {
        let expected = "tls: no TLS version or cipher in common with the server";
        assert_eq!(trusting(&workshop, "rsa", name, more).await, expected, "{name} {more}");
    }
}

#[tokio::test]
async fn an_old_version_is_not_spoken_where_a_new_one_is_asked_for() {
    let workshop = Workshop::new();
    workshop.self_signed("rsa", RSA, "");
    let too_old = "tls: server does not speak TLS 1.3, which `min_version` asks for";
    let nothing = "tls: no TLS version or cipher in common with the server";
    for (server, at_least_12, at_least_13) in [
        ("-tls1_2", "pass", too_old),
        ("-tls1_3", "pass", "pass"),
        ("", "pass", "pass"),
        ("-tls1_1 -cipher DEFAULT@SECLEVEL=0", nothing, too_old),
    ] {
        let (port, _server) = workshop.serve("rsa", server);
        for (version, expected) in [("1.2", at_least_12), ("1.3", at_least_13)] {
            let tls = SectionBuilder::new().text("ca_file", workshop.path("rsa.pem"));
            let tls = tls.with("min_version", Value::Word(version));
            assert_eq!(probe(port, tls).await, expected, "`{server}`, at least {version}");
        }
    }
}

/// What a connection over which nothing is expected says, as often as it takes to hear `refusal`: a server that is
/// slow to refuse has not been heard.
async fn heard(port: u16, tls: impl Fn() -> SectionBuilder, sent: &str, refusal: &str) -> String {
    let mut last = String::new();
    for _ in 0..20 {
        let section = SectionBuilder::new().text("address", format!("localhost:{port}")).text("send", sent);
        last = said(&mut *section.section("tls", tls()).probe(&tcp::KIND), LONG).await;
        if last == refusal {
            break;
        }
    }
    last
}

fn presenting(workshop: &Workshop, tls: SectionBuilder, name: &str) -> SectionBuilder {
    let file = |ending| workshop.path(&format!("{name}.{ending}"));
    tls.text("cert_file", file("pem")).text("key_file", file("key"))
}

const WANTS: &str = "tls: server wants a client certificate";
const REJECTS: &str = "tls: server rejects the client certificate";

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_is_called_so_in_each_version() {
    let workshop = Workshop::new();
    workshop.self_signed("rsa", RSA, "");
    workshop.self_signed("stranger", P256, "");
    for version in ["-tls1_2", "-tls1_3"] {
        let more = format!("{version} -Verify 1 -verify_return_error -CAfile {}", workshop.path("rsa.pem"));
        let (port, _server) = workshop.serve("rsa", &more);
        let tls = || SectionBuilder::new().text("ca_file", workshop.path("rsa.pem"));
        let with = |name: &str| presenting(&workshop, tls(), name);
        assert_eq!(probe(port, tls()).await, WANTS, "{version}");
        assert_eq!(probe(port, with("stranger")).await, REJECTS, "{version}");
        assert_eq!(probe(port, with("rsa")).await, "pass", "{version}");
        for sent in ["", "PING\r\n"] {
            assert_eq!(heard(port, tls, sent, WANTS).await, WANTS, "{version}");
            assert_eq!(heard(port, || with("stranger"), sent, REJECTS).await, REJECTS, "{version}");
            assert_eq!(heard(port, || with("rsa"), sent, "pass").await, "pass", "{version}");
        }
        // One that does without.
        let (port, _server) = workshop.serve("rsa", &format!("{version} -verify 1"));
        assert_eq!(heard(port, tls, "", "pass").await, "pass", "{version}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_on_a_stranger_s_certificate_has_refused_it() {
    let workshop = Workshop::new();
    workshop.self_signed("rsa", RSA, "");
    workshop.self_signed("stranger", P256, "");
    let [key, cert] =
        ["key", "pem"].map(|ending| std::fs::read_to_string(workshop.path(&format!("rsa.{ending}"))).unwrap());
    let script = "const tls = require('tls'), key = require('fs').readFileSync('key'), cert = require('fs').readFileSync('cert');\n\
                  const listen = (port, more) => tls.createServer({ key, cert, ca: cert, requestCert: true, ...more }).listen(port, '127.0.0.1');\n\
                  listen(PORT0, { maxVersion: 'TLSv1.2' }); listen(PORT1, {}); listen(PORT2, { rejectUnauthorized: false });";
    let node = WebServer::node(script, &[("key", &key), ("cert", &cert)]);
    let tls = || SectionBuilder::new().text("ca_file", workshop.path("rsa.pem"));
    let with = |name: &str| presenting(&workshop, tls(), name);
    let hung_up = [
        "tls: connection closed in the TLS handshake",
        "tls: connection closed after the TLS handshake, in which the server asked for a client certificate",
    ];
    for (port, hung_up) in node.ports.iter().zip(hung_up) {
        assert_eq!(heard(*port, tls, "", WANTS).await, WANTS);
        assert_eq!(heard(*port, || with("stranger"), "", hung_up).await, hung_up);
        assert_eq!(heard(*port, || with("rsa"), "", "pass").await, "pass");
    }
    for name in ["rsa", "stranger"] {
        assert_eq!(heard(node.ports[2], || with(name), "", "pass").await, "pass", "{name}");
    }
}
