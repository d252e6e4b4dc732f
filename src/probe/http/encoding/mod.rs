//! Content codings of a body (RFC 9110, section 8.4.1): gzip and deflate are undone as the body comes, in slices, and no
//! further than somebody looks.

mod gzip;
mod inflate;
mod layer;

use hyper::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use tokio::task::yield_now;

use self::inflate::{SLICE, damaged};
use self::layer::Layer;
use super::pace::Excess;
use crate::model::outcome::{Failure, FailureKind};

/// What is asked for where the body is looked at and the file says nothing else.
pub(super) const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip, deflate");

/// More codings than this, one around another, are not undone.
const MOST_CODINGS: usize = 3;

/// So much work, in bytes read or made, is done until others get their turn.
const TURN: usize = 64 << 10;

/// What each step of work counts beside its bytes.
const STEP: usize = 512;

/// What becomes so many times as long as it came, and longer than is wanted, was made for that.
const BOMB: usize = 500;

/// Undoes the codings of one body.
pub(super) struct Decoder {
    /// In the order in which they are undone.
    layers: Vec<Layer>,
    /// The first coding that cannot be undone.
    unknown: Option<String>,
    /// Bytes that have been read of the body as it came.
    read: usize,
    /// Bytes that all layers together may still make.
    left: usize,
    /// Work since others had their turn.
    worked: usize,
    /// Whether anything has come.
    has_begun: bool,
}

impl Decoder {
    /// What undoes the codings that `headers` name, if there are any; all layers together make no more than `most`
    /// bytes.
    pub(super) fn of(headers: &HeaderMap, most: usize) -> Option<Self> {
        let lists = headers.get_all(CONTENT_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let names: Vec<String> = lists.flat_map(|list| list.split(',').map(named).collect::<Vec<_>>()).collect();
        let names: Vec<String> = names.into_iter().filter(|name| !matches!(name.as_str(), "" | "identity")).collect();
        let layers: Result<Vec<Layer>, String> =
            names.iter().rev().map(|name| Layer::undoing(name).ok_or_else(|| name.clone())).collect();
        let (layers, unknown) = match layers {
            Ok(layers) if layers.is_empty() => return None,
            Ok(layers) if layers.len() > MOST_CODINGS => {
                (Vec::new(), Some(format!("{} codings, one around another", layers.len())))
            }
            Ok(layers) => (layers, None),
            Err(name) => (Vec::new(), Some(name)),
        };
        Some(Self { layers, unknown, read: 0, left: most, worked: 0, has_begun: false })
    }

    /// Adds what `piece` of the body decodes to, until `body` has `limit` bytes. Returns whether there is more.
    ///
    /// # Errors
    /// When it cannot be decoded, or is made to become far more than it is.
    pub(super) async fn decode(&mut self, piece: &[u8], body: &mut Vec<u8>, limit: usize) -> Result<bool, Failure> {
        if let Some(name) = &self.unknown {
            let message = format!("the body is encoded as {name}: only gzip and deflate are decoded");
            return Err(Failure::new(FailureKind::Protocol, message));
        }
        self.has_begun |= !piece.is_empty();
        // What one layer has made is given to the next before it makes more.
        let mut pending = vec![(0, piece.to_vec(), 0)];
        while let Some((depth, input, at)) = pending.pop() {
            if self.worked >= TURN {
                self.worked = 0;
                yield_now().await;
            }
            let Some(layer) = self.layers.get_mut(depth) else {
                let room = limit - body.len();
                body.extend_from_slice(&input[..input.len().min(room)]);
                if input.len() <= room {
                    continue;
                }
                let is_bomb = body.len() / self.read.max(1) >= BOMB;
                return if is_bomb { Err(damaged("the body decodes to far more than it can hold")) } else { Ok(true) };
            };
            let mut made = Vec::new();
            let (read, work) = layer.step(&input[at..], &mut made)?;
            self.worked += work + STEP;
            self.left = self.left.checked_sub(made.len()).ok_or_else(|| Excess::Framing.failure())?;
            if depth == 0 {
                self.read += read;
            }
            // A full slice may have more behind it although all was read.
            if at + read < input.len() || made.len() >= SLICE {
                pending.push((depth, input, at + read));
            }
            if !made.is_empty() {
                pending.push((depth + 1, made, 0));
            }
        }
        Ok(false)
    }

    /// The body has come to its end.
    ///
    /// # Errors
    /// When what has come is only a part of what it decodes to.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        match self.layers.iter().find(|layer| !layer.is_whole()) {
            // A body without content has no coding, whatever its head says.
            Some(layer) if self.has_begun => Err(damaged(format!("the body's {} ends too early", layer.name()))),
            _ => Ok(()),
        }
    }
}

/// The name of a coding as it is compared and shown: whatever is no name is shown as none.
fn named(text: &str) -> String {
    const LONGEST: usize = 20;
    let name = text.trim().to_ascii_lowercase();
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if name.len() <= LONGEST && is_name(&name) { name } else { "something unknown".into() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use flate2::{Compression, GzBuilder};

    use super::gzip::HAS_HEADER_CRC;
    use super::*;

    const LIMIT: usize = 64 << 10;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn bare(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// What a body comes to that was encoded as `codings` say and comes in pieces of so many bytes; `…` stands for more.
    async fn decoded_in(size: usize, codings: &str, encoded: &[u8]) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, codings.parse().unwrap());
        let mut decoder = Decoder::of(&headers, 8 * LIMIT + (1 << 20)).unwrap();
        let mut body = Vec::new();
        for piece in encoded.chunks(size) {
            if decoder.decode(piece, &mut body, LIMIT).await.map_err(|failure| failure.message)? {
                return Ok(format!("{}…", body.len()));
            }
        }
        decoder.finish().map_err(|failure| failure.message)?;
        Ok(String::from_utf8(body).unwrap())
    }

    async fn decoded(codings: &str, encoded: &[u8]) -> Result<String, String> {
        let whole = decoded_in(encoded.len().max(1), codings, encoded).await;
        for size in [1, 2, 3, 7, 100] {
            assert_eq!(decoded_in(size, codings, encoded).await, whole, "in pieces of {size}");
        }
        whole
    }

    #[tokio::test]
    async fn each_coding_is_undone_in_pieces_of_any_size() {
        let text = "{\"status\":\"ok\"}".repeat(100);
        let bytes = text.as_bytes();
        for (codings, encoded) in [
            ("gzip", gzip(bytes)),
            ("x-gzip", gzip(bytes)),
            ("GZIP", gzip(bytes)),
            ("identity, gzip,", gzip(bytes)),
            ("deflate", zlib(bytes)),
            ("deflate", bare(bytes)),
            ("deflate, gzip", gzip(&zlib(bytes))),
            ("gzip, gzip", gzip(&gzip(bytes))),
            ("gzip, deflate, gzip", gzip(&bare(&gzip(bytes)))),
            ("gzip", [gzip(&bytes[..100]), gzip(b""), gzip(&bytes[100..])].concat()),
            ("gzip", [gzip(bytes), vec![0; 512]].concat()),
            ("gzip", [gzip(bytes), b"garbage".to_vec()].concat()),
            ("deflate", [zlib(bytes), b"garbage".to_vec()].concat()),
        ] {
            assert_eq!(decoded(codings, &encoded).await, Ok(text.clone()), "{codings}");
        }
        assert_eq!(decoded("gzip", b"").await, Ok(String::new()));
        assert_eq!(decoded("gzip", &gzip(b"")).await, Ok(String::new()));
        assert_eq!(decoded("deflate", &zlib(b"")).await, Ok(String::new()));
        assert!(Decoder::of(&HeaderMap::new(), 1).is_none());
    }

    #[tokio::test]
    async fn every_field_of_a_header_is_passed_over() {
        for extra in ["", "extra"] {
            let builder = GzBuilder::new().filename("health.json").comment("made at night").extra(extra);
            let mut encoder = builder.write(Vec::new(), Compression::fast());
            encoder.write_all(b"ok").unwrap();
            let mut encoded = encoder.finish().unwrap();
            assert_eq!(decoded("gzip", &encoded).await, Ok("ok".into()));
            // A checksum of the header, which stands right before the data.
            let end = encoded.windows(14).position(|window| window == b"made at night\0").unwrap() + 14;
            encoded[3] |= HAS_HEADER_CRC;
            encoded.splice(end..end, [1, 2]);
            assert_eq!(decoded("gzip", &encoded).await, Ok("ok".into()));
        }
    }

    #[tokio::test]
    async fn what_is_cut_or_damaged_is_told() {
        let text = b"{\"status\":\"ok\"}";
        for (coding, encoded) in [("gzip", gzip(text)), ("deflate", zlib(text)), ("deflate", bare(text))] {
            for length in 1..encoded.len() {
                let message = decoded(coding, &encoded[..length]).await.unwrap_err();
                assert_eq!(message, format!("the body's {coding} ends too early"), "{length}");
            }
        }
        for index in (0..4).chain(gzip(text).len() - 8..gzip(text).len()) {
            let mut encoded = gzip(text);
            encoded[index] ^= 0xe0;
            assert_eq!(decoded("gzip", &encoded).await.unwrap_err(), "the body's gzip is damaged", "{index}");
        }
        assert_eq!(decoded("gzip", b"{\"status\":\"ok\"}").await.unwrap_err(), "the body's gzip is damaged");
        assert_eq!(decoded("deflate", b"\x78\x9cgarbage!").await.unwrap_err(), "the body's deflate is damaged");
        assert_eq!(decoded("deflate", b"garbage").await.unwrap_err(), "the body's deflate is damaged");
        let mut encoded = zlib(text);
        *encoded.last_mut().unwrap() ^= 1;
        assert_eq!(decoded("deflate", &encoded).await.unwrap_err(), "the body's deflate is damaged");
    }

    #[tokio::test]
    async fn another_coding_is_named_if_it_has_a_name() {
        for (codings, name) in [
            ("br", "br"),
            ("gzip, BR", "br"),
            ("zstd, gzip", "zstd"),
            ("hunter2=?", "something unknown"),
            ("gzip,gzip,gzip,gzip", "4 codings, one around another"),
        ] {
            let expected = format!("the body is encoded as {name}: only gzip and deflate are decoded");
            assert_eq!(decoded(codings, b"x").await.unwrap_err(), expected);
            assert_eq!(decoded(codings, b"").await, Ok(String::new()), "there is no body");
        }
    }

    #[tokio::test]
    async fn what_is_longer_than_wanted_is_cut_and_a_bomb_is_told() {
        let mut number = 1u32;
        let text: String = std::iter::repeat_with(|| {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + (number >> 24) as u8 % 26)
        })
        .take(LIMIT + 1)
        .collect();
        assert_eq!(decoded("gzip", &gzip(&text.as_bytes()[..LIMIT])).await.unwrap().len(), LIMIT);
        assert_eq!(decoded("gzip", &gzip(text.as_bytes())).await, Ok(format!("{LIMIT}…")));
        assert_eq!(decoded("deflate", &zlib(text.as_bytes())).await, Ok(format!("{LIMIT}…")));
        let bomb = gzip(&vec![b' '; 8 << 20]);
        for (codings, encoded) in
            [("gzip", bomb.clone()), ("deflate", zlib(&vec![0; 8 << 20])), ("gzip,gzip", gzip(&bomb))]
        {
            let message = decoded(codings, &encoded).await.unwrap_err();
            assert_eq!(message, "the body decodes to far more than it can hold", "{codings}");
        }
    }

    #[tokio::test]
    async fn a_bomb_that_comes_to_nothing_ends_too() {
        // Blocks without content, which a first layer makes of next to nothing.
        let nothing = [&[0x78, 0x9c][..], &b"\0\0\0\xff\xff".repeat(1 << 20)].concat();
        let message = decoded("deflate, gzip", &gzip(&nothing)).await.unwrap_err();
        assert_eq!(message, "the answer has far more framing than content");
    }
}
