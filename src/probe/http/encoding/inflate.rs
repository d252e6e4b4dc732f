//! Inflates in slices, and says what that costs.

use flate2::{Decompress, FlushDecompress, Status};

use crate::model::outcome::{Failure, FailureKind};

/// So much is made of a body in one go.
pub(super) const SLICE: usize = 16 << 10;

/// The work, in bytes, that it counts to begin anew within one body.
pub(super) const BEGINNING: usize = 32 << 10;

/// Inflates no more than a slice of `input`. Returns how much was read, and whether that was the end.
pub(super) fn inflated(
    inflate: &mut Decompress,
    input: &[u8],
    made: &mut Vec<u8>,
    name: &str,
) -> Result<(usize, Status), Failure> {
    made.reserve_exact(SLICE);
    let before = inflate.total_in();
    let status = inflate.decompress_vec(input, made, FlushDecompress::None);
    let read = usize::try_from(inflate.total_in() - before).unwrap_or(input.len());
    match status {
        Ok(Status::BufError) if !input.is_empty() && read == 0 && made.is_empty() => {}
        Ok(status) => return Ok((read, status)),
        Err(_) => {}
    }
    Err(damaged(format!("the body's {name} is damaged")))
}

/// A body that cannot be decoded.
pub(super) fn damaged(message: impl AsRef<str>) -> Failure {
    Failure::new(FailureKind::Protocol, message)
}
