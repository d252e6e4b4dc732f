//! Looks at the frames that a broker sends, on their way to the client library: one that is too long would fill its
//! buffer and stop its thread for ever.

/// No frame is longer than this; the library's buffer is twice as long. Both sides agree on far shorter ones.
pub const LONGEST: usize = 128 << 10;

/// What came is not AMQP.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAmqp;

/// Where in the stream of frames we are.
#[derive(Debug, Default)]
pub struct Frames {
    /// The beginning of a frame: its type, channel and length.
    head: Vec<u8>,
    /// How many bytes of the frame are still to come, the closing one included.
    left: usize,
}

impl Frames {
    /// Follows the stream by these bytes.
    ///
    /// # Errors
    /// When they are not to be passed on.
    pub fn follow(&mut self, mut bytes: &[u8]) -> Result<(), NotAmqp> {
        while let Some(first) = bytes.first() {
            if self.left > 0 {
                let step = self.left.min(bytes.len());
                self.left -= step;
                if self.left == 0 && bytes[step - 1] != 0xce {
                    return Err(NotAmqp);
                }
                bytes = &bytes[step..];
                continue;
            }
            self.head.push(*first);
            bytes = &bytes[1..];
            self.left = self.length()?;
            if self.left > 0 {
                self.head.clear();
            }
        }
        Ok(())
    }

    /// What comes after the head, once that is complete; 0 before.
    fn length(&mut self) -> Result<usize, NotAmqp> {
        match *self.head.as_slice() {
            // The name of the protocol, eight bytes with the version, from a broker that speaks another one.
            [b'A', ..] => {
                let is_name = b"AMQP".starts_with(&self.head) || self.head.starts_with(b"AMQP");
                if self.head.len() == 8 {
                    self.head.clear();
                }
                if is_name { Ok(0) } else { Err(NotAmqp) }
            }
            // A method, a header, a body, or a heartbeat.
            [1 | 2 | 3 | 8, _, _, a, b, c, d] => {
                let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| NotAmqp)?;
                if length < LONGEST { Ok(length + 1) } else { Err(NotAmqp) }
            }
            [1 | 2 | 3 | 8, ..] => Ok(0),
            _ => Err(NotAmqp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: &[u8] = b"\x08\0\0\0\0\0\0\xce";
    const METHOD: &[u8] = b"\x01\0\x05\0\0\0\x04\0\x14\0\x0b\xce";

    #[test]
    fn frames_pass_whatever_pieces_they_come_in() {
        let stream = [HEARTBEAT, METHOD, HEARTBEAT, b"AMQP\0\0\x09\x01"].concat();
        for size in 1..=stream.len() {
            let mut frames = Frames::default();
            for piece in stream.chunks(size) {
                assert_eq!(frames.follow(piece), Ok(()), "{size}");
            }
        }
    }

    #[test]
    fn anything_else_does_not() {
        for sent in [
            b"HTTP/1.1 400 Bad Request".as_slice(),
            b"AMQX",
            b"\0\0\0",
            b"\x01\0\0\x7f\xff\xff\xff",
            b"\x01\0\0\0\x02\0\0",
            b"\x08\0\0\0\0\0\0\0",
            b"\x01\0\x05\0\0\0\x04\0\x14\0\x0b\xcd",
        ] {
            assert_eq!(Frames::default().follow(sent), Err(NotAmqp), "{}", sent.escape_ascii());
        }
    }
}
