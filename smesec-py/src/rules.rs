//! Rule sets.

use crate::errors::raised;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use smesec_core::waf;
use std::path::PathBuf;
use std::sync::Arc;

/// A compiled rule set: immutable, shared by all threads and by every `Waf` over it.
///
/// Make one with `from_path`, `from_text` or `builtin`. Rules that could not be loaded stand in
/// `report`; with `strict=True` the first of them is raised as a `RuleError`.
#[pyclass(frozen, module = "smesec")]
#[derive(Debug)]
pub(crate) struct RuleSet {
    pub(crate) inner: Arc<waf::RuleSet>,
}

fn build(
    py: Python<'_>,
    paranoia: Option<u8>,
    strict: bool,
    add: impl FnOnce(&mut waf::RuleSetBuilder) + Send,
) -> PyResult<RuleSet> {
    let built = py.detach(|| {
        let mut builder = waf::RuleSet::builder();
        builder.strict(strict);
        if let Some(level) = paranoia {
            builder.paranoia(level);
        }
        add(&mut builder);
        builder.build()
    });
    let inner = Arc::new(built.map_err(|error| raised(py, &error))?);
    Ok(RuleSet { inner })
}

#[pymethods]
impl RuleSet {
    /// The rules of one or several SecLang files, with what they include, in that order.
    #[staticmethod]
    #[pyo3(signature = (*paths, paranoia=None, strict=false))]
    fn from_path(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        paranoia: Option<u8>,
        strict: bool,
    ) -> PyResult<Self> {
        build(py, paranoia, strict, |builder| {
            for path in &paths {
                builder.path(&path.to_string_lossy());
            }
        })
    }

    /// Rules in SecLang from a text; `origin` is the file name that errors show.
    #[staticmethod]
    #[pyo3(signature = (text, *, origin="<text>", paranoia=None, strict=false))]
    fn from_text(
        py: Python<'_>,
        text: &str,
        origin: &str,
        paranoia: Option<u8>,
        strict: bool,
    ) -> PyResult<Self> {
        build(py, paranoia, strict, |builder| {
            builder.text(origin, text.as_bytes());
        })
    }

    /// The library's own rule pack.
    #[staticmethod]
    #[pyo3(signature = (*, paranoia=None))]
    fn builtin(py: Python<'_>, paranoia: Option<u8>) -> PyResult<Self> {
        build(py, paranoia, false, |builder| {
            builder.builtin();
        })
    }

    /// What came of loading: a dict of `loaded` (a count), `refused` and `degraded` (lists of dicts
    /// of `file`, `line`, `column`, `rule`, `why`).
    #[getter]
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let report = self.inner.report();
        let list = |items: &[smesec_core::ruleset::Refused]| -> PyResult<Vec<Bound<'py, PyDict>>> {
            let dict = |item: &smesec_core::ruleset::Refused| {
                let dict = PyDict::new(py);
                dict.set_item("file", &item.file)?;
                dict.set_item("line", item.line)?;
                dict.set_item("column", item.column)?;
                dict.set_item("rule", item.rule.as_deref())?;
                dict.set_item("why", &item.why)?;
                Ok(dict)
            };
            items.iter().map(dict).collect()
        };
        let dict = PyDict::new(py);
        dict.set_item("loaded", report.loaded)?;
        dict.set_item("refused", list(&report.refused)?)?;
        dict.set_item("degraded", list(&report.degraded)?)?;
        Ok(dict)
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    fn __repr__(&self) -> String {
        let refused = self.inner.report().refused.len();
        format!("<smesec.RuleSet: {} rules, {refused} refused>", self.inner.len())
    }
}
