//! Lanes: which groups of rules concern a record, resolved once for each kind of record.

use super::view::{View, origin_of};
use crate::siem::compile::{PlacedRow, Program, Slot, fold, hash};
use crate::siem::log_sources::{Need, Needed, covers};
use crate::siem::record::Record;
use std::collections::HashMap;

/// How many kinds of records are remembered. 4,096: channels times event ids of a company; a flood
/// of made-up ones begins anew.
const KINDS: usize = 4_096;

/// Lanes at hand: the kinds of records that take turns in a stream.
const AT_HAND: usize = 32;

/// The lanes met so far.
#[derive(Debug)]
pub(super) struct Lanes {
    known: HashMap<Box<[u8]>, Lane>,
    key: Vec<u8>,
    /// By group, the number of its first index among all groups'.
    first_index: Vec<u32>,
    nowhere: Lane,
    /// By a part of the kind's hash, where the others are looked for only if it is not here.
    at_hand: Vec<(Vec<u8>, Lane)>,
}

/// The groups that concern a kind of record, and what its fields stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    /// A group, and the number of its first index.
    pub(super) groups: Vec<(u32, u32)>,
    /// Rules' slot, record's slot.
    pub(super) aliases: Vec<(Slot, Slot)>,
}

impl Lanes {
    pub(super) fn new(program: &Program) -> Self {
        let mut next = 0;
        let first_index = program
            .groups
            .iter()
            .map(|group| {
                let first = next;
                next += u32::try_from(group.indexes.len()).unwrap_or(u32::MAX);
                first
            })
            .collect();
        let at_hand = vec![(vec![0xff], Lane::default()); AT_HAND];
        Self {
            known: HashMap::new(),
            key: Vec::new(),
            first_index,
            nowhere: Lane::default(),
            at_hand,
        }
    }

    /// The lane of a record.
    pub(super) fn of(&mut self, view: &View, record: &Record<'_>, program: &Program) -> &Lane {
        origin_of(view, record, program, &mut self.key);
        let place = usize::try_from(hash(&self.key) % AT_HAND as u64).unwrap_or_default();
        let met = self.at_hand.get(place).is_some_and(|(key, _)| *key == self.key);
        if !met {
            self.fetch(place, view, record, program);
        }
        self.at_hand.get(place).map_or(&self.nowhere, |(_, lane)| lane)
    }

    /// Brings the lane of the key in hand to a place.
    fn fetch(&mut self, place: usize, view: &View, record: &Record<'_>, program: &Program) {
        if !self.known.contains_key(self.key.as_slice()) {
            if self.known.len() >= KINDS {
                self.known.clear();
            }
            let lane = self.resolve(view, record, program);
            self.known.insert(self.key.clone().into(), lane);
        }
        if let Some((key, at_hand)) = self.at_hand.get_mut(place)
            && let Some(lane) = self.known.get(self.key.as_slice())
        {
            key.clone_from(&self.key);
            at_hand.groups.clone_from(&lane.groups);
            at_hand.aliases.clone_from(&lane.aliases);
        }
    }

    fn resolve(&self, view: &View, record: &Record<'_>, program: &Program) -> Lane {
        let own = &record.log_source;
        let mut sources = vec![(own.product, own.category, own.service)];
        let mut lane = Lane::default();
        for PlacedRow { row, aliases } in &program.rows {
            if row.needs.is_empty()
                || !row.needs.iter().all(|need| holds(need, view, record, program))
            {
                continue;
            }
            let source = &row.source;
            sources.push((&source.product, &source.category, &source.service));
            for alias in aliases {
                if !lane.aliases.contains(alias) {
                    lane.aliases.push(*alias);
                }
            }
        }
        // What a reader does not know stays empty, and an empty record is of no source.
        sources.retain(|(product, category, service)| {
            !(product.is_empty() && category.is_empty() && service.is_empty())
        });
        for ((number, group), first) in (0..).zip(&program.groups).zip(&self.first_index) {
            if sources.iter().any(|source| covers(*source, &group.source)) {
                lane.groups.push((number, *first));
            }
        }
        lane
    }
}

fn holds(need: &Need, view: &View, record: &Record<'_>, program: &Program) -> bool {
    let text = match &need.field {
        Needed::Product => record.log_source.product,
        Needed::Category => record.log_source.category,
        Needed::Service => record.log_source.service,
        Needed::Field(name) => {
            let slot = program.looked_at.iter().find(|known| known.name == *name);
            match slot.and_then(|known| view.first(known.slot)) {
                Some(field) => record.fields.get(field).map_or("", |field| field.value.text),
                None => return false,
            }
        }
    };
    need.values.is_empty() || need.values.contains(&fold(text))
}
