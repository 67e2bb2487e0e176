//! Cross-site scripting: the value as HTML in five contexts, and the names that run script.
mod html;
mod names;
mod url;

use html::{Context, Html, Piece};
use names::Attribute;

/// Tells whether `input`, put into an HTML page, would run script or start markup that may.
///
/// The value is read as text, and as an attribute's value without quotes and in each of the three sorts of
/// quotes that browsers have known. The first context with a dangerous element, attribute, address, comment or
/// document type decides.
pub fn detect_xss(input: &[u8]) -> bool {
    let has = |byte| memchr::memchr(byte, input).is_some();
    let markup = has(b'<');
    // Every finding needs an element, comment or document type, which open with `<`, or the value of an
    // attribute whose name was read before it, and only `=` leads from a name to a value.
    if !markup && !has(b'=') {
        return false;
    }
    (markup && runs_script(input, Context::Text))
        || runs_script(input, Context::Unquoted)
        // Without its quote, the whole input is the value of an attribute unknown.
        || [b'\'', b'"', b'`']
            .into_iter()
            .any(|quote| has(quote) && runs_script(input, Context::Quoted(quote)))
}

fn runs_script(input: &[u8], context: Context) -> bool {
    let mut attribute = Attribute::Harmless;
    Html::new(input, context).any(|piece| match piece {
        Piece::Doctype => true,
        Piece::Element(name) => {
            attribute = Attribute::Harmless;
            names::is_dangerous_element(name)
        }
        Piece::Comment(text) => is_dangerous_comment(text),
        Piece::Name(name) => {
            attribute = names::attribute(name);
            false
        }
        Piece::Value(value) => match core::mem::replace(&mut attribute, Attribute::Harmless) {
            Attribute::Harmless => false,
            Attribute::Dangerous => true,
            Attribute::Address => url::is_dangerous(value),
            Attribute::NameInValue => names::attribute(value) != Attribute::Harmless,
        },
    })
}

/// Internet Explorer ends tags at a back quote and reads conditional comments and processing instructions;
/// XML parsers expand entities.
fn is_dangerous_comment(text: &[u8]) -> bool {
    let starts =
        |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    memchr::memchr(b'`', text).is_some()
        || (text.len() > 3 && (starts(b"[IF") || starts(b"XML")))
        || starts(b"IMPORT")
        || starts(b"ENTITY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_attacks_are_found() {
        for input in [
            "<script>alert(1)</script>",
            "<SCRIPT SRC=//x>",
            "<scr\0ipt>",
            "<svg/onload=alert(1)>",
            "<img src=x onerror=alert(1)>",
            "<a href=javascript:alert(1)>",
            "<a href=\"&#x6A;avascript:1\">",
            "<a href='  jAvA\nscript:1'>",
            "\" onmouseover=alert(1) x=\"",
            "' onfocus=alert(1) autofocus='",
            "` onclick=1",
            "x onclick=alert(1)",
            "<!DOCTYPE html>",
            "<!--[if IE]>",
            "<!-- ` -->",
            "<?xml version=1>",
            "<!ENTITY x>",
            "<%import%>",
            "<p style=x>",
            "<set attributeName=onload to=1>",
            "<a xlink:href=data:x>",
            "<b xmlns=x>",
        ] {
            assert!(detect_xss(input.as_bytes()), "{input}");
        }
    }

    #[test]
    fn plain_text_is_no_attack() {
        for input in [
            "",
            "a < b and c > d",
            "x=1",
            "a=1&b=2",
            "<b>bold</b>",
            "<p class=\"x\">text</p>",
            "<a href=https://example.org/>x</a>",
            "<img src=a.png>",
            "1 <3 you",
            "if (a<b) { c = d; }",
            "<!-- note -->",
            "javascript:alert(1)",
        ] {
            assert!(!detect_xss(input.as_bytes()), "{input}");
        }
    }

    /// The detection without its gates.
    fn in_all_contexts(input: &[u8]) -> bool {
        let quotes = [b'\'', b'"', b'`'].map(Context::Quoted);
        [Context::Text, Context::Unquoted]
            .into_iter()
            .chain(quotes)
            .any(|context| runs_script(input, context))
    }

    #[test]
    fn the_gates_change_nothing() {
        let parts: &[&[u8]] = &[
            b"<",
            b"=",
            b"'",
            b"\"",
            b"`",
            b">",
            b"/",
            b" ",
            b"onload",
            b"script",
            b"href",
            b"javascript:",
            b"!",
            b"--",
            b"\0",
            b"a",
            b"%",
            b"?",
            b"\xff",
            b"style",
            b"doctype",
            b"![CDATA[",
            b"]]>",
        ];
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut attacks = 0;
        for round in 0..300_000_usize {
            // Leave out a different few of the characters the gates look for in each round.
            let absent = round % 32;
            let mut input = Vec::new();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut bits = random;
            for _ in 0..2 + round % 9 {
                let pick = usize::try_from(bits % 23).unwrap();
                bits /= 23;
                if pick >= 5 || absent >> pick & 1 == 0 {
                    input.extend_from_slice(parts[pick]);
                }
            }
            let expected = in_all_contexts(&input);
            attacks += usize::from(expected);
            assert_eq!(detect_xss(&input), expected, "{:?}", String::from_utf8_lossy(&input));
            if !input.contains(&b'<') && !input.contains(&b'=') {
                assert!(!expected);
            }
        }
        assert!(attacks > 1_000);
    }

    #[test]
    fn any_byte_in_any_place_is_harmless() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                for input in [
                    &[b'<', first, second][..],
                    &[b'<', b'a', first, second],
                    &[first, b'=', second],
                    b"<!-",
                ] {
                    let _ = detect_xss(input);
                }
            }
        }
    }

    #[test]
    fn time_is_linear_in_the_length() {
        let shapes: &[&[u8]] = &[
            b"<",
            b"<a ",
            b"/",
            b"</",
            b"=",
            b"a=",
            b"<!--",
            b"-",
            b"-\0",
            b"%",
            b"<%",
            b"]",
            b"]]",
            b"<!",
            b"\0",
            b" ",
            b"<a href=&#",
            b"&#32;",
            b"'",
            b"=\"",
            b"<a b='c' ",
            b"</><",
        ];
        for shape in shapes {
            for start in [&b""[..], b"<a href=", b"<!--", b"<!-- -", b"<%", b"<![CDATA["] {
                let input = |len: usize| [start, &shape.repeat(len / shape.len())].concat();
                let (small, large) = (duration(&input(40_000)), duration(&input(640_000)));
                // Sixteen times the input; a quadratic path would take 256 times as long.
                assert!(
                    large < small * 100 + core::time::Duration::from_millis(20),
                    "{:?}: {small:?} then {large:?}",
                    String::from_utf8_lossy(shape)
                );
            }
        }
    }

    fn duration(input: &[u8]) -> core::time::Duration {
        (0..3)
            .map(|_| {
                let start = std::time::Instant::now();
                let _ = core::hint::black_box(detect_xss(core::hint::black_box(input)));
                start.elapsed()
            })
            .min()
            .unwrap()
    }
}
