//! Scanners written in Python.

use crate::event;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use smesec_core::intake::ScannerIntake;
use smesec_core::limits::Budget;
use smesec_core::scanner::{self, Skipped};
use std::io::Read;
use std::sync::Arc;

/// What a scanner is to examine: `name` as the sender gave it, and `data` (bytes), or else the `path` of
/// a file or the id of a `process`.
#[pyclass(frozen, module = "smesec")]
#[derive(Debug)]
pub(crate) struct ScanObject {
    /// The name that the sender gave.
    #[pyo3(get)]
    name: String,
    data: Option<Py<PyBytes>>,
    /// The path of a file, else None.
    #[pyo3(get)]
    path: Option<String>,
    /// The id of a process, else None.
    #[pyo3(get)]
    process: Option<u32>,
}

#[pymethods]
impl ScanObject {
    /// The content, None for a file by path and for a process.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.data.as_ref().map(|data| data.bind(py).clone())
    }

    fn __repr__(&self) -> String {
        format!("<smesec.ScanObject: {}>", self.name)
    }
}

/// The answer of a scanner: `findings` (dicts as `smesec.finding` makes them) and `skipped`, pairs of a
/// member ("" for the object itself) and why it was not inspected.
///
/// `outcome` follows: "detected" where something was found, "incomplete" where something was skipped, else "clean".
#[pyclass(frozen, module = "smesec")]
#[derive(Debug)]
pub(crate) struct ScanReport {
    pub(crate) inner: scanner::ScanReport,
}

#[pymethods]
impl ScanReport {
    #[new]
    #[pyo3(signature = (findings=None, *, skipped=Vec::new()))]
    fn new(findings: Option<&Bound<'_, PyAny>>, skipped: Vec<(String, String)>) -> PyResult<Self> {
        let findings = findings.map(event::findings).transpose()?.unwrap_or_default();
        let skipped = skipped.into_iter().map(|(member, why)| Skipped { member, why }).collect();
        Ok(Self { inner: scanner::ScanReport::new(findings, skipped) })
    }

    /// "clean", "detected" or "incomplete".
    #[getter]
    const fn outcome(&self) -> &'static str {
        match self.inner.outcome() {
            scanner::Outcome::Clean => "clean",
            scanner::Outcome::Detected => "detected",
            _ => "incomplete",
        }
    }

    /// What was found: a list of dicts.
    #[getter]
    fn findings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        event::loads(py, &serde_json::to_string(&self.inner.findings).unwrap_or_default())
    }

    /// Pairs of a member and why it was not inspected.
    #[getter]
    fn skipped(&self) -> Vec<(&str, &str)> {
        let skipped = self.inner.skipped.iter();
        skipped.map(|item| (item.member.as_str(), item.why.as_str())).collect()
    }

    fn __repr__(&self) -> String {
        format!("<smesec.ScanReport: {}, {} findings>", self.outcome(), self.inner.findings.len())
    }
}

impl ScanReport {
    /// What a part written in Python answered with.
    pub(crate) fn read(answer: &Bound<'_, PyAny>, who: &str) -> PyResult<scanner::ScanReport> {
        let Ok(report) = answer.cast::<Self>() else {
            let kind = answer.get_type().name()?;
            let why = format!("{who} answers with a ScanReport, not {kind}");
            return Err(pyo3::exceptions::PyTypeError::new_err(why));
        };
        Ok(report.get().inner.clone())
    }
}

/// A scanner written in Python: an object with `scan`, or a callable.
#[derive(Clone)]
pub(crate) struct PyScanner(Arc<Py<PyAny>>);

impl PyScanner {
    pub(crate) fn new(object: Py<PyAny>) -> Self {
        Self(Arc::new(object))
    }

    fn call(&self, py: Python<'_>, object: ScanObject) -> PyResult<scanner::ScanReport> {
        let scanner = self.0.bind(py);
        let answer = match scanner.getattr_opt("scan")? {
            Some(scan) => scan.call1((object,))?,
            None => scanner.call1((object,))?,
        };
        ScanReport::read(&answer, "a scanner")
    }
}

pub(crate) fn nothing(why: &str) -> scanner::ScanReport {
    let skipped = Skipped { member: String::new(), why: why.to_owned() };
    scanner::ScanReport::new(Vec::new(), vec![skipped])
}

impl scanner::Scanner for PyScanner {
    fn scan(
        &mut self,
        object: &mut scanner::Object<'_>,
        budget: &mut Budget,
    ) -> scanner::ScanReport {
        let seen = Python::try_attach(|py| {
            let none = ScanObject { name: String::new(), data: None, path: None, process: None };
            let object = match object {
                scanner::Object::Bytes { name, data } => ScanObject {
                    name: (*name).to_owned(),
                    data: Some(PyBytes::new(py, data).unbind()),
                    ..none
                },
                scanner::Object::File(path) => ScanObject {
                    name: path.to_string_lossy().into_owned(),
                    path: Some(path.to_string_lossy().into_owned()),
                    ..none
                },
                scanner::Object::Reader { name, reader } => {
                    let most =
                        budget.bytes_left().min(ScannerIntake::<Self>::DEFAULT_SPOOL_BYTES as u64);
                    let mut data = Vec::new();
                    let read = reader.take(most.saturating_add(1)).read_to_end(&mut data);
                    if read.is_err() || data.len() as u64 > most {
                        return nothing("could not be read whole into memory");
                    }
                    let data = Some(PyBytes::new(py, &data).unbind());
                    ScanObject { name: (*name).to_owned(), data, ..none }
                }
                scanner::Object::Process(id) => {
                    ScanObject { name: id.to_string(), process: Some(*id), ..none }
                }
                _ => return nothing("an object of a kind that Python scanners are not shown"),
            };
            self.call(py, object).unwrap_or_else(|error| {
                let (_, why) = event::raised_by(py, "scanner", &self.0, error);
                nothing(&why)
            })
        });
        seen.unwrap_or_else(|| nothing("the interpreter is ending"))
    }
}
