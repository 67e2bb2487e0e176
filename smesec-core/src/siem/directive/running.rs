//! A directive that has begun, and how it goes on.

use super::Level;
use super::fields::{DST_IP, DST_PORT, Name, SRC_IP, SRC_PORT, Values};
use super::loaded::Loaded;
use super::run::Seen;
use crate::siem::correlation::{Alarm, AlarmId, AlarmKind, Change, sip128};
use crate::siem::risk::{Assets, risk, severity};
use crate::time::Timestamp;
use std::collections::HashSet;
use std::sync::Arc;

/// A directive that has begun.
#[derive(Debug)]
pub(super) struct Running {
    /// Where it stands: from the first level, which of `next` at each; `None` while the first one is
    /// still being counted.
    pub(super) path: Option<Vec<usize>>,
    /// When the level it stands on was completed.
    pub(super) since: i64,
    pub(super) start: i64,
    pub(super) earlier: Vec<Values>,
    pub(super) reliability: u8,
    /// The highest priority that a policy gave; it takes the place of the directive's.
    pub(super) policy: Option<u8>,
    pub(super) asset: u8,
    /// For each of what may come next, how often it has.
    pub(super) counts: Vec<u32>,
    pub(super) different: Vec<HashSet<u128>>,
    pub(super) id: u128,
    pub(super) hits: u64,
    pub(super) open: bool,
    pub(super) risk: u8,
}

/// Whether it is open, its levels, how near the next one is (255 at most), and since when it stands.
pub(super) type Rank = (bool, Option<usize>, u8, i64);

/// What the alarm of one that is forgotten says besides.
const FORGOTTEN: &str = " (forgotten while it went on: too many run at once)";

/// What came of showing an event to a running directive that took it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) sticky: bool,
    /// A level was completed.
    completed: bool,
    /// It was the last.
    pub(super) ended: bool,
}

impl Running {
    pub(super) fn begin(loaded: &Loaded, time: i64, seen: &Seen) -> Self {
        let mut bytes = loaded.directive.id.clone().into_bytes();
        bytes.extend(time.to_le_bytes());
        bytes.extend(seen.values.bytes());
        Self {
            path: None,
            since: time,
            start: time,
            earlier: Vec::new(),
            reliability: 0,
            policy: None,
            asset: 0,
            counts: vec![0],
            different: vec![HashSet::new()],
            id: sip128(9, &bytes),
            hits: 0,
            open: false,
            risk: 0,
        }
    }

    /// Shows it an event, and tells what comes of it.
    pub(super) fn show(
        &mut self,
        loaded: &Loaded,
        time: i64,
        seen: &Seen,
        assets: &Assets,
        out: &mut Vec<Alarm>,
    ) -> Option<Taken> {
        let taken = self.step(loaded, time, seen, assets)?;
        if taken.completed {
            self.weigh(loaded, seen, assets);
            self.tell(loaded, time, out);
        }
        if taken.ended {
            self.close(loaded, time, out);
        }
        Some(taken)
    }

    /// How far it is: of several the least is the smallest loss. An alarm that is open, then the
    /// levels, then how near the next one is, then how long it will still last.
    pub(super) fn rank(&self, loaded: &Loaded) -> Rank {
        let nearness = |(level, count): (&Level, &u32)| {
            let share = u64::from(*count) * 255 / u64::from(level.occurrence.max(1));
            u8::try_from(share).unwrap_or(u8::MAX)
        };
        let nearest = loaded.candidates(self).iter().zip(&self.counts).map(nearness).max();
        (self.open, self.path.as_ref().map(Vec::len), nearest.unwrap_or_default(), self.since)
    }

    /// Of what may come next the first that fits takes it.
    fn step(&mut self, loaded: &Loaded, time: i64, seen: &Seen, assets: &Assets) -> Option<Taken> {
        let fits = |level: &Level| {
            level.time_out.is_none_or(|t| time <= self.since.saturating_add(t))
                && loaded.takes(level, seen, &self.earlier, assets)
        };
        let at = loaded.candidates(self).iter().position(fits)?;
        let level = loaded.candidates(self).get(at)?;
        let count = self.counts.get_mut(at)?;
        match level.sticky_different {
            // Only a value that has not come yet counts.
            Some(name) => {
                let different = self.different.get_mut(at)?;
                if let Some(value) = seen.values.get(name) {
                    different.insert(sip128(10, value.as_bytes()));
                }
                *count = u32::try_from(different.len()).unwrap_or(u32::MAX);
            }
            None => *count = count.saturating_add(1),
        }
        self.hits += 1;
        let (sticky, complete) = (level.sticky, *count >= level.occurrence);
        if complete {
            self.reliability = level.reliability.after(self.reliability);
            self.earlier.push(seen.values.clone());
            self.since = time;
            let next = level.next.len();
            match &mut self.path {
                Some(path) => path.push(at),
                None => self.path = Some(Vec::new()),
            }
            self.counts = vec![0; next];
            self.different = vec![HashSet::new(); next];
        }
        Some(Taken { sticky, completed: complete, ended: complete && self.counts.is_empty() })
    }

    /// The risk after a level: of the most valuable asset and the highest priority so far.
    fn weigh(&mut self, loaded: &Loaded, seen: &Seen, assets: &Assets) {
        let ends = [SRC_IP, DST_IP].into_iter().filter_map(|name| seen.values.get(name));
        self.asset = self.asset.max(assets.worth(ends));
        self.policy = self.policy.max(seen.priority);
        let priority = self.policy.unwrap_or(loaded.directive.priority);
        self.risk = risk(self.asset, priority, self.reliability);
    }

    fn tell(&mut self, loaded: &Loaded, time: i64, out: &mut Vec<Alarm>) {
        let change = if self.open { Change::Updated } else { Change::Opened };
        if self.open || self.risk >= 1 {
            self.open = true;
            out.push(self.alarm(loaded, change, time));
        }
    }

    pub(super) fn close(&mut self, loaded: &Loaded, time: i64, out: &mut Vec<Alarm>) {
        if self.open {
            self.open = false;
            out.push(self.alarm(loaded, Change::Closed, time));
        }
    }

    /// Ends it before its time. Whoever watches its alarm must not take that for a quiet end.
    pub(super) fn forget(mut self, loaded: &Loaded, time: i64, out: &mut Vec<Alarm>) {
        if self.open {
            self.open = false;
            let mut alarm = self.alarm(loaded, Change::Closed, time);
            alarm.message += FORGOTTEN;
            out.push(alarm);
        }
    }

    fn alarm(&self, loaded: &Loaded, change: Change, time: i64) -> Alarm {
        let first = self.earlier.first();
        let value = |name: Name| first.and_then(|values| values.get(name));
        let mut message = loaded.directive.name.clone();
        let mut group = Vec::new();
        for name in [SRC_IP, DST_IP, SRC_PORT, DST_PORT] {
            message = message.replace(name.word(), value(name).unwrap_or("unknown"));
            if let Some(value) = value(name) {
                group.push((Arc::from(name.word()), value.to_owned()));
            }
        }
        let mut alarm =
            Alarm::new(AlarmId::new(self.id), change, AlarmKind::Directive, &loaded.info);
        alarm.severity = severity(self.risk);
        alarm.time = Timestamp::from_unix_nanos(time);
        alarm.start = Timestamp::from_unix_nanos(self.start);
        alarm.count = self.hits;
        alarm.group = group;
        alarm.risk = Some(self.risk);
        alarm.message = message;
        alarm
    }
}
