//! Sanitizes what a request asks for, where it holds bytes that no URL may: hyper would answer 400, and on `/livez`
//! that makes kubelet kill the app, for a typo in a query.

/// Stands in for such a byte. No check's name has it.
const STAND_IN: u8 = b'!';

/// How far the first line of a request has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sanitizer {
    /// In the method, or before it.
    #[default]
    Method,
    /// Behind the first space.
    Target,
    /// In later lines, which are left alone.
    Rest,
}

impl Sanitizer {
    /// Mends the next bytes of a request.
    pub(super) fn sanitize(&mut self, mut bytes: &mut [u8]) {
        if *self == Self::Method {
            let Some(space) = bytes.iter().position(|byte| *byte == b' ') else { return };
            *self = Self::Target;
            bytes = &mut bytes[space + 1..];
        }
        if *self == Self::Target {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let line = &mut bytes[..end.unwrap_or_default()];
            // The last space is the one before the version.
            let target = line.iter().rposition(|byte| *byte == b' ').unwrap_or_default();
            line[..target].iter_mut().filter(|byte| **byte == b' ').for_each(|byte| *byte = STAND_IN);
            let length = end.unwrap_or(bytes.len());
            bytes[..length].iter_mut().filter(|byte| is_foreign(**byte)).for_each(|byte| *byte = STAND_IN);
            if end.is_some() {
                *self = Self::Rest;
            }
        }
    }
}

/// Whether hyper refuses the byte in a path or in a query, or might.
const fn is_foreign(byte: u8) -> bool {
    match byte {
        b'\r' | b' ' => false,
        b'"' | b'<' | b'>' | b'`' => true,
        _ => !byte.is_ascii_graphic(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(pieces: &[&[u8]]) -> Vec<u8> {
        let mut sanitizer = Sanitizer::default();
        let mut all = Vec::new();
        for piece in pieces {
            let mut piece = piece.to_vec();
            sanitizer.sanitize(&mut piece);
            all.extend(piece);
        }
        all
    }

    #[test]
    fn a_good_request_is_left_as_it_is() {
        let good = b"GET /livez/a%2Fb?c={d}|e HTTP/1.1\r\nHost: x\r\nX: \"<>`\xff\"\r\n\r\n";
        assert_eq!(mended(&[good]), good);
        for cut in 1..good.len() {
            assert_eq!(mended(&[&good[..cut], &good[cut..]]), good);
        }
    }

    #[test]
    fn foreign_bytes_of_the_target_are_replaced() {
        assert_eq!(
            mended(&[b"GET /li`vez?\"<>\x01\x7f\xff\t=a b  c HTTP/1.1\r\nX: \"\r\n"]),
            b"GET /li!vez?!!!!!!!=a!b!!c HTTP/1.1\r\nX: \"\r\n"
        );
        assert_eq!(mended(&[b"\r\nGET /livez?\"", b"\" HTTP/1.1\r\n\""]), b"\r\nGET /livez?!! HTTP/1.1\r\n\"");
        assert_eq!(mended(&[b"GET /livez\n", b"\""]), b"GET /livez\n\"");
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_target_holds_hyper_takes_it(junk: Vec<u8>, cut: proptest::sample::Index) {
            let junk: Vec<u8> = junk.into_iter().filter(|byte| !b"\r\n".contains(byte)).collect();
            let line = [b"GET /livez", &junk[..], b" HTTP/1.1\r\n"].concat();
            let whole = mended(&[&line]);
            let target = std::str::from_utf8(&whole[4..whole.len() - 11]).unwrap();
            proptest::prop_assert!(target.parse::<hyper::Uri>().is_ok(), "{target}");
            let (head, tail) = line.split_at(cut.index(line.len()));
            proptest::prop_assert_eq!(mended(&[head, tail]).len(), line.len());
        }
    }
}
