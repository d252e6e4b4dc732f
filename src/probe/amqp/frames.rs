//! Looks at the frames that a broker sends, on their way to the client library.
//!
//! The library keeps what it has not been asked to deliver (messages, and those that come back), reads tables of any
//! depth by recursion, and waits for ever for the end of a frame that does not fit its buffer. So it gets whole frames
//! of a bounded length, and of the methods only those that a broker has a reason to send to a probe.

use std::mem;

/// No frame is longer than this; the library's buffer is longer. Both sides agree on far shorter ones.
pub const LONGEST: usize = 64 << 10;

/// Why what came is not passed on.
#[derive(Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// It is not AMQP.
    NotAmqp,
    /// Nobody has asked for it: a method by its class and number, or a message's head or body.
    Unasked(Option<(u16, u16)>),
}

/// The frames of a connection.
#[derive(Debug, Default)]
pub struct Frames {
    /// A frame that has not come to its end.
    begun: Vec<u8>,
}

impl Frames {
    /// Type, channel and length.
    const HEAD: usize = 7;

    /// The frames that end within these bytes, as the library is to get them.
    ///
    /// # Errors
    /// When one of them is not to be passed on.
    pub fn follow(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BadFrame> {
        while !bytes.is_empty() {
            // Byte by byte as long as it is not known how many there will be.
            let wanted = self.length()?.map_or(1, |length| length - self.begun.len());
            let (taken, rest) = bytes.split_at(wanted.min(bytes.len()));
            self.begun.extend_from_slice(taken);
            bytes = rest;
            if self.length()? == Some(self.begun.len()) {
                pass(&mem::take(&mut self.begun), out)?;
            }
        }
        Ok(())
    }

    /// How long the frame that has begun will be, once its head is complete.
    fn length(&self) -> Result<Option<usize>, BadFrame> {
        match *self.begun.as_slice() {
            // The name of the protocol, eight bytes with the version, from a broker that speaks another one.
            [b'A', ..] if b"AMQP".starts_with(&self.begun) || self.begun.starts_with(b"AMQP") => Ok(Some(8)),
            [METHOD | HEADER | BODY | HEARTBEAT, _, _, a, b, c, d, ..] => {
                let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| BadFrame::NotAmqp)?;
                if length < LONGEST { Ok(Some(Self::HEAD + length + 1)) } else { Err(BadFrame::NotAmqp) }
            }
            [METHOD | HEADER | BODY | HEARTBEAT, ..] | [] => Ok(None),
            _ => Err(BadFrame::NotAmqp),
        }
    }
}

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const END: u8 = 0xce;

/// `connection.start`, by which a broker introduces itself.
const START: (u16, u16) = (10, 10);

/// `channel.flow`, by which a broker slows down those who publish: nothing to a probe, and too much for the library
/// where its channel is already closed.
const FLOW: (u16, u16) = (20, 20);

/// The other methods that a broker may send to one who logs in, opens a channel and looks at a queue.
const EXPECTED: &[(u16, u16)] = &[
    // connection: secure, tune, open-ok, close, close-ok, blocked, unblocked
    (10, 20),
    (10, 30),
    (10, 41),
    (10, 50),
    (10, 51),
    (10, 60),
    (10, 61),
    // channel: open-ok, close, close-ok
    (20, 11),
    (20, 40),
    (20, 41),
    // queue: declare-ok
    (50, 11),
];

/// Passes one whole frame on.
fn pass(frame: &[u8], out: &mut Vec<u8>) -> Result<(), BadFrame> {
    let (kind, payload) = match frame {
        [b'A', ..] => {
            out.extend_from_slice(frame);
            return Ok(());
        }
        [kind, _, _, _, _, _, _, payload @ .., END] => (*kind, payload),
        _ => return Err(BadFrame::NotAmqp),
    };
    let method = match (kind, payload) {
        (HEARTBEAT, []) => None,
        (METHOD, [a, b, c, d, ..]) => Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))),
        (HEADER | BODY, _) => return Err(BadFrame::Unasked(None)),
        _ => return Err(BadFrame::NotAmqp),
    };
    match method {
        Some(START) => out.extend(start_without_properties(frame, payload).ok_or(BadFrame::NotAmqp)?),
        Some(FLOW) => {}
        Some(method) if !EXPECTED.contains(&method) => return Err(BadFrame::Unasked(Some(method))),
        _ => out.extend_from_slice(frame),
    }
    Ok(())
}

/// The broker's introduction without the table of its properties, which nobody reads.
fn start_without_properties(frame: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    // Class, method, and version.
    let (before, table) = payload.split_at_checked(6)?;
    let (length, rest) = table.split_first_chunk()?;
    let rest = rest.get(usize::try_from(u32::from_be_bytes(*length)).ok()?..)?;
    let length = u32::try_from(before.len() + 4 + rest.len()).ok()?;
    Some([&frame[..3], &length.to_be_bytes(), before, &[0; 4], rest, &[END]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of this type, on the channel 0.
    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap();
        [&[kind, 0, 0], length.to_be_bytes().as_slice(), payload, &[END]].concat()
    }

    fn method(class: u8, number: u8) -> Vec<u8> {
        frame(METHOD, &[0, class, 0, number])
    }

    fn followed(bytes: &[u8], size: usize) -> Result<Vec<u8>, BadFrame> {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(size) {
            frames.follow(piece, &mut out)?;
        }
        Ok(out)
    }

    #[test]
    fn frames_pass_whatever_pieces_they_come_in() {
        let stream =
            [frame(HEARTBEAT, b""), method(20, 11), frame(HEARTBEAT, b""), b"AMQP\0\0\x09\x01".into()].concat();
        for size in 1..=stream.len() {
            assert_eq!(followed(&stream, size).as_ref(), Ok(&stream), "{size}");
        }
    }

    #[test]
    fn anything_else_does_not() {
        for sent in [
            b"HTTP/1.1 400 Bad Request".as_slice(),
            b"AMQX",
            b"\0\0\0",
            b"\x01\0\0\x7f\xff\xff\xff",
            b"\x01\0\0\0\x01\0\0",
            b"\x08\0\0\0\0\0\0\0",
            b"\x08\0\0\0\0\0\x01\0\xce",
            b"\x01\0\x05\0\0\0\x04\0\x14\0\x0b\xcd",
            b"\x01\0\x05\0\0\0\x02\0\x14\xce",
        ] {
            assert_eq!(followed(sent, sent.len()), Err(BadFrame::NotAmqp), "{}", sent.escape_ascii());
        }
    }

    #[test]
    fn what_nobody_has_asked_for_does_not_either() {
        // basic.return, basic.deliver, confirm.select-ok, one of no class at all.
        for (class, number) in [(60, 50), (60, 60), (85, 11), (200, 1)] {
            let unasked = Err(BadFrame::Unasked(Some((class.into(), number.into()))));
            assert_eq!(followed(&method(class, number), 4096), unasked);
        }
        for kind in [HEADER, BODY] {
            assert_eq!(followed(&frame(kind, b"x"), 4096), Err(BadFrame::Unasked(None)));
        }
    }

    #[test]
    fn the_properties_of_a_broker_stay_out() {
        let start = |properties: &[u8]| {
            let length = u32::try_from(properties.len()).unwrap();
            let table = [&length.to_be_bytes(), properties].concat();
            frame(METHOD, &[b"\0\x0a\0\x0a\0\x09".as_slice(), &table, b"\0\0\0\x05PLAIN\0\0\0\x05en_US"].concat())
        };
        assert_eq!(followed(&start(b"\x01aF\0\0\0\0"), 3), Ok(start(b"")));
        let longer_than_it_is = frame(METHOD, b"\0\x0a\0\x0a\0\x09\0\0\0\x01");
        assert_eq!(followed(&longer_than_it_is, 4096), Err(BadFrame::NotAmqp));
    }
}
