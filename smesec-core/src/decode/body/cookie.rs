//! The `Cookie` request header.
//!
//! ```
//! use smesec_core::decode::body::cookie::{CookieFormat, parse_cookies};
//!
//! let mut names = Vec::new();
//! parse_cookies(b"id=7; theme=dark", CookieFormat::Netscape, &mut |name, _| {
//!     names.push(name.to_vec());
//! });
//! assert_eq!(names, [b"id".to_vec(), b"theme".to_vec()]);
//! ```

use memchr::memchr;

/// How a `Cookie` header is read: the two values of `SecCookieFormat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieFormat {
    /// `SecCookieFormat 0`: Netscape's `name=value; name=value`, which is also what RFC 6265
    /// makes of the header; quotes are ordinary bytes.
    #[default]
    Netscape,
    /// `SecCookieFormat 1`: RFC 2109. A value may be a quoted string, which may hold separators;
    /// the quotes are not part of it. `,` separates like `;`, and the attributes `$Version`,
    /// `$Path`, `$Domain` and `$Port` are given out like cookies, since they are sent by the client.
    Version1,
}

/// Calls `each(name, value)` for every cookie of one `Cookie` header's value.
///
/// White space before a name is dropped; what follows a name or a value is part of it. A cookie
/// without `=` has an empty value, one without a name is skipped, as `ModSecurity` does. Nothing
/// is decoded and nothing is copied but quoted strings that hold a backslash.
pub fn parse_cookies(header: &[u8], format: CookieFormat, each: &mut dyn FnMut(&[u8], &[u8])) {
    match format {
        CookieFormat::Netscape => {
            for cookie in header.split(|byte| *byte == b';') {
                let cookie = cookie.trim_ascii_start();
                let (name, value) = match memchr(b'=', cookie) {
                    Some(at) => (cookie.get(..at), cookie.get(at + 1..)),
                    None => (Some(cookie), None),
                };
                emit(name.unwrap_or_default(), value.unwrap_or_default(), each);
            }
        }
        CookieFormat::Version1 => version1(header, each),
    }
}

fn emit(name: &[u8], value: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) {
    if !name.is_empty() {
        each(name, value);
    }
}

fn version1(header: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) {
    let separator = |byte: &u8| matches!(byte, b';' | b',');
    let mut rest = header;
    let mut unescaped = Vec::new();
    while !rest.is_empty() {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|byte| separator(byte) || *byte == b'=');
        let (name, tail) = rest.split_at(end.unwrap_or(rest.len()));
        let mut value: &[u8] = &[];
        rest = tail;
        if let Some((b'=', after)) = rest.split_first() {
            rest = after;
            let trimmed = after.trim_ascii_start();
            if let Some((b'"', inside)) = trimmed.split_first() {
                let (width, escaped) = quoted_width(inside);
                value = inside.get(..width).unwrap_or_default();
                rest = inside.get(width..).unwrap_or_default();
                if escaped {
                    unescaped.clear();
                    unescape(value, &mut unescaped);
                    value = &unescaped;
                }
            } else {
                let end = rest.iter().position(separator).unwrap_or(rest.len());
                (value, rest) = rest.split_at(end);
            }
        }
        emit(name.trim_ascii_end(), value, each);
        let next = rest.iter().position(separator).map_or(rest.len(), |at| at + 1);
        rest = rest.get(next..).unwrap_or_default();
    }
}

/// How many bytes lie before the closing quote, and whether a backslash is among them. Without a
/// closing quote the string runs to the end, so that nothing hides behind it.
fn quoted_width(input: &[u8]) -> (usize, bool) {
    let mut skip = false;
    let mut escaped = false;
    for (at, byte) in input.iter().enumerate() {
        match byte {
            _ if skip => skip = false,
            b'\\' => (skip, escaped) = (true, true),
            b'"' => return (at, escaped),
            _ => {}
        }
    }
    (input.len(), escaped)
}

fn unescape(input: &[u8], out: &mut Vec<u8>) {
    let mut bytes = input.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => out.extend(bytes.next()),
            _ => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Xorshift;
    use super::*;

    fn cookies(header: &str, format: CookieFormat) -> Vec<(String, String)> {
        let mut out = Vec::new();
        parse_cookies(header.as_bytes(), format, &mut |name, value| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            out.push((text(name), text(value)));
        });
        out
    }

    fn expect(header: &str, format: CookieFormat, wanted: &[(&str, &str)]) {
        let wanted: Vec<_> =
            wanted.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(cookies(header, format), wanted, "{header}");
    }

    #[test]
    fn reads_netscape_cookies_as_the_peer_does() {
        expect(
            "a=1; b=2;c=3;  d = 4 ; e;=f;g=;h=\"q; r\"; i=%41+b;; j=k=l",
            CookieFormat::Netscape,
            &[
                ("a", "1"),
                ("b", "2"),
                ("c", "3"),
                ("d ", " 4 "),
                ("e", ""),
                ("g", ""),
                ("h", "\"q"),
                ("r\"", ""),
                ("i", "%41+b"),
                ("j", "k=l"),
            ],
        );
        expect("a=1, b=2", CookieFormat::Netscape, &[("a", "1, b=2")]);
        expect(" a=\tb\t;\tc=d", CookieFormat::Netscape, &[("a", "\tb\t"), ("c", "d")]);
        expect("a=1; a=2", CookieFormat::Netscape, &[("a", "1"), ("a", "2")]);
        expect(";", CookieFormat::Netscape, &[]);
    }

    #[test]
    fn reads_quoted_values_in_version_one() {
        expect(
            "$Version=\"1\"; a=\"x; y\\\"z\"; $Path=/, b = 2",
            CookieFormat::Version1,
            &[("$Version", "1"), ("a", "x; y\"z"), ("$Path", "/"), ("b", " 2")],
        );
        expect("a=\"open; b=1", CookieFormat::Version1, &[("a", "open; b=1")]);
        expect("a;b=", CookieFormat::Version1, &[("a", ""), ("b", "")]);
    }

    #[test]
    fn survives_anything() {
        let mut random = Xorshift::new(3);
        for _ in 0..20_000 {
            let header = random.mutate(b"a=\"x; y\\\"z\"; b=2, $Path=/;;c", b"a=;,\"\\ \0");
            for format in [CookieFormat::Netscape, CookieFormat::Version1] {
                let mut total = 0;
                parse_cookies(&header, format, &mut |name, value| {
                    assert!(!name.is_empty());
                    total += name.len() + value.len();
                });
                assert!(total <= header.len());
            }
        }
    }
}
