//! One test as one line of JSON, while a run goes on.

use super::{why, word};
use crate::runner::{TestResult, TestVerdict};
use crate::taas::Secrets;

/// A result as one JSON object without a line break, told as soon as the test has ended; the keys are a contract:
/// `test`, `file`, `line`, `verdict` (`passed`, `xfailed`, `failed`, `refused`, `skipped`), `why` (or null),
/// `elapsed_ms`, `steps` with `name`, `acting_as`, `requests` and `failures`, `warnings`.
///
/// ```
/// use smesec_core::runner::{TestResult, TestVerdict};
/// use smesec_core::taas::{Secrets, report};
/// let mut secrets = Secrets::default();
/// secrets.add("hunter2");
/// let result = TestResult::new("sign in", TestVerdict::Skipped("waits for hunter2".into()));
/// let line = report::json_line(&result, &secrets);
/// assert!(line.contains(r#""verdict":"skipped""#), "{line}");
/// assert!(line.contains(r#""why":"waits for [masked]""#), "{line}");
/// ```
pub fn json_line(result: &TestResult, secrets: &Secrets) -> String {
    let masked = |text: &str| secrets.masked(text).into_owned();
    let verdict = match &result.verdict {
        TestVerdict::ExpectedFailure(_) => "xfailed",
        other => word(other),
    };
    let reason = (result.verdict != TestVerdict::Passed).then(|| masked(why(&result.verdict)));
    let steps: Vec<serde_json::Value> = result
        .steps
        .iter()
        .map(|step| {
            serde_json::json!({
                "name": masked(&step.name),
                "acting_as": step.acting_as,
                "requests": step.exchanges.len(),
                "failures": step.failures.iter().map(|why| masked(why)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let (file, line) = result.place.clone().unwrap_or_default();
    serde_json::json!({
        "test": masked(&result.name),
        "file": file,
        "line": line,
        "verdict": verdict,
        "why": reason,
        "elapsed_ms": result.elapsed.as_secs_f64() * 1e3,
        "steps": steps,
        "warnings": result.warnings.iter().map(|warning| masked(warning)).collect::<Vec<_>>(),
    })
    .to_string()
}
