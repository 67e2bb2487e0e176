//! Which format bytes and lines have.

use super::frame::Framing;
use super::{Context, Format, access, csv, error_log, items, syslog};

/// How a stream as a whole is read, from its first bytes: `told` is what it is said to be. `None` until
/// enough has come; [`Format::Auto`] when each line has to be looked at.
pub(super) fn of_stream(
    told: Format,
    bytes: &[u8],
    ended: bool,
    context: &Context,
) -> Option<(Format, Framing)> {
    /// Only so much is looked at, whatever pieces it comes in.
    const MOST: usize = 64 << 10;
    const MARK: &[u8] = b"\xef\xbb\xbf";
    if matches!(told, Format::Auto | Format::Json) {
        let start = bytes.get(..MOST).unwrap_or(bytes);
        let ended = ended || bytes.len() >= MOST;
        let start = start.strip_prefix(MARK).unwrap_or(start).trim_ascii_start();
        // A part of the mark, or nothing yet.
        if MARK.starts_with(start) && !ended {
            return None;
        }
        if items::recognises(start, ended, told == Format::Json)? {
            return Some((Format::Json, Framing::Items));
        }
    }
    let format = if told == Format::Auto { found(bytes, ended, context)? } else { told };
    Some((format, Framing::of(format)))
}

/// The format that the first bytes show.
fn found(bytes: &[u8], ended: bool, context: &Context) -> Option<Format> {
    const EVTX: &[u8] = b"ElfFile\0";
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    if bytes.starts_with(EVTX) {
        return Some(Format::Evtx);
    }
    let short = EVTX.starts_with(bytes) || start.len() < 10;
    let first = memchr::memchr(b'\n', start);
    if short && !ended && (first.is_none() || EVTX.starts_with(bytes)) {
        return None;
    }
    if start.starts_with(b"<?xml") || start.starts_with(b"<Event") {
        return Some(Format::EventXml);
    }
    if start.starts_with(b"__CURSOR=") || start.starts_with(b"__REALTIME_TIMESTAMP=") {
        return Some(Format::JournalExport);
    }
    if start.starts_with(b"{") {
        return Some(Format::Auto);
    }
    // The rest is told by a whole line.
    let line = match first {
        Some(end) => start.get(..end).unwrap_or_default(),
        None if ended || start.len() > 64 << 10 => start,
        None => return None,
    };
    let line = String::from_utf8_lossy(line);
    Some(match of_line(line.trim_end(), context) {
        None if csv::recognises(line.trim_end()) => Format::Csv,
        _ => Format::Auto,
    })
}

/// The format of a line, by how it begins.
pub(super) fn of_line(line: &str, context: &Context) -> Option<Format> {
    match line.as_bytes() {
        [b'{', ..] => Some(Format::Json),
        [b'C', b'E', b'F', b':', ..] => Some(Format::Cef),
        [b'L', b'E', b'E', b'F', b':', ..] => Some(Format::Leef),
        [b't', b'y', b'p', b'e', b'=', ..] | [b'n', b'o', b'd', b'e', b'=', ..]
            if line.contains("msg=audit(") =>
        {
            Some(Format::Auditd)
        }
        _ if error_log::recognises(line) => Some(Format::ErrorLog),
        _ if access::recognises(line) => Some(Format::Access),
        _ if syslog::recognises(line, context) => Some(Format::Syslog),
        _ => None,
    }
}
