//! Field values as groups keep and hash them.

use super::hash::sip128;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Longer values are kept as their beginning and a hash, so that nobody fills the memory with one
/// field. 256 bytes: addresses, names and paths stay whole.
const LONGEST: usize = 256;

/// The form in which a value takes part: itself, or if long its beginning and its hash.
pub(crate) fn canonical(value: Cow<'_, str>) -> Cow<'_, str> {
    if value.len() <= LONGEST {
        return value;
    }
    let hash = sip128(4, value.as_bytes());
    let mut cut = LONGEST - 40;
    while !value.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut text = value.get(..cut).unwrap_or_default().to_owned();
    // Writing into a String cannot fail.
    let _ = write!(text, "…#{hash:032x}");
    Cow::Owned(text)
}

/// Appends a value: its length, then its bytes, so that no two lists are written alike.
pub(crate) fn encode(into: &mut Vec<u8>, value: &str) {
    into.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
    into.extend(value.as_bytes());
}

/// The values of a group again.
pub(crate) fn decode(mut text: &[u8]) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (length, rest) = text.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (value, rest) = rest.split_at_checked(length)?;
        text = rest;
        std::str::from_utf8(value).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_long_ones_stay_apart() {
        let mut text = Vec::new();
        for value in ["", "a", "é\0"] {
            encode(&mut text, value);
        }
        assert_eq!(decode(&text).collect::<Vec<_>>(), ["", "a", "é\0"]);
        assert_eq!(decode(&[9, 0, 0, 0, 1]).count(), 0);

        let long = "é".repeat(1_000);
        let other = format!("{long}x");
        let (a, b) = (canonical(long.as_str().into()), canonical(other.as_str().into()));
        assert!(a.len() <= LONGEST && a != b, "{a}\n{b}");
        assert_eq!(canonical("short".into()), "short");
    }
}
