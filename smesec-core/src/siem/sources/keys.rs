//! The keys of outermost objects, foreseen: a source writes the same ones in the same order, so one
//! comparison stands for reading a key and for finding out what it means.

use crate::siem::names::same;
use std::collections::HashMap;

/// How many keys are remembered. 1,024: some sources' all; what outsiders make up does not grow it further.
const KEYS: usize = 1_024;
/// Longer keys are not remembered.
const LONGEST: usize = 64;

/// Keys that may come next: records of a few kinds take turns in a stream, and each goes on in its way.
const WAYS: usize = 4;

/// No key that is remembered.
const LOST: usize = usize::MAX;

/// What a key of the outermost object says of the whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Role {
    pub(super) mark: Mark,
    /// Where a source writes several times, the lowest above 0 is when it happened.
    pub(super) time: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Mark {
    #[default]
    None,
    Product,
    Category,
    Service,
    /// Zeek's `_path`.
    Path,
    /// Suricata's.
    Eve,
    Journal,
    Windows,
    /// A Windows event as a whole, perhaps.
    Event,
}

impl Role {
    /// What a name says.
    pub(super) fn of(name: &str) -> Self {
        let mark = match name {
            "product" => Mark::Product,
            "category" => Mark::Category,
            "service" => Mark::Service,
            "_path" => Mark::Path,
            "flow_id" | "pcap_cnt" => Mark::Eve,
            "__REALTIME_TIMESTAMP" => Mark::Journal,
            "Channel" | "EventID" => Mark::Windows,
            "Event" => Mark::Event,
            _ => Mark::None,
        };
        let time = match name {
            "@timestamp" | "__REALTIME_TIMESTAMP" => 1,
            "timestamp" | "ts" | "eventTime" | "EventTime" | "published" | "id.time" => 2,
            "requestReceivedTimestamp" | "activityDateTime" | "createdDateTime" => 3,
            "SystemTime" | "TimeCreated" | "TimeGenerated" | "time" | "Timestamp" | "_time" => 4,
            "CreationTime" | "stageTimestamp" | "utc_time" => 4,
            "date" | "datetime" | "UtcTime" | "local_time" => 5,
            _ => 0,
        };
        Self { mark, time }
    }
}

/// The keys met so far, each with those that came after it.
#[derive(Debug)]
pub(super) struct Keys {
    known: Vec<Known>,
    by_text: HashMap<Box<str>, usize>,
    /// The key in hand; 0 stands before the first, [`LOST`] for one that is not remembered.
    last: usize,
}

#[derive(Debug)]
struct Known {
    /// With its quotes and the colon.
    written: Box<str>,
    role: Role,
    /// The latest found first; 0 is none.
    next: [usize; WAYS],
}

impl Default for Keys {
    fn default() -> Self {
        let start = Known { written: "".into(), role: Role::default(), next: [0; WAYS] };
        Self { known: vec![start], by_text: HashMap::new(), last: 0 }
    }
}

impl Keys {
    /// The next object begins.
    pub(super) const fn begin(&mut self) {
        self.last = 0;
    }

    /// The length of the key at the start of `text` and what it says, if it is one that came next before.
    #[inline]
    pub(super) fn foreseen(&mut self, text: &[u8]) -> Option<(usize, Role)> {
        for next in self.known.get(self.last)?.next {
            if next == 0 {
                return None;
            }
            let known = self.known.get(next)?;
            let written = known.written.as_bytes();
            if text.get(..written.len()).is_some_and(|text| same(text, written)) {
                self.last = next;
                return Some((written.len() - 3, known.role));
            }
        }
        None
    }

    /// A key that was not foreseen, from its quote to the colon.
    pub(super) fn learn(&mut self, written: &str, name: &str, role: Role) {
        // As it is: without escapes, without blanks.
        let plain = written.len() == name.len() + 3 && written.get(1..=name.len()) == Some(name);
        let at = match self.by_text.get(written) {
            _ if !plain => LOST,
            Some(at) => *at,
            None if name.len() > LONGEST || self.known.len() > KEYS => LOST,
            None => {
                self.by_text.insert(written.into(), self.known.len());
                self.known.push(Known { written: written.into(), role, next: [0; WAYS] });
                self.known.len() - 1
            }
        };
        if let Some(before) = self.known.get_mut(self.last)
            && at != LOST
        {
            before.next.rotate_right(1);
            if let Some(first) = before.next.first_mut() {
                *first = at;
            }
        }
        self.last = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_came_next_is_foreseen() {
        let mut keys = Keys::default();
        keys.begin();
        assert_eq!(keys.foreseen(br#""ts":1"#), None);
        let role = Role::of("ts");
        keys.learn(r#""ts":"#, "ts", role);
        keys.learn(r#""a b":"#, "ab", Role::default());
        keys.learn(r#""id":"#, "id", Role::default());
        keys.begin();
        assert_eq!(keys.foreseen(br#""ts":1"#), Some((2, role)));
        assert_eq!(keys.foreseen(br#""a b":1"#), None, "a name that differs from its key");
        keys.begin();
        assert_eq!(keys.foreseen(br#""tsx":1"#), None);
    }
}
