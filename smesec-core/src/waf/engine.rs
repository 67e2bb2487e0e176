//! The filter that hosts hold.

use super::bits::Bits;
use super::compile::pattern::Pattern;
use super::compile::program::{Engine, Meant, Rules, Select, Target};
use super::compile::{inspects, means};
use super::resolver::Resolver;
use super::ruleset::RuleSet;
use super::seclang::{Selector, Span, parse_targets};
use super::transaction::{Scratch, State, WafTransaction};
use super::variable;
use crate::collection::{CollectionStore, MemoryStore};
use crate::error::ConfigError;
use crate::event::EventId;
use crate::filter::{Filter, Transaction};
use crate::http::Connection;
use crate::intake::Intake;
use crate::limits::OnLimit;
use crate::policy::{Exception, OnBlock};
use crate::ruleset::Reloadable;
use crate::time::Timestamp;
use arc_swap::ArcSwapOption;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Who decides whether matches block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Mode {
    /// The rules' own `SecRuleEngine`.
    #[default]
    Rules,
    /// Matches block, whatever the rules say.
    Block,
    /// Nothing blocks; findings and events are kept.
    Detect,
    /// Nothing is inspected.
    Off,
}

/// The web application firewall: a [`Filter`] over a compiled rule set.
///
/// Cloning shares everything. One `Waf` serves all threads.
///
/// ```
/// use smesec_core::filter::Filter;
/// use smesec_core::http::{Connection, Header, RequestHead};
/// use smesec_core::verdict::Action;
/// use smesec_core::waf::{RuleSet, Waf};
/// use std::sync::Arc;
///
/// let mut builder = RuleSet::builder();
/// builder.text("shop.conf", br#"
///     SecRuleEngine On
///     SecRule ARGS:q "@rx (?i)union\s+select" "id:1,phase:1,deny,status:403,msg:'SQL'"
/// "#);
/// let waf = Waf::builder(Arc::new(builder.build()?)).build();
///
/// let connection = Connection {
///     client: "192.0.2.1:4711".parse().unwrap(),
///     server: "192.0.2.2:80".parse().unwrap(),
///     now: Default::default(),
/// };
/// let mut transaction = waf.begin(&connection, None);
/// let step = transaction.request_head(&RequestHead {
///     method: b"GET",
///     target: b"/search?q=1+UNION+SELECT+password",
///     version: b"HTTP/1.1",
///     headers: &[Header::new("Host", "shop.example")],
///     now: Default::default(),
/// });
/// assert_eq!(step.verdict().unwrap().action(), Action::Deny { status: 403 });
/// assert_eq!(transaction.findings()[0].part, "ARGS:q");
/// # Ok::<(), smesec_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Waf {
    inner: Arc<Inner>,
}

/// What all transactions of a [`Waf`] share.
pub(super) struct Inner {
    pub(super) rules: Arc<Reloadable<RuleSet>>,
    mode: Mode,
    pub(super) on_block: OnBlock,
    pub(super) on_limit: OnLimit,
    pub(super) steps: u64,
    pub(super) store: Arc<dyn CollectionStore>,
    resolver: Option<Arc<dyn Resolver>>,
    pub(super) record_headers: bool,
    remembers: bool,
    seed: u64,
    counter: Arc<AtomicU64>,
    exceptions: Vec<Exception>,
    overlay: ArcSwapOption<Overlay>,
    spare: Arc<Mutex<Spare>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// The exceptions resolved against one generation of rules.
struct Overlay {
    rules: Arc<RuleSet>,
    items: Vec<Item>,
}

struct Item {
    rules: Arc<Bits>,
    target: Option<Vec<Target>>,
}

/// States that are kept: more threads than that on one host are rare, and each costs some tens of
/// kilobytes.
const SPARE_STATES: usize = 64;
/// Bytes of all that are kept. A JSON body of 100 KB takes some 7 MB of work, which is slow to ask of the
/// system each time; what a flood of large bodies took beyond this is given back.
const SPARE_BYTES: usize = 16 << 20;

/// States of finished transactions, for their memory, and what no phase works with now.
#[derive(Default)]
struct Spare {
    /// Each with its size.
    states: Vec<(Box<State>, usize)>,
    bytes: usize,
    /// All of one program; the last one was used last.
    scratches: Vec<Scratch>,
    /// The serial of that program.
    newest: u64,
}

/// Settings of a [`Waf`].
#[derive(Debug)]
pub struct WafBuilder {
    inner: Inner,
}

impl WafBuilder {
    /// Who decides whether matches block; [`Mode::Rules`] by default.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.inner.mode = mode;
        self
    }

    /// What a block becomes; what the rule says by default.
    pub fn on_block(mut self, policy: OnBlock) -> Self {
        self.inner.on_block = policy;
        self
    }

    /// What happens when something could not be inspected whole, and to a body over a limit where the rules say
    /// `Reject`; closed by default.
    pub fn on_limit(mut self, policy: OnLimit) -> Self {
        self.inner.on_limit = policy;
        self
    }

    /// Looks of rules at values in one transaction, one for each 256 bytes of a value. The default of 50 million
    /// is some seconds of CPU, a hundred times what CRS spends on a JSON body of 100 KB.
    pub fn steps(mut self, steps: u64) -> Self {
        self.inner.steps = steps;
        self
    }

    /// Where persistent collections live; this process's memory by default.
    pub fn store(mut self, store: Arc<dyn CollectionStore>) -> Self {
        self.inner.store = store;
        self
    }

    /// Who looks up names for `@rbl`; nobody by default, and then the operator never matches.
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.inner.resolver = Some(resolver);
        self
    }

    /// Whether events carry the headers of request and response, with secrets masked, as `extra`'s
    /// `request_headers`, `response_headers` and `http_version`; false by default, since they make an
    /// event several times as large.
    pub fn record_headers(mut self, on: bool) -> Self {
        self.inner.record_headers = on;
        self
    }

    /// Whether which rules a value can match is remembered from one transaction to the next; true by default,
    /// since visitors send the same headers, cookies and names again. At most 0.4 MB for each
    /// transaction that runs at the same time. What is decided is the same either way.
    pub fn remember(mut self, on: bool) -> Self {
        self.inner.remembers = on;
        self
    }

    /// The upper half of all event ids; 0 by default. Give each host its own.
    pub fn id_seed(mut self, seed: u64) -> Self {
        self.inner.seed = seed;
        self
    }

    /// Exceptions; none by default.
    pub fn exceptions(mut self, exceptions: Vec<Exception>) -> Self {
        self.inner.exceptions = exceptions;
        self
    }

    /// The filter.
    pub fn build(self) -> Waf {
        Waf { inner: Arc::new(self.inner) }
    }
}

impl Waf {
    /// A builder over compiled rules.
    pub fn builder(rules: Arc<RuleSet>) -> WafBuilder {
        WafBuilder {
            inner: Inner {
                rules: Arc::new(Reloadable::new(rules)),
                mode: Mode::Rules,
                on_block: OnBlock::Deny,
                on_limit: OnLimit::Closed,
                steps: 50_000_000,
                store: Arc::new(MemoryStore::default()),
                resolver: None,
                record_headers: false,
                remembers: true,
                seed: 0,
                counter: Arc::new(AtomicU64::new(0)),
                exceptions: Vec::new(),
                overlay: ArcSwapOption::empty(),
                spare: Arc::new(Mutex::new(Spare::default())),
            },
        }
    }

    /// Puts other rules in force; what runs finishes on its own generation. Returns the generation's
    /// number.
    pub fn reload(&self, rules: Arc<RuleSet>) -> u64 {
        self.inner.rules.replace(rules)
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<RuleSet> {
        self.inner.rules.current()
    }

    /// Another host over the same compiled rules, with exceptions of its own: kilobytes, and reloads
    /// reach both.
    pub fn with_exceptions(&self, exceptions: Vec<Exception>) -> Self {
        self.with(|inner| inner.exceptions = exceptions)
    }

    /// Another host over the same compiled rules, with a mode of its own.
    pub fn with_mode(&self, mode: Mode) -> Self {
        self.with(|inner| inner.mode = mode)
    }

    /// The same firewall for a child process after a fork: the same rules (a reload reaches this one only), ids
    /// of its own, and no lock that another thread of the parent may have held. Collections are the same where
    /// their store is made to be shared, and begin empty otherwise ([`CollectionStore::in_child`]).
    pub fn in_child(&self, id_seed: u64) -> Self {
        self.with(|inner| {
            if let Some(store) = inner.store.in_child() {
                inner.store = store;
            }
            inner.rules = Arc::new(Reloadable::new(inner.rules.current()));
            inner.seed = id_seed;
            inner.counter = Arc::new(AtomicU64::new(0));
            inner.spare = Arc::new(Mutex::new(Spare::default()));
        })
    }

    fn with(&self, change: impl FnOnce(&mut Inner)) -> Self {
        let inner = &self.inner;
        let mut other = Inner {
            rules: Arc::clone(&inner.rules),
            mode: inner.mode,
            on_block: inner.on_block,
            on_limit: inner.on_limit,
            steps: inner.steps,
            store: Arc::clone(&inner.store),
            resolver: inner.resolver.clone(),
            record_headers: inner.record_headers,
            remembers: inner.remembers,
            seed: inner.seed,
            counter: Arc::clone(&inner.counter),
            exceptions: inner.exceptions.clone(),
            overlay: ArcSwapOption::empty(),
            spare: Arc::clone(&inner.spare),
        };
        change(&mut other);
        Self { inner: Arc::new(other) }
    }
}

impl Filter for Waf {
    fn begin(
        &self,
        connection: &Connection,
        intake: Option<Box<dyn Intake>>,
    ) -> Box<dyn Transaction> {
        Box::new(WafTransaction::new(Arc::clone(&self.inner), connection, intake))
    }
}

impl Spare {
    fn take(&mut self) -> Box<State> {
        let Some((state, bytes)) = self.states.pop() else { return Box::default() };
        self.bytes -= bytes;
        state
    }

    /// Answers with what is not kept, so that it is freed when the lock is open again.
    fn keep(&mut self, state: Box<State>, bytes: usize) -> Option<Box<State>> {
        if self.states.len() >= SPARE_STATES || self.bytes + bytes > SPARE_BYTES {
            return Some(state);
        }
        self.states.push((state, bytes));
        self.bytes += bytes;
        None
    }

    fn take_scratch(&mut self, serial: u64) -> Scratch {
        if serial == self.newest {
            self.scratches.pop().unwrap_or_default()
        } else {
            Scratch::default()
        }
    }

    /// What was learnt of rules that were replaced is let go; as with [`Spare::keep`].
    fn keep_scratch(&mut self, scratch: Scratch) -> Vec<Scratch> {
        let mut old = Vec::new();
        if scratch.serial() > self.newest {
            self.newest = scratch.serial();
            old = std::mem::take(&mut self.scratches);
        }
        if scratch.serial() == self.newest && self.scratches.len() < SPARE_STATES {
            self.scratches.push(scratch);
        } else {
            old.push(scratch);
        }
        old
    }
}

impl Inner {
    /// What a transaction begins with, and what `ctl:ruleEngine` may raise it to: only a host's word is
    /// a ceiling, while `SecRuleEngine` is where the rules themselves begin.
    pub(super) const fn engine(&self, rules: Engine) -> (Engine, Engine) {
        match self.mode {
            Mode::Rules => (rules, Engine::On),
            Mode::Block => (Engine::On, Engine::On),
            Mode::Detect => (Engine::Detect, Engine::Detect),
            Mode::Off => (Engine::Off, Engine::Off),
        }
    }

    pub(super) fn next_id(&self) -> EventId {
        EventId::new(self.seed, self.counter.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn take_state(&self) -> Box<State> {
        let mut state = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        state.on_block = self.on_block;
        state.on_limit = self.on_limit;
        state.remembers = self.remembers;
        state.resolver.clone_from(&self.resolver);
        state
    }

    pub(super) fn keep_state(&self, state: Box<State>) {
        let bytes = state.capacity();
        let freed = self.spare.lock().unwrap_or_else(PoisonError::into_inner).keep(state, bytes);
        drop(freed);
    }

    /// What a phase of a program works with.
    pub(super) fn take_scratch(&self, serial: u64) -> Scratch {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).take_scratch(serial)
    }

    pub(super) fn keep_scratch(&self, scratch: Scratch) {
        let freed = self.spare.lock().unwrap_or_else(PoisonError::into_inner).keep_scratch(scratch);
        drop(freed);
    }

    pub(super) fn apply_exceptions(&self, rules: &Arc<RuleSet>, state: &mut State, now: Timestamp) {
        if self.exceptions.is_empty()
            || !inspects(&rules.program.settings) && self.mode == Mode::Rules
        {
            return;
        }
        let current = self.overlay.load_full().filter(|overlay| Arc::ptr_eq(&overlay.rules, rules));
        let overlay = current.unwrap_or_else(|| {
            let built = Arc::new(Overlay::new(rules, &self.exceptions));
            self.overlay.store(Some(Arc::clone(&built)));
            built
        });
        for (exception, item) in self.exceptions.iter().zip(&overlay.items) {
            if exception.covers_path(state.path(), now) {
                state.except(&item.rules, item.target.as_deref());
            }
        }
    }
}

impl Overlay {
    fn new(rules: &Arc<RuleSet>, exceptions: &[Exception]) -> Self {
        let items = exceptions.iter().map(|exception| {
            let mut set = Bits::new(rules.program.rules.len());
            for (n, rule) in rules.program.rules.iter().enumerate() {
                let by_id =
                    exception.rules.is_empty() || means(&Rules::Ids(exception.rules.clone()), rule);
                let by_tag = exception
                    .tag
                    .as_ref()
                    .is_none_or(|tag| means(&Rules::Tag(Meant::exact(tag)), rule));
                if by_id && by_tag {
                    set.set(n);
                }
            }
            // Who gives exceptions checks them first; a target that means nothing takes nothing away.
            let target = exception.target.as_deref().map(|text| targets(text).unwrap_or_default());
            Item { rules: Arc::new(set), target }
        });
        Self { rules: Arc::clone(rules), items: items.collect() }
    }
}

/// Whether the target of an [`Exception`] is one: variables such as `ARGS:comment` or `REQUEST_COOKIES:/^sess/`,
/// with `|` between several. An exception whose target is none takes nothing away.
///
/// ```
/// use smesec_core::waf::check_target;
/// assert!(check_target("ARGS:comment|REQUEST_HEADERS:Referer").is_ok());
/// let error = check_target("ARSG:comment").unwrap_err();
/// assert_eq!(error.to_string(), "unknown variable `ARSG`; check its spelling");
/// ```
///
/// # Errors
/// For an unknown variable, a count or an exclusion, a wrong regular expression, and where nothing stands.
pub fn check_target(text: &str) -> Result<(), ConfigError> {
    targets(text).map(|_| ()).map_err(ConfigError::new)
}

/// The targets that an exception names.
fn targets(text: &str) -> Result<Vec<Target>, String> {
    let parsed = parse_targets(text, Span::default()).map_err(|e| e.why)?;
    let resolved = parsed.into_iter().map(|target| {
        if target.exclude || target.count {
            return Err(format!(
                "`{text}` is what a rule writes; name the target without `!` and `&`"
            ));
        }
        let storages = variable::resolve(&target.collection)
            .ok_or_else(|| variable::why_unknown(&target.collection))?;
        let select = match target.selector {
            None => Select::All,
            Some(Selector::Name(name) | Selector::XPath(name)) => {
                Select::Name(name.to_ascii_lowercase().into_bytes().into())
            }
            Some(Selector::Regex(text)) => Select::Pattern(Arc::new(Pattern::new(&text, true)?)),
        };
        Ok(Target {
            storages: storages.iter().map(|s| s.id()).collect(),
            select,
            count: false,
            label: target.collection.into(),
            slots: Box::default(),
        })
    });
    resolved.collect()
}
