//! What a run tells: a row for each detection and alarm, and what could not be done.

use super::inputs::Inputs;
use super::options::Options;
use super::run::Counts;
use crate::siem::correlation::{Alarm, AlarmKind, Change, Correlator};
use crate::siem::record::Record;
use crate::siem::{Matcher, RuleSet};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::Write;

/// Writes detections and alarms as they come. What the output refuses is told at the end: whoever
/// went away (a closed pipe) does not stop the run's counts.
pub(super) struct Lines<'w> {
    out: &'w mut dyn Write,
    json: bool,
    updates: bool,
    begun: bool,
    pub(super) detections: u64,
    pub(super) alarms: u64,
    failed: Option<std::io::Error>,
}

/// A detection's line; the keys are a contract.
#[derive(serde::Serialize)]
struct DetectionLine<'d> {
    rule_id: &'d str,
    title: &'d str,
    author: Option<&'d str>,
    level: &'d str,
    file: &'d str,
    record_id: u64,
    ts: String,
    log_source: SourceLine<'d>,
    tags: &'d [String],
}

/// Whose record it was, as far as that is known.
#[derive(serde::Serialize)]
struct SourceLine<'d> {
    product: &'d str,
    category: &'d str,
    service: &'d str,
}

/// An alarm's line; the keys are a contract.
#[derive(serde::Serialize)]
struct AlarmLine<'a> {
    correlation: &'a str,
    kind: &'static str,
    group: BTreeMap<&'a str, &'a str>,
    ts: String,
    start: String,
    id: String,
    risk: Option<u8>,
    severity: crate::verdict::Severity,
    change: &'static str,
    count: u64,
    message: &'a str,
    rule_id: &'a str,
    tags: &'a [String],
}

impl<'w> Lines<'w> {
    pub(super) fn new(options: &Options, out: &'w mut dyn Write) -> Self {
        let Options { json, updates, .. } = *options;
        Self { out, json, updates, begun: false, detections: 0, alarms: 0, failed: None }
    }

    pub(super) fn detections(&mut self, rules: &RuleSet, matched: &[u32], record: &Record<'_>) {
        for rule in matched {
            let Some(meta) = rules.meta(*rule) else { continue };
            self.detections += 1;
            let ts = record.time.to_string();
            if self.json {
                self.json(&DetectionLine {
                    rule_id: &meta.id,
                    title: &meta.title,
                    author: meta.author.as_deref(),
                    level: &meta.level,
                    file: record.origin,
                    record_id: record.number,
                    ts,
                    log_source: SourceLine {
                        product: record.log_source.product,
                        category: record.log_source.category,
                        service: record.log_source.service,
                    },
                    tags: &meta.tags,
                });
            } else {
                let level = if meta.level.is_empty() { "-" } else { &meta.level };
                let (title, file, number) = (&meta.title, record.origin, record.number);
                self.row(&ts, level, "-", format_args!("{title}  ({file}:{number})"));
            }
        }
    }

    pub(super) fn alarms(&mut self, alarms: &[Alarm]) {
        for alarm in alarms {
            let opened = alarm.change == Change::Opened;
            self.alarms += u64::from(opened);
            if !opened && !self.updates {
                continue;
            }
            let ts = alarm.time.to_string();
            if self.json {
                self.json(&AlarmLine {
                    correlation: &alarm.rule.name,
                    kind: match alarm.kind {
                        AlarmKind::Correlation => "correlation",
                        AlarmKind::Directive => "directive",
                        AlarmKind::Health => "health",
                    },
                    group: alarm.group.iter().map(|(n, v)| (&**n, v.as_str())).collect(),
                    ts,
                    start: alarm.start.to_string(),
                    id: alarm.id.to_string(),
                    risk: alarm.risk,
                    severity: alarm.severity,
                    change: alarm.change.word(),
                    count: alarm.count,
                    message: &alarm.message,
                    rule_id: &alarm.rule.id,
                    tags: &alarm.rule.tags,
                });
            } else {
                let change = if opened { "ALARM" } else { alarm.change.word() };
                let risk = alarm.risk.map_or_else(|| "-".to_owned(), |risk| risk.to_string());
                self.row(&ts, change, &risk, format_args!("{}", alarm.message));
            }
        }
    }

    /// Lets whoever looks on see what there is.
    pub(super) fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.out.flush().err();
        }
    }

    pub(super) fn end(&mut self) -> Result<(), String> {
        let flushed = self.out.flush();
        self.failed.take().map_or(flushed, Err).map_err(|e| format!("standard output: {e}"))
    }

    /// What the run came to, in one line for a person.
    pub(super) fn tell_summary(
        &self,
        counts: &Counts,
        dropped: u64,
        stderr: &mut dyn Write,
    ) -> Result<(), String> {
        let Self { detections, alarms, .. } = self;
        let dropped = match dropped {
            0 => String::new(),
            some => format!(", {some} dropped by policies"),
        };
        let (records, bad) = (counts.records, counts.bad);
        writeln!(
            stderr,
            "smesec: {records} records, {detections} detections, {alarms} alarms{dropped}, {bad} broken lines"
        )
        .map_err(|e| e.to_string())
    }

    fn json(&mut self, line: &impl serde::Serialize) {
        // Serialising text and numbers into memory cannot fail.
        let line = serde_json::to_string(line).unwrap_or_default();
        self.line(format_args!("{line}"));
    }

    /// A row of the table; its head comes with the first.
    fn row(&mut self, ts: &str, what: &str, risk: &str, told: fmt::Arguments<'_>) {
        if !std::mem::replace(&mut self.begun, true) {
            self.row("TIME", "LEVEL", "RISK", format_args!("WHAT"));
        }
        let told = Plain(told);
        self.line(format_args!("{ts:<30}  {what:<13}  {risk:>4}  {told}"));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        if self.failed.is_none() {
            self.failed = writeln!(self.out, "{line}").err();
        }
    }
}

/// Text that an attacker may have written, for a terminal: what would move its cursor, colour it, begin
/// a line or turn the direction of what follows is written out, such as `\u{1b}`.
pub(super) struct Plain<T>(pub(super) T);

impl<T: fmt::Display> fmt::Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaped(f), "{}", self.0)
    }
}

struct Escaped<'f, 'b>(&'f mut fmt::Formatter<'b>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let acts = c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if acts {
                write!(self.0, "{}", c.escape_unicode())?;
            } else {
                self.0.write_char(c)?;
            }
        }
        Ok(())
    }
}

pub(super) fn tell_report(rules: &RuleSet, stderr: &mut dyn Write) -> Result<(), String> {
    let report = rules.report();
    for refused in &report.refused {
        writeln!(stderr, "smesec: {refused}").map_err(|e| e.to_string())?;
    }
    if !report.degraded.is_empty() {
        let count = report.degraded.len();
        let told = "rules do less than they say; `smesec rules check` names them";
        writeln!(stderr, "smesec: {count} {told}").map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// What of the folders is not read, and why.
pub(super) fn tell_passed(inputs: &Inputs, stderr: &mut dyn Write) -> Result<(), String> {
    for (file, why) in &inputs.passed {
        let file = Plain(file.display());
        writeln!(stderr, "smesec: `{file}` is passed over: {why}").map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Files whose last event was not taken.
pub(super) fn tell_unfinished(counts: &Counts, stderr: &mut dyn Write) -> Result<(), String> {
    for name in &counts.unfinished {
        let name = Plain(name);
        writeln!(stderr, "smesec: `{name}` ends within an event, which is left for the next run")
            .map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// The first broken lines by number and reason, and how many more there are.
pub(super) fn tell_bad(counts: &Counts, stderr: &mut dyn Write) -> Result<(), String> {
    for bad in &counts.first_bad {
        writeln!(stderr, "smesec: broken: {}", Plain(bad)).map_err(|e| e.to_string())?;
    }
    match counts.bad.saturating_sub(counts.first_bad.len() as u64) {
        0 => Ok(()),
        more => writeln!(stderr, "smesec: {more} more broken lines, {} in all", counts.bad)
            .map_err(|e| e.to_string()),
    }
}

/// Correlations that can say nothing of what matched, since their fields are missing there.
pub(super) fn tell_without_field(
    correlator: &Correlator,
    stderr: &mut dyn Write,
) -> Result<(), String> {
    for (rule, count) in correlator.without_field() {
        writeln!(
            stderr,
            "smesec: {count} hits lack a field that the correlation `{}` groups by or looks at; check \
             its `group-by`, its condition's `field` and its aliases",
            rule.name
        )
        .map_err(|e| e.to_string())?;
    }
    Ok(())
}

pub(super) fn tell_unplaced(matcher: &Matcher, stderr: &mut dyn Write) -> Result<(), String> {
    if matcher.unplaced() == 0 {
        return Ok(());
    }
    writeln!(
        stderr,
        "smesec: {} records belong to no log source that a rule asks for; say what they are with \
         `--log-source product/category/service`",
        matcher.unplaced()
    )
    .map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siem::correlation::AlarmId;

    #[test]
    fn what_a_log_says_stays_in_its_row() {
        let mut out = Vec::new();
        let mut lines = Lines {
            out: &mut out,
            json: false,
            updates: false,
            begun: true,
            detections: 0,
            alarms: 0,
            failed: None,
        };
        let rule = std::sync::Arc::default();
        let mut alarm =
            Alarm::new(AlarmId::default(), Change::Opened, AlarmKind::Correlation, &rule);
        alarm.message = "u a\u{1b}[31m\n2026 ALARM forged \u{202e}é".to_owned();
        lines.alarms(&[alarm]);
        let told = String::from_utf8(out).unwrap_or_default();
        assert!(told.ends_with("u a\\u{1b}[31m\\u{a}2026 ALARM forged \\u{202e}é\n"), "{told}");
        assert_eq!(told.lines().count(), 1);
    }
}
