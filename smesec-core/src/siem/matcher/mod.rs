//! The matcher: which rules match a record.
//!
//! | file | what |
//! | --- | --- |
//! | `lane` | which rules concern a record at all, by its log source |
//! | `view` | the record's fields by slot, and what atoms ask of them |
//! | `memo` | what values announce, remembered |
//! | `everywhere` | all values as one text, for keywords |
//! | `moment` | parts of times |

mod everywhere;
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
use everywhere::Everywhere;
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
    everywhere: Everywhere,
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
    /// By value, what keywords could stand in it.
    hits: Vec<(usize, u32)>,
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
            everywhere: Everywhere::default(),
            marks: Marks {
                turn: 0,
                answers: vec![0; program.atoms.len()],
                looked_at: vec![0; program.entries.len()],
                candidates: Vec::new(),
                tried: vec![0; finds],
                trial: 0,
                finds: Vec::new(),
                hits: Vec::new(),
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

    /// Whether it remembers what values announce, which changes its speed only. On, since programs,
    /// paths and users come again and again; bounded in values and bytes.
    pub fn remember(mut self, remember: bool) -> Self {
        self.memo.remember(remember);
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
        self.everywhere.clear();
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
                everywhere: &mut self.everywhere,
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

    /// Whether a find is tried for the first time for this value.
    fn first_try(&mut self, find: u32) -> bool {
        let last = self.tried.get_mut(find as usize);
        last.is_some_and(|last| std::mem::replace(last, self.trial) != self.trial)
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
    everywhere: &'s mut Everywhere,
    marks: &'s mut Marks,
}

impl Search<'_> {
    fn gather(&mut self, record: &Record<'_>, aliases: &[(u16, u16)]) {
        for rule in &self.group.always {
            self.marks.candidate(*rule);
        }
        let anywhere = self.index_at(ANYWHERE);
        if let Some(index) = anywhere {
            self.look_everywhere(index, record);
        }
        if self.group.indexes.len() == usize::from(anywhere.is_some()) {
            return;
        }
        let mut next = 0;
        while let Some((field, slot)) = self.view.known(next) {
            if let Some(index) = self.index_at(slot) {
                self.value(index, field, record);
            }
            next += 1;
        }
        for (of_rule, of_record) in aliases {
            let Some(index) = self.index_at(*of_rule) else { continue };
            // Only what the alias brought: what the record has itself was looked at above.
            if self.view.first(*of_rule) != self.view.first(*of_record) {
                continue;
            }
            let mut field = self.view.first(*of_rule);
            while let Some(at) = field {
                self.value(index, at, record);
                field = self.view.next(at);
            }
        }
    }

    fn index_at(&self, slot: u16) -> Option<u16> {
        self.group.by_slot.get(usize::from(slot)).copied().filter(|index| *index != NONE)
    }

    /// Looks at one value with one index.
    fn value(&mut self, index: u16, field: usize, record: &Record<'_>) {
        let Some(table) = self.group.indexes.get(usize::from(index)) else { return };
        let Some(value) = record.fields.get(field).map(|field| field.value) else { return };
        for find in &table.present {
            self.announce(*find);
        }
        if value.kind == Kind::Null || !table.reads_value() {
            return;
        }
        let number = self.first_index + u32::from(index);
        let mut hash = 0;
        // What is found by a look-up or two is found faster than remembered.
        if table.scans() {
            match self.memo.look(number, value.text.as_bytes()) {
                Ok(finds) => {
                    self.marks.finds.clear();
                    self.marks.finds.extend_from_slice(finds);
                    return self.announce_all();
                }
                Err(unknown) => hash = unknown,
            }
        }
        self.marks.value();
        let folded = self.view.folded(field, record);
        let (program, group) = (self.program, self.group);
        let marks = &mut *self.marks;
        table.candidates(folded.as_bytes(), |number| {
            if marks.first_try(number) && holds(program, group, number, value.text, folded) {
                marks.finds.push(number);
            }
        });
        if hash != 0 {
            self.memo.keep(hash, number, value.text.as_bytes(), &self.marks.finds);
        }
        self.announce_all();
    }

    /// Looks at all values and the raw line with the index of keywords.
    fn look_everywhere(&mut self, index: u16, record: &Record<'_>) {
        let Some(table) = self.group.indexes.get(usize::from(index)) else { return };
        if record.fields.is_empty() && record.raw.is_empty() {
            return;
        }
        for find in &table.present {
            self.announce(*find);
        }
        let mut hits = std::mem::take(&mut self.marks.hits);
        hits.clear();
        if table.scans() {
            let (text, ends) = self.everywhere.text(record, self.view);
            let (mut value, mut from, mut to) = (0, 0, 0);
            let marks = &mut *self.marks;
            table.scan(text, |number, place| {
                if !(from..to).contains(&place) {
                    value = ends.partition_point(|end| *end <= place);
                    from = value
                        .checked_sub(1)
                        .and_then(|before| ends.get(before))
                        .copied()
                        .unwrap_or(0);
                    to = ends.get(value).copied().unwrap_or(usize::MAX);
                    marks.value();
                }
                // Once for each value, however often it has the key.
                if marks.first_try(number) {
                    hits.push((value, number));
                }
            });
        }
        if table.compares() {
            for value in 0..=record.fields.len() {
                let there = match record.fields.get(value) {
                    Some(field) => field.value.kind != Kind::Null,
                    None => !record.raw.is_empty(),
                };
                if !there {
                    continue;
                }
                let folded = self.view.folded_or_raw(value, record);
                table.compare(folded.as_bytes(), |number| hits.push((value, number)));
            }
        }
        for (value, number) in &hits {
            let text = record.fields.get(*value).map_or(record.raw, |field| field.value.text);
            let folded = self.view.folded_or_raw(*value, record);
            if holds(self.program, self.group, *number, text, folded) {
                self.announce(*number);
            }
        }
        self.marks.hits = hits;
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
        if let Verify::Atom(atom) | Verify::Literal(_, Some(atom)) = find.verify
            && let Some(answer) = self.marks.answers.get_mut(atom as usize)
        {
            *answer = self.marks.turn | 1;
        }
        for rule in &find.rules {
            self.marks.candidate(*rule);
        }
    }
}

/// Whether a value has what a find asks for beyond its key.
fn holds(program: &Program, group: &Group, find: u32, text: &str, folded: &str) -> bool {
    let Some(find) = group.finds.get(find as usize) else { return false };
    match &find.verify {
        Verify::Nothing => true,
        Verify::Literal(finder, _) => finder.find(folded.as_bytes()).is_some(),
        Verify::Atom(atom) => program.atoms.get(*atom as usize).is_some_and(|atom| {
            value_fits(&atom.asks, text).unwrap_or_else(|| folded_fits(&atom.asks, folded))
        }),
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
