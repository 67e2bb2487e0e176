//! What a run of tests or an audit found: told while it goes on, counted, and written as reports.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{Fault, Status, TextFn, check_size, guard, hand_out, shared, take_back, tell};
use smesec_core::runner::{self, TestResult, TestVerdict};
use smesec_core::taas::Secrets;
use smesec_core::taas::report::{self, About};
use smesec_core::time::Timestamp;
use std::ffi::c_void;
use std::time::{Duration, Instant};

/// How the tests of a run ended, or the checks of an audit.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct TestCounts {
    /// sizeof(smesec_test_counts).
    pub size: usize,
    /// Every assertion held.
    pub passed: usize,
    /// Failed, as they say they must.
    pub expected_failures: usize,
    /// An assertion did not hold; of an audit: its findings.
    pub failed: usize,
    /// Could not be run.
    pub refused: usize,
    /// Were not run, because they or the options say so, or the target has not what they need.
    pub skipped: usize,
}

impl TestCounts {
    const NONE: Self =
        Self { size: 0, passed: 0, expected_failures: 0, failed: 0, refused: 0, skipped: 0 };

    const fn add(&mut self, verdict: &TestVerdict) {
        match verdict {
            TestVerdict::Passed => self.passed += 1,
            TestVerdict::ExpectedFailure(_) => self.expected_failures += 1,
            TestVerdict::Failed(_) => self.failed += 1,
            TestVerdict::Skipped(_) => self.skipped += 1,
            // What a later library calls otherwise has not shown that it passed.
            _ => self.refused += 1,
        }
    }
}

/// What a report is written as.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_enums, reason = "C knows no other kind")]
pub enum ReportForm {
    /// JSON lines: one a test with its steps and, where something was found, `check`, `severity`, `evidence`; one a
    /// cell of an audit's matrix; and a summary.
    JsonLines = 0,
    /// SARIF 2.1.0, for code scanning.
    Sarif = 1,
    /// JUnit's XML, for continuous integration.
    Junit = 2,
    /// One HTML file for a person who was not there.
    Html = 3,
}

/// What a run found, secrets masked in all that it tells: immutable; any number of threads may use it at once.
#[derive(Debug)]
pub struct Report {
    inner: runner::Report,
    secrets: Secrets,
    name: String,
    began: Timestamp,
    elapsed: Duration,
}

/// A run that goes on: what the host asked to be told of it.
pub(crate) struct Run {
    finished: TextFn,
    user: *mut c_void,
    counts: *mut TestCounts,
    place: *mut *mut Report,
    found: TestCounts,
    results: Vec<TestResult>,
    began: (Timestamp, Instant),
}

impl Run {
    /// Checks the places of the answers before anything is sent; each may be null.
    pub(crate) unsafe fn new(
        finished: TextFn,
        user: *mut c_void,
        counts: *mut TestCounts,
        place: *mut *mut Report,
    ) -> Result<Self, Fault> {
        // SAFETY: null or places of the caller's, as the header asks.
        unsafe {
            if let Some(counts) = counts.as_ref() {
                check_size(counts.size, size_of::<TestCounts>(), "smesec_test_counts")?;
            }
            if let Some(place) = place.as_mut() {
                *place = std::ptr::null_mut();
            }
        }
        let began = (Timestamp::from_system_clock(), Instant::now());
        let (found, results) = (TestCounts::NONE, Vec::new());
        Ok(Self { finished, user, counts, place, found, results, began })
    }

    /// Counts a result and tells the host of it.
    pub(crate) fn show(&mut self, result: &TestResult, secrets: &Secrets) {
        self.found.add(&result.verdict);
        if self.finished.is_some() {
            // SAFETY: the host vouches for its function and for what it gets.
            let _ = unsafe { tell(self.finished, self.user, &report::json_line(result, secrets)) };
        }
    }

    /// Keeps a result if a report was asked for.
    pub(crate) fn keep(&mut self, result: TestResult) {
        if !self.place.is_null() {
            self.results.push(result);
        }
    }

    pub(crate) unsafe fn end(mut self, name: &str, secrets: Secrets) -> Result<(), Fault> {
        let results = std::mem::take(&mut self.results);
        // SAFETY: as `new`.
        unsafe {
            self.end_with(runner::Report { results, ..runner::Report::default() }, name, secrets)
        }
    }

    /// As `end`, with a report that was kept elsewhere.
    pub(crate) unsafe fn end_with(
        self,
        inner: runner::Report,
        name: &str,
        secrets: Secrets,
    ) -> Result<(), Fault> {
        // SAFETY: as `new`.
        unsafe {
            if let Some(counts) = self.counts.as_mut() {
                *counts = TestCounts { size: counts.size, ..self.found };
            }
            if self.place.is_null() {
                return Ok(());
            }
            let (began, elapsed) = (self.began.0, self.began.1.elapsed());
            let name = name.to_owned();
            hand_out(self.place, || Ok(Report { inner, secrets, name, began, elapsed }))
        }
    }
}

/// Tells a report as one text. `form` is a smesec_report_form.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_report_write(
    report: *const Report,
    form: u32,
    tell_to: TextFn,
    user: *mut c_void,
) -> Status {
    guard(|| {
        // SAFETY: see `shared`.
        let from = unsafe { shared(report, "the report") }?;
        let write = match form {
            0 => report::json_lines,
            1 => report::sarif,
            2 => report::junit,
            3 => report::html,
            _ => {
                let text = format!("form `{form}` is none; write a smesec_report_form");
                return Err(Fault::config(text));
            }
        };
        let mut about = About::new(&from.name, &from.secrets);
        about.began = from.began;
        about.elapsed = Some(from.elapsed);
        let mut text = Vec::new();
        // A vector takes all that is written.
        let _ = write(&from.inner, &about, &mut text);
        // SAFETY: see `tell`.
        unsafe { tell(tell_to, user, &String::from_utf8_lossy(&text)) }
    })
}

/// Frees a report.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_report_free(report: *mut Report) {
    // SAFETY: see `take_back`.
    unsafe { take_back(report) }
}
