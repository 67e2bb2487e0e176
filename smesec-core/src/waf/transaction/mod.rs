//! One HTTP transaction under a rule set.
//!
//! | file | what |
//! | --- | --- |
//! | `store` | the arena, the members of each storage, the transformed contents |
//! | `named` | TX variables by names made at run time |
//! | `head` | request and response heads taken apart |
//! | `compressed` | bodies decompressed |
//! | `body` | bodies taken apart |
//! | `prepare` | which rules a phase's values can match |
//! | `memory` | the same, of values that came before |
//! | `views` | what hides inside values |
//! | `evaluate` | the walk over the rules of a phase |
//! | `backtrack` | patterns beyond linear time |
//! | `lookup` | what is looked up elsewhere: places and names |
//! | `effect` | what a matching rule does |
//! | `expand` | macros |
//! | `record` | findings, verdicts and the event |

mod backtrack;
mod body;
mod compressed;
mod effect;
mod evaluate;
mod expand;
mod head;
mod lookup;
mod memory;
mod named;
mod prepare;
mod record;
mod store;
mod views;

use self::store::Store;
use super::bits::Bits;
use super::compile::program::{Engine, Processor, Program, Target};
use super::engine::Inner;
use super::ruleset::RuleSet;
use crate::collection::CollectionStore;
use crate::event::Finding;
use crate::filter::{Outcome, Transaction, Work, WorkResult};
use crate::http::{Connection, RequestHead, ResponseHead};
use crate::intake::Intake;
use crate::limits::OnLimit;
use crate::sink::Sink;
use crate::time::Timestamp;
use crate::verdict::{Action, Body, Phase, Step, Verdict};
use std::collections::VecDeque;
use std::sync::Arc;

/// How a phase goes on after a rule.
enum Flow {
    On,
    Jump(u32),
    Stop,
}

/// What a phase works with, and what it learns of rules and values for the next one. Transactions that wait
/// for a body or an upstream do without: one after the other they use the same, which so stays in the cache.
#[derive(Default)]
pub(super) struct Scratch {
    /// The serial of the program that the plans and the memory are of.
    of: u64,
    plans: Vec<prepare::Plan>,
    plans_made: u32,
    memory: memory::Memory,
    hits: prepare::Hits,
    found: Vec<u64>,
}

impl Scratch {
    /// The program that it learnt about; later ones have higher numbers.
    pub(super) const fn serial(&self) -> u64 {
        self.of
    }
}

/// Everything that one transaction changes. Kept and reused by its [`Inner`].
#[derive(Default)]
pub(super) struct State {
    store: Store,
    engine: Engine,
    ceiling: Engine,
    levels: u64,
    /// Only while a phase runs.
    scratch: Scratch,
    pub(super) remembers: bool,
    matched_values: Vec<(store::Slice, store::Slice)>,
    /// The last match that nobody asked for yet: the rule and the value.
    pending: Option<(u32, store::Slice)>,
    removed_rules: Vec<Arc<Bits>>,
    removed_targets: Vec<(Arc<Bits>, Arc<[Target]>)>,
    allowed_until: usize,
    steps: u64,
    exhausted: bool,
    now: Timestamp,
    begun: Timestamp,
    pub(super) on_block: crate::policy::OnBlock,
    pub(super) on_limit: OnLimit,
    pub(super) resolver: Option<Arc<dyn super::resolver::Resolver>>,
    /// Names looked up and what was found.
    lookups: Vec<(String, Option<Vec<std::net::IpAddr>>)>,
    views: views::Made,
    /// A limit was hit and the policy ends the inspection.
    halted: bool,
    /// The operator gave up, so that its negation does not hold either.
    gave_up: bool,
    collections: Option<Arc<dyn CollectionStore>>,
    keys: Vec<(u16, Vec<u8>)>,
    refused_changes: u32,
    processor: Processor,
    force_body: bool,
    xml_into_args: bool,
    request_body_on: bool,
    response_body_on: bool,
    request_limit: u64,
    response_limit: u64,
    audit: bool,
    request_body: Vec<u8>,
    /// The request's body went on beyond its limit: only its beginning is looked at.
    cut: bool,
    response_body: Vec<u8>,
    response_wanted: bool,
    last_span: Option<(usize, usize)>,
    highest_severity: u8,
    findings: Vec<Finding>,
    findings_left_out: u64,
    verdict: Verdict,
    location: Option<String>,
    id: crate::event::EventId,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("verdict", &self.verdict).finish_non_exhaustive()
    }
}

impl State {
    fn begin(&mut self, rules: &RuleSet, inner: &Inner, connection: &Connection) {
        let program = &rules.program;
        let settings = &program.settings;
        self.store.reset(program);
        (self.engine, self.ceiling) = inner.engine(settings.engine);
        self.removed_rules.clear();
        self.removed_targets.clear();
        self.pending = None;
        self.allowed_until = 0;
        self.steps = inner.steps;
        self.exhausted = false;
        self.lookups.clear();
        self.views.reset();
        self.halted = false;
        self.gave_up = false;
        self.now = connection.now;
        self.begun = connection.now;
        self.collections = Some(Arc::clone(&inner.store));
        self.keys.clear();
        self.refused_changes = 0;
        self.processor = Processor::None;
        self.force_body = false;
        self.xml_into_args = false;
        self.request_body_on = settings.request_body;
        self.response_body_on = settings.response_body;
        self.request_limit = settings.request_body_limit;
        self.response_limit = settings.response_body_limit;
        self.audit = true;
        self.request_body.clear();
        self.cut = false;
        self.response_body.clear();
        self.response_wanted = false;
        self.highest_severity = 255;
        self.findings.clear();
        self.findings_left_out = 0;
        self.verdict = Verdict::PASS;
        self.location = None;
        self.id = inner.next_id();
        self.connection(connection);
        self.tell_time();
    }

    /// A rule may lower the engine or raise it again, but never above what the host allows.
    fn engine_at_most(&self, wanted: Engine) -> Engine {
        if self.ceiling == Engine::On { wanted } else { self.ceiling }
    }

    /// The path, for exceptions.
    pub(super) fn path(&self) -> &[u8] {
        self.store.scalar(super::variable::Storage::RequestFilename)
    }

    /// Takes rules, or some of their targets, out of this transaction.
    pub(super) fn except(&mut self, rules: &Arc<Bits>, targets: Option<&[Target]>) {
        match targets {
            None => self.removed_rules.push(Arc::clone(rules)),
            Some(targets) => self.removed_targets.push((Arc::clone(rules), targets.into())),
        }
    }

    /// Bytes kept for reuse.
    pub(super) fn capacity(&self) -> usize {
        self.store.capacity() + self.request_body.capacity() + self.response_body.capacity()
    }
}

/// A transaction in the host's hands.
pub(super) struct WafTransaction {
    rules: Arc<RuleSet>,
    inner: Arc<Inner>,
    /// Some kilobytes: it goes from transaction to transaction without being moved.
    state: Box<State>,
    intake: Option<Box<dyn Intake>>,
    work: VecDeque<Work>,
    in_flight: usize,
    /// The phase that runs next, 0 to 5.
    next: usize,
    connection: Connection,
    recorded: Option<record::Recorded>,
}

impl WafTransaction {
    pub(super) fn new(
        inner: Arc<Inner>,
        connection: &Connection,
        intake: Option<Box<dyn Intake>>,
    ) -> Self {
        let rules = inner.rules.current();
        let mut state = inner.take_state();
        state.begin(&rules, &inner, connection);
        Self {
            rules,
            inner,
            state,
            intake,
            work: VecDeque::new(),
            in_flight: 0,
            next: 0,
            connection: *connection,
            recorded: None,
        }
    }

    fn run(&mut self, phase: usize) {
        self.run_rules(phase);
        self.next = phase + 1;
        if self.state.exhausted {
            self.out_of_budget();
        }
    }

    fn run_rules(&mut self, phase: usize) {
        let rules = Arc::clone(&self.rules);
        self.state.scratch = self.inner.take_scratch(rules.program.serial);
        self.state.run_phase(&rules.program, phase);
        self.inner.keep_scratch(std::mem::take(&mut self.state.scratch));
    }

    fn out_of_budget(&mut self) {
        let why = "the rules' step budget for one transaction was used up; raise it or simplify the rules";
        self.state.limit(why, 403, self.state.on_limit);
        // From here on nothing is inspected, and the finding says so.
        self.state.engine = Engine::Off;
        self.state.exhausted = false;
    }

    fn step(&self) -> Step {
        if self.in_flight > 0 || !self.work.is_empty() {
            return Step::Pending;
        }
        Step::Done(self.verdict())
    }

    fn verdict(&self) -> Verdict {
        let program = &self.rules.program;
        Verdict::new(self.state.verdict.action(), self.state.score(program))
    }

    fn finish_request_body(&mut self) {
        let rules = Arc::clone(&self.rules);
        let program: &Program = &rules.program;
        self.state.request_body_done(program, self.intake.as_deref_mut(), &mut self.work);
        if !self.state.verdict.is_decisive() {
            self.run(1);
        }
        if self.state.verdict.is_decisive() {
            self.work.clear();
        }
    }
}

impl Transaction for WafTransaction {
    fn wants(&self, phase: Phase) -> Body {
        let state = &self.state;
        if state.engine == Engine::Off || state.verdict.is_decisive() {
            return Body::Skip;
        }
        let (on, limit) = match phase {
            Phase::RequestBody => (state.request_body_on, state.request_limit),
            Phase::ResponseBody => {
                (state.response_body_on && state.response_wanted, state.response_limit)
            }
            _ => return Body::Skip,
        };
        match (on, state.engine) {
            (false, _) | (_, Engine::Off) => Body::Skip,
            (true, Engine::Detect) => Body::Watch,
            (true, Engine::On) => Body::Hold { at_most: limit },
        }
    }

    fn request_head(&mut self, head: &RequestHead<'_>) -> Step {
        if self.next == 0 && !self.state.verdict.is_decisive() {
            let rules = Arc::clone(&self.rules);
            self.state.now = head.now;
            self.recorded = self.inner.record_headers.then(|| record::Recorded::new(head));
            if self.state.engine != Engine::Off {
                self.state.request_head(&rules.program, head);
                self.inner.apply_exceptions(&rules, &mut self.state, head.now);
            }
            self.run(0);
        }
        self.step()
    }

    fn request_body(&mut self, chunk: &[u8], last: bool) -> Step {
        if self.next != 1 || self.state.verdict.is_decisive() {
            return self.step();
        }
        let settings = &self.rules.program.settings;
        if self.state.engine != Engine::Off && self.state.request_body_on {
            let room =
                self.state.request_limit.saturating_sub(self.state.request_body.len() as u64);
            let fits = usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len());
            self.state.request_body.extend_from_slice(chunk.get(..fits).unwrap_or_default());
            if fits < chunk.len() {
                let policy = self.state.over_limit(settings.reject_over_request_limit);
                self.state.cut = true;
                let why = "the request body is larger than `SecRequestBodyLimit`; only its beginning was inspected";
                self.state.inbound_over(why, policy);
                if self.state.verdict.is_decisive() {
                    return self.step();
                }
                // What fits is judged now: the host forwards it when it learns that this passes.
                self.finish_request_body();
                return self.step();
            }
        }
        if last {
            self.finish_request_body();
        }
        self.step()
    }

    fn response_head(&mut self, head: &ResponseHead<'_>) -> Step {
        if self.state.verdict.is_decisive() {
            return self.step();
        }
        if self.next == 1 {
            self.finish_request_body();
        }
        if self.next == 2 && !self.state.verdict.is_decisive() {
            if let Some(recorded) = &mut self.recorded {
                recorded.response = Some(record::recorded(head.headers));
            }
            let rules = Arc::clone(&self.rules);
            self.state.now = head.now;
            if self.state.engine != Engine::Off {
                self.state.response_head(&rules.program, head);
            }
            self.run(2);
        }
        self.step()
    }

    fn response_body(&mut self, chunk: &[u8], last: bool) -> Step {
        if self.next != 3 || self.state.verdict.is_decisive() {
            return self.step();
        }
        let settings = &self.rules.program.settings;
        let mut complete = last;
        if self.state.engine != Engine::Off
            && self.state.response_body_on
            && self.state.response_wanted
        {
            let room =
                self.state.response_limit.saturating_sub(self.state.response_body.len() as u64);
            let fits = usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len());
            self.state.response_body.extend_from_slice(chunk.get(..fits).unwrap_or_default());
            if fits < chunk.len() {
                let policy = self.state.over_limit(settings.reject_over_response_limit);
                self.state.outbound_over(policy);
                // As with the request: later would be too late.
                complete = true;
            }
        }
        if complete && !self.state.verdict.is_decisive() {
            let rules = Arc::clone(&self.rules);
            self.state.response_body_done(&rules.program);
            self.run(3);
        }
        self.step()
    }

    fn take_work(&mut self) -> Option<Work> {
        let work = self.work.pop_front();
        self.in_flight += usize::from(work.is_some());
        work
    }

    fn resume(&mut self, done: WorkResult) -> Step {
        self.in_flight = self.in_flight.saturating_sub(1);
        match done {
            WorkResult::Scan { meta, report } => self.state.scanned(&meta, *report),
            // An intake of the host's own may answer anything; what was not reported clean was not inspected.
            _ => self.state.unscanned("an upload's scan gave no report; it was not inspected"),
        }
        if self.state.verdict.is_decisive() {
            self.work.clear();
            self.in_flight = 0;
        }
        self.step()
    }

    fn location(&self) -> Option<&str> {
        self.state.location.as_deref()
    }

    fn findings(&self) -> &[Finding] {
        &self.state.findings
    }

    fn finish(mut self: Box<Self>, outcome: Outcome, sink: &dyn Sink) {
        self.state.now = outcome.now;
        if self.state.engine != Engine::Off {
            self.state.ended(outcome);
            self.run_rules(4);
        }
        let decided = self.verdict();
        let relevant = !self.state.findings.is_empty() || decided.action() != Action::Pass;
        if relevant && self.state.audit {
            let event =
                self.state.event(&self.connection, self.recorded.as_ref(), decided, outcome);
            sink.accept(event);
        }
        // One that is dropped unfinished is not kept: that is rare.
        let Self { inner, state, .. } = *self;
        inner.keep_state(state);
    }
}
