//! Findings and events between Python's dicts and the library's types; ids; what a callback that raised
//! becomes.

use crate::errors::wrong;
use crate::json;
use pyo3::prelude::*;
use serde_json::{Map, Value};
use smesec_core::event::{Event, EventId, Finding, RuleInfo, Source};
use smesec_core::time::Timestamp;
use smesec_core::verdict::{Action, Severity};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// How often this process is the child of a fork.
static FORKS: AtomicU64 = AtomicU64::new(0);
/// The forks and the seed that ids of events made in Python are of, and their counter.
static IDS: Mutex<(u64, u64, u64)> = Mutex::new((u64::MAX, 0, 0));

pub(crate) fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Called in the child after a fork: parent and children must not give the same ids.
#[pyfunction]
pub(crate) fn _after_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// A seed that no other process and no earlier call has.
pub(crate) fn fresh_seed() -> u64 {
    // The keys alone are the same in a forked child.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_i64(Timestamp::from_system_clock().unix_nanos());
    hasher.finish()
}

pub(crate) fn next_id() -> EventId {
    // Waiting could be for ever: in the child of a fork nobody lets go of what another thread held.
    let Ok(mut ids) = IDS.try_lock() else { return EventId::new(fresh_seed(), 0) };
    if ids.0 != forks() {
        *ids = (forks(), fresh_seed(), 0);
    }
    ids.2 += 1;
    EventId::new(ids.1, ids.2)
}

pub(crate) fn loads<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("json")?.call_method1("loads", (json,))
}

/// Events as Python sees them.
pub(crate) fn dict<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyAny>> {
    loads(py, &event.to_json())
}

/// Further fields of an event, by name.
pub(crate) fn fields(object: &Bound<'_, PyAny>) -> PyResult<Map<String, Value>> {
    match json::lossy(object) {
        Value::Object(map) => Ok(map),
        _ => Err(wrong(object.py(), "`extra` is not a dict".to_owned())),
    }
}

/// The findings of an iterable of dicts.
pub(crate) fn findings(object: &Bound<'_, PyAny>) -> PyResult<Vec<Finding>> {
    let py = object.py();
    let read = |item: PyResult<Bound<'_, PyAny>>| {
        finding_from(&json::lossy(&item?)).map_err(|why| wrong(py, why))
    };
    object.try_iter()?.map(read).collect()
}

/// The event of a dict; what is missing is filled in: the id, the times, the schema's version.
pub(crate) fn event(object: &Bound<'_, PyAny>) -> PyResult<Event> {
    event_from(&json::lossy(object)).map_err(|why| wrong(object.py(), why))
}

fn text(map: &Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(format!("`{key}` is not text")),
    }
}

fn texts(map: &Map<String, Value>, key: &str) -> Result<Vec<String>, String> {
    let Some(value) = map.get(key).filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    let wrong = || format!("`{key}` is not a list of texts");
    let items = value.as_array().ok_or_else(wrong)?.iter();
    items.map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

fn number<T: TryFrom<i64>>(map: &Map<String, Value>, key: &str) -> Result<Option<T>, String> {
    let Some(value) = map.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
    let wrong = || format!("`{key}` is not a whole number in its range");
    T::try_from(value.as_i64().ok_or_else(wrong)?).map(Some).map_err(|_| wrong())
}

pub(crate) fn severity(word: &str) -> Result<Severity, String> {
    Ok(match word {
        "info" => Severity::Info,
        "low" => Severity::Low,
        "medium" => Severity::Medium,
        "high" => Severity::High,
        "critical" => Severity::Critical,
        other => {
            return Err(format!(
                "severity `{other}` is unknown; write info, low, medium, high or critical"
            ));
        }
    })
}

fn finding_from(value: &Value) -> Result<Finding, String> {
    let map = value.as_object().ok_or("a finding is not a dict")?;
    let rule = match map.get("rule") {
        Some(Value::Object(rule)) => RuleInfo {
            id: text(rule, "id")?.unwrap_or_default(),
            name: text(rule, "name")?.unwrap_or_default(),
            author: text(rule, "author")?,
            tags: texts(rule, "tags")?,
        },
        _ => RuleInfo { id: text(map, "rule")?.unwrap_or_default(), ..RuleInfo::default() },
    };
    if rule.id.is_empty() {
        return Err("a finding lacks the `id` of its `rule`".to_owned());
    }
    let grave = text(map, "severity")?.map_or(Ok(Severity::Medium), |word| severity(&word))?;
    let message = text(map, "message")?.unwrap_or_default();
    let mut finding = Finding::new(Arc::new(rule), grave, message);
    finding.part = text(map, "part")?.unwrap_or_default();
    finding.evidence = text(map, "evidence")?.unwrap_or_default();
    if let Some(Value::Array(span)) = map.get("span") {
        let end =
            |n: usize| span.get(n).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        finding.span = end(0).zip(end(1));
    }
    Ok(finding)
}

/// The action of a word, its status by default or as given.
pub(crate) fn action(word: &str, status: Option<u16>) -> Result<Action, String> {
    Ok(match word {
        "pass" => Action::Pass,
        "log" => Action::Log,
        "deny" => Action::Deny { status: status.unwrap_or(403) },
        "redirect" => Action::Redirect { status: status.unwrap_or(302) },
        "decoy" => Action::Decoy,
        "drop" => Action::Drop,
        "reject" => Action::Reject,
        other => {
            return Err(format!(
                "action `{other}` is unknown; write pass, log, deny, redirect, decoy, drop or reject"
            ));
        }
    })
}

fn event_from(value: &Value) -> Result<Event, String> {
    let map = value.as_object().ok_or("an event is not a dict")?;
    let id = match text(map, "id")? {
        None => next_id(),
        Some(text) => {
            let number = u128::from_str_radix(&text, 16)
                .map_err(|_| format!("id `{text}` is not 128 bits in hexadecimal"))?;
            let low = u64::try_from(number & u128::from(u64::MAX)).unwrap_or_default();
            EventId::new(u64::try_from(number >> 64).unwrap_or_default(), low)
        }
    };
    let source = match text(map, "detector")?.as_deref() {
        None | Some("host") => Source::Host,
        Some("waf") => Source::Waf,
        Some("ids") => Source::Ids,
        Some("av") => Source::Av,
        Some("siem") => Source::Siem,
        Some("taas") => Source::Taas,
        Some("decoy") => Source::Decoy,
        Some(other) => return Err(format!("detector `{other}` is unknown")),
    };
    let now = Timestamp::from_system_clock();
    let time = number(map, "time")?.map_or(now, Timestamp::from_unix_nanos);
    let mut event = Event::new(id, source, time);
    event.ingest_time = number(map, "ingest_time")?.map_or(now, Timestamp::from_unix_nanos);
    event.class_uid = number(map, "class_uid")?.unwrap_or(2_004);
    event.activity_id = number(map, "activity_id")?.unwrap_or(0);
    event.action = match map.get("action") {
        None | Some(Value::Null) => Action::Pass,
        Some(Value::String(word)) => action(word, None)?,
        Some(Value::Object(with)) => {
            let (word, status) = with.iter().next().ok_or("`action` is empty")?;
            let status = status.get("status").and_then(Value::as_u64);
            action(word, status.and_then(|status| u16::try_from(status).ok()))?
        }
        Some(_) => return Err("`action` is neither a word nor a dict".to_owned()),
    };
    let end = |key: &str| {
        let parse = |text: String| text.parse().map_err(|_| format!("`{key}` is not address:port"));
        text(map, key)?.map(parse).transpose()
    };
    event.src_endpoint = end("src_endpoint")?;
    event.dst_endpoint = end("dst_endpoint")?;
    event.user = text(map, "user")?;
    event.device = text(map, "device")?;
    event.risk = number(map, "risk")?;
    event.attack = texts(map, "attack")?;
    event.entity = text(map, "entity")?;
    event.transaction_id = text(map, "transaction_id")?;
    event.message = text(map, "message")?.unwrap_or_default();
    if let Some(Value::Array(findings)) = map.get("findings") {
        event.findings = findings.iter().map(finding_from).collect::<Result<_, _>>()?;
    }
    let gravest = event.findings.iter().map(|f| f.severity).max().unwrap_or_default();
    event.severity_id = number(map, "severity_id")?.unwrap_or_else(|| gravest.ocsf_id());
    if let Some(Value::Object(extra)) = map.get("extra") {
        event.extra = extra.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    }
    event.raw = text(map, "raw")?;
    event.generation = number(map, "generation")?.unwrap_or(0);
    Ok(event)
}

/// The exception of a callback: told through `sys.unraisablehook`, and a finding for the event.
pub(crate) fn raised_by(
    py: Python<'_>,
    what: &str,
    object: &Py<PyAny>,
    error: PyErr,
) -> (Finding, String) {
    let kind = error.get_type(py).name().map_or_else(|_| String::new(), |name| name.to_string());
    let text: String = error.value(py).to_string().chars().take(200).collect();
    let owner = object.bind(py).get_type().name().map_or_else(|_| String::new(), |n| n.to_string());
    let why = format!("{what} `{owner}` raised {kind}: {text}");
    error.write_unraisable(py, Some(object.bind(py)));
    let rule = RuleInfo { id: "smesec-callback".to_owned(), ..RuleInfo::default() };
    (Finding::new(Arc::new(rule), Severity::High, why.clone()), why)
}
