//! SARIF 2.1.0, as code scanning reads it.
//!
//! Each check is a rule with its help, each failed test a result with its place, the last exchange as
//! web request and response, and all exchanges that show it as text. A test that could not be run is a
//! notification of the tool, and the run then counts as not successful.

use super::evidence::{self, head};
use super::{About, finding, place};
use crate::event::{Finding, RuleInfo};
use crate::runner::{Report, Request, Response, TestResult, TestVerdict};
use crate::verdict::Severity;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};

/// The rule of failed tests that no check has a name for.
const ASSERTION: &str = "test-failed";
/// Characters of a message; code scanning cuts longer ones.
const MOST_OF_MESSAGE: usize = 1000;

/// Writes the report as SARIF 2.1.0.
///
/// # Errors
/// When `out` fails.
pub fn sarif(report: &Report, about: &About<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut rules = Rules::default();
    let mut results = Vec::new();
    let mut notes = Vec::new();
    let mut turns = HashMap::new();
    for result in &report.results {
        match &result.verdict {
            TestVerdict::Failed(found) => {
                let rule = rules.index_of(found, result, about);
                let turn: &mut usize = turns.entry(identity(result, about)).or_default();
                *turn += 1;
                results.push(of_result(result, found, rule, *turn, about));
            }
            TestVerdict::Refused(why) => notes.push(note(result, why, about)),
            _ => {}
        }
    }
    let successful = notes.is_empty();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "smesec",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.list,
            }},
            "automationDetails": { "id": format!("smesec/{}", about.masked(about.name)) },
            "invocations": [{
                "executionSuccessful": successful,
                "toolExecutionNotifications": notes,
            }],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    serde_json::to_writer_pretty(&mut *out, &log)?;
    writeln!(out)
}

/// The rules in the order in which they first come.
#[derive(Default)]
struct Rules {
    list: Vec<Value>,
    known: HashMap<String, usize>,
}

impl Rules {
    fn index_of(&mut self, found: &Finding, result: &TestResult, about: &About<'_>) -> usize {
        let id = id_of(&found.rule);
        if let Some(index) = self.known.get(id) {
            return *index;
        }
        self.known.insert(id.to_owned(), self.list.len());
        self.list.push(of_rule(&found.rule, found.severity, result, about));
        self.list.len() - 1
    }
}

fn id_of(rule: &RuleInfo) -> &str {
    if rule.id.is_empty() { ASSERTION } else { &rule.id }
}

fn of_rule(rule: &RuleInfo, severity: Severity, result: &TestResult, about: &About<'_>) -> Value {
    let title = if rule.name.is_empty() { "A test's assertion did not hold" } else { &rule.name };
    let title = about.masked(title);
    let advice = result.advice.as_deref().map(|advice| about.masked(advice));
    let help = advice.as_deref().unwrap_or("Compare what the test expects with what was answered.");
    let mut properties = Map::new();
    if !rule.tags.is_empty() {
        let mut tags = vec!["security".to_owned()];
        tags.extend(rule.tags.iter().filter(|tag| *tag != "security").cloned());
        properties.insert("tags".to_owned(), json!(tags));
        // Code scanning shows critical from 9, high from 7, medium from 4.
        let score = match severity {
            Severity::Critical => "9.5",
            Severity::High => "8.0",
            Severity::Medium => "5.5",
            Severity::Low => "3.0",
            Severity::Info => "0.5",
        };
        properties.insert("security-severity".to_owned(), score.into());
    }
    json!({
        "id": id_of(rule),
        "name": camel(id_of(rule)),
        "shortDescription": { "text": title },
        "fullDescription": { "text": title },
        "help": { "text": help, "markdown": help },
        "defaultConfiguration": { "level": level(severity) },
        "properties": properties,
    })
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// `bfla-read` as `BflaRead`.
fn camel(id: &str) -> String {
    let words = id.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect()
}

fn of_result(
    result: &TestResult,
    found: &Finding,
    rule: usize,
    turn: usize,
    about: &About<'_>,
) -> Value {
    let mut message = about.masked(&found.message).into_owned();
    for step in &result.steps {
        for failure in step.failures.iter().filter(|failure| **failure != found.message) {
            let _ = write!(message, "\n{}", about.masked(&format!("{}: {failure}", step.name)));
        }
    }
    let exchanges = evidence::shown(result);
    let texts: Vec<_> = exchanges.iter().map(|exchange| evidence::text(exchange, about)).collect();
    let mut properties = json!({ "test": about.masked(&result.name), "exchanges": texts });
    if let (Some(advice), Some(map)) = (&result.advice, properties.as_object_mut()) {
        map.insert("advice".to_owned(), about.masked(advice).into());
    }
    let mut out = json!({
        "ruleId": id_of(&found.rule),
        "ruleIndex": rule,
        "kind": "fail",
        "level": level(found.severity),
        "message": { "text": head(&message, MOST_OF_MESSAGE) },
        "locations": [location(result, about)],
        "partialFingerprints": { "test/v1": format!("{}#{turn}", identity(result, about)) },
        "properties": properties,
    });
    if let (Some(last), Some(map)) = (exchanges.last(), out.as_object_mut()) {
        map.insert("webRequest".to_owned(), web_request(&last.request, about));
        if let Ok(response) = &last.response {
            map.insert("webResponse".to_owned(), web_response(response, about));
        }
    }
    out
}

/// What a result is known by from run to run: its check, file and test.
fn identity(result: &TestResult, about: &About<'_>) -> String {
    let file = result.place.as_ref().map_or("", |(file, _)| file);
    let check = finding(&result.verdict).map_or("", |found| id_of(&found.rule));
    about.masked(&format!("{check}/{file}/{}", result.name)).into_owned()
}

fn location(result: &TestResult, about: &About<'_>) -> Value {
    let mut location = json!({
        "logicalLocations": [{ "name": about.masked(&result.name), "kind": "function" }],
    });
    if let (Some((file, line)), Some(map)) = (&result.place, location.as_object_mut()) {
        map.insert(
            "physicalLocation".to_owned(),
            json!({
                "artifactLocation": { "uri": uri(&about.masked(file)) },
                // Lines count from 1; a place without a line stands for the file.
                "region": { "startLine": (*line).max(1) },
            }),
        );
    }
    location
}

fn note(result: &TestResult, why: &str, about: &About<'_>) -> Value {
    let at = place(result).map(|place| format!("{place}: ")).unwrap_or_default();
    let text = format!("{at}`{}` could not be run: {why}", result.name);
    json!({
        "level": "error",
        "message": { "text": head(&about.masked(&text), MOST_OF_MESSAGE) },
        "locations": [location(result, about)],
    })
}

/// A path as a URI reference: what such a one may not hold is percent-encoded.
fn uri(path: &str) -> String {
    let path = path.replace('\\', "/");
    let mut out = String::new();
    if path.starts_with('/') {
        out.push_str("file://");
    }
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn web_request(request: &Request, about: &About<'_>) -> Value {
    let mut out = json!({
        "method": about.masked(&request.method),
        "target": about.masked(&request.url),
        "headers": headers(&request.headers, about),
    });
    body(&mut out, &request.body, about);
    out
}

fn web_response(response: &Response, about: &About<'_>) -> Value {
    let mut out = json!({
        "statusCode": response.status,
        "reasonPhrase": about.masked(&response.reason),
        "headers": headers(&response.headers, about),
    });
    body(&mut out, &response.body, about);
    out
}

fn body(out: &mut Value, bytes: &[u8], about: &About<'_>) {
    if let (Some(text), Some(map)) = (evidence::body_text(bytes, about), out.as_object_mut()) {
        map.insert("body".to_owned(), json!({ "text": text }));
    }
}

/// By name; SARIF has one value a name, so repeated ones are joined.
fn headers(fields: &[(String, Vec<u8>)], about: &About<'_>) -> Value {
    let mut out: Map<String, Value> = Map::new();
    for (name, value) in fields {
        let value = evidence::header(name, value, about);
        match out.get_mut(name) {
            Some(Value::String(before)) => {
                before.push_str(", ");
                before.push_str(&value);
            }
            _ => drop(out.insert(name.clone(), value.into())),
        }
    }
    Value::Object(out)
}
