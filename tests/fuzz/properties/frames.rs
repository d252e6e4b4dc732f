//! What holds for every stream of bytes from a broker, on its way to the client library.

use probelet::probe::amqp::frames::{Frames, LONGEST};

/// The same bytes mean the same in whatever pieces they come, and only what is AMQP as its specification has it passes.
/// The first byte says in pieces of how many bytes they come.
pub fn any_frames(bytes: &[u8]) {
    let [size, stream @ ..] = bytes else { return };
    let mut whole = Frames::default();
    let passes = whole.follow(stream).is_ok();
    let mut frames = Frames::default();
    let in_pieces = stream.chunks(usize::from(*size).max(1)).all(|piece| frames.follow(piece).is_ok());
    assert_eq!(passes, in_pieces, "in pieces of {size}");
    assert_eq!(passes, is_amqp(stream), "{}", stream.escape_ascii());
    if passes {
        assert_eq!(format!("{whole:?}"), format!("{frames:?}"), "it is elsewhere in the stream");
    }
}

/// Whether this is a beginning of frames (AMQP 0-9-1, section 4.2.3) and protocol headers (4.2.2), none too long.
fn is_amqp(mut rest: &[u8]) -> bool {
    const NAME: &[u8] = b"AMQP";
    loop {
        let length = match rest {
            [] => return true,
            [b'A', ..] => {
                let begun = rest.len().min(NAME.len());
                if rest[..begun] != NAME[..begun] {
                    return false;
                }
                8
            }
            [1 | 2 | 3 | 8, _, _, length @ ..] if length.len() >= 4 => {
                let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
                if length >= LONGEST || rest.get(7 + length).is_some_and(|end| *end != 0xce) {
                    return false;
                }
                8 + length
            }
            [1 | 2 | 3 | 8, ..] => return true,
            _ => return false,
        };
        match rest.get(length..) {
            Some(next) => rest = next,
            None => return true,
        }
    }
}
