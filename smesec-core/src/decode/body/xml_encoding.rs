//! The encodings of an XML document, brought to UTF-8 (XML 1.0, appendix F).

use super::xml::XmlFault;
use memchr::memmem;
use std::borrow::Cow;

/// What Windows-1252 has at 0x80 to 0x9f; the rest is as in ISO-8859-1.
const WINDOWS_1252: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";

/// The document in UTF-8, or the offset of the first byte that its encoding does not allow.
pub(super) fn to_utf8(bytes: &[u8]) -> Result<Cow<'_, [u8]>, (usize, XmlFault)> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => return utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => return utf16(rest, u16::from_be_bytes),
        [b'<', 0, _, 0, ..] => return utf16(bytes, u16::from_le_bytes),
        [0, b'<', 0, _, ..] => return utf16(bytes, u16::from_be_bytes),
        _ => {}
    }
    let name = declared(bytes).unwrap_or_default();
    let is = |names: &[&str]| names.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()));
    if is(&["", "utf-8", "utf8", "us-ascii", "ascii"]) {
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(Cow::Borrowed(bytes)),
            Err(error) => Err((error.valid_up_to(), XmlFault::InvalidEncoding)),
        }
    } else if is(&["iso-8859-1", "latin1", "iso_8859-1"]) {
        Ok(single_bytes(bytes, char::from))
    } else if is(&["windows-1252", "cp1252"]) {
        let table: Vec<char> = WINDOWS_1252.chars().collect();
        Ok(single_bytes(bytes, |byte| {
            let special = byte.checked_sub(0x80).and_then(|at| table.get(usize::from(at)));
            special.copied().unwrap_or(char::from(byte))
        }))
    } else {
        Err((0, XmlFault::UnsupportedEncoding))
    }
}

/// The encoding that the XML declaration names.
fn declared(bytes: &[u8]) -> Option<&[u8]> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let declaration = bytes.strip_prefix(b"<?xml")?;
    let declaration = declaration.get(..memmem::find(declaration, b"?>")?)?;
    let at = memmem::find(declaration, b"encoding")?;
    let value = declaration.get(at + 8..)?.trim_ascii_start().strip_prefix(b"=")?;
    let (quote, value) = value.trim_ascii_start().split_first()?;
    value.get(..value.iter().position(|byte| byte == quote)?)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'_, [u8]>, (usize, XmlFault)> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let mut out = Vec::with_capacity(bytes.len());
    for decoded in char::decode_utf16(pairs.iter().copied().map(unit)) {
        match decoded {
            Ok(character) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Err(_) => return Err((out.len(), XmlFault::InvalidEncoding)),
        }
    }
    if odd.is_empty() { Ok(out.into()) } else { Err((out.len(), XmlFault::InvalidEncoding)) }
}

fn single_bytes(bytes: &[u8], map: impl Fn(u8) -> char) -> Cow<'_, [u8]> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    for byte in bytes {
        out.extend_from_slice(map(*byte).encode_utf8(&mut [0; 4]).as_bytes());
    }
    out.into()
}
