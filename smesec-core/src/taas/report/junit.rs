//! The XML form of `JUnit`, as continuous integration reads it.
//!
//! One suite a file. A failed test is a `failure`, one that could not be run an `error`, an expected
//! failure `skipped` of the type `expected failure`.

use super::evidence::{self, is_control};
use super::{About, Counts, readable, why};
use crate::event::Finding;
use crate::runner::{Report, TestResult, TestVerdict};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Writes the report as `JUnit` XML.
///
/// # Errors
/// When `out` fails.
pub fn junit(report: &Report, about: &About<'_>, out: &mut dyn Write) -> io::Result<()> {
    let counts = Counts::of(&report.results);
    let elapsed = about.elapsed(report).as_secs_f64();
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(
        out,
        "<testsuites name=\"{}\" {} time=\"{elapsed:.6}\">",
        attribute(about, about.name),
        numbers(counts)
    )?;
    for (name, results) in suites(report, about) {
        let elapsed: f64 = results.iter().map(|result| result.elapsed.as_secs_f64()).sum();
        let time = about.began.to_string();
        writeln!(
            out,
            "  <testsuite name=\"{}\" {} time=\"{elapsed:.6}\" timestamp=\"{}\">",
            attribute(about, name),
            numbers(Counts::of(results.iter().copied())),
            // Schemas of this form want seconds and no zone.
            evidence::head(&time, "1970-01-01T00:00:00".len())
        )?;
        for result in results {
            case(result, name, about, out)?;
        }
        writeln!(out, "  </testsuite>")?;
    }
    writeln!(out, "</testsuites>")
}

/// The results by file, in the order in which the files first come.
fn suites<'r>(report: &'r Report, about: &About<'r>) -> Vec<(&'r str, Vec<&'r TestResult>)> {
    let mut suites: Vec<(&str, Vec<&TestResult>)> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for result in &report.results {
        let name = result.place.as_ref().map_or(about.name, |(file, _)| file);
        let at = *known.entry(name).or_insert_with(|| {
            suites.push((name, Vec::new()));
            suites.len() - 1
        });
        if let Some((_, results)) = suites.get_mut(at) {
            results.push(result);
        }
    }
    suites
}

fn numbers(counts: Counts) -> String {
    format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"",
        counts.all(),
        counts.failed,
        counts.refused,
        counts.skipped + counts.expected
    )
}

fn case(
    result: &TestResult,
    suite: &str,
    about: &About<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    write!(
        out,
        "    <testcase name=\"{}\" classname=\"{}\" time=\"{:.6}\"",
        attribute(about, &result.name),
        attribute(about, suite),
        result.elapsed.as_secs_f64()
    )?;
    if let Some((file, line)) = &result.place {
        write!(out, " file=\"{}\" line=\"{line}\"", attribute(about, file))?;
    }
    let notes = notes(result);
    if matches!(result.verdict, TestVerdict::Passed) && notes.is_empty() {
        return writeln!(out, "/>");
    }
    writeln!(out, ">")?;
    let message = attribute(about, why(&result.verdict));
    match &result.verdict {
        TestVerdict::Passed => {}
        TestVerdict::Failed(finding) => {
            let kind = attribute(about, kind(finding));
            writeln!(
                out,
                "      <failure message=\"{message}\" type=\"{kind}\">{}</failure>",
                content(&detail(result, about))
            )?;
        }
        TestVerdict::Refused(_) => {
            writeln!(out, "      <error message=\"{message}\" type=\"refused\"/>")?;
        }
        TestVerdict::Skipped(_) => {
            writeln!(out, "      <skipped message=\"{message}\"/>")?;
        }
        TestVerdict::ExpectedFailure(_) => {
            writeln!(out, "      <skipped type=\"expected failure\" message=\"{message}\"/>")?;
        }
    }
    if !notes.is_empty() {
        writeln!(out, "      <system-out>{}</system-out>", content(&about.masked(&notes)))?;
    }
    writeln!(out, "    </testcase>")
}

fn kind(finding: &Finding) -> &str {
    if finding.rule.id.is_empty() { "assertion" } else { &finding.rule.id }
}

/// What did not hold, how to mend it, and the exchanges that show it.
fn detail(result: &TestResult, about: &About<'_>) -> String {
    let mut text = String::new();
    for step in &result.steps {
        for failure in &step.failures {
            let _ = writeln!(text, "{}: {failure}", step.name);
        }
    }
    if let Some(advice) = &result.advice {
        let _ = writeln!(text, "to mend it: {advice}");
    }
    let mut text = about.masked(&text).into_owned();
    for exchange in evidence::shown(result) {
        let took = readable(exchange.elapsed);
        let _ = write!(text, "\n{}({took})\n", evidence::text(exchange, about));
    }
    text
}

/// Warnings, and as whom the steps acted.
fn notes(result: &TestResult) -> String {
    let mut text = String::new();
    for warning in &result.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    for step in &result.steps {
        if let Some(who) = &step.acting_as {
            let _ = writeln!(text, "{}: as {who}", step.name);
        }
    }
    text
}

/// Masked, and escaped for an attribute: line breaks too, which a reader would turn into blanks.
fn attribute(about: &About<'_>, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in about.masked(text).chars() {
        match c {
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c => escape(c, &mut out),
        }
    }
    out
}

/// Escaped for content; masked before.
fn content(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| escape(c, &mut out));
    out
}

fn escape(c: char, out: &mut String) {
    match c {
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '&' => out.push_str("&amp;"),
        // XML 1.0 has no way to write most of these at all.
        c if is_control(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
        c => out.push(c),
    }
}
