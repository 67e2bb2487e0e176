//! Which rules the values of a phase can match at all: one pass before the rules run.

use super::State;
use super::memory::{self, Known};
use super::store::Slice;
use crate::decode::transform::Transform;
use crate::waf::bits::bit as has;
use crate::waf::checks;
use crate::waf::compile::program::{Gate, Program, Select};
use crate::waf::variable::{self, StorageId};

/// Members from which on a storage's values are not remembered: a JSON body of ten kilobytes has hundreds,
/// which would push out those of the heads.
const MANY: usize = 128;

/// How many transactions may need less than what is prepared, before less is.
const PATIENCE: u32 = 32;

/// What a phase's gated rules look at, while the levels stay as they are.
#[derive(Debug, Default)]
pub(super) struct Plan {
    levels: u64,
    /// Transactions in a row that needed fewer levels.
    wide: u32,
    storages: Vec<Wanted>,
    /// For each of them, in order, the bits of the rules that look at it whatever the name.
    rules: Vec<u64>,
    /// For each node the length of the shortest content that a rule can match there.
    min_lens: Vec<u32>,
    /// For each node the same of values before any transformation.
    root_min_lens: Vec<u32>,
}

#[derive(Debug)]
struct Wanted {
    storage: StorageId,
    nodes: u128,
    /// What the memory of values is asked: the same for storages looked at in the same way.
    question: u32,
    /// The members that some rules look at by their name.
    named: Vec<Named>,
}

/// The rules that look at a storage's members of one name, those that look at all members too.
#[derive(Debug)]
struct Named {
    /// In lower case.
    name: Box<[u8]>,
    rules: Vec<u64>,
}

impl Plan {
    /// `number` tells it from all plans before it.
    fn new(program: &Program, phase: usize, levels: u64, number: u32) -> Self {
        let words = program.prefilter.words();
        let mut nodes = vec![0u128; program.storages];
        let mut rules = vec![0u64; program.storages * words];
        let mut named: Vec<Vec<Named>> = Vec::new();
        named.resize_with(program.storages, Vec::new);
        let mut min_lens = vec![u32::MAX; program.nodes.len()];
        let heads = program.phases.get(phase).map(Vec::as_slice).unwrap_or_default();
        for head in heads {
            let mut link = Some(head.rule);
            while let Some(rule) = link.and_then(|n| program.rules.get(n as usize)) {
                link = rule.chained;
                let bit = match rule.gate {
                    Gate::Bit(bit) | Gate::Always(bit) | Gate::Unless(bit) => bit,
                    Gate::Run => continue,
                };
                if levels >> rule.level & 1 == 0 {
                    continue;
                }
                let of_rule = rule.nodes.iter().fold(0, |set, node| set | 1u128 << node);
                for node in &rule.nodes {
                    if let Some(min_len) = min_lens.get_mut(usize::from(*node)) {
                        *min_len = (*min_len).min(program.prefilter.min_len(bit));
                    }
                }
                for target in &rule.targets {
                    for storage in &target.storages {
                        let at = usize::from(*storage);
                        if let Some(nodes) = nodes.get_mut(at) {
                            *nodes |= of_rule;
                        }
                        let place = match &target.select {
                            // It runs over every value, and asks what is known of each.
                            _ if rule.gate.bit().is_none() => None,
                            Select::Name(name) => named.get_mut(at).and_then(|named| {
                                of_name(named, name, words).get_mut(usize::from(bit / 64))
                            }),
                            _ => rules.get_mut(at * words + usize::from(bit / 64)),
                        };
                        if let Some(word) = place {
                            *word |= 1 << (bit % 64);
                        }
                    }
                }
            }
        }
        let root_min_lens = (0..min_lens.len())
            .map(|node| {
                let shrinks = program.path(node).all(Transform::never_grows);
                min_lens.get(node).copied().filter(|_| shrinks).unwrap_or(0)
            })
            .collect();
        let mut plan = Self {
            levels,
            wide: 0,
            storages: Vec::new(),
            rules: Vec::new(),
            min_lens,
            root_min_lens,
        };
        for ((storage, nodes), mut named) in (0..=StorageId::MAX).zip(nodes).zip(named) {
            if nodes != 0 {
                let at = usize::from(storage) * words;
                let of_all = rules.get(at..at + words).unwrap_or_default();
                for of_name in &mut named {
                    of_name.rules.iter_mut().zip(of_all).for_each(|(word, all)| *word |= all);
                }
                let alike = plan.storages.iter().position(|other| other.nodes == nodes);
                let alike = u32::try_from(alike.unwrap_or(plan.storages.len())).unwrap_or(0);
                let question = number << 10 | alike & 1_023;
                plan.storages.push(Wanted { storage, nodes, question, named });
                plan.rules.extend_from_slice(of_all);
            }
        }
        plan
    }
}

/// The rules of a name, added where there are none.
fn of_name<'a>(all: &'a mut Vec<Named>, name: &[u8], words: usize) -> &'a mut [u64] {
    let at = all.iter().position(|named| named.name.eq_ignore_ascii_case(name));
    let at = at.unwrap_or_else(|| {
        all.push(Named { name: name.to_ascii_lowercase().into(), rules: vec![0; words] });
        all.len() - 1
    });
    all.get_mut(at).map_or(&mut [], |named| named.rules.as_mut_slice())
}

/// For each gated rule the members that it can match, in the order of storages and members.
#[derive(Debug, Default)]
pub(super) struct Hits {
    /// The rules that have a list.
    any: Vec<u64>,
    /// The ends of each list.
    ends: Vec<Ends>,
    entries: Vec<Hit>,
    /// Whether members came since, so that the lists say nothing.
    forgotten: bool,
}

#[derive(Debug, Clone, Copy)]
struct Ends {
    first: u32,
    last: u32,
    /// The first entry of the last one's storage.
    segment: u32,
}

impl Ends {
    const EMPTY: Self = Self { first: NONE, last: NONE, segment: NONE };
}

/// One member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    storage: StorageId,
    pub(super) member: u32,
    pub(super) next: u32,
    /// For the first of a storage: the first of the next one.
    skip: u32,
}

const NONE: u32 = u32::MAX;

impl Hits {
    fn clear(&mut self, rules: usize) {
        self.any.clear();
        self.any.resize(rules.div_ceil(64), 0);
        // Those of an earlier phase are without a bit.
        self.ends.resize(rules, Ends::EMPTY);
        self.entries.clear();
        self.forgotten = false;
    }

    /// A member with the rules that its value can match and those that look at it.
    fn add_all(&mut self, found: &[u64], rules: &[u64], storage: StorageId, member: u32) {
        // Most values match none.
        if found.iter().zip(rules).fold(0, |any, (found, rules)| any | found & rules) == 0 {
            return;
        }
        for ((first, found), rules) in (0usize..).step_by(64).zip(found).zip(rules) {
            let mut left = found & rules;
            while left != 0 {
                let bit = first + left.trailing_zeros() as usize;
                left &= left - 1;
                self.add(bit, storage, member);
            }
        }
    }

    fn add(&mut self, bit: usize, storage: StorageId, member: u32) {
        let new = u32::try_from(self.entries.len()).unwrap_or(NONE);
        let (Some(ends), Some(any)) = (self.ends.get_mut(bit), self.any.get_mut(bit / 64)) else {
            return;
        };
        if *any >> (bit % 64) & 1 == 0 {
            *any |= 1 << (bit % 64);
            *ends = Ends::EMPTY;
        }
        let mut same = false;
        if let Some(last) = self.entries.get_mut(ends.last as usize) {
            last.next = new;
            same = last.storage == storage;
        } else {
            ends.first = new;
        }
        ends.last = new;
        if !same {
            if let Some(segment) = self.entries.get_mut(ends.segment as usize) {
                segment.skip = new;
            }
            ends.segment = new;
        }
        self.entries.push(Hit { storage, member, next: NONE, skip: NONE });
    }

    pub(super) const fn are_forgotten(&self) -> bool {
        self.forgotten
    }

    /// A rule added members in the middle of a phase: every value is looked at from here on.
    pub(super) fn forget(&mut self) {
        self.forgotten = true;
    }

    /// The first hit of a rule in a storage.
    pub(super) fn first(&self, bit: u16, storage: StorageId) -> u32 {
        if self.is_empty(bit) {
            return NONE;
        }
        let mut at = self.ends.get(usize::from(bit)).map_or(NONE, |ends| ends.first);
        while let Some(hit) = self.entries.get(at as usize) {
            if hit.storage == storage {
                return at;
            }
            at = hit.skip;
        }
        NONE
    }

    pub(super) fn is_empty(&self, bit: u16) -> bool {
        !has(&self.any, usize::from(bit))
    }

    /// A hit that is in that storage.
    pub(super) fn at(&self, entry: u32, storage: StorageId) -> Option<Hit> {
        self.entries.get(entry as usize).copied().filter(|hit| hit.storage == storage)
    }
}

/// The length up to which a storage's values are remembered.
fn longest_kept(storage: StorageId, members: usize) -> usize {
    match members {
        MANY.. => 0,
        _ if variable::is_of_body(storage) => memory::LONGEST_OF_BODY,
        _ => memory::LONGEST,
    }
}

impl State {
    /// The bit of a rule whose hits are known.
    pub(super) fn prepared(&self, gate: Gate, level: u8) -> Option<u16> {
        gate.bit().filter(|_| self.covers(level) && !self.scratch.hits.forgotten)
    }

    /// One pass over the values that this phase's rules look at.
    pub(super) fn prepare(&mut self, program: &Program, phase: usize) {
        let levels = self.levels_now(program);
        self.prepare_for(program, phase, levels);
    }

    /// A rule stands behind a level that was not in force when the phase began: another rule set it since.
    pub(super) fn prepare_more(&mut self, program: &Program, phase: usize, level: u8) {
        let levels = self.levels_now(program) | self.levels | 1 << level;
        self.prepare_for(program, phase, levels);
    }

    /// Whether the values are looked at for the rules behind a level.
    pub(super) fn covers(&self, level: u8) -> bool {
        self.levels >> level & 1 == 1
    }

    /// The levels in force, a bit each.
    fn levels_now(&self, program: &Program) -> u64 {
        let mut levels = 1;
        for (n, level) in program.levels.iter().enumerate() {
            let value =
                self.store.tx(level.slot).map_or(0, |v| checks::number(self.store.bytes(v)));
            if value >= level.at_least && n < 63 {
                levels |= 1 << (n + 1);
            }
        }
        levels
    }

    /// Prepares for some levels or more: a plan that was made for more is good for these too. Rules set their
    /// level in the phase that it steers, so that what was in force last time is the best guess.
    fn prepare_for(&mut self, program: &Program, phase: usize, levels: u64) {
        let words = program.prefilter.words();
        self.scratch.hits.clear(words * 64);
        if self.scratch.of != program.serial {
            self.scratch.of = program.serial;
            self.scratch.memory.clear(words);
            self.scratch.plans.clear();
        }
        self.scratch.plans.resize_with(program.phases.len(), Plan::default);
        let Some(place) = self.scratch.plans.get_mut(phase) else { return };
        let mut plan = std::mem::take(place);
        if plan.levels & levels != levels {
            self.scratch.plans_made = self.scratch.plans_made.wrapping_add(1);
            plan = Plan::new(program, phase, levels, self.scratch.plans_made);
        }
        self.levels = plan.levels;
        self.follow(program, &plan, phase, words);
        if let Some(place) = self.scratch.plans.get_mut(phase) {
            *place = plan;
        }
    }

    /// Makes the next plan narrower when many transactions in a row needed less than this one.
    pub(super) fn prepared_enough(&mut self, program: &Program, phase: usize) {
        let levels = self.levels_now(program);
        if let Some(plan) = self.scratch.plans.get_mut(phase) {
            plan.wide = if plan.levels == levels { 0 } else { plan.wide + 1 };
            if plan.wide >= PATIENCE {
                *plan = Plan::default();
            }
        }
    }

    fn follow(&mut self, program: &Program, plan: &Plan, phase: usize, words: usize) {
        if self.remembers {
            self.ask(plan);
        }
        // The values that are remembered, in the order in which the memory was asked.
        let mut question = 0;
        let mut found = std::mem::take(&mut self.scratch.found);
        let of_phase = u8::try_from(phase).unwrap_or(u8::MAX - 1);
        for (wanted, rules) in plan.storages.iter().zip(plan.rules.chunks_exact(words.max(1))) {
            let Wanted { storage, nodes, ref named, .. } = *wanted;
            let members = self.store.members(storage).len();
            let longest = if self.remembers { longest_kept(storage, members) } else { 0 };
            for n in 0..members {
                let value = self.store.members(storage).get(n).map_or(Slice::EMPTY, |m| m.value);
                let member = u32::try_from(n).unwrap_or(NONE);
                let mut rules = rules;
                if !named.is_empty() {
                    let name = self.store.members(storage).get(n).map_or(Slice::EMPTY, |m| m.name);
                    let name = self.store.bytes(name);
                    let named = named.iter().find(|named| named.name.eq_ignore_ascii_case(name));
                    rules = named.map_or(rules, |named| named.rules.as_slice());
                }
                self.spend(1);
                let remembered = value.len() <= longest;
                if remembered {
                    question += 1;
                    let value = self.store.bytes(value);
                    if let Some((known, found)) = self.scratch.memory.find(question - 1, value) {
                        self.scratch.hits.add_all(found, rules, storage, member);
                        self.store.set_known(storage, n, known);
                        continue;
                    }
                } else {
                    self.store.set_known(storage, n, Known::NOT);
                }
                found.clear();
                let root = self.store.member_at(program, storage, n, 0);
                if let Some(known) = self.store.prepared(words, root, (of_phase, nodes)) {
                    found.extend_from_slice(known);
                } else {
                    found.resize(words, 0);
                    self.examine(program, plan, root, nodes, value.len(), &mut found);
                    if self.exhausted {
                        self.scratch.found = found;
                        return;
                    }
                    self.store.keep_prepared(root, (of_phase, nodes), &found);
                }
                if remembered {
                    let value = self.store.bytes(value);
                    let known = self.scratch.memory.keep(question - 1, value, &found);
                    self.store.set_known(storage, n, known);
                }
                self.scratch.hits.add_all(&found, rules, storage, member);
            }
        }
        self.scratch.found = found;
    }

    /// Asks the memory for the values that a plan looks at.
    fn ask(&mut self, plan: &Plan) {
        self.scratch.memory.begin();
        for Wanted { storage, question, .. } in &plan.storages {
            let members = self.store.members(*storage).len();
            let longest = longest_kept(*storage, members);
            for n in 0..members {
                let value = self.store.members(*storage).get(n).map_or(Slice::EMPTY, |m| m.value);
                if value.len() <= longest {
                    self.scratch.memory.ask(self.store.hash(*storage, n), *question);
                }
            }
        }
        self.scratch.memory.fetch();
    }

    /// The rules that a value can match at any of the nodes.
    fn examine(
        &mut self,
        program: &Program,
        plan: &Plan,
        root: u32,
        nodes: u128,
        len: usize,
        found: &mut [u64],
    ) {
        let is_short = |min_lens: &[u32], node: u16, len: usize| {
            node != 0 && min_lens.get(usize::from(node)).is_some_and(|min| len < *min as usize)
        };
        // Nodes that cannot differ share the value itself: one look for all of them.
        let changes = self.store.changes(root);
        let mut left = nodes & changes | u128::from(nodes & !changes != 0);
        let mut last = NONE;
        while left != 0 {
            let node = left.trailing_zeros();
            left &= left - 1;
            let Ok(node) = u16::try_from(node) else { continue };
            if is_short(&plan.root_min_lens, node, len) {
                continue;
            }
            let content = self.store.content_at(program, root, node);
            if content == last {
                continue;
            }
            last = content;
            if is_short(&plan.min_lens, node, self.store.content_slice(content).len()) {
                continue;
            }
            self.spend_on(self.store.content_slice(content).len());
            if self.exhausted {
                return;
            }
            for (all, word) in found.iter_mut().zip(self.store.mask(program, content)) {
                *all |= word;
            }
        }
    }
}
