//! From a syntax tree to the flat, immutable tables that a transaction reads.
//!
//! | file | what |
//! | --- | --- |
//! | `program` | the tables |
//! | `pattern` | regular expressions |
//! | `groups` | whose captured groups are read |
//! | `requirement` | what every match must contain |
//! | `operator` | operators |
//! | `geo` | the database of `@geoLookup` |
//! | `action` | actions, `ctl`, `setvar` |
//! | `schema` | JSON Schema |
//! | `setting` | directives that set something |
//! | `prefilter` | one automaton over the strings of all rules |
//! | `quick` | rules that only compare a TX variable |
//! | `names` | variables, selectors and macros resolved to storages and slots |

mod action;
pub(crate) mod backtrack;
pub(crate) mod geo;
mod groups;
mod names;
pub(crate) mod operator;
pub(crate) mod pattern;
pub(crate) mod prefilter;
pub(crate) mod program;
mod quick;
pub(crate) mod requirement;
mod schema;
mod setting;

use self::action::Actions;
use self::names::Names;
use self::operator::Operator;
use self::prefilter::PrefilterBuilder;
use self::program::{
    Disruption, Effect, Engine, Gate, Level, Node, NodeIndex, Program, Rule, RuleIndex, Settings,
    Target,
};
use self::requirement::Requirement;
use super::bits::Bits;
use super::seclang::{
    ActionSyntax, DirectiveKind, IdRange, Loader, RuleSyntax, Span, Syntax, TargetSyntax,
};
use super::variable::pays_ahead;
use crate::decode::byteset::ByteSet;
use crate::decode::transform::{Transform, UnicodeMap};
use crate::event::RuleInfo;
use crate::ruleset::{LoadReport, Refused};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Nodes that one rule set may have: the trie's sets are words of 128 bits. CRS needs 54.
const MAX_NODES: usize = 128;

/// The names under which rule sets keep their anomaly score: the first that is not 0 counts.
const SCORES: [&str; 4] =
    ["blocking_inbound_anomaly_score", "anomaly_score", "score", "inbound_anomaly_score"];

/// The names of our own pack, one for each kind of attack: the highest counts.
const KIND_SCORES: [&str; 12] = [
    "smesec_sql",
    "smesec_nosql",
    "smesec_directory",
    "smesec_command",
    "smesec_code",
    "smesec_xss",
    "smesec_traversal",
    "smesec_ssrf",
    "smesec_xxe",
    "smesec_object",
    "smesec_scanner",
    "smesec_protocol",
];

/// Tells programs apart, so that what a transaction prepared for one is not used with another.
static SERIAL: AtomicU64 = AtomicU64::new(1);

/// Compiles; what cannot run stands in the report.
pub(crate) fn compile(
    mut syntax: Syntax,
    loader: &dyn Loader,
    options: Options,
) -> Result<(Program, LoadReport), String> {
    let directives = std::mem::take(&mut syntax.directives);
    let mut compiler = Compiler::new(&syntax, loader, directives.len());
    compiler.options = options;
    for error in &syntax.errors {
        compiler.refuse(error.span, error.rule, error.why.clone());
    }
    // What the tree took serves the tables as it goes.
    for directive in directives {
        compiler.directive(directive.span, &directive.kind);
    }
    let (mut program, strings, report) = compiler.finish()?;
    // The tree and the automaton are the largest things here; they need not be there at one time.
    drop(syntax);
    program.prefilter = strings.build()?;
    Ok((program, report))
}

/// What the host says of the compilation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Whether rules are ruled out by literals and bytes before they run.
    pub(crate) gates: bool,
    /// Backtracks that one search of a pattern beyond linear time may take.
    pub(crate) backtrack_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { gates: true, backtrack_limit: backtrack::LIMIT }
    }
}

struct Compiler<'s> {
    syntax: &'s Syntax,
    loader: &'s dyn Loader,
    report: LoadReport,
    settings: Settings,
    names: Names,
    rules: Vec<Rule>,
    ids: HashMap<u64, RuleIndex>,
    /// For each phase the heads and markers in order.
    order: Vec<Entry>,
    defaults: [Option<Vec<ActionSyntax>>; 5],
    nodes: Vec<Node>,
    node_index: HashMap<(NodeIndex, Transform), NodeIndex>,
    prefilter: PrefilterBuilder,
    /// The link that awaits its follower, and whether the chain was refused.
    open_chain: Option<OpenChain>,
    unicode: Option<(String, u32)>,
    geo: Option<geo::Database>,
    /// What `SecDataset` names.
    datasets: HashMap<String, Vec<u8>>,
    removals: Vec<(Span, program::Rules)>,
    runtime: Vec<PendingRemoval>,
    options: Options,
}

enum Entry {
    Head(RuleIndex, Option<String>, Option<usize>),
    Marker(String),
}

struct OpenChain {
    last: Option<RuleIndex>,
    head_phase: u8,
    head_id: u64,
    head: Option<RuleIndex>,
    level: u8,
}

/// A `ctl` that removes rules or targets: which rules it means is known at the end.
struct PendingRemoval {
    rule: RuleIndex,
    which: program::Rules,
    targets: Option<Vec<Target>>,
}

impl<'s> Compiler<'s> {
    /// For about so many rules.
    fn new(syntax: &'s Syntax, loader: &'s dyn Loader, rules: usize) -> Self {
        let root = Node { parent: 0, transform: None, triggers: ByteSet::EMPTY };
        Self {
            syntax,
            loader,
            report: LoadReport::default(),
            settings: Settings::default(),
            names: Names::default(),
            rules: Vec::with_capacity(rules),
            ids: HashMap::new(),
            order: Vec::new(),
            defaults: [const { None }; 5],
            nodes: vec![root],
            node_index: HashMap::new(),
            prefilter: PrefilterBuilder::default(),
            open_chain: None,
            unicode: None,
            geo: None,
            datasets: HashMap::new(),
            removals: Vec::new(),
            runtime: Vec::new(),
            options: Options::default(),
        }
    }

    fn note(&self, span: Span, rule: Option<u64>, why: String) -> Refused {
        Refused {
            file: self.syntax.file_name(span).to_owned(),
            line: span.line,
            column: span.column,
            rule: rule.map(|id| id.to_string()),
            why,
        }
    }

    fn refuse(&mut self, span: Span, rule: Option<u64>, why: String) {
        let refused = self.note(span, rule, why);
        self.report.refused.push(refused);
    }

    fn degrade(&mut self, span: Span, rule: Option<u64>, why: String) {
        let degraded = self.note(span, rule, why);
        self.report.degraded.push(degraded);
    }

    fn directive(&mut self, span: Span, kind: &DirectiveKind) {
        match kind {
            DirectiveKind::Rule(rule) => self.rule(span, Some(rule), &rule.actions),
            DirectiveKind::Action(actions) => self.rule(span, None, actions),
            DirectiveKind::DefaultAction(actions) => self.default_action(span, actions),
            DirectiveKind::Marker(name) => self.order.push(Entry::Marker(name.clone())),
            DirectiveKind::UpdateTargetById { ids, targets } => {
                let which = program::Rules::Ids(ranges(ids));
                self.update_targets(span, &which, targets);
            }
            DirectiveKind::UpdateTargetByTag { tag, targets } => {
                if let Some(tag) = self.meant(span, tag) {
                    self.update_targets(span, &program::Rules::Tag(tag), targets);
                }
            }
            DirectiveKind::UpdateTargetByMsg { msg, targets } => {
                if let Some(msg) = self.meant(span, msg) {
                    self.update_targets(span, &program::Rules::Message(msg), targets);
                }
            }
            DirectiveKind::UpdateActionById { id, actions } => {
                self.update_actions(span, *id, actions);
            }
            DirectiveKind::RemoveById(ids) => {
                self.removals.push((span, program::Rules::Ids(ranges(ids))));
            }
            DirectiveKind::RemoveByTag(tag) => {
                let tag = self.meant(span, tag).map(program::Rules::Tag);
                self.removals.extend(tag.map(|which| (span, which)));
            }
            DirectiveKind::RemoveByMsg(message) => {
                let message = self.meant(span, message).map(program::Rules::Message);
                self.removals.extend(message.map(|which| (span, which)));
            }
            DirectiveKind::Setting { name, arguments } => {
                match setting::apply(&mut self.settings, name, arguments) {
                    setting::Outcome::Set => {}
                    setting::Outcome::UnicodeMap(file, page) => self.unicode = Some((file, page)),
                    setting::Outcome::Dataset(name, text) => {
                        self.datasets.insert(name, text);
                    }
                    setting::Outcome::GeoDatabase(file) => self.geo_database(span, &file),
                    setting::Outcome::Inert(why) => self.degrade(span, None, why),
                    setting::Outcome::Refused(why) => self.refuse(span, None, why),
                }
            }
        }
    }

    /// What rules are meant by; a pattern that is none is refused.
    fn meant(&mut self, span: Span, text: &str) -> Option<program::Meant> {
        program::Meant::new(text).map_err(|why| self.refuse(span, None, why)).ok()
    }

    fn default_action(&mut self, span: Span, actions: &[ActionSyntax]) {
        let phase = actions.iter().find(|a| a.name == "phase").and_then(|a| a.value.as_deref());
        match phase.map_or(Some(1), action::phase) {
            Some(phase) => {
                if let Some(slot) = self.defaults.get_mut(usize::from(phase)) {
                    *slot = Some(actions.to_vec());
                }
            }
            None => self.refuse(
                span,
                None,
                "`SecDefaultAction` with an unknown phase; write 1 to 5".into(),
            ),
        }
    }

    fn rule(&mut self, span: Span, rule: Option<&RuleSyntax>, actions: &[ActionSyntax]) {
        let chain = self.open_chain.take();
        let chains_on = actions.iter().any(|action| action.name == "chain");
        let built = match &chain {
            Some(OpenChain { last: None, .. }) => None,
            _ => match self.build(span, rule, actions, chain.as_ref()) {
                Ok(rule) => Some(rule),
                Err((span, id, why)) => {
                    let id = chain.as_ref().map(|c| c.head_id).or(id);
                    self.refuse(span, id, why);
                    None
                }
            },
        };
        let Some((rule, jump, skip)) = built else {
            // A broken link takes its whole chain out of force.
            if let Some(head) = chain.as_ref().and_then(|c| c.head) {
                self.order.retain(|entry| !matches!(entry, Entry::Head(rule, ..) if *rule == head));
                self.report.loaded = self.report.loaded.saturating_sub(1);
            }
            if chains_on {
                let (head_phase, head_id, level) =
                    chain.map_or((0, 0, 0), |c| (c.head_phase, c.head_id, c.level));
                self.open_chain =
                    Some(OpenChain { last: None, head_phase, head_id, head: None, level });
            }
            return;
        };
        let index = RuleIndex::try_from(self.rules.len()).unwrap_or(RuleIndex::MAX);
        let (phase, id, level) = (rule.phase, rule.id, rule.level);
        if let Some(OpenChain { last: Some(last), .. }) = &chain {
            if let Some(previous) = self.rules.get_mut(*last as usize) {
                previous.chained = Some(index);
            }
        } else {
            self.ids.insert(id, index);
            self.order.push(Entry::Head(index, jump, skip));
            self.report.loaded += 1;
        }
        self.rules.push(rule);
        if chains_on {
            let head = chain.as_ref().map_or(Some(index), |c| c.head);
            let head_id = chain.as_ref().map_or(id, |c| c.head_id);
            self.open_chain =
                Some(OpenChain { last: Some(index), head_phase: phase, head_id, head, level });
        }
    }

    #[expect(clippy::type_complexity, reason = "the error is a place, an id and a text, used once")]
    fn build(
        &mut self,
        span: Span,
        syntax: Option<&RuleSyntax>,
        actions: &[ActionSyntax],
        chain: Option<&OpenChain>,
    ) -> Result<(Rule, Option<String>, Option<usize>), (Span, Option<u64>, String)> {
        let phase = actions.iter().rev().find(|a| a.name == "phase");
        let phase = match (chain, phase) {
            (Some(chain), _) => chain.head_phase,
            (None, None) => 1,
            (None, Some(action)) => action::phase(action.value.as_deref().unwrap_or_default())
                .ok_or_else(|| {
                    (
                        action.span,
                        None,
                        "unknown phase; write 1 to 5, `request`, `response` or `logging`"
                            .to_owned(),
                    )
                })?,
        };
        let namespaces = namespaces(actions)?;
        let parsed = {
            let defaults = self.defaults.get(usize::from(phase)).and_then(Option::as_deref);
            let defaults = if chain.is_some() { None } else { defaults };
            Actions::parse(&mut self.names, defaults, actions)
        };
        let actions = parsed.map_err(|(at, id, why)| (at, id.or(chain.map(|c| c.head_id)), why))?;
        let id = match (actions.id, chain) {
            (_, Some(chain)) => chain.head_id,
            (Some(id), None) => id,
            (None, None) => {
                return Err((span, None, "the rule has no `id`; give it one".to_owned()));
            }
        };
        let at = |why: String| (span, Some(id), why);
        if chain.is_none() && self.ids.contains_key(&id) {
            return Err(at(format!("the id `{id}` is taken by an earlier rule; choose another")));
        }
        let (mut targets, mut excluded) = (Vec::new(), Vec::new());
        let (mut operator, negated);
        if let Some(syntax) = syntax {
            for target in &syntax.targets {
                let resolved = self.names.target_in(target, &namespaces);
                let resolved = resolved.map_err(|why| (target.span, Some(id), why))?;
                if target.exclude { excluded.push(resolved) } else { targets.push(resolved) }
            }
            negated = syntax.operator.negated;
            let file = self.syntax.file_name(syntax.operator.span).to_owned();
            let loader = self.loader;
            let read = |name: &str| read_beside(loader, &file, name);
            let datasets = &self.datasets;
            let dataset = |name: &str| {
                datasets.get(name.trim()).cloned().ok_or_else(|| {
                    format!("no `SecDataset` before this rule is called `{name}`; check its name")
                })
            };
            let sources =
                operator::Sources { read: &read, dataset: &dataset, options: self.options };
            let names = &mut self.names;
            operator = operator::compile(
                &syntax.operator.name,
                &syntax.operator.argument,
                &mut |text| names.text(text),
                &sources,
            )
            .map_err(|why| (syntax.operator.span, Some(id), why))?;
        } else {
            (operator, negated) = (Operator::Always, false);
        }
        let nodes = self.chain_of(&actions.transforms, actions.multi_match).map_err(at)?;
        let steady = !targets.is_empty()
            && targets.iter().all(|t| !t.count && t.storages.iter().all(|s| pays_ahead(*s)));
        let gate = self.gate(&mut operator, negated, steady);
        let level = chain.map_or(0, |c| c.level);
        let info = RuleInfo {
            id: id.to_string(),
            name: actions.message_text.clone().unwrap_or_default(),
            author: actions.version.clone(),
            tags: actions.tags.clone(),
        };
        let index = RuleIndex::try_from(self.rules.len()).unwrap_or(RuleIndex::MAX);
        for (which, targets) in actions.removals {
            self.runtime.push(PendingRemoval { rule: index, which, targets });
        }
        for why in actions.degraded {
            self.degrade(span, Some(id), why);
        }
        let rule = Rule {
            id,
            span,
            phase,
            targets,
            excluded,
            operator,
            negated,
            nodes,
            gate,
            level,
            steady,
            capture: actions.capture,
            logs: actions.log,
            audits: actions.audit,
            disruption: actions.disruption,
            status: actions.status,
            redirect: actions.redirect,
            effects: actions.effects,
            message: actions.message,
            logdata: actions.logdata,
            severity: actions.severity,
            info: Arc::new(info),
            chained: None,
            jump: None,
            reads_matched: true,
            reads_value_only: false,
            groups: true,
        };
        Ok((rule, actions.skip_after, actions.skip))
    }

    /// The nodes of a transformation chain: its end, or with `multiMatch` every step.
    fn chain_of(
        &mut self,
        transforms: &[Transform],
        every: bool,
    ) -> Result<Vec<NodeIndex>, String> {
        let mut at: NodeIndex = 0;
        let mut steps = vec![0];
        for transform in transforms {
            at = if let Some(known) = self.node_index.get(&(at, *transform)) {
                *known
            } else {
                if self.nodes.len() >= MAX_NODES {
                    return Err(format!(
                        "more than {MAX_NODES} different transformation chains in one rule set; use fewer"
                    ));
                }
                let new = NodeIndex::try_from(self.nodes.len()).unwrap_or(NodeIndex::MAX);
                let triggers = transform.triggers();
                self.nodes.push(Node { parent: at, transform: Some(*transform), triggers });
                self.node_index.insert((at, *transform), new);
                new
            };
            steps.push(at);
        }
        Ok(if every { steps } else { vec![at] })
    }

    fn gate(&mut self, operator: &mut Operator, negated: bool, steady: bool) -> Gate {
        if !steady || !self.options.gates {
            return Gate::Run;
        }
        let mut requirement = operator.take_requirement();
        if negated {
            // Words of a list are seldom there, so that the rule matches; a pattern for what is
            // right mostly fits, so that it does not.
            if matches!(operator, Operator::Pm(_)) && !requirement.is_nothing() {
                return self.prefilter.add(requirement).map_or(Gate::Run, Gate::Unless);
            }
            requirement = Requirement::default();
        }
        let always = requirement.is_nothing();
        if always && (!operator.reads_value_only() || matches!(operator, Operator::Everything)) {
            return Gate::Run;
        }
        let gate = if always { Gate::Always } else { Gate::Bit };
        self.prefilter.add(requirement).map_or(Gate::Run, gate)
    }

    fn matching(&self, which: &program::Rules) -> Vec<RuleIndex> {
        let heads = self.order.iter().filter_map(|entry| match entry {
            Entry::Head(rule, ..) => Some(*rule),
            Entry::Marker(_) => None,
        });
        heads
            .filter(|rule| self.rules.get(*rule as usize).is_some_and(|r| means(which, r)))
            .collect()
    }

    fn update_targets(&mut self, span: Span, which: &program::Rules, targets: &[TargetSyntax]) {
        for target in targets {
            let resolved = match self.names.target(target) {
                Ok(resolved) => resolved,
                Err(why) => {
                    self.refuse(target.span, None, why);
                    continue;
                }
            };
            let rules = self.matching(which);
            if rules.is_empty() {
                self.degrade(
                    span,
                    None,
                    "no rule loaded so far is meant; put this after the rules".into(),
                );
            }
            for rule in rules {
                if let Some(rule) = self.rules.get_mut(rule as usize) {
                    if target.exclude {
                        rule.excluded.push(resolved.clone());
                    } else {
                        rule.steady &=
                            !resolved.count && resolved.storages.iter().all(|s| pays_ahead(*s));
                        if !rule.steady {
                            rule.gate = Gate::Run;
                        }
                        rule.targets.push(resolved.clone());
                    }
                }
            }
        }
    }

    fn update_actions(&mut self, span: Span, id: u64, actions: &[ActionSyntax]) {
        let Some(rule) = self.ids.get(&id).copied() else {
            self.degrade(
                span,
                Some(id),
                "no such rule is loaded so far; put this after the rules".into(),
            );
            return;
        };
        for action in actions {
            if let Some(why) = Actions::unchangeable(action) {
                self.refuse(action.span, Some(id), why);
            }
        }
        match Actions::parse(&mut self.names, None, actions) {
            Ok(update) => {
                if let Some(marker) = &update.skip_after {
                    for entry in &mut self.order {
                        if let Entry::Head(head, jump, _) = entry
                            && *head == rule
                        {
                            *jump = Some(marker.clone());
                        }
                    }
                }
                if let Some(rule) = self.rules.get_mut(rule as usize) {
                    update.apply_to(rule, actions);
                }
            }
            Err((at, _, why)) => self.refuse(at, Some(id), why),
        }
    }

    fn finish(mut self) -> Result<(Program, PrefilterBuilder, LoadReport), String> {
        if let Some(chain) = self.open_chain.take()
            && let Some(head) = chain.head
        {
            let span = self.rules.get(head as usize).map_or(Span::default(), |rule| rule.span);
            self.order.retain(|entry| !matches!(entry, Entry::Head(rule, ..) if *rule == head));
            self.refuse(
                span,
                Some(chain.head_id),
                "the rule ends in `chain`, but no rule follows".into(),
            );
            self.report.loaded = self.report.loaded.saturating_sub(1);
        }
        for (_, which) in std::mem::take(&mut self.removals) {
            let gone = self.matching(&which);
            self.report.loaded = self.report.loaded.saturating_sub(gone.len());
            self.order
                .retain(|entry| !matches!(entry, Entry::Head(rule, ..) if gone.contains(rule)));
        }
        self.resolve_removals();
        self.degrade_lookups();
        let phases = self.resolve_order();
        let levels = self.find_levels(&phases);
        for rule in &mut self.rules {
            rule.reads_matched = quick::reads_matched(rule);
            rule.reads_value_only = rule.operator.reads_value_only();
            for target in &mut rule.targets {
                target.slots = self.names.slots(target);
            }
        }
        groups::resolve(&mut self.rules);
        let mut quicks = Vec::new();
        let phases = phases.map(|list| {
            let heads = list.into_iter().filter_map(|index| {
                let rule = self.rules.get(index as usize)?;
                let quick = quick::quick(rule).and_then(|quick| {
                    // A rule without a place among them is run like any other.
                    let at = u16::try_from(quicks.len()).ok()?;
                    quicks.push(quick);
                    Some(at)
                });
                Some(program::Head { rule: index, gate: rule.gate, level: rule.level, quick })
            });
            heads.collect()
        });
        let slot = |name: &str| self.names.tx_index.get(name.as_bytes()).copied();
        let scores = SCORES.iter().map(|name| (*name, slot(name))).collect();
        let kind_scores = KIND_SCORES.iter().map(|name| (*name, slot(name))).collect();
        let unicode_map = self.unicode_map();
        let storages = self.names.storages();
        let (changed_by, changed_by_dot, changed_always) = changes(&self.nodes);
        let program = Program {
            changed_by,
            changed_by_dot,
            changed_always,
            settings: self.settings,
            phases,
            quicks,
            nodes: self.nodes,
            tx_names: self.names.tx,
            tx_index: self.names.tx_index,
            levels,
            scores,
            kind_scores,
            prefilter: PrefilterBuilder::default().build()?,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            xpaths: self.names.xpaths,
            storages,
            full_request: self.names.full_request,
            file_contents: self.names.file_contents,
            unicode_map,
            geo: self.geo,
            rules: self.rules,
            files: self.syntax.files.clone(),
        };
        Ok((program, self.prefilter, self.report))
    }

    fn geo_database(&mut self, span: Span, file: &str) {
        let origin = self.syntax.file_name(span).to_owned();
        let read = read_beside(self.loader, &origin, file).and_then(geo::Database::new);
        match read {
            Ok(database) => self.geo = Some(database),
            Err(why) => self.refuse(span, None, format!("`SecGeoLookupDB`: {why}")),
        }
    }

    /// Names the rules that look up what this rule set cannot tell.
    fn degrade_lookups(&mut self) {
        let mut found = Vec::new();
        for rule in &self.rules {
            if matches!(rule.operator, Operator::GeoLookup) && self.geo.is_none() {
                let why = "`@geoLookup` never matches: there is no database; name one with `SecGeoLookupDB`";
                found.push((rule.span, rule.id, why));
            }
            if matches!(rule.operator, Operator::Rbl(_)) {
                let why = "`@rbl` matches only where the host hands in a resolver (`WafBuilder::resolver`)";
                found.push((rule.span, rule.id, why));
            }
        }
        for (span, id, why) in found {
            self.degrade(span, Some(id), why.to_owned());
        }
    }

    fn unicode_map(&mut self) -> Option<UnicodeMap> {
        let (file, page) = self.unicode.take()?;
        let origin = self.syntax.files.first().cloned().unwrap_or_default();
        let map = read_beside(self.loader, &origin, &file).and_then(|bytes| {
            UnicodeMap::parse(&String::from_utf8_lossy(&bytes), page)
                .ok_or_else(|| format!("`{file}` has no code page `{page}`"))
        });
        match map {
            Ok(map) => Some(map),
            Err(why) => {
                let why = format!("{why}; `urlDecodeUni` works without the map");
                self.degrade(Span::default(), None, why);
                None
            }
        }
    }

    /// `ctl` removals as sets of rules.
    fn resolve_removals(&mut self) {
        for pending in std::mem::take(&mut self.runtime) {
            let mut set = Bits::new(self.rules.len());
            for rule in self.matching(&pending.which) {
                set.set(rule as usize);
            }
            let set = Arc::new(set);
            if let Some(rule) = self.rules.get_mut(pending.rule as usize) {
                rule.effects.push(match pending.targets {
                    Some(targets) => Effect::RemoveTargets(set, targets.into()),
                    None => Effect::RemoveRules(set),
                });
            }
        }
    }

    /// The heads of each phase, with jumps resolved to places in the phase's own list.
    fn resolve_order(&mut self) -> [Vec<RuleIndex>; 5] {
        let mut phases: [Vec<RuleIndex>; 5] = Default::default();
        // Where each entry's successors begin in each phase.
        let mut markers: HashMap<&str, Vec<(usize, [u32; 5])>> = HashMap::new();
        let length = |list: &Vec<RuleIndex>| u32::try_from(list.len()).unwrap_or(u32::MAX);
        for (n, entry) in self.order.iter().enumerate() {
            match entry {
                Entry::Head(rule, ..) => {
                    let phase = self.rules.get(*rule as usize).map_or(0, |r| usize::from(r.phase));
                    if let Some(list) = phases.get_mut(phase) {
                        list.push(*rule);
                    }
                }
                Entry::Marker(name) => {
                    markers.entry(name).or_default().push((n, phases.each_ref().map(length)));
                }
            }
        }
        let mut unknown = Vec::new();
        for (n, entry) in self.order.iter().enumerate() {
            let Entry::Head(index, after, skip) = entry else { continue };
            let Some(rule) = self.rules.get_mut(*index as usize) else { continue };
            let phase = usize::from(rule.phase);
            let list = phases.get(phase).map(Vec::as_slice).unwrap_or_default();
            if let Some(name) = after {
                // A name may come again: the next one is meant, and none that lies behind.
                let places = markers.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
                let next = places.iter().find(|(place, _)| *place > n);
                rule.jump = next.and_then(|(_, at)| at.get(phase)).copied();
                if rule.jump.is_none() {
                    // `skipAfter` may also name a rule's id.
                    let id = name.parse::<u64>().ok();
                    let target = id.and_then(|id| self.ids.get(&id));
                    let place = target.and_then(|t| list.iter().position(|r| r == t));
                    rule.jump = place.and_then(|p| u32::try_from(p + 1).ok());
                }
                if rule.jump.is_none() {
                    rule.jump = Some(u32::MAX);
                    let why =
                        if places.is_empty() { "is no marker" } else { "stands before it only" };
                    unknown.push((rule.span, rule.id, name.clone(), why));
                }
            } else if let Some(count) = skip {
                let place = list.iter().position(|r| r == index).unwrap_or(0);
                rule.jump = u32::try_from(place + 1 + count).ok();
            }
        }
        for (span, id, name, why) in unknown {
            let why = format!(
                "`skipAfter` names `{name}`, which {why}; the rest of the phase is skipped: put a marker after the rule"
            );
            self.degrade(span, Some(id), why);
        }
        phases
    }

    /// Recognises `TX:level @lt n` with a jump over the rules of that level, so that their work is
    /// not prepared while the level is lower.
    fn find_levels(&mut self, phases: &[Vec<RuleIndex>; 5]) -> Vec<Level> {
        let mut levels: Vec<Level> = Vec::new();
        for list in phases {
            let mut open: Vec<(usize, u8)> = Vec::new();
            for (place, index) in list.iter().enumerate() {
                open.retain(|(end, _)| place < *end);
                let Some(rule) = self.rules.get(*index as usize) else { continue };
                if let Some(level) = level_gate(rule) {
                    let known = levels.iter().position(|l| *l == level);
                    let at = known.unwrap_or_else(|| {
                        levels.push(level);
                        levels.len() - 1
                    });
                    if let (Some(end), Ok(at)) = (rule.jump, u8::try_from(at + 1)) {
                        open.push((end as usize, at));
                    }
                    continue;
                }
                // The highest of nested gates is the one that decides.
                let level = open.iter().map(|(_, level)| *level).max_by_key(|level| {
                    levels.get(usize::from(*level).saturating_sub(1)).map_or(0, |l| l.at_least)
                });
                let mut link = Some(*index);
                while let Some(at) = link {
                    let Some(rule) = self.rules.get_mut(at as usize) else { break };
                    rule.level = level.unwrap_or(0);
                    link = rule.chained;
                }
            }
        }
        levels
    }
}

/// Which nodes each byte may change: those with a transformation on their way that it triggers. A
/// value without such a byte reaches the node unchanged, since the first step already left it alone.
fn changes(nodes: &[Node]) -> (Box<[u128; 256]>, u128, u128) {
    let mut by = Box::new([0u128; 256]);
    let (mut by_dot, mut always) = (0u128, 0u128);
    for n in 0..nodes.len().min(MAX_NODES) {
        let mut at = n;
        while let Some(Node { parent, transform: Some(transform), triggers }) = nodes.get(at) {
            if *triggers == ByteSet::FULL {
                always |= 1 << n;
            }
            for (byte, set) in (0..=u8::MAX).zip(by.iter_mut()) {
                if byte == b'.'
                    && matches!(transform, Transform::NormalizePath | Transform::NormalizePathWin)
                {
                    by_dot |= 1 << n;
                } else if triggers.contains(byte) {
                    *set |= 1 << n;
                }
            }
            at = usize::from(*parent);
        }
    }
    (by, by_dot, always)
}

fn level_gate(rule: &Rule) -> Option<Level> {
    let Operator::Compare(operator::Comparison::Lt, number) = &rule.operator else {
        return None;
    };
    let [target] = rule.targets.as_slice() else { return None };
    let (program::Select::Tx(slot), false, false) = (&target.select, target.count, rule.negated)
    else {
        return None;
    };
    if rule.chained.is_some() || rule.jump.is_none() || rule.disruption != Disruption::Pass {
        return None;
    }
    let at_least = std::str::from_utf8(number.literal()?).ok()?.trim().parse().ok()?;
    Some(Level { slot: *slot, at_least })
}

/// The prefixes that `xmlns` actions bind.
fn namespaces(actions: &[ActionSyntax]) -> Result<Vec<(&str, &str)>, action::Problem> {
    let bindings = actions.iter().filter(|action| action.name == "xmlns");
    let pairs = bindings.map(|action| {
        let value = action.value.as_deref().unwrap_or_default();
        let pair = value.split_once('=').map(|(prefix, name)| (prefix.trim(), name.trim()));
        pair.filter(|(prefix, name)| !prefix.is_empty() && !name.is_empty()).ok_or_else(|| {
            let why = format!("`xmlns:{value}` binds no prefix; write `xmlns:soap=http://…`");
            (action.span, None, why)
        })
    });
    pairs.collect()
}

fn ranges(ids: &[IdRange]) -> Vec<(u64, u64)> {
    ids.iter().map(|range| (range.first, range.last)).collect()
}

/// Whether a rule is meant.
pub(crate) fn means(which: &program::Rules, rule: &Rule) -> bool {
    match which {
        program::Rules::Ids(ranges) => ranges.iter().any(|(a, b)| (*a..=*b).contains(&rule.id)),
        program::Rules::Tag(tag) => rule.info.tags.iter().any(|known| tag.covers(known)),
        program::Rules::Message(message) => message.covers(&rule.info.name),
    }
}

/// Reads a data file: relative to the rule file that names it.
fn read_beside(loader: &dyn Loader, rule_file: &str, name: &str) -> Result<Vec<u8>, String> {
    let name = name.trim();
    let beside = std::path::Path::new(rule_file).parent().map(|dir| dir.join(name));
    let path = beside.as_deref().and_then(std::path::Path::to_str).unwrap_or(name);
    loader
        .read(path)
        .or_else(|first| loader.read(name).map_err(|_| first))
        .map_err(|e| format!("cannot read `{path}`: {e}; check the path"))
}

/// Whether the settings inspect anything at all.
pub(crate) fn inspects(settings: &Settings) -> bool {
    settings.engine != Engine::Off
}
