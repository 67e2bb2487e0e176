//! Filters: stand in the path of an HTTP transaction and may stop it.

use crate::event::Finding;
use crate::http::{Connection, RequestHead, ResponseHead};
use crate::intake::{Intake, ObjectMeta};
use crate::scanner::ScanReport;
use crate::sink::Sink;
use crate::time::Timestamp;
use crate::verdict::{Body, Phase, Step, Verdict};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

/// Admits HTTP transactions. One filter serves all threads; each transaction is used by one
/// thread at a time.
///
/// A filter of one's own is a few lines:
///
/// ```
/// use smesec_core::event::Finding;
/// use smesec_core::filter::{Filter, Outcome, Transaction, Work, WorkResult};
/// use smesec_core::http::{Connection, Header, RequestHead, ResponseHead};
/// use smesec_core::intake::Intake;
/// use smesec_core::sink::Sink;
/// use smesec_core::verdict::{Action, Body, Phase, Step, Verdict};
///
/// /// Refuses every method but GET.
/// #[derive(Debug)]
/// struct ReadOnly;
/// struct Check(Verdict);
///
/// impl Filter for ReadOnly {
///     fn begin(&self, _: &Connection, _: Option<Box<dyn Intake>>) -> Box<dyn Transaction> {
///         Box::new(Check(Verdict::PASS))
///     }
/// }
/// impl Transaction for Check {
///     fn wants(&self, _: Phase) -> Body { Body::Skip }
///     fn request_head(&mut self, head: &RequestHead<'_>) -> Step {
///         if head.method != b"GET" {
///             self.0 = Verdict::new(Action::Deny { status: 405 }, 0);
///         }
///         Step::Done(self.0)
///     }
///     fn request_body(&mut self, _: &[u8], _: bool) -> Step { Step::Done(self.0) }
///     fn response_head(&mut self, _: &ResponseHead<'_>) -> Step { Step::Done(self.0) }
///     fn response_body(&mut self, _: &[u8], _: bool) -> Step { Step::Done(self.0) }
///     fn findings(&self) -> &[Finding] { &[] }
///     fn finish(self: Box<Self>, _: Outcome, _: &dyn Sink) {}
/// }
///
/// let connection = Connection {
///     client: "192.0.2.1:4711".parse().unwrap(),
///     server: "192.0.2.2:80".parse().unwrap(),
///     now: Default::default(),
/// };
/// let mut transaction = ReadOnly.begin(&connection, None);
/// let head = RequestHead {
///     method: b"DELETE", target: b"/", version: b"HTTP/1.1", headers: &[], now: Default::default(),
/// };
/// let verdict = transaction.request_head(&head).verdict().unwrap();
/// assert_eq!(verdict.action(), Action::Deny { status: 405 });
/// ```
pub trait Filter: Send + Sync {
    /// Begins a transaction. `intake` receives the objects (uploads) inside its bodies.
    fn begin(
        &self,
        connection: &Connection,
        intake: Option<Box<dyn Intake>>,
    ) -> Box<dyn Transaction>;
}

/// One HTTP transaction, from the request's head to the log.
///
/// The steps come in the order of [`Phase`]; a step that comes too early or twice answers with
/// the verdict so far and changes nothing. After a decisive verdict the remaining steps keep it.
/// A transaction owns its rule generation: it outlives the filter and every reload.
pub trait Transaction: Send {
    /// What the host should do with a body, known once the head of that side was seen.
    fn wants(&self, phase: Phase) -> Body;
    /// The request's head.
    fn request_head(&mut self, head: &RequestHead<'_>) -> Step;
    /// A piece of the request's body; a request without one calls this once with `(b"", true)`.
    fn request_body(&mut self, chunk: &[u8], last: bool) -> Step;
    /// The response's head.
    fn response_head(&mut self, head: &ResponseHead<'_>) -> Step;
    /// A piece of the response's body.
    fn response_body(&mut self, chunk: &[u8], last: bool) -> Step;
    /// After [`Step::Pending`]: the job, to be run where the host likes.
    fn take_work(&mut self) -> Option<Work> {
        None
    }
    /// Hands the job's result back.
    fn resume(&mut self, done: WorkResult) -> Step {
        drop(done);
        Step::Done(Verdict::PASS)
    }
    /// Where a [`crate::verdict::Action::Redirect`] leads.
    fn location(&self) -> Option<&str> {
        None
    }
    /// What was found so far.
    fn findings(&self) -> &[Finding];
    /// The log phase: at most one event goes to `sink`.
    fn finish(self: Box<Self>, outcome: Outcome, sink: &dyn Sink);
}

/// How the host ended a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "hosts build it in place")]
pub struct Outcome {
    /// The status that the client got, 0 where it got none.
    pub status: u16,
    /// Bytes of the response's body that were sent.
    pub bytes: u64,
    /// Whether the exchange broke off.
    pub aborted: bool,
    /// When it ended.
    pub now: Timestamp,
}

/// A job that may take long: a scan, a look-up.
pub struct Work(Box<dyn FnOnce() -> WorkResult + Send>);

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

impl Work {
    /// A job from a closure.
    pub fn new(job: impl FnOnce() -> WorkResult + Send + 'static) -> Self {
        Self(Box::new(job))
    }

    /// Runs the job here and now.
    pub fn run(self) -> WorkResult {
        (self.0)()
    }
}

/// What a job came to.
#[non_exhaustive]
pub enum WorkResult {
    /// An object was scanned.
    Scan {
        /// The object.
        meta: ObjectMeta,
        /// The scanner's answer.
        report: Box<ScanReport>,
    },
    /// Something that only the filter which made the job understands.
    Own(Box<dyn Any + Send>),
}

impl std::fmt::Debug for WorkResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Scan { meta, report } => {
                f.debug_struct("Scan").field("meta", meta).field("report", report).finish()
            }
            Self::Own(_) => f.write_str("Own"),
        }
    }
}

/// Several filters as one: the first decisive verdict wins, the findings of all are kept.
///
/// Bodies are held as long as the strictest of them asks.
#[derive(Clone, Default)]
pub struct Chain {
    filters: Vec<Arc<dyn Filter>>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("filters", &self.filters.len()).finish()
    }
}

impl Chain {
    /// A chain in this order; the intake goes to the last filter (put the WAF last).
    pub fn new(filters: Vec<Arc<dyn Filter>>) -> Self {
        Self { filters }
    }
}

impl Filter for Chain {
    fn begin(
        &self,
        connection: &Connection,
        mut intake: Option<Box<dyn Intake>>,
    ) -> Box<dyn Transaction> {
        let last = self.filters.len().saturating_sub(1);
        let links = self
            .filters
            .iter()
            .enumerate()
            .map(|(n, filter)| {
                filter.begin(connection, if n == last { intake.take() } else { None })
            })
            .collect();
        Box::new(Linked { links, findings: Vec::new(), decided: None, pending: VecDeque::new() })
    }
}

struct Linked {
    links: Vec<Box<dyn Transaction>>,
    findings: Vec<Finding>,
    /// The link whose verdict was decisive, and the verdict.
    decided: Option<(usize, Verdict)>,
    /// The links that have work waiting, in order.
    pending: VecDeque<usize>,
}

impl Linked {
    fn step(&mut self, mut call: impl FnMut(&mut dyn Transaction) -> Step) -> Step {
        if let Some((_, verdict)) = self.decided {
            return Step::Done(verdict);
        }
        let mut strongest = Verdict::PASS;
        for (n, link) in self.links.iter_mut().enumerate() {
            match call(link.as_mut()) {
                Step::Pending => self.pending.push_back(n),
                Step::Done(verdict) => {
                    if verdict.is_decisive() {
                        self.decided = Some((n, verdict));
                        self.collect();
                        return Step::Done(verdict);
                    }
                    if verdict.action() != crate::verdict::Action::Pass {
                        strongest = verdict;
                    }
                }
            }
        }
        self.collect();
        if self.pending.is_empty() { Step::Done(strongest) } else { Step::Pending }
    }

    fn collect(&mut self) {
        self.findings.clear();
        for link in &self.links {
            self.findings.extend_from_slice(link.findings());
        }
    }
}

impl Transaction for Linked {
    fn wants(&self, phase: Phase) -> Body {
        let mut wanted = Body::Skip;
        for link in &self.links {
            wanted = match (wanted, link.wants(phase)) {
                (Body::Hold { at_most: a }, Body::Hold { at_most: b }) => {
                    Body::Hold { at_most: a.max(b) }
                }
                (hold @ Body::Hold { .. }, _) | (_, hold @ Body::Hold { .. }) => hold,
                (Body::Watch, _) | (_, Body::Watch) => Body::Watch,
                _ => Body::Skip,
            };
        }
        wanted
    }

    fn request_head(&mut self, head: &RequestHead<'_>) -> Step {
        self.step(|link| link.request_head(head))
    }

    fn request_body(&mut self, chunk: &[u8], last: bool) -> Step {
        self.step(|link| link.request_body(chunk, last))
    }

    fn response_head(&mut self, head: &ResponseHead<'_>) -> Step {
        self.step(|link| link.response_head(head))
    }

    fn response_body(&mut self, chunk: &[u8], last: bool) -> Step {
        self.step(|link| link.response_body(chunk, last))
    }

    fn take_work(&mut self) -> Option<Work> {
        let link = self.links.get_mut(*self.pending.front()?)?;
        link.take_work()
    }

    fn resume(&mut self, done: WorkResult) -> Step {
        let Some(&n) = self.pending.front() else {
            return Step::Done(self.decided.map_or(Verdict::PASS, |(_, verdict)| verdict));
        };
        let Some(link) = self.links.get_mut(n) else { return Step::Done(Verdict::PASS) };
        let step = link.resume(done);
        if let Step::Done(verdict) = step {
            self.pending.pop_front();
            self.collect();
            if verdict.is_decisive() {
                self.decided = Some((n, verdict));
                self.pending.clear();
            } else if !self.pending.is_empty() {
                return Step::Pending;
            }
        }
        step
    }

    fn location(&self) -> Option<&str> {
        let (n, _) = self.decided?;
        self.links.get(n)?.location()
    }

    fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn finish(self: Box<Self>, outcome: Outcome, sink: &dyn Sink) {
        for link in self.links {
            link.finish(outcome, sink);
        }
    }
}
