//! Whom a TLS client trusts, and what it notes of the certificate that it was shown.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use super::crypto::provider;
use super::presented::{Presented, validity};
use super::refusal::{Refusal, explained, unusable_key};
use super::signatures;
use crate::model::outcome::Failure;
use crate::probe::exhausted;

/// Who may vouch for a server.
#[derive(Clone, Default)]
pub(super) enum Trust {
    /// The machine's certificate authorities.
    #[default]
    Machine,
    /// The certificates of a `ca_file`.
    These(Arc<Authorities>),
    /// Anybody.
    Anyone,
}

/// The certificates of a `ca_file`.
pub(super) struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Authorities {
    /// Certificates to trust; the error says which of them cannot be used.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            roots
                .add(certificate.clone())
                .map_err(|_| format!("certificate {} of the file cannot be read", index + 1))?;
        }
        let verifier = verifier_of(roots).ok_or("the file holds no certificate")?;
        Ok(Self { certificates, verifier })
    }
}

fn verifier_of(roots: RootCertStore) -> Option<Arc<WebPkiServerVerifier>> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().ok()
}

/// The machine's certificate authorities, read once, when the first server is to be verified by them.
#[derive(Default)]
pub(super) struct MachineRoots(OnceLock<Option<Arc<WebPkiServerVerifier>>>);

impl MachineRoots {
    pub(super) fn fixed(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        Self(OnceLock::from(verifier_of(roots)))
    }

    fn verifier(&self) -> Result<&Arc<WebPkiServerVerifier>, rustls::Error> {
        let verifier = match self.0.get() {
            Some(verifier) => verifier,
            None => {
                let loaded = rustls_native_certs::load_native_certs();
                if let Some(used_up) = used_up(&loaded.errors) {
                    // What could not be read now is read by the next run.
                    return Err(rustls::Error::Other(OtherError(Arc::new(RootsUnread(used_up)))));
                }
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(loaded.certs);
                self.0.get_or_init(|| verifier_of(roots))
            }
        };
        verifier.as_ref().ok_or_else(|| rustls::Error::Other(OtherError(Arc::new(NoRoots))))
    }
}

impl fmt::Debug for MachineRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineRoots")
    }
}

/// What was used up of our own when the machine's authorities were read, if that is why they were not.
fn used_up(errors: &[rustls_native_certs::Error]) -> Option<Failure> {
    errors.iter().find_map(|error| match &error.kind {
        rustls_native_certs::ErrorKind::Io { inner, .. } => exhausted::of_io(inner),
        _ => None,
    })
}

/// The machine's certificate authorities could not be read for want of something of our own.
#[derive(Debug)]
pub(super) struct RootsUnread(pub(super) Failure);

impl fmt::Display for RootsUnread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the CA certificates could not be read")
    }
}

impl std::error::Error for RootsUnread {}

/// The machine has no certificate authorities.
#[derive(Debug)]
pub(super) struct NoRoots;

impl fmt::Display for NoRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no CA certificates on this machine")
    }
}

impl std::error::Error for NoRoots {}

/// Verifies a server by a [`Trust`], under the name of the configuration where there is one.
pub(super) struct Verifier {
    pub(super) trust: Trust,
    pub(super) any_host: bool,
    pub(super) machine: Arc<MachineRoots>,
    pub(super) name: Option<ServerName<'static>>,
    pub(super) presented: Arc<Presented>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        dialled: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.presented.note(end_entity, intermediates);
        let name = self.name.as_ref().unwrap_or(dialled);
        signatures::begin();
        let verified = match &self.trust {
            Trust::Anyone => return Ok(ServerCertVerified::assertion()),
            Trust::Machine => {
                self.machine.verifier()?.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
            }
            Trust::These(authorities) => authorities
                .verifier
                .verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
                .or_else(|error| {
                    if authorities.certificates.contains(end_entity) {
                        verify_pinned(end_entity, name, now, error)
                    } else {
                        Err(error)
                    }
                }),
        };
        let verified = match verified {
            // The name is looked at last, when everything else is in order.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.any_host => Ok(ServerCertVerified::assertion()),
            verified => verified,
        };
        if verified.is_err() && signatures::were_too_many() {
            let words = format!("the chain of certificates takes {} signatures and more to verify", signatures::MOST);
            return Err(Refusal(words).into());
        }
        let presented: Vec<_> = std::iter::once(end_entity).chain(intermediates).collect();
        let verified = verified.map_err(|error| explained(error, &presented))?;
        unusable_key(end_entity).map_or(Ok(verified), |refusal| Err(refusal.into()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.proven(|| {
            verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
        })
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.proven(|| {
            verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.provider.signature_verification_algorithms.supported_schemes();
        if matches!(self.trust, Trust::Anyone) {
            schemes.extend(UNVERIFIED);
        }
        schemes
    }
}

/// What a server may sign with as well when nobody verifies it: Ed448, RSA-PSS with a key for that alone (RFC 8446,
/// section 4.2.3), the curves of Brainpool (RFC 8734), and SHA-1 in TLS 1.2.
const UNVERIFIED: [SignatureScheme; 9] = [
    SignatureScheme::ED448,
    SignatureScheme::Unknown(0x0809),
    SignatureScheme::Unknown(0x080a),
    SignatureScheme::Unknown(0x080b),
    SignatureScheme::Unknown(0x081a),
    SignatureScheme::Unknown(0x081b),
    SignatureScheme::Unknown(0x081c),
    SignatureScheme::ECDSA_SHA1_Legacy,
    SignatureScheme::RSA_PKCS1_SHA1,
];

impl Verifier {
    /// Whether the handshake proves that the certificate is the server's own. Where any certificate will do there is
    /// nothing to prove, and the certificate may be one that cannot be read.
    fn proven(
        &self,
        verify: impl FnOnce() -> Result<HandshakeSignatureValid, rustls::Error>,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.trust {
            Trust::Anyone => Ok(HandshakeSignatureValid::assertion()),
            _ => verify().map_err(|error| match error {
                rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
                    Refusal("the server cannot prove that the certificate is its own".into()).into()
                }
                error => error,
            }),
        }
    }
}

/// A server whose own certificate stands in the `ca_file`. When it also claims to be a CA, as `openssl req -x509`
/// makes it, webpki refuses it as a server's; other clients accept it, and so does this, by name and dates.
fn verify_pinned(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
    refusal: rustls::Error,
) -> Result<ServerCertVerified, rustls::Error> {
    if !matches!(
        refusal,
        rustls::Error::InvalidCertificate(CertificateError::Other(_) | CertificateError::UnknownIssuer)
    ) {
        return Err(refusal);
    }
    let (start, end) = validity(certificate).ok_or(CertificateError::BadEncoding)?;
    if now < start {
        return Err(CertificateError::NotValidYetContext { time: now, not_before: start }.into());
    }
    if now > end {
        return Err(CertificateError::ExpiredContext { time: now, not_after: end }.into());
    }
    let parsed = rustls::server::ParsedCertificate::try_from(certificate)?;
    rustls::client::verify_server_name(&parsed, name)?;
    Ok(ServerCertVerified::assertion())
}
