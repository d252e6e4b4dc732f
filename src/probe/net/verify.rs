//! Whom a TLS client trusts, and what it notes of the certificate that it was shown.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use x509_cert::der::Decode;

use super::tls::provider;
use crate::base::clock::Timestamp;

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
        let verifier = self.0.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            verifier_of(roots)
        });
        verifier.as_ref().ok_or_else(|| rustls::Error::Other(OtherError(Arc::new(NoRoots))))
    }
}

impl fmt::Debug for MachineRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineRoots")
    }
}

/// The machine has no certificate authorities.
#[derive(Debug)]
pub(super) struct NoRoots;

impl fmt::Display for NoRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no CA certificates on this machine")
    }
}

impl std::error::Error for NoRoots {}

/// The end of validity of the certificate that was shown last, shared between a verifier and whoever reports it.
#[derive(Debug)]
pub(super) struct Presented(AtomicI64);

impl Default for Presented {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl Presented {
    pub(super) fn not_after(&self) -> Option<Timestamp> {
        match self.0.load(Ordering::Relaxed) {
            i64::MIN => None,
            seconds => Some(Timestamp::from_unix_seconds(seconds)),
        }
    }

    fn note(&self, certificate: &CertificateDer<'_>) {
        let end = validity(certificate).map_or(i64::MIN, |(_, end)| i64::try_from(end.as_secs()).unwrap_or(i64::MAX));
        self.0.store(end, Ordering::Relaxed);
    }
}

/// The first and the last moment at which a certificate is valid.
fn validity(certificate: &CertificateDer<'_>) -> Option<(UnixTime, UnixTime)> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate().validity();
    let at = |time: x509_cert::time::Time| UnixTime::since_unix_epoch(time.to_unix_duration());
    Some((at(validity.not_before), at(validity.not_after)))
}

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
        self.presented.note(end_entity);
        let name = self.name.as_ref().unwrap_or(dialled);
        let verified = match &self.trust {
            Trust::Anyone => Ok(ServerCertVerified::assertion()),
            Trust::Machine => {
                self.machine.verifier()?.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
            }
            Trust::These(authorities) => authorities
                .verifier
                .verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
                .or_else(|error| match authorities.certificates.contains(end_entity) {
                    true => verify_pinned(end_entity, name, now, error),
                    false => Err(error),
                }),
        };
        match verified {
            // The name is looked at last, when everything else is in order.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.any_host => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
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
