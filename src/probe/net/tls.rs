//! The section `tls` of a check, and the TLS client that comes of it: one rustls with ring for every kind.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::{ClientConfig, Resumption};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{AlertDescription, PeerIncompatible};
use tokio_rustls::TlsConnector;

pub use super::crypto::provider;
use super::metered::{MeteredStream, UNTIL_TOLD};
use super::presented::{Expiry, Identity, Presented};
use super::secured::{Secured, understood};
use super::verify::{Authorities, Trust, Verifier};
use super::{Network, failure};
use crate::base::clock::{Clock, Timestamp};
use crate::base::field::{Field, ValueType};
use crate::base::quantity::show_duration;
use crate::base::trace::{Phase, Trace};
use crate::base::value::Section;
use crate::model::outcome::{Failure, FailureKind};

/// The keys of a section `tls`.
pub const FIELDS: &[Field] = &[
    Field::optional(
        "ca_file",
        ValueType::Text,
        "Certificates (PEM) that may vouch for the server, instead of the machine's. The server's own certificate may \
         be among them. Keys may be RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519; signatures with SHA-1 are not \
         accepted. TLS is 1.3, or 1.2 with ECDHE and AES-GCM or ChaCha20 (no CBC, no RSA key exchange).",
    ),
    Field::optional("cert_file", ValueType::Text, "The certificate (PEM) to present to the server; needs `key_file`."),
    Field::optional("key_file", ValueType::Text, "The private key (PEM, not encrypted) of `cert_file`."),
    Field::optional(
        "server_name",
        ValueType::Text,
        "The name that the server's certificate must be for. Default: the host that is dialled.",
    ),
    Field::with_default(
        "insecure_skip_verify",
        ValueType::Bool,
        "false",
        "Accepts any certificate, whatever is wrong with it or its keys. The end of its validity is still reported.",
    ),
    Field::optional(
        "min_validity",
        ValueType::Duration { min: Duration::ZERO },
        "A certificate that expires sooner than this makes a pass degraded: the server's own or another of the chain that \
         it presents, whichever ends first.",
    ),
    Field::optional(
        "fails_below",
        ValueType::Duration { min: Duration::ZERO },
        "A certificate that expires sooner than this fails the check: of those presented, the one that ends first. It is \
         looked at when a connection is made.",
    ),
    Field::with_default(
        "min_version",
        ValueType::Word(&["1.2", "1.3"]),
        "1.2",
        "The oldest version of TLS that is spoken: `1.2` or `1.3`.",
    ),
];

/// How a check speaks TLS. The default trusts the machine's certificate authorities and presents nothing.
#[derive(Clone, Default)]
pub struct TlsSpec {
    trust: Trust,
    any_host: bool,
    identity: Option<Arc<CertifiedKey>>,
    server_name: Option<ServerName<'static>>,
    min_validity: Option<Duration>,
    fails_below: Option<Duration>,
    /// No older version is spoken.
    only_tls13: bool,
}

impl fmt::Debug for TlsSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsSpec")
    }
}

impl TlsSpec {
    /// Reads a section `tls`, its files included. Problems are reported at their keys.
    #[must_use]
    pub fn read(fields: &Section) -> Option<Self> {
        let (min_validity, fails_below) = (fields.duration("min_validity"), fields.duration("fails_below"));
        if min_validity.zip(fails_below).is_some_and(|(degrades, fails)| degrades <= fails) {
            let message = "`min_validity` has no effect: it is not above `fails_below`, below which the check fails";
            fields.warning("min_validity", "ineffective-key", message, Some("raise it, or remove it".into()));
        }
        let only_tls13 = fields.word("min_version") == Some("1.3");
        let mut spec = Self { min_validity, fails_below, only_tls13, ..Self::default() };
        let mut sound = true;
        if fields.text("ca_file").is_some() {
            match read_file(fields, "ca_file", |pem| spec.clone().trusting(pem)) {
                Some(trusting) => spec = trusting,
                None => sound = false,
            }
        }
        match (fields.text("cert_file").is_some(), fields.text("key_file").is_some()) {
            (true, true) => match read_identity(fields) {
                Some(identity) => spec.identity = Some(identity),
                None => sound = false,
            },
            (true, false) => {
                fields.error("cert_file", "missing-key", "`cert_file` needs `key_file`", None);
                sound = false;
            }
            (false, true) => {
                fields.error("key_file", "missing-key", "`key_file` needs `cert_file`", None);
                sound = false;
            }
            (false, false) => {}
        }
        if let Some(name) = fields.text("server_name").and_then(crate::base::value::Text::fixed) {
            if let Ok(name) = ServerName::try_from(name) {
                spec.server_name = Some(name);
            } else {
                let help = "write it as it stands in the certificate: `db.internal`, without scheme and port";
                fields.error("server_name", "invalid-value", "not a host name", Some(help.into()));
                sound = false;
            }
        }
        if fields.flag("insecure_skip_verify") == Some(true) {
            spec = spec.trusting_anyone();
        }
        sound.then_some(spec)
    }

    /// The same, trusting the certificates of this PEM file.
    ///
    /// # Errors
    /// What is wrong with the file, as a sentence.
    pub fn trusting(mut self, pem: &[u8]) -> Result<Self, String> {
        self.trust = Trust::These(Arc::new(Authorities::new(certificates_of(pem)?)?));
        Ok(self)
    }

    /// The same, accepting any certificate.
    #[must_use]
    pub fn trusting_anyone(mut self) -> Self {
        self.trust = Trust::Anyone;
        self
    }

    /// The same, accepting a certificate for any host, if it is to be trusted otherwise.
    #[must_use]
    pub const fn for_any_host(mut self) -> Self {
        self.any_host = true;
        self
    }

    /// The same, presenting this certificate.
    #[must_use]
    pub fn presenting(mut self, identity: Arc<CertifiedKey>) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The same, expecting a certificate for this name whatever host is dialled.
    #[must_use]
    pub fn expecting(mut self, name: ServerName<'static>) -> Self {
        self.server_name = Some(name);
        self
    }

    /// The same, expecting a certificate for the host that is dialled.
    #[must_use]
    pub fn expecting_the_host(mut self) -> Self {
        self.server_name = None;
        self
    }

    /// What to say of a pass that the end of a certificate makes degraded, if it does.
    #[must_use]
    pub fn warning(&self, expiry: Option<Expiry>) -> Option<String> {
        expiry_warning(expiry?, self.min_validity?, Clock::Machine.read().wall)
    }

    /// A client of its own, for one probe. The machine's certificate authorities are read when a server is first to be
    /// verified by them.
    ///
    /// # Panics
    /// Never: ring supports the protocol versions that are asked for.
    #[must_use]
    pub fn client(&self, network: &Network) -> TlsClient {
        let presented = Arc::new(Presented::default());
        let verifier = Verifier {
            trust: self.trust.clone(),
            any_host: self.any_host,
            machine: Arc::clone(&network.roots),
            name: self.server_name.clone(),
            presented: Arc::clone(&presented),
            provider: provider(),
        };
        let versions = if self.only_tls13 { &[&TLS13] } else { rustls::DEFAULT_VERSIONS };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("ring speaks TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let identity = Identity { certificate: self.identity.clone(), presented: Arc::clone(&presented) };
        let mut config = builder.with_client_cert_resolver(Arc::new(identity));
        // No session is remembered, so that every handshake shows the certificate anew.
        config.resumption = Resumption::disabled();
        // The host in the greeting would contradict a configured address.
        config.enable_sni = !matches!(self.server_name, Some(ServerName::IpAddress(_)));
        TlsClient {
            config: Arc::new(config),
            presented,
            server_name: self.server_name.clone(),
            min_validity: self.min_validity,
            fails_below: self.fails_below,
            only_tls13: self.only_tls13,
        }
    }
}

fn read_file<T>(fields: &Section, key: &str, read: impl FnOnce(&[u8]) -> Result<T, String>) -> Option<T> {
    let content = fields.file(key)?;
    match read(&content) {
        Ok(value) => Some(value),
        Err(message) => {
            fields.error(key, "bad-certificate", message, Some("the file must be PEM".into()));
            None
        }
    }
}

fn read_identity(fields: &Section) -> Option<Arc<CertifiedKey>> {
    let certificates = read_file(fields, "cert_file", certificates_of);
    let key = read_file(fields, "key_file", key_of);
    match identity_of(certificates?, key?) {
        Ok(identity) => Some(identity),
        Err(message) => {
            fields.error("key_file", "bad-certificate", message, None);
            None
        }
    }
}

/// The certificates of a PEM file.
///
/// # Errors
/// What is wrong with the file, as a sentence.
pub fn certificates_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("the file holds no certificate".into()),
        Ok(certificates) => Ok(certificates),
        Err(_) => Err("the file is not PEM all through".into()),
    }
}

/// The private key of a PEM file.
///
/// # Errors
/// What is wrong with the file, as a sentence.
pub fn key_of(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    if let Ok(key) = PrivateKeyDer::from_pem_slice(pem) {
        return Ok(key);
    }
    let is_encrypted = pem.windows(9).any(|window| window == b"ENCRYPTED");
    Err(if is_encrypted { "the private key is encrypted" } else { "the file holds no private key" }.into())
}

/// A certificate with its chain and its private key, ready to be presented.
///
/// # Errors
/// When the key cannot be used or is another certificate's, as a sentence.
pub fn identity_of(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, String> {
    match CertifiedKey::from_der(certificates, key, &provider()) {
        Ok(identity) => Ok(Arc::new(identity)),
        Err(rustls::Error::InconsistentKeys(_)) => Err("the private key does not belong to the certificate".into()),
        Err(_) => Err("the private key is of a kind that cannot be used".into()),
    }
}

/// No handshake is longer than this: rustls takes messages of up to 64 KiB, of which a handshake has a handful.
const LONGEST_HANDSHAKE: usize = 256 << 10;

/// Speaks TLS for one probe, and remembers what it was shown last.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    presented: Arc<Presented>,
    server_name: Option<ServerName<'static>>,
    min_validity: Option<Duration>,
    fails_below: Option<Duration>,
    only_tls13: bool,
}

impl TlsClient {
    /// The earliest end of validity in the chain that was presented last, in failed handshakes too.
    #[must_use]
    pub fn expiry(&self) -> Option<Expiry> {
        self.presented.expiry()
    }

    /// What to say of a pass that the end of the certificate makes degraded, if it does.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        expiry_warning(self.expiry()?, self.min_validity?, Clock::Machine.read().wall)
    }

    /// What a library that shakes hands by itself is to go by.
    #[must_use]
    pub fn config(&self) -> ClientConfig {
        ClientConfig::clone(&self.config)
    }

    /// The same, asking for this protocol in the handshake (RFC 7301).
    #[must_use]
    pub fn speaking(self, protocol: &[u8]) -> Self {
        self.speaking_one_of(&[protocol])
    }

    /// The same, asking for one of these protocols, the first that the server knows too.
    #[must_use]
    pub fn speaking_one_of(mut self, protocols: &[&[u8]]) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        self
    }

    /// Shakes hands with the server behind `stream`, which was dialled as `host`. Returns the stream and the earliest
    /// end of validity in the chain of the server's certificate.
    ///
    /// # Errors
    /// A failure of the kind `tls`, with the end of validity where a certificate was seen; one that ends too soon to be
    /// accepted is one, too.
    pub async fn handshake(
        &self,
        host: &str,
        stream: MeteredStream,
        trace: &Trace,
    ) -> Result<(Secured, Option<Timestamp>), Failure> {
        trace.enter(Phase::Tls);
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => server_name_of(host)?,
        };
        self.presented.begin();
        let meter = Arc::clone(stream.meter());
        meter.allow("the TLS handshake", LONGEST_HANDSHAKE);
        let connected = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await;
        let not_after = self.expiry().map(|expiry| expiry.at);
        match connected {
            Ok(stream) => match self.ends_too_soon() {
                Some(failure) => Err(failure),
                None => {
                    meter.allow("the answer", UNTIL_TOLD);
                    Ok((Secured::new(stream, Arc::clone(&self.presented)), not_after))
                }
            },
            Err(error) => {
                let error = understood(error, &self.presented);
                Err(self.too_old(&error).unwrap_or_else(|| of_handshake(failure::of_io(&error))))
            }
        }
        .map_err(|mut failure| {
            failure.facts.tls_not_after = not_after;
            failure
        })
    }

    /// The failure that the end of the certificate is, if it is one.
    fn ends_too_soon(&self) -> Option<Failure> {
        let (fails_below, expiry, now) = (self.fails_below?, self.expiry()?, Clock::Machine.read().wall);
        let words = expiry_warning(expiry, fails_below, now)?;
        let message = if expiry.at > now {
            format!("{words}, and `fails_below` is {}", show_duration(fails_below))
        } else {
            words
        };
        Some(Failure::new(FailureKind::Tls, message))
    }

    /// The failure that the version of TLS is, where this speaks a new one alone.
    fn too_old(&self, error: &io::Error) -> Option<Failure> {
        let is_too_old = matches!(
            failure::find::<rustls::Error>(error)?,
            rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
                | rustls::Error::PeerIncompatible(
                    PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                        | PeerIncompatible::ServerDoesNotSupportTls12Or13
                )
        );
        let message = "server does not speak TLS 1.3, which `min_version` asks for";
        (self.only_tls13 && is_too_old).then(|| Failure::new(FailureKind::Tls, message).with_detail(error.to_string()))
    }
}

/// The name by which the server at `host` is verified.
///
/// # Errors
/// When no certificate can be for it.
pub fn server_name_of(host: &str) -> Result<ServerName<'static>, Failure> {
    if let Some(address) = super::literal(host) {
        return Ok(ServerName::from(address));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    ServerName::try_from(name.to_owned())
        .map_err(|_| Failure::new(FailureKind::Tls, "no certificate can be for a host of this name"))
}

/// A connection that breaks in the handshake is the handshake's failure: servers that refuse TLS, or a client
/// certificate, often just hang up.
fn of_handshake(failure: Failure) -> Failure {
    let message = match (failure.kind, failure.message.as_str()) {
        // The meter's words.
        (FailureKind::Protocol, _) => return Failure { kind: FailureKind::Tls, ..failure },
        (FailureKind::Connect, "connection reset") => "connection reset in the TLS handshake",
        (FailureKind::Connect, _) => "connection closed in the TLS handshake",
        _ => return failure,
    };
    Failure { kind: FailureKind::Tls, message: message.into(), ..failure }
}

fn expiry_warning(expiry: Expiry, min_validity: Duration, now: Timestamp) -> Option<String> {
    let whose = if expiry.of_issuer { "the certificate of an issuer" } else { "certificate" };
    let left = expiry.at.whole_seconds().saturating_sub(now.whole_seconds());
    let Ok(left) = u64::try_from(left) else { return Some(format!("{whose} has expired")) };
    let left = Duration::from_secs(left);
    let days = left.as_secs() / 86_400;
    (left < min_validity).then(|| match days {
        0 | 1 => format!("{whose} expires in {}", show_duration(left)),
        days => format!("{whose} expires in {days}d"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_ends_too_soon_is_told_in_days() {
        let now = Timestamp::from_unix_seconds(1_000_000);
        let fortnight = Duration::from_secs(14 * 86_400);
        let cases = [
            (14 * 86_400, None),
            (14 * 86_400 - 1, Some("certificate expires in 13d")),
            (6 * 86_400 + 7_200, Some("certificate expires in 6d")),
            (90_000, Some("certificate expires in 1d1h")),
            (59, Some("certificate expires in 59s")),
            (-1, Some("certificate has expired")),
        ];
        for (left, expected) in cases {
            let at = Timestamp::from_unix_seconds(1_000_000 + left);
            let warning = expiry_warning(Expiry { at, of_issuer: false }, fortnight, now);
            assert_eq!(warning.as_deref(), expected, "{left}");
            let warning = expiry_warning(Expiry { at, of_issuer: true }, fortnight, now);
            assert_eq!(
                warning,
                expected.map(|words| format!("the {}", words.replace("certificate", "certificate of an issuer")))
            );
        }
    }

    #[test]
    fn a_server_is_verified_as_what_was_dialled() {
        assert_eq!(server_name_of("[::1]").unwrap(), ServerName::try_from("::1").unwrap());
        assert_eq!(server_name_of("db.internal.").unwrap(), ServerName::try_from("db.internal").unwrap());
        assert_eq!(server_name_of("not a name").unwrap_err().kind, FailureKind::Tls);
    }

    #[test]
    fn pem_files_are_told_what_is_wrong_with_them() {
        assert_eq!(certificates_of(b"").unwrap_err(), "the file holds no certificate");
        assert_eq!(
            certificates_of(b"-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap_err(),
            "the file is not PEM all through"
        );
        assert_eq!(key_of(b"nothing").unwrap_err(), "the file holds no private key");
        let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert_eq!(key_of(encrypted).unwrap_err(), "the private key is encrypted");
    }
}
