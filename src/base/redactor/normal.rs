//! A text in the form in which it is compared: without percent-encoding, escapes, entities, blanks, quotes and case.

/// A byte of a text in normal form.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormalByte {
    pub(super) byte: u8,
    /// Where in the text it stands, up to `end`.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Something before it was left out.
    pub(super) follows_a_gap: bool,
}

/// What is encoded twice is decoded, too.
const ROUNDS: usize = 2;

/// The text in normal form.
pub(super) fn normal_form(text: &[u8]) -> Vec<u8> {
    normal_bytes(text).into_iter().map(|byte| byte.byte).collect()
}

/// The text in normal form, with where it stands.
pub(super) fn normal_bytes(text: &[u8]) -> Vec<NormalByte> {
    let byte = |(at, byte): (usize, &u8)| NormalByte { byte: *byte, start: at, end: at + 1, follows_a_gap: false };
    let mut bytes: Vec<NormalByte> = text.iter().enumerate().map(byte).collect();
    for _ in 0..ROUNDS {
        bytes = decoded(&bytes);
    }
    let mut normal = Vec::with_capacity(bytes.len());
    let mut follows_a_gap = false;
    for byte in bytes {
        // A `+` is a blank in a form, and a backslash what is left of an escape.
        let is_left_out =
            byte.byte.is_ascii_whitespace() || byte.byte.is_ascii_control() || b"+\\\"'`".contains(&byte.byte);
        if !is_left_out {
            normal.push(NormalByte { byte: byte.byte.to_ascii_lowercase(), follows_a_gap, ..byte });
        }
        follows_a_gap = is_left_out;
    }
    normal
}

fn decoded(bytes: &[NormalByte]) -> Vec<NormalByte> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        let found = match first.byte {
            b'%' => number(&rest[1..], 2, 16).and_then(|code| u8::try_from(code).ok()).map(|byte| (3, vec![byte])),
            b'\\' => escape(&rest[1..]).map(|(length, bytes)| (1 + length, bytes)),
            b'&' => entity(&rest[1..]).map(|(length, bytes)| (1 + length, bytes)),
            _ => None,
        };
        let Some((length, written)) = found else {
            decoded.push(NormalByte { follows_a_gap: false, ..*first });
            rest = &rest[1..];
            continue;
        };
        let (start, end) = (first.start, rest[length - 1].end);
        decoded.extend(written.into_iter().map(|byte| NormalByte { byte, start, end, follows_a_gap: false }));
        rest = &rest[length..];
    }
    decoded
}

/// The number of so many digits that `bytes` begins with.
fn number(bytes: &[NormalByte], digits: usize, radix: u32) -> Option<u32> {
    let digits = bytes.get(..digits)?.iter().map(|byte| char::from(byte.byte).to_digit(radix));
    digits.sum_digits(radix)
}

trait Digits: Iterator<Item = Option<u32>> + Sized {
    fn sum_digits(mut self, radix: u32) -> Option<u32> {
        self.try_fold(0_u32, |sum, digit| sum.checked_mul(radix)?.checked_add(digit?))
    }
}

impl<I: Iterator<Item = Option<u32>>> Digits for I {}

/// What stands behind a backslash, as JSON and its like write it: its length, and what it means.
fn escape(bytes: &[NormalByte]) -> Option<(usize, Vec<u8>)> {
    match bytes.first()?.byte {
        b'u' => number(&bytes[1..], 4, 16).map(|code| (5, encoded(code))),
        b'x' => number(&bytes[1..], 2, 16).map(|code| (3, encoded(code))),
        b'n' | b't' | b'r' | b'b' | b'f' => Some((1, vec![b' '])),
        other @ (b'"' | b'\'' | b'\\' | b'/') => Some((1, vec![other])),
        _ => None,
    }
}

/// What stands behind `&` in HTML and XML: its length, and what it means.
fn entity(bytes: &[NormalByte]) -> Option<(usize, Vec<u8>)> {
    const LONGEST: usize = 9;
    let end = bytes.iter().take(LONGEST).position(|byte| byte.byte == b';')?;
    let name: Vec<u8> = bytes[..end].iter().map(|byte| byte.byte.to_ascii_lowercase()).collect();
    let character = match name.as_slice() {
        b"amp" => b'&'.into(),
        b"lt" => b'<'.into(),
        b"gt" => b'>'.into(),
        b"quot" => b'"'.into(),
        b"apos" => b'\''.into(),
        b"nbsp" => b' '.into(),
        [b'#', b'x', digits @ ..] => number(&bytes[2..], digits.len(), 16)?,
        [b'#', digits @ ..] => number(&bytes[1..], digits.len(), 10)?,
        _ => return None,
    };
    Some((end + 1, encoded(character)))
}

fn encoded(code: u32) -> Vec<u8> {
    char::from_u32(code).map(|character| character.to_string().into_bytes()).unwrap_or_default()
}
