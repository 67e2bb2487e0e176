//! Event time: how far each source has told, and how far all of them have.

use super::settings::Settings;
use super::snapshot::ReadClock;
use std::collections::HashMap;

/// The watermarks of all sources. Everything here is a function of the hits in the order of their
/// arrival and of the times that the host told, never of how the hits were cut into batches.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    sources: Vec<Source>,
    names: HashMap<Box<str>, usize>,
    /// The source looked up last: records come in runs.
    last: usize,
    /// The source that holds the frontier back.
    slowest: Option<usize>,
    /// The newest time of any source.
    newest: i64,
    /// What the host told last; `None` until it does.
    now: Option<i64>,
    frontier: i64,
}

/// No time at all.
pub(crate) const NEVER: i64 = i64::MIN;

#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: Box<str>,
    /// How far it has told; [`NEVER`] until a second event confirms the first.
    pub(crate) newest: i64,
    /// A time far ahead of the others that no second event has confirmed yet.
    pub(crate) leap: i64,
    lateness: i64,
    /// The time told when it was heard last.
    pub(crate) heard: Option<i64>,
}

/// More sources than this share one clock: each costs a look when the slowest moves.
const MOST_SOURCES: usize = 4_096;

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            sources: Vec::new(),
            names: HashMap::new(),
            last: 0,
            slowest: None,
            newest: NEVER,
            now: None,
            frontier: NEVER,
        }
    }

    /// Everything before this time has been told: hits before it are too late.
    pub(crate) fn frontier(&self) -> i64 {
        self.frontier
    }

    /// The newest time that any source has told.
    pub(crate) fn newest(&self) -> i64 {
        self.sources.iter().fold(self.newest, |newest, source| newest.max(source.leap))
    }

    /// What a line without a time is taken as of: the newest time of its source, or `arrival` where
    /// that has told none. Never before the frontier, since a line that comes now is not late.
    pub(crate) fn undated(&self, source: &str, arrival: i64) -> i64 {
        let told = self.names.get(source).and_then(|at| self.sources.get(*at));
        let told = told.map_or(NEVER, |source| match source.newest {
            NEVER => source.leap,
            newest => newest,
        });
        (if told == NEVER { arrival } else { told }).max(self.frontier)
    }

    /// The time told last.
    pub(crate) fn now(&self) -> Option<i64> {
        self.now
    }

    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// A source told of an event at `time`; the frontier moves, and never back.
    pub(crate) fn told(&mut self, source: &str, time: i64, settings: &Settings) {
        let now = self.now;
        let at = self.place(source, settings);
        let Some(source) = self.sources.get_mut(at) else { return };
        source.heard = now;
        if !source.hear(time, settings.leap) {
            return;
        }
        let watermark = source.watermark();
        self.newest = self.newest.max(source.newest);
        let stays = self.slowest.is_some_and(|slowest| {
            slowest != at
                && self.sources.get(slowest).is_some_and(|slow| {
                    slow.watermark() <= watermark
                        && self.newest.saturating_sub(slow.newest) <= slow.patience(settings)
                })
        });
        if !stays {
            self.settle(settings);
        }
    }

    /// The host tells the time: sources that stay silent no longer hold the others back.
    pub(crate) fn tell(&mut self, now: i64, settings: &Settings) {
        let first = self.now.is_none();
        let now = self.now.map_or(now, |before| before.max(now));
        self.now = Some(now);
        for source in &mut self.sources {
            if first || source.heard.is_none() {
                source.heard = Some(now);
            }
            // Nothing may ever follow a source's only event, so the time told confirms it.
            if source.newest == NEVER
                && source.leap != NEVER
                && source.leap <= now.saturating_add(settings.ahead)
            {
                source.newest = std::mem::replace(&mut source.leap, NEVER);
                self.newest = self.newest.max(source.newest);
            }
        }
        self.settle(settings);
    }

    /// Nothing more will come before `time`.
    pub(crate) fn pass(&mut self, time: i64) {
        self.frontier = self.frontier.max(time);
    }

    /// Takes up what a snapshot knew.
    pub(crate) fn take_up(&mut self, read: &ReadClock, settings: &Settings) {
        let told = |time: i64| (time != NEVER).then_some(time);
        self.pass(read.frontier);
        self.now = self.now.max(told(read.now));
        for (name, newest, leap, heard) in &read.sources {
            let at = self.place(name, settings);
            if let Some(source) = self.sources.get_mut(at) {
                source.newest = source.newest.max(*newest);
                source.leap = source.leap.max(*leap);
                source.heard = told(*heard);
                self.newest = self.newest.max(source.newest);
            }
        }
        self.slowest = None;
    }

    fn place(&mut self, name: &str, settings: &Settings) -> usize {
        if self.sources.get(self.last).is_some_and(|source| *source.name == *name) {
            return self.last;
        }
        if let Some(at) = self.names.get(name) {
            self.last = *at;
            return *at;
        }
        let (at, name) = match self.sources.len() {
            MOST_SOURCES.. => match self.names.get("") {
                Some(at) => return *at,
                None => (self.sources.len(), ""),
            },
            at => (at, name),
        };
        self.sources.push(Source {
            name: name.into(),
            newest: NEVER,
            leap: NEVER,
            lateness: settings.lateness_of(name),
            heard: self.now,
        });
        self.names.insert(name.into(), at);
        self.slowest = None;
        self.last = at;
        at
    }

    /// Finds the slowest source and moves the frontier.
    fn settle(&mut self, settings: &Settings) {
        let silent = |source: &Source| {
            let patience = source.patience(settings);
            let by_events = self.newest.saturating_sub(source.newest) > patience;
            let by_clock = match (self.now, source.heard) {
                (Some(now), Some(heard)) => now.saturating_sub(heard) > patience,
                _ => false,
            };
            by_events || by_clock
        };
        let known = || self.sources.iter().enumerate().filter(|(_, source)| source.newest != NEVER);
        let slowest = known()
            .filter(|(_, source)| !silent(source))
            .min_by_key(|(_, source)| source.watermark());
        match (slowest, self.now) {
            (Some((at, source)), _) => {
                self.frontier = self.frontier.max(source.watermark());
                self.slowest = Some(at);
            }
            // All are silent: only the time told moves on.
            (None, Some(now)) if known().next().is_some() => {
                let lateness = self.sources.iter().map(|source| source.lateness).max();
                self.frontier = self.frontier.max(now.saturating_sub(lateness.unwrap_or_default()));
                self.slowest = None;
            }
            _ => self.slowest = None,
        }
    }
}

impl Source {
    fn watermark(&self) -> i64 {
        self.newest.saturating_sub(self.lateness)
    }

    /// How long it may be silent: one that is late by right is not silent within its lateness.
    fn patience(&self, settings: &Settings) -> i64 {
        settings.idle.saturating_add(self.lateness)
    }

    /// Takes a time in; true where it tells more than was known.
    ///
    /// One event with a bad clock would carry the watermark years ahead and make everything after
    /// it late. So a leap of more than `leap` counts only once a second event confirms it.
    fn hear(&mut self, time: i64, leap: i64) -> bool {
        let near = |a: i64, b: i64| a.abs_diff(b) <= leap.unsigned_abs();
        let before = self.newest;
        if self.leap <= self.newest {
            self.leap = NEVER;
        }
        if self.newest != NEVER && (time <= self.newest || near(time, self.newest)) {
            self.newest = self.newest.max(time);
            // The source goes on where it was, so the leap was a bad clock's.
            self.leap = NEVER;
        } else if self.leap == NEVER {
            self.leap = time;
        } else if near(time, self.leap) {
            self.newest = time.max(self.leap);
            self.leap = NEVER;
        } else if self.newest == NEVER {
            // Of the first two, if they lie apart, the earlier one is believed.
            self.newest = time.min(self.leap);
            self.leap = time.max(self.leap);
        } else {
            self.leap = time.min(self.leap);
        }
        self.newest > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn told(clock: &mut Clock, source: &str, second: i64) -> i64 {
        clock.told(source, second * SECOND, &Settings::default());
        clock.frontier() / SECOND
    }

    #[test]
    fn the_slowest_source_holds_back_until_it_falls_silent() {
        let mut clock = Clock::new();
        for second in [1_000, 1_001] {
            told(&mut clock, "a", second);
            told(&mut clock, "b", second);
        }
        assert_eq!(told(&mut clock, "a", 1_050), 971, "b still tells 1,001");
        assert_eq!(told(&mut clock, "a", 1_091), 971, "90 s are not yet silence");
        assert_eq!(told(&mut clock, "a", 1_092), 1_062, "91 s are");
        assert_eq!(told(&mut clock, "b", 1_040), 1_062, "and never back");
        assert_eq!(told(&mut clock, "a", 1_100), 1_062, "b holds back again");
    }

    #[test]
    fn a_source_that_is_late_by_right_is_waited_for() {
        let sources = vec![("late".to_owned(), 600 * SECOND)];
        let settings = Settings { sources, ..Settings::default() };
        let mut clock = Clock::new();
        for (source, second) in
            [("late", 1_000), ("late", 1_001), ("a", 1_002), ("a", 1_300), ("a", 1_661)]
        {
            clock.told(source, second * SECOND, &settings);
        }
        assert_eq!(clock.frontier() / SECOND, 401, "660 s are not yet silence");
        clock.told("a", 1_662 * SECOND, &settings);
        assert_eq!(clock.frontier() / SECOND, 1_632);
    }

    #[test]
    fn one_bad_clock_moves_nothing() {
        let mut clock = Clock::new();
        told(&mut clock, "a", 1_000);
        told(&mut clock, "a", 1_001);
        assert_eq!(told(&mut clock, "a", 900_000_000), 971);
        assert_eq!(told(&mut clock, "a", 1_002), 972);
        assert_eq!(told(&mut clock, "a", 1_900_000_000), 972);
        assert_eq!(told(&mut clock, "a", 100_000), 972, "not confirmed either");
        assert_eq!(told(&mut clock, "a", 100_010), 99_980, "two in one place are a new time");
        let mut clock = Clock::new();
        told(&mut clock, "a", 900_000_000);
        told(&mut clock, "a", 1_000);
        assert_eq!(told(&mut clock, "a", 1_001), 971, "the first may be the bad one");
    }

    #[test]
    fn the_time_told_goes_on_where_all_are_silent() {
        let mut clock = Clock::new();
        let settings = Settings::default();
        told(&mut clock, "a", 1_000);
        told(&mut clock, "a", 1_000);
        clock.tell(1_000 * SECOND, &settings);
        clock.tell(1_090 * SECOND, &settings);
        assert_eq!(clock.frontier() / SECOND, 970);
        clock.tell(1_091 * SECOND, &settings);
        assert_eq!(clock.frontier() / SECOND, 1_061);
    }
}
