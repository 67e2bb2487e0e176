//! The matcher: which rules match a record.
//!
//! | file | what |
//! | --- | --- |
//! | `lane` | which rules concern a record at all, by its log source |
//! | `view` | the record's fields by slot, and what atoms ask of them |
//! | `memo` | what values announce, remembered |
//! | `moment` | parts of times |

mod lane;
mod memo;
mod moment;
mod view;

use super::compile::{ANYWHERE, Group, MATCH, NONE, PASS, Program, Verify};
use super::record::{Kind, Record};
use super::ruleset::RuleSet;
use crate::detector::Detector;
use crate::event::{Event, EventId, Finding, Source};
use crate::sink::Sink;
use crate::time::Timestamp;
use crate::verdict::Verdict;
use lane::Lanes;
use memo::Memo;
use std::sync::Arc;
use view::View;
pub(super) use view::{folded_fits, value_fits};

/// Matches records against a rule set. One for each thread; the rule set is shared.
///
/// ```
/// use smesec_core::siem::{Matcher, RuleSet};
/// use smesec_core::siem::record::{Field, LogSource, Record, Value};
/// use std::sync::Arc;
/// let mut builder = RuleSet::builder();
/// builder.text("shell.yml", "title: Shell\nlogsource: {product: linux}\n\
///     detection: {selection: {Image|endswith: /sh}, condition: selection}\n");
/// let rules = Arc::new(builder.build()?);
/// let mut matcher = Matcher::new(Arc::clone(&rules));
/// let fields = [Field { name: "Image", value: Value::text("/usr/bin/sh") }];
/// let log_source = LogSource { product: "linux", ..LogSource::default() };
/// let record = Record { fields: &fields, log_source, ..Record::default() };
/// let titles: Vec<&str> =
///     matcher.matches(&record).iter().filter_map(|n| rules.meta(*n)).map(|m| m.title.as_str()).collect();
/// assert_eq!(titles, ["Shell"]);
/// # Ok::<(), smesec_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Matcher {
    rules: Arc<RuleSet>,
    lanes: Lanes,
    view: View,
    memo: Memo,
    marks: Marks,
    matched: Vec<u32>,
    unplaced: u64,
    seed: u64,
    events: u64,
}

/// What was found out about the record in hand.
#[derive(Debug)]
struct Marks {
    /// The record's number, doubled; an atom's answer is this plus 0 or 1.
    turn: u32,
    answers: Vec<u32>,
    /// By rule, the turn in which it became a candidate.
    looked_at: Vec<u32>,
    candidates: Vec<u32>,
    /// By find, the value for which it was tried.
    tried: Vec<u32>,
    trial: u32,
    /// What the value in hand announces.
    finds: Vec<u32>,
}

impl Matcher {
    /// A matcher over these rules.
    pub fn new(rules: Arc<RuleSet>) -> Self {
        let program = &rules.program;
        let finds = program.groups.iter().map(|group| group.finds.len()).max().unwrap_or(0);
        Self {
            lanes: Lanes::new(program),
            view: View::new(program.fields.len()),
            memo: Memo::new(),
            marks: Marks {
                turn: 0,
                answers: vec![0; program.atoms.len()],
                looked_at: vec![0; program.entries.len()],
                candidates: Vec::new(),
                tried: vec![0; finds],
                trial: 0,
                finds: Vec::new(),
            },
            matched: Vec::new(),
            unplaced: 0,
            seed: 0,
            events: 0,
            rules,
        }
    }

    /// The seed of the ids of its events; 0 unless said otherwise.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The rules.
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Records so far that no log source of any rule covers, so that no rule was asked.
    pub const fn unplaced(&self) -> u64 {
        self.unplaced
    }

    /// The rules whose log source covers a record, whether they match or not, in ascending order.
    pub fn concerned(&mut self, record: &Record<'_>) -> Vec<u32> {
        let program = &self.rules.program;
        self.view.take(record, &program.fields);
        let lane = self.lanes.of(&self.view, record, program);
        let groups =
            lane.groups.iter().filter_map(|(group, _)| program.groups.get(*group as usize));
        let mut rules: Vec<u32> = groups.flat_map(|group| group.rules.iter().copied()).collect();
        rules.sort_unstable();
        rules
    }

    /// The rules that the last record's values announced, so that their conditions were run; the
    /// others were ruled out unseen.
    pub fn candidates(&self) -> &[u32] {
        &self.marks.candidates
    }

    /// The rules that matched the last record.
    pub fn matched(&self) -> &[u32] {
        &self.matched
    }

    /// A match as an event, with an id of its own.
    pub(super) fn event(&mut self, rule: u32, record: &Record<'_>) -> Event {
        self.events += 1;
        event(&self.rules, rule, record, EventId::new(self.seed, self.events))
    }

    /// The rules that match, as indices into [`RuleSet::metas`], in ascending order.
    pub fn matches(&mut self, record: &Record<'_>) -> &[u32] {
        let program = &self.rules.program;
        self.matched.clear();
        self.marks.begin();
        self.view.take(record, &program.fields);
        let lane = self.lanes.of(&self.view, record, program);
        if lane.groups.is_empty() {
            self.unplaced += 1;
            return &[];
        }
        for (of_rule, of_record) in &lane.aliases {
            self.view.alias(*of_rule, *of_record);
        }
        for (number, first_index) in &lane.groups {
            let Some(group) = program.groups.get(*number as usize) else { continue };
            let mut search = Search {
                program,
                group,
                first_index: *first_index,
                view: &mut self.view,
                memo: &mut self.memo,
                marks: &mut self.marks,
            };
            search.gather(record, &lane.aliases);
        }
        for at in 0..self.marks.candidates.len() {
            let Some(rule) = self.marks.candidates.get(at).copied() else { break };
            if self.marks.decide(program, &mut self.view, record, rule) {
                self.matched.push(rule);
            }
        }
        self.matched.sort_unstable();
        &self.matched
    }
}

impl Marks {
    fn begin(&mut self) {
        self.turn = self.turn.wrapping_add(2);
        if self.turn == 0 {
            self.answers.fill(0);
            self.looked_at.fill(0);
            self.turn = 2;
        }
        self.candidates.clear();
    }

    fn value(&mut self) {
        self.trial = self.trial.wrapping_add(1);
        if self.trial == 0 {
            self.tried.fill(0);
            self.trial = 1;
        }
        self.finds.clear();
    }

    fn candidate(&mut self, rule: u32) {
        if let Some(turn) = self.looked_at.get_mut(rule as usize)
            && *turn != self.turn
        {
            *turn = self.turn;
            self.candidates.push(rule);
        }
    }

    /// Runs a rule's program.
    fn decide(
        &mut self,
        program: &Program,
        view: &mut View,
        record: &Record<'_>,
        rule: u32,
    ) -> bool {
        let mut at = program.entries.get(rule as usize).copied().unwrap_or(PASS);
        // Each step leads to one written before it, so this ends.
        while let Some(step) = program.steps.get(at as usize) {
            let known = self.answers.get(step.atom as usize).copied().unwrap_or(0);
            let yes = if known & !1 == self.turn {
                known & 1 == 1
            } else {
                let Some(atom) = program.atoms.get(step.atom as usize) else { return false };
                let yes = view.ask(atom, record);
                if let Some(answer) = self.answers.get_mut(step.atom as usize) {
                    *answer = self.turn | u32::from(yes);
                }
                yes
            };
            at = if yes { step.yes } else { step.no };
        }
        at == MATCH
    }
}

/// The search for a group's candidates in one record.
struct Search<'s> {
    program: &'s Program,
    group: &'s Group,
    first_index: u32,
    view: &'s mut View,
    memo: &'s mut Memo,
    marks: &'s mut Marks,
}

impl Search<'_> {
    fn gather(&mut self, record: &Record<'_>, aliases: &[(u16, u16)]) {
        for rule in &self.group.always {
            self.marks.candidate(*rule);
        }
        let anywhere = self.index_at(ANYWHERE);
        for field in 0..record.fields.len() {
            let slot = self.view.slot_of(field);
            if let Some(index) = self.index_at(slot) {
                self.value(index, Some(field), false, record);
            }
            if let Some(index) = anywhere {
                self.value(index, Some(field), true, record);
            }
        }
        for (of_rule, of_record) in aliases {
            let Some(index) = self.index_at(*of_rule) else { continue };
            // Only what the alias brought: what the record has itself was looked at above.
            if self.view.first(*of_rule) != self.view.first(*of_record) {
                continue;
            }
            let mut field = self.view.first(*of_rule);
            while let Some(at) = field {
                self.value(index, Some(at), false, record);
                field = self.view.next(at);
            }
        }
        if let Some(index) = anywhere
            && !record.raw.is_empty()
        {
            self.value(index, None, true, record);
        }
    }

    fn index_at(&self, slot: u16) -> Option<u16> {
        self.group.by_slot.get(usize::from(slot)).copied().filter(|index| *index != NONE)
    }

    /// Looks at one value (`None` for the raw line) with one index.
    fn value(&mut self, index: u16, field: Option<usize>, anywhere: bool, record: &Record<'_>) {
        let Some(table) = self.group.indexes.get(usize::from(index)) else { return };
        let (text, kind) = match field {
            None => (record.raw, Kind::Text),
            Some(field) => match record.fields.get(field) {
                Some(field) => (field.value.text, field.value.kind),
                None => return,
            },
        };
        for find in &table.present {
            self.announce(*find);
        }
        if kind == Kind::Null || !table.reads_value() {
            return;
        }
        let number = self.first_index + u32::from(index);
        let mut hash = 0;
        // Keywords look at every field, which is why they remember by place; the raw line is new each
        // time. What is found by a look-up or two is found faster than remembered.
        let by_place = if anywhere { field } else { None };
        let known = match by_place {
            Some(place) => self.memo.same_again(number, place, text.as_bytes()),
            None if anywhere || !table.scans() => None,
            None => match self.memo.look(number, text.as_bytes()) {
                Ok(finds) => Some(finds),
                Err(unknown) => {
                    hash = unknown;
                    None
                }
            },
        };
        if let Some(finds) = known {
            self.marks.finds.clear();
            self.marks.finds.extend_from_slice(finds);
            self.announce_all();
            return;
        }
        self.marks.value();
        let folded = match field {
            Some(field) => self.view.folded(field, record),
            None => self.view.raw(record),
        };
        let Marks { tried, trial, finds, .. } = &mut *self.marks;
        table.candidates(folded.as_bytes(), |number| {
            let Some(last) = tried.get_mut(number as usize) else { return };
            if *last == *trial {
                return;
            }
            *last = *trial;
            let Some(find) = self.group.finds.get(number as usize) else { return };
            let holds = match &find.verify {
                Verify::Nothing => true,
                Verify::Literal(finder) => finder.find(folded.as_bytes()).is_some(),
                Verify::Atom(atom) => self.program.atoms.get(*atom as usize).is_some_and(|atom| {
                    value_fits(&atom.asks, text).unwrap_or_else(|| folded_fits(&atom.asks, folded))
                }),
            };
            if holds {
                finds.push(number);
            }
        });
        if let Some(place) = by_place {
            self.memo.keep_last(number, place, text.as_bytes(), &self.marks.finds);
        } else if hash != 0 {
            self.memo.keep(hash, number, text.as_bytes(), &self.marks.finds);
        }
        self.announce_all();
    }

    fn announce_all(&mut self) {
        let finds = std::mem::take(&mut self.marks.finds);
        for find in &finds {
            self.announce(*find);
        }
        self.marks.finds = finds;
    }

    fn announce(&mut self, find: u32) {
        let Some(find) = self.group.finds.get(find as usize) else { return };
        if let Verify::Atom(atom) = find.verify
            && let Some(answer) = self.marks.answers.get_mut(atom as usize)
        {
            *answer = self.marks.turn | 1;
        }
        for rule in &find.rules {
            self.marks.candidate(*rule);
        }
    }
}

/// A record becomes an event for each rule that matches; the others cost no allocation.
impl<'r> Detector<Record<'r>> for Matcher {
    fn observe(&mut self, record: &Record<'r>, sink: &dyn Sink) -> Verdict {
        self.matches(record);
        for at in 0..self.matched.len() {
            let Some(rule) = self.matched.get(at).copied() else { break };
            sink.accept(self.event(rule, record));
        }
        Verdict::PASS
    }

    fn advance(&mut self, _now: Timestamp, _sink: &dyn Sink) {}
}

/// A match as an event.
fn event(rules: &RuleSet, rule: u32, record: &Record<'_>, id: EventId) -> Event {
    let mut event = Event::new(id, Source::Siem, record.time);
    event.ingest_time = record.arrival;
    event.class_uid = 2004;
    event.activity_id = 1;
    if let (Some(info), Some(meta)) = (rules.info(rule), rules.meta(rule)) {
        let severity = super::sigma::severity(&meta.level);
        event.severity_id = severity.ocsf_id();
        event.message.clone_from(&meta.title);
        event.attack = super::sigma::techniques(&meta.tags);
        event.findings.push(Finding::new(Arc::clone(info), severity, meta.title.as_str()));
    }
    let device = ["Computer", "host", "hostname"].into_iter().find_map(|name| record.first(name));
    event.device = device.map(|value| value.text.to_owned()).filter(|text| !text.is_empty());
    event.extra.insert("file".to_owned(), record.origin.into());
    event.extra.insert("record_id".to_owned(), record.number.into());
    if !record.raw.is_empty() {
        event.raw = Some(record.raw.to_owned());
    }
    event
}
