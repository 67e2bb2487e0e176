//! Exchanges as text: masked, printable, bounded.

use super::About;
use crate::runner::{Exchange, Response, TestResult};
use std::fmt::Write as _;

/// Bytes of a body that a report shows: enough to see an error message or a leaked record.
const MOST_OF_BODY: usize = 2 * 1024;
/// Bytes of a body in which secrets are looked for before it is cut, so that none is shown because
/// the cut went through it.
pub(crate) const LOOKED_AT: usize = 64 * 1024;
/// Headers that a report shows of each side.
const MOST_HEADERS: usize = 64;
/// Characters of any one line.
const MOST_OF_LINE: usize = 1024;
/// Exchanges that a report shows of one test, the last ones: a finding is proved by two.
pub(crate) const MOST_EXCHANGES: usize = 6;

/// The exchanges that show why a test failed: those of the steps that did, or of its last step. What
/// an audit finds is proved by two, the last one and what it is compared with.
pub(super) fn shown(result: &TestResult) -> Vec<&Exchange> {
    let proof =
        if result.advice.is_some() { result.steps.len().saturating_sub(2) } else { usize::MAX };
    let each = result.steps.iter().enumerate();
    let shown = each.filter(|(n, step)| !step.failures.is_empty() || *n >= proof);
    let mut exchanges: Vec<_> = shown.flat_map(|(_, step)| &step.exchanges).collect();
    if exchanges.is_empty() {
        exchanges = result.steps.last().into_iter().flat_map(|step| &step.exchanges).collect();
    }
    let skip = exchanges.len().saturating_sub(MOST_EXCHANGES);
    exchanges.split_off(skip)
}

/// One exchange, a line each for what is a line on the wire: `>` what was sent, `<` what came.
pub(super) fn text(exchange: &Exchange, about: &About<'_>) -> String {
    let mut out = String::new();
    let request = &exchange.request;
    let first = format!("{} {}", request.method, request.url);
    line(&mut out, '>', &about.masked(&first));
    headers(&mut out, '>', &request.headers, about);
    body(&mut out, '>', &request.body, about);
    match &exchange.response {
        Ok(response) => {
            let Response { status, reason, headers: fields, body: bytes } = response;
            let first = format!("{status} {reason}");
            line(&mut out, '<', about.masked(&first).trim_end());
            headers(&mut out, '<', fields, about);
            body(&mut out, '<', bytes, about);
        }
        Err(error) => line(&mut out, '<', &about.masked(&error.to_string())),
    }
    out
}

/// A header's value as it may be shown. Of a cookie the name stays, and the attributes with which it
/// was set: they are what findings are about.
pub(super) fn header(name: &str, value: &[u8], about: &About<'_>) -> String {
    let text = String::from_utf8_lossy(value);
    let is_set = name.eq_ignore_ascii_case("set-cookie");
    if !is_set && !name.eq_ignore_ascii_case("cookie") {
        let line = format!("{name}: {text}");
        let masked = about.masked(&line);
        return masked.split_once(": ").map_or("", |(_, value)| value).to_owned();
    }
    let mut out = String::new();
    for (n, part) in text.split(';').enumerate() {
        let separator = if n == 0 { "" } else { ";" };
        match part.split_once('=') {
            Some((key, _)) if n == 0 || !is_set || !is_attribute(key) => {
                let _ = write!(out, "{separator}{}=[masked]", about.masked(key));
            }
            None if n == 0 || !is_set => {
                let _ = write!(out, "{separator}[masked]");
            }
            _ => {
                let _ = write!(out, "{separator}{}", about.masked(part));
            }
        }
    }
    out
}

/// The attributes of cookies that have a value (RFC 6265, section 5.2).
fn is_attribute(key: &str) -> bool {
    let known = ["expires", "max-age", "domain", "path", "samesite", "priority"];
    known.iter().any(|known| key.trim().eq_ignore_ascii_case(known))
}

/// A body as it may be shown; `None` where there is none.
pub(super) fn body_text(bytes: &[u8], about: &About<'_>) -> Option<String> {
    if bytes.is_empty() {
        return None;
    }
    let looked_at = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    let text = String::from_utf8_lossy(looked_at);
    let foreign = text.chars().filter(|c| *c == '\u{fffd}' || is_control(*c)).count();
    if foreign > 16 + text.len() / 16 {
        return Some(format!("[{} bytes that are no text]", bytes.len()));
    }
    let masked = about.masked(&text);
    let mut shown = head(&masked, MOST_OF_BODY).to_owned();
    if shown.len() < masked.len() || looked_at.len() < bytes.len() {
        // Of a longer body the runner keeps no more than is looked at.
        let in_all = if bytes.len() == LOOKED_AT { "bytes or more" } else { "bytes in all" };
        let _ = write!(shown, "… [{} {in_all}]", bytes.len());
    }
    Some(shown)
}

/// The text up to so many bytes, cut between characters.
pub(super) fn head(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Whether a character acts on a terminal or on the order of text instead of being seen; line breaks
/// and tabs are not counted.
pub(super) const fn is_control(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{8}'
            | '\u{b}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

/// The text with controls written out.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if is_control(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// A line of text that was masked.
fn line(out: &mut String, side: char, masked: &str) {
    let shown = head(masked, MOST_OF_LINE);
    let cut = if shown.len() < masked.len() { "…" } else { "" };
    let _ = writeln!(out, "{side} {}{cut}", printable(shown).replace('\n', "\\n"));
}

fn headers(out: &mut String, side: char, fields: &[(String, Vec<u8>)], about: &About<'_>) {
    for (name, value) in fields.iter().take(MOST_HEADERS) {
        line(out, side, &format!("{}: {}", about.masked(name), header(name, value, about)));
    }
    if fields.len() > MOST_HEADERS {
        let _ = writeln!(out, "{side} … {} headers more", fields.len() - MOST_HEADERS);
    }
}

fn body(out: &mut String, side: char, bytes: &[u8], about: &About<'_>) {
    let Some(text) = body_text(bytes, about) else { return };
    let _ = writeln!(out, "{side}");
    for part in printable(&text).lines() {
        let _ = writeln!(out, "{side} {part}");
    }
}
