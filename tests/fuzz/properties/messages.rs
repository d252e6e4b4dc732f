//! What holds for every stream of bytes from a PostgreSQL server, on its way to the driver.

use probelet::probe::postgres::{AllowedMethods, FromServer};

/// The same bytes mean the same in whatever pieces they come, and what is passed on are whole messages of which a
/// driver may believe lengths and shapes. The first byte says in pieces of how many bytes they come.
pub fn any_messages(bytes: &[u8]) {
    let [size, stream @ ..] = bytes else { return };
    let whole = Translated::of(stream, stream.len());
    assert_eq!(whole, Translated::of(stream, usize::from(*size)), "in pieces of {size}");
    let errors = whole.passed.windows(SOME_ERROR.len()).filter(|window| *window == SOME_ERROR).count();
    assert!(whole.passed.len() <= stream.len() + errors * SOME_ERROR.len(), "{} bytes", whole.passed.len());
    let mut rest = whole.passed.as_slice();
    while let [kind, a, b, c, d, ..] = *rest {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        assert!(length >= 4 && length < rest.len(), "half a message: {}", rest.escape_ascii());
        assert!(!b"NAS".contains(&kind), "a notice: {}", rest.escape_ascii());
        is_sound(kind, &rest[5..=length]);
        rest = &rest[length + 1..];
    }
    assert!(rest.is_empty(), "half a message: {}", rest.escape_ascii());
}

/// All that a driver is told of an error.
const SOME_ERROR: &[u8] = b"E\0\0\0\x22SERROR\0VERROR\0CXX000\0Mfailed\0\0";

/// What came of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Translated {
    /// Nothing, or what is wrong with it.
    fault: Option<String>,
    passed: Vec<u8>,
    code: Option<String>,
    idle: bool,
}

impl Translated {
    fn of(stream: &[u8], size: usize) -> Self {
        let mut wire = FromServer::new(AllowedMethods::parse("").expect("nothing is forbidden"));
        let mut passed = Vec::new();
        let mut pieces = stream.chunks(size.max(1));
        let fault = pieces.find_map(|piece| wire.translate(piece, &mut passed).err()).map(|fault| format!("{fault:?}"));
        let code = wire.seen.error.map(|error| {
            let code = &error.code;
            assert!(code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{code:?}");
            error.code
        });
        Self { fault, passed, code, idle: wire.seen.idle }
    }
}

/// The shape of the messages that a driver reads without looking.
fn is_sound(kind: u8, body: &[u8]) {
    let shown = || body.escape_ascii();
    match kind {
        b'R' => assert!(body.len() >= 4, "{}", shown()),
        b'Z' => assert!(matches!(body, b"I" | b"T" | b"E"), "{}", shown()),
        b'D' => {
            let (count, mut rest) = body.split_first_chunk().expect("a number of values");
            for _ in 0..u16::from_be_bytes(*count) {
                let (length, tail) = rest.split_first_chunk().expect("a length");
                rest = &tail[usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0)..];
            }
            assert!(rest.is_empty(), "{}", shown());
        }
        b'T' => {
            let (count, mut rest) = body.split_first_chunk().expect("a number of columns");
            for _ in 0..u16::from_be_bytes(*count) {
                let end = rest.iter().position(|byte| *byte == 0).expect("a name");
                let column = &rest[end + 1..end + 19];
                assert_eq!(column[6..10], [0, 0, 0, 25], "a column that is no text: {}", shown());
                rest = &rest[end + 19..];
            }
            assert!(rest.is_empty(), "{}", shown());
        }
        _ => {}
    }
}
