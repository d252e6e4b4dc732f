//! Words for what goes wrong between here and a server, the same for every kind and free of names and addresses.

use std::error::Error;
use std::io;
use std::iter;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, PeerMisbehaved};

use super::metered::TooLong;
use super::refusal::Refusal;
use super::verify::{NoRoots, RootsUnread};
use crate::model::outcome::{Failure, FailureKind};
use crate::probe::exhausted;

/// The failure that an error is about, found along its chain of sources: the meter's, TLS's or the system's. Nothing
/// when the chain holds none of them; the error is then the client library's own.
#[must_use]
pub fn of_chain(error: &(dyn Error + 'static)) -> Option<Failure> {
    if let Some(too_long) = find::<TooLong>(error) {
        return Some(too_long.failure());
    }
    if let Some(error) = find::<rustls::Error>(error) {
        return Some(of_tls(error));
    }
    find::<io::Error>(error).map(of_io)
}

/// The failure that an I/O error means, or the TLS error inside it.
#[must_use]
pub fn of_io(error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    if let Some(inner) = error.get_ref()
        && let Some(failure) = of_chain(inner)
    {
        return failure;
    }
    if let Some(used_up) = exhausted::of_io(error) {
        return used_up;
    }
    let (kind, message) = match error.kind() {
        Kind::ConnectionRefused => (FailureKind::Connect, "connection refused"),
        Kind::ConnectionReset => (FailureKind::Connect, "connection reset"),
        Kind::ConnectionAborted | Kind::BrokenPipe | Kind::NotConnected => (FailureKind::Connect, "connection closed"),
        Kind::UnexpectedEof => (FailureKind::Connect, "connection closed before the answer was complete"),
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => (FailureKind::Connect, "no route"),
        Kind::TimedOut => (FailureKind::Connect, "no answer from the network"),
        Kind::AddrNotAvailable => (FailureKind::Connect, "this machine has no address to connect from"),
        Kind::PermissionDenied => (FailureKind::Connect, "the system does not permit the connection"),
        Kind::InvalidData | Kind::InvalidInput => (FailureKind::Protocol, "the answer breaks the protocol"),
        _ => (FailureKind::Connect, "connection failed"),
    };
    let failure = Failure::new(kind, message);
    // Only the system's own line: what a library wrote may hold a piece of the answer.
    match error.raw_os_error() {
        Some(_) => failure.with_detail(error.to_string()),
        None => failure,
    }
}

const NO_TLS: &str = "server does not speak TLS";

/// The same failure, with what to write where the server does not speak TLS.
#[must_use]
pub fn or_without_tls(failure: Failure, help: &str) -> Failure {
    if failure.message != NO_TLS {
        return failure;
    }
    Failure { message: format!("{NO_TLS}: {help}"), ..failure }
}

/// The failure that a TLS error means.
#[must_use]
pub fn of_tls(error: &rustls::Error) -> Failure {
    use rustls::Error as Tls;
    if let Tls::Other(other) = error
        && let Some(failure) = other.0.downcast_ref::<RootsUnread>()
    {
        return failure.0.clone();
    }
    let message = match error {
        Tls::InvalidCertificate(CertificateError::Other(other))
            if let Some(refusal) = other.0.downcast_ref::<Refusal>() =>
        {
            &refusal.0
        }
        Tls::InvalidCertificate(error) => of_certificate(error),
        Tls::InvalidMessage(_) | Tls::InappropriateMessage { .. } => NO_TLS,
        Tls::PeerMisbehaved(PeerMisbehaved::SignedKxWithWrongAlgorithm) => {
            "server signs with an algorithm that is not supported in TLS 1.2"
        }
        Tls::InappropriateHandshakeMessage { .. } | Tls::PeerMisbehaved(_) | Tls::PeerSentOversizedRecord => {
            "server breaks the TLS protocol"
        }
        Tls::PeerIncompatible(_) => "no TLS version or cipher in common with the server",
        Tls::NoCertificatesPresented => "server presents no certificate",
        Tls::AlertReceived(alert) => of_alert(*alert),
        Tls::Other(other) if other.0.is::<NoRoots>() => {
            "this machine has no CA certificates: mount a bundle or set `tls.ca_file`"
        }
        _ => "TLS handshake failed",
    };
    Failure::new(FailureKind::Tls, message).with_detail(error.to_string())
}

fn of_certificate(error: &CertificateError) -> &'static str {
    use CertificateError as Certificate;
    match error {
        Certificate::Expired | Certificate::ExpiredContext { .. } => "certificate has expired",
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => "certificate is not valid yet",
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => "certificate is for another host",
        Certificate::UnknownIssuer => "certificate is self-signed or from an unknown issuer",
        Certificate::BadSignature => "certificate has a wrong signature",
        Certificate::Revoked => "certificate is revoked",
        Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
            "certificate is not meant for a server"
        }
        // rustls reports a self-signed certificate that claims to be a CA in this way.
        Certificate::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "certificate is self-signed or from an unknown issuer"
        }
        _ => "certificate is not valid",
    }
}

/// What is said of a server that refuses every protocol which it is offered in the handshake (RFC 7301).
pub const NO_COMMON_PROTOCOL: &str = "server speaks none of the protocols that it was offered";

fn of_alert(alert: AlertDescription) -> &'static str {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired | Alert::NoCertificate => "server wants a client certificate",
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied => "server rejects the client certificate",
        Alert::ProtocolVersion | Alert::InsufficientSecurity => "no TLS version or cipher in common with the server",
        Alert::NoApplicationProtocol => NO_COMMON_PROTOCOL,
        Alert::UnrecognisedName => "server does not know the host by that name",
        _ => "server refuses the TLS handshake",
    }
}

/// The first error of the type `T` along the chain of sources, the error itself included.
#[must_use]
pub fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref::<T>())
}

/// More links than this are not followed.
const LONGEST_CHAIN: usize = 32;

/// The error and its sources. An `io::Error` hides what it was made of from `source()`, so that is looked into as
/// well, and so is an `Arc` around it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error = *error;
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.get_ref().map(|inner| inner as &(dyn Error + 'static));
        }
        if let Some(io) = error.downcast_ref::<Arc<io::Error>>() {
            return Some(&**io as &(dyn Error + 'static));
        }
        error.source()
    })
    .take(LONGEST_CHAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_errors_have_plain_words() {
        let cases = [
            (rustix::io::Errno::CONNREFUSED, FailureKind::Connect, "connection refused"),
            (rustix::io::Errno::CONNRESET, FailureKind::Connect, "connection reset"),
            (rustix::io::Errno::HOSTUNREACH, FailureKind::Connect, "no route"),
            (rustix::io::Errno::NETUNREACH, FailureKind::Connect, "no route"),
            (rustix::io::Errno::PIPE, FailureKind::Connect, "connection closed"),
            (rustix::io::Errno::TIMEDOUT, FailureKind::Connect, "no answer from the network"),
            (rustix::io::Errno::NOMEM, FailureKind::Exhausted, "the machine had no memory left for the run"),
        ];
        for (errno, kind, message) in cases {
            let failure = of_io(&io::Error::from(errno));
            assert_eq!((failure.kind, failure.message.as_str()), (kind, message));
            assert!(failure.detail.unwrap().contains("os error"));
        }
    }

    #[test]
    fn what_a_library_wrote_into_an_io_error_is_not_repeated() {
        let failure = of_io(&io::Error::other("password hunter2"));
        assert_eq!((failure.message.as_str(), failure.detail), ("connection failed", None));
    }

    #[test]
    fn certificates_have_plain_words() {
        let cases = [
            (CertificateError::Expired, "certificate has expired"),
            (CertificateError::NotValidYet, "certificate is not valid yet"),
            (CertificateError::NotValidForName, "certificate is for another host"),
            (CertificateError::UnknownIssuer, "certificate is self-signed or from an unknown issuer"),
        ];
        for (error, message) in cases {
            let failure = of_tls(&rustls::Error::InvalidCertificate(error));
            assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Tls, message));
        }
    }

    #[test]
    fn an_error_is_found_wherever_it_hides() {
        let tls = || rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let hidden = io::Error::other(io::Error::other(tls()));
        assert_eq!(of_io(&hidden).message, "server wants a client certificate");
        let shared: Box<dyn Error> = Box::new(Arc::new(io::Error::other(tls())));
        assert_eq!(of_chain(&*shared).unwrap().message, "server wants a client certificate");
        assert_eq!(of_chain(&std::fmt::Error), None);
    }
}
