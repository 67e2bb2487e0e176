//! Access logs of nginx and Apache: common, combined, and with the virtual host in front.

use super::draft::{Draft, Fault};
use super::{Context, stamp};
use crate::siem::record::{Kind, LogSource};

/// Reads one line: `[host[:port] ]client ident user [time] "request" status bytes[ "referer" "agent"]`.
pub(super) fn parse<'l>(
    line: &'l str,
    context: &Context,
    draft: &mut Draft<'l>,
) -> Result<(), Fault> {
    draft.raw = line;
    fields(line, context, draft, true)
}

/// Reads such a line within a syslog message of a web server: the relay may have cut its end off, and
/// what stands before that is read nevertheless.
pub(super) fn parse_message<'l>(
    message: &'l str,
    context: &Context,
    draft: &mut Draft<'l>,
) -> Result<(), Fault> {
    draft.log_source = LogSource::default();
    fields(message, context, draft, false)
}

/// `whole`: a last value that does not end is a fault.
fn fields<'l>(
    line: &'l str,
    context: &Context,
    draft: &mut Draft<'l>,
    whole: bool,
) -> Result<(), Fault> {
    const NONE: Fault = Fault::Borrowed("no access log line: `[` and a time are expected");
    const HEAD: Fault =
        Fault::Borrowed("no access log line: `client identity user` are expected before the time");
    let (before, after) = line.split_once(" [").ok_or(NONE)?;
    let (time, rest) = stamp::common_log(after, context.zone).ok_or(NONE)?;
    let rest = rest.strip_prefix("] ").ok_or(NONE)?;
    let head = Head::of(before).ok_or(HEAD)?;
    draft.time = Some(time);
    draft.text_if_any("cs-host", head.host)?;
    draft.number("s-port", head.port)?;
    draft.text_if_any("c-ip", head.client)?;
    draft.text_if_any("cs-username", head.user)?;

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
        let (value, after) = match quoted(value, draft) {
            Err(_) if !whole => (value, ""),
            read => read?,
        };
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
            && stamp::common_log(after, 0)
                .and_then(|(_, rest)| rest.strip_prefix("] \""))
                .is_some_and(|rest| {
                    Head::of(before)
                        .is_some_and(|head| !head.user.contains(' ') || is_answered(rest))
                })
    })
}

/// Programs that write their access log to syslog.
pub(super) fn is_server(program: &str) -> bool {
    matches!(
        program,
        "nginx" | "apache" | "apache2" | "httpd" | "openresty" | "angie" | "lighttpd" | "tengine"
    )
}

/// What stands before the time.
struct Head<'l> {
    host: &'l str,
    port: &'l str,
    client: &'l str,
    user: &'l str,
}

impl<'l> Head<'l> {
    /// `[host[:port] ]client ident user`. The time and the names that a relay puts in front are no
    /// client, so such a line is left to syslog. A user's name may hold blanks behind an address
    /// alone: with any word as client, any sentence would have this form.
    fn of(before: &'l str) -> Option<Self> {
        let (first, rest) = before.split_once(' ')?;
        let own = |client, host, port, rest: &'l str| {
            let (ident, user) = rest.split_once(' ')?;
            (!ident.is_empty()).then_some(Self { host, port, client, user })
        };
        if is_address(first) {
            return own(first, "", "", rest);
        }
        if let Some((client, rest)) = rest.split_once(' ')
            && let Some((host, port)) = server(first)
            && (is_address(client) || !port.is_empty() && is_name(client))
            && let Some(head) = own(client, host, port, rest)
            && (is_address(client) || !head.user.contains(' '))
        {
            return Some(head);
        }
        own(first, "", "", rest).filter(|head| is_name(first) && !head.user.contains(' '))
    }
}

/// `host` or `host:port`.
fn server(word: &str) -> Option<(&str, &str)> {
    let (host, port) = word.rsplit_once(':').unwrap_or((word, ""));
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let known = is_name(host) || is_address(inner);
    (known && port.bytes().all(|byte| byte.is_ascii_digit())).then_some((host, port))
}

/// A host's name; also the dash for a client that is not known.
fn is_name(word: &str) -> bool {
    !word.is_empty()
        && word.len() < 256
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// Whether the request ends and the status of its answer follows.
fn is_answered(request: &str) -> bool {
    memchr::memmem::find_iter(request.as_bytes(), b"\" ").any(|at| {
        let status = request.as_bytes().get(at + 2..).unwrap_or_default();
        let digits = status.iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits == 3 && matches!(status.get(3), None | Some(b' '))
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

/// An IP address, also with the zone of a link (`fe80::1%eth0`); nginx writes `unix:` for a socket.
fn is_address(word: &str) -> bool {
    let address = word.split_once('%').map_or(word, |(address, _)| address);
    address.parse::<std::net::IpAddr>().is_ok() || word == "unix:"
}
