//! UTF-8 to `%uhhhh`, and the code pages that map such code units back to bytes.

use super::{hex_digits, rewrite};

/// How a code page writes Unicode's code units as single bytes, for
/// [`urlDecodeUni`](super::Transform::UrlDecodeUni).
///
/// ```
/// use smesec_core::decode::transform::{Transform, UnicodeMap};
///
/// let file = "20127 (US-ASCII)\n00c0:41 2018:27\n";
/// let map = UnicodeMap::parse(file, 20127).unwrap();
/// let mut out = Vec::new();
/// Transform::UrlDecodeUni.apply_with(b"%u2018", &mut out, Some(&map));
/// assert_eq!(out, b"'");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnicodeMap {
    /// Sorted by code unit, each once.
    pairs: Box<[(u16, u8)]>,
}

impl UnicodeMap {
    /// Reads the section of `code_page` from the text of a `unicode.mapping` file.
    ///
    /// A section opens with a line whose first word is the code page's decimal number; the words
    /// `hhhh:hh` after it, up to the next such line, map a code unit to a byte. Other words are
    /// passed over, `#` opens a comment line, and the last of several entries for a code unit
    /// holds. `None` if the file has no entry for the code page.
    pub fn parse(text: &str, code_page: u32) -> Option<Self> {
        let mut pairs = std::collections::BTreeMap::new();
        let mut inside = false;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_ascii_whitespace();
            if let Some(number) = words.clone().next().and_then(|word| word.parse::<u32>().ok()) {
                inside = number == code_page;
                words.next();
            } else if line.starts_with('(') {
                // A title without a number opens a section that no number names.
                inside = false;
            }
            if inside {
                pairs.extend(words.filter_map(|word| {
                    let (unit, byte) = word.split_once(':')?;
                    let unit = u16::from_str_radix(unit, 16).ok()?;
                    Some((unit, u8::from_str_radix(byte, 16).ok()?))
                }));
            }
        }
        (!pairs.is_empty()).then(|| Self { pairs: pairs.into_iter().collect() })
    }

    /// The byte for a code unit, if the code page has one.
    pub fn byte(&self, unit: u16) -> Option<u8> {
        let at = self.pairs.binary_search_by_key(&unit, |&(key, _)| key).ok()?;
        self.pairs.get(at).map(|&(_, byte)| byte)
    }
}

/// Sequences that are longer than need be, and surrogates, are written too and followed by their
/// first byte, so that a rule can see them.
pub(super) fn utf8_to_unicode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let find = |rest: &[u8]| rest.iter().position(|&byte| byte >= 0x80);
    rewrite(input, out, find, |tail, out| {
        let Some((point, used)) = sequence(tail) else {
            return stray(tail, out);
        };
        let lead = tail.first().copied().unwrap_or_default();
        if lead >= 0xF5 {
            out.push(lead);
        }
        out.extend_from_slice(b"%u");
        let [_, top, high, low] = point.to_be_bytes();
        if top >= 0x10 {
            out.extend_from_slice(&hex_digits(top));
        } else if top > 0 {
            out.extend(hex_digits(top).last());
        }
        out.extend_from_slice(&hex_digits(high));
        out.extend_from_slice(&hex_digits(low));
        let least = match used {
            2 => 0x80,
            3 => 0x800,
            _ => 0x1_0000,
        };
        if point < least || (0xD800..=0xDFFF).contains(&point) {
            out.push(lead);
        }
        used
    })
}

/// A first byte whose sequence is not whole is dropped, as v3 does; other stray bytes stay.
fn stray(tail: &[u8], out: &mut Vec<u8>) -> usize {
    if let Some(&lead) = tail.first()
        && !(0xC0..=0xF4).contains(&lead)
    {
        out.push(lead);
    }
    1
}

/// The number that a well-shaped sequence of two to four bytes stands for, and its length.
fn sequence(tail: &[u8]) -> Option<(u32, usize)> {
    let (&lead, rest) = tail.split_first()?;
    let (first, more) = match lead {
        0xC0..=0xDF => (lead & 0x1F, 1),
        0xE0..=0xEF => (lead & 0x0F, 2),
        0xF0..=0xF7 => (lead & 0x07, 3),
        _ => return None,
    };
    let mut point = u32::from(first);
    for &byte in rest.get(..more)? {
        if byte & 0xC0 != 0x80 {
            return None;
        }
        point = (point << 6) | u32::from(byte & 0x3F);
    }
    Some((point, more + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_holds_only_its_own_code_page() {
        let file = "# comment 1250\n1250 (ANSI)\n00a1:21 00a2:63\n00a3:4c bad zz:1 ffff1:22\n\n1252 (x)\n00a1:99\n(MAC)\n00a1:11\n";
        let map = UnicodeMap::parse(file, 1250).unwrap();
        assert_eq!(
            [0xA1, 0xA2, 0xA3, 0xA4].map(|unit| map.byte(unit)),
            [Some(0x21), Some(0x63), Some(0x4C), None]
        );
        assert_eq!(UnicodeMap::parse(file, 1252).unwrap().byte(0xA1), Some(0x99));
        assert_eq!(UnicodeMap::parse(file, 437), None);
    }
}
