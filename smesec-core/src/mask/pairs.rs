//! Values that stand behind their names in a text: `"token": "…"`, `password=…`, `Cookie: …`.

use super::is_secret_name;
use crate::decode::body::form::percent_decode;
use std::ops::Range;

/// The text with each value under a secret name put as `shown` puts it; `None` where there is none.
/// Queries, forms, JSON (within JSON too), header lines and prose are read alike, since what an event or a
/// report shows may hold any of them, cut anywhere. Quotes around a value stay.
pub(crate) fn without_named(text: &str, shown: impl Fn(&str, &mut String)) -> Option<String> {
    let mut out = String::new();
    let mut decoded = Vec::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(offset) = text.get(at..).and_then(|rest| rest.find([':', '='])) {
        let mark = at + offset;
        at = mark + 1;
        let (before, marked) = text.split_at_checked(mark).unwrap_or_default();
        let name = name_before(before, marked.starts_with('='));
        percent_decode(name.as_bytes(), &mut decoded);
        if !is_secret(&decoded) {
            continue;
        }
        let Some(range) = value_after(text, mark, name) else { continue };
        let Some(value) = text.get(range.clone()).filter(|value| !value.is_empty()) else {
            continue;
        };
        if range.start < kept || value.starts_with(SHOWN) {
            continue;
        }
        out.push_str(text.get(kept..range.start).unwrap_or_default());
        shown(value, &mut out);
        kept = range.end;
        at = kept.max(at);
    }
    (kept > 0).then(|| out + text.get(kept..).unwrap_or_default())
}

/// How each form in which a secret is shown begins: a text may come by twice.
const SHOWN: &str = "[masked";

/// Header fields of several words whose whole value is secret.
fn is_header(name: &str) -> bool {
    ["cookie", "set-cookie", "authorization", "proxy-authorization"]
        .iter()
        .any(|header| name.eq_ignore_ascii_case(header))
}

fn is_secret(name: &[u8]) -> bool {
    // `cookies:` heads a list of names in files of tests.
    !name.is_empty() && !name.eq_ignore_ascii_case(b"cookies") && is_secret_name(name)
}

/// The word that ends before a `:` or `=`, quotes taken off. Names of forms have brackets and dots:
/// `user[password]`, `password[$ne]`.
fn name_before(text: &str, of_form: bool) -> &str {
    // JSON within a text of JSON has its quotes escaped.
    let text = text.trim_end_matches([' ', '"', '\'', '\\']);
    let is_word = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '-' | '_' | '%')
            || of_form && matches!(c, '[' | ']' | '$' | '.')
    };
    let start = text.rfind(|c| !is_word(c)).map_or(0, |at| {
        at + text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
    });
    text.get(start..).unwrap_or_default()
}

/// Where the value after a mark stands.
fn value_after(text: &str, mark: usize, name: &str) -> Option<Range<usize>> {
    let after = text.get(mark + 1..)?;
    let blanks = after.len() - after.trim_start_matches(' ').len();
    let from = mark + 1 + blanks;
    let rest = text.get(from..)?;
    if let Some((quote, length)) = in_escaped_quotes(rest) {
        return Some(from + quote..from + quote + length);
    }
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let inner = rest.get(1..)?;
        let mut escaped = false;
        let end = inner.find(|c| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        return Some(from + 1..from + 1 + end.unwrap_or(inner.len()));
    }
    if rest.starts_with(SHOWN) {
        return None;
    }
    if rest.starts_with(['{', '[']) {
        return Some(from..from + bracketed(rest));
    }
    let end = if is_header(name) {
        rest.find(['\r', '\n', '"'])
    } else {
        // A quote or a round bracket may stand in a password of a form.
        rest.find(|c: char| {
            matches!(c, '&' | ';' | ',' | '"' | '}' | ']' | '<' | '>') || c.is_whitespace()
        })
    };
    Some(from..from + end.unwrap_or(rest.len()))
}

/// Where a value in escaped quotes begins, and its length: it ends at a quote that is escaped no deeper.
fn in_escaped_quotes(text: &str) -> Option<(usize, usize)> {
    let bare = text.trim_start_matches('\\');
    let slashes = text.len() - bare.len();
    let quote = bare.chars().next().filter(|c| slashes > 0 && matches!(c, '"' | '\''))?;
    let inner = bare.get(1..)?;
    let mut escapes = 0;
    let mut length = inner.len();
    for (at, c) in inner.char_indices() {
        if c == quote && escapes <= slashes {
            length = at - escapes;
            break;
        }
        escapes = if c == '\\' { escapes + 1 } else { 0 };
    }
    Some((slashes + 1, length))
}

/// Bytes within which a bracket is looked for; what lies beyond is starred out with the rest.
const LONGEST: usize = 64 * 1024;

/// The length of an object or a list that a text begins with, its bracket included; all of the text
/// where it does not end.
fn bracketed(text: &str) -> usize {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, c) in text.char_indices().take_while(|(at, _)| *at < LONGEST) {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cut_anywhere_never_panics() {
        let text = "\\\"pin\\\":\\\"é\\\" token:['é{ password={é\"passwörd\": \"tokén\\\"\" token='é cookie:é p%61ss=é%7 password=";
        for (at, _) in text.char_indices() {
            for text in [text.split_at(at).0, text.split_at(at).1] {
                let once = without_named(text, |_, out| out.push_str("[masked]"));
                let twice = once
                    .as_deref()
                    .and_then(|text| without_named(text, |_, out| out.push_str("[masked]")));
                assert_eq!(twice, None, "{text}: what is starred out stays as it is");
            }
        }
    }
}
