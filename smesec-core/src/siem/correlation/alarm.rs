//! What a correlator raises.

use super::hash::sip128;
use crate::event::{Event, EventId, Finding, RuleInfo, Source};
use crate::siem::sigma::techniques;
use crate::time::Timestamp;
use crate::verdict::{Action, Severity};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// An alarm's identity: made of the rule, the group and where its window begins, so that it is the
/// same however the events were cut into batches, and after a restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct AlarmId(u128);

impl AlarmId {
    pub(crate) const fn new(id: u128) -> Self {
        Self(id)
    }

    /// The number.
    pub const fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for AlarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What has happened to an alarm.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Its condition began to hold.
    Opened,
    /// It still holds, and has grown: told when the count has doubled, and at each level of a
    /// directive.
    Updated,
    /// It no longer holds.
    Closed,
}

impl Change {
    /// One word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Closed => "closed",
        }
    }
}

/// What an alarm is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AlarmKind {
    /// A Sigma correlation.
    Correlation,
    /// A directive.
    Directive,
    /// The correlator itself: a limit was reached, or events came too late. What an attacker's
    /// flood makes it forget must be seen.
    Health,
}

/// An alarm: opened, updated or closed.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Alarm {
    /// The identity, the same for all changes of one alarm.
    pub id: AlarmId,
    /// What has happened to it.
    pub change: Change,
    /// What it is about.
    pub kind: AlarmKind,
    /// The rule.
    pub rule: Arc<RuleInfo>,
    /// How grave it is.
    pub severity: Severity,
    /// The event time at which this was decided, nanoseconds UTC.
    pub time: Timestamp,
    /// Where the window begins that opened it.
    pub start: Timestamp,
    /// Hits (or values, or rules) that made it so far.
    pub count: u64,
    /// The sum, mean or percentile, where the correlation looks at one.
    pub figure: Option<f64>,
    /// The group: the fields that all hits have in common, and their values.
    pub group: Vec<(Arc<str>, String)>,
    /// The risk, 0 to 10, where [`crate::siem::risk`] gave one.
    pub risk: Option<u8>,
    /// One line for a person.
    pub message: String,
}

impl Alarm {
    pub(crate) fn new(id: AlarmId, change: Change, kind: AlarmKind, rule: &Arc<RuleInfo>) -> Self {
        Self {
            id,
            change,
            kind,
            rule: Arc::clone(rule),
            severity: Severity::Info,
            time: Timestamp::default(),
            start: Timestamp::default(),
            count: 0,
            figure: None,
            group: Vec::new(),
            risk: None,
            message: String::new(),
        }
    }

    /// The alarm as an event: a detection finding whose `extra` has the group under `group`, what has
    /// happened under `alarm`, and [`Alarm::id`] under `alarm_id`: each change is an event of its own
    /// with an id of its own, and the same again after a restart.
    pub fn to_event(&self) -> Event {
        let told = format!(
            "{}\0{}\0{}\0{}",
            self.id,
            self.change.word(),
            self.count,
            self.time.unix_nanos()
        );
        let id = sip128(9, told.as_bytes());
        let half = |part: u128| u64::try_from(part & u128::from(u64::MAX)).unwrap_or_default();
        let mut event = Event::new(EventId::new(half(id >> 64), half(id)), Source::Siem, self.time);
        // OCSF: detection finding; 1 create, 2 update, 3 close.
        event.class_uid = 2_004;
        event.activity_id = match self.change {
            Change::Opened => 1,
            Change::Updated => 2,
            Change::Closed => 3,
        };
        event.severity_id = self.severity.ocsf_id();
        event.action = Action::Log;
        event.risk = self.risk;
        event.attack = techniques(&self.rule.tags);
        event.message.clone_from(&self.message);
        for (name, value) in &self.group {
            let address = || value.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0));
            match &**name {
                "src_endpoint.ip" | "src_ip" | "c-ip" | "SRC_IP" | "IpAddress" => {
                    event.src_endpoint = address();
                }
                "dst_endpoint.ip" | "dst_ip" | "dest_ip" | "DST_IP" => {
                    event.dst_endpoint = address();
                }
                "user" | "User" | "TargetUserName" => event.user = Some(value.clone()),
                "device" | "host" | "Computer" => event.device = Some(value.clone()),
                _ => {}
            }
        }
        let group: serde_json::Map<String, serde_json::Value> = self
            .group
            .iter()
            .map(|(name, value)| (name.to_string(), value.clone().into()))
            .collect();
        event.extra.insert("group".into(), group.into());
        event.extra.insert("alarm".into(), self.change.word().into());
        event.extra.insert("alarm_id".into(), self.id.to_string().into());
        event.extra.insert("count".into(), self.count.into());
        event.extra.insert("start".into(), self.start.unix_nanos().into());
        if let Some(figure) = self.figure {
            event.extra.insert("figure".into(), figure.into());
        }
        event.findings.push(Finding::new(self.rule.clone(), self.severity, self.message.clone()));
        event
    }
}
