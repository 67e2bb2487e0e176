//! One log line as rules see it: its native fields, borrowed from the reader's buffers.

use crate::event::Event;
use crate::time::Timestamp;
use std::borrow::Cow;

/// What kind of value a field has. Rules compare text; the kind tells a number from its digits in
/// quotes where a rule asks for one, and nothing from an empty text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(clippy::exhaustive_enums, reason = "the kinds of a flat record, which JSON has too")]
pub enum Kind {
    /// Text.
    #[default]
    Text,
    /// A number; `text` is as the source wrote it.
    Number,
    /// `true` or `false`.
    Bool,
    /// Present, but nothing (`null`); `text` is empty.
    Null,
}

/// A field's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "readers build millions of them in place")]
pub struct Value<'r> {
    /// The value as text.
    pub text: &'r str,
    /// Its kind.
    pub kind: Kind,
}

impl<'r> Value<'r> {
    /// A text value.
    pub const fn text(text: &'r str) -> Self {
        Self { text, kind: Kind::Text }
    }
}

/// One field. A list of values is the same name several times, one after another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "readers build millions of them in place")]
pub struct Field<'r> {
    /// The native name, nested ones joined by dots, blanks removed.
    pub name: &'r str,
    /// The value.
    pub value: Value<'r>,
}

/// Where a record comes from in Sigma's words; what is not known is empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "Sigma's three words")]
pub struct LogSource<'r> {
    /// Such as `windows`, `linux`, `nginx`.
    pub product: &'r str,
    /// Such as `process_creation`, `webserver`.
    pub category: &'r str,
    /// Such as `sysmon`, `security`, `sshd`.
    pub service: &'r str,
}

/// One log line, borrowed: nothing is owned until a rule has matched.
///
/// ```
/// use smesec_core::siem::record::{Field, LogSource, Record, Value};
/// let fields = [Field { name: "Image", value: Value::text("C:\\Windows\\System32\\cmd.exe") }];
/// let record = Record { fields: &fields, ..Record::default() };
/// assert_eq!(record.first("Image").unwrap().text, "C:\\Windows\\System32\\cmd.exe");
/// assert!(record.first("image").is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "hosts build it in place")]
pub struct Record<'r> {
    /// The fields, in the order of the source.
    pub fields: &'r [Field<'r>],
    /// What the reader knows of its origin in Sigma's words.
    pub log_source: LogSource<'r>,
    /// When it happened by its own account, nanoseconds UTC.
    pub time: Timestamp,
    /// Whether it tells no time, so that `time` is only when it was taken in. Such a record moves no
    /// watermark, and correlates at the newest time that its origin has told.
    pub undated: bool,
    /// When it was taken in, nanoseconds UTC.
    pub arrival: Timestamp,
    /// The file, socket or name of the stream.
    pub origin: &'r str,
    /// Its number within the origin: an EVTX file's `EventRecordID`, for JSON that is not one object a
    /// line the event's, else the line, from 0.
    pub number: u64,
    /// The whole line, for keyword searches; empty where only fields exist.
    pub raw: &'r str,
    /// How many equal events it stands for: syslog daemons join them, as in `message repeated 5 times`. It is
    /// detected once and counts that often in correlations, at most [`MAX_TIMES`]; 0 is once.
    pub times: u32,
}

/// The most events that one record counts for. Hardly a rule asks for more of a kind, and one line of a forger
/// shall not cost more than a thousand. What goes beyond is counted in
/// [`Statistics::repeats_dropped`](crate::siem::correlation::Statistics::repeats_dropped).
pub const MAX_TIMES: u32 = 1_000;

impl<'r> Record<'r> {
    /// The first value under a name.
    pub fn first(&self, name: &str) -> Option<Value<'r>> {
        self.fields.iter().find(|field| field.name == name).map(|field| field.value)
    }
}

/// What correlation reads values by name from: a record, or an event of another engine.
pub trait Fields {
    /// The first value under a name, as text; `None` where it has none.
    fn value(&self, name: &str) -> Option<Cow<'_, str>>;
}

impl Fields for Record<'_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.first(name).filter(|value| value.kind != Kind::Null).map(|value| value.text.into())
    }
}

/// Events answer to their OCSF names (`src_endpoint.ip`, `user`, `device`, …) and to the names of
/// their `extra` fields.
impl Fields for Event {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let text = |text: &Option<String>| text.as_deref().map(|t| Cow::Owned(t.to_owned()));
        match name {
            "src_endpoint.ip" | "src_ip" => self.src_endpoint.map(|a| a.ip().to_string().into()),
            "src_endpoint.port" | "src_port" => {
                self.src_endpoint.map(|a| a.port().to_string().into())
            }
            "dst_endpoint.ip" | "dst_ip" => self.dst_endpoint.map(|a| a.ip().to_string().into()),
            "dst_endpoint.port" | "dst_port" => {
                self.dst_endpoint.map(|a| a.port().to_string().into())
            }
            "user" => text(&self.user),
            "device" | "host" => text(&self.device),
            "entity" => text(&self.entity),
            "transaction_id" => text(&self.transaction_id),
            "message" => Some(self.message.as_str().into()),
            "action" => Some(self.action.word().into()),
            "severity_id" => Some(self.severity_id.to_string().into()),
            "risk" => self.risk.map(|risk| risk.to_string().into()),
            "rule.id" => self.findings.first().map(|f| f.rule.id.as_str().into()),
            "rule.name" => self.findings.first().map(|f| f.rule.name.as_str().into()),
            _ => match self.extra.get(name)? {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text.as_str().into()),
                other => Some(other.to_string().into()),
            },
        }
    }
}
