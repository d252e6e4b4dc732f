//! What a handshake showed: the ends of the certificates of a server, and whether it asked for one of ours.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, SignatureScheme};
use x509_cert::der::Decode;

use crate::base::clock::Timestamp;

/// The earliest end of validity in the chain of certificates that a server presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    /// The end.
    pub at: Timestamp,
    /// It is that of an issuer, and the server's own certificate lasts longer.
    pub of_issuer: bool,
}

/// What was shown in the last handshake, shared between the verifier and the probe that reports it.
#[derive(Debug, Default)]
pub(super) struct Presented(Mutex<Shown>);

#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    /// The server has presented certificates.
    certificates: bool,
    expiry: Option<Expiry>,
    /// The server has asked for a certificate of ours, and whether it got one.
    asked: Option<bool>,
}

impl Presented {
    /// A handshake begins.
    pub(super) fn begin(&self) {
        *self.shown() = Shown::default();
    }

    pub(super) fn expiry(&self) -> Option<Expiry> {
        self.shown().expiry
    }

    /// Whether the server has asked for a certificate of ours.
    pub(super) fn was_asked(&self) -> bool {
        self.shown().asked.is_some()
    }

    /// Notes the certificates of a server, its own first.
    pub(super) fn note(&self, end_entity: &CertificateDer<'_>, issuers: &[CertificateDer<'_>]) {
        let end = |certificate, of_issuer| {
            let (_, end) = validity(certificate)?;
            let at = Timestamp::from_unix_seconds(i64::try_from(end.as_secs()).unwrap_or(i64::MAX));
            Some(Expiry { at, of_issuer })
        };
        let issuers = issuers.iter().filter_map(|certificate| end(certificate, true));
        let mut shown = self.shown();
        shown.certificates = true;
        shown.expiry = end(end_entity, false).into_iter().chain(issuers).min();
    }

    /// What an alert of the server means at this point. Few servers say of a missing certificate that it is missing,
    /// and before a server has shown its own it fails a handshake because it has nothing in common with us (RFC 5246,
    /// section 7.2.2).
    pub(super) fn meaning(&self, alert: AlertDescription) -> AlertDescription {
        use AlertDescription as Alert;
        let refuses = matches!(
            alert,
            Alert::HandshakeFailure
                | Alert::NoCertificate
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
        );
        match *self.shown() {
            Shown { asked: Some(false), .. } if refuses => Alert::CertificateRequired,
            Shown { asked: Some(true), .. } if alert == Alert::HandshakeFailure => Alert::BadCertificate,
            Shown { certificates: false, .. } if alert == Alert::HandshakeFailure => Alert::InsufficientSecurity,
            _ => alert,
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first and the last moment at which a certificate is valid.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Option<(UnixTime, UnixTime)> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate().validity();
    let at = |time: x509_cert::time::Time| UnixTime::since_unix_epoch(time.to_unix_duration());
    Some((at(validity.not_before), at(validity.not_after)))
}

/// Gives a server that asks for a certificate the one there is, and notes that it has asked.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) certificate: Option<Arc<CertifiedKey>>,
    pub(super) presented: Arc<Presented>,
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.presented.shown().asked = Some(self.certificate.is_some());
        self.certificate.clone()
    }

    fn has_certs(&self) -> bool {
        self.certificate.is_some()
    }
}
