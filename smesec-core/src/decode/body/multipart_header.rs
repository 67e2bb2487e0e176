//! The header fields of a multipart body: the boundary in `Content-Type`, and what
//! `Content-Disposition` says of a part.

use super::multipart::{MultipartError, MultipartFlags};

/// The boundary and what was unusual about the way it was given.
pub(super) fn boundary(
    content_type: &[u8],
    flags: &mut MultipartFlags,
) -> Result<Vec<u8>, MultipartError> {
    const TYPE: &[u8] = b"multipart/form-data";
    let content_type = content_type.trim_ascii_start();
    let Some((media_type, mut rest)) = content_type.split_at_checked(TYPE.len()) else {
        return Err(MultipartError::NotMultipart);
    };
    if !media_type.eq_ignore_ascii_case(TYPE) {
        return Err(MultipartError::NotMultipart);
    }
    match boundary_parameters(rest) {
        0 if rest.windows(8).any(|word| word.eq_ignore_ascii_case(b"boundary")) => {
            return Err(MultipartError::BoundaryMalformed);
        }
        0 => return Err(MultipartError::BoundaryMissing),
        1 => {}
        _ => return Err(MultipartError::BoundaryRepeated),
    }
    loop {
        let blank = rest.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b";") {
            rest = after.trim_ascii_start();
        } else if blank && rest.get(..8).is_some_and(|w| w.eq_ignore_ascii_case(b"boundary")) {
            flags.missing_semicolon = true;
        } else {
            return Err(MultipartError::BoundaryMalformed);
        }
        let width = rest.iter().position(|byte| !is_token(*byte)).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(width);
        if name.eq_ignore_ascii_case(b"boundary") {
            if name != b"boundary" {
                return Err(MultipartError::BoundaryCase);
            }
            return boundary_value(tail, flags);
        }
        let value = tail.strip_prefix(b"=").ok_or(MultipartError::BoundaryMalformed)?;
        let end = if let Some(inside) = value.strip_prefix(b"\"") {
            inside.iter().position(|byte| *byte == b'"').map(|at| at + 2)
        } else {
            value.iter().position(|byte| !is_token(*byte))
        };
        rest = end.and_then(|end| value.get(end..)).ok_or(MultipartError::BoundaryMalformed)?;
    }
}

/// How many parameters are called `boundary`: two parsers may each take another one. A browser's
/// own boundary holds the word too (`----WebKitFormBoundary…`), so it counts as a whole word that
/// is followed by an equals sign only.
fn boundary_parameters(rest: &[u8]) -> usize {
    let words = rest.windows(8).enumerate();
    let named = words.filter(|(at, word)| {
        let before = at.checked_sub(1).and_then(|before| rest.get(before));
        let after = rest.get(at + 8..).unwrap_or_default().trim_ascii_start();
        word.eq_ignore_ascii_case(b"boundary")
            && before.is_none_or(|byte| !is_token(*byte))
            && after.starts_with(b"=")
    });
    named.count()
}

fn boundary_value(input: &[u8], flags: &mut MultipartFlags) -> Result<Vec<u8>, MultipartError> {
    let before = input.trim_ascii_start();
    let value = before.strip_prefix(b"=").ok_or(MultipartError::BoundaryMalformed)?;
    let trimmed = value.trim_ascii_start();
    flags.boundary_whitespace = before.len() != input.len() || trimmed.len() != value.len();
    let boundary = if let Some(inside) = trimmed.strip_prefix(b"\"") {
        flags.boundary_quoted = true;
        let end = inside.iter().position(|byte| *byte == b'"');
        let (quoted, after) =
            end.and_then(|at| inside.split_at_checked(at)).ok_or(MultipartError::BoundaryQuote)?;
        let after = after.strip_prefix(b"\"").unwrap_or(after).trim_ascii();
        if !after.is_empty() && !after.starts_with(b";") {
            return Err(MultipartError::BoundaryQuote);
        }
        quoted
    } else {
        let end = trimmed.iter().position(|byte| *byte == b';').unwrap_or(trimmed.len());
        let plain = trimmed.get(..end).unwrap_or_default();
        if plain.contains(&b'"') {
            return Err(MultipartError::BoundaryQuote);
        }
        plain
    };
    // RFC 2046, section 5.1.1: 1 to 70 of these, and a space is never the last.
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    if boundary.is_empty() {
        return Err(MultipartError::BoundaryMissing);
    }
    if boundary.len() > 70 {
        return Err(MultipartError::BoundaryTooLong);
    }
    if !boundary.iter().all(valid) || boundary.ends_with(b" ") {
        return Err(MultipartError::BoundaryCharacters);
    }
    Ok(boundary.to_vec())
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a part's `Content-Disposition` names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Disposition {
    pub(super) name: Option<Vec<u8>>,
    pub(super) filename: Option<Vec<u8>>,
    pub(super) invalid_part: bool,
    pub(super) invalid_quoting: bool,
}

/// Reads the value of a part's `Content-Disposition` (RFC 7578, section 4.2; RFC 6266).
///
/// Whatever is wrong is flagged, and reading goes on as a lenient application would, so that the
/// part is inspected under the name that the application will give it.
pub(super) fn disposition(value: &[u8]) -> Disposition {
    let mut out = Disposition::default();
    let mut extended = None;
    let mut rest = value.trim_ascii();
    let width = rest.iter().position(|byte| !is_token(*byte)).unwrap_or(rest.len());
    let (kind, tail) = rest.split_at(width);
    out.invalid_part |= kind != b"form-data";
    rest = tail.trim_ascii_start();
    while !rest.is_empty() {
        match rest.strip_prefix(b";") {
            Some(after) => rest = after.trim_ascii_start(),
            None => out.invalid_part = true,
        }
        if rest.is_empty() {
            break;
        }
        let width = rest.iter().position(|byte| !is_token(*byte)).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(width);
        let tail = tail.trim_ascii_start();
        let Some(tail) = tail.strip_prefix(b"=").filter(|_| width > 0) else {
            out.invalid_part = true;
            let next = tail.iter().position(|byte| *byte == b';').unwrap_or(tail.len());
            rest = tail.get(next..).unwrap_or_default();
            continue;
        };
        let mut value = Vec::new();
        rest = parameter_value(tail.trim_ascii_start(), &mut value, &mut out).trim_ascii_start();
        out.invalid_part |= name.iter().any(u8::is_ascii_uppercase);
        let slot = if name.eq_ignore_ascii_case(b"name") {
            out.invalid_part |= value.is_empty();
            &mut out.name
        } else if name.eq_ignore_ascii_case(b"filename") {
            &mut out.filename
        } else if name.eq_ignore_ascii_case(b"filename*") {
            // RFC 7578 forbids it; as a second form beside `filename` it is common and harmless.
            out.invalid_part |= out.filename.is_none();
            match extended_value(&value) {
                Some(decoded) => value = decoded,
                None => out.invalid_part = true,
            }
            &mut extended
        } else {
            out.invalid_part = true;
            continue;
        };
        if slot.is_some() {
            out.invalid_part = true;
        } else {
            *slot = Some(value);
        }
    }
    out.invalid_part |= out.name.is_none();
    out.filename = out.filename.filter(|name| !name.is_empty()).or(extended);
    out.filename = out.filename.filter(|name| !name.is_empty());
    out
}

/// Takes one parameter's value and gives back what follows it.
fn parameter_value<'a>(input: &'a [u8], value: &mut Vec<u8>, out: &mut Disposition) -> &'a [u8] {
    let Some((quote @ (b'"' | b'\''), inside)) = input.split_first() else {
        let stop = |byte: &u8| matches!(byte, b';' | b' ' | b'\t');
        let (plain, rest) = input.split_at(input.iter().position(stop).unwrap_or(input.len()));
        out.invalid_part |= plain.is_empty();
        out.invalid_quoting |= plain.contains(&b'"');
        value.extend_from_slice(plain);
        return rest;
    };
    out.invalid_quoting |= *quote == b'\'';
    let mut rest = inside;
    loop {
        rest = match rest {
            [b'\\', escaped, tail @ ..] if *escaped == *quote || *escaped == b'\\' => {
                value.push(*escaped);
                tail
            }
            [byte, tail @ ..] if byte == quote => {
                let parted = tail.first().is_none_or(|next| matches!(next, b';' | b' ' | b'\t'));
                out.invalid_quoting |= !parted;
                return tail;
            }
            [byte, tail @ ..] => {
                value.push(*byte);
                tail
            }
            [] => {
                out.invalid_part = true;
                return rest;
            }
        };
    }
}

/// RFC 8187: `charset'language'percent-encoded`, brought to UTF-8.
fn extended_value(value: &[u8]) -> Option<Vec<u8>> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let (charset, _language, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    let latin = charset.eq_ignore_ascii_case(b"iso-8859-1");
    if !latin && !charset.eq_ignore_ascii_case(b"utf-8") {
        return None;
    }
    let mut out = Vec::new();
    let mut rest = encoded;
    while let Some((byte, tail)) = rest.split_first() {
        let mut byte = *byte;
        rest = tail;
        if byte == b'%' {
            let (digits, tail) = tail.split_at_checked(2)?;
            byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            rest = tail;
        }
        if latin {
            out.extend_from_slice(char::from(byte).encode_utf8(&mut [0; 2]).as_bytes());
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str) -> Result<(String, MultipartFlags), MultipartError> {
        let mut flags = MultipartFlags::default();
        let boundary = boundary(content_type.as_bytes(), &mut flags)?;
        Ok((String::from_utf8(boundary).unwrap(), flags))
    }

    #[test]
    fn takes_boundaries_as_the_peer_does() {
        let plain = MultipartFlags::default();
        for (parameters, boundary) in [
            ("; boundary=B", "B"),
            (";boundary=B", "B"),
            ("; boundary=B; charset=utf-8", "B"),
            ("; boundary=B,C", "B,C"),
            ("; boundary='B'", "'B'"),
            ("; boundary=B'()+_,-./:=?z", "B'()+_,-./:=?z"),
            ("; boundary=B z", "B z"),
            ("; charset=\"utf-8\"; boundary=B", "B"),
        ] {
            let wanted = Ok((boundary.to_owned(), plain));
            assert_eq!(of(&format!("multipart/form-data{parameters}")), wanted, "{parameters}");
            assert_eq!(of(&format!("Multipart/Form-Data{parameters}")), wanted);
        }
        let quoted = MultipartFlags { boundary_quoted: true, ..plain };
        assert_eq!(of("multipart/form-data; boundary=\"B z\""), Ok(("B z".to_owned(), quoted)));
        let blank = MultipartFlags { boundary_whitespace: true, ..plain };
        assert_eq!(of("multipart/form-data; boundary =B"), Ok(("B".to_owned(), blank)));
        assert_eq!(of("multipart/form-data; boundary= B"), Ok(("B".to_owned(), blank)));
        let bare = MultipartFlags { missing_semicolon: true, ..plain };
        assert_eq!(of("multipart/form-data boundary=B"), Ok(("B".to_owned(), bare)));
    }

    #[test]
    fn refuses_boundaries_that_can_be_read_in_two_ways() {
        for (content_type, wanted) in [
            ("text/plain; boundary=B", MultipartError::NotMultipart),
            ("multipart/mixed; boundary=B", MultipartError::NotMultipart),
            ("multipart/form-data", MultipartError::BoundaryMissing),
            ("multipart/form-data; boundary=", MultipartError::BoundaryMissing),
            ("multipart/form-data; boundary=\"B", MultipartError::BoundaryQuote),
            ("multipart/form-data; boundary=B\"", MultipartError::BoundaryQuote),
            ("multipart/form-data; boundary=B ", MultipartError::BoundaryCharacters),
            ("multipart/form-data; boundary=B@z", MultipartError::BoundaryCharacters),
            ("multipart/form-data; boundary=\"B[z\"", MultipartError::BoundaryCharacters),
            ("multipart/form-data; boundary=B; boundary=C", MultipartError::BoundaryRepeated),
            ("multipart/form-data; BOUNDARY=B", MultipartError::BoundaryCase),
            ("multipart/form-data, boundary=B", MultipartError::BoundaryMalformed),
            ("multipart/form-data; xboundary=B", MultipartError::BoundaryMalformed),
            ("multipart/form-databoundary=B", MultipartError::BoundaryMalformed),
        ] {
            assert_eq!(of(content_type).unwrap_err(), wanted, "{content_type}");
        }
        let long = |width| of(&format!("multipart/form-data; boundary={}", "b".repeat(width)));
        assert!(long(70).is_ok());
        assert_eq!(long(71).unwrap_err(), MultipartError::BoundaryTooLong);
    }

    fn read(value: &str) -> (Option<String>, Option<String>, bool, bool) {
        let out = disposition(value.as_bytes());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (out.name.map(text), out.filename.map(text), out.invalid_part, out.invalid_quoting)
    }

    #[test]
    fn reads_dispositions_as_the_peer_does() {
        for (value, name, filename) in [
            ("form-data; name=\"a\"", "a", None),
            ("form-data; name=a", "a", None),
            ("form-data; name=\"a\";", "a", None),
            ("form-data; name = \"a\"", "a", None),
            ("form-data; name=\"a'b\"", "a'b", None),
            (r#"form-data; name="a\"b""#, "a\"b", None),
            (r#"form-data; name="a\\b\x""#, "a\\b\\x", None),
            ("form-data; name=\"a\" ;  filename=\"x\" ", "a", Some("x")),
            ("form-data; name=\"a\"; filename=\"\"", "a", None),
            ("form-data; name=\"a\"; filename=\"a;b=c\"", "a", Some("a;b=c")),
            (r#"form-data; name="a"; filename="C:\dir\f.txt""#, "a", Some(r"C:\dir\f.txt")),
            ("form-data; name=\"a\"; filename=\"x\"; filename*=UTF-8''b%20c", "a", Some("x")),
        ] {
            let wanted = (Some(name.to_owned()), filename.map(str::to_owned), false, false);
            assert_eq!(read(value), wanted, "{value}");
        }
    }

    #[test]
    fn flags_what_applications_read_in_two_ways_and_reads_on() {
        for (value, name, filename, quoting) in [
            ("form-data; filename=\"b\"", None, Some("b"), false),
            ("form-data name=\"a\"", Some("a"), None, false),
            ("form-data; name=\"a\" filename=\"x\"", Some("a"), Some("x"), false),
            ("form-data; name=\"a\";;filename=\"x\"", Some("a"), Some("x"), false),
            ("form-data; name=\"a\"; name=\"b\"", Some("a"), None, false),
            ("form-data; name=\"a\"; filename=b; filename=c", Some("a"), Some("b"), false),
            ("form-data; name=\"a\"; filename*=UTF-8''b%20c", Some("a"), Some("b c"), false),
            ("form-data; name=\"a\"; filename*=iso-8859-1''%e9", Some("a"), Some("é"), false),
            ("form-data; name=\"a\"; filename*=b", Some("a"), Some("b"), false),
            ("form-data; name=\"a\"; foo=bar", Some("a"), None, false),
            ("form-data; name=\"\"", Some(""), None, false),
            ("form-data", None, None, false),
            ("", None, None, false),
            ("attachment; name=\"a\"", Some("a"), None, false),
            ("FORM-DATA; NAME=\"a\"", Some("a"), None, false),
            ("form-data; name=\"a\" x", Some("a"), None, false),
            ("form-data; name=\"a\"x", Some("a"), None, true),
            ("form-data; name=\"a", Some("a"), None, false),
            ("form-data; name=", Some(""), None, false),
            ("form-data; name", None, None, false),
            ("form-data; name=a;b", Some("a"), None, false),
            ("form-data; name=\"a\"; filename=b c.txt", Some("a"), Some("b"), false),
        ] {
            let wanted = (name.map(str::to_owned), filename.map(str::to_owned), true, quoting);
            assert_eq!(read(value), wanted, "{value}");
        }
        assert_eq!(read("form-data; name='a'"), (Some("a".to_owned()), None, false, true));
    }
}

#[cfg(test)]
mod browser_tests {
    use super::*;

    #[test]
    fn a_webkit_boundary_is_one_boundary() {
        let mut flags = MultipartFlags::default();
        let found = boundary(b"multipart/form-data; boundary=----WebKitFormBoundaryx7", &mut flags);
        assert_eq!(found.unwrap(), b"----WebKitFormBoundaryx7");
        let twice = boundary(b"multipart/form-data; boundary=a; boundary=b", &mut flags);
        assert!(matches!(twice, Err(MultipartError::BoundaryRepeated)));
    }
}
