//! Alarms of the correlator about itself.

use super::alarm::{Alarm, AlarmId, AlarmKind, Change};
use super::hash::sip128;
use crate::event::RuleInfo;
use crate::siem::snapshot::{Reader, Writer};
use crate::time::Timestamp;
use crate::verdict::Severity;
use std::sync::Arc;

/// What goes wrong inside a correlator without being an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    Late,
    Groups,
    Pending,
    Samples,
}

/// When each trouble is told next: at its first time, and each time its number has doubled. So a
/// flood is seen at once and does not become a flood of alarms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    next: [u64; 4],
}

impl Health {
    pub(crate) fn write(self, into: &mut Writer) {
        for next in self.next {
            into.u64(next);
        }
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { next: [from.u64()?, from.u64()?, from.u64()?, from.u64()?] })
    }

    /// What a snapshot has told is not told again.
    pub(crate) fn take_up(&mut self, read: Self) {
        for (mine, read) in self.next.iter_mut().zip(read.next) {
            *mine = (*mine).max(read);
        }
    }

    pub(crate) fn told(&mut self, trouble: Trouble, count: u64, time: i64, out: &mut Vec<Alarm>) {
        let (at, id, what, severity) = match trouble {
            Trouble::Late => (
                0,
                "correlation-late",
                "hits came later than their source's lateness and were not correlated; raise the lateness",
                Severity::Low,
            ),
            Trouble::Groups => (
                1,
                "correlation-groups-overflow",
                "groups were forgotten because there are too many; a flood may be hiding something",
                Severity::High,
            ),
            Trouble::Pending => (
                2,
                "correlation-pending-overflow",
                "hits were judged before their time because too many wait; raise the bound",
                Severity::High,
            ),
            Trouble::Samples => (
                3,
                "correlation-samples-overflow",
                "values were dropped because their group, or all together, keep no more; raise the bound",
                Severity::Medium,
            ),
        };
        let Some(next) = self.next.get_mut(at) else { return };
        if count < *next {
            return;
        }
        *next = count.saturating_mul(2);
        out.push(Alarm {
            // With the time: what is counted begins anew after a restart.
            id: AlarmId::new(sip128(7, format!("{id}\0{count}\0{time}").as_bytes())),
            change: Change::Opened,
            kind: AlarmKind::Health,
            rule: Arc::new(RuleInfo {
                id: id.to_owned(),
                name: what.to_owned(),
                author: None,
                tags: Vec::new(),
            }),
            severity,
            time: Timestamp::from_unix_nanos(time),
            start: Timestamp::from_unix_nanos(time),
            count,
            figure: None,
            group: Vec::new(),
            risk: None,
            message: format!("{count} {what}"),
        });
    }
}
