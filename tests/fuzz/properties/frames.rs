//! What holds for every stream of bytes from a broker, on its way to the client library.

use probelet::probe::amqp::frames::{Frames, LONGEST};

/// The same bytes mean the same in whatever pieces they come, and only what a broker may say to a probe passes. The
/// first byte says in pieces of how many bytes they come.
pub fn any_frames(bytes: &[u8]) {
    let [size, stream @ ..] = bytes else { return };
    let (mut whole, mut passed) = (Frames::default(), Vec::new());
    let passes = whole.follow(stream, &mut passed).is_ok();
    let (mut frames, mut passed_in_pieces) = (Frames::default(), Vec::new());
    let mut pieces = stream.chunks(usize::from(*size).max(1));
    let in_pieces = pieces.all(|piece| frames.follow(piece, &mut passed_in_pieces).is_ok());
    assert_eq!(passes, in_pieces, "in pieces of {size}");
    assert_eq!(passed, passed_in_pieces, "in pieces of {size}");
    assert_eq!(passes.then_some(passed), to_be_passed(stream), "{}", stream.escape_ascii());
    if passes {
        assert_eq!(format!("{whole:?}"), format!("{frames:?}"), "it is elsewhere in the stream");
    }
}

/// What the library is to get of a beginning of frames (AMQP 0-9-1, section 4.2.3) and protocol headers (4.2.2), none
/// too long and each one that a broker may send to a probe; nothing where it is another.
fn to_be_passed(mut rest: &[u8]) -> Option<Vec<u8>> {
    const NAME: &[u8] = b"AMQP";
    let mut passed = Vec::new();
    loop {
        let length = match rest {
            [] => return Some(passed),
            [b'A', ..] => {
                let begun = rest.len().min(NAME.len());
                if rest[..begun] != NAME[..begun] {
                    return None;
                }
                8
            }
            [1 | 2 | 3 | 8, _, _, length @ ..] if length.len() >= 4 => {
                let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
                if length >= LONGEST {
                    return None;
                }
                8 + length
            }
            [1 | 2 | 3 | 8, ..] => return Some(passed),
            _ => return None,
        };
        let Some((frame, next)) = rest.split_at_checked(length) else { return Some(passed) };
        passed.extend(whole_frame(frame)?);
        rest = next;
    }
}

fn whole_frame(frame: &[u8]) -> Option<Vec<u8>> {
    let [head @ .., 0xce] = frame else { return (frame[0] == b'A').then(|| frame.to_vec()) };
    let payload = match head.split_at_checked(7) {
        Some((_, payload)) if frame[0] != b'A' => payload,
        _ => return Some(frame.to_vec()),
    };
    match (frame[0], payload) {
        (8, []) => Some(frame.to_vec()),
        (1, [0, 10, 0, 10, major, minor, table @ ..]) => {
            let length = u32::from_be_bytes(table.get(..4)?.try_into().ok()?) as usize;
            let rest = table.get(4..)?.get(length..)?;
            let length = u32::try_from(10 + rest.len()).ok()?.to_be_bytes();
            let shorter = [&frame[..3], &length, &[0, 10, 0, 10, *major, *minor, 0, 0, 0, 0], rest, &[0xce]];
            Some(shorter.concat())
        }
        (1, [0, 10, 0, 20 | 30 | 41 | 50 | 51 | 60 | 61, ..]) => Some(frame.to_vec()),
        (1, [0, 20, 0, 11 | 40 | 41, ..] | [0, 50, 0, 11, ..]) => Some(frame.to_vec()),
        // A broker that slows us down.
        (1, [0, 20, 0, 20, ..]) => Some(Vec::new()),
        _ => None,
    }
}
