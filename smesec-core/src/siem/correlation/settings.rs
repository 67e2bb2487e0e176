//! What a correlator may keep, and how long it waits.

use crate::time::Timestamp;
use std::ops::Range;

/// The bounds of a correlator, each with its default.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "hosts name what they change and take the rest")]
pub struct Settings {
    /// How late, in nanoseconds, an event may come after newer ones of its source. 30 s: what agents
    /// and relays hold back at worst in an ordinary network. Alarms come as much later.
    pub lateness: i64,
    /// Sources that are later (or more punctual) than the rest, by name.
    pub sources: Vec<(String, i64)>,
    /// How long a source may be silent beyond its lateness, in nanoseconds, before the others no longer
    /// wait for it. 60 s: twice the lateness, so that a quiet source costs no more than two minutes.
    pub idle: i64,
    /// How far an event's time may lie ahead of its arrival, in nanoseconds; what is beyond is taken
    /// as of its arrival, and counted. 5 min: what the clocks of a domain may differ by.
    pub ahead: i64,
    /// A leap forward of more than this, in nanoseconds, moves a source's time only once a second
    /// event confirms it. 1 h: longer than pauses within a stream, shorter than any bad clock.
    pub leap: i64,
    /// Groups kept for each correlation. 100,000: about 20 MB for counts.
    pub groups: usize,
    /// Hits that wait for the watermark, of all correlations together, and events that wait before all
    /// directives. 1,000,000: 48 MB of hits, and half a minute of 30,000 hits a second. Hits that
    /// carry values on to another correlation cost those besides; events are bounded by their bytes too.
    pub pending: usize,
    /// Bytes of events that wait before all directives, with each value that a level may look back to;
    /// beyond it the oldest are judged before their time, and it is told. 256 MiB: a million events of
    /// ten short values, and 40,000 of those in which somebody fills every field.
    pub pending_bytes: usize,
    /// Values kept for each group of a sum, mean, percentile or median. 65,536: 1 MB a group.
    pub samples: usize,
    /// Values kept for all groups of a correlation together; a group that grows beyond lets go of its
    /// own oldest. 2,000,000: 48 MB, and a minute of 30,000 hits a second.
    pub all_samples: usize,
    /// What the places of groups in memory are mixed with, so that nobody outside can aim keys at one
    /// place; a host gives a random number. 0. No alarm hangs on it.
    pub seed: u64,
    /// Into how many buckets groups are cut for snapshots and for sharding. 1.
    pub buckets: u16,
    /// The buckets that this correlator works on; groups of others are somebody else's. All.
    pub owned: Range<u16>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lateness: 30 * SECOND,
            sources: Vec::new(),
            idle: 60 * SECOND,
            ahead: 300 * SECOND,
            leap: 3_600 * SECOND,
            groups: 100_000,
            pending: 1_000_000,
            pending_bytes: 256 << 20,
            samples: 65_536,
            all_samples: 2_000_000,
            seed: 0,
            buckets: 1,
            owned: 0..u16::MAX,
        }
    }
}

const SECOND: i64 = 1_000_000_000;

impl Settings {
    /// For a stored set of records in no order: everything waits for
    /// [`Correlator::flush`](super::Correlator::flush), or for the bound on pending hits.
    pub fn stored() -> Self {
        Self { lateness: i64::MAX, ..Self::default() }
    }

    pub(crate) fn lateness_of(&self, source: &str) -> i64 {
        let own = self.sources.iter().find(|(name, _)| name == source);
        own.map_or(self.lateness, |(_, lateness)| *lateness).max(0)
    }

    pub(crate) fn bucket(&self, shard: u32) -> u16 {
        u16::try_from(shard % u32::from(self.buckets.max(1))).unwrap_or_default()
    }

    /// The time of an event that arrived at `arrival`; `None` where it lies too far ahead.
    pub(crate) fn plausible(&self, time: Timestamp, arrival: Option<Timestamp>) -> Option<i64> {
        let time = time.unix_nanos();
        let latest = arrival.map(|at| at.unix_nanos().saturating_add(self.ahead));
        latest.is_none_or(|latest| time <= latest).then_some(time)
    }
}
