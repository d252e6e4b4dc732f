//! One coding of a body, undone in slices.

use flate2::{Decompress, Status};

use super::gzip::Gzip;
use super::inflate::{BEGINNING, inflated};
use crate::model::outcome::Failure;

/// Undoes one coding.
pub(super) enum Layer {
    Gzip(Gzip),
    /// What is called deflate is zlib (RFC 1950), and from some servers bare (RFC 1951): the first two bytes tell.
    Undecided(Option<u8>),
    Deflate {
        inflate: Box<Decompress>,
        is_whole: bool,
    },
}

impl Layer {
    /// What undoes the coding of that name, if it can be undone.
    pub(super) fn undoing(name: &str) -> Option<Self> {
        match name {
            "gzip" | "x-gzip" => Some(Self::Gzip(Gzip::default())),
            "deflate" => Some(Self::Undecided(None)),
            _ => None,
        }
    }

    /// The name of the coding, for messages.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Gzip(_) => "gzip",
            Self::Undecided(_) | Self::Deflate { .. } => "deflate",
        }
    }

    /// Whether nothing is missing of what has come.
    pub(super) const fn is_whole(&self) -> bool {
        match self {
            Self::Gzip(gzip) => gzip.is_whole(),
            Self::Undecided(_) => false,
            Self::Deflate { is_whole, .. } => *is_whole,
        }
    }

    /// Reads of `input` and adds to `made`, which is empty, no more than a slice. Returns how much was read, and how
    /// much work that was.
    pub(super) fn step(&mut self, input: &[u8], made: &mut Vec<u8>) -> Result<(usize, usize), Failure> {
        match self {
            Self::Gzip(gzip) => gzip.step(input, made),
            Self::Undecided(first) => {
                let Some(byte) = input.first() else { return Ok((0, 0)) };
                match first {
                    None => *self = Self::Undecided(Some(*byte)),
                    Some(first) => {
                        let start = [*first, *byte];
                        let mut inflate = Box::new(Decompress::new(is_zlib(start)));
                        let (_, status) = inflated(&mut inflate, &start, made, "deflate")?;
                        *self = Self::Deflate { inflate, is_whole: status == Status::StreamEnd };
                    }
                }
                Ok((1, BEGINNING))
            }
            // What follows a whole stream is not part of it.
            Self::Deflate { is_whole: true, .. } => Ok((input.len(), 0)),
            Self::Deflate { inflate, is_whole } => {
                let (read, status) = inflated(inflate, input, made, "deflate")?;
                *is_whole = status == Status::StreamEnd;
                Ok((read, read + made.len()))
            }
        }
    }
}

/// Whether a stream that starts so is zlib (RFC 1950, section 2.2). A bare one does not start so, unless somebody means
/// it to.
fn is_zlib([first, second]: [u8; 2]) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}
