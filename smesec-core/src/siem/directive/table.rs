//! What runs of one directive, found by what it waits for, by its end, and by how far it is.

use super::loaded::{Key, Loaded};
use super::run::Seen;
use super::running::{Rank, Running};
use crate::siem::risk::Assets;
use std::collections::{BTreeMap, BTreeSet};

/// An event costs what it moves, however much else is running.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// In the order in which they began.
    runs: BTreeMap<u64, Kept>,
    next: u64,
    waits: BTreeSet<(Key, u64)>,
    ends: BTreeSet<(i64, u64)>,
    ranks: BTreeSet<(Rank, u64)>,
    /// How often one was shown an event.
    #[cfg(test)]
    pub(super) shown: u64,
}

/// One that runs, with where the table has it.
#[derive(Debug)]
struct Kept {
    run: Running,
    keys: Vec<Key>,
    ends: Option<i64>,
    rank: Rank,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn runs(&self) -> impl Iterator<Item = &Running> {
        self.runs.values().map(|kept| &kept.run)
    }

    pub(super) fn push(&mut self, run: Running, loaded: &Loaded) {
        let at = self.next;
        self.next += 1;
        self.keep(at, run, loaded);
    }

    /// Those that may take an event, in the order in which they began.
    pub(super) fn waiting(&self, loaded: &Loaded, seen: &Seen, assets: &Assets) -> Vec<u64> {
        let mut found = Vec::new();
        if self.runs.is_empty() {
            return found;
        }
        loaded.keys_of(seen, assets, |key| {
            found.extend(self.waits.range((key, 0)..=(key, u64::MAX)).map(|(_, at)| *at));
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Changes one, and moves it to where it then belongs.
    pub(super) fn change<T>(
        &mut self,
        at: u64,
        loaded: &Loaded,
        change: impl FnOnce(&mut Running) -> T,
    ) -> Option<T> {
        #[cfg(test)]
        {
            self.shown += 1;
        }
        let kept = self.runs.get_mut(&at)?;
        let told = change(&mut kept.run);
        let rank = kept.run.rank(loaded);
        if rank == kept.rank {
            return Some(told);
        }
        // Within a level only the rank moves.
        if rank.1 == kept.rank.1 {
            self.ranks.remove(&(kept.rank, at));
            self.ranks.insert((rank, at));
            kept.rank = rank;
        } else if let Some(run) = self.remove(at) {
            self.keep(at, run, loaded);
        }
        Some(told)
    }

    pub(super) fn remove(&mut self, at: u64) -> Option<Running> {
        let kept = self.runs.remove(&at)?;
        for key in &kept.keys {
            self.waits.remove(&(*key, at));
        }
        if let Some(ends) = kept.ends {
            self.ends.remove(&(ends, at));
        }
        self.ranks.remove(&(kept.rank, at));
        Some(kept.run)
    }

    /// Takes the one out that ended first, where that is before `time`; with when it did.
    pub(super) fn pop_ended(&mut self, time: i64) -> Option<(i64, Running)> {
        let (ends, at) = *self.ends.first().filter(|(ends, _)| *ends < time)?;
        Some((ends, self.remove(at)?))
    }

    /// Takes the one out that began first.
    pub(super) fn pop_first(&mut self) -> Option<Running> {
        let at = *self.runs.first_key_value()?.0;
        self.remove(at)
    }

    /// Takes the one out that is least far.
    pub(super) fn pop_least(&mut self) -> Option<Running> {
        let (_, at) = *self.ranks.first()?;
        self.remove(at)
    }

    fn keep(&mut self, at: u64, run: Running, loaded: &Loaded) {
        let (keys, ends, rank) = (loaded.keys(&run), loaded.ends(&run), run.rank(loaded));
        self.waits.extend(keys.iter().map(|key| (*key, at)));
        self.ends.extend(ends.map(|ends| (ends, at)));
        self.ranks.insert((rank, at));
        self.runs.insert(at, Kept { run, keys, ends, rank });
    }
}
