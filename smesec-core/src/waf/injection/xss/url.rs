//! Addresses that are script: the start of an attribute's value, with character references decoded.

/// The longest scheme looked for is VIEW-SOURCE.
const LONGEST: usize = 11;
/// Character references above this number are not decoded.
const HIGHEST: u32 = 0x10_00ff;

/// Whether an address carries script or a document in itself: `javascript:` (or `java:`), `vbscript:`, `data:`,
/// `view-source:`.
pub(super) fn is_dangerous(value: &[u8]) -> bool {
    // Browsers skip white space before an address, some of them anything but ASCII.
    let skipped =
        value.iter().position(|&byte| (b'!'..0x7f).contains(&byte)).unwrap_or(value.len());
    let mut rest = value.get(skipped..).unwrap_or_default();
    let mut scheme = [0; LONGEST];
    let mut len = 0;
    while len < LONGEST
        && let Some((character, taken)) = decode(rest)
    {
        rest = rest.get(taken..).unwrap_or_default();
        // Control characters are skipped at the start; NUL and line feed everywhere.
        if (len == 0 && character <= 32) || character == 0 || character == 10 {
            continue;
        }
        // As in the reference implementation only the low byte of a wide character counts.
        let [low, ..] = character.to_le_bytes();
        let folded = if character < 0x80 { low.to_ascii_uppercase() } else { low };
        if len == 0 && !matches!(folded, b'D' | b'J' | b'V') {
            return false;
        }
        if let Some(place) = scheme.get_mut(len) {
            *place = folded;
        }
        len += 1;
    }
    [&b"DATA"[..], b"JAVA", b"VBSCRIPT", b"VIEW-SOURCE"]
        .iter()
        .any(|dangerous| scheme.starts_with(dangerous))
}

/// The first character and the bytes it takes; what is not a numeric reference is its first byte.
fn decode(rest: &[u8]) -> Option<(u32, usize)> {
    let (&first, _) = rest.split_first()?;
    let plain = Some((u32::from(first), 1));
    let (radix, start) = match rest {
        [b'&', b'#', b'x' | b'X', ..] => (16, 3),
        [b'&', b'#', ..] => (10, 2),
        _ => return plain,
    };
    let digits = rest.get(start..).unwrap_or_default();
    let mut number = 0;
    let mut len = 0;
    for byte in digits {
        let Some(digit) = char::from(*byte).to_digit(radix) else { break };
        number = number * radix + digit;
        if number > HIGHEST {
            return plain;
        }
        len += 1;
    }
    if len == 0 {
        return plain;
    }
    let semicolon = usize::from(digits.get(len) == Some(&b';'));
    Some((number, start + len + semicolon))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_decoded() {
        for (input, expected) in [
            ("&#106;x", (106, 6)),
            ("&#x6a;x", (0x6a, 6)),
            ("&#x6ax", (0x6a, 5)),
            ("&#0000106", (106, 9)),
            ("&#", (38, 1)),
            ("&#x", (38, 1)),
            ("&#xg", (38, 1)),
            ("&amp;", (38, 1)),
            ("&#x1000ff;", (0x10_00ff, 10)),
            ("&#x100100;", (38, 1)),
            ("a", (97, 1)),
        ] {
            assert_eq!(decode(input.as_bytes()), Some(expected), "{input}");
        }
        assert_eq!(decode(b""), None);
    }

    #[test]
    fn schemes_are_found_behind_what_browsers_skip() {
        for input in [
            "javascript:x",
            " \x01\u{a0}JaVa",
            "&#32;&#10;d&#97;ta:",
            "v\0bscript:",
            "view-\nsource:",
        ] {
            assert!(is_dangerous(input.as_bytes()), "{input:?}");
        }
        for input in ["", "jav", "ja va", "http:java", "vie", "&#106", "date", "/javascript:"] {
            assert!(!is_dangerous(input.as_bytes()), "{input:?}");
        }
    }
}
