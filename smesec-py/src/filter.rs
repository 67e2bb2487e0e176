//! Filters: what admits transactions. The base of `Waf` and `Chain`, and filters written in Python.

use crate::errors::wrong;
use crate::event;
use crate::http::{self as seen, Bytes, Endpoint, Headers, connection};
use crate::intake::Uploads;
use crate::sink::Out;
use crate::transaction::{Transaction, Work};
use crate::verdict::Verdict;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use smesec_core::event::{Event, EventId, Finding, Source};
use smesec_core::filter::{self, Chain as CoreChain, Ordered, WorkResult};
use smesec_core::http::{Connection, RequestHead, ResponseHead};
use smesec_core::intake::Intake;
use smesec_core::limits::OnLimit;
use smesec_core::sink::{Discard, Sink};
use smesec_core::time::Timestamp;
use smesec_core::verdict::{self, Action, Body, Phase, Step};
use std::sync::Arc;

/// Admits HTTP transactions: what `Waf` and `Chain` are, and what a filter written in Python becomes.
///
/// `Filter(part)` takes an object with `begin(connection)`, which answers with the transaction's own
/// object (see `smesec.FilterTransaction`). What it raises is reported through `sys.unraisablehook` and
/// as the finding `smesec-callback`, and `on_error` decides: "closed" denies with 500, "open" lets pass.
/// `scanner` examines the uploads inside request bodies, `spool_bytes` (32 MiB) of one transaction in
/// memory at most; or `intake` takes them piece by piece (see `smesec.IntakeLike`). `sink` receives
/// events. One filter serves all threads.
#[pyclass(frozen, subclass, module = "smesec")]
pub(crate) struct Filter {
    pub(crate) inner: Arc<dyn filter::Filter>,
    pub(crate) sink: Option<Out>,
}

impl Filter {
    pub(crate) fn with(
        inner: Arc<dyn filter::Filter>,
        uploads: Uploads,
        sink: Option<Out>,
    ) -> Self {
        Self { inner: uploads.behind(inner), sink }
    }
}

/// "closed" or "open".
pub(crate) fn policy(py: Python<'_>, what: &str, word: &str) -> PyResult<OnLimit> {
    match word {
        "closed" => Ok(OnLimit::Closed),
        "open" => Ok(OnLimit::Open),
        other => Err(wrong(py, format!("{what} `{other}` is unknown; write closed or open"))),
    }
}

#[pymethods]
impl Filter {
    #[new]
    #[pyo3(signature = (part, *, on_error="closed", scanner=None, spool_bytes=None, intake=None, sink=None))]
    fn new(
        part: &Bound<'_, PyAny>,
        on_error: &str,
        scanner: Option<Py<PyAny>>,
        spool_bytes: Option<usize>,
        intake: Option<Py<PyAny>>,
        sink: Option<Out>,
    ) -> PyResult<Self> {
        let on_error = policy(part.py(), "on_error", on_error)?;
        let uploads = Uploads::new(part.py(), scanner, spool_bytes, intake)?;
        Ok(Self::with(link(part, on_error)?, uploads, sink))
    }

    /// Checks one whole request and finishes its transaction; other threads run meanwhile.
    ///
    /// `target` is path and query as sent; `headers` are pairs of str or bytes in their order, or a mapping; `client`
    /// and `server` are pairs of an IP address and a port. `bytes` are not copied.
    #[pyo3(signature = (method, target, headers=None, body=None, *, version="HTTP/1.1", client=None, server=None))]
    #[expect(
        clippy::too_many_arguments,
        reason = "keyword arguments in Python, each with a default"
    )]
    fn check(
        &self,
        py: Python<'_>,
        method: Bytes,
        target: Bytes,
        headers: Option<Headers>,
        body: Option<Bytes>,
        version: &str,
        client: Option<Endpoint>,
        server: Option<Endpoint>,
    ) -> PyResult<Verdict> {
        let connection = connection(py, client.as_ref(), server.as_ref())?;
        let headers = headers.unwrap_or_default();
        Ok(py.detach(|| {
            let views = headers.views();
            let mut transaction = self.inner.begin(&connection, None);
            let mut step = transaction.request_head(&RequestHead {
                method: method.as_slice(),
                target: target.as_slice(),
                version: version.as_bytes(),
                headers: &views,
                now: connection.now,
            });
            let mut verdict = in_place(transaction.as_mut(), step);
            if !verdict.is_decisive() {
                let body = body.as_ref().map_or(&b""[..], Bytes::as_slice);
                step = transaction.request_body(body, true);
                verdict = in_place(transaction.as_mut(), step);
            }
            let told = Verdict::of(verdict, transaction.as_ref());
            let status = match told.action {
                Action::Deny { status } | Action::Redirect { status } => status,
                _ => 0,
            };
            let now = Timestamp::from_system_clock();
            let outcome = filter::Outcome { status, now, ..filter::Outcome::default() };
            match &self.sink {
                Some(sink) => transaction.finish(outcome, sink.0.as_ref()),
                None => transaction.finish(outcome, &Discard),
            }
            told
        }))
    }

    /// Begins a transaction that goes step by step. With `defer` long work is left to you: see
    /// `Transaction.take_work`.
    #[pyo3(signature = (*, client=None, server=None, defer=false))]
    fn begin(
        &self,
        py: Python<'_>,
        client: Option<Endpoint>,
        server: Option<Endpoint>,
        defer: bool,
    ) -> PyResult<Transaction> {
        let connection = connection(py, client.as_ref(), server.as_ref())?;
        let inner = py.detach(|| Ordered::new(self.inner.begin(&connection, None)));
        Ok(Transaction::new(inner, self.sink.clone(), defer))
    }

    #[expect(clippy::unused_self, reason = "Python calls it as a method")]
    fn __reduce__(&self) -> PyResult<()> {
        let why = "a filter belongs to its process; pickle its RuleSet and build the filter anew";
        Err(pyo3::exceptions::PyTypeError::new_err(why))
    }
}

fn in_place(transaction: &mut dyn filter::Transaction, mut step: Step) -> verdict::Verdict {
    while step == Step::Pending {
        let Some(work) = transaction.take_work() else { break };
        step = transaction.resume(work.run());
    }
    step.verdict().unwrap_or_default()
}

/// Several filters as one, in order: the first decisive verdict wins, the findings of all are kept.
///
/// Takes `Filter`s, `Waf`s, `Chain`s, and objects with `begin` as `Filter` does; `on_error` is for these. Put
/// the WAF last: uploads for `scanner` and `intake` come from the last one. Sinks of the links are not used; events of
/// all, one each at most, go to this chain's `sink`.
#[pyclass(frozen, extends = Filter, module = "smesec")]
pub(crate) struct Chain;

#[pymethods]
impl Chain {
    #[new]
    #[pyo3(signature = (*filters, on_error="closed", scanner=None, spool_bytes=None, intake=None, sink=None))]
    fn new(
        py: Python<'_>,
        filters: &Bound<'_, PyTuple>,
        on_error: &str,
        scanner: Option<Py<PyAny>>,
        spool_bytes: Option<usize>,
        intake: Option<Py<PyAny>>,
        sink: Option<Out>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let on_error = policy(py, "on_error", on_error)?;
        let links = filters.iter().map(|part| link(&part, on_error));
        let chain = Arc::new(CoreChain::new(links.collect::<PyResult<_>>()?));
        let uploads = Uploads::new(py, scanner, spool_bytes, intake)?;
        let base = Filter::with(chain, uploads, sink);
        Ok(PyClassInitializer::from(base).add_subclass(Self))
    }
}

/// A filter of ours, or an object with `begin`.
fn link(part: &Bound<'_, PyAny>, on_error: OnLimit) -> PyResult<Arc<dyn filter::Filter>> {
    if let Ok(filter) = part.cast::<Filter>() {
        return Ok(filter.get().inner.clone());
    }
    if part.getattr_opt("begin")?.is_none() {
        let kind = part.get_type().name()?;
        return Err(wrong(part.py(), format!("`{kind}` is no filter: it has no `begin`")));
    }
    Ok(Arc::new(PyFilter { object: Arc::new(part.clone().unbind()), on_error }))
}

struct PyFilter {
    object: Arc<Py<PyAny>>,
    on_error: OnLimit,
}

impl filter::Filter for PyFilter {
    fn begin(
        &self,
        connection: &Connection,
        _: Option<Box<dyn Intake>>,
    ) -> Box<dyn filter::Transaction> {
        let mut transaction = PyTransaction {
            object: None,
            on_error: self.on_error,
            connection: *connection,
            id: event::next_id(),
            findings: Vec::new(),
            verdict: verdict::Verdict::PASS,
            location: None,
            work: None,
            wants: [Body::Skip; 2],
        };
        let _told = Python::try_attach(|py| {
            let shown = seen::Connection::of(connection);
            let begun = self.object.bind(py).call_method1("begin", (shown,)).and_then(steps);
            match begun {
                Ok(object) => transaction.object = Some(Arc::new(object)),
                Err(error) => transaction.failed(py, &self.object, error),
            }
        });
        Box::new(transaction)
    }
}

/// The object that `begin` gave: one without a single step, such as None after a forgotten `return`, would let
/// everything pass.
fn steps(begun: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    for step in ["request_head", "request_body", "response_head", "response_body", "finish"] {
        if begun.getattr_opt(step)?.is_some() {
            return Ok(begun.unbind());
        }
    }
    let kind = begun.get_type().name()?;
    let why =
        format!("`begin` gave `{kind}`, which has no step of a transaction; return its object");
    Err(pyo3::exceptions::PyTypeError::new_err(why))
}

/// A transaction of a filter written in Python.
struct PyTransaction {
    /// None where `begin` raised.
    object: Option<Arc<Py<PyAny>>>,
    on_error: OnLimit,
    connection: Connection,
    id: EventId,
    findings: Vec<Finding>,
    verdict: verdict::Verdict,
    location: Option<String>,
    work: Option<Py<PyAny>>,
    /// Of the request's and the response's body, asked for after their heads.
    wants: [Body; 2],
}

/// What a job came to; `None` for nothing.
type Answer = Result<Option<Verdict>, (Finding, String)>;

impl PyTransaction {
    /// One step: calls the method, where there is one, and takes its answer.
    fn step<A>(&mut self, name: &str, arguments: A) -> Step
    where
        A: for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyTuple>>,
    {
        let Some(object) = self.object.clone() else { return Step::Done(self.verdict) };
        let step = Python::try_attach(|py| {
            let called = object.bind(py).getattr_opt(name).and_then(|method| match method {
                None => Ok(None),
                Some(method) => method.call1(arguments(py)?).map(Some),
            });
            match called.and_then(|answer| answer.map_or(Ok(None), |answer| self.read(&answer))) {
                Ok(Some(Step::Pending)) => return Step::Pending,
                Ok(_) => {}
                Err(error) => self.failed(py, &object, error),
            }
            Step::Done(self.verdict)
        });
        step.unwrap_or(Step::Done(self.verdict))
    }

    fn read(&mut self, answer: &Bound<'_, PyAny>) -> PyResult<Option<Step>> {
        if answer.is_none() {
            return Ok(None);
        }
        if let Ok(verdict) = answer.cast::<Verdict>() {
            self.take(verdict.get().clone());
            return Ok(None);
        }
        if let Ok(work) = answer.cast::<Work>() {
            self.work = work.get().job();
            if self.work.is_some() {
                return Ok(Some(Step::Pending));
            }
        }
        let kind = answer.get_type().name()?;
        let why = format!("a step answers with None, a Verdict or a fresh Work, not {kind}");
        Err(pyo3::exceptions::PyTypeError::new_err(why))
    }

    fn take(&mut self, verdict: Verdict) {
        self.findings.extend(verdict.findings);
        if verdict.action != Action::Pass && !self.verdict.is_decisive() {
            self.verdict = verdict::Verdict::new(verdict.action, verdict.score);
            self.location = verdict.location;
        }
    }

    fn failed(&mut self, py: Python<'_>, object: &Py<PyAny>, error: PyErr) {
        let (finding, _) = event::raised_by(py, "filter", object, error);
        self.fail(finding);
    }

    fn fail(&mut self, finding: Finding) {
        self.findings.push(finding);
        if !self.verdict.is_decisive() {
            let action = match self.on_error {
                OnLimit::Open => Action::Log,
                _ => Action::Deny { status: 500 },
            };
            self.verdict = verdict::Verdict::new(action, 0);
        }
    }

    /// What the object wants of a body: its `wants(side)`, or each piece where it has a method for them.
    fn ask(&mut self, side: &'static str, method: &'static str) -> Body {
        let Some(object) = self.object.clone() else { return Body::Skip };
        let wanted = Python::try_attach(|py| {
            let ask = || -> PyResult<Body> {
                let object = object.bind(py);
                let Some(wants) = object.getattr_opt("wants")? else {
                    return Ok(if object.getattr_opt(method)?.is_some() {
                        Body::Watch
                    } else {
                        Body::Skip
                    });
                };
                Ok(match wants.call1((side,))?.extract::<Option<u64>>()? {
                    None => Body::Skip,
                    Some(0) => Body::Watch,
                    Some(at_most) => Body::Hold { at_most },
                })
            };
            ask().unwrap_or_else(|error| {
                self.failed(py, &object, error);
                Body::Skip
            })
        });
        wanted.unwrap_or(Body::Skip)
    }
}

impl filter::Transaction for PyTransaction {
    fn wants(&self, phase: Phase) -> Body {
        let [request, response] = self.wants;
        match phase {
            Phase::RequestBody => request,
            Phase::ResponseBody => response,
            _ => Body::Skip,
        }
    }

    fn request_head(&mut self, head: &RequestHead<'_>) -> Step {
        let step =
            self.step("request_head", |py| (seen::RequestHead::of(py, head),).into_pyobject(py));
        let wanted = self.ask("request", "request_body");
        let [request, _] = &mut self.wants;
        *request = wanted;
        if step == Step::Pending { step } else { Step::Done(self.verdict) }
    }

    fn request_body(&mut self, chunk: &[u8], last: bool) -> Step {
        self.step("request_body", |py| (PyBytes::new(py, chunk), last).into_pyobject(py))
    }

    fn response_head(&mut self, head: &ResponseHead<'_>) -> Step {
        let step =
            self.step("response_head", |py| (seen::ResponseHead::of(py, head),).into_pyobject(py));
        let wanted = self.ask("response", "response_body");
        let [_, response] = &mut self.wants;
        *response = wanted;
        if step == Step::Pending { step } else { Step::Done(self.verdict) }
    }

    fn response_body(&mut self, chunk: &[u8], last: bool) -> Step {
        self.step("response_body", |py| (PyBytes::new(py, chunk), last).into_pyobject(py))
    }

    fn take_work(&mut self) -> Option<filter::Work> {
        let job = self.work.take()?;
        Some(filter::Work::new(move || {
            let answer = Python::try_attach(|py| -> Answer {
                let called = job.bind(py).call0().and_then(|answer| {
                    if answer.is_none() {
                        return Ok(None);
                    }
                    let verdict = answer.cast::<Verdict>();
                    Ok(Some(verdict.map(|verdict| verdict.get().clone())?))
                });
                called.map_err(|error| event::raised_by(py, "work of a filter", &job, error))
            });
            WorkResult::Own(Box::new(answer.unwrap_or(Ok(None))))
        }))
    }

    fn resume(&mut self, done: WorkResult) -> Step {
        if let WorkResult::Own(own) = done
            && let Ok(answer) = own.downcast::<Answer>()
        {
            match *answer {
                Ok(Some(verdict)) => self.take(verdict),
                Ok(None) => {}
                Err((finding, _)) => self.fail(finding),
            }
        }
        Step::Done(self.verdict)
    }

    fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn finish(mut self: Box<Self>, outcome: filter::Outcome, sink: &dyn Sink) {
        let before = self.verdict;
        let _step = self.step("finish", |py| (seen::Outcome::of(&outcome),).into_pyobject(py));
        // The answer has gone out already; what `finish` says or raises is kept as findings only.
        self.verdict = before;
        if self.findings.is_empty() && self.verdict.action() == Action::Pass {
            return;
        }
        let mut event = Event::new(self.id, Source::Host, self.connection.now);
        event.ingest_time = outcome.now;
        event.class_uid = smesec_core::event::HTTP_ACTIVITY;
        event.action = self.verdict.action();
        event.src_endpoint = Some(self.connection.client);
        event.dst_endpoint = Some(self.connection.server);
        event.transaction_id = Some(self.id.to_string());
        let gravest = self.findings.iter().map(|finding| finding.severity).max();
        event.severity_id = gravest.unwrap_or_default().ocsf_id();
        event.message = self.findings.first().map_or_else(String::new, |f| f.message.clone());
        event.extra.insert("status".to_owned(), outcome.status.into());
        event.extra.insert("bytes".to_owned(), outcome.bytes.into());
        event.extra.insert("aborted".to_owned(), outcome.aborted.into());
        event.findings = std::mem::take(&mut self.findings);
        sink.accept(event);
    }
}
