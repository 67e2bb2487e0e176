//! What a run found, for people and for programs.
//!
//! | function | for |
//! | --- | --- |
//! | [`terminal`] | a person at a terminal: what failed, and the exchange that shows it |
//! | [`junit`] | continuous integration |
//! | [`sarif`] | code scanning: SARIF 2.1.0, one rule a check |
//! | [`html`] | a person who was not there: one file, with the matrix as a heat map |
//! | [`json_lines`] | programs, and the next run: [`Difference`] |
//! | [`json_line`] | programs that watch a run: one test as it ends |
//! | [`events`] | the sink where the other engines' events go |
//!
//! Every text passes [`Secrets::masked`] before it is escaped for its format, and is bounded.
//!
//! ```
//! use smesec_core::runner::{Report, TestResult, TestVerdict};
//! use smesec_core::taas::{Secrets, report};
//!
//! let mut secrets = Secrets::default();
//! secrets.add("hunter2");
//! let refused = TestVerdict::Refused("no file `hunter2.yaml`".into());
//! let report = Report { results: vec![TestResult::new("sign in", refused)], ..Report::default() };
//! let mut out = Vec::new();
//! report::json_lines(&report, &report::About::new("shop", &secrets), &mut out)?;
//! let out = String::from_utf8(out).unwrap();
//! assert!(out.contains(r#""message":"no file `[masked].yaml`""#), "{out}");
//! # Ok::<(), std::io::Error>(())
//! ```

mod difference;
mod event;
mod evidence;
mod html;
mod json;
mod junit;
mod line;
mod sarif;
mod terminal;

pub use difference::Difference;
pub use event::events;
#[cfg(feature = "cli")]
pub(crate) use evidence::printable;
pub(crate) use evidence::{LOOKED_AT, MOST_EXCHANGES};
pub use html::html;
pub use json::json_lines;
pub use junit::junit;
pub use line::json_line;
pub use sarif::sarif;
pub use terminal::{Style, terminal};

use super::Secrets;
use crate::event::Finding;
use crate::runner::{Cell, Report, TestResult, TestVerdict};
use crate::time::Timestamp;
use crate::verdict::Severity;
use std::borrow::Cow;
use std::time::Duration;

/// What a report says besides its results.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct About<'a> {
    /// What was tested: a file, a folder or a target's name.
    pub name: &'a str,
    /// What may not be shown.
    pub secrets: &'a Secrets,
    /// When the run began.
    pub began: Timestamp,
    /// How long it took by the clock; the sum of its tests where `None`.
    pub elapsed: Option<Duration>,
    /// What changed since the last run, where there was one.
    pub difference: Option<&'a Difference>,
}

impl<'a> About<'a> {
    /// Only a name; the other fields are public.
    pub const fn new(name: &'a str, secrets: &'a Secrets) -> Self {
        let began = Timestamp::from_unix_seconds(0);
        Self { name, secrets, began, elapsed: None, difference: None }
    }

    fn masked<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.secrets.masked(text)
    }

    fn elapsed(&self, report: &Report) -> Duration {
        self.elapsed.unwrap_or_else(|| report.results.iter().map(|result| result.elapsed).sum())
    }
}

/// How many tests ended how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Counts {
    passed: usize,
    failed: usize,
    expected: usize,
    skipped: usize,
    refused: usize,
}

impl Counts {
    fn of<'r>(results: impl IntoIterator<Item = &'r TestResult>) -> Self {
        let mut counts = Self::default();
        for result in results {
            *match &result.verdict {
                TestVerdict::Passed => &mut counts.passed,
                TestVerdict::Failed(_) => &mut counts.failed,
                TestVerdict::ExpectedFailure(_) => &mut counts.expected,
                TestVerdict::Skipped(_) => &mut counts.skipped,
                TestVerdict::Refused(_) => &mut counts.refused,
            } += 1;
        }
        counts
    }

    const fn all(self) -> usize {
        self.passed + self.failed + self.expected + self.skipped + self.refused
    }

    /// Such as `3 passed, 1 failed`.
    fn line(self) -> String {
        let parts = [
            (self.passed, "passed"),
            (self.failed, "failed"),
            (self.expected, "failed as expected"),
            (self.refused, "could not be run"),
            (self.skipped, "skipped"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let line: Vec<_> = parts.map(|(count, what)| format!("{count} {what}")).collect();
        if line.is_empty() { "no test".to_owned() } else { line.join(", ") }
    }
}

/// The verdict in one word, as programs read it.
const fn word(verdict: &TestVerdict) -> &'static str {
    match verdict {
        TestVerdict::Passed => "passed",
        TestVerdict::Failed(_) => "failed",
        TestVerdict::ExpectedFailure(_) => "expected_failure",
        TestVerdict::Skipped(_) => "skipped",
        TestVerdict::Refused(_) => "refused",
    }
}

/// Why a test ended so, for those that did not pass.
fn why(verdict: &TestVerdict) -> &str {
    match verdict {
        TestVerdict::Passed => "",
        TestVerdict::Failed(finding) | TestVerdict::ExpectedFailure(finding) => &finding.message,
        TestVerdict::Skipped(why) | TestVerdict::Refused(why) => why,
    }
}

const fn finding(verdict: &TestVerdict) -> Option<&Finding> {
    match verdict {
        TestVerdict::Failed(finding) | TestVerdict::ExpectedFailure(finding) => Some(finding),
        _ => None,
    }
}

const fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

const fn is_bad(verdict: &TestVerdict) -> bool {
    matches!(verdict, TestVerdict::Failed(_) | TestVerdict::Refused(_))
}

/// Whether a cell of the matrix was asked for.
const fn was_tried(cell: &Cell) -> bool {
    cell.finding || !cell.seen.is_empty()
}

/// The place as `file:line`.
fn place(result: &TestResult) -> Option<String> {
    result.place.as_ref().map(|(file, line)| format!("{file}:{line}"))
}

/// A duration as a person reads it.
fn readable(elapsed: Duration) -> String {
    let millis = elapsed.as_secs_f64() * 1e3;
    if elapsed.is_zero() {
        "-".to_owned()
    } else if millis < 1.0 {
        format!("{:.0} µs", millis * 1e3)
    } else if millis < 1e3 {
        format!("{millis:.0} ms")
    } else {
        format!("{:.1} s", millis / 1e3)
    }
}

#[cfg(test)]
mod tests;
