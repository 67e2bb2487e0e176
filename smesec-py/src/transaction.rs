//! Verdicts, and transactions step by step.

use crate::errors::raised;
use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyString};
use smesec_core::error::PhaseError;
use smesec_core::filter::{self, Outcome};
use smesec_core::sink::Queue;
use smesec_core::time::Timestamp;
use smesec_core::verdict::{self, Action, Body, Phase, Step};
use smesec_core::{Header, RequestHead, ResponseHead};
use std::sync::{Mutex, PoisonError};

/// Bytes, or text of the wire: latin-1 where it fits (as WSGI hands it over), else UTF-8.
pub(crate) enum Bytes {
    /// Borrowed from a Python `bytes`, or copied from what may change.
    Backed(PyBackedBytes),
    Text(Vec<u8>),
}

impl Bytes {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Backed(bytes) => bytes,
            Self::Text(bytes) => bytes,
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Bytes {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            let text = text.to_cow()?;
            let latin: Option<Vec<u8>> =
                text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
            return Ok(Self::Text(latin.unwrap_or_else(|| text.as_bytes().to_vec())));
        }
        if let Ok(bytes) = object.extract::<PyBackedBytes>() {
            return Ok(Self::Backed(bytes));
        }
        if !object.is_instance_of::<pyo3::types::PyMemoryView>() {
            let kind = object.get_type().name()?;
            let why = format!("str, bytes, bytearray or memoryview expected, not {kind}");
            return Err(pyo3::exceptions::PyTypeError::new_err(why));
        }
        let copy = object.py().get_type::<PyBytes>().call1((object,))?;
        Ok(Self::Backed(copy.extract()?))
    }
}

/// Headers in their order.
#[derive(Default)]
pub(crate) struct Headers(Vec<(Bytes, Bytes)>);

impl<'py> FromPyObject<'_, 'py> for Headers {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let pairs = object.try_iter()?.map(|pair| pair?.extract::<(Bytes, Bytes)>());
        Ok(Self(pairs.collect::<PyResult<_>>()?))
    }
}

impl Headers {
    pub(crate) fn views(&self) -> Vec<Header<'_>> {
        self.0
            .iter()
            .map(|(name, value)| Header { name: name.as_slice(), value: value.as_slice() })
            .collect()
    }
}

/// What the host is to do.
#[pyclass(frozen, module = "smesec")]
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) action: Action,
    score: i32,
    location: Option<String>,
    findings: Vec<smesec_core::Finding>,
}

impl Verdict {
    pub(crate) fn of(verdict: verdict::Verdict, transaction: &dyn filter::Transaction) -> Self {
        Self {
            action: verdict.action(),
            score: verdict.score(),
            location: transaction.location().map(str::to_owned),
            findings: transaction.findings().to_vec(),
        }
    }
}

#[pymethods]
impl Verdict {
    /// One word: "pass", "log", "deny", "redirect", "decoy", "drop" or "reject".
    #[getter]
    fn action(&self) -> &'static str {
        self.action.word()
    }

    /// Whether the transaction ends here.
    #[getter]
    fn blocked(&self) -> bool {
        self.action.is_decisive()
    }

    /// The HTTP status of "deny" and "redirect", else None.
    #[getter]
    fn status(&self) -> Option<u16> {
        match self.action {
            Action::Deny { status } | Action::Redirect { status } => Some(status),
            _ => None,
        }
    }

    /// The anomaly score, 0 where no rule scored.
    #[getter]
    fn score(&self) -> i32 {
        self.score
    }

    /// Where a redirect leads, else None.
    #[getter]
    fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// What was found so far: a list of dicts as in the event's JSON form.
    #[getter]
    fn findings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loads(py, &serde_json::to_string(&self.findings).unwrap_or_default())
    }

    /// The ids of the rules that matched, in order, as text.
    #[getter]
    fn rule_ids(&self) -> Vec<&str> {
        self.findings.iter().map(|finding| finding.rule.id.as_str()).collect()
    }

    fn __repr__(&self) -> String {
        let status = self.status().map_or(String::new(), |status| format!(" {status}"));
        format!(
            "<smesec.Verdict: {}{status}, score {}, {} findings>",
            self.action.word(),
            self.score,
            self.findings.len()
        )
    }
}

/// One HTTP transaction: request head, request body up to its last piece, response head, response body,
/// finish. Each step answers with the verdict so far; a step out of order raises `PhaseError`.
///
/// As a context manager it finishes itself, as aborted where `finish` was not called.
#[pyclass(frozen, module = "smesec")]
pub(crate) struct Transaction {
    state: Mutex<State>,
    sink: Option<Py<PyAny>>,
}

struct State {
    /// Empty after `finish`.
    inner: Option<Box<dyn filter::Transaction>>,
    next: Phase,
    decided: bool,
}

impl Transaction {
    pub(crate) fn new(inner: Box<dyn filter::Transaction>, sink: Option<Py<PyAny>>) -> Self {
        let state = State { inner: Some(inner), next: Phase::RequestHead, decided: false };
        Self { state: Mutex::new(state), sink }
    }

    fn step(
        &self,
        py: Python<'_>,
        call: &'static str,
        phase: Phase,
        last: bool,
        run: impl FnOnce(&mut dyn filter::Transaction) -> Step + Send,
    ) -> PyResult<Verdict> {
        let outcome = py.detach(|| {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.step(call, phase, last, run)
        });
        outcome.map_err(|error| raised(py, &error.into()))
    }
}

impl State {
    fn step(
        &mut self,
        call: &'static str,
        phase: Phase,
        last: bool,
        run: impl FnOnce(&mut dyn filter::Transaction) -> Step,
    ) -> Result<Verdict, PhaseError> {
        let jump = self.decided && self.next <= phase && phase >= Phase::ResponseHead;
        if self.inner.is_none() || self.next != phase && !jump {
            return Err(PhaseError::new(
                call,
                word(self.inner.as_ref().map_or(Phase::Log, |_| self.next)),
            ));
        }
        let Some(inner) = self.inner.as_mut() else {
            return Err(PhaseError::new(call, "finished"));
        };
        let mut step = run(inner.as_mut());
        // No pool is known here, so long work is done in place.
        while step == Step::Pending {
            let Some(work) = inner.take_work() else { break };
            step = inner.resume(work.run());
        }
        let verdict = step.verdict().unwrap_or_default();
        let told = Verdict::of(verdict, inner.as_ref());
        self.decided |= verdict.is_decisive();
        if last {
            self.next = match phase {
                Phase::RequestHead => Phase::RequestBody,
                Phase::RequestBody => Phase::ResponseHead,
                Phase::ResponseHead => Phase::ResponseBody,
                _ => Phase::Log,
            };
        }
        Ok(told)
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

#[pymethods]
impl Transaction {
    /// The request's head.
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
        self.step(py, "request_head", Phase::RequestHead, true, |inner| {
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
        self.step(py, "request_body", Phase::RequestBody, last, |inner| {
            inner.request_body(chunk.as_slice(), last)
        })
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
        self.step(py, "response_head", Phase::ResponseHead, true, |inner| {
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
        self.step(py, "response_body", Phase::ResponseBody, last, |inner| {
            inner.response_body(chunk.as_slice(), last)
        })
    }

    /// What is wanted of a body ("request" or "response"), once its head was seen: None to skip it, 0
    /// where its pieces may go on at once, else the number of bytes to hold back until the verdict.
    fn wants(&self, py: Python<'_>, side: &str) -> PyResult<Option<u64>> {
        let phase = match side {
            "request" => Phase::RequestBody,
            "response" => Phase::ResponseBody,
            other => {
                return Err(crate::errors::wrong(
                    py,
                    format!("side `{other}` is unknown; write request or response"),
                ));
            }
        };
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match state.inner.as_ref().map_or(Body::Skip, |inner| inner.wants(phase)) {
            Body::Skip => None,
            Body::Hold { at_most } => Some(at_most),
            _ => Some(0),
        })
    }

    /// The log phase: at most one event goes to the sink of the `Waf`.
    #[pyo3(signature = (status=0, *, bytes=0, aborted=false))]
    fn finish(&self, py: Python<'_>, status: u16, bytes: u64, aborted: bool) -> PyResult<()> {
        let queue = Queue::new(16);
        let done = py.detach(|| {
            let inner = self.state.lock().unwrap_or_else(PoisonError::into_inner).inner.take();
            let inner = inner.ok_or_else(|| PhaseError::new("finish", "finish"))?;
            let outcome = Outcome { status, bytes, aborted, now: Timestamp::from_system_clock() };
            inner.finish(outcome, &queue);
            Ok::<(), PhaseError>(())
        });
        done.map_err(|error| raised(py, &error.into()))?;
        emit(py, self.sink.as_ref(), &queue)
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
        let running = self.state.lock().unwrap_or_else(PoisonError::into_inner).inner.is_some();
        if running { self.finish(py, 0, 0, true) } else { Ok(()) }
    }
}

/// Hands what waits to the Python sink; what that raises is reported and changes no verdict.
pub(crate) fn emit(py: Python<'_>, sink: Option<&Py<PyAny>>, queue: &Queue) -> PyResult<()> {
    let Some(sink) = sink else { return Ok(()) };
    for event in queue.drain() {
        let dict = loads(py, &event.to_json())?;
        if let Err(error) = sink.call1(py, (dict,)) {
            error.write_unraisable(py, Some(sink.bind(py)));
        }
    }
    Ok(())
}

fn loads<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("json")?.call_method1("loads", (json,))
}
