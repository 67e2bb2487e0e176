//! Detection over logs: Sigma rules, and the engine that matches and correlates.

use crate::arrow::{Cells, Source as Table};
use crate::errors::{raised, wrong};
use crate::event;
use crate::http::Bytes;
use crate::json::exact;
use crate::rules::report_of;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMapping, PyString, PyTuple};
use serde_json::{Value, json};
use smesec_core::error::{Error, IoError};
use smesec_core::siem::correlation::{Alarm, AlarmKind, Settings};
use smesec_core::siem::record::{Kind, Record};
use smesec_core::siem::sources::{BadLine, Format, Reader, ReaderOptions};
use smesec_core::siem::{Engine, RuleSet, Site};
use smesec_core::time::Timestamp;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sigma rules, filters and correlations, compiled: immutable, shared by all threads and engines.
///
/// Make one with `from_path` (files, or folders with all their `.yml` and `.yaml` files), `from_text`, `builtin`, or of all
/// three with `from_sources`. Rules that could not be loaded stand in `report`; with `strict=True` the first of them is
/// raised as a `RuleError`. `placeholders` are the values of `%name%`: a mapping, or the path of a YAML file that
/// has one; `pipelines` are the paths of processing pipelines in pySigma's form. `len()` counts rules without correlations.
///
/// Pickles as the text that it was compiled from, and is compiled again where it is loaded.
#[pyclass(frozen, name = "RuleSet", module = "smesec.siem")]
#[derive(Debug)]
pub(crate) struct SiemRuleSet {
    inner: Arc<RuleSet>,
    recipe: Recipe,
}

/// What a rule set was compiled from.
#[derive(Debug)]
struct Recipe {
    sources: Vec<Source>,
    placeholders: Option<Named>,
    pipelines: Vec<Named>,
    strict: bool,
}

/// A text with the file name that errors show.
type Named = (String, String);

#[derive(Debug)]
enum Source {
    Text(Named),
    /// A file that is no text: the builder says why.
    Path(String),
    Builtin,
}

/// A source in a pickle: an origin with its text, a path alone, or neither.
type Pickled = (Option<String>, Option<String>);

impl Recipe {
    fn new(
        py: Python<'_>,
        sources: Vec<Source>,
        placeholders: Option<Bound<'_, PyAny>>,
        pipelines: Vec<PathBuf>,
        strict: bool,
    ) -> PyResult<Self> {
        let placeholders = placeholders.map(|given| placeholders_of(&given)).transpose()?;
        let pipelines = pipelines.iter().map(|path| read(py, path)).collect::<PyResult<_>>()?;
        Ok(Self { sources, placeholders, pipelines, strict })
    }

    fn build(self, py: Python<'_>) -> PyResult<SiemRuleSet> {
        let built = py.detach(|| {
            let mut builder = RuleSet::builder();
            builder.strict(self.strict);
            if let Some((origin, text)) = &self.placeholders {
                builder.placeholders(origin, text);
            }
            for (origin, text) in &self.pipelines {
                builder.pipeline(origin, text);
            }
            for source in &self.sources {
                match source {
                    Source::Text((origin, text)) => builder.text(origin, text),
                    Source::Path(path) => builder.path(path),
                    Source::Builtin => builder.builtin(),
                };
            }
            builder.build()
        });
        let inner = Arc::new(built.map_err(|error| raised(py, &error))?);
        Ok(SiemRuleSet { inner, recipe: self })
    }
}

/// The rules of a path, read now so that they pickle.
fn sources_of(py: Python<'_>, path: &PathBuf) -> PyResult<Vec<Source>> {
    let files = py.detach(|| RuleSet::files(path)).map_err(|error| raised(py, &error))?;
    let source = |file: PathBuf| {
        let name = file.display().to_string();
        match std::fs::read_to_string(&file) {
            Ok(text) => Source::Text((name, text)),
            Err(_) => Source::Path(name),
        }
    };
    Ok(py.detach(|| files.into_iter().map(source).collect()))
}

fn read(py: Python<'_>, path: &PathBuf) -> PyResult<Named> {
    let name = path.display().to_string();
    match py.detach(|| std::fs::read_to_string(path)) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(raised(py, &IoError::new(name, error).into())),
    }
}

/// A mapping as YAML (which JSON is), or a file.
fn placeholders_of(given: &Bound<'_, PyAny>) -> PyResult<Named> {
    let py = given.py();
    if let Ok(path) = given.extract::<PathBuf>() {
        return read(py, &path);
    }
    let given = py.get_type::<PyDict>().call1((given,))?;
    let mut text = Vec::new();
    exact(&given, &mut text).map_err(|why| wrong(py, format!("placeholders: {why}")))?;
    Ok(("<placeholders>".to_owned(), String::from_utf8_lossy(&text).into_owned()))
}

#[pymethods]
impl SiemRuleSet {
    /// The rules of files and folders, in that order.
    #[staticmethod]
    #[pyo3(signature = (*paths, placeholders=None, pipelines=Vec::new(), strict=false))]
    fn from_path(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        placeholders: Option<Bound<'_, PyAny>>,
        pipelines: Vec<PathBuf>,
        strict: bool,
    ) -> PyResult<Self> {
        let mut sources = Vec::new();
        for path in &paths {
            sources.extend(sources_of(py, path)?);
        }
        Recipe::new(py, sources, placeholders, pipelines, strict)?.build(py)
    }

    /// The rules of a text; `origin` is the file name that errors show.
    #[staticmethod]
    #[pyo3(signature = (text, *, origin="<text>", placeholders=None, pipelines=Vec::new(), strict=false))]
    fn from_text(
        py: Python<'_>,
        text: String,
        origin: &str,
        placeholders: Option<Bound<'_, PyAny>>,
        pipelines: Vec<PathBuf>,
        strict: bool,
    ) -> PyResult<Self> {
        let sources = vec![Source::Text((origin.to_owned(), text))];
        Recipe::new(py, sources, placeholders, pipelines, strict)?.build(py)
    }

    /// Rules of several kinds, in that order: a path, a pair of an origin and a text, or None for the library's own rules.
    #[staticmethod]
    #[pyo3(signature = (*sources, placeholders=None, pipelines=Vec::new(), strict=false))]
    fn from_sources(
        py: Python<'_>,
        sources: Vec<Bound<'_, PyAny>>,
        placeholders: Option<Bound<'_, PyAny>>,
        pipelines: Vec<PathBuf>,
        strict: bool,
    ) -> PyResult<Self> {
        let mut all = Vec::new();
        for source in &sources {
            if source.is_none() {
                all.push(Source::Builtin);
            } else if let Ok(named) = source.extract::<Named>() {
                all.push(Source::Text(named));
            } else {
                all.extend(sources_of(py, &source.extract()?)?);
            }
        }
        Recipe::new(py, all, placeholders, pipelines, strict)?.build(py)
    }

    /// The library's own rules.
    #[staticmethod]
    fn builtin(py: Python<'_>) -> PyResult<Self> {
        Recipe::new(py, vec![Source::Builtin], None, Vec::new(), false)?.build(py)
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
        let Recipe { sources, placeholders, pipelines, strict } = &this.get().recipe;
        let pickled = |source: &Source| match source {
            Source::Text((origin, text)) => (Some(origin.clone()), Some(text.clone())),
            Source::Path(path) => (Some(path.clone()), None),
            Source::Builtin => (None, None),
        };
        let sources: Vec<Pickled> = sources.iter().map(pickled).collect();
        let state = (sources, placeholders.clone(), pipelines.clone(), *strict);
        Ok((this.get_type().getattr("_unpickled")?, state.into_pyobject(this.py())?))
    }

    #[staticmethod]
    fn _unpickled(
        py: Python<'_>,
        sources: Vec<Pickled>,
        placeholders: Option<Named>,
        pipelines: Vec<Named>,
        strict: bool,
    ) -> PyResult<Self> {
        let source = |pickled| match pickled {
            (Some(origin), Some(text)) => Source::Text((origin, text)),
            (Some(path), None) => Source::Path(path),
            (None, _) => Source::Builtin,
        };
        let sources = sources.into_iter().map(source).collect();
        Recipe { sources, placeholders, pipelines, strict }.build(py)
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    fn __repr__(&self) -> String {
        let (rules, correlations) = (self.inner.len(), self.inner.plan().len());
        let refused = self.inner.report().refused.len();
        format!(
            "<smesec.siem.RuleSet: {rules} rules, {correlations} correlations, {refused} refused>"
        )
    }
}

/// Streams open at once: what a host with a stream for each of its machines may have. Each holds at most an event
/// (1 MiB) that has not ended.
const STREAMS: usize = 4_096;

/// Finds in logs what rules describe, and what several findings mean together.
///
/// `feed` takes bytes of a log in pieces of any size, `match` takes records that are mappings already. Both answer with dicts,
/// in the order of the records. A dict of the kind "detection" has `rule_id`, `title`, `author`, `level`, `tags`, `origin`,
/// `record_id` (the line from 0, the number within an EVTX file, or the place among the records given), `time` and `fields`.
/// One of the kind "alarm" has `change` ("opened", "updated" or "closed"), `about` ("correlation", "directive" or "health"), `id`
/// (the same for all changes of one alarm), `rule_id`, `title`, `severity`, `time`, `start`, `count`, `figure`, `group`, `risk` and
/// `message`. A rule that a correlation builds on is told by its alarms alone, unless the correlation says `generate`.
///
/// Alarms are decided by the records' own times: a correlation waits until no source can come up with an earlier record,
/// `lateness` seconds (30: what relays hold back at worst) behind the newest. For logs that are stored, in no order,
/// `float("inf")` makes everything wait for `finish`.
///
/// `home_net` lists the networks that are one's own, `assets` is the path of an inventory in YAML (what hosts and networks are
/// worth, 0 to 5; it sets the risk of alarms), `policies` that of a YAML file that says what is done with an event before it is
/// correlated, `directives` those of files with directives, in OSSIM's XML or in YAML. What cannot be read raises `RuleError`,
/// `ConfigError` or `InputError`; single directives that cannot run stand in `report`.
///
/// One engine serves all threads, one call after another.
#[pyclass(frozen, name = "Engine", module = "smesec.siem")]
#[derive(Debug)]
pub(crate) struct SiemEngine {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    engine: Engine,
    streams: HashMap<String, (Format, Reader)>,
    seen: Seen,
}

/// What has gone through.
#[derive(Debug, Default)]
struct Seen {
    records: u64,
    bad: u64,
    first_bad: Option<String>,
}

impl SiemEngine {
    /// What the rows of a table lead to.
    fn rows(
        &self,
        py: Python<'_>,
        mut table: Table,
        origin: &str,
        now: Option<i64>,
    ) -> PyResult<Vec<Value>> {
        let options = ReaderOptions { now: clock(now), ..ReaderOptions::default() };
        let told = py.detach(|| {
            let mut reader = Reader::new(Format::Json, origin, options);
            let mut told = Vec::new();
            // A stream may be of Python, which may use this engine: it is not held meanwhile.
            while let Some(batch) = table.next()? {
                let root = batch.root()?;
                let mut cells = Cells::default();
                let state = &mut *self.lock();
                let mut each = watch(&mut state.engine, &mut state.seen, &mut told);
                for row in 0..root.rows() {
                    reader.row(&cells.row(&root, row), &mut each);
                }
            }
            Ok::<_, String>(told)
        });
        told.map_err(|why| wrong(py, why))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows what a reader gives to the engine, and keeps what it tells.
fn watch<'s>(
    engine: &'s mut Engine,
    seen: &'s mut Seen,
    told: &'s mut Vec<Value>,
) -> impl FnMut(Result<Record<'_>, BadLine>) + 's {
    let rules = Arc::clone(engine.matcher().rules());
    move |line| match line {
        Ok(record) => {
            seen.records += 1;
            let found = engine.see(&record);
            for rule in found.detections {
                told.push(detection(&rules, *rule, &record));
            }
            told.extend(found.alarms.iter().map(alarm));
        }
        Err(bad) => {
            seen.bad += 1;
            seen.first_bad.get_or_insert_with(|| bad.to_string());
        }
    }
}

fn detection(rules: &RuleSet, rule: u32, record: &Record<'_>) -> Value {
    let meta = rules.meta(rule);
    let mut fields = serde_json::Map::new();
    for field in record.fields {
        let value = match field.value.kind {
            Kind::Null => Value::Null,
            Kind::Bool => Value::Bool(field.value.text.eq_ignore_ascii_case("true")),
            Kind::Number => {
                field.value.text.parse().map_or_else(|_| field.value.text.into(), Value::Number)
            }
            Kind::Text => field.value.text.into(),
        };
        match fields.get_mut(field.name) {
            None => drop(fields.insert(field.name.to_owned(), value)),
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    json!({
        "kind": "detection",
        "rule_id": meta.map(|meta| &meta.id),
        "title": meta.map(|meta| &meta.title),
        "author": meta.and_then(|meta| meta.author.as_ref()),
        "level": meta.map(|meta| &meta.level),
        "tags": meta.map(|meta| &meta.tags),
        "origin": record.origin,
        "record_id": record.number,
        "time": record.time.unix_nanos(),
        "fields": fields,
    })
}

fn alarm(alarm: &Alarm) -> Value {
    let group = alarm.group.iter().map(|(name, value)| (name.to_string(), value.as_str().into()));
    json!({
        "kind": "alarm",
        "change": alarm.change.word(),
        "about": match alarm.kind {
            AlarmKind::Correlation => "correlation",
            AlarmKind::Directive => "directive",
            _ => "health",
        },
        "id": alarm.id.to_string(),
        "rule_id": alarm.rule.id,
        "title": alarm.rule.name,
        "severity": alarm.severity,
        "time": alarm.time.unix_nanos(),
        "start": alarm.start.unix_nanos(),
        "count": alarm.count,
        "figure": alarm.figure,
        "group": group.collect::<serde_json::Map<_, _>>(),
        "risk": alarm.risk,
        "message": alarm.message,
    })
}

fn format_of(py: Python<'_>, name: &str) -> PyResult<Format> {
    // Patterns are described in Rust; this face takes none.
    let known = || Format::ALL.iter().filter(|(_, format)| *format != Format::Pattern);
    known().find(|(known, _)| *known == name).map(|(_, format)| *format).ok_or_else(|| {
        let names: Vec<&str> = known().map(|(name, _)| *name).collect();
        wrong(py, format!("format `{name}` is unknown; write one of {}", names.join(", ")))
    })
}

/// A piece of a log.
#[derive(FromPyObject)]
enum Piece {
    Text(String),
    Bytes(Bytes),
}

fn clock(now: Option<i64>) -> Timestamp {
    now.map_or_else(Timestamp::from_system_clock, Timestamp::from_unix_nanos)
}

fn dicts(py: Python<'_>, told: Vec<Value>) -> PyResult<Bound<'_, PyAny>> {
    event::loads(py, &Value::Array(told).to_string())
}

#[pymethods]
impl SiemEngine {
    #[new]
    #[pyo3(signature = (ruleset, lateness=30.0, *, home_net=None, assets=None, policies=None, directives=None))]
    fn new(
        py: Python<'_>,
        ruleset: &SiemRuleSet,
        lateness: f64,
        home_net: Option<Vec<String>>,
        assets: Option<PathBuf>,
        policies: Option<PathBuf>,
        directives: Option<Vec<PathBuf>>,
    ) -> PyResult<Self> {
        if lateness.is_nan() || lateness < 0.0 {
            let why = format!("lateness `{lateness}` is none; write seconds from 0 on");
            return Err(wrong(py, why));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float beyond the range becomes its end"
        )]
        let lateness = (lateness * 1e9) as i64;
        let settings = Settings { lateness, ..Settings::default() };
        let rules = Arc::clone(&ruleset.inner);
        let engine = py.detach(|| {
            let mut site = Site::default();
            for networks in home_net.unwrap_or_default() {
                site.home(&networks)?;
            }
            let shown = |path: &PathBuf| path.display().to_string();
            let unread = |path: &PathBuf, error| Error::from(IoError::new(shown(path), error));
            let read = |path| std::fs::read_to_string(path).map_err(|error| unread(path, error));
            if let Some(path) = &assets {
                site.assets(&read(path)?, &shown(path))?;
            }
            if let Some(path) = &policies {
                site.policies(&read(path)?, &shown(path));
            }
            for path in directives.iter().flatten() {
                let text = std::fs::read(path).map_err(|error| unread(path, error))?;
                site.directives(&text, &shown(path))?;
            }
            site.engine(rules, settings)
        });
        let engine = engine.map_err(|error| raised(py, &error))?;
        let state = State { engine, streams: HashMap::new(), seen: Seen::default() };
        Ok(Self { state: Mutex::new(state) })
    }

    /// Takes the next bytes of the stream `origin`, cut anywhere, and answers with what they led to.
    ///
    /// `format` is "auto", "json", "evtx", "event-xml", "syslog", "cef", "leef", "auditd", "journal-export", "access",
    /// "error-log", "csv" or "text", and stays what it was for the first piece. `last` tells that the stream has ended, so that an
    /// event without its newline counts. `now` is the time of arrival (the clock's unless given): it tells which year a
    /// stamp without one belongs to. At most 4,096 streams are open at once. Events that cannot be read are passed over
    /// and counted in `statistics`.
    #[pyo3(signature = (data, format="auto", origin="<bytes>", *, last=false, now=None))]
    fn feed<'py>(
        &self,
        py: Python<'py>,
        data: Piece,
        format: &str,
        origin: &str,
        last: bool,
        now: Option<i64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let format = format_of(py, format)?;
        let now = clock(now);
        let data = match &data {
            // A log's text is not the wire's: it is UTF-8.
            Piece::Text(text) => text.as_bytes(),
            Piece::Bytes(bytes) => bytes.as_slice(),
        };
        let told = py.detach(|| {
            let state = &mut *self.lock();
            let full = state.streams.len() >= STREAMS;
            let (known, reader) = match state.streams.get_mut(origin) {
                Some(stream) => stream,
                None if full => {
                    return Err(format!(
                        "{STREAMS} streams are open, and `{origin}` is one more; say `last=True` where one has ended"
                    ));
                }
                None => state.streams.entry(origin.to_owned()).or_insert_with(|| {
                    (format, Reader::new(format, origin, ReaderOptions::default()))
                }),
            };
            if *known != format {
                return Err(format!(
                    "`{origin}` is read as `{known}` and not as `{format}`; give the other format another `origin`"
                ));
            }
            reader.tell(now);
            let mut told = Vec::new();
            let mut each = watch(&mut state.engine, &mut state.seen, &mut told);
            reader.feed(data, &mut each);
            if last {
                reader.finish(&mut each);
            }
            drop(each);
            if last {
                state.streams.remove(origin);
            }
            Ok(told)
        });
        dicts(py, told.map_err(|why| wrong(py, why))?)
    }

    /// Looks at records that are mappings of JSON's types already, or rows of a table, and answers with what they led to.
    ///
    /// A table is what has Arrow's C data interface: a record batch, table or stream of pyarrow, a frame of pandas or polars.
    /// Its columns are the fields, structures joined by dots, nulls absent, times in ISO 8601; its texts are read where they lie. A
    /// column of a type that is no text, number, truth value, time, list or structure raises `ConfigError`; what came of earlier
    /// batches of the stream stays counted.
    ///
    /// Nested names are joined by dots. The keys `product`, `category` and `service` say what a record is in Sigma's words; without
    /// them it is found out by the others, as for JSON logs. `timestamp` (or another of the usual names) is its time; `now`, the
    /// clock's unless given, where it has none. Nothing is looked at if one record is no mapping of JSON's types: `ConfigError` names its
    /// number from 0 and the key. Integers beyond 64 bits are taken as their digits.
    #[pyo3(name = "match", signature = (records, origin="<records>", *, now=None))]
    fn match_<'py>(
        &self,
        py: Python<'py>,
        records: &Bound<'_, PyAny>,
        origin: &str,
        now: Option<i64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(table) = Table::of(records)? {
            return dicts(py, self.rows(py, table, origin, now)?);
        }
        // Both can be iterated over, and neither gives records.
        if records.is_instance_of::<PyString>() || records.cast::<PyMapping>().is_ok() {
            let why = "a list of records is expected; write `[record]` for a single one, and `feed` for text";
            return Err(wrong(py, why.to_owned()));
        }
        let mut lines = Vec::new();
        for (number, record) in records.try_iter()?.enumerate() {
            let record = record?;
            let told = |why: String| wrong(py, format!("record {number}: {why}"));
            if record.cast::<PyMapping>().is_err() {
                let kind = record.get_type().name()?;
                return Err(told(format!("a `{kind}` was given; give a mapping")));
            }
            exact(&record, &mut lines).map_err(told)?;
            lines.push(b'\n');
        }
        let options = ReaderOptions { now: clock(now), ..ReaderOptions::default() };
        let told = py.detach(|| {
            let state = &mut *self.lock();
            let mut told = Vec::new();
            let mut each = watch(&mut state.engine, &mut state.seen, &mut told);
            let mut reader = Reader::new(Format::Json, origin, options);
            reader.feed(&lines, &mut each);
            reader.finish(&mut each);
            drop(each);
            told
        });
        dicts(py, told)
    }

    /// As `match`, and answers with a `pyarrow.Table` as `smesec.frames.found_to_arrow` makes it: a row for each finding.
    #[pyo3(signature = (records, origin="<records>", *, now=None))]
    fn process<'py>(
        &self,
        py: Python<'py>,
        records: &Bound<'_, PyAny>,
        origin: &str,
        now: Option<i64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let frames = py.import("smesec.frames")?;
        frames.call_method1("found_to_arrow", (self.match_(py, records, origin, now)?,))
    }

    /// Tells that the records' time has come to `now` although none came, so that absences are noticed; answers with alarms.
    fn advance<'py>(&self, py: Python<'py>, now: i64) -> PyResult<Bound<'py, PyAny>> {
        let now = Timestamp::from_unix_nanos(now);
        dicts(py, py.detach(|| self.lock().engine.tell(now).iter().map(alarm).collect()))
    }

    /// Ends all streams and judges all that waits; answers with what that led to.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let told = py.detach(|| {
            let state = &mut *self.lock();
            let mut told = Vec::new();
            let mut streams: Vec<_> = state.streams.drain().collect();
            streams.sort_by(|(one, _), (other, _)| one.cmp(other));
            for (_, (_, mut reader)) in streams {
                reader.finish(&mut watch(&mut state.engine, &mut state.seen, &mut told));
            }
            told.extend(state.engine.finish().iter().map(alarm));
            told
        });
        dicts(py, told)
    }

    /// What could not be used of `directives`: a dict of `loaded`, `refused` and `degraded`, as a rule set's `report`.
    #[getter]
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let report = py.detach(|| self.lock().engine.report().clone());
        report_of(py, &report)
    }

    /// What correlations and directives hold, as bytes: an engine over the same rules goes on from it with `restore`. Pieces of events
    /// whose end has not come are not in it.
    fn snapshot<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &py.detach(|| self.lock().engine.snapshot()))
    }

    /// Takes up a snapshot; a dict of what was: `groups`, `waiting` and `skipped` (their correlation is gone or has
    /// changed). Raises `ConfigError` for what is none, then nothing is taken up.
    fn restore<'py>(&self, py: Python<'py>, snapshot: &[u8]) -> PyResult<Bound<'py, PyDict>> {
        let restored = py.detach(|| self.lock().engine.restore(snapshot));
        let restored = restored.map_err(|error| raised(py, &error))?;
        let dict = PyDict::new(py);
        dict.set_item("groups", restored.groups)?;
        dict.set_item("waiting", restored.waiting)?;
        dict.set_item("skipped", restored.skipped)?;
        Ok(dict)
    }

    /// What has gone through: a dict of `records`, `bad` (events that could not be read), `first_bad` (where and why, or None),
    /// `unplaced` (records that no rule's log source covers) and `correlation` (a dict of what correlations have seen, kept
    /// and lost).
    #[getter]
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let told = py.detach(|| {
            let state = self.lock();
            json!({
                "records": state.seen.records,
                "bad": state.seen.bad,
                "first_bad": state.seen.first_bad,
                "unplaced": state.engine.matcher().unplaced(),
                "correlation": state.engine.correlator().statistics(),
            })
        });
        event::loads(py, &told.to_string())
    }
}
