//! Test files run against an application, and the audit of its doors.

use crate::errors::{raised, wrong};
use crate::event;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};
use smesec_core::client::Network;
use smesec_core::error::{IoError, RuleError};
use smesec_core::runner::Response;
use smesec_core::runner::{Observer, Report, TestResult, TestRunner};
use smesec_core::taas::audit::Audit;
use smesec_core::taas::report::{self, About};
use smesec_core::taas::{Call, Extension, Secrets, Suite, Test, Tincture, Value};
use smesec_core::time::Timestamp;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// The tests of some files in Tavern's format, loaded and judged; nothing is sent before `run`.
///
/// The arguments are those of `smesec.taas.run`. Raises `RuleError` for a file that cannot be read as a whole; a single test
/// that cannot be run is in the suite, and refused in the report.
#[pyclass(frozen, name = "Suite", module = "smesec.taas")]
#[derive(Debug)]
pub(crate) struct TaasSuite {
    inner: Suite,
    name: String,
    functions: Option<Arc<Functions>>,
}

#[pymethods]
impl TaasSuite {
    #[new]
    #[pyo3(signature = (files, global_cfg, env, secrets, select, strict_layout, functions))]
    #[expect(clippy::too_many_arguments, reason = "`smesec.taas.run` hands them in by name")]
    fn new(
        py: Python<'_>,
        files: Vec<PathBuf>,
        global_cfg: Vec<PathBuf>,
        env: BTreeMap<String, String>,
        secrets: BTreeMap<String, String>,
        select: Option<String>,
        strict_layout: bool,
        functions: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let name = files.iter().map(text).collect::<Vec<_>>().join(" ");
        let functions = functions.map(|object| Functions::new(py, object)).transpose()?;
        let functions = functions.map(Arc::new);
        let inner = py.detach(|| {
            let mut builder = Suite::builder()
                .env(env)
                .secret(move |name| secrets.get(name).cloned())
                .seed(event::fresh_seed())
                .strict_layout(strict_layout);
            for file in &global_cfg {
                builder = builder.global(text(file));
            }
            for file in &files {
                builder = builder.file(text(file));
            }
            if let Some(expression) = select {
                builder = builder.select(expression);
            }
            if let Some(functions) = &functions {
                builder = builder.extension(Arc::<Functions>::clone(functions));
            }
            builder.check()?;
            Ok(builder.build())
        });
        let inner = inner.map_err(|error| raised(py, &error))?;
        let suite = Self { inner, name, functions };
        suite.stopped()?;
        // A file that cannot be read shall not pass for one without tests.
        if let Some(refused) = suite.inner.report().refused.iter().find(|r| r.rule.is_none()) {
            let why = suite.inner.secrets().masked(&refused.why);
            let error = RuleError::new(&refused.file, refused.line, refused.column, &*why);
            return Err(raised(py, &error.into()));
        }
        Ok(suite)
    }

    /// The tests in their order: dicts of `name`, `file`, `line`, `marks` and `fixtures`.
    #[getter]
    fn tests<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let dict = |test: &Test| {
            let dict = PyDict::new(py);
            dict.set_item("name", test.name())?;
            dict.set_item("file", test.file())?;
            dict.set_item("line", test.line())?;
            dict.set_item("marks", test.marks())?;
            dict.set_item("fixtures", test.fixtures())?;
            Ok(dict)
        };
        self.inner.tests().iter().map(dict).collect()
    }

    /// The hosts and ports that the tests name, and so the only ones that are asked.
    #[getter]
    fn hosts(&self) -> Vec<(String, Option<u16>)> {
        self.inner.hosts()
    }

    /// What deserves a look although it stops nothing: `file:line:column`, found, fix.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        let masked = |text: String| self.inner.secrets().masked(&text).into_owned();
        self.inner.report().degraded.iter().map(|degraded| masked(degraded.to_string())).collect()
    }

    /// Runs the tests, each in a session of its own, `jobs` (1 to 64) at once; with `only` those at these places of `tests`;
    /// with `variables` more of them, below those of the files.
    #[pyo3(signature = (*, only=None, jobs=1, allow_public=false, variables=None))]
    fn run(
        &self,
        py: Python<'_>,
        only: Option<Vec<usize>>,
        jobs: usize,
        allow_public: bool,
        variables: Option<Bound<'_, PyDict>>,
    ) -> PyResult<TaasReport> {
        if !(1..=64).contains(&jobs) {
            return Err(wrong(py, format!("jobs `{jobs}` are none; write a number from 1 to 64")));
        }
        let all = self.inner.tests().len();
        let chosen = only.unwrap_or_else(|| (0..all).collect());
        if let Some(beyond) = chosen.iter().find(|at| **at >= all) {
            return Err(wrong(py, format!("there is no test `{beyond}`; the suite has {all}")));
        }
        let began = (Timestamp::from_system_clock(), Instant::now());
        let variables = variables.map(|given| named(given.as_any())).transpose()?;
        let tests = chosen.iter().filter_map(|at| self.inner.tests().get(*at));
        let tests: Vec<Cow<'_, Test>> = match &variables {
            None => tests.map(Cow::Borrowed).collect(),
            Some(more) => {
                tests.map(|test| Cow::Owned(test.clone().with_variables(more.clone()))).collect()
            }
        };
        let mut hosts = self.inner.hosts();
        if variables.is_some() {
            hosts.extend(tests.iter().flat_map(|test| test.hosts()));
        }
        let target = Network::builder().allow_hosts(hosts, allow_public).build();
        let mut secrets = self.inner.secrets().clone();
        let results = py.detach(|| self.each(&tests, &target, jobs, &mut secrets))?;
        let report = Report { results, ..Report::default() };
        Ok(TaasReport {
            report,
            secrets,
            name: self.name.clone(),
            began: began.0,
            elapsed: began.1.elapsed(),
            warnings: self.warnings(),
        })
    }

    fn __len__(&self) -> usize {
        self.inner.tests().len()
    }

    fn __repr__(&self) -> String {
        format!("<smesec.taas.Suite: {} tests>", self.inner.tests().len())
    }
}

impl TaasSuite {
    /// The results of the chosen tests, in that order.
    fn each(
        &self,
        tests: &[Cow<'_, Test>],
        target: &Network,
        jobs: usize,
        secrets: &mut Secrets,
    ) -> PyResult<Vec<TestResult>> {
        let test = |at: usize| tests.get(at);
        if jobs == 1 {
            // On the caller's own thread, where its functions expect to be called.
            let mut results = Vec::with_capacity(tests.len());
            while let Some(test) = test(results.len()) {
                results.push(test.run(target, secrets));
                self.interrupted()?;
            }
            return Ok(results);
        }
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (send, receive) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..jobs.min(tests.len()) {
                let (send, next, stop) = (send.clone(), &next, &stop);
                scope.spawn(move || {
                    let mut secrets = self.inner.secrets().clone();
                    while !stop.load(Ordering::Relaxed) {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(test) = test(at) else { return };
                        let result = test.run(target, &mut secrets);
                        if send.send((at, result, secrets.clone())).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            let mut results = BTreeMap::new();
            for (at, result, met) in receive {
                secrets.extend(&met);
                results.insert(at, result);
                if let Err(error) = self.interrupted() {
                    stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
            Ok(results.into_values().collect())
        })
    }

    /// Ctrl-C between two tests, or what a function raised that is more than its failure.
    fn interrupted(&self) -> PyResult<()> {
        self.stopped()?;
        // `check_signals` itself serves one lifetime only, which is not enough here.
        Python::try_attach(|py: Python<'_>| Python::check_signals(py)).unwrap_or(Ok(()))
    }

    fn stopped(&self) -> PyResult<()> {
        let Some(functions) = &self.functions else { return Ok(()) };
        let stop = functions.stop.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        stop.map_or(Ok(()), Err)
    }
}

/// Python's functions behind the names in test files: an object with `offers`, `call`, `tincture` and `watch`, and with
/// `fixtures`, `promises` and `watches`.
#[derive(Debug)]
struct Functions {
    object: Py<PyAny>,
    fixtures: Vec<(String, Value)>,
    /// Whether any fixture may be asked for: the values come when a test runs.
    promises: bool,
    /// Whether requests are looked on at.
    watches: bool,
    stop: Arc<Stop>,
}

/// What ends the run: an interrupt, an exit, an outcome of the test framework around it.
#[derive(Debug, Default)]
struct Stop(Mutex<Option<PyErr>>);

impl Functions {
    fn new(py: Python<'_>, object: Py<PyAny>) -> PyResult<Self> {
        let own = object.bind(py);
        let flag = |name: &str| own.getattr(name)?.is_truthy();
        Ok(Self {
            fixtures: named(&own.getattr("fixtures")?)?,
            promises: flag("promises")?,
            watches: flag("watches")?,
            stop: Arc::default(),
            object,
        })
    }

    /// What Python answers; what it raises fails the test, by this name.
    fn asked<T>(
        &self,
        name: &str,
        ask: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>,
    ) -> Result<T, String> {
        let told = |py: Python<'_>| {
            ask(self.object.bind(py)).map_err(|error| self.stop.failure(py, name, error))
        };
        Python::try_attach(told).unwrap_or_else(|| Err("the interpreter is ending".to_owned()))
    }

    /// What is to see the answer, where there is anything.
    fn begun(&self, name: &str, given: &Bound<'_, PyAny>) -> Option<Box<dyn Tincture>> {
        if given.is_none() {
            return None;
        }
        let (name, stop) = (name.to_owned(), Arc::clone(&self.stop));
        Some(Box::new(Begun { name, finish: given.clone().unbind(), stop }))
    }
}

impl Stop {
    /// What an exception means to the test whose function raised it.
    fn failure(&self, py: Python<'_>, function: &str, error: PyErr) -> String {
        let kind = error.get_type(py).name().map_or_else(|_| String::new(), |n| n.to_string());
        let text: String = error.value(py).to_string().chars().take(2_000).collect();
        if !error.is_instance_of::<PyException>(py) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        let colon = if text.is_empty() { "" } else { ": " };
        format!("`{function}` raised {kind}{colon}{text}")
    }
}

/// A tincture that waits for the answer.
struct Begun {
    name: String,
    finish: Py<PyAny>,
    stop: Arc<Stop>,
}

impl Tincture for Begun {
    fn finish(
        self: Box<Self>,
        expected: &Value,
        response: Option<&Response>,
    ) -> Result<(), String> {
        let told = |py: Python<'_>| {
            let given = || {
                let with = (object(py, expected)?, response.map(|response| seen(py, response)));
                self.finish.bind(py).call1(with)
            };
            given().map(drop).map_err(|error| self.stop.failure(py, &self.name, error))
        };
        Python::try_attach(told).unwrap_or_else(|| Err("the interpreter is ending".to_owned()))
    }
}

/// An answer in parts: status, reason, headers, body.
type Seen<'py> = (u16, String, Vec<(String, Bound<'py, PyBytes>)>, Bound<'py, PyBytes>);

fn seen<'py>(py: Python<'py>, response: &Response) -> Seen<'py> {
    let headers = response.headers.iter();
    let headers = headers.map(|(n, v)| (n.clone(), PyBytes::new(py, v))).collect();
    (response.status, response.reason.clone(), headers, PyBytes::new(py, &response.body))
}

/// The arguments of a call.
type Given<'py> = (Bound<'py, PyTuple>, Bound<'py, PyDict>);

fn arguments<'py>(py: Python<'py>, call: &Call<'_>) -> PyResult<Given<'py>> {
    let args = call.args.iter().map(|arg| object(py, arg));
    let args = PyTuple::new(py, args.collect::<PyResult<Vec<_>>>()?)?;
    let kwargs = PyDict::new(py);
    for (name, value) in call.kwargs {
        kwargs.set_item(name, object(py, value)?)?;
    }
    Ok((args, kwargs))
}

/// The values of a mapping by their names.
fn named(given: &Bound<'_, PyAny>) -> PyResult<Vec<(String, Value)>> {
    match value(given, DEPTH)? {
        Value::Map(entries) => Ok(entries),
        _ => Err(wrong(given.py(), "a mapping of names and values is expected".to_owned())),
    }
}

impl Extension for Functions {
    fn offers(&self, function: &str) -> bool {
        let asked =
            self.asked(function, |own| own.call_method1("offers", (function,))?.is_truthy());
        asked.unwrap_or(false)
    }

    fn call(&self, call: &Call<'_>) -> Result<Value, String> {
        self.asked(call.function, |own| {
            let (args, kwargs) = arguments(own.py(), call)?;
            let response = call.response.map(|response| seen(own.py(), response));
            value(&own.call_method1("call", (call.function, response, args, kwargs))?, DEPTH)
        })
    }

    fn fixture(&self, name: &str) -> Option<Value> {
        let known = self.fixtures.iter().find(|(known, _)| known == name);
        known.map(|(_, value)| value.clone())
    }

    fn offers_fixture(&self, name: &str) -> bool {
        self.promises || self.fixtures.iter().any(|(known, _)| known == name)
    }

    fn tincture(
        &self,
        call: &Call<'_>,
        stage: &Value,
    ) -> Result<Option<Box<dyn Tincture>>, String> {
        self.asked(call.function, |own| {
            let (args, kwargs) = arguments(own.py(), call)?;
            let with = (call.function, object(own.py(), stage)?, args, kwargs);
            Ok(self.begun(call.function, &own.call_method1("tincture", with)?))
        })
    }

    fn watch(&self, request: &Value) -> Result<Option<Box<dyn Tincture>>, String> {
        if !self.watches {
            return Ok(None);
        }
        self.asked("a hook", |own| {
            let with = (object(own.py(), request)?,);
            Ok(self.begun("a hook", &own.call_method1("watch", with)?))
        })
    }
}

/// How deep values of functions may nest. 128: as answers in JSON may.
const DEPTH: usize = 128;

/// A value as Python sees it.
fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(flag) => PyBool::new(py, *flag).to_owned().into_any(),
        Value::Int(number) => number.into_pyobject(py)?.into_any(),
        Value::Float(number) => PyFloat::new(py, *number).into_any(),
        Value::Text(text) => PyString::new(py, text).into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Value::List(items) => {
            let items = items.iter().map(|item| object(py, item));
            PyList::new(py, items.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        Value::Map(entries) => {
            let dict = PyDict::new(py);
            for (key, item) in entries {
                dict.set_item(key, object(py, item)?)?;
            }
            dict.into_any()
        }
        Value::Token(token) => PyString::new(py, &token.to_string()).into_any(),
    })
}

/// The value that a function gave.
fn value(object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    let Some(deeper) = depth.checked_sub(1) else {
        let why = format!("what was given nests deeper than {DEPTH}; give less");
        return Err(wrong(object.py(), why));
    };
    Ok(if object.is_none() {
        Value::Null
    } else if let Ok(flag) = object.cast::<PyBool>() {
        Value::Bool(flag.is_true())
    } else if object.is_instance_of::<PyInt>() {
        Value::Int(object.extract()?)
    } else if let Ok(number) = object.cast::<PyFloat>() {
        Value::Float(number.value())
    } else if let Ok(text) = object.cast::<PyString>() {
        Value::Text(text.to_string())
    } else if let Ok(bytes) = object.cast::<PyBytes>() {
        Value::Bytes(bytes.as_bytes().to_vec())
    } else if let Ok(map) = object.cast::<PyMapping>() {
        let mut entries = Vec::new();
        for entry in map.items()?.iter() {
            let (key, item): (Bound<'_, PyAny>, Bound<'_, PyAny>) = entry.extract()?;
            entries.push((key.str()?.to_string(), value(&item, deeper)?));
        }
        Value::Map(entries)
    } else if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        let items = object.try_iter()?.map(|item| value(&item?, deeper));
        Value::List(items.collect::<PyResult<_>>()?)
    } else {
        let kind = object.get_type().name()?;
        return Err(wrong(
            object.py(),
            format!("a `{kind}` was given; give JSON's types or bytes"),
        ));
    })
}

/// What a run found. Every text is masked: values under names like `password`, credentials, the secrets of the run.
#[pyclass(frozen, name = "Report", module = "smesec.taas")]
#[derive(Debug)]
pub(crate) struct TaasReport {
    report: Report,
    secrets: Secrets,
    name: String,
    began: Timestamp,
    elapsed: Duration,
    warnings: Vec<String>,
}

type Writer = fn(&Report, &About<'_>, &mut dyn Write) -> io::Result<()>;

impl TaasReport {
    fn written(&self, py: Python<'_>, writer: Writer) -> PyResult<String> {
        let bytes = py.detach(|| {
            let mut about = About::new(&self.name, &self.secrets);
            about.began = self.began;
            about.elapsed = Some(self.elapsed);
            let mut bytes = Vec::new();
            writer(&self.report, &about, &mut bytes).map(|()| bytes)
        })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The lines of the JSON report that have a key of this name; what is under it, or the lines themselves.
    fn lines<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let text = self.written(py, report::json_lines)?;
        let mut found = Vec::new();
        for line in text.lines() {
            let line = event::loads(py, line)?;
            if line.contains(key)? {
                found.push(if key == "test" { line } else { line.get_item(key)? });
            }
        }
        Ok(found)
    }
}

#[pymethods]
impl TaasReport {
    /// A dict for each test, made anew at each look: `test` (its name), `verdict` (`passed`, `failed`, `expected_failure`,
    /// `skipped` or `refused`: it could not be run), `elapsed_ms`, `steps` (dicts of `name`, `exchanges` and, where
    /// something did not hold, `failures` and `evidence`), and, where they are known, `message`, `place` (`file:line`),
    /// `warnings`, `advice`, `check`, `severity`, `part`, `evidence` and `tags`.
    #[getter]
    fn results<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.lines(py, "test")
    }

    /// The cells of an audit's authorisation matrix: dicts of `role`, `method`, `route`, `expected`, `seen`, `finding`.
    #[getter]
    fn matrix<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.lines(py, "cell")
    }

    /// How many tests ended how, by verdict, when the run began and how long it took.
    #[getter]
    fn summary<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let none = || PyDict::new(py).into_any();
        Ok(self.lines(py, "summary")?.into_iter().next().unwrap_or_else(none))
    }

    /// What deserves a look in the files although it stopped nothing: `file:line:column`, found, fix.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// Whether no test failed or was refused, and one at least passed.
    #[getter]
    fn passed(&self) -> bool {
        self.report.all_passed()
    }

    /// The report for continuous integration: the XML of `JUnit`.
    fn junit(&self, py: Python<'_>) -> PyResult<String> {
        self.written(py, report::junit)
    }

    /// The report for code scanning: SARIF 2.1.0.
    fn sarif(&self, py: Python<'_>) -> PyResult<String> {
        self.written(py, report::sarif)
    }

    /// The report for a person: one file, with the matrix as a heat map.
    fn html(&self, py: Python<'_>) -> PyResult<String> {
        self.written(py, report::html)
    }

    fn __repr__(&self) -> String {
        let (tests, passed) = (self.report.results.len(), self.report.all_passed());
        let passed = if passed { "passed" } else { "not passed" };
        format!("<smesec.taas.Report: {tests} results, {passed}>")
    }
}

/// Audits the doors of the API that the file describes.
#[pyfunction]
#[pyo3(signature = (path, only, destructive))]
pub(crate) fn taas_audit(
    py: Python<'_>,
    path: PathBuf,
    only: Vec<String>,
    destructive: bool,
) -> PyResult<TaasReport> {
    let name = path.to_string_lossy().into_owned();
    let began = (Timestamp::from_system_clock(), Instant::now());
    let ran = py.detach(|| {
        let text = std::fs::read_to_string(&path).map_err(|e| IoError::new(&name, e))?;
        let mut audit = Audit::load(&text, &name)?;
        if !only.is_empty() {
            audit = audit.only(only.iter().map(String::as_str))?;
        }
        let audit = audit.destructive(destructive);
        let (most, rate, _) = audit.limits();
        let builder = Network::builder().at_most(most).per_second(rate);
        let builder = builder.allow_hosts(audit.hosts(), audit.allows_public_hosts());
        let warnings = audit.warnings().to_vec();
        Ok((audit.run(&builder.build(), &mut Nobody), warnings))
    });
    let (report, warnings) = ran.map_err(|error| raised(py, &error))?;
    // The audit has masked what it keeps.
    let secrets = Secrets::default();
    let (began, elapsed) = (began.0, began.1.elapsed());
    Ok(TaasReport { report, secrets, name, began, elapsed, warnings })
}

/// Nobody looks on.
struct Nobody;

impl Observer for Nobody {
    fn finished(&mut self, _result: &TestResult) {}
}
