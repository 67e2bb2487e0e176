//! Access logs of nginx and Apache: common, combined, and with the virtual host in front.

use super::draft::{Draft, Fault};
use super::{Context, stamp};
use crate::siem::record::Kind;

/// Reads one line: `[host[:port] ]client ident user [time] "request" status bytes[ "referer" "agent"]`.
pub(super) fn parse<'l>(
    line: &'l str,
    context: &Context,
    draft: &mut Draft<'l>,
) -> Result<(), Fault> {
    const NONE: Fault = Fault::Borrowed("no access log line: `[` and a time are expected");
    let (before, after) = line.split_once(" [").ok_or(NONE)?;
    let (time, rest) = stamp::common_log(after, context.zone).ok_or(NONE)?;
    let rest = rest.strip_prefix("] ").ok_or(NONE)?;
    draft.time = Some(time);
    draft.raw = line;

    let (mut client, mut rest_of) = before.split_once(' ').unwrap_or((before, ""));
    if !is_address(client)
        && let Some((second, after)) = rest_of.split_once(' ')
        && is_address(second)
        && after.contains(' ')
    {
        let (host, port) = client.rsplit_once(':').unwrap_or((client, ""));
        draft.text_if_any("cs-host", host)?;
        draft.number("s-port", port)?;
        (client, rest_of) = (second, after);
    }
    // The identity that nobody sends is one word; a user's name may hold blanks.
    let user = rest_of.split_once(' ').map_or("", |(_, user)| user);
    draft.text_if_any("c-ip", client)?;
    draft.text_if_any("cs-username", user)?;

    let rest = rest.strip_prefix('"').ok_or(Fault::Borrowed(
        "no access log line: the request in quotes is expected after the time",
    ))?;
    let (request, rest) = quoted(rest, draft)?;
    fields_of_request(request, draft)?;
    let mut words = rest.trim_start_matches(' ').splitn(3, ' ');
    draft.number("sc-status", words.next().unwrap_or_default())?;
    draft.number("sc-bytes", words.next().unwrap_or_default())?;
    let mut rest = words.next().unwrap_or_default();
    for name in ["cs-referer", "cs-user-agent", "x-forwarded-for"] {
        let Some(value) = rest.strip_prefix('"') else { break };
        let (value, after) = quoted(value, draft)?;
        draft.text_if_any(name, value)?;
        rest = after.trim_start_matches(' ');
    }
    draft.log_source.category = "webserver";
    Ok(())
}

/// Whether a line looks like one; for `auto`.
pub(super) fn recognises(line: &str) -> bool {
    line.split_once(" [").is_some_and(|(before, after)| {
        before.len() < 512
            && stamp::common_log(after, 0).is_some_and(|(_, rest)| rest.starts_with("] \""))
    })
}

/// `GET /path?query HTTP/1.1`; whatever else a client sent is kept as the URI.
fn fields_of_request<'l>(request: &'l str, draft: &mut Draft<'l>) -> Result<(), Fault> {
    let (method, rest) = request.split_once(' ').unwrap_or(("", request));
    let (uri, version) = match rest.rsplit_once(' ') {
        Some((uri, version)) if version.starts_with("HTTP/") => (uri, version),
        _ => (rest, ""),
    };
    draft.text_if_any("cs-method", method)?;
    draft.text_if_any("cs-uri", uri)?;
    let (stem, query) = uri.split_once('?').unwrap_or((uri, ""));
    draft.text_if_any("cs-uri-stem", stem)?;
    draft.push("cs-uri-query", query, Kind::Text)?;
    draft.text_if_any("cs-version", version)
}

/// A quoted value and what follows it. nginx escapes as `\x22`, Apache as `\"` and `\xhh`; both are
/// undone, since rules look for what the client sent.
fn quoted<'l>(text: &'l str, draft: &mut Draft<'l>) -> Result<(&'l str, &'l str), Fault> {
    const OPEN: Fault = Fault::Borrowed("no access log line: a quoted value does not end");
    let bytes = text.as_bytes();
    let mut at = memchr::memchr2(b'"', b'\\', bytes).ok_or(OPEN)?;
    if bytes.get(at) == Some(&b'"') {
        return text.get(..at).zip(text.get(at + 1..)).ok_or(OPEN);
    }
    let mut out = draft.arena.writer();
    let mut done = 0;
    loop {
        out.bytes(bytes.get(done..at).unwrap_or_default());
        match bytes.get(at..).unwrap_or_default() {
            [b'"', ..] => return Ok((out.finish()?, text.get(at + 1..).ok_or(OPEN)?)),
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or_default();
                let byte = digit(high) * 16 + digit(low);
                out.bytes(&[u8::try_from(byte).unwrap_or_default()]);
                done = at + 4;
            }
            [b'\\', escaped, ..] => {
                match escaped {
                    b'n' => out.push("\n"),
                    b't' => out.push("\t"),
                    b'r' => out.push("\r"),
                    b'"' | b'\\' => out.bytes(&[*escaped]),
                    // Not an escape of theirs: kept as it stands. The byte after the backslash
                    // may begin a longer character, so only the backslash is passed over.
                    _ => {
                        out.push("\\");
                        done = at + 1;
                        at = next(bytes, done).ok_or(OPEN)?;
                        continue;
                    }
                }
                done = at + 2;
            }
            _ => return Err(OPEN),
        }
        at = next(bytes, done).ok_or(OPEN)?;
    }
}

fn next(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr2(b'"', b'\\', bytes.get(from..)?).map(|at| at + from)
}

fn is_address(word: &str) -> bool {
    word.parse::<std::net::IpAddr>().is_ok()
}
