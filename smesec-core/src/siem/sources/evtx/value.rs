//! The values in an event's holes, rendered as Windows renders them.

use super::super::draft::{Draft, Fault};
use super::super::stamp;
use super::bytes::Bytes;
use crate::siem::record::Kind;
use crate::time::Timestamp;
use std::fmt::Write as _;

/// A value within the chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) at: usize,
    pub(super) size: u16,
    /// Its type, with the bit 0x80 for several.
    pub(super) kind: u8,
    /// The call that a value of binary XML is.
    pub(super) call: Option<usize>,
}

const SEVERAL: u8 = 0x80;
const STRING: u8 = 0x01;
const ANSI: u8 = 0x02;
const FILETIME: u8 = 0x11;

impl Slot {
    fn bytes<'l>(&self, chunk: Bytes<'l>) -> &'l [u8] {
        chunk.slice(self.at, usize::from(self.size)).unwrap_or_default()
    }

    /// Adds the value under a name, several as several fields.
    pub(super) fn field<'l>(
        &self,
        name: &'l str,
        chunk: Bytes<'l>,
        draft: &mut Draft<'l>,
    ) -> Result<(), Fault> {
        let bytes = self.bytes(chunk);
        let kind = self.kind & !SEVERAL;
        if self.kind & SEVERAL == 0 {
            let text = rendered(kind, bytes, draft)?;
            return draft.push(name, text, kind_of(kind));
        }
        if kind == STRING {
            // Each ends with NUL; what follows the last is one more without it.
            let units = bytes.as_chunks::<2>().0;
            let mut rest = units.strip_suffix(&[[0, 0]]).unwrap_or(units);
            loop {
                let end = rest.iter().position(|unit| *unit == [0, 0]);
                let one = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                let text = rendered(STRING, one.as_flattened(), draft)?;
                draft.text(name, text)?;
                let Some(end) = end else { return Ok(()) };
                rest = rest.get(end + 1..).unwrap_or_default();
            }
        }
        let Some(width) = width(kind).filter(|width| *width > 0) else {
            let text = rendered(0x0e, bytes, draft)?;
            return draft.text(name, text);
        };
        for one in bytes.chunks_exact(width) {
            let text = rendered(kind, one, draft)?;
            draft.push(name, text, kind_of(kind))?;
        }
        Ok(())
    }

    /// The value as one text.
    pub(super) fn text<'l>(
        &self,
        chunk: Bytes<'l>,
        draft: &mut Draft<'l>,
    ) -> Result<&'l str, Fault> {
        rendered(self.kind & !SEVERAL, self.bytes(chunk), draft)
    }

    /// The value as a time.
    pub(super) fn time(&self, chunk: Bytes<'_>) -> Option<Timestamp> {
        (self.kind == FILETIME).then(|| chunk.u64(self.at)).flatten().and_then(stamp::filetime)
    }
}

/// Bytes of a value of a type; `None` for those of any length.
const fn width(kind: u8) -> Option<usize> {
    Some(match kind {
        0x03 | 0x04 => 1,
        0x05 | 0x06 => 2,
        0x07 | 0x08 | 0x0b | 0x0d | 0x14 => 4,
        0x09 | 0x0a | 0x0c | FILETIME | 0x15 => 8,
        0x0f | 0x12 => 16,
        _ => return None,
    })
}

const fn kind_of(kind: u8) -> Kind {
    match kind {
        0x03..=0x0c => Kind::Number,
        0x0d => Kind::Bool,
        _ => Kind::Text,
    }
}

fn rendered<'l>(kind: u8, bytes: &[u8], draft: &mut Draft<'l>) -> Result<&'l str, Fault> {
    let mut out = draft.arena.writer();
    let value = Bytes(bytes);
    let short = || Fault::Borrowed("an event with a value shorter than its type");
    match kind {
        STRING => {
            out.utf16(bytes);
            out.trim_end(|byte| byte == 0);
        }
        ANSI => {
            bytes
                .iter()
                .take_while(|byte| **byte != 0)
                .for_each(|byte| out.char(char::from(*byte)));
        }
        0x03 => {
            let byte = value.u8(0).ok_or_else(short)?;
            let _ = write!(out, "{}", i8::from_le_bytes([byte]));
        }
        0x04 => out.decimal(value.u8(0).ok_or_else(short)?.into()),
        0x05 => {
            let _ = write!(out, "{}", value.u16(0).ok_or_else(short)?.cast_signed());
        }
        0x06 => out.decimal(value.u16(0).ok_or_else(short)?.into()),
        0x07 => {
            let _ = write!(out, "{}", value.u32(0).ok_or_else(short)?.cast_signed());
        }
        0x08 => out.decimal(value.u32(0).ok_or_else(short)?.into()),
        0x09 => {
            let _ = write!(out, "{}", value.u64(0).ok_or_else(short)?.cast_signed());
        }
        0x0a => out.decimal(value.u64(0).ok_or_else(short)?),
        0x0b => {
            let _ = write!(out, "{}", f32::from_bits(value.u32(0).ok_or_else(short)?));
        }
        0x0c => {
            let _ = write!(out, "{}", f64::from_bits(value.u64(0).ok_or_else(short)?));
        }
        0x0d => out.push(if bytes.iter().any(|byte| *byte != 0) { "true" } else { "false" }),
        0x0f => {
            let (first, second, third) = (value.u32(0), value.u16(4), value.u16(6));
            let (Some(first), Some(second), Some(third)) = (first, second, third) else {
                return Err(short());
            };
            let fourth = value.u16(8).ok_or_else(short)?.swap_bytes();
            let _ = write!(out, "{{{first:08x}-{second:04x}-{third:04x}-{fourth:04x}-");
            for byte in value.slice(10, 6).ok_or_else(short)? {
                let _ = write!(out, "{byte:02x}");
            }
            out.push("}");
        }
        0x10 | 0x14 | 0x15 => {
            let number = value.u64(0).or_else(|| value.u32(0).map(u64::from));
            let _ = write!(out, "{:#x}", number.ok_or_else(short)?);
        }
        FILETIME => {
            if let Some(time) = value.u64(0).and_then(stamp::filetime) {
                moment(&mut out, time);
            } else {
                out.decimal(value.u64(0).ok_or_else(short)?);
            }
        }
        0x12 => {
            let mut part = [0; 8];
            for (n, part) in part.iter_mut().enumerate() {
                *part = value.u16(n * 2).ok_or_else(short)?;
            }
            let [year, month, _, day, hour, minute, second, milli] = part;
            let _ = write!(
                out,
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
            );
        }
        0x13 => {
            let count = value.u8(1).ok_or_else(short)?;
            let authority = value.slice(2, 6).ok_or_else(short)?;
            let authority = authority.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            let _ = write!(out, "S-{}-{authority}", value.u8(0).unwrap_or_default());
            for n in 0..usize::from(count) {
                let part = value.u32(8 + n * 4).ok_or_else(short)?;
                let _ = write!(out, "-{part}");
            }
        }
        _ => {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            for byte in bytes {
                let digit = |at: u8| DIGITS.get(usize::from(at)).copied().unwrap_or_default();
                out.bytes(&[digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    out.finish()
}

/// With the seven decimals that a tick of 100 ns has.
fn moment(out: &mut impl std::fmt::Write, time: Timestamp) {
    let c = time.civil();
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:07}Z",
        c.year,
        c.month,
        c.day,
        c.hour,
        c.minute,
        c.second,
        c.nanos / 100
    );
}

/// Adds UTF-16 to a text; halves of pairs become U+FFFD.
pub(super) fn push_utf16(text: &mut String, bytes: &[u8]) {
    let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
    text.extend(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
}
