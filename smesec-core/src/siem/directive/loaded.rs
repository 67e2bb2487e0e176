//! A directive made ready: the numbers of its rules, and how what runs of it is found.

use super::fields::{Name, Values};
use super::run::{Seen, Written};
use super::running::Running;
use super::{Directive, Level};
use crate::event::RuleInfo;
use crate::siem::correlation::sip128;
use crate::siem::record::Fields;
use crate::siem::risk::Assets;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) directive: Directive,
    pub(super) info: Arc<RuleInfo>,
    /// The rules that levels name, by number.
    pub(super) rules: HashMap<String, u32>,
    /// Whether a level goes by fields alone, so that events without a rule matter.
    pub(super) by_fields: bool,
    /// Of the id, the priority and the levels: what it is for a snapshot.
    pub(super) fingerprint: u128,
    /// One for each level, numbered as [`each`] tells them.
    lookups: Vec<Lookup>,
}

/// How what waits for a level is found from an event, without a look at the rest.
#[derive(Debug)]
struct Lookup {
    /// These fields of the event ...
    names: Vec<Name>,
    /// ... have to equal these of earlier levels, in one of these ways.
    backs: Vec<Vec<(usize, Name)>>,
    /// The numbers of what may come next.
    next: Vec<usize>,
}

/// What a running directive waits for: a level by number, with what it has to have in common.
pub(super) type Key = (usize, u128);

/// Tells every level, each before those that follow it.
pub(super) fn each<'l>(level: &'l Level, tell: &mut impl FnMut(&'l Level)) {
    // As deep as the levels, which are bounded where they are read.
    tell(level);
    for next in &level.next {
        each(next, tell);
    }
}

impl Lookup {
    fn of(level: &Level) -> Self {
        let backs = |(name, wanted): &(Name, super::fields::Wanted)| Some((*name, wanted.backs()?));
        let looking: Vec<(Name, Vec<(usize, Name)>)> =
            level.wanted.iter().filter_map(backs).collect();
        let single = looking.iter().filter(|(_, backs)| backs.len() == 1);
        let (names, backs): (Vec<_>, Vec<_>) =
            single.map(|(name, backs)| (*name, backs.clone())).unzip();
        let (names, backs) = match looking.first() {
            // Without one way only, what looks back in several is found by each of them.
            Some((name, several)) if names.is_empty() => {
                (vec![*name], several.iter().map(|back| vec![*back]).collect())
            }
            _ => (names, vec![backs.concat()]),
        };
        Self { names, backs, next: Vec::new() }
    }

    /// Of this level and those that follow, into `all`; its number.
    // As deep as the levels, which are bounded where they are read.
    fn add(level: &Level, all: &mut Vec<Self>) -> usize {
        let at = all.len();
        all.push(Self::of(level));
        for next in &level.next {
            let next = Self::add(next, all);
            if let Some(lookup) = all.get_mut(at) {
                lookup.next.push(next);
            }
        }
        at
    }
}

/// Values as one number; `None` where one is missing, which equals nothing.
fn key<'v>(values: impl Iterator<Item = Option<&'v str>>) -> Option<u128> {
    let mut bytes = Vec::new();
    for value in values {
        let value = value?;
        bytes.extend((value.len() as u64).to_le_bytes());
        bytes.extend(value.as_bytes());
    }
    Some(sip128(12, &bytes))
}

impl Loaded {
    pub(super) fn new(directive: Directive, rules: HashMap<String, u32>) -> Self {
        let info = Arc::new(RuleInfo {
            id: directive.id.clone(),
            name: directive.name.clone(),
            author: directive.author.clone(),
            tags: Vec::new(),
        });
        let mut written = Written::default();
        (&directive.id, directive.priority, &directive.first).hash(&mut written);
        let fingerprint = sip128(11, &written.0);
        let mut by_fields = false;
        each(&directive.first, &mut |level| by_fields |= level.rules.is_empty());
        let mut lookups = Vec::new();
        Lookup::add(&directive.first, &mut lookups);
        Self { directive, info, rules, by_fields, fingerprint, lookups }
    }

    /// Whether a level would take the event, were its back-references right.
    pub(super) fn may_take(&self, rules: &[u32], fields: &dyn Fields, assets: &Assets) -> bool {
        if rules.is_empty() && !self.by_fields {
            return false;
        }
        let mut may = false;
        each(&self.directive.first, &mut |level| {
            may = may
                || (self.matched(level, rules)
                    && level.wanted.iter().all(|(name, wanted)| {
                        wanted.looks_back()
                            || wanted.takes(name.read(fields).as_deref(), &[], assets)
                    }));
        });
        may
    }

    /// What may wait for such an event.
    pub(super) fn keys_of(&self, seen: &Seen, assets: &Assets, mut tell: impl FnMut(Key)) {
        let mut lookups = self.lookups.iter().enumerate();
        each(&self.directive.first, &mut |level| {
            let Some((at, lookup)) = lookups.next() else { return };
            let may = self.matched(level, &seen.rules)
                && level.wanted.iter().all(|(name, wanted)| {
                    wanted.looks_back() || wanted.takes(seen.values.get(*name), &[], assets)
                });
            if may && let Some(key) = key(lookup.names.iter().map(|name| seen.values.get(*name))) {
                tell((at, key));
            }
        });
    }

    /// What a running directive waits for.
    pub(super) fn keys(&self, one: &Running) -> Vec<Key> {
        let next = |at: usize| self.lookups.get(at).map_or(&[][..], |lookup| &lookup.next);
        let stands = one.path.as_ref().and_then(|path| {
            path.iter().try_fold(0, |level, sibling| next(level).get(*sibling).copied())
        });
        let waits: &[usize] = stands.map_or(&[0], next);
        let mut keys = Vec::new();
        for at in waits {
            for backs in self.lookups.get(*at).map_or(&[][..], |lookup| &lookup.backs) {
                let earlier = |back: &(usize, Name)| one.earlier.get(back.0 - 1)?.get(back.1);
                keys.extend(key(backs.iter().map(earlier)).map(|key| (*at, key)));
            }
        }
        keys
    }

    fn matched(&self, level: &Level, rules: &[u32]) -> bool {
        level.rules.is_empty()
            || level
                .rules
                .iter()
                .any(|rule| self.rules.get(rule).is_some_and(|at| rules.contains(at)))
    }

    pub(super) fn takes(
        &self,
        level: &Level,
        seen: &Seen,
        earlier: &[Values],
        assets: &Assets,
    ) -> bool {
        self.matched(level, &seen.rules)
            && level.wanted.iter().all(|(name, w)| w.takes(seen.values.get(*name), earlier, assets))
    }

    /// What may come next.
    pub(super) fn candidates(&self, one: &Running) -> &[Level] {
        let first = &self.directive.first;
        let Some(path) = &one.path else { return std::slice::from_ref(first) };
        let level = path.iter().try_fold(first, |level, at| level.next.get(*at));
        level.map_or(&[], |level| &level.next)
    }

    /// When the last of what may come next is too late; `None` while something may always come.
    pub(super) fn ends(&self, one: &Running) -> Option<i64> {
        let mut latest = i64::MIN;
        for level in self.candidates(one) {
            latest = latest.max(one.since.saturating_add(level.time_out?));
        }
        Some(latest)
    }
}
