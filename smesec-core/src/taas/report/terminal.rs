//! For a person at a terminal.

use super::evidence::{self, printable};
use super::{About, Counts, finding, is_bad, place, readable, severity_word, was_tried, why};
use crate::runner::{Report, TestResult, TestVerdict};
use std::io::{self, Write};

/// How the terminal's report looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "callers name what they change and take the rest")]
pub struct Style {
    /// Whether colours may be used: only where a terminal reads it.
    pub colour: bool,
    /// Whether tests that passed have a line too.
    pub passed: bool,
}

/// Writes what failed with the exchange that shows it, what a person should look at, and a summary.
///
/// # Errors
/// When `out` fails.
pub fn terminal(
    report: &Report,
    about: &About<'_>,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page { about, style, out };
    for result in &report.results {
        page.result(result)?;
    }
    page.matrix(report)?;
    page.difference()?;
    let line = Counts::of(&report.results).line();
    let paint = if report.all_passed() { GREEN } else { RED };
    let took = readable(about.elapsed(report));
    let line = page.painted(paint, &format!("{line} in {took}"));
    writeln!(page.out, "{line}")
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const GREY: &str = "2";

struct Page<'a, 'o> {
    about: &'a About<'a>,
    style: Style,
    out: &'o mut dyn Write,
}

impl Page<'_, '_> {
    fn painted(&self, paint: &str, text: &str) -> String {
        if self.style.colour { format!("\x1b[{paint}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Masked and without what would act on the terminal, each line after the first indented.
    fn text(&self, text: &str, indent: usize) -> String {
        let masked = self.about.masked(text);
        printable(&masked).replace('\n', &format!("\n{:indent$}", ""))
    }

    fn result(&mut self, result: &TestResult) -> io::Result<()> {
        let (word, paint) = match &result.verdict {
            TestVerdict::Passed => ("ok     ", GREEN),
            TestVerdict::Failed(_) => ("FAILED ", RED),
            TestVerdict::ExpectedFailure(_) => ("failed, as expected", GREEN),
            TestVerdict::Skipped(_) => ("skipped", YELLOW),
            TestVerdict::Refused(_) => ("NOT RUN", RED),
        };
        let passed =
            matches!(result.verdict, TestVerdict::Passed | TestVerdict::ExpectedFailure(_));
        if passed && !self.style.passed && result.warnings.is_empty() {
            return Ok(());
        }
        let at = place(result).map(|place| format!("  {place}")).unwrap_or_default();
        let at = self.painted(GREY, &self.text(&format!("{at}  {}", readable(result.elapsed)), 0));
        let (word, name) = (self.painted(paint, word), self.text(&result.name, 8));
        writeln!(self.out, "{word} {name}{at}")?;
        if !passed {
            let check = finding(&result.verdict).filter(|finding| !finding.rule.id.is_empty()).map(
                |finding| format!("{} ({}): ", finding.rule.id, severity_word(finding.severity)),
            );
            let check = check.unwrap_or_default();
            let line = self.text(&format!("{check}{}", why(&result.verdict)), 8);
            writeln!(self.out, "        {line}")?;
        }
        for warning in &result.warnings {
            let word = self.painted(YELLOW, "warning:");
            let line = self.text(warning, 8);
            writeln!(self.out, "        {word} {line}")?;
        }
        if is_bad(&result.verdict) {
            self.failed(result)?;
        }
        Ok(())
    }

    fn failed(&mut self, result: &TestResult) -> io::Result<()> {
        for step in result.steps.iter().filter(|step| !step.failures.is_empty()) {
            let who = step.acting_as.as_ref().map(|who| format!(" as {who}")).unwrap_or_default();
            let line = self.text(&format!("step `{}`{who}:", step.name), 8);
            writeln!(self.out, "        {line}")?;
            for failure in &step.failures {
                let line = self.text(failure, 10);
                writeln!(self.out, "          {line}")?;
            }
        }
        for exchange in evidence::shown(result) {
            writeln!(self.out)?;
            for line in evidence::text(exchange, self.about).lines() {
                let line = self.painted(GREY, line);
                writeln!(self.out, "        {line}")?;
            }
        }
        if let Some(advice) = &result.advice {
            let line = self.text(advice, 8);
            writeln!(self.out, "\n        to mend it: {line}")?;
        }
        writeln!(self.out)
    }

    fn matrix(&mut self, report: &Report) -> io::Result<()> {
        let wrong: Vec<_> = report.matrix.iter().filter(|cell| cell.finding).collect();
        if report.matrix.is_empty() {
            return Ok(());
        }
        writeln!(
            self.out,
            "matrix: {} cells tried, {} not as the description says",
            report.matrix.iter().filter(|cell| was_tried(cell)).count(),
            wrong.len()
        )?;
        for cell in wrong {
            let line = format!(
                "{} {} as {}: expected {}, saw {}",
                cell.method, cell.route, cell.role, cell.expected, cell.seen
            );
            let line = self.painted(RED, &self.text(&line, 8));
            writeln!(self.out, "        {line}")?;
        }
        Ok(())
    }

    fn difference(&mut self) -> io::Result<()> {
        let Some(difference) = self.about.difference else { return Ok(()) };
        writeln!(self.out, "since the last run: {}", difference.line())?;
        for (word, paint, names) in [
            ("new", RED, &difference.new_failures),
            ("fixed", GREEN, &difference.fixed),
            ("gone", YELLOW, &difference.gone),
        ] {
            for name in names {
                let (word, name) = (self.painted(paint, word), self.text(name, 8));
                writeln!(self.out, "        {word} {name}")?;
            }
        }
        Ok(())
    }
}
