//! The owned record that crosses every border: events made of findings.

use crate::time::Timestamp;
use crate::verdict::{Action, Severity};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// The version of the JSON form; `schema/event-v1.json` describes it.
pub const SCHEMA_VERSION: u32 = 1;

/// The OCSF class of events about HTTP transactions, for [`Event::class_uid`].
pub const HTTP_ACTIVITY: u32 = 4_002;

/// The identity of a rule, shared by all findings it makes.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[allow(clippy::exhaustive_structs, reason = "rule languages of hosts fill it in place")]
pub struct RuleInfo {
    /// The rule's own id: a number in SecLang and Suricata, a UUID in Sigma, a name in YARA.
    pub id: String,
    /// The rule's title or message, as written (macros not expanded).
    pub name: String,
    /// Who wrote it; travels with each match, as the Detection Rule License asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The rule's tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// One thing that a rule recognised.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The rule.
    pub rule: Arc<RuleInfo>,
    /// How grave it is.
    pub severity: Severity,
    /// Where it was found, such as `ARGS:q`; empty where the rule looks at no value.
    pub part: String,
    /// The place within the value that the rule saw: first byte and end, after its
    /// transformations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<(u32, u32)>,
    /// What was found, bounded and masked.
    pub evidence: String,
    /// The rule's message with its macros expanded.
    pub message: String,
}

impl Finding {
    /// A finding of `rule` with this severity and message; the other fields are public.
    pub fn new(rule: Arc<RuleInfo>, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            rule,
            severity,
            part: String::new(),
            span: None,
            evidence: String::new(),
            message: message.into(),
        }
    }
}

/// Which engine speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Source {
    /// The web application firewall.
    Waf,
    /// Packet inspection.
    Ids,
    /// Antivirus.
    Av,
    /// Correlation.
    Siem,
    /// Tests against a target.
    Taas,
    /// The decoy.
    Decoy,
    /// The host, or a part that the host wrote.
    Host,
}

/// A 128-bit identity: the host's seed and a counter, so that no engine needs randomness.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct EventId(u128);

impl EventId {
    /// The `counter`-th id under `seed`.
    pub const fn new(seed: u64, counter: u64) -> Self {
        Self(((seed as u128) << 64) | counter as u128)
    }

    /// The number.
    pub const fn as_u128(self) -> u128 {
        self.0
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl serde::Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// One record of something that happened, by OCSF names where OCSF has one.
///
/// ```
/// use smesec_core::event::{Event, EventId, Source};
/// use smesec_core::time::Timestamp;
/// let mut event = Event::new(EventId::new(7, 1), Source::Host, Timestamp::from_unix_seconds(0));
/// event.message = "door opened".into();
/// let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
/// assert_eq!(json["message"], "door opened");
/// assert_eq!(json["schema_version"], 1);
/// ```
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Event {
    /// The identity.
    pub id: EventId,
    /// The version of this form, [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// When it happened, nanoseconds UTC.
    pub time: Timestamp,
    /// When this library took it in, nanoseconds UTC.
    pub ingest_time: Timestamp,
    /// OCSF class: 4002 HTTP activity ([`HTTP_ACTIVITY`]), 2004 detection finding, 0 base event.
    pub class_uid: u32,
    /// OCSF activity within the class.
    pub activity_id: u32,
    /// OCSF severity, 1 to 5.
    pub severity_id: u8,
    /// Which engine speaks.
    pub detector: Source,
    /// What was done.
    pub action: Action,
    /// The source's address and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_endpoint: Option<SocketAddr>,
    /// The destination's address and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst_endpoint: Option<SocketAddr>,
    /// The user, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The device, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The risk, 0 to 10, where a correlator computed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<u8>,
    /// MITRE ATT&CK techniques.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attack: Vec<String>,
    /// What it is about, where neither user nor device says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The transaction, flow or scan that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// One line for a person.
    pub message: String,
    /// What the rules recognised.
    pub findings: Vec<Finding>,
    /// Further fields by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, serde_json::Value>,
    /// The original text, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// How many correlators this event has come through; a correlator ignores what is its own.
    pub generation: u8,
}

impl Event {
    /// An empty event; the fields are public.
    pub fn new(id: EventId, detector: Source, time: Timestamp) -> Self {
        Self {
            id,
            schema_version: SCHEMA_VERSION,
            time,
            ingest_time: time,
            class_uid: 0,
            activity_id: 0,
            severity_id: Severity::Info.ocsf_id(),
            detector,
            action: Action::Pass,
            src_endpoint: None,
            dst_endpoint: None,
            user: None,
            device: None,
            risk: None,
            attack: Vec::new(),
            entity: None,
            transaction_id: None,
            message: String::new(),
            findings: Vec::new(),
            extra: BTreeMap::new(),
            raw: None,
            generation: 0,
        }
    }

    /// The JSON form, one line, UTF-8.
    pub fn to_json(&self) -> String {
        // Serialising these types into memory cannot fail: no map has a key that is not text.
        serde_json::to_string(self).unwrap_or_default()
    }
}
