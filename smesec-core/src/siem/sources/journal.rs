//! systemd's journal: `journalctl -o json` and `-o export`.

use super::draft::{Draft, Fault};
use super::{Context, program, stamp};
use crate::siem::record::Kind;

/// Completes an entry whose fields have been read: time and what its program says.
pub(super) fn conclude(draft: &mut Draft<'_>, context: &Context) -> Result<(), Fault> {
    let own = draft.first("_SOURCE_REALTIME_TIMESTAMP");
    let time = own.or_else(|| draft.first("__REALTIME_TIMESTAMP"));
    draft.time = time.and_then(stamp::epoch);
    let message = draft.first("MESSAGE").unwrap_or_default();
    let name = draft.first("SYSLOG_IDENTIFIER").or_else(|| draft.first("_COMM"));
    draft.raw = message;
    if let Some(host) = draft.first("_HOSTNAME") {
        draft.text("host", host)?;
    }
    let _ = context;
    program::read(name.unwrap_or_default(), message, draft)
}

/// Reads one entry of `journalctl -o export`: `NAME=value` lines; `NAME`, eight bytes of length, and
/// that many bytes where the value is no line of text.
pub(super) fn parse_export<'l>(
    bytes: &'l [u8],
    context: &Context,
    draft: &mut Draft<'l>,
) -> Result<(), Fault> {
    const CUT: Fault = Fault::Borrowed("an entry of the journal that is cut off");
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = after.get(1..).unwrap_or_default();
        if line.is_empty() {
            continue;
        }
        let (name, value) = if let Some(at) = memchr::memchr(b'=', line) {
            (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default())
        } else {
            let (length, after) = rest.split_first_chunk::<8>().ok_or(CUT)?;
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| CUT)?;
            let (value, after) = after.split_at_checked(length).ok_or(CUT)?;
            rest = after.strip_prefix(b"\n").unwrap_or(after);
            (line, value)
        };
        let name = std::str::from_utf8(name)
            .map_err(|_| Fault::Borrowed("a field of the journal whose name is no text"))?;
        let value = if let Ok(value) = std::str::from_utf8(value) {
            value
        } else {
            let mut out = draft.arena.writer();
            out.bytes(value);
            out.finish()?
        };
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        draft.push(name, value, if digits { Kind::Number } else { Kind::Text })?;
    }
    conclude(draft, context)
}
