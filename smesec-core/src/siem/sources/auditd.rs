//! The Linux audit daemon's log: the lines of one event, which share a serial number, as one record.

use super::draft::{Draft, Fault};
use super::stamp;
use crate::siem::record::{Kind, LogSource};
use std::collections::VecDeque;

/// Events whose lines have not all come.
///
/// The kernel writes an event's lines one after another, but several processors may write at once.
/// An event is complete with its `EOE` line, or, where the daemon keeps that out of its file, with
/// its `PROCTITLE`, the last that a file has; what lacks both leaves when [`OPEN`] younger ones have
/// begun, or at the end.
#[derive(Debug, Default)]
pub(super) struct Pending {
    open: VecDeque<Event>,
    spare: Vec<Event>,
}

/// The lines of one event.
#[derive(Debug, Default)]
pub(super) struct Event {
    pub(super) text: String,
    /// The first line's number, from 0.
    pub(super) line: u64,
    /// What stands in the brackets of `msg=audit(…)`, and the node before it.
    key: String,
    complete: bool,
}

/// As many events as processors of a large machine write at once.
const OPEN: usize = 64;

impl Pending {
    /// Takes one line.
    pub(super) fn push(&mut self, line: &str, number: u64, most: usize) -> Result<(), Fault> {
        const NONE: Fault =
            Fault::Borrowed("no line of auditd: `type=… msg=audit(…):` is expected");
        let (head, rest) = cut(line, "msg=audit(").ok_or(NONE)?;
        let (stamp, _) = cut(rest, "):").ok_or(NONE)?;
        let (node, kind) = head.split_once("type=").ok_or(NONE)?;
        let kind = kind.trim_end();
        let same = |event: &Event| {
            event.key.strip_suffix(stamp).is_some_and(|before| before == node) && !event.complete
        };
        let at = self.open.iter_mut().rposition(|event| same(event));
        let event = match at.and_then(|at| self.open.get_mut(at)) {
            Some(event) => event,
            None if kind == "EOE" => return Ok(()),
            None => {
                let mut event = self.spare.pop().unwrap_or_default();
                event.text.clear();
                event.key.clear();
                event.key.push_str(node);
                event.key.push_str(stamp);
                event.line = number;
                event.complete = false;
                self.open.push_back(event);
                let Some(event) = self.open.back_mut() else { return Ok(()) };
                event
            }
        };
        if event.text.len() + line.len() > most {
            event.complete = true;
            return Err(
                "an event of auditd longer than the limit; its later lines are an event of their own"
                    .into()
            );
        }
        event.text.push_str(line);
        event.text.push('\n');
        event.complete = matches!(kind, "EOE" | "PROCTITLE") || single(kind);
        Ok(())
    }

    /// An event that is complete, the oldest first; at the end any.
    pub(super) fn pop(&mut self, ended: bool) -> Option<Event> {
        let at = self.open.iter().position(|event| event.complete);
        match at {
            Some(at) => self.open.remove(at),
            None if ended || self.open.len() > OPEN => self.open.pop_front(),
            None => None,
        }
    }

    /// Whether no event waits for more of its lines.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes an event's memory back.
    pub(super) fn recycle(&mut self, mut event: Event) {
        event.text.shrink_to(64 << 10);
        if self.spare.len() < OPEN {
            self.spare.push(event);
        }
    }
}

/// Like `split_once`, which builds a searcher of its own for each line.
fn cut<'l>(text: &'l str, at: &str) -> Option<(&'l str, &'l str)> {
    let found = memchr::memmem::find(text.as_bytes(), at.as_bytes())?;
    text.get(..found).zip(text.get(found + at.len()..))
}

/// Kinds that programs send, each an event of one line (`linux/audit.h`, 1100 to 1299 and the
/// integrity and virtualisation ones), and those the daemon itself writes.
fn single(kind: &str) -> bool {
    ["USER_", "CRED_", "DAEMON_", "SERVICE_", "SYSTEM_", "VIRT_", "CRYPTO_", "ADD_", "DEL_", "GRP_"]
        .iter()
        .any(|start| kind.starts_with(start))
        || matches!(kind, "LOGIN" | "ACCT_LOCK" | "ACCT_UNLOCK" | "CHGRP_ID" | "CHUSER_ID" | "USER")
}

/// Reads the lines of one event.
pub(super) fn parse<'l>(text: &'l str, draft: &mut Draft<'l>) -> Result<(), Fault> {
    draft.raw = text.trim_end_matches('\n');
    draft.log_source = LogSource { product: "linux", category: "", service: "auditd" };
    let mut executed = false;
    for line in text.lines() {
        let Some((head, rest)) = cut(line, "msg=audit(") else { continue };
        let Some((stamp, rest)) = cut(rest, "):") else { continue };
        let (node, kind) = head.split_once("type=").unwrap_or(("", head));
        let kind = kind.trim_end();
        if kind == "EOE" {
            continue;
        }
        if draft.time.is_none() {
            let (time, serial) = stamp.split_once(':').unwrap_or((stamp, ""));
            draft.time = stamp::epoch(time);
            if let Some(node) = node.trim_end().strip_prefix("node=") {
                draft.text("node", node)?;
            }
            draft.number("serial", serial)?;
        }
        draft.text("type", kind)?;
        executed |= kind == "EXECVE";
        let first = draft.fields.len();
        // The daemon's own reading of numbers follows a group separator.
        pairs(rest.trim_start_matches(' '), kind, draft)?;
        if kind == "EXECVE" {
            command_line(first, draft)?;
        }
    }
    if executed {
        // What process creation rules name, from the call and its arguments.
        draft.log_source.category = "process_creation";
        for (from, to) in [
            ("exe", "Image"),
            ("cwd", "CurrentDirectory"),
            ("pid", "ProcessId"),
            ("ppid", "ParentProcessId"),
        ] {
            if let Some(text) = draft.first(from) {
                draft.text(to, text)?;
            }
        }
        if let Some(user) = draft.first("UID") {
            draft.text("User", user)?;
        }
    }
    Ok(())
}

/// `key=value` pairs: bare, in quotes, in hexadecimal, or within `msg='…'`.
fn pairs<'l>(text: &'l str, kind: &str, draft: &mut Draft<'l>) -> Result<(), Fault> {
    let blank = [' ', '\x1d', '\'', ','];
    let mut rest = text.trim_start_matches(blank);
    while !rest.is_empty() {
        let Some((before, after)) = rest.split_once('=') else { break };
        // Words before a key (`op=PAM:session_open grantors=…` has none; `login pid=1` has).
        let key =
            before.rsplit([' ', '\x1d', ',']).next().unwrap_or(before).trim_start_matches('\'');
        if key == "msg" && after.starts_with('\'') {
            rest = after.trim_start_matches('\'');
            continue;
        }
        let (value, tail, kind_of) = if let Some(inner) = after.strip_prefix('"') {
            let end = inner.find('"').unwrap_or(inner.len());
            let (value, tail) = inner.split_at_checked(end).unwrap_or((inner, ""));
            (value, tail.strip_prefix('"').unwrap_or(tail), Kind::Text)
        } else {
            let end = after.find([' ', '\x1d', '\'']).unwrap_or(after.len());
            let (value, tail) = after.split_at_checked(end).unwrap_or((after, ""));
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            if encodes(key, kind) && is_encoded(value) {
                (decoded(value, key == "proctitle", draft)?, tail, Kind::Text)
            } else {
                (value, tail, if digits { Kind::Number } else { Kind::Text })
            }
        };
        if !key.is_empty() {
            draft.push(key, value, kind_of)?;
        }
        rest = tail.trim_start_matches(blank);
    }
    Ok(())
}

/// The fields that the kernel and the tools write in hexadecimal where they hold blanks, quotes or
/// control characters (what they call untrusted strings).
fn encodes(key: &str, kind: &str) -> bool {
    match key {
        "name" | "exe" | "comm" | "cwd" | "proctitle" | "cmd" | "data" | "acct" | "path"
        | "dir" | "key" | "file" | "root_dir" | "vm" | "ocomm" | "watch" | "grp" | "op_path" => {
            true
        }
        // A call's arguments are numbers in hexadecimal; a program's are text.
        _ => kind == "EXECVE" && is_argument(key),
    }
}

/// `a0`, `a1`, and `a1[0]` where an argument was cut in pieces.
fn is_argument(key: &str) -> bool {
    key.strip_prefix('a').is_some_and(|rest| {
        rest.starts_with(|first: char| first.is_ascii_digit())
            && rest.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'[' | b']'))
    })
}

fn is_encoded(value: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    value.len() >= 2 && value.len().is_multiple_of(2) && value.bytes().all(digit)
}

/// The bytes of pairs of hexadecimal digits. A process's title has NUL between its words.
fn decoded<'l>(value: &str, title: bool, draft: &mut Draft<'l>) -> Result<&'l str, Fault> {
    let digit = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' + 10 };
    let mut out = draft.arena.writer();
    for pair in value.as_bytes().as_chunks::<2>().0 {
        let byte = digit(pair[0]) * 16 + digit(pair[1]);
        out.bytes(&[if byte == 0 && title { b' ' } else { byte }]);
    }
    out.trim_end(|byte| byte == 0);
    out.finish()
}

/// The arguments of a program, those after `first`, joined by blanks.
fn command_line(first: usize, draft: &mut Draft<'_>) -> Result<(), Fault> {
    let fields = draft.fields.get(first..).unwrap_or_default();
    let mut out = draft.arena.writer();
    let mut last = "";
    for field in fields.iter().filter(|field| is_argument(field.name)) {
        let argument = field.name.split('[').next().unwrap_or_default();
        // The pieces of one argument are not parted.
        if !last.is_empty() && argument != last {
            out.push(" ");
        }
        out.push(field.value.text);
        last = argument;
    }
    let line = out.finish()?;
    draft.text("CommandLine", line)
}
