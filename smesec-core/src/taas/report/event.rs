//! Results as events, for the sink where the other engines' events go.

use super::{About, Counts, finding, is_bad, place, why, word};
use crate::event::{Event, EventId, Finding, RuleInfo, Source};
use crate::runner::{Report, TestResult};
use crate::sink::Sink;
use crate::verdict::{Action, Severity};
use std::sync::Arc;

/// OCSF: a detection finding, and its activity "create".
const DETECTION_FINDING: u32 = 2004;
const CREATE: u32 = 1;

/// Hands each test that failed or could not be run to `sink` as an event, and a summary last. Ids are
/// counted under `seed`, which the host draws anew for each run.
pub fn events(report: &Report, about: &About<'_>, seed: u64, sink: &dyn Sink) {
    let mut counter = 0;
    let mut next = || {
        counter += 1;
        Event::new(EventId::new(seed, counter), Source::Taas, about.began)
    };
    for result in report.results.iter().filter(|result| is_bad(&result.verdict)) {
        let mut event = next();
        event.class_uid = DETECTION_FINDING;
        event.activity_id = CREATE;
        event.action = Action::Log;
        let found = found(result, about);
        event.severity_id = found.severity.ocsf_id();
        event.message = about.masked(&format!("{}: {}", result.name, why(&result.verdict))).into();
        event.findings.push(found);
        event.entity = Some(about.masked(about.name).into_owned());
        event.user = result.steps.iter().rev().find_map(|step| step.acting_as.clone());
        let mut put = |key: &str, value: &str| {
            event.extra.insert(key.to_owned(), about.masked(value).into());
        };
        put("test", &result.name);
        put("verdict", word(&result.verdict));
        if let Some(place) = place(result) {
            put("place", &place);
        }
        if let Some(advice) = &result.advice {
            put("advice", advice);
        }
        sink.accept(event);
    }
    let mut event = next();
    event.action = Action::Log;
    event.entity = Some(about.masked(about.name).into_owned());
    let line = Counts::of(&report.results).line();
    event.message = format!("tests of {}: {line}", about.masked(about.name));
    event.extra.insert("all_passed".to_owned(), report.all_passed().into());
    sink.accept(event);
}

fn found(result: &TestResult, about: &About<'_>) -> Finding {
    let mut found = finding(&result.verdict).cloned().unwrap_or_else(|| {
        let rule = RuleInfo {
            id: "test-refused".to_owned(),
            name: "a test could not be run".to_owned(),
            ..RuleInfo::default()
        };
        Finding::new(Arc::new(rule), Severity::Info, why(&result.verdict))
    });
    found.message = about.masked(&found.message).into_owned();
    found.evidence = about.masked(&found.evidence).into_owned();
    found
}
