//! `application/x-www-form-urlencoded` bodies and query strings.
//!
//! Decoding is the tolerant one that `ModSecurity` documents for its arguments: `+` is a space,
//! `%HH` is a byte (`%00` included), and an escape that is not two hexadecimal digits stays as it
//! was written, because an application may read it either way and a rule should see it.
//!
//! ```
//! use smesec_core::decode::body::form::parse_form;
//!
//! let mut scratch = Vec::new();
//! let mut seen = Vec::new();
//! parse_form(b"q=a+b%21&page=2", b'&', &mut scratch, &mut |name, value, offset, _| {
//!     seen.push((name.to_vec(), value.to_vec(), offset));
//! });
//! assert_eq!(seen[0], (b"q".to_vec(), b"a b!".to_vec(), 2));
//! assert_eq!(seen[1], (b"page".to_vec(), b"2".to_vec(), 14));
//! ```

use memchr::{memchr, memchr_iter, memchr2};

/// What decoding one argument changed or found wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FormFlags {
    /// The name given out is not the bytes of the input, but their decoded form.
    pub name_decoded: bool,
    /// The value given out is not the bytes of the input, but their decoded form.
    pub value_decoded: bool,
    /// A `%` in the name or the value is not followed by two hexadecimal digits.
    pub invalid_encoding: bool,
}

/// What [`parse_form`] calls: name, value, offset of the value in the input, flags.
pub type EachArgument<'a> = dyn FnMut(&[u8], &[u8], usize, FormFlags) + 'a;

/// Calls `each(name, value, offset of the value in input, flags)` for every argument of `input`.
///
/// `separator` is `&` but for sites that set another one. An argument without `=` has an empty
/// value; two separators in a row hold an argument with an empty name; nothing follows a last
/// separator. Where nothing needs decoding the slices are those of `input`, otherwise they lie in
/// `scratch`, whose content is lost. The work is linear in the input and allocates only in
/// `scratch`, never more than the longest argument.
///
/// Source: the WHATWG URL standard's `application/x-www-form-urlencoded` parser, with the
/// tolerance described in the [module](self).
pub fn parse_form(input: &[u8], separator: u8, scratch: &mut Vec<u8>, each: &mut EachArgument<'_>) {
    let mut rest = input;
    let mut start = 0;
    while !rest.is_empty() {
        let (pair, tail) = split_around(rest, memchr(separator, rest));
        let equals = memchr(b'=', pair);
        let (name, value) = split_around(pair, equals);
        let offset = start + equals.map_or(pair.len(), |at| at + 1);
        start += pair.len() + 1;
        rest = tail;
        if memchr2(b'%', b'+', pair).is_none() {
            each(name, value, offset, FormFlags::default());
            continue;
        }
        scratch.clear();
        let name_decoded = append_decoded(name, scratch);
        let middle = scratch.len();
        let value_decoded = append_decoded(value, scratch);
        let (plain_name, plain_value) = scratch.split_at(middle);
        let flags = FormFlags {
            name_decoded,
            value_decoded,
            invalid_encoding: invalid_url_encoding(name) || invalid_url_encoding(value),
        };
        each(
            if name_decoded { plain_name } else { name },
            if value_decoded { plain_value } else { value },
            offset,
            flags,
        );
    }
}

/// Replaces the content of `out` with the decoded form of `input`; true when they differ.
pub fn url_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    append_decoded(input, out)
}

/// The same outside of forms, where a plus is a plus: paths of requests, and names in a text.
pub(crate) fn percent_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut rest = input;
    let mut changed = false;
    while let Some((plain, tail)) = memchr(b'%', rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(plain);
        let decoded = escape(tail);
        changed |= decoded.is_some();
        out.push(decoded.unwrap_or(b'%'));
        rest = tail.get(if decoded.is_some() { 3 } else { 1 }..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    changed
}

/// True when a `%` is not followed by two hexadecimal digits: what `URLENCODED_ERROR` reports.
pub fn invalid_url_encoding(input: &[u8]) -> bool {
    memchr_iter(b'%', input).any(|at| escape(input.get(at..).unwrap_or_default()).is_none())
}

fn split_around(input: &[u8], at: Option<usize>) -> (&[u8], &[u8]) {
    match at.and_then(|at| input.split_at_checked(at)) {
        Some((head, tail)) => (head, tail.split_first().map_or(&[], |(_, tail)| tail)),
        None => (input, &[]),
    }
}

fn append_decoded(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = input;
    let mut changed = false;
    while let Some((plain, tail)) =
        memchr2(b'%', b'+', rest).and_then(|at| rest.split_at_checked(at))
    {
        out.extend_from_slice(plain);
        let (byte, width) = match escape(tail) {
            Some(byte) => (byte, 3),
            None if tail.first() == Some(&b'+') => (b' ', 1),
            None => (b'%', 1),
        };
        changed |= width == 3 || byte == b' ';
        out.push(byte);
        rest = tail.get(width..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    changed
}

/// The byte that `%HH` at the start of `input` stands for.
fn escape(input: &[u8]) -> Option<u8> {
    match input {
        [b'%', high, low, ..] => Some(hex_digit(*high)? << 4 | hex_digit(*low)?),
        _ => None,
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Xorshift;
    use super::*;

    type Pair = (Vec<u8>, Vec<u8>, usize, FormFlags);

    fn pairs(input: &[u8]) -> Vec<Pair> {
        let mut out = Vec::new();
        parse_form(input, b'&', &mut Vec::new(), &mut |name, value, offset, flags| {
            out.push((name.to_vec(), value.to_vec(), offset, flags));
        });
        out
    }

    fn plain(input: &[u8]) -> Vec<(String, String)> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        pairs(input).into_iter().map(|(name, value, ..)| (text(name), text(value))).collect()
    }

    fn expect(input: &[u8], wanted: &[(&str, &str)]) {
        let wanted: Vec<_> =
            wanted.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(plain(input), wanted, "{}", String::from_utf8_lossy(input));
    }

    #[test]
    fn decodes_as_the_tolerant_reading_wants() {
        expect(
            b"a=1&b=%zz&c=%41%&d=+x+&&=v&e&f=%00g&a=2=3&g%3dh=i&%",
            &[
                ("a", "1"),
                ("b", "%zz"),
                ("c", "A%"),
                ("d", " x "),
                ("", ""),
                ("", "v"),
                ("e", ""),
                ("f", "\0g"),
                ("a", "2=3"),
                ("g=h", "i"),
                ("%", ""),
            ],
        );
        expect(b"a=%u0041&b=%1", &[("a", "%u0041"), ("b", "%1")]);
    }

    #[test]
    fn counts_empty_arguments_as_the_peer_does() {
        expect(b"", &[]);
        expect(b"&&", &[("", ""), ("", "")]);
        expect(b"=&=a&", &[("", ""), ("", "a")]);
    }

    #[test]
    fn takes_another_separator() {
        let mut names = Vec::new();
        parse_form(b"a=1;b=2&c", b';', &mut Vec::new(), &mut |name, value, _, _| {
            names.push((name.to_vec(), value.to_vec()));
        });
        assert_eq!(names, [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2&c".to_vec())]);
    }

    #[test]
    fn says_what_was_decoded_and_where_the_value_lies() {
        let seen = pairs(b"a%20=b&c=d+&e=%x&f");
        assert!(seen[0].3.name_decoded && !seen[0].3.value_decoded);
        assert!(seen[1].3.value_decoded && !seen[1].3.name_decoded);
        assert_eq!(seen[2].3, FormFlags { invalid_encoding: true, ..FormFlags::default() });
        assert_eq!(seen.iter().map(|pair| pair.2).collect::<Vec<_>>(), [5, 9, 14, 18]);
    }

    #[test]
    fn offsets_point_at_the_raw_value_whatever_the_input() {
        let mut random = Xorshift::new(7);
        for _ in 0..20_000 {
            let input = random.mutate(b"a=1&bc=%41&d=+&e%3d=x%&&=", b"a=&%+4g\0");
            for (_, value, offset, flags) in pairs(&input) {
                let raw = &input[offset..];
                let raw = &raw[..memchr(b'&', raw).unwrap_or(raw.len())];
                let mut decoded = Vec::new();
                assert_eq!(url_decode(raw, &mut decoded), flags.value_decoded);
                assert_eq!(decoded, value);
            }
        }
    }

    #[test]
    fn reports_invalid_escapes_only() {
        for good in [&b""[..], b"abc", b"%41%fF", b"+"] {
            assert!(!invalid_url_encoding(good), "{good:?}");
        }
        for bad in [&b"%"[..], b"%4", b"%4g", b"%%41", b"a%u0041"] {
            assert!(invalid_url_encoding(bad), "{bad:?}");
        }
    }
}
