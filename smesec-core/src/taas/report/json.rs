//! JSON lines: one a test, one a cell of the matrix, and a summary at the end.

use super::{About, Counts, evidence, finding, place, why, word};
use crate::runner::{Cell, Exchange, Report, TestResult, TestStep};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Writes the report as JSON lines; [`Difference`](super::Difference) reads them back.
///
/// ```text
/// {"check":"bfla-read","elapsed_ms":14.2,"message":"…","place":"target.yaml:12",…,"verdict":"failed"}
/// {"cell":{"expected":"deny","finding":true,"method":"GET","role":"user","route":"/admin","seen":"200"}}
/// {"summary":{…,"failed":2,"name":"shop","passed":41,…}}
/// ```
///
/// # Errors
/// When `out` fails.
pub fn json_lines(report: &Report, about: &About<'_>, out: &mut dyn Write) -> io::Result<()> {
    for result in &report.results {
        writeln!(out, "{}", of_result(result, about))?;
    }
    for cell in &report.matrix {
        writeln!(out, "{}", json!({ "cell": of_cell(cell, about) }))?;
    }
    let counts = Counts::of(&report.results);
    let mut summary = json!({
        "name": about.masked(about.name),
        "began": about.began.to_string(),
        "elapsed_ms": millis(about.elapsed(report)),
        "passed": counts.passed,
        "failed": counts.failed,
        "expected_failures": counts.expected,
        "skipped": counts.skipped,
        "refused": counts.refused,
        "all_passed": report.all_passed(),
    });
    if let (Some(difference), Some(summary)) = (about.difference, summary.as_object_mut()) {
        let masked = |names: &[String]| -> Vec<_> {
            names.iter().map(|name| about.masked(name).into_owned()).collect()
        };
        summary.insert(
            "difference".to_owned(),
            json!({
                "new_failures": masked(&difference.new_failures),
                "fixed": masked(&difference.fixed),
                "still_failing": masked(&difference.still_failing),
                "gone": masked(&difference.gone),
            }),
        );
    }
    writeln!(out, "{}", json!({ "summary": summary }))
}

fn of_result(result: &TestResult, about: &About<'_>) -> Value {
    let mut line = Map::new();
    let mut put = |key: &str, value: Value| drop(line.insert(key.to_owned(), value));
    put("test", text(&result.name, about));
    put("verdict", word(&result.verdict).into());
    if !why(&result.verdict).is_empty() {
        put("message", text(why(&result.verdict), about));
    }
    if let Some(place) = place(result) {
        put("place", text(&place, about));
    }
    if let Some(finding) = finding(&result.verdict) {
        put("check", text(&finding.rule.id, about));
        put("severity", json!(finding.severity));
        if !finding.part.is_empty() {
            put("part", text(&finding.part, about));
        }
        if !finding.evidence.is_empty() {
            put("evidence", text(&finding.evidence, about));
        }
        if !finding.rule.tags.is_empty() {
            put("tags", texts(&finding.rule.tags, about));
        }
    }
    if let Some(advice) = &result.advice {
        put("advice", text(advice, about));
    }
    if !result.warnings.is_empty() {
        put("warnings", texts(&result.warnings, about));
    }
    put("elapsed_ms", millis(result.elapsed));
    let steps: Vec<_> = result.steps.iter().map(|step| of_step(step, about)).collect();
    put("steps", Value::Array(steps));
    Value::Object(line)
}

fn of_step(step: &TestStep, about: &About<'_>) -> Value {
    let exchanges: Vec<_> = step.exchanges.iter().map(|e| of_exchange(e, about)).collect();
    let mut line = Map::new();
    line.insert("name".to_owned(), text(&step.name, about));
    if let Some(who) = &step.acting_as {
        line.insert("acting_as".to_owned(), text(who, about));
    }
    if !step.failures.is_empty() {
        line.insert("failures".to_owned(), texts(&step.failures, about));
        // What was said is of interest where something went wrong; else it would only be long.
        let skip = step.exchanges.len().saturating_sub(evidence::MOST_EXCHANGES);
        let shown = step.exchanges.iter().skip(skip).map(|e| evidence::text(e, about));
        line.insert("evidence".to_owned(), shown.collect());
    }
    line.insert("exchanges".to_owned(), Value::Array(exchanges));
    Value::Object(line)
}

fn of_exchange(exchange: &Exchange, about: &About<'_>) -> Value {
    let mut line = Map::new();
    line.insert("method".to_owned(), text(&exchange.request.method, about));
    line.insert("url".to_owned(), text(&exchange.request.url, about));
    match &exchange.response {
        Ok(response) => drop(line.insert("status".to_owned(), response.status.into())),
        Err(error) => drop(line.insert("error".to_owned(), text(&error.to_string(), about))),
    }
    line.insert("elapsed_ms".to_owned(), millis(exchange.elapsed));
    Value::Object(line)
}

fn of_cell(cell: &Cell, about: &About<'_>) -> Value {
    json!({
        "role": text(&cell.role, about),
        "method": text(&cell.method, about),
        "route": text(&cell.route, about),
        "expected": text(&cell.expected, about),
        "seen": text(&cell.seen, about),
        "finding": cell.finding,
    })
}

/// Masked before it is escaped, since a secret with a quote in it looks different after.
fn text(text: &str, about: &About<'_>) -> Value {
    Value::String(about.masked(text).into_owned())
}

fn texts(list: &[String], about: &About<'_>) -> Value {
    list.iter().map(|one| text(one, about)).collect()
}

/// Milliseconds to three places.
fn millis(elapsed: std::time::Duration) -> Value {
    json!((elapsed.as_secs_f64() * 1e6).round() / 1e3)
}
