//! Base64 (RFC 4648) as files and tokens write it; what is none of it is refused.

/// Which characters stand for 62 and 63.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alphabet {
    /// `+` and `/`; white space is skipped, as in YAML's `!!binary` and in PEM.
    Standard,
    /// `-` and `_` (RFC 7515, section 2).
    Url,
}

/// The bytes that a text stands for, padded or not; `None` where it is no Base64.
pub(super) fn decode(text: &str, alphabet: Alphabet) -> Option<Vec<u8>> {
    let (high, standard) = match alphabet {
        Alphabet::Standard => (b"+/", true),
        Alphabet::Url => (b"-_", false),
    };
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    let mut ended = false;
    for byte in text.bytes() {
        let value = match byte {
            b'=' => {
                ended = true;
                continue;
            }
            _ if standard && byte.is_ascii_whitespace() => continue,
            _ if ended => return None,
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            _ if byte == high[0] => 62,
            _ if byte == high[1] => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    // A character alone stands for six bits, which are no byte.
    (count < 6).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_are_read_and_nothing_else() {
        let standard = |text| decode(text, Alphabet::Standard);
        let url = |text| decode(text, Alphabet::Url);
        assert_eq!(standard("+/8=\n").as_deref(), Some(&b"\xfb\xff"[..]));
        assert_eq!(url("-_8").as_deref(), Some(&b"\xfb\xff"[..]));
        assert_eq!(standard("").as_deref(), Some(&b""[..]));
        for wrong in ["-_8", "A", "AA=A", "AAAAA", "A A*"] {
            assert_eq!(standard(wrong), None, "{wrong}");
        }
        assert_eq!(url("+/8"), None);
        assert_eq!(url("AA AA"), None);
    }
}
