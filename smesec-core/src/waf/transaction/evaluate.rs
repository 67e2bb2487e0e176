//! The walk over the rules of a phase.

use super::store::{Slice, Store};
use super::{Flow, State};
use crate::decode::body::form::invalid_url_encoding;
use crate::mask;
use crate::waf::bits::bit;
use crate::waf::compile::operator::Operator;
use crate::waf::compile::pattern::Pattern;
use crate::waf::compile::program::{
    Disruption, Engine, Gate, Head, Program, Quick, Rule, Select, Target, Text,
};
use crate::waf::variable::{self, Storage, StorageId};
use crate::waf::{checks, injection};
use std::net::IpAddr;

/// Bytes of a value, from and to.
type Span = (usize, usize);

/// Where an operator matched.
struct Hit {
    /// The whole match.
    whole: Option<Span>,
    /// What the groups of a pattern matched, from the first on.
    groups: Vec<Option<Span>>,
    /// A text of its own in place of the whole match.
    text: Option<Vec<u8>>,
}

impl Default for Hit {
    fn default() -> Self {
        Self::BARE
    }
}

impl Hit {
    const BARE: Self = Self { whole: None, groups: Vec::new(), text: None };

    const fn at(whole: Option<Span>) -> Self {
        Self { whole, groups: Vec::new(), text: None }
    }

    fn telling(text: Vec<u8>) -> Self {
        Self { text: Some(text), ..Self::BARE }
    }
}

/// The whole match first.
impl FromIterator<Option<Span>> for Hit {
    fn from_iter<I: IntoIterator<Item = Option<Span>>>(spans: I) -> Self {
        let mut spans = spans.into_iter();
        Self { whole: spans.next().flatten(), groups: spans.collect(), text: None }
    }
}

/// What a link matched.
#[derive(Default)]
struct Matches {
    any: bool,
    values: Vec<(Slice, Slice)>,
}

impl Matches {
    fn add(&mut self, name: Slice, value: Slice) {
        self.any = true;
        self.values.push((name, value));
    }
}

/// A value that a rule looks at.
#[derive(Clone, Copy)]
struct Candidate {
    name: Slice,
    value: Slice,
    place: Option<(StorageId, usize)>,
}

impl State {
    /// Runs one phase, 0 to 4.
    pub(super) fn run_phase(&mut self, program: &Program, phase: usize) {
        if self.engine == Engine::Off || (self.allowed_until > phase && phase < 4) {
            return;
        }
        self.prepare(program, phase);
        if self.exhausted {
            return;
        }
        let list = program.phases.get(phase).map(Vec::as_slice).unwrap_or_default();
        let mut at = 0usize;
        while let Some(head) = list.get(at) {
            at += 1;
            if head.gate.bit().is_some()
                && !self.covers(head.level)
                && !self.scratch.hits.are_forgotten()
            {
                self.prepare_more(program, phase, head.level);
            }
            // Most rules end here: no value can match.
            if self
                .prepared(head.gate, head.level)
                .is_some_and(|bit| self.scratch.hits.is_empty(bit))
            {
                continue;
            }
            let index = head.rule;
            if self.removed_rules.iter().any(|set| set.contains(index as usize)) {
                continue;
            }
            let Some(rule) = program.rules.get(index as usize) else { continue };
            match self.run_rule(program, rule, head) {
                Flow::On => {}
                Flow::Jump(to) => at = (to as usize).max(at),
                Flow::Stop => return,
            }
            if self.engine == Engine::Off || self.exhausted || self.halted {
                return;
            }
        }
        self.prepared_enough(program, phase);
    }

    fn run_rule(&mut self, program: &Program, rule: &Rule, head: &Head) -> Flow {
        let (index, head_rule) = (head.rule, rule);
        let mut rule = rule;
        self.last_span = None;
        if let Some(quick) = head.quick.and_then(|at| program.quicks.get(usize::from(at)))
            && !self.removed_targets.iter().any(|(rules, _)| rules.contains(index as usize))
        {
            self.spend(1);
            let Some(value) = self.compared(quick) else { return Flow::On };
            if quick.silent {
                self.pending = Some((index, value));
                return quick.jump.map_or(Flow::On, Flow::Jump);
            }
        }
        loop {
            if !self.evaluate(program, rule, index) {
                return Flow::On;
            }
            let Some(next) = rule.chained.and_then(|n| program.rules.get(n as usize)) else {
                break;
            };
            rule = next;
        }
        self.matched(program, head_rule)
    }

    /// The value that a quick comparison holds for; empty for a count.
    fn compared(&self, quick: &Quick) -> Option<Slice> {
        let value = self.store.tx(quick.slot);
        let (number, value) = if quick.count {
            (i64::from(value.is_some()), Slice::EMPTY)
        } else {
            (checks::number(self.store.bytes(value?)), value?)
        };
        (quick.comparison.holds(number, quick.number) != quick.negated).then_some(value)
    }

    /// Tells what the last silent match was, which few rules ask.
    fn tell_pending(&mut self, program: &Program) {
        let Some((index, value)) = self.pending.take() else { return };
        let rule = program.rules.get(index as usize);
        let Some(target) = rule.and_then(|rule| rule.targets.first()) else { return };
        let name = self.name_of(program, target, Slice::EMPTY, false);
        self.store.assign_scalar_list(Storage::MatchedVar, value);
        self.store.assign_scalar_list(Storage::MatchedVarName, name);
        let mut matches = Matches::default();
        matches.add(name, value);
        self.remember(matches);
    }

    /// Whether a link matches; its effects happen once for each value that does.
    fn evaluate(&mut self, program: &Program, rule: &Rule, index: u32) -> bool {
        if rule.reads_matched && self.pending.is_some() {
            self.tell_pending(program);
        }
        if rule.targets.is_empty() {
            self.spend(1);
            self.on_match(program, rule, None, Slice::EMPTY, Slice::EMPTY, &Hit::BARE);
            return true;
        }
        let prepared = self.prepared(rule.gate, rule.level);
        if prepared.is_some_and(|bit| self.scratch.hits.is_empty(bit)) {
            return false;
        }
        let mut matches = Matches { any: false, values: std::mem::take(&mut self.matched_values) };
        matches.values.clear();
        // What the phase was prepared for says which values can match at all.
        if let Some(bit) = prepared {
            for target in &rule.targets {
                for storage in &target.storages {
                    let mut at = self.scratch.hits.first(bit, *storage);
                    while let Some(hit) = self.scratch.hits.at(at, *storage) {
                        at = hit.next;
                        let place = (*storage, hit.member as usize);
                        let Some(candidate) = self.store.candidate(place, &target.select) else {
                            continue;
                        };
                        self.look(program, rule, index, target, candidate, &mut matches);
                        if self.exhausted {
                            return matches.any;
                        }
                    }
                }
            }
            return self.remember(matches);
        }
        for target in &rule.targets {
            if target.count {
                let count = self.count(program, rule, target, index);
                let mark = self.store.mark();
                self.store.append_number(i64::try_from(count).unwrap_or(i64::MAX));
                let value = self.store.since(mark);
                if let Some(hit) = self.operate(program, rule, value) {
                    let name = self.name_of(program, target, Slice::EMPTY, true);
                    matches.add(name, value);
                    self.on_match(program, rule, Some(target), name, value, &hit);
                }
                continue;
            }
            let mut cursor = Cursor::new();
            while let Some(candidate) = cursor.next(&mut self.store, program, target) {
                self.look(program, rule, index, target, candidate, &mut matches);
                if self.exhausted {
                    return matches.any;
                }
            }
        }
        self.remember(matches)
    }

    /// Looks at one value.
    fn look(
        &mut self,
        program: &Program,
        rule: &Rule,
        index: u32,
        target: &Target,
        candidate: Candidate,
        matches: &mut Matches,
    ) {
        self.spend_on(candidate.value.len());
        if self.is_excluded(rule, index, target, candidate) {
            return;
        }
        let mut before = None;
        let mut in_vain = rule.reads_value_only;
        let remembered = self.remembered(rule, candidate);
        for node in &rule.nodes {
            let mut sure = false;
            let value = match (candidate.place, rule.gate) {
                (Some((storage, n)), Gate::Bit(bit_)) => {
                    let content = self.store.member_at(program, storage, n, *node);
                    if !self.store.may_match(program, content, bit_) {
                        continue;
                    }
                    self.store.content_slice(content)
                }
                (Some((storage, n)), Gate::Unless(bit_)) => {
                    let content = self.store.member_at(program, storage, n, *node);
                    let may = || self.store.may_match(program, content, bit_);
                    sure = !remembered.unwrap_or_else(may);
                    self.store.content_slice(content)
                }
                (Some((storage, n)), Gate::Run | Gate::Always(_)) if *node != 0 => {
                    let content = self.store.member_at(program, storage, n, *node);
                    self.store.content_slice(content)
                }
                _ => self.store.slice_at(program, candidate.value, *node),
            };
            // With `multiMatch` a step that changed nothing is not looked at again. Equal values share their bytes,
            // but for one that came unchanged out of a transformation.
            if before.is_some_and(|before| self.store.bytes(before) == self.store.bytes(value)) {
                continue;
            }
            before = Some(value);
            let hit = if sure { Some(Hit::BARE) } else { self.operate(program, rule, value) };
            if let Some(hit) = hit {
                in_vain = false;
                let name = self.name_of(program, target, candidate.name, false);
                matches.add(name, value);
                self.on_match(program, rule, Some(target), name, value, &hit);
            }
        }
        if in_vain && let (Some((storage, n)), Some(bit)) = (candidate.place, rule.gate.bit()) {
            self.scratch.memory.rule_out(self.store.known(storage, n), bit);
        }
    }

    /// Whether a value that came before may hold what a negated list must not find, if that is known: it
    /// spares the prefilter. Other rules ask the prefilter all the same: they would often be tried for what
    /// other nodes hold, and a pattern that is never tried is never built.
    fn remembered(&self, rule: &Rule, candidate: Candidate) -> Option<bool> {
        let Gate::Unless(of_rule) = rule.gate else { return None };
        let (storage, n) = candidate.place?;
        let rules = self.scratch.memory.rules(self.store.known(storage, n))?;
        self.covers(rule.level).then(|| bit(rules, usize::from(of_rule)))
    }

    /// Keeps what a link matched for the next one.
    fn remember(&mut self, matches: Matches) -> bool {
        if matches.any {
            self.store.clear(Storage::MatchedVars.id());
            self.store.clear(Storage::MatchedVarsNames.id());
            for (name, value) in matches.values.iter().copied() {
                self.store.add(Storage::MatchedVars.id(), name, value);
                self.store.add(Storage::MatchedVarsNames.id(), name, name);
            }
        }
        self.matched_values = matches.values;
        matches.any
    }

    fn count(&mut self, program: &Program, rule: &Rule, target: &Target, index: u32) -> usize {
        let mut cursor = Cursor::new();
        let mut count = 0;
        while let Some(candidate) = cursor.next(&mut self.store, program, target) {
            if !self.is_excluded(rule, index, target, candidate) {
                count += 1;
            }
        }
        count
    }

    fn is_excluded(&self, rule: &Rule, index: u32, target: &Target, candidate: Candidate) -> bool {
        if !rule.excluded.is_empty()
            && rule.excluded.iter().any(|e| self.excludes(e, target, candidate))
        {
            return true;
        }
        self.removed_targets.iter().any(|(rules, targets)| {
            rules.contains(index as usize)
                && targets.iter().any(|e| self.excludes(e, target, candidate))
        })
    }

    fn excludes(&self, excluded: &Target, target: &Target, candidate: Candidate) -> bool {
        let has = |storage: StorageId| excluded.storages.contains(&storage);
        let mut name = self.excluded_name(candidate.place, candidate.name);
        let covered = match candidate.place {
            Some((storage, _)) => has(storage),
            None => target.storages.iter().any(|storage| has(*storage)),
        };
        if !covered {
            // A header and a segment of the path stand among the decoded arguments too.
            let decoded = Storage::ArgsDecoded.id();
            if candidate.place.is_none_or(|(storage, _)| storage != decoded) {
                return false;
            }
            if let Some(header) = name.strip_prefix(b"header.")
                && has(Storage::RequestHeaders.id())
            {
                name = header;
            } else {
                let of_path = name.starts_with(b"path.");
                return of_path && has(Storage::RequestFilename.id());
            }
        }
        match &excluded.select {
            Select::All => true,
            Select::Name(wanted) => name.eq_ignore_ascii_case(wanted),
            Select::Pattern(pattern) => pattern.is_match(name),
            Select::Tx(slot) => matches!(target.select, Select::Tx(of) if of == *slot),
        }
    }

    /// `ARGS:q`, as messages and `MATCHED_VAR_NAME` say it.
    fn name_of(&mut self, program: &Program, target: &Target, name: Slice, count: bool) -> Slice {
        // What stands in MATCHED_VARS has been named already.
        if &*target.label == "MATCHED_VARS" {
            return name;
        }
        // A chain's last match is told by the name that it was found under.
        if &*target.label == "MATCHED_VAR"
            && let Some(found) = self.store.members(Storage::MatchedVarName.id()).first()
        {
            return found.value;
        }
        let mark = self.store.mark();
        if count {
            self.store.append(b"&");
        }
        self.store.append(target.label.as_bytes());
        match &target.select {
            Select::Name(of) if name.len() == 0 => {
                self.store.append(b":");
                self.store.append(of);
            }
            Select::Tx(slot) => {
                self.store.append(b":");
                let name = program.tx_names.get(*slot as usize);
                self.store.append(name.map_or(&[], |name| name));
            }
            _ if name.len() > 0 => {
                self.store.append(b":");
                self.store.append_slice(name);
            }
            _ => {}
        }
        self.store.since(mark)
    }

    /// Runs the operator; the negation is included.
    fn operate(&mut self, program: &Program, rule: &Rule, value: Slice) -> Option<Hit> {
        let hit = self.apply(program, rule, value);
        if rule.negated {
            let gave_up = std::mem::take(&mut self.gave_up);
            return (hit.is_none() && !gave_up).then_some(Hit::BARE);
        }
        hit
    }

    fn apply(&mut self, program: &Program, rule: &Rule, value: Slice) -> Option<Hit> {
        let bytes = self.store.bytes(value);
        let bare = |yes: bool| yes.then_some(Hit::BARE);
        match &rule.operator {
            Operator::Rx(pattern) => search(pattern, rule, bytes),
            Operator::Everything => Some(Hit::at(rule.capture.then_some((0, bytes.len())))),
            Operator::RxGlobal(pattern) => search_all(pattern, bytes),
            Operator::RxMacro(pattern) => {
                let text = self.expand(program, rule, &pattern.text);
                // The pattern is read and built anew where it is another one than before.
                self.spend(text.len() as u64);
                let built = pattern.pattern(self.store.bytes(text))?;
                let bytes = self.store.bytes(value);
                if pattern.global { search_all(&built, bytes) } else { search(&built, rule, bytes) }
            }
            Operator::Backtrack(pattern) => {
                let captures = self.backtrack(program, rule, pattern, value)?;
                Some(captures.into_iter().collect())
            }
            Operator::Pm(phrases) => phrases.find(bytes).map(|at| Hit::at(Some(at))),
            Operator::DetectSqli => injection::detect_sqli(bytes)
                .map(|fingerprint| Hit::telling(fingerprint.as_str().as_bytes().to_vec())),
            Operator::DetectXss => bare(injection::detect_xss(bytes)),
            Operator::Contains(text) => {
                bare(self.holds(program, rule, text, value, checks::contains))
            }
            Operator::ContainsWord(text) => {
                bare(self.holds(program, rule, text, value, checks::contains_word))
            }
            Operator::BeginsWith(text) => {
                bare(self.holds(program, rule, text, value, <[u8]>::starts_with))
            }
            Operator::EndsWith(text) => {
                bare(self.holds(program, rule, text, value, <[u8]>::ends_with))
            }
            Operator::StrEq(text) => bare(self.holds(program, rule, text, value, <[u8]>::eq)),
            Operator::Within(text) => {
                bare(
                    self.holds(program, rule, text, value, |value, text| {
                        checks::contains(text, value)
                    }),
                )
            }
            Operator::Compare(comparison, text) => {
                let with = self.number_of(program, rule, text);
                let number = checks::number(self.store.bytes(value));
                bare(comparison.holds(number, with))
            }
            Operator::IpMatch(networks) => {
                let address: IpAddr = std::str::from_utf8(bytes).ok()?.trim().parse().ok()?;
                bare(networks.iter().any(|network| network.contains(address)))
            }
            Operator::Rbl(list) => {
                let text = self.block_list(program, rule, list, value)?;
                Some(Hit::telling(text.into_bytes()))
            }
            Operator::GeoLookup => bare(self.geo_lookup(program, value)),
            Operator::ByteRange(allowed) => {
                bare(!crate::decode::byteset::ByteSet::scan(bytes).is_subset(*allowed))
            }
            Operator::UrlEncoding => bare(invalid_url_encoding(bytes)),
            Operator::Utf8 => bare(std::str::from_utf8(bytes).is_err()),
            Operator::CardNumber(pattern) => checks::verified(pattern, bytes, mask::luhn),
            Operator::Cpf(pattern) => checks::verified(pattern, bytes, checks::cpf),
            Operator::Ssn(pattern) => checks::verified(pattern, bytes, checks::ssn),
            Operator::Svnr(pattern) => checks::verified(pattern, bytes, checks::svnr),
            Operator::Rut(pattern) => checks::verified(pattern, bytes, checks::rut),
            Operator::RestPath(path) => {
                let named: Vec<(Vec<u8>, Vec<u8>)> = path
                    .fit(bytes)?
                    .into_iter()
                    .map(|(name, value)| (name.to_vec(), value.to_vec()))
                    .collect();
                for (name, value) in named {
                    let (name, value) = (self.store.put(&name), self.store.put(&value));
                    self.store.add(Storage::ArgsPath.id(), name, value);
                }
                self.scratch.hits.forget();
                Some(Hit::BARE)
            }
            Operator::JsonSchema(schema) => bare(!schema.fits(bytes)),
            Operator::Always => Some(Hit::BARE),
            Operator::Never => None,
        }
    }

    /// Whether a comparison of a value with a text holds; the text is copied only where it is put together.
    fn holds(
        &mut self,
        program: &Program,
        rule: &Rule,
        text: &Text,
        value: Slice,
        test: impl Fn(&[u8], &[u8]) -> bool,
    ) -> bool {
        if let Some(literal) = text.literal() {
            return test(self.store.bytes(value), literal);
        }
        let text = self.expand(program, rule, text);
        test(self.store.bytes(value), self.store.bytes(text))
    }

    /// One value matched: the captures, `MATCHED_VAR` and the effects.
    fn on_match(
        &mut self,
        program: &Program,
        rule: &Rule,
        target: Option<&Target>,
        name: Slice,
        value: Slice,
        hit: &Hit,
    ) {
        if target.is_some() {
            self.pending = None;
            self.store.assign_scalar_list(Storage::MatchedVar, value);
            self.store.assign_scalar_list(Storage::MatchedVarName, name);
        }
        if rule.capture {
            for slot in 0..10u32 {
                let group = || hit.groups.get(slot as usize - 1).copied().flatten();
                let span = if slot == 0 { hit.whole } else { group() };
                let text = match (span, &hit.text, slot) {
                    (Some((from, to)), _, _) => Some(Store::part(value, from, to)),
                    (None, Some(text), 0) => Some(self.store.put(text)),
                    _ => None,
                };
                if text.is_some() || slot > 0 {
                    self.store.set_tx(slot, text);
                }
            }
        }
        self.last_span = hit.whole;
        for effect in &rule.effects {
            self.effect(program, rule, effect);
        }
    }

    /// A whole chain matched: the finding, the jump and the verdict.
    fn matched(&mut self, program: &Program, head: &Rule) -> Flow {
        if let Some(severity) = head.severity {
            self.highest_severity = self.highest_severity.min(severity);
            self.store.set_number(Storage::HighestSeverity, u64::from(self.highest_severity));
        }
        if head.logs || head.audits {
            self.report(program, head);
        }
        match head.disruption {
            Disruption::Pass => {}
            Disruption::Allow => {
                self.allowed_until = 4;
                return Flow::Stop;
            }
            Disruption::AllowRequest => {
                self.allowed_until = 2;
                return Flow::Stop;
            }
            Disruption::AllowPhase => return Flow::Stop,
            Disruption::Deny | Disruption::Drop | Disruption::Redirect => {
                if self.decide(program, head) {
                    return Flow::Stop;
                }
            }
        }
        head.jump.map_or(Flow::On, Flow::Jump)
    }

    /// A text with its macros filled in.
    pub(super) fn expand(&mut self, program: &Program, rule: &Rule, text: &Text) -> Slice {
        super::expand::expand(&mut self.store, program, rule, text)
    }

    /// The same outside of the arena.
    pub(super) fn expanded(&mut self, program: &Program, rule: &Rule, text: &Text) -> Vec<u8> {
        let text = self.expand(program, rule, text);
        self.store.bytes(text).to_vec()
    }

    /// The number that a text stands for.
    pub(super) fn number_of(&mut self, program: &Program, rule: &Rule, text: &Text) -> i64 {
        if let Some(literal) = text.literal() {
            return checks::number(literal);
        }
        let text = self.expand(program, rule, text);
        checks::number(self.store.bytes(text))
    }

    /// The steps of one look at a value of so many bytes.
    pub(super) fn spend_on(&mut self, bytes: usize) {
        /// What is looked through in about the time of a step.
        const BYTES: usize = 256;
        self.spend(1 + (bytes / BYTES) as u64);
    }

    pub(super) fn spend(&mut self, steps: u64) {
        match self.steps.checked_sub(steps) {
            Some(left) => self.steps = left,
            None => self.exhausted = true,
        }
    }
}

/// Where a pattern matches, as far as the rule tells it.
#[inline]
fn search(pattern: &Pattern, rule: &Rule, bytes: &[u8]) -> Option<Hit> {
    let regex = pattern.regex()?;
    if !rule.capture {
        return regex.is_match(bytes).then_some(Hit::BARE);
    }
    if !rule.groups {
        let span = regex.find(bytes).map(|found| (found.start(), found.end()))?;
        return Some(Hit::at(Some(span)));
    }
    if !regex.is_match(bytes) {
        return None;
    }
    let mut captures = regex.create_captures();
    regex.captures(bytes, &mut captures);
    let groups = captures.iter().take(10);
    Some(groups.map(|span| span.map(|s| (s.start, s.end))).collect())
}

fn search_all(pattern: &Pattern, bytes: &[u8]) -> Option<Hit> {
    let regex = pattern.regex()?;
    let spans: Vec<_> =
        regex.find_iter(bytes).take(10).map(|m| Some((m.start(), m.end()))).collect();
    (!spans.is_empty()).then(|| spans.into_iter().collect())
}

/// Walks over the values of a target.
struct Cursor {
    storage: usize,
    member: usize,
    /// TX is copied out, since rules change it while they look at it.
    tx: Option<Vec<(Slice, Slice)>>,
}

impl Cursor {
    const fn new() -> Self {
        Self { storage: 0, member: 0, tx: None }
    }

    fn next(&mut self, store: &mut Store, program: &Program, target: &Target) -> Option<Candidate> {
        loop {
            let storage = *target.storages.get(self.storage)?;
            if storage == Storage::Tx.id() {
                return self.next_tx(store, program, target);
            }
            let n = self.member;
            let Some(member) = store.members(storage).get(n).copied() else {
                self.storage += 1;
                self.member = 0;
                continue;
            };
            self.member += 1;
            if selects(store, &target.select, member.name) {
                let place = (!variable::is_dynamic(storage)).then_some((storage, n));
                return Some(Candidate { name: member.name, value: member.value, place });
            }
        }
    }

    fn next_tx(
        &mut self,
        store: &mut Store,
        program: &Program,
        target: &Target,
    ) -> Option<Candidate> {
        if let Select::Tx(slot) = target.select {
            self.storage += 1;
            let value = store.tx(slot)?;
            return Some(Candidate { name: Slice::EMPTY, value, place: None });
        }
        let all = self.tx.get_or_insert_with(|| match &target.select {
            Select::Pattern(pattern) => {
                store.all_tx(program, &target.slots, |name| pattern.is_match(name))
            }
            _ => store.all_tx(program, &target.slots, |_| true),
        });
        if let Some((name, value)) = all.get(self.member).copied() {
            self.member += 1;
            return Some(Candidate { name, value, place: None });
        }
        self.storage += 1;
        None
    }
}

fn selects(store: &Store, select: &Select, name: Slice) -> bool {
    match select {
        Select::All => true,
        Select::Name(wanted) => store.bytes(name).eq_ignore_ascii_case(wanted),
        Select::Pattern(pattern) => pattern.is_match(store.bytes(name)),
        Select::Tx(_) => false,
    }
}

impl Store {
    /// The member at a place, if it is selected.
    fn candidate(&self, place: (StorageId, usize), select: &Select) -> Option<Candidate> {
        let member = self.members(place.0).get(place.1)?;
        let found = Candidate { name: member.name, value: member.value, place: Some(place) };
        selects(self, select, member.name).then_some(found)
    }

    /// The matched value and its name are lists of one, since they change while rules run.
    fn assign_scalar_list(&mut self, storage: Storage, value: Slice) {
        self.clear(storage.id());
        self.add(storage.id(), Slice::EMPTY, value);
    }
}
