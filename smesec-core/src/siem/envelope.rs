//! The normalised envelope: some two dozen columns with OCSF's names over any record, by a table that
//! is data.
//!
//! Rules match native fields; correlation, directives, search and risk ask for a host, a source
//! address or a user whatever the source calls it. Nothing is computed until a column is asked for.
//!
//! ```
//! use smesec_core::siem::envelope::{Column, Envelope, Mapping};
//! use smesec_core::siem::record::{Field, LogSource, Record, Value};
//!
//! let mut mapping = Mapping::builtin();
//! mapping.add("shop.yml", r#"
//! mappings:
//!   - product: shop
//!     columns:
//!       user: customer
//!       outcome: {field: code, values: {"0": success}, otherwise: failure}
//! "#)?;
//! let fields = [
//!     Field { name: "customer", value: Value::text("alice") },
//!     Field { name: "code", value: Value::text("7") },
//!     Field { name: "src_ip", value: Value::text("192.0.2.7") },
//! ];
//! let log_source = LogSource { product: "shop", ..LogSource::default() };
//! let record = Record { fields: &fields, log_source, ..Record::default() };
//! let envelope = Envelope::new(&record, &mapping);
//! assert_eq!(envelope.column(Column::User), Some("alice"));
//! assert_eq!(envelope.column(Column::Outcome), Some("failure"));
//! // What the first mapping does not say, the general ones do.
//! assert_eq!(envelope.column(Column::SrcIp), Some("192.0.2.7"));
//! # Ok::<(), smesec_core::error::RuleError>(())
//! ```

use super::record::{Fields, Kind, Record};
use crate::decode::yaml::{self, Limits, Node};
use crate::error::RuleError;
use crate::time::Timestamp;
use std::borrow::Cow;

/// One column of the envelope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Column {
    /// Whose event it is, where one machine serves several.
    Tenant,
    /// What watched: the sensor, agent or decoder.
    Sensor,
    /// Sigma's product.
    Product,
    /// Sigma's category.
    Category,
    /// Sigma's service.
    Service,
    /// The machine it happened on.
    Host,
    /// The source's address.
    SrcIp,
    /// The source's port.
    SrcPort,
    /// The destination's address.
    DstIp,
    /// The destination's port.
    DstPort,
    /// The transport or application protocol.
    Protocol,
    /// Who did it, or whose account it is about.
    User,
    /// The program, with its path where the source has it.
    Process,
    /// Its number.
    ProcessId,
    /// Its command line.
    CommandLine,
    /// The file or object it is about.
    File,
    /// Its hash.
    FileHash,
    /// The address asked for.
    Url,
    /// How grave the source calls it.
    Severity,
    /// What was done.
    Action,
    /// `success` or `failure`.
    Outcome,
    /// The source's own rule, signature or event number.
    RuleId,
    /// One line for a person.
    Message,
}

impl Column {
    /// All columns by their names, OCSF's where it has one.
    pub const ALL: [(&'static str, Self); 23] = [
        ("tenant", Self::Tenant),
        ("sensor", Self::Sensor),
        ("product", Self::Product),
        ("category", Self::Category),
        ("service", Self::Service),
        ("host", Self::Host),
        ("src_endpoint.ip", Self::SrcIp),
        ("src_endpoint.port", Self::SrcPort),
        ("dst_endpoint.ip", Self::DstIp),
        ("dst_endpoint.port", Self::DstPort),
        ("protocol", Self::Protocol),
        ("user", Self::User),
        ("process.path", Self::Process),
        ("process.pid", Self::ProcessId),
        ("process.cmd_line", Self::CommandLine),
        ("file.path", Self::File),
        ("file.hash", Self::FileHash),
        ("url", Self::Url),
        ("severity", Self::Severity),
        ("action", Self::Action),
        ("outcome", Self::Outcome),
        ("rule.uid", Self::RuleId),
        ("message", Self::Message),
    ];

    /// The column of a name in [`Column::ALL`].
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, column)| *column)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, column)| *column == self).map_or("", |(name, _)| name)
    }
}

/// Which fields stand for which columns, by log source.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The first whose source fits and that has a value wins.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    product: String,
    category: String,
    service: String,
    columns: Vec<(Column, Vec<Origin>)>,
}

/// Where a column's value comes from.
#[derive(Clone, Debug)]
struct Origin {
    field: String,
    /// The field's values and what they mean; empty where they stand for themselves.
    values: Vec<(String, String)>,
    /// What any other value means.
    otherwise: Option<String>,
}

const BUILTIN: &str = include_str!("envelope.yml");

impl Mapping {
    /// The mapping of the formats that the readers know, and of the names that most others use.
    pub fn builtin() -> Self {
        let mut mapping = Self { entries: Vec::new() };
        // A test reads the embedded table.
        let _ = mapping.add("envelope.yml", BUILTIN);
        mapping
    }

    /// Adds a file's mappings before those there are, so that a host's own come first. `mappings` is
    /// a list; each entry has any of `product`, `category` and `service`, which its records must
    /// have, and `columns`: a field's name, several of which the first present counts, or
    /// `{field, values, otherwise}`, which translates.
    ///
    /// # Errors
    /// What is no YAML, no such list or no column, with its place; nothing is added then.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), RuleError> {
        let mut added = Vec::new();
        for document in yaml::documents(text, file, Limits::default()) {
            let root = document?.root;
            let list = root.key("mappings").and_then(Node::list);
            for node in list.ok_or_else(|| error(file, &root, "a list `mappings` is expected"))? {
                added.push(entry(file, node)?);
            }
        }
        self.entries.splice(0..0, added);
        Ok(())
    }
}

fn error(file: &str, node: &Node, why: impl Into<String>) -> RuleError {
    RuleError::new(file, node.place.line, node.place.column, why)
}

fn entry(file: &str, node: &Node) -> Result<Entry, RuleError> {
    let told = |key: &str| node.key(key).and_then(Node::as_str).unwrap_or_default().to_owned();
    let columns = node.key("columns").and_then(Node::map);
    let columns =
        columns.ok_or_else(|| error(file, node, "a mapping needs `columns`, each with a field"))?;
    let mut read = Vec::new();
    for (key, value) in columns {
        let name = key.as_str().unwrap_or_default();
        let column = Column::named(name).ok_or_else(|| {
            let names = Column::ALL.map(|(name, _)| name).join(", ");
            error(file, key, format!("`{name}` is no column; it is one of {names}"))
        })?;
        let origins = match value.list() {
            Some(list) => list.iter().map(|one| origin(file, one)).collect::<Result<_, _>>()?,
            None => vec![origin(file, value)?],
        };
        read.push((column, origins));
    }
    let (product, category, service) = (told("product"), told("category"), told("service"));
    Ok(Entry { product, category, service, columns: read })
}

fn origin(file: &str, node: &Node) -> Result<Origin, RuleError> {
    if let Some(field) = node.as_str() {
        return Ok(Origin { field: field.to_owned(), values: Vec::new(), otherwise: None });
    }
    let field = node.key("field").and_then(Node::as_str).ok_or_else(|| {
        error(file, node, "a field's name is expected, a list of them, or `{field, values}`")
    })?;
    let text = |node: &Node| node.as_str().unwrap_or_default().to_owned();
    let values = node.key("values").and_then(Node::map).unwrap_or_default();
    Ok(Origin {
        field: field.to_owned(),
        values: values.iter().map(|(from, to)| (text(from), text(to))).collect(),
        otherwise: node.key("otherwise").map(text),
    })
}

impl Entry {
    fn fits(&self, record: &Record<'_>) -> bool {
        let fits = |wanted: &str, told: &str| wanted.is_empty() || wanted == told;
        fits(&self.product, record.log_source.product)
            && fits(&self.category, record.log_source.category)
            && fits(&self.service, record.log_source.service)
    }
}

impl Origin {
    fn value<'r>(&'r self, record: &Record<'r>) -> Option<&'r str> {
        let field = record.fields.iter().find(|field| field.name == self.field)?.value;
        // Sources write a dash, or nothing, where they know nothing.
        if field.kind == Kind::Null || matches!(field.text, "" | "-") {
            return None;
        }
        if self.values.is_empty() {
            return Some(field.text);
        }
        let meant = self.values.iter().find(|(from, _)| from.eq_ignore_ascii_case(field.text));
        meant.map(|(_, to)| to.as_str()).or(self.otherwise.as_deref())
    }
}

/// A record seen through a mapping.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'r> {
    record: Record<'r>,
    mapping: &'r Mapping,
}

impl<'r> Envelope<'r> {
    /// The envelope of a record.
    pub const fn new(record: &Record<'r>, mapping: &'r Mapping) -> Self {
        Self { record: *record, mapping }
    }

    /// When it happened.
    pub const fn time(&self) -> Timestamp {
        self.record.time
    }

    /// When it was taken in.
    pub const fn arrival(&self) -> Timestamp {
        self.record.arrival
    }

    /// A column's value; `None` where the source does not tell it.
    pub fn column(&self, column: Column) -> Option<&'r str> {
        let fitting = self.mapping.entries.iter().filter(|entry| entry.fits(&self.record));
        let mapped = fitting
            .flat_map(|entry| entry.columns.iter().filter(|(of, _)| *of == column))
            .flat_map(|(_, origins)| origins)
            .find_map(|origin| origin.value(&self.record));
        let source = self.record.log_source;
        let own = match column {
            Column::Product => source.product,
            Column::Category => source.category,
            Column::Service => source.service,
            Column::Message => self.record.raw,
            _ => "",
        };
        mapped.or((!own.is_empty()).then_some(own))
    }

    /// The columns that have a value, by name.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, &'r str)> + '_ {
        Column::ALL
            .into_iter()
            .filter_map(|(name, column)| self.column(column).map(|value| (name, value)))
    }
}

/// Answers to native names first, then to those of columns.
impl Fields for Envelope<'_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.record
            .value(name)
            .or_else(|| Column::named(name).and_then(|column| self.column(column)).map(Cow::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siem::sources::{Format, ReaderOptions, records_of};
    use std::fmt::Write as _;

    fn columns(format: Format, line: &str) -> String {
        let mapping = Mapping::builtin();
        let mut out = String::new();
        records_of(format, "x", line.as_bytes(), ReaderOptions::default(), &mut |line| {
            let record = line.unwrap();
            let envelope = Envelope::new(&record, &mapping);
            for (name, value) in envelope.columns().filter(|(name, _)| *name != "message") {
                let _ = write!(out, "{name}={value} ");
            }
        });
        out
    }

    #[test]
    fn the_embedded_table_is_read_whole() {
        let mut mapping = Mapping { entries: Vec::new() };
        mapping.add("envelope.yml", BUILTIN).unwrap();
        assert!(mapping.entries.len() > 5);
    }

    #[test]
    fn every_source_has_the_same_columns() {
        assert_eq!(
            columns(
                Format::Syslog,
                "Mar  2 06:00:00 web01 sshd[812]: Failed password for root from 192.0.2.7 port 4022 ssh2"
            ),
            "product=linux service=sshd host=web01 src_endpoint.ip=192.0.2.7 src_endpoint.port=4022 user=root process.path=sshd process.pid=812 action=login outcome=failure "
        );
        assert_eq!(
            columns(
                Format::Access,
                "192.0.2.7 - alice [02/Mar/2026:06:00:00 +0000] \"GET /a?b HTTP/1.1\" 404 1 \"-\" \"x\""
            ),
            "category=webserver src_endpoint.ip=192.0.2.7 user=alice url=/a?b action=GET rule.uid=404 "
        );
        assert_eq!(
            columns(
                Format::EventXml,
                "<Event><System><Provider Name='P'/><EventID>4625</EventID><Level>0</Level><Channel>Security</Channel><Computer>dc01</Computer></System><EventData><Data Name='TargetUserName'>bob</Data><Data Name='IpAddress'>192.0.2.7</Data><Data Name='IpPort'>-</Data></EventData></Event>"
            ),
            "sensor=P product=windows service=Security host=dc01 src_endpoint.ip=192.0.2.7 user=bob severity=informational outcome=failure rule.uid=4625 "
        );
        assert_eq!(
            columns(
                Format::Json,
                "{\"timestamp\":\"2026-03-02T06:00:00Z\",\"flow_id\":1,\"event_type\":\"alert\",\"src_ip\":\"192.0.2.7\",\"dest_ip\":\"192.0.2.8\",\"dest_port\":80,\"proto\":\"TCP\",\"alert\":{\"severity\":1,\"signature_id\":7,\"action\":\"allowed\"}}"
            ),
            "product=suricata service=eve src_endpoint.ip=192.0.2.7 dst_endpoint.ip=192.0.2.8 dst_endpoint.port=80 protocol=TCP severity=high action=allowed rule.uid=7 "
        );
    }

    #[test]
    fn a_wrong_table_is_told_by_its_place() {
        let mut mapping = Mapping::builtin();
        let why = mapping.add("a.yml", "mappings:\n  - columns:\n      userr: x\n").unwrap_err();
        assert!(
            why.to_string().starts_with("a.yml:3:7: `userr` is no column; it is one of tenant,")
        );
        let why = mapping.add("a.yml", "mappings:\n  - product: x\n").unwrap_err();
        assert_eq!(why.to_string(), "a.yml:2:5: a mapping needs `columns`, each with a field");
        let why = mapping.add("a.yml", "x: 1\n").unwrap_err();
        assert_eq!(why.to_string(), "a.yml:1:1: a list `mappings` is expected");
    }
}
