//! Syslog: RFC 3164 as daemons really write it, RFC 5424, and rsyslog's file format with an ISO stamp.

use super::draft::{Draft, Fault};
use super::{Context, access, cef, program, stamp};
use crate::siem::record::Kind;

/// Reads one line.
pub(super) fn parse<'l>(
    line: &'l str,
    context: &Context,
    draft: &mut Draft<'l>,
) -> Result<(), Fault> {
    draft.raw = line;
    let (priority, rest) = priority(line);
    if let Some(priority) = priority {
        draft.push("facility", facility(priority / 8), Kind::Text)?;
        draft.push("severity", severity(priority % 8), Kind::Text)?;
        if let Some(rest) = rest.strip_prefix("1 ") {
            return rfc5424(rest, context, draft);
        }
    }
    let (time, rest) = stamp::iso(rest, context.zone)
        .or_else(|| stamp::bsd(rest, context.now, context.zone))
        .ok_or(Fault::Borrowed("no syslog: a time stamp is expected"))?;
    draft.time = Some(time);
    let rest = rest.trim_start_matches([' ', ':']);
    let (host, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    // A relay on the same machine leaves the host out: `… 10:00:00 sshd[1]: …`.
    if host.ends_with(':') || host.ends_with("]:") {
        let start = line.len() - rest.len() - host.len() - usize::from(!rest.is_empty());
        return tagged(line.get(start..).unwrap_or_default(), context, draft);
    }
    draft.text_if_any("host", host)?;
    tagged(rest.trim_start_matches(' '), context, draft)
}

/// Whether a line begins as syslog does; for `auto`.
pub(super) fn recognises(line: &str, context: &Context) -> bool {
    let (priority, rest) = priority(line);
    (priority.is_some() && rest.starts_with("1 "))
        || stamp::bsd(rest, context.now, context.zone).is_some()
        || stamp::iso(rest, context.zone).is_some_and(|(_, rest)| {
            // `2026-03-02T06:00:00+00:00 host program[1]: …`, not any line with a date.
            let mut words = rest.strip_prefix(' ').unwrap_or_default().splitn(3, ' ');
            let host = words.next().unwrap_or_default();
            let tag = words.next().unwrap_or_default();
            !host.is_empty() && tag.len() > 1 && tag.ends_with(':')
        })
}

fn priority(line: &str) -> (Option<u16>, &str) {
    let told = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    let Some((number, rest)) = told.filter(|(number, _)| number.len() <= 3) else {
        return (None, line);
    };
    match number.parse() {
        Ok(number) if number < 192 => (Some(number), rest),
        _ => (None, line),
    }
}

/// `program[pid]: message`, and CEF or LEEF in place of the message.
fn tagged<'l>(rest: &'l str, context: &Context, draft: &mut Draft<'l>) -> Result<(), Fault> {
    if rest.starts_with("CEF:") {
        return cef::parse_cef(rest, context, draft);
    }
    if rest.starts_with("LEEF:") {
        return cef::parse_leef(rest, context, draft);
    }
    // The tag ends at what is not part of a program's name (RFC 3164 allows letters and digits
    // only; daemons have more).
    let end = rest.find([':', '[', ' ']).unwrap_or(rest.len());
    let (tag, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let mut pid = "";
    let mut message = after;
    if let Some((number, tail)) = after.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        (pid, message) = (number, tail);
    }
    let Some(message) = message.strip_prefix(':').filter(|_| !tag.is_empty()) else {
        draft.text("message", rest)?;
        draft.log_source.product = "linux";
        draft.log_source.service = "syslog";
        return Ok(());
    };
    let message = message.strip_prefix(' ').unwrap_or(message);
    said(tag, pid, message, context, draft)
}

/// Fields of a program's message.
pub(super) fn said<'l>(
    tag: &'l str,
    pid: &'l str,
    message: &'l str,
    context: &Context,
    draft: &mut Draft<'l>,
) -> Result<(), Fault> {
    // Paths as tags (`/usr/sbin/cron`) are the program's file.
    let program = tag.rsplit_once('/').map_or(tag, |(_, name)| name);
    draft.text_if_any("program", program)?;
    draft.number("pid", pid)?;
    draft.text("message", message)?;
    if message.starts_with("CEF:") {
        return cef::parse_cef(message, context, draft);
    }
    if message.starts_with("LEEF:") {
        return cef::parse_leef(message, context, draft);
    }
    if access::is_server(program) && access::recognises(message) {
        // What is not sound behind its head is a message like others.
        let before = (draft.fields.len(), draft.time);
        if access::parse_message(message, context, draft).is_ok() {
            return Ok(());
        }
        draft.fields.truncate(before.0);
        draft.time = before.1;
    }
    program::read(program, message, draft)
}

/// After `<PRI>1 `: time, host, program, pid, message id, structured data, message.
fn rfc5424<'l>(rest: &'l str, context: &Context, draft: &mut Draft<'l>) -> Result<(), Fault> {
    let mut rest = rest;
    let mut word = || {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = after;
        word
    };
    let (time, host, program, pid, id) = (word(), word(), word(), word(), word());
    if time != "-" {
        let (time, _) = stamp::iso(time, context.zone)
            .ok_or(Fault::Borrowed("no syslog of RFC 5424: the time stamp is not one"))?;
        draft.time = Some(time);
    }
    draft.text_if_any("host", host)?;
    draft.text_if_any("msgid", id)?;
    let message = match rest.strip_prefix('-') {
        Some(after) => after,
        None if rest.starts_with('[') => structured(rest, draft)?,
        None => rest,
    };
    let message = message.strip_prefix(' ').unwrap_or(message);
    // The byte order mark that the RFC wants before UTF-8.
    let message = message.strip_prefix('\u{feff}').unwrap_or(message);
    let program = if program == "-" { "" } else { program };
    said(program, if pid == "-" { "" } else { pid }, message, context, draft)
}

/// `[id name="value" …][id2 …]`; each value becomes `id.name`. Gives what follows.
fn structured<'l>(text: &'l str, draft: &mut Draft<'l>) -> Result<&'l str, Fault> {
    const BROKEN: Fault =
        Fault::Borrowed("no syslog of RFC 5424: its structured data does not end");
    let mut rest = text;
    while let Some(element) = rest.strip_prefix('[') {
        let end = element.find([' ', ']']).ok_or(BROKEN)?;
        let (id, mut after) = element.split_at_checked(end).ok_or(BROKEN)?;
        loop {
            if let Some(done) = after.strip_prefix(']') {
                rest = done;
                break;
            }
            after = after.strip_prefix(' ').ok_or(BROKEN)?;
            if after.starts_with(']') {
                continue;
            }
            let (name, value) = after.split_once("=\"").ok_or(BROKEN)?;
            let (value, tail) = quoted(value, draft)?.ok_or(BROKEN)?;
            let name = draft.joined(id, ".", name)?;
            draft.text(name, value)?;
            after = tail;
        }
    }
    Ok(rest)
}

/// A value up to its closing quote; `\"`, `\\` and `\]` stand for themselves without the backslash.
fn quoted<'l>(text: &'l str, draft: &mut Draft<'l>) -> Result<Option<(&'l str, &'l str)>, Fault> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\\' => break,
            b'"' => return Ok(text.get(..at).zip(text.get(at + 1..))),
            _ => {}
        }
    }
    let mut out = draft.arena.writer();
    for (at, character) in text.char_indices() {
        match character {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            '"' if !escaped => {
                return Ok(Some(out.finish()?).zip(text.get(at + 1..)));
            }
            '"' | '\\' | ']' => {}
            _ if escaped => out.char('\\'),
            _ => {}
        }
        escaped = false;
        out.char(character);
    }
    Ok(None)
}

fn facility(number: u16) -> &'static str {
    const NAMES: [&str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron",
        "authpriv", "ftp", "ntp", "security", "console", "clock", "local0", "local1", "local2",
        "local3", "local4", "local5", "local6", "local7",
    ];
    NAMES.get(usize::from(number)).copied().unwrap_or_default()
}

fn severity(number: u16) -> &'static str {
    const NAMES: [&str; 8] =
        ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    NAMES.get(usize::from(number)).copied().unwrap_or_default()
}
