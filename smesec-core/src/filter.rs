//! Filters: stand in the path of an HTTP transaction and may stop it.

use crate::error::PhaseError;
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

/// A transaction that answers a step out of order with an error: for faces whose callers no type
/// holds to the order of [`Phase`].
///
/// A body has to end, if need be with an empty last piece, before the response begins, so that no rule over a
/// whole body is skipped. After a decisive verdict the response's steps are allowed at once. While
/// a step is [`Step::Pending`] only [`Ordered::take_work`], [`Ordered::resume`] and [`Ordered::finish`] are.
pub struct Ordered {
    /// Empty after `finish`.
    inner: Option<Box<dyn Transaction>>,
    next: Phase,
    decided: bool,
    pending: bool,
    /// Marks the work that was given out, once there was some.
    origin: Option<Arc<()>>,
}

/// What work of one transaction came to. A host with a pool can mix two up, and one's harmless upload would
/// let the other's pass.
struct Marked {
    origin: Arc<()>,
    result: WorkResult,
}

impl std::fmt::Debug for Ordered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ordered")
            .field("next", &self.next)
            .field("decided", &self.decided)
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

impl Ordered {
    /// A fresh transaction, held to its order.
    pub fn new(inner: Box<dyn Transaction>) -> Self {
        Self {
            inner: Some(inner),
            next: Phase::RequestHead,
            decided: false,
            pending: false,
            origin: None,
        }
    }

    /// One that has ended already: every step is an error.
    pub const fn ended() -> Self {
        Self { inner: None, next: Phase::Log, decided: true, pending: false, origin: None }
    }

    /// As [`Transaction::request_head`].
    ///
    /// # Errors
    /// When it comes twice, after `finish`, or while work is pending.
    pub fn request_head(&mut self, head: &RequestHead<'_>) -> Result<Step, PhaseError> {
        self.step("request_head", Phase::RequestHead, true, |inner| inner.request_head(head))
    }

    /// As [`Transaction::request_body`].
    ///
    /// # Errors
    /// When the head is missing, the last piece has come, or work is pending.
    pub fn request_body(&mut self, chunk: &[u8], last: bool) -> Result<Step, PhaseError> {
        self.step("request_body", Phase::RequestBody, last, |inner| inner.request_body(chunk, last))
    }

    /// As [`Transaction::response_head`].
    ///
    /// # Errors
    /// When the request's last piece is missing, it comes twice, or work is pending.
    pub fn response_head(&mut self, head: &ResponseHead<'_>) -> Result<Step, PhaseError> {
        self.step("response_head", Phase::ResponseHead, true, |inner| inner.response_head(head))
    }

    /// As [`Transaction::response_body`].
    ///
    /// # Errors
    /// When the head is missing, the last piece has come, or work is pending.
    pub fn response_body(&mut self, chunk: &[u8], last: bool) -> Result<Step, PhaseError> {
        self.step("response_body", Phase::ResponseBody, last, |inner| {
            inner.response_body(chunk, last)
        })
    }

    /// As [`Transaction::take_work`]; `None` where nothing is pending.
    pub fn take_work(&mut self) -> Option<Work> {
        let work = self.inner.as_mut().filter(|_| self.pending)?.take_work()?;
        let origin = Arc::clone(self.origin.get_or_insert_default());
        Some(Work::new(move || WorkResult::Own(Box::new(Marked { origin, result: work.run() }))))
    }

    /// As [`Transaction::resume`], with what work of [`Ordered::take_work`] came to.
    ///
    /// # Errors
    /// When nothing is pending, or the work is another transaction's: that one can only be finished then.
    pub fn resume(&mut self, done: WorkResult) -> Result<Step, PhaseError> {
        let inner = self.inner.as_mut().filter(|_| self.pending);
        let inner = inner.ok_or(PhaseError::new("resume", "without pending work"))?;
        let result = match (done, &self.origin) {
            (WorkResult::Own(own), Some(origin)) => match own.downcast::<Marked>() {
                Ok(marked) if Arc::ptr_eq(origin, &marked.origin) => Some(marked.result),
                _ => None,
            },
            _ => None,
        };
        let wrong = PhaseError::new("resume", "with another transaction's work");
        let step = inner.resume(result.ok_or(wrong)?);
        self.answered(step);
        Ok(step)
    }

    /// Does here what is pending, for hosts without a pool; answers with the verdict.
    pub fn work_in_place(&mut self, mut step: Step) -> Verdict {
        while step == Step::Pending {
            let Some(inner) = self.inner.as_mut() else { break };
            let Some(work) = inner.take_work() else { break };
            step = inner.resume(work.run());
            self.answered(step);
        }
        step.verdict().unwrap_or_default()
    }

    /// The transaction, `None` after `finish`.
    pub fn transaction(&self) -> Option<&dyn Transaction> {
        self.inner.as_deref()
    }

    /// As [`Transaction::finish`]; allowed at any time, once.
    ///
    /// # Errors
    /// When it comes twice.
    pub fn finish(&mut self, outcome: Outcome, sink: &dyn Sink) -> Result<(), PhaseError> {
        let inner = self.inner.take().ok_or(PhaseError::new("finish", "finished"))?;
        inner.finish(outcome, sink);
        Ok(())
    }

    fn step(
        &mut self,
        call: &'static str,
        phase: Phase,
        last: bool,
        run: impl FnOnce(&mut dyn Transaction) -> Step,
    ) -> Result<Step, PhaseError> {
        let Some(inner) = self.inner.as_mut() else {
            return Err(PhaseError::new(call, "finished"));
        };
        if self.pending {
            return Err(PhaseError::new(call, "pending work"));
        }
        let jump = self.decided && self.next <= phase && phase >= Phase::ResponseHead;
        if self.next != phase && !jump {
            return Err(PhaseError::new(call, word(self.next)));
        }
        let step = run(inner.as_mut());
        if last {
            self.next = match phase {
                Phase::RequestHead => Phase::RequestBody,
                Phase::RequestBody => Phase::ResponseHead,
                Phase::ResponseHead => Phase::ResponseBody,
                Phase::ResponseBody | Phase::Log => Phase::Log,
            };
        }
        self.answered(step);
        Ok(step)
    }

    fn answered(&mut self, step: Step) {
        self.pending = step == Step::Pending;
        self.decided |= step.verdict().is_some_and(Verdict::is_decisive);
    }
}

const fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::RequestHead => "request_head",
        Phase::RequestBody => "request_body",
        Phase::ResponseHead => "response_head",
        Phase::ResponseBody => "response_body",
        Phase::Log => "finish",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::Discard;
    use crate::verdict::Action;

    /// Asks for work at the request body's end, and refuses what the work says.
    struct Asks {
        work: Option<Work>,
    }

    impl Transaction for Asks {
        fn wants(&self, _: Phase) -> Body {
            Body::Watch
        }
        fn request_head(&mut self, _: &RequestHead<'_>) -> Step {
            Step::Done(Verdict::PASS)
        }
        fn request_body(&mut self, _: &[u8], last: bool) -> Step {
            if !last {
                return Step::Done(Verdict::PASS);
            }
            self.work = Some(Work::new(|| WorkResult::Own(Box::new(7_u16))));
            Step::Pending
        }
        fn response_head(&mut self, _: &ResponseHead<'_>) -> Step {
            Step::Done(Verdict::PASS)
        }
        fn response_body(&mut self, _: &[u8], _: bool) -> Step {
            Step::Done(Verdict::PASS)
        }
        fn take_work(&mut self) -> Option<Work> {
            self.work.take()
        }
        fn resume(&mut self, done: WorkResult) -> Step {
            assert!(matches!(done, WorkResult::Own(own) if own.downcast_ref() == Some(&7_u16)));
            Step::Done(Verdict::new(Action::Deny { status: 403 }, 0))
        }
        fn findings(&self) -> &[Finding] {
            &[]
        }
        fn finish(self: Box<Self>, _: Outcome, _: &dyn Sink) {}
    }

    #[test]
    fn steps_out_of_order_are_errors_and_pending_work_blocks() {
        let request = RequestHead {
            method: b"GET",
            target: b"/",
            version: b"HTTP/1.1",
            headers: &[],
            now: Timestamp::default(),
        };
        let response = ResponseHead {
            status: 200,
            version: b"HTTP/1.1",
            headers: &[],
            now: Timestamp::default(),
        };
        let mut ordered = Ordered::new(Box::new(Asks { work: None }));
        assert!(ordered.request_body(b"", true).is_err());
        assert!(ordered.request_head(&request).is_ok());
        assert!(ordered.request_head(&request).is_err());
        assert!(ordered.response_head(&response).is_err(), "the body has to end first");
        assert!(ordered.take_work().is_none());
        assert!(ordered.request_body(b"x", false).is_ok());
        assert_eq!(ordered.request_body(b"", true), Ok(Step::Pending));
        assert!(ordered.response_head(&response).is_err(), "work is pending");
        let done = ordered.take_work().unwrap().run();
        let verdict = ordered.resume(done).unwrap().verdict().unwrap();
        assert!(verdict.is_decisive());
        assert!(ordered.resume(WorkResult::Own(Box::new(7_u16))).is_err());
        assert!(ordered.response_body(b"", true).is_ok(), "decided, so the response may come");
        assert!(ordered.response_head(&response).is_err(), "but not backwards");
        assert!(ordered.finish(Outcome::default(), &Discard).is_ok());
        assert!(ordered.finish(Outcome::default(), &Discard).is_err());
        assert!(ordered.transaction().is_none());

        let [mut one, mut other] = [(); 2].map(|()| Ordered::new(Box::new(Asks { work: None })));
        for ordered in [&mut one, &mut other] {
            let _pass = ordered.request_head(&request).unwrap();
            assert_eq!(ordered.request_body(b"", true), Ok(Step::Pending));
        }
        let [done, others] =
            [&mut one, &mut other].map(|ordered| ordered.take_work().unwrap().run());
        assert!(one.resume(others).is_err(), "the other's work");
        assert!(one.resume(WorkResult::Own(Box::new(7_u16))).is_err(), "nobody's work");
        assert!(one.resume(done).unwrap().verdict().unwrap().is_decisive(), "its own, later");

        let mut in_place = Ordered::new(Box::new(Asks { work: None }));
        let _pass = in_place.request_head(&request).unwrap();
        let step = in_place.request_body(b"", true).unwrap();
        assert_eq!(in_place.work_in_place(step).action(), Action::Deny { status: 403 });
    }
}
