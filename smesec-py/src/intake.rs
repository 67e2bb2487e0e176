//! Where the uploads inside request bodies go: into a scanner, or into an intake written in Python.

use crate::errors::wrong;
use crate::event;
use crate::scanner::{PyScanner, ScanReport, nothing};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use smesec_core::filter::{self, Work, WorkResult};
use smesec_core::http::Connection;
use smesec_core::intake::{Intake, ObjectId, ObjectMeta, ScannerIntake};
use smesec_core::scanner;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What a filter was given for its uploads.
#[derive(Clone)]
pub(crate) enum Uploads {
    Ignored,
    Scanned { scanner: PyScanner, spool_bytes: usize },
    Taken(Arc<Py<PyAny>>),
}

impl Uploads {
    pub(crate) fn new(
        py: Python<'_>,
        scanner: Option<Py<PyAny>>,
        spool_bytes: Option<usize>,
        intake: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        match (scanner, intake) {
            (Some(_), Some(_)) => {
                let why = "`scanner` and `intake` both want the uploads; give one of them";
                Err(wrong(py, why.to_owned()))
            }
            (Some(scanner), None) => Ok(Self::Scanned {
                scanner: PyScanner::new(scanner),
                spool_bytes: spool_bytes.unwrap_or(ScannerIntake::<PyScanner>::DEFAULT_SPOOL_BYTES),
            }),
            (None, Some(intake)) => Ok(Self::Taken(Arc::new(intake))),
            (None, None) => Ok(Self::Ignored),
        }
    }

    /// The filter with its uploads led there.
    pub(crate) fn behind(self, inner: Arc<dyn filter::Filter>) -> Arc<dyn filter::Filter> {
        match self {
            Self::Ignored => inner,
            uploads => Arc::new(Receiving { inner, uploads }),
        }
    }

    fn intake(&self) -> Option<Box<dyn Intake>> {
        match self {
            Self::Ignored => None,
            Self::Scanned { scanner, spool_bytes } => {
                // A lock of its own for each transaction: Python has its own, and scans may run side
                // by side.
                let scanner = Arc::new(Mutex::new(scanner.clone()));
                Some(Box::new(ScannerIntake::with_limits(scanner, *spool_bytes, u64::MAX)))
            }
            Self::Taken(intake) => Some(Box::new(PyIntake {
                intake: Arc::clone(intake),
                open: BTreeMap::new(),
                next: 0,
            })),
        }
    }
}

struct Receiving {
    inner: Arc<dyn filter::Filter>,
    uploads: Uploads,
}

impl filter::Filter for Receiving {
    fn begin(
        &self,
        connection: &Connection,
        _: Option<Box<dyn Intake>>,
    ) -> Box<dyn filter::Transaction> {
        self.inner.begin(connection, self.uploads.intake())
    }
}

/// One transaction's view of an intake written in Python.
struct PyIntake {
    intake: Arc<Py<PyAny>>,
    open: BTreeMap<ObjectId, Upload>,
    next: u32,
}

struct Upload {
    meta: ObjectMeta,
    /// Its receiver, or why there is none (any more): then it was not inspected.
    receiver: Result<Arc<Py<PyAny>>, String>,
}

impl Upload {
    /// Calls the receiver, whose exceptions end it.
    fn call<T>(&mut self, call: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>) -> Option<T> {
        let receiver = self.receiver.clone().ok()?;
        let told = Python::try_attach(|py| {
            call(receiver.bind(py)).map_err(|e| event::raised_by(py, "intake", &receiver, e).1)
        });
        match told.unwrap_or_else(|| Err(ENDING.to_owned())) {
            Ok(told) => Some(told),
            Err(why) => {
                self.receiver = Err(why);
                None
            }
        }
    }
}

const ENDING: &str = "the interpreter is ending";

impl Intake for PyIntake {
    fn open(&mut self, meta: &ObjectMeta) -> ObjectId {
        let id = ObjectId::new(self.next);
        self.next = self.next.saturating_add(1);
        let opened = Python::try_attach(|py| {
            let about = (meta.name.as_str(), meta.field.as_str(), meta.content_type.as_str());
            let called = self.intake.call_method1(py, "open", about);
            called.map(Arc::new).map_err(|e| event::raised_by(py, "intake", &self.intake, e).1)
        });
        let receiver = opened.unwrap_or_else(|| Err(ENDING.to_owned()));
        self.open.insert(id, Upload { meta: meta.clone(), receiver });
        id
    }

    fn data(&mut self, id: ObjectId, bytes: &[u8]) {
        if let Some(upload) = self.open.get_mut(&id) {
            upload.call(|receiver| {
                receiver.call_method1("write", (PyBytes::new(receiver.py(), bytes),)).map(drop)
            });
        }
    }

    fn close(&mut self, id: ObjectId, complete: bool) -> Option<Work> {
        let mut upload = self.open.remove(&id)?;
        let answer = upload.call(|receiver| {
            let answer = receiver.call_method1("close", (complete,))?;
            Ok((!answer.is_none()).then(|| answer.unbind()))
        });
        let meta = upload.meta;
        let told = move |report: scanner::ScanReport| WorkResult::Scan {
            meta: meta.clone(),
            report: Box::new(report),
        };
        match (upload.receiver, answer) {
            (Err(why), _) => Some(Work::new(move || told(nothing(&why)))),
            (Ok(_), Some(Some(answer))) => Some(Work::new(move || told(report_of(&answer)))),
            (Ok(_), _) => None,
        }
    }
}

/// The report itself, or what the callable that stands for it answers with.
fn report_of(answer: &Py<PyAny>) -> scanner::ScanReport {
    let told = Python::try_attach(|py| {
        let read = || -> PyResult<scanner::ScanReport> {
            if let Ok(report) = answer.bind(py).cast::<ScanReport>() {
                return Ok(report.get().inner.clone());
            }
            ScanReport::read(&answer.bind(py).call0()?, "the work of an intake")
        };
        read().unwrap_or_else(|error| nothing(&event::raised_by(py, "intake", answer, error).1))
    });
    told.unwrap_or_else(|| nothing(ENDING))
}
