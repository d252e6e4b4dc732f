//! What an answer to `Check` means. Pure.

use bytes::BytesMut;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::section::HealthCall;
use crate::base::grpc::{
    CONTENT_TYPE as GRPC, GrpcCode, MessagePrefix, PREFIX, ServingStatus, decoded_message, serving_status,
};
use crate::model::outcome::{Failure, FailureKind};

/// No message is longer than this.
pub(super) const LONGEST_MESSAGE: usize = 4096;

/// An answer of gRPC, read to its end.
#[derive(Debug)]
pub(super) struct Answered {
    /// Head and trailers: an answer without a message has its status in the head.
    pub(super) status: HeaderMap,
    /// What came as data.
    pub(super) message: BytesMut,
}

impl Answered {
    /// An answer of which the head is there.
    pub(super) fn new(head: HeaderMap) -> Self {
        Self { status: head, message: BytesMut::new() }
    }
}

/// Whether an answer is one of gRPC, by its head.
pub(super) fn is_grpc<B>(response: &Response<B>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_its_own = kind.and_then(|kind| kind.strip_prefix(GRPC.as_bytes()));
    response.status() == 200 && is_its_own.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// What an answer means that is none of gRPC: somebody else answered.
pub(super) fn not_grpc<B>(response: &Response<B>) -> Failure {
    let code = response.status().as_u16();
    match code {
        200 => protocol("answer is not of gRPC, by its content type: write the address of the gRPC server"),
        401 | 403 => Failure::new(
            FailureKind::Auth,
            format!("returned status {code} and not gRPC: a proxy on the way wants credentials"),
        ),
        404 | 415 | 501 | 505 => protocol(format!("returned status {code} and not gRPC: no gRPC server is there")),
        _ => protocol(format!("returned status {code} and not gRPC: a proxy on the way does not reach the server")),
    }
}

/// What the answer says of the service.
pub(super) fn judge(answered: &Answered, call: &HealthCall) -> Result<(), Failure> {
    let Some(status) = answered.status.get("grpc-status") else {
        return Err(protocol("answer ends without a grpc-status: a proxy on the way may drop trailers"));
    };
    let Some(code) = status.to_str().ok().and_then(|number| number.parse().ok()) else {
        return Err(protocol("the answer's grpc-status is not a number"));
    };
    match GrpcCode::of_number(code) {
        GrpcCode::Ok => judge_message(&answered.message, call),
        code => {
            let words = answered.status.get("grpc-message").and_then(|words| words.to_str().ok());
            let failure = of_code(code, call);
            Err(match words {
                Some(words) if !call.is_secretive => failure.with_detail(decoded_message(words)),
                _ => failure,
            })
        }
    }
}

fn of_code(code: GrpcCode, call: &HealthCall) -> Failure {
    let label = code.label();
    let (kind, message) = match code {
        GrpcCode::NotFound => {
            let help = if call.is_named {
                "write `service` as the server registers it, or leave it out for the server as a whole"
            } else {
                "write the `service` that it registers"
            };
            (FailureKind::Mismatch, format!("server does not know the service ({label}): {help}"))
        }
        GrpcCode::Unimplemented => (
            FailureKind::Protocol,
            format!("server has no grpc.health.v1.Health ({label}): register it there, or write the kind `tcp`"),
        ),
        GrpcCode::Unauthenticated => {
            (FailureKind::Auth, format!("server wants credentials ({label}): write them under `metadata`"))
        }
        GrpcCode::PermissionDenied => {
            (FailureKind::Auth, format!("server does not let these credentials ask for its health ({label})"))
        }
        GrpcCode::Unavailable => {
            (FailureKind::Protocol, format!("server, or a proxy on the way to it, is not available ({label})"))
        }
        GrpcCode::DeadlineExceeded => (
            FailureKind::Timeout,
            format!("server did not answer within the run's time ({label}): a longer `timeout` gives it more"),
        ),
        GrpcCode::ResourceExhausted => (FailureKind::Protocol, format!("server has too much to do ({label})")),
        GrpcCode::Internal => (FailureKind::Protocol, format!("server breaks while it answers ({label})")),
        _ => (FailureKind::Protocol, format!("server answers {label}")),
    };
    Failure::new(kind, message)
}

fn judge_message(data: &[u8], call: &HealthCall) -> Result<(), Failure> {
    let Some(prefix) = MessagePrefix::of(data) else { return Err(protocol("answer has no message")) };
    if prefix.flag != 0 {
        return Err(protocol("answer is compressed, which was not asked for"));
    }
    if data.len() != PREFIX + prefix.length {
        return Err(protocol("answer is not one whole message"));
    }
    let whom = if call.is_named { "the service" } else { "the server" };
    let mismatch = |message: String| Err(Failure::new(FailureKind::Mismatch, message));
    match serving_status(&data[PREFIX..]) {
        Ok(Some(ServingStatus::Serving)) => Ok(()),
        Ok(Some(ServingStatus::NotServing)) => mismatch(format!("{whom} is NOT_SERVING")),
        Ok(Some(ServingStatus::Unknown)) => mismatch(format!("{whom} is UNKNOWN: it has not set its status")),
        Ok(Some(ServingStatus::ServiceUnknown)) => {
            mismatch(format!("{whom} is SERVICE_UNKNOWN: write `service` as the server registers it"))
        }
        Ok(None) => Err(protocol("answer has a status that is none of the health protocol")),
        Err(_) => Err(protocol("answer is no HealthCheckResponse")),
    }
}

fn protocol(message: impl AsRef<str>) -> Failure {
    Failure::new(FailureKind::Protocol, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::grpc::framed;

    fn judged(headers: &[(&'static str, &'static str)], data: &[u8]) -> String {
        let call = HealthCall {
            uri: "http://x/".parse().unwrap(),
            metadata: HeaderMap::new(),
            message: Vec::new(),
            is_named: true,
            is_secretive: false,
        };
        let mut answered = Answered::new(HeaderMap::new());
        for (name, value) in headers {
            answered.status.insert(*name, HeaderValue::from_static(value));
        }
        answered.message.extend_from_slice(data);
        match judge(&answered, &call) {
            Ok(()) => "passes".into(),
            Err(failure) => {
                assert!(failure.message.len() <= 200, "{}", failure.message);
                format!("{}: {}", failure.kind.label(), failure.message)
            }
        }
    }

    #[test]
    fn each_status_says_what_it_means() {
        let ok = |message: &[u8]| judged(&[("grpc-status", "0")], &framed(message));
        assert_eq!(ok(b"\x08\x01"), "passes");
        assert_eq!(ok(b"\x08\x02"), "mismatch: the service is NOT_SERVING");
        assert_eq!(ok(b""), "mismatch: the service is UNKNOWN: it has not set its status");
        assert_eq!(
            ok(b"\x08\x03"),
            "mismatch: the service is SERVICE_UNKNOWN: write `service` as the server registers it"
        );
        assert_eq!(ok(b"\x08\x09"), "protocol: answer has a status that is none of the health protocol");
        assert_eq!(ok(b"\x0a"), "protocol: answer is no HealthCheckResponse");
        let fine = [("grpc-status", "0")];
        assert_eq!(judged(&fine, b""), "protocol: answer has no message");
        assert_eq!(judged(&fine, b"\x01\0\0\0\0"), "protocol: answer is compressed, which was not asked for");
        assert_eq!(judged(&fine, b"\0\0\0\0\x09a"), "protocol: answer is not one whole message");
        assert_eq!(
            judged(&[], b""),
            "protocol: answer ends without a grpc-status: a proxy on the way may drop trailers"
        );
        assert_eq!(judged(&[("grpc-status", "x")], b""), "protocol: the answer's grpc-status is not a number");
    }

    #[test]
    fn each_code_says_what_to_do() {
        for (code, expected) in [
            (
                "5",
                "mismatch: server does not know the service (NOT_FOUND): write `service` as the server registers it, or leave it out for the server as a whole",
            ),
            (
                "12",
                "protocol: server has no grpc.health.v1.Health (UNIMPLEMENTED): register it there, or write the kind `tcp`",
            ),
            ("16", "auth: server wants credentials (UNAUTHENTICATED): write them under `metadata`"),
            ("7", "auth: server does not let these credentials ask for its health (PERMISSION_DENIED)"),
            ("14", "protocol: server, or a proxy on the way to it, is not available (UNAVAILABLE)"),
            (
                "4",
                "timeout: server did not answer within the run's time (DEADLINE_EXCEEDED): a longer `timeout` gives it more",
            ),
            ("8", "protocol: server has too much to do (RESOURCE_EXHAUSTED)"),
            ("13", "protocol: server breaks while it answers (INTERNAL)"),
            ("1", "protocol: server answers CANCELLED"),
            ("99", "protocol: server answers UNKNOWN"),
        ] {
            assert_eq!(judged(&[("grpc-status", code), ("grpc-message", "secret host")], b""), expected);
        }
    }
}
