//! Filters: stand in the path of an HTTP transaction and may stop it.

use crate::event::Finding;
use crate::http::{Connection, RequestHead, ResponseHead};
use crate::intake::{Intake, ObjectMeta};
use crate::scanner::ScanReport;
use crate::sink::Sink;
use crate::time::Timestamp;
use crate::verdict::{Body, Phase, Step, Verdict};
use std::any::Any;

mod chain;
mod ordered;

pub use chain::Chain;
pub use ordered::Ordered;

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
    /// Hands the job's result back. Who gives out work takes it back: the default is [`Verdict::BROKEN`].
    fn resume(&mut self, done: WorkResult) -> Step {
        drop(done);
        Step::Done(Verdict::BROKEN)
    }
    /// Where a [`crate::verdict::Action::Redirect`] leads.
    fn location(&self) -> Option<&str> {
        None
    }
    /// What was found so far.
    fn findings(&self) -> &[Finding];
    /// The log phase: at most one event goes to `sink`, of a [`Chain`] at most one of each filter.
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
