//! The words of gRPC's health protocol, for whoever asks and whoever answers: codes, serving statuses, the messages of
//! `grpc.health.v1.Health`, their frame, and timeouts.
//!
//! Three messages of one field each are written by hand; nothing here trusts a length that it has read.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// The path of the method that is asked once.
pub const CHECK: &str = "/grpc.health.v1.Health/Check";
/// The path of the method that tells each change.
pub const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// The path of the method that tells of all services.
pub const LIST: &str = "/grpc.health.v1.Health/List";
/// The content type of every request and answer.
pub const CONTENT_TYPE: &str = "application/grpc";
/// A message is preceded by a flag and its length.
pub const PREFIX: usize = 5;

/// How a call ends, as `grpc-status` numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named after the codes
pub enum GrpcCode {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl GrpcCode {
    const ALL: [(Self, &'static str); 17] = [
        (Self::Ok, "OK"),
        (Self::Cancelled, "CANCELLED"),
        (Self::Unknown, "UNKNOWN"),
        (Self::InvalidArgument, "INVALID_ARGUMENT"),
        (Self::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        (Self::NotFound, "NOT_FOUND"),
        (Self::AlreadyExists, "ALREADY_EXISTS"),
        (Self::PermissionDenied, "PERMISSION_DENIED"),
        (Self::ResourceExhausted, "RESOURCE_EXHAUSTED"),
        (Self::FailedPrecondition, "FAILED_PRECONDITION"),
        (Self::Aborted, "ABORTED"),
        (Self::OutOfRange, "OUT_OF_RANGE"),
        (Self::Unimplemented, "UNIMPLEMENTED"),
        (Self::Internal, "INTERNAL"),
        (Self::Unavailable, "UNAVAILABLE"),
        (Self::DataLoss, "DATA_LOSS"),
        (Self::Unauthenticated, "UNAUTHENTICATED"),
    ];

    /// The code that a `grpc-status` gives; one that is not known is `UNKNOWN`, as the protocol wants it.
    #[must_use]
    pub fn of_number(number: u32) -> Self {
        usize::try_from(number).ok().and_then(|place| Self::ALL.get(place)).map_or(Self::Unknown, |(code, _)| *code)
    }

    /// Its name.
    #[must_use]
    pub fn label(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// What a server says of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named after the values
pub enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    /// Only `Watch` says it.
    ServiceUnknown = 3,
}

/// A message that is no protobuf, or not of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedMessage;

/// `HealthCheckRequest` for `service`.
#[must_use]
pub fn health_check_request(service: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(service.len() + 6);
    if !service.is_empty() {
        put_bytes(&mut message, 1, service.as_bytes());
    }
    message
}

/// The service that a `HealthCheckRequest` names.
///
/// # Errors
/// When it is malformed, or the name is no UTF-8.
pub fn requested_service(message: &[u8]) -> Result<&str, MalformedMessage> {
    let mut service = "";
    for field in fields(message) {
        match field? {
            (1, FieldValue::Bytes(bytes)) => service = std::str::from_utf8(bytes).map_err(|_| MalformedMessage)?,
            (1, _) => return Err(MalformedMessage),
            _ => {}
        }
    }
    Ok(service)
}

/// `HealthCheckResponse` with `status`.
#[must_use]
pub fn health_check_response(status: ServingStatus) -> Vec<u8> {
    match status {
        // What has its default is left out.
        ServingStatus::Unknown => Vec::new(),
        status => vec![1 << 3, status as u8],
    }
}

/// The status that a `HealthCheckResponse` gives; nothing where it is a number without a name.
///
/// # Errors
/// When it is malformed.
pub fn serving_status(message: &[u8]) -> Result<Option<ServingStatus>, MalformedMessage> {
    let mut number = 0;
    for field in fields(message) {
        match field? {
            (1, FieldValue::Number(given)) => number = given,
            (1, _) => return Err(MalformedMessage),
            _ => {}
        }
    }
    Ok(match number {
        0 => Some(ServingStatus::Unknown),
        1 => Some(ServingStatus::Serving),
        2 => Some(ServingStatus::NotServing),
        3 => Some(ServingStatus::ServiceUnknown),
        _ => None,
    })
}

/// `HealthListResponse` with a status for each name.
#[must_use]
pub fn health_list_response<'a>(statuses: impl Iterator<Item = (&'a str, ServingStatus)>) -> Vec<u8> {
    let mut message = Vec::new();
    for (name, status) in statuses {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, name.as_bytes());
        put_bytes(&mut entry, 2, &health_check_response(status));
        put_bytes(&mut message, 1, &entry);
    }
    message
}

/// `message` as it is sent, not compressed.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// The beginning of a message: its flag and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePrefix {
    /// The message is compressed. A flag other than 0 and 1 is none that there is.
    pub flag: u8,
    /// How long it is, in bytes.
    pub length: usize,
}

impl MessagePrefix {
    /// What the first bytes say, once there are enough of them.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let (flag, length) = bytes.first_chunk::<PREFIX>()?.split_first()?;
        let length = u32::from_be_bytes(*length.first_chunk()?);
        Some(Self { flag: *flag, length: usize::try_from(length).unwrap_or(usize::MAX) })
    }
}

/// The duration of a `grpc-timeout`.
#[must_use]
pub fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// `timeout` as `grpc-timeout` writes it: at most eight digits, and no more than it is.
#[must_use]
pub fn show_timeout(timeout: Duration) -> String {
    let units = [(timeout.as_micros(), 'u'), (timeout.as_millis(), 'm'), (u128::from(timeout.as_secs()), 'S')];
    let fitting = units.into_iter().find(|(count, _)| *count < 100_000_000);
    let (count, unit) = fitting.unwrap_or((99_999_999, 'S'));
    format!("{count}{unit}")
}

/// What stands for itself in a `grpc-message`: printable ASCII but the percent sign.
const OF_MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// `text` as a `grpc-message`.
#[must_use]
pub fn encoded_message(text: &str) -> String {
    utf8_percent_encode(text, OF_MESSAGE).to_string()
}

/// A `grpc-message` as it is read.
#[must_use]
pub fn decoded_message(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldValue<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed length, which none of these messages has.
    Fixed,
}

/// The fields of a message, in order; after a malformed one there is no other.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<(u64, FieldValue<'_>), MalformedMessage>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = next_field(&mut rest);
        if field.is_none() {
            rest = &[];
        }
        Some(field.ok_or(MalformedMessage))
    })
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Option<(u64, FieldValue<'a>)> {
    let tag = varint(rest)?;
    let number = tag >> 3;
    if number == 0 || number >= 1 << 29 {
        return None;
    }
    let value = match tag & 7 {
        0 => FieldValue::Number(varint(rest)?),
        1 => {
            take(rest, 8)?;
            FieldValue::Fixed
        }
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            FieldValue::Bytes(take(rest, length)?)
        }
        5 => {
            take(rest, 4)?;
            FieldValue::Fixed
        }
        // Groups are of another age.
        _ => return None,
    };
    Some((number, value))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for place in 0..10 {
        let (byte, others) = rest.split_first()?;
        *rest = others;
        value |= u64::from(byte & 0x7f).checked_shl(7 * place)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, others) = rest.split_at_checked(length)?;
    *rest = others;
    Some(taken)
}

fn put_bytes(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    message.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        message.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).unwrap_or_default());
    message.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_as_protobuf_writes_them() {
        assert_eq!(health_check_request(""), b"");
        assert_eq!(health_check_request("db"), b"\x0a\x02db");
        assert_eq!(health_check_response(ServingStatus::Serving), b"\x08\x01");
        assert_eq!(health_check_response(ServingStatus::NotServing), b"\x08\x02");
        assert_eq!(health_check_response(ServingStatus::Unknown), b"");
        let list = health_list_response([("", ServingStatus::Serving), ("db", ServingStatus::Unknown)].into_iter());
        assert_eq!(list, b"\x0a\x06\x0a\x00\x12\x02\x08\x01\x0a\x06\x0a\x02db\x12\x00");
        assert_eq!(framed(b"\x08\x01"), b"\0\0\0\0\x02\x08\x01");
        let long = "x".repeat(300);
        assert_eq!(requested_service(&health_check_request(&long)), Ok(&*long));
    }

    #[test]
    fn messages_are_read_with_fields_of_tomorrow_and_the_last_of_several_counts() {
        assert_eq!(requested_service(b""), Ok(""));
        assert_eq!(requested_service(b"\x0a\x01a\x0a\x01b"), Ok("b"));
        assert_eq!(requested_service(b"\x10\x05\x1a\x01x\x0a\x01b\x25\0\0\0\0\x29\0\0\0\0\0\0\0\0"), Ok("b"));
        assert_eq!(serving_status(b"\x12\x01x\x08\x01"), Ok(Some(ServingStatus::Serving)));
        assert_eq!(serving_status(b"\x08\x09"), Ok(None));
        assert_eq!(serving_status(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), Ok(None));
    }

    #[test]
    fn what_is_no_such_message_is_malformed() {
        for message in [
            &b"\x0a"[..],
            b"\x0a\x05a",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x0a\x01\xff",
            b"\x08\x01",
            b"\x00\x01",
            b"\x0b",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(requested_service(message), Err(MalformedMessage), "{message:?}");
        }
        assert_eq!(serving_status(b"\x0a\x01a"), Err(MalformedMessage));
    }

    #[test]
    fn timeouts_are_those_of_the_protocol() {
        for (text, expected) in [
            ("1S", Some(Duration::from_secs(1))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("7n", Some(Duration::from_nanos(7))),
            ("2M", Some(Duration::from_secs(120))),
            ("100000000S", None),
            ("S", None),
            ("", None),
            ("1", None),
            ("+1S", None),
            ("1s", None),
            ("1é", None),
        ] {
            assert_eq!(parse_timeout(text), expected, "{text}");
        }
        for (millis, expected) in [(2_000, "2000000u"), (100_000, "100000m"), (200_000_000, "200000S")] {
            assert_eq!(show_timeout(Duration::from_millis(millis)), expected);
            assert_eq!(parse_timeout(expected), Some(Duration::from_millis(millis)));
        }
        assert_eq!(show_timeout(Duration::MAX), "99999999S");
    }

    #[test]
    fn codes_have_their_numbers_and_names() {
        for (place, (code, label)) in GrpcCode::ALL.into_iter().enumerate() {
            assert_eq!((code as usize, code.label()), (place, label));
            assert_eq!(GrpcCode::of_number(code as u32), code);
        }
        assert_eq!(GrpcCode::of_number(17), GrpcCode::Unknown);
    }

    #[test]
    fn messages_for_people_travel_percent_encoded() {
        let text = "100% déjà\nvu";
        assert_eq!(encoded_message(text), "100%25 d%C3%A9j%C3%A0%0Avu");
        assert_eq!(decoded_message(&encoded_message(text)), text);
        assert_eq!(decoded_message("%zz%"), "%zz%");
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_is_read_panics(bytes: Vec<u8>) {
            let _ = (requested_service(&bytes), serving_status(&bytes), MessagePrefix::of(&bytes));
        }
    }
}
