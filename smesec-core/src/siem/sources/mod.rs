//! Readers: bytes of log files and streams to [`Record`]s.
//!
//! The host hands bytes in, in pieces of any size; each complete event is shown to a closure as a
//! record whose fields lie in the host's bytes, and only what had to be unescaped or joined lies in
//! memory that the reader uses again. Nothing is opened here, no clock is read, and no input stops a
//! reader: what is broken is told as a [`BadLine`] and counted.
//!
//! ```
//! use smesec_core::siem::sources::{Format, Reader, ReaderOptions};
//!
//! let mut reader = Reader::new(Format::Auto, "auth.log", ReaderOptions::default());
//! let mut seen = Vec::new();
//! let mut each = |line: Result<smesec_core::siem::record::Record<'_>, _>| {
//!     let record = line.unwrap();
//!     seen.push(format!("{} {}", record.log_source.service, record.first("src_ip").unwrap().text));
//! };
//! // Pieces may be cut anywhere.
//! reader.feed(b"Mar  2 06:00:00 web01 sshd[812]: Failed password for root from 192.0.2", &mut each);
//! reader.feed(b".7 port 4022 ssh2\n", &mut each);
//! reader.finish(&mut each);
//! assert_eq!(seen, ["sshd 192.0.2.7"]);
//! ```
//!
//! | room | what happens there |
//! | --- | --- |
//! | `reader` `utf16` | a stream's bytes as UTF-8, and where another reader can go on |
//! | `frame` `items` | cut into events |
//! | `auto` | which format an event has |
//! | `draft` `stamp` | a record in the making; times |
//! | `json` `syslog` `program` `cef` `access` `error_log` `csv` `journal` | one format each, from a line to fields |
//! | `kinds` | whose JSON it is, by its fields |
//! | `auditd` | several lines to one record |
//! | `evtx` `event_xml` `windows` | Windows events |
//! | [`pattern`] | formats that users define, as data |

mod access;
mod auditd;
mod auto;
mod cef;
mod csv;
mod draft;
mod error_log;
mod event_xml;
mod evtx;
mod frame;
mod items;
mod journal;
mod json;
mod kinds;
pub mod pattern;
mod program;
mod reader;
mod stamp;
mod syslog;
mod utf16;
mod windows;

#[cfg(test)]
mod tests;

pub use reader::{Point, Reader, records_of};

#[cfg(doc)]
use super::record::Record;
use crate::time::Timestamp;
use pattern::Patterns;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// What the bytes of a source are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Format {
    /// Found out: from the first bytes for files that are one format as a whole, line by line for
    /// the others, so that a file may mix them.
    #[default]
    Auto,
    /// JSON objects: one a line (Suricata's EVE, `journalctl -o json`, rendered Windows events), in one
    /// list, in `CloudTrail`'s `{"Records": […]}`, or over several lines.
    Json,
    /// Windows' binary event log.
    Evtx,
    /// Windows events as XML.
    EventXml,
    /// Syslog by RFC 3164 or RFC 5424.
    Syslog,
    /// `ArcSight`'s Common Event Format.
    Cef,
    /// IBM's Log Event Extended Format, 1 and 2.
    Leef,
    /// The Linux audit daemon's log.
    Auditd,
    /// `journalctl -o export`.
    JournalExport,
    /// nginx's and Apache's access logs: common, combined, and with the virtual host in front.
    Access,
    /// nginx's and Apache's error logs.
    ErrorLog,
    /// Comma, semicolon or tab separated values below a line of names.
    Csv,
    /// The formats of [`ReaderOptions::patterns`] alone.
    Pattern,
    /// Any line, as the field `message`.
    Text,
}

impl Format {
    /// All formats, by the names that the command and files of settings use.
    pub const ALL: [(&'static str, Self); 14] = [
        ("auto", Self::Auto),
        ("json", Self::Json),
        ("evtx", Self::Evtx),
        ("event-xml", Self::EventXml),
        ("syslog", Self::Syslog),
        ("cef", Self::Cef),
        ("leef", Self::Leef),
        ("auditd", Self::Auditd),
        ("journal-export", Self::JournalExport),
        ("access", Self::Access),
        ("error-log", Self::ErrorLog),
        ("csv", Self::Csv),
        ("pattern", Self::Pattern),
        ("text", Self::Text),
    ];

    /// The format of a name in [`Format::ALL`].
    ///
    /// ```
    /// use smesec_core::siem::sources::Format;
    /// assert_eq!(Format::named("evtx"), Some(Format::Evtx));
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, format)| format == self).map(|(name, _)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

/// How a source is read; see [`Default`] for the values and their reasons.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "hosts fill it in place over the defaults")]
pub struct ReaderOptions {
    /// The host's time: it becomes each record's `arrival`, and tells which year a stamp without
    /// one belongs to.
    pub now: Timestamp,
    /// The zone of stamps that name none, in seconds east of Greenwich.
    pub zone: i32,
    /// The longest event in bytes; longer ones are told, counted and passed over.
    pub event_bytes: usize,
    /// The most fields of one event; one with more is told and counted.
    pub fields: usize,
    /// Formats that the user defines; [`Format::Auto`] tries them before the built-in ones.
    pub patterns: Option<Arc<Patterns>>,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self {
            // The library reads no clock. A host that tells no time sees it in the years that are
            // inferred: they end at 1970.
            now: Timestamp::default(),
            // UTC, in which servers should log.
            zone: 0,
            // Windows' events are below 64 KiB, EVE's with payloads and packets some hundred;
            // a megabyte holds all that is known, and a hundred readers of it fit in 400 MB.
            event_bytes: 1 << 20,
            // The widest real events (cloud audit logs) have some hundreds.
            fields: 4_096,
            patterns: None,
        }
    }
}

/// An event that could not be read. Reading goes on with the next.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BadLine {
    /// The reader's origin.
    pub origin: Arc<str>,
    /// The line it begins in, from 1; for EVTX, and for JSON that is not one object a line, the number
    /// of the event within the file.
    pub line: u64,
    /// What was expected or met.
    pub why: Cow<'static, str>,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.origin, self.line, self.why)
    }
}

/// What a reader has met so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Bytes handed in.
    pub bytes: u64,
    /// Records made.
    pub records: u64,
    /// Events that could not be read, told as [`BadLine`]s.
    pub bad: u64,
    /// Events with bytes that are no UTF-8, and units that are no UTF-16, which were replaced.
    pub replaced: u64,
}

/// What the parsers of lines need of the options.
#[derive(Clone, Copy, Debug, Default)]
struct Context {
    now: Timestamp,
    zone: i64,
}
