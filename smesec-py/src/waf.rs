//! The firewall.

use crate::errors::wrong;
use crate::event;
use crate::filter::{Filter, policy};
use crate::intake::Uploads;
use crate::rules::RuleSet;
use crate::sink::Out;
use crate::store::Kept;
use arc_swap::ArcSwap;
use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use smesec_core::filter;
use smesec_core::http::Connection;
use smesec_core::intake::Intake;
use smesec_core::policy::{Exception, OnBlock};
use smesec_core::time::Timestamp;
use smesec_core::waf;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes some rules away from some requests, for a while.
///
/// `rules` are ids or inclusive pairs of ids; without rules and `tag` every rule is meant, which takes a `target` or a
/// `path_prefix`. `target` (such as
/// "ARGS:comment") takes away only what the rules see of it; `path_prefix` limits it to paths that
/// begin so; `expires` is a datetime or Unix time in seconds, from when on it no longer holds.
#[pyclass(frozen, module = "smesec")]
#[derive(Debug, Clone)]
pub(crate) struct Exclusion {
    inner: Exception,
}

/// Inclusive pairs of rule ids.
type Pairs = Vec<(u64, u64)>;

/// A rule id, or an inclusive pair.
pub(crate) struct Ids(u64, u64);

impl<'py> FromPyObject<'_, 'py> for Ids {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok((from, to)) = object.extract::<(u64, u64)>() {
            return Ok(Self(from, to));
        }
        let id = object.extract::<u64>()?;
        Ok(Self(id, id))
    }
}

#[pymethods]
impl Exclusion {
    #[new]
    #[pyo3(signature = (rules=Vec::new(), *, tag=None, target=None, path_prefix="", expires=None, reason=""))]
    fn new(
        py: Python<'_>,
        rules: Vec<Ids>,
        tag: Option<String>,
        target: Option<String>,
        path_prefix: &str,
        expires: Option<&Bound<'_, PyAny>>,
        reason: &str,
    ) -> PyResult<Self> {
        if rules.is_empty() && tag.is_none() && target.is_none() && path_prefix.is_empty() {
            let why = "an exclusion of every rule on every path is no firewall; give `rules`, `tag`, `target` or `path_prefix`";
            return Err(wrong(py, why.to_owned()));
        }
        if let Some(Ids(from, to)) = rules.iter().find(|Ids(from, to)| from > to) {
            let why = format!("rules `({from}, {to})` are none; write the lower id first");
            return Err(wrong(py, why));
        }
        if let Some(target) = &target {
            waf::check_target(target).map_err(|e| wrong(py, e.to_string()))?;
        }
        let seconds = match expires {
            None => None,
            Some(when) => Some(match when.getattr_opt("timestamp")? {
                Some(timestamp) => timestamp.call0()?.extract::<f64>()?,
                None => when.extract::<f64>()?,
            }),
        };
        let expires = match seconds {
            None => None,
            Some(seconds) => Some(nanos(seconds).ok_or_else(|| {
                pyo3::exceptions::PyValueError::new_err("`expires` lies beyond the year 2262")
            })?),
        };
        let inner = Exception {
            rules: rules.into_iter().map(|Ids(from, to)| (from, to)).collect(),
            tag,
            target,
            path_prefix: path_prefix.to_owned(),
            expires,
            reason: reason.to_owned(),
        };
        Ok(Self { inner })
    }

    /// What `Exclusion` is called with to make the same one, for copies and pickles.
    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<((Pairs,), Bound<'py, PyDict>)> {
        let Exception { rules, tag, target, path_prefix, expires, reason } = &self.inner;
        let named = PyDict::new(py);
        named.set_item("tag", tag)?;
        named.set_item("target", target)?;
        named.set_item("path_prefix", path_prefix)?;
        named.set_item("expires", expires.map(seconds))?;
        named.set_item("reason", reason)?;
        Ok(((rules.clone(),), named))
    }

    fn __repr__(&self) -> String {
        format!("<smesec.Exclusion: {:?} {}>", self.inner.rules, self.inner.path_prefix)
    }
}

/// Unix time in seconds as nanoseconds.
fn nanos(seconds: f64) -> Option<Timestamp> {
    let since = std::time::Duration::try_from_secs_f64(seconds.abs()).ok()?;
    let nanos = i64::try_from(since.as_nanos()).ok()?;
    Some(Timestamp::from_unix_nanos(if seconds < 0.0 { -nanos } else { nanos }))
}

/// The other way round, to a fraction of a microsecond.
#[expect(clippy::cast_precision_loss, reason = "Python's own times are no finer")]
fn seconds(time: Timestamp) -> f64 {
    time.unix_nanos() as f64 / 1e9
}

fn exceptions(exclusions: Vec<PyRef<'_, Exclusion>>) -> Vec<Exception> {
    exclusions.iter().map(|exclusion| exclusion.inner.clone()).collect()
}

fn mode(py: Python<'_>, word: &str) -> PyResult<waf::Mode> {
    Ok(match word {
        "rules" => waf::Mode::Rules,
        "block" => waf::Mode::Block,
        "detect" => waf::Mode::Detect,
        "off" => waf::Mode::Off,
        other => {
            let why = format!("mode `{other}` is unknown; write rules, block, detect or off");
            return Err(wrong(py, why));
        }
    })
}

/// A firewall that takes ids of its own in each child of a fork.
struct Forkable {
    /// The forks that it is of.
    current: ArcSwap<(u64, waf::Waf)>,
}

impl Forkable {
    fn new(waf: waf::Waf) -> Self {
        Self { current: ArcSwap::from_pointee((event::forks(), waf)) }
    }

    fn waf(&self) -> waf::Waf {
        let current = self.current.load();
        if current.0 == event::forks() {
            return current.1.clone();
        }
        let own = current.1.in_child(event::fresh_seed());
        self.current.store(Arc::new((event::forks(), own)));
        self.current.load().1.clone()
    }
}

impl filter::Filter for Forkable {
    fn begin(
        &self,
        connection: &Connection,
        intake: Option<Box<dyn Intake>>,
    ) -> Box<dyn filter::Transaction> {
        self.waf().begin(connection, intake)
    }
}

/// The resolver of `@rbl`: a callable that takes a host name and answers with a list of addresses as
/// text, or None where that could not be found out.
struct PyResolver(Py<PyAny>);

impl waf::Resolver for PyResolver {
    fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        Python::try_attach(|py| {
            let answer =
                self.0.call1(py, (name,)).and_then(|a| a.extract::<Option<Vec<String>>>(py));
            match answer {
                Ok(addresses) => {
                    addresses?.iter().map(|address| address.parse().ok()).collect::<Option<_>>()
                }
                Err(error) => {
                    error.write_unraisable(py, Some(self.0.bind(py)));
                    None
                }
            }
        })?
    }
}

/// The web application firewall over a rule set; one serves all threads, and forked children.
///
/// `mode`: "rules" (as `SecRuleEngine` says), "block", "detect" or "off". `on_block`: "deny", "decoy" or
/// "log". `on_limit`: "closed" or "open", for what could not be inspected whole (a limit, a failed
/// scan). `steps`: values that rules may look at in one transaction (50 million, some seconds of CPU).
/// `exclusions`: see `Exclusion`. `store`: where collections live (`MemoryStore`, `SharedStore` for
/// several workers, or an object like `smesec.StoreLike`). `resolver`: a callable that looks names up for `@rbl`. `scanner`, `spool_bytes`,
/// `intake`: where uploads go, see `Filter`. `record_headers`: events carry the headers, secrets masked. `sink` receives
/// each event on the thread that finished the transaction: a `Queue`, `Tee`, `DetectorSink`, or a callable
/// that takes a dict, whose exceptions are reported through `sys.unraisablehook` and change no
/// verdict. `id_seed` is the upper half of every event id, random unless given; forked children
/// take their own.
#[pyclass(frozen, extends = Filter, module = "smesec")]
pub(crate) struct Waf {
    own: Arc<Forkable>,
    shared: Shared,
}

/// The rules last given to a firewall and to those made from it, with what they were compiled from.
type Given = Arc<Mutex<RuleSet>>;

/// What another host over the same firewall takes over.
struct Shared {
    given: Given,
    uploads: Uploads,
    sink: Option<Out>,
}

impl Waf {
    fn build(waf: waf::Waf, shared: Shared) -> PyClassInitializer<Self> {
        let own = Arc::new(Forkable::new(waf));
        let base = Filter::with(own.clone(), shared.uploads.clone(), shared.sink.clone());
        PyClassInitializer::from(base).add_subclass(Self { own, shared })
    }

    fn another(&self, py: Python<'_>, waf: waf::Waf) -> PyResult<Py<Self>> {
        let shared = Shared {
            given: Arc::clone(&self.shared.given),
            uploads: self.shared.uploads.clone(),
            sink: self.shared.sink.clone(),
        };
        Py::new(py, Self::build(waf, shared))
    }
}

#[pymethods]
impl Waf {
    #[new]
    #[pyo3(signature = (ruleset, *, mode="rules", on_block="deny", on_limit="closed", steps=50_000_000,
        exclusions=Vec::new(), store=None, resolver=None, scanner=None, spool_bytes=None, intake=None,
        record_headers=false, sink=None, id_seed=None))]
    #[expect(
        clippy::too_many_arguments,
        reason = "keyword arguments in Python, each with a default"
    )]
    fn new(
        py: Python<'_>,
        ruleset: &RuleSet,
        mode: &str,
        on_block: &str,
        on_limit: &str,
        steps: u64,
        exclusions: Vec<PyRef<'_, Exclusion>>,
        store: Option<Kept>,
        resolver: Option<Py<PyAny>>,
        scanner: Option<Py<PyAny>>,
        spool_bytes: Option<usize>,
        intake: Option<Py<PyAny>>,
        record_headers: bool,
        sink: Option<Out>,
        id_seed: Option<u64>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let on_block = match on_block {
            "deny" => OnBlock::Deny,
            "decoy" => OnBlock::Decoy,
            "log" => OnBlock::Log,
            other => {
                let why = format!("on_block `{other}` is unknown; write deny, decoy or log");
                return Err(wrong(py, why));
            }
        };
        let mut builder = waf::Waf::builder(Arc::clone(&ruleset.inner))
            .mode(self::mode(py, mode)?)
            .on_block(on_block)
            .on_limit(policy(py, "on_limit", on_limit)?)
            .steps(steps)
            .exceptions(exceptions(exclusions))
            .record_headers(record_headers)
            .id_seed(id_seed.unwrap_or_else(event::fresh_seed));
        if let Some(store) = store {
            builder = builder.store(store.0);
        }
        if let Some(resolver) = resolver {
            builder = builder.resolver(Arc::new(PyResolver(resolver)));
        }
        let given = Arc::new(Mutex::new(ruleset.again()));
        let uploads = Uploads::new(py, scanner, spool_bytes, intake)?;
        Ok(Self::build(builder.build(), Shared { given, uploads, sink }))
    }

    /// Another firewall over the same rules with exclusions of its own instead: it costs kilobytes, and reloads
    /// reach both.
    fn with_exclusions(
        &self,
        py: Python<'_>,
        exclusions: Vec<PyRef<'_, Exclusion>>,
    ) -> PyResult<Py<Self>> {
        self.another(py, self.own.waf().with_exceptions(exceptions(exclusions)))
    }

    /// Another firewall over the same rules with a mode of its own.
    fn with_mode(&self, py: Python<'_>, mode: &str) -> PyResult<Py<Self>> {
        self.another(py, self.own.waf().with_mode(self::mode(py, mode)?))
    }

    /// Puts other rules in force; what runs finishes on its own. Returns the generation's number.
    fn reload(&self, ruleset: &RuleSet) -> u64 {
        *self.shared.given.lock().unwrap_or_else(PoisonError::into_inner) = ruleset.again();
        self.own.waf().reload(Arc::clone(&ruleset.inner))
    }

    /// An event (a dict) as a line of ModSecurity's JSON audit log, secrets masked, without the line feed; headers
    /// are in it where the firewall has `record_headers=True`.
    fn modsecurity_json(&self, py: Python<'_>, event: &Bound<'_, PyAny>) -> PyResult<String> {
        let event = event::event(event)?;
        let rules = self.own.waf().rules();
        Ok(py.detach(|| waf::audit::ModSecurityJson::new(&event, &rules).to_json()))
    }

    /// The rules in force.
    #[getter]
    fn rules(&self) -> RuleSet {
        let inner = self.own.waf().rules();
        let given = self.shared.given.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&given.inner, &inner) {
            given.again()
        } else {
            RuleSet { inner, recipe: None }
        }
    }

    fn __repr__(&self) -> String {
        format!("<smesec.Waf: {} rules>", self.own.waf().rules().len())
    }
}
