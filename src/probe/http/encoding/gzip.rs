//! gzip (RFC 1952), member after member, each with its checksum.

use flate2::{Crc, Decompress, Status};

use super::inflate::{BEGINNING, SLICE, damaged, inflated};
use crate::model::outcome::Failure;

/// Members of gzip (RFC 1952), one after another.
#[derive(Default)]
pub(super) struct Gzip {
    part: GzipPart,
    inflate: Option<Box<Decompress>>,
    /// Of what the present member has given.
    crc: Crc,
    trailer: [u8; 8],
}

/// Where in a member of gzip.
#[derive(Clone, Copy, Default)]
enum GzipPart {
    /// So many bytes of the fixed header were read; its flags, once they are known.
    Fixed(u8, Flags),
    /// So many bytes of the length of the extra field were read, and what they say.
    ExtraLength(bool, u16, Flags),
    Extra(u16, Flags),
    Name(Flags),
    Comment(Flags),
    /// So many bytes of the header's checksum are left, which nobody looks at.
    HeaderCrc(u8),
    Data,
    Trailer(u8),
    /// A member is whole: another may follow, or something that is no part of it.
    #[default]
    Start,
    Between,
    Over,
}

/// The flags of a member's header that are still to be heeded.
pub(super) type Flags = u8;

pub(super) const HAS_HEADER_CRC: Flags = 2;
const HAS_EXTRA: Flags = 4;
const HAS_NAME: Flags = 8;
const HAS_COMMENT: Flags = 16;
const RESERVED: Flags = 0b1110_0000;

impl Gzip {
    /// Whether nothing is missing of what has come.
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self.part, GzipPart::Between | GzipPart::Over)
    }

    /// Reads of `input` and adds to `made`, which is empty, no more than a slice. Returns how much was read, and how
    /// much work that was.
    pub(super) fn step(&mut self, input: &[u8], made: &mut Vec<u8>) -> Result<(usize, usize), Failure> {
        match self.part {
            GzipPart::Over => Ok((input.len(), 0)),
            GzipPart::Data => {
                let inflate = self.inflate.get_or_insert_with(|| Box::new(Decompress::new(false)));
                let (read, status) = inflated(inflate, input, made, "gzip")?;
                self.crc.update(made);
                if status == Status::StreamEnd {
                    self.part = GzipPart::Trailer(0);
                }
                Ok((read, read + made.len()))
            }
            _ => {
                let mut read = 0;
                while let Some(byte) = input.get(read)
                    && !matches!(self.part, GzipPart::Data | GzipPart::Over)
                    && read < SLICE
                {
                    self.part = self.after(*byte)?;
                    read += 1;
                }
                let begins = if matches!(self.part, GzipPart::Data) { self.begin() } else { 0 };
                Ok((read, read + begins))
            }
        }
    }

    /// The data of a member comes next. Returns the work of that.
    fn begin(&mut self) -> usize {
        self.crc.reset();
        if let Some(inflate) = &mut self.inflate {
            inflate.reset(false);
        }
        BEGINNING
    }

    /// Where `byte`, which is none of the data, leads to.
    fn after(&mut self, byte: u8) -> Result<GzipPart, Failure> {
        let is = |wanted: u8| {
            if byte == wanted { Ok(()) } else { Err(damaged("the body's gzip is damaged")) }
        };
        Ok(match self.part {
            GzipPart::Start => is(0x1f).map(|()| GzipPart::Fixed(1, 0))?,
            // gzip itself and browsers ignore what follows the last member, zeros most of all.
            GzipPart::Between if byte != 0x1f => GzipPart::Over,
            GzipPart::Between => GzipPart::Fixed(1, 0),
            GzipPart::Fixed(1, flags) => is(0x8b).map(|()| GzipPart::Fixed(2, flags))?,
            GzipPart::Fixed(2, flags) => is(8).map(|()| GzipPart::Fixed(3, flags))?,
            GzipPart::Fixed(3, _) => is(byte & !RESERVED).map(|()| GzipPart::Fixed(4, byte))?,
            GzipPart::Fixed(9, flags) => header_after(flags),
            GzipPart::Fixed(read, flags) => GzipPart::Fixed(read + 1, flags),
            GzipPart::ExtraLength(false, _, flags) => GzipPart::ExtraLength(true, byte.into(), flags),
            GzipPart::ExtraLength(true, low, flags) => match low | u16::from(byte) << 8 {
                0 => header_after(flags),
                length => GzipPart::Extra(length, flags),
            },
            GzipPart::Extra(1, flags) => header_after(flags),
            GzipPart::Extra(left, flags) => GzipPart::Extra(left - 1, flags),
            GzipPart::Name(flags) | GzipPart::Comment(flags) if byte == 0 => header_after(flags),
            GzipPart::HeaderCrc(1) => GzipPart::Data,
            GzipPart::HeaderCrc(left) => GzipPart::HeaderCrc(left - 1),
            GzipPart::Trailer(read) => {
                self.trailer[usize::from(read)] = byte;
                if read == 7 { self.checked()? } else { GzipPart::Trailer(read + 1) }
            }
            same @ (GzipPart::Name(_) | GzipPart::Comment(_) | GzipPart::Data | GzipPart::Over) => same,
        })
    }

    /// The trailer has come: checksum and length of what the member gave.
    fn checked(&self) -> Result<GzipPart, Failure> {
        let [a, b, c, d, length @ ..] = self.trailer;
        if (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(length)) == (self.crc.sum(), self.crc.amount()) {
            Ok(GzipPart::Between)
        } else {
            Err(damaged("the body's gzip is damaged"))
        }
    }
}

/// What comes next in the header of a member.
const fn header_after(flags: Flags) -> GzipPart {
    if flags & HAS_EXTRA != 0 {
        GzipPart::ExtraLength(false, 0, flags & !HAS_EXTRA)
    } else if flags & HAS_NAME != 0 {
        GzipPart::Name(flags & !HAS_NAME)
    } else if flags & HAS_COMMENT != 0 {
        GzipPart::Comment(flags & !HAS_COMMENT)
    } else if flags & HAS_HEADER_CRC != 0 {
        GzipPart::HeaderCrc(2)
    } else {
        GzipPart::Data
    }
}
