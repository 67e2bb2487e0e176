//! Where events go: callables, queues, tees, and detectors behind a sink.

use crate::errors::wrong;
use crate::event;
use pyo3::Borrowed;
use pyo3::prelude::*;
use smesec_core::detector::{self, Detector};
use smesec_core::event::{Event, Source};
use smesec_core::sink::{self, Sink};
use smesec_core::time::Timestamp;
use smesec_core::verdict::Verdict;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// A sink that was handed in: one of ours, or a callable.
#[derive(Clone)]
pub(crate) struct Out(pub(crate) Arc<dyn Sink>);

impl<'py> FromPyObject<'_, 'py> for Out {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(queue) = object.cast::<Queue>() {
            return Ok(Self(queue.get().inner.clone()));
        }
        if let Ok(tee) = object.cast::<Tee>() {
            return Ok(Self(tee.get().inner.clone()));
        }
        if let Ok(detector) = object.cast::<DetectorSink>() {
            return Ok(Self(detector.get().inner.clone()));
        }
        if object.is_callable() {
            return Ok(Self(Arc::new(Callable(object.to_owned().unbind()))));
        }
        let kind = object.get_type().name()?;
        Err(wrong(
            object.py(),
            format!("a sink is a callable, a Queue, a Tee or a DetectorSink, not {kind}"),
        ))
    }
}

/// A callable that takes events as dicts. What it raises is reported and changes nothing.
struct Callable(Py<PyAny>);

impl Sink for Callable {
    fn accept(&self, event: Event) {
        // None while the interpreter ends: nobody is left to tell.
        let _told = Python::try_attach(|py| {
            let called = event::dict(py, &event).and_then(|dict| self.0.call1(py, (dict,)));
            if let Err(error) = called {
                error.write_unraisable(py, Some(self.0.bind(py)));
            }
        });
    }
}

/// A bounded queue of events: a sink that keeps them until somebody takes them.
///
/// Holds `capacity` events; later ones are dropped and counted. Iterating takes events out, oldest first, and ends
/// when none waits. Any number of threads may put and take.
#[pyclass(frozen, module = "smesec")]
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Arc<sink::Queue>,
}

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (capacity=10_000))]
    fn new(capacity: usize) -> Self {
        Self { inner: Arc::new(sink::Queue::new(capacity)) }
    }

    /// Takes all events that wait, as a list of dicts.
    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.inner.drain().iter().map(|event| event::dict(py, event)).collect()
    }

    /// Takes all events that wait, as text: one JSON object a line.
    fn drain_json(&self, py: Python<'_>) -> String {
        py.detach(|| {
            let lines = self.inner.drain();
            lines.iter().fold(String::new(), |text, event| text + &event.to_json() + "\n")
        })
    }

    /// Events dropped so far because the queue was full.
    #[getter]
    fn dropped(&self) -> u64 {
        self.inner.dropped()
    }

    fn __call__(&self, event: &Bound<'_, PyAny>) -> PyResult<()> {
        self.inner.accept(event::event(event)?);
        Ok(())
    }

    fn __iter__(&self) -> Events {
        Events { queue: Arc::clone(&self.inner), taken: Mutex::new(VecDeque::new()) }
    }

    fn __repr__(&self) -> String {
        format!("<smesec.Queue: {} dropped>", self.inner.dropped())
    }
}

/// Takes the events of a queue, one by one.
#[pyclass(frozen, module = "smesec._native", name = "_Events")]
pub(crate) struct Events {
    queue: Arc<sink::Queue>,
    taken: Mutex<VecDeque<Event>>,
}

#[pymethods]
impl Events {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let next = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            if taken.is_empty() {
                taken.extend(self.queue.drain());
            }
            taken.pop_front()
        };
        next.map(|event| event::dict(py, &event)).transpose()
    }
}

/// Hands every event to each of several sinks, in order.
#[pyclass(frozen, module = "smesec")]
#[derive(Debug)]
pub(crate) struct Tee {
    inner: Arc<sink::Tee>,
}

#[pymethods]
impl Tee {
    #[new]
    #[pyo3(signature = (*sinks))]
    fn new(sinks: Vec<Out>) -> Self {
        Self { inner: Arc::new(sink::Tee::new(sinks.into_iter().map(|out| out.0).collect())) }
    }

    fn __call__(&self, py: Python<'_>, event: &Bound<'_, PyAny>) -> PyResult<()> {
        let event = event::event(event)?;
        py.detach(|| self.inner.accept(event));
        Ok(())
    }
}

/// A detector of events written in Python.
struct PyDetector(Py<PyAny>);

impl PyDetector {
    /// Calls a method that answers with an iterable of events, or None.
    fn call(
        &self,
        name: &str,
        argument: impl for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyAny>>,
        sink: &dyn Sink,
    ) {
        let _told = Python::try_attach(|py| {
            let called = argument(py).and_then(|argument| self.raise_events(name, &argument, sink));
            if let Err(error) = called {
                self.broken(py, error, sink);
            }
        });
    }

    fn raise_events(
        &self,
        name: &str,
        argument: &Bound<'_, PyAny>,
        sink: &dyn Sink,
    ) -> PyResult<()> {
        let Some(method) = self.0.bind(argument.py()).getattr_opt(name)? else { return Ok(()) };
        let answer = method.call1((argument,))?;
        if answer.is_none() {
            return Ok(());
        }
        for item in answer.try_iter()? {
            sink.accept(event::event(&item?)?);
        }
        Ok(())
    }

    /// A detector that fails says so where its alarms would have gone.
    fn broken(&self, py: Python<'_>, error: PyErr, sink: &dyn Sink) {
        let (finding, why) = event::raised_by(py, "detector", &self.0, error);
        let mut event = Event::new(event::next_id(), Source::Host, Timestamp::from_system_clock());
        event.class_uid = 2_004;
        event.severity_id = finding.severity.ocsf_id();
        event.message = why;
        event.findings = vec![finding];
        sink.accept(event);
    }
}

impl Detector<Event> for PyDetector {
    fn observe(&mut self, item: &Event, sink: &dyn Sink) -> Verdict {
        self.call("observe", |py| event::dict(py, item), sink);
        Verdict::PASS
    }

    fn advance(&mut self, now: Timestamp, sink: &dyn Sink) {
        let nanos = now.unix_nanos();
        self.call("advance", |py| Ok(nanos.into_pyobject(py)?.into_any()), sink);
    }
}

/// Puts a detector of events (a correlator) behind a sink.
///
/// Events that come in wait, `capacity` at most; `drain` lets the detector see them, where and when you
/// like. `detector` has `observe(event)` and, if it counts time, `advance(now)`; each answers with an
/// iterable of events (dicts; what is missing is filled in) or None. Its alarms are one generation above
/// what it saw; events of a generation above 3 are dropped and counted, so that detectors that feed
/// each other come to rest. What it raises is reported through `sys.unraisablehook` and as an event
/// with the finding `smesec-callback`.
#[pyclass(frozen, module = "smesec")]
pub(crate) struct DetectorSink {
    inner: Arc<detector::DetectorSink<PyDetector>>,
    draining: Mutex<()>,
}

#[pymethods]
impl DetectorSink {
    #[new]
    #[pyo3(signature = (detector, *, capacity=10_000))]
    fn new(detector: Py<PyAny>, capacity: usize) -> Self {
        let inner = detector::DetectorSink::new(PyDetector(detector), capacity);
        Self { inner: Arc::new(inner), draining: Mutex::new(()) }
    }

    /// Lets the detector see what waits, then tells it the time (`now`, nanoseconds since 1970 UTC; the
    /// system's clock unless given). Its events go to `sink`. While another thread drains, or the
    /// detector itself calls this, nothing is done and the answer is False.
    #[pyo3(signature = (sink, now=None))]
    fn drain(&self, py: Python<'_>, sink: Out, now: Option<i64>) -> bool {
        let now = now.map_or_else(Timestamp::from_system_clock, Timestamp::from_unix_nanos);
        py.detach(|| {
            let Ok(_alone) = self.draining.try_lock() else { return false };
            self.inner.drain(now, sink.0.as_ref());
            true
        })
    }

    /// Events dropped so far: the queue was full, or a loop was cut.
    #[getter]
    fn dropped(&self) -> u64 {
        self.inner.dropped()
    }

    fn __call__(&self, event: &Bound<'_, PyAny>) -> PyResult<()> {
        self.inner.accept(event::event(event)?);
        Ok(())
    }
}
