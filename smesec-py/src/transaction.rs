//! Transactions step by step, and their long work.

use crate::errors::{raised, wrong};
use crate::event;
use crate::http::{Bytes, Headers};
use crate::sink::Out;
use crate::verdict::Verdict;
use pyo3::prelude::*;
use smesec_core::error::PhaseError;
use smesec_core::event::Event;
use smesec_core::filter::{self, Ordered, WorkResult};
use smesec_core::sink::{Discard, Sink};
use smesec_core::time::Timestamp;
use smesec_core::verdict::{Body, Phase, Step};
use smesec_core::{RequestHead, ResponseHead};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// One HTTP transaction: request head, request body up to its last piece, response head, response body,
/// finish. Each step answers with the verdict so far; a step out of order, or from a second thread
/// meanwhile, raises `PhaseError`.
///
/// As a context manager it finishes itself, as aborted where `finish` was not called. Begun with
/// `defer=True`, a step whose verdict needs long work (a scan) answers "pending": take the work with
/// `take_work`, run it in any thread, hand it to `resume`.
#[pyclass(frozen, module = "smesec")]
pub(crate) struct Transaction {
    inner: Mutex<Ordered>,
    sink: Option<Out>,
    defer: bool,
}

impl Transaction {
    pub(crate) const fn new(inner: Ordered, sink: Option<Out>, defer: bool) -> Self {
        Self { inner: Mutex::new(inner), sink, defer }
    }

    /// Waiting could be for ever: a filter written in Python may call its own transaction.
    fn alone(&self, call: &'static str) -> Result<MutexGuard<'_, Ordered>, PhaseError> {
        match self.inner.try_lock() {
            Ok(inner) => Ok(inner),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(PhaseError::new(call, "another step")),
        }
    }

    fn step(
        &self,
        py: Python<'_>,
        call: &'static str,
        run: impl FnOnce(&mut Ordered) -> Result<Step, PhaseError> + Send,
    ) -> PyResult<Verdict> {
        let told = py.detach(|| {
            let mut inner = self.alone(call)?;
            let mut step = run(&mut inner)?;
            if !self.defer {
                step = Step::Done(inner.work_in_place(step));
            }
            let transaction = inner.transaction().ok_or(PhaseError::new(call, "finished"))?;
            Ok(Verdict::of_step(step, transaction))
        });
        told.map_err(|error: PhaseError| raised(py, &error.into()))
    }

    fn end(
        &self,
        py: Python<'_>,
        outcome: filter::Outcome,
        extra: serde_json::Map<String, serde_json::Value>,
    ) -> PyResult<()> {
        let done = py.detach(|| {
            // Out of the lock before it ends, so that a sink may look at anything.
            let mut ended = {
                let mut inner = self.alone("finish")?;
                std::mem::replace(&mut *inner, Ordered::ended())
            };
            match &self.sink {
                Some(sink) => ended.finish(outcome, &Extra { sink: sink.0.as_ref(), extra }),
                None => ended.finish(outcome, &Discard),
            }
        });
        done.map_err(|error: PhaseError| raised(py, &error.into()))
    }
}

/// Adds the host's own fields to events.
struct Extra<'a> {
    sink: &'a dyn Sink,
    extra: serde_json::Map<String, serde_json::Value>,
}

impl Sink for Extra<'_> {
    fn accept(&self, mut event: Event) {
        let own = self.extra.iter().map(|(key, value)| (key.clone(), value.clone()));
        event.extra.extend(own);
        self.sink.accept(event);
    }
}

#[pymethods]
impl Transaction {
    /// The request's head: the target is path and query as sent, headers are pairs in their order.
    #[pyo3(signature = (method, target, headers=None, *, version="HTTP/1.1"))]
    fn request_head(
        &self,
        py: Python<'_>,
        method: Bytes,
        target: Bytes,
        headers: Option<Headers>,
        version: &str,
    ) -> PyResult<Verdict> {
        let headers = headers.unwrap_or_default();
        self.step(py, "request_head", |inner| {
            inner.request_head(&RequestHead {
                method: method.as_slice(),
                target: target.as_slice(),
                version: version.as_bytes(),
                headers: &headers.views(),
                now: Timestamp::from_system_clock(),
            })
        })
    }

    /// A piece of the request's body; `last` with the last one, which may be empty.
    #[pyo3(signature = (chunk, last=false))]
    fn request_body(&self, py: Python<'_>, chunk: Bytes, last: bool) -> PyResult<Verdict> {
        self.step(py, "request_body", |inner| inner.request_body(chunk.as_slice(), last))
    }

    /// The response's head.
    #[pyo3(signature = (status, headers=None, *, version="HTTP/1.1"))]
    fn response_head(
        &self,
        py: Python<'_>,
        status: u16,
        headers: Option<Headers>,
        version: &str,
    ) -> PyResult<Verdict> {
        let headers = headers.unwrap_or_default();
        self.step(py, "response_head", |inner| {
            inner.response_head(&ResponseHead {
                status,
                version: version.as_bytes(),
                headers: &headers.views(),
                now: Timestamp::from_system_clock(),
            })
        })
    }

    /// A piece of the response's body; `last` with the last one.
    #[pyo3(signature = (chunk, last=false))]
    fn response_body(&self, py: Python<'_>, chunk: Bytes, last: bool) -> PyResult<Verdict> {
        self.step(py, "response_body", |inner| inner.response_body(chunk.as_slice(), last))
    }

    /// What is wanted of a body ("request" or "response"), once its head was seen: None to skip it, 0
    /// where its pieces may go on at once, else the number of bytes to hold back until the verdict.
    fn wants(&self, py: Python<'_>, side: &str) -> PyResult<Option<u64>> {
        let phase = match side {
            "request" => Phase::RequestBody,
            "response" => Phase::ResponseBody,
            other => {
                let why = format!("side `{other}` is unknown; write request or response");
                return Err(wrong(py, why));
            }
        };
        let wanted = py.detach(|| {
            let inner = self.alone("wants")?;
            Ok(inner.transaction().map_or(Body::Skip, |inner| inner.wants(phase)))
        });
        Ok(match wanted.map_err(|error: PhaseError| raised(py, &error.into()))? {
            Body::Skip => None,
            Body::Hold { at_most } => Some(at_most),
            _ => Some(0),
        })
    }

    /// After a "pending" verdict: the work that waits, None where there is none.
    fn take_work(&self, py: Python<'_>) -> PyResult<Option<Work>> {
        let work = py.detach(|| Ok(self.alone("take_work")?.take_work()));
        let work = work.map_err(|error: PhaseError| raised(py, &error.into()))?;
        Ok(work.map(|work| Work { state: Mutex::new(WorkState::Waits(work)) }))
    }

    /// Hands back work that was run. Answers with the verdict, or "pending" where more waits.
    fn resume(&self, py: Python<'_>, work: &Bound<'_, Work>) -> PyResult<Verdict> {
        let done = work.get().spend().map_err(|error| raised(py, &error.into()))?;
        self.step(py, "resume", |inner| inner.resume(done))
    }

    /// The log phase: at most one event of each filter goes to the sink, with the fields of the dict `extra` in its
    /// `extra`. `status` is what the client got (0 for nothing), `bytes` the length of the body sent.
    #[pyo3(signature = (status=0, *, bytes=0, aborted=false, extra=None))]
    fn finish(
        &self,
        py: Python<'_>,
        status: u16,
        bytes: u64,
        aborted: bool,
        extra: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let extra = extra.map(event::fields).transpose()?.unwrap_or_default();
        let now = Timestamp::from_system_clock();
        self.end(py, filter::Outcome { status, bytes, aborted, now }, extra)
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _exception: &Bound<'_, pyo3::types::PyTuple>,
    ) -> PyResult<()> {
        let running = py.detach(|| self.alone("finish").is_ok_and(|t| t.transaction().is_some()));
        if !running {
            return Ok(());
        }
        let now = Timestamp::from_system_clock();
        let outcome = filter::Outcome { aborted: true, now, ..filter::Outcome::default() };
        self.end(py, outcome, serde_json::Map::new())
    }
}

/// Long work: a scan, a look-up. `Transaction.take_work` gives it out; call `run` in any thread, once, then
/// hand it to `Transaction.resume`.
///
/// A step of a filter written in Python answers with `Work(job)` where it needs long work of its own; `job` is
/// called without arguments and answers as a step does, with a Verdict or None.
#[pyclass(frozen, module = "smesec")]
pub(crate) struct Work {
    state: Mutex<WorkState>,
}

enum WorkState {
    /// Made in Python, on its way into the library.
    Job(Py<PyAny>),
    Waits(filter::Work),
    Done(WorkResult),
    Spent,
}

impl Work {
    fn lock(&self) -> MutexGuard<'_, WorkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job of a filter written in Python.
    pub(crate) fn job(&self) -> Option<Py<PyAny>> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, WorkState::Spent) {
            WorkState::Job(job) => Some(job),
            other => {
                *state = other;
                None
            }
        }
    }

    fn spend(&self) -> Result<WorkResult, PhaseError> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, WorkState::Spent) {
            WorkState::Done(result) => Ok(result),
            other => {
                *state = other;
                Err(PhaseError::new("resume", "before the work was run"))
            }
        }
    }
}

#[pymethods]
impl Work {
    #[new]
    fn new(job: Py<PyAny>) -> Self {
        Self { state: Mutex::new(WorkState::Job(job)) }
    }

    /// Does the work, here. Other threads run meanwhile.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        let work = {
            let mut state = self.lock();
            match std::mem::replace(&mut *state, WorkState::Spent) {
                WorkState::Waits(work) => work,
                other => {
                    *state = other;
                    let why = "run takes work that `take_work` gave out, once".to_owned();
                    return Err(wrong(py, why));
                }
            }
        };
        let result = py.detach(|| work.run());
        *self.lock() = WorkState::Done(result);
        Ok(())
    }
}
