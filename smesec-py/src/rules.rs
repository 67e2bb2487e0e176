//! Rule sets.

use crate::errors::raised;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use smesec_core::error::IoError;
use smesec_core::ruleset::{LoadReport, Refused};
use smesec_core::waf;
use smesec_core::waf::seclang::{Files, Loader};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A compiled rule set: immutable, shared by all threads and by every `Waf` over it.
///
/// Make one with `from_path`, `from_text`, `builtin`, or of all three with `from_sources`. Rules that could not be loaded stand in
/// `report`; with `strict=True` the first of them is raised as a `RuleError`. A file that was named and cannot be read raises
/// `InputError`; one that a file includes stands in `report`. `paranoia` (1 to 4) is that of
/// CRS and of the built-in pack; `backtrack_limit` bounds one search of a pattern with look-around.
///
/// Pickles as the text that it was compiled from, files included, and is compiled again where it is loaded.
#[pyclass(frozen, module = "smesec")]
#[derive(Debug)]
pub(crate) struct RuleSet {
    pub(crate) inner: Arc<waf::RuleSet>,
    pub(crate) recipe: Option<Arc<Recipe>>,
}

/// What a rule set was compiled from.
#[derive(Debug)]
pub(crate) struct Recipe {
    sources: Vec<Source>,
    options: Options,
    read: Read,
}

/// A path, a text with its origin, or our own pack.
#[derive(Debug, Clone)]
enum Source {
    Path(String),
    Text(String, Vec<u8>),
    Builtin,
}

#[derive(Debug, Clone, Copy)]
struct Options {
    paranoia: Option<u8>,
    strict: bool,
    backtrack_limit: Option<usize>,
}

/// Files by path and file lists by pattern, as they were.
#[derive(Debug, Default)]
struct Read {
    files: BTreeMap<String, Vec<u8>>,
    lists: BTreeMap<String, Vec<String>>,
}

/// The file system, with what was read kept.
struct Recorder(Arc<Mutex<Read>>);

impl Loader for Recorder {
    fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let bytes = Files.read(path)?;
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        read.files.insert(path.to_owned(), bytes.clone());
        Ok(bytes)
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, Error> {
        let list = Files.glob(pattern)?;
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        read.lists.insert(pattern.to_owned(), list.clone());
        Ok(list)
    }
}

/// What a recorder kept, instead of the file system.
struct Replay(Arc<Mutex<Read>>);

impl Loader for Replay {
    fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        read.files.get(path).cloned().ok_or_else(|| Error::from(ErrorKind::NotFound))
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, Error> {
        let read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(read.lists.get(pattern).cloned().unwrap_or_default())
    }
}

impl RuleSet {
    /// The same rules.
    pub(crate) fn again(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), recipe: self.recipe.clone() }
    }
}

fn build(
    py: Python<'_>,
    sources: Vec<Source>,
    options: Options,
    kept: Option<Read>,
) -> PyResult<RuleSet> {
    let built = py.detach(|| {
        let replays = kept.is_some();
        let read = Arc::new(Mutex::new(kept.unwrap_or_default()));
        let loader: Box<dyn Loader> = if replays {
            Box::new(Replay(Arc::clone(&read)))
        } else {
            Box::new(Recorder(Arc::clone(&read)))
        };
        for source in &sources {
            // A rule set without the file that it was to be made of lets everything pass.
            if let Source::Path(path) = source {
                loader.read(path).map_err(|error| IoError::new(path, error))?;
            }
        }
        let mut builder = waf::RuleSet::builder();
        builder.loader(loader);
        builder.strict(options.strict);
        if let Some(level) = options.paranoia {
            builder.paranoia(level);
        }
        if let Some(limit) = options.backtrack_limit {
            builder.backtrack_limit(limit);
        }
        for source in &sources {
            match source {
                Source::Path(path) => builder.path(path),
                Source::Text(origin, text) => builder.text(origin, text),
                Source::Builtin => builder.builtin(),
            };
        }
        let inner = Arc::new(builder.build()?);
        let read = std::mem::take(&mut *read.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((inner, Recipe { sources, options, read }))
    });
    let (inner, recipe) = built.map_err(|error| raised(py, &error))?;
    Ok(RuleSet { inner, recipe: Some(Arc::new(recipe)) })
}

/// A load report as Python sees it.
pub(crate) fn report_of<'py>(py: Python<'py>, report: &LoadReport) -> PyResult<Bound<'py, PyDict>> {
    let list = |items: &[Refused]| -> PyResult<Vec<Bound<'py, PyDict>>> {
        let dict = |item: &Refused| {
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

/// A source in a pickle: a path alone, an origin with its text, or neither.
type Pickled = (Option<String>, Option<Vec<u8>>);

#[pymethods]
impl RuleSet {
    /// The rules of one or several SecLang files, with what they include, in that order.
    #[staticmethod]
    #[pyo3(signature = (*paths, paranoia=None, strict=false, backtrack_limit=None))]
    fn from_path(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        paranoia: Option<u8>,
        strict: bool,
        backtrack_limit: Option<usize>,
    ) -> PyResult<Self> {
        let text = |path: &PathBuf| Source::Path(path.to_string_lossy().into_owned());
        let options = Options { paranoia, strict, backtrack_limit };
        build(py, paths.iter().map(text).collect(), options, None)
    }

    /// Rules in SecLang from a text; `origin` is the file name that errors show.
    #[staticmethod]
    #[pyo3(signature = (text, *, origin="<text>", paranoia=None, strict=false, backtrack_limit=None))]
    fn from_text(
        py: Python<'_>,
        text: &str,
        origin: &str,
        paranoia: Option<u8>,
        strict: bool,
        backtrack_limit: Option<usize>,
    ) -> PyResult<Self> {
        let source = Source::Text(origin.to_owned(), text.as_bytes().to_vec());
        build(py, vec![source], Options { paranoia, strict, backtrack_limit }, None)
    }

    /// Rules of several kinds, in that order: a path, a pair of an origin and a text, or None for the library's own
    /// rule pack.
    #[staticmethod]
    #[pyo3(signature = (*sources, paranoia=None, strict=false, backtrack_limit=None))]
    fn from_sources(
        py: Python<'_>,
        sources: Vec<Bound<'_, PyAny>>,
        paranoia: Option<u8>,
        strict: bool,
        backtrack_limit: Option<usize>,
    ) -> PyResult<Self> {
        let read = |source: &Bound<'_, PyAny>| {
            if source.is_none() {
                return Ok(Source::Builtin);
            }
            if let Ok((origin, text)) = source.extract::<(String, String)>() {
                return Ok(Source::Text(origin, text.into_bytes()));
            }
            let path: PathBuf = source.extract()?;
            Ok::<_, PyErr>(Source::Path(path.to_string_lossy().into_owned()))
        };
        let sources = sources.iter().map(read).collect::<PyResult<_>>()?;
        build(py, sources, Options { paranoia, strict, backtrack_limit }, None)
    }

    /// The library's own rule pack.
    #[staticmethod]
    #[pyo3(signature = (*, paranoia=None))]
    fn builtin(py: Python<'_>, paranoia: Option<u8>) -> PyResult<Self> {
        let options = Options { paranoia, strict: false, backtrack_limit: None };
        build(py, vec![Source::Builtin], options, None)
    }

    /// What came of loading: a dict of `loaded` (a count), `refused` and `degraded` (lists of dicts
    /// of `file`, `line`, `column`, `rule`, `why`).
    #[getter]
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        report_of(py, self.inner.report())
    }

    fn __reduce__<'py>(
        this: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = this.py();
        let Some(recipe) = &this.get().recipe else {
            let why = "these rules came from a firewall that was reloaded elsewhere; pickle the RuleSet it was given";
            return Err(pyo3::exceptions::PyTypeError::new_err(why));
        };
        let bytes = |bytes: &[u8]| PyBytes::new(py, bytes);
        let sources: Vec<_> = recipe
            .sources
            .iter()
            .map(|source| match source {
                Source::Path(path) => (Some(path.clone()), None),
                Source::Text(origin, text) => (Some(origin.clone()), Some(bytes(text))),
                Source::Builtin => (None, None),
            })
            .collect();
        let files: Vec<_> =
            recipe.read.files.iter().map(|(path, text)| (path.as_str(), bytes(text))).collect();
        let lists: Vec<_> = recipe.read.lists.iter().collect();
        let Options { paranoia, strict, backtrack_limit } = recipe.options;
        let state = (sources, paranoia, strict, backtrack_limit, files, lists).into_pyobject(py)?;
        Ok((this.get_type().getattr("_unpickled")?, state))
    }

    #[staticmethod]
    fn _unpickled(
        py: Python<'_>,
        sources: Vec<Pickled>,
        paranoia: Option<u8>,
        strict: bool,
        backtrack_limit: Option<usize>,
        files: Vec<(String, Vec<u8>)>,
        lists: Vec<(String, Vec<String>)>,
    ) -> PyResult<Self> {
        let source = |pickled| match pickled {
            (Some(path), None) => Source::Path(path),
            (Some(origin), Some(text)) => Source::Text(origin, text),
            (None, _) => Source::Builtin,
        };
        let read = Read { files: files.into_iter().collect(), lists: lists.into_iter().collect() };
        let options = Options { paranoia, strict, backtrack_limit };
        build(py, sources.into_iter().map(source).collect(), options, Some(read))
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    fn __repr__(&self) -> String {
        let refused = self.inner.report().refused.len();
        format!("<smesec.RuleSet: {} rules, {refused} refused>", self.inner.len())
    }
}
