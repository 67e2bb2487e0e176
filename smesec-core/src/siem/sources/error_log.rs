//! Error logs of nginx and Apache.

use super::draft::{Draft, Fault};
use super::{Context, stamp};

/// Reads one line of either.
pub(super) fn parse<'l>(
    line: &'l str,
    context: &Context,
    draft: &mut Draft<'l>,
) -> Result<(), Fault> {
    draft.raw = line;
    draft.log_source.category = "webserver";
    if line.starts_with('[') { apache(line, context, draft) } else { nginx(line, context, draft) }
}

/// Whether a line looks like one; for `auto`.
pub(super) fn recognises(line: &str) -> bool {
    match line.strip_prefix('[') {
        Some(rest) => stamp::apache(rest, 0).is_some_and(|(_, rest)| rest.starts_with("] [")),
        None => stamp::iso(line, 0)
            .is_some_and(|(_, rest)| line.get(4..5) == Some("/") && rest.starts_with(" [")),
    }
}

/// `2026/03/02 06:00:00 [error] 1234#5678: *9 message, client: …, server: …, request: "…"`.
fn nginx<'l>(line: &'l str, context: &Context, draft: &mut Draft<'l>) -> Result<(), Fault> {
    const NONE: Fault =
        Fault::Borrowed("no error log line of nginx: `yyyy/mm/dd hh:mm:ss [level]` is expected");
    let (time, rest) = stamp::iso(line, context.zone).ok_or(NONE)?;
    let (level, rest) =
        rest.strip_prefix(" [").and_then(|rest| rest.split_once("] ")).ok_or(NONE)?;
    let (process, rest) = rest.split_once(": ").ok_or(NONE)?;
    draft.time = Some(time);
    draft.log_source.service = "nginx";
    draft.text("level", level)?;
    let (pid, thread) = process.split_once('#').unwrap_or((process, ""));
    draft.number("pid", pid)?;
    draft.number("tid", thread)?;
    let mut rest = rest;
    if let Some((connection, after)) = rest.strip_prefix('*').and_then(|rest| rest.split_once(' '))
    {
        draft.number("connection", connection)?;
        rest = after;
    }
    let cut = client(rest).unwrap_or(rest.len());
    let (message, mut pairs) = rest.split_at_checked(cut).unwrap_or((rest, ""));
    draft.text("message", message)?;
    while let Some((key, value)) = pairs.strip_prefix(", ").and_then(|rest| rest.split_once(": ")) {
        let (value, after) = if let Some(inner) = value.strip_prefix('"') {
            let end = inner.find("\", ").or_else(|| inner.strip_suffix('"').map(str::len));
            let end = end.unwrap_or(inner.len());
            let (value, after) = inner.split_at_checked(end).unwrap_or((inner, ""));
            (value, after.strip_prefix('"').unwrap_or(after))
        } else {
            let end = value.find(", ").unwrap_or(value.len());
            value.split_at_checked(end).unwrap_or((value, ""))
        };
        draft.text(
            match key {
                "client" => "c-ip",
                "host" => "cs-host",
                "referrer" => "cs-referer",
                other => other,
            },
            value,
        )?;
        if key == "request"
            && let [method, uri, ..] = value.split(' ').collect::<Vec<_>>().as_slice()
        {
            draft.text("cs-method", method)?;
            draft.text("cs-uri", uri)?;
        }
        pairs = after;
    }
    Ok(())
}

/// Where the pairs begin: at nginx's own `, client: ADDRESS, server: `. What the visitor sent stands
/// in quotes before it (the path) and behind it (request, referrer), so the first outside of
/// quotes is meant; where a visitor's quote leaves none outside, the first of all.
fn client(message: &str) -> Option<usize> {
    const KEY: &str = ", client: ";
    let mut within = None;
    let mut quoted = false;
    let mut seen = 0;
    for at in memchr::memmem::find_iter(message.as_bytes(), KEY) {
        let before = message.as_bytes().get(seen..at).unwrap_or_default();
        quoted ^= memchr::memchr_iter(b'"', before).count() % 2 == 1;
        seen = at;
        let value = message.get(at + KEY.len()..).unwrap_or_default();
        let (address, after) = value.split_at(value.find(", ").unwrap_or(value.len()));
        let address = address.parse::<std::net::IpAddr>().is_ok() || address == "unix:";
        if !address || !(after.is_empty() || after.starts_with(", server: ")) {
            continue;
        }
        if !quoted {
            return Some(at);
        }
        within.get_or_insert(at);
    }
    within
}

/// `[Wed Oct 11 14:32:52.123456 2000] [module:level] [pid 9:tid 8] [client 192.0.2.1:5] message`.
fn apache<'l>(line: &'l str, context: &Context, draft: &mut Draft<'l>) -> Result<(), Fault> {
    const NONE: Fault =
        Fault::Borrowed("no error log line of Apache: `[day mon dd hh:mm:ss yyyy]` is expected");
    let rest = line.strip_prefix('[').ok_or(NONE)?;
    let (time, rest) = stamp::apache(rest, context.zone).ok_or(NONE)?;
    let mut rest = rest.strip_prefix(']').ok_or(NONE)?;
    draft.time = Some(time);
    draft.log_source.service = "apache";
    while let Some((inner, after)) =
        rest.trim_start_matches(' ').strip_prefix('[').and_then(|rest| rest.split_once(']'))
    {
        if let Some(pid) = inner.strip_prefix("pid ") {
            let (pid, thread) = pid.split_once(":tid ").unwrap_or((pid, ""));
            draft.number("pid", pid)?;
            draft.number("tid", thread)?;
        } else if let Some(client) =
            inner.strip_prefix("client ").or_else(|| inner.strip_prefix("remote "))
        {
            // `192.0.2.1:5`, `2001:db8::1:5`, or before 2.4 the address alone.
            let (address, port) = match client.rsplit_once(':') {
                Some((address, port)) if address.parse::<std::net::IpAddr>().is_ok() => {
                    (address, port)
                }
                _ => (client, ""),
            };
            draft.text("c-ip", address)?;
            draft.number("c-port", port)?;
        } else if let Some((module, level)) = inner.split_once(':') {
            draft.text_if_any("module", module)?;
            draft.text("level", level)?;
        } else if draft.first("level").is_none() {
            draft.text("level", inner)?;
        } else {
            break;
        }
        rest = after;
    }
    let message = rest.trim_start_matches(' ');
    draft.text("message", message)?;
    if let Some((before, referer)) = message.rsplit_once(", referer: ")
        && !before.is_empty()
    {
        draft.text("cs-referer", referer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siem::sources::draft::Memory;

    fn client_of(message: &str) -> Option<String> {
        let line = format!("2026/03/02 06:00:00 [error] 7#7: *9 {message}");
        let mut memory = Memory::default();
        let mut draft = memory.draft(line.len(), 100);
        parse(&line, &Context::default(), &mut draft).unwrap();
        draft.first("c-ip").map(str::to_owned)
    }

    #[test]
    fn no_visitor_names_another_client() {
        let own = ", client: 192.0.2.7, server: s, request: \"GET / HTTP/1.1\", host: \"h\"";
        for message in [
            format!("open() \"/a\" failed{own}"),
            format!(
                "open() \"/a\" failed{own}, referrer: \"http://x/, client: 10.0.0.1, server: s\""
            ),
            format!("open() \"/a\" failed{own}, referrer: \"x\", client: 10.0.0.1, server: s\""),
            format!("open() \"/, client: 10.0.0.1, server: s\" failed{own}"),
            format!("open() \"/a, client: nobody\" failed{own}"),
            format!("open() \"/a\"b\" failed{own}"),
        ] {
            assert_eq!(client_of(&message).as_deref(), Some("192.0.2.7"), "{message}");
        }
        assert_eq!(client_of("closed, client: 2001:db8::1").as_deref(), Some("2001:db8::1"));
        assert_eq!(client_of("signal process started"), None);
    }
}
