//! What a run tells: a line for each detection and alarm, and what could not be done.

use super::options::Options;
use super::run::Counts;
use crate::siem::correlation::{Alarm, Change, Correlator};
use crate::siem::record::Record;
use crate::siem::{Matcher, RuleSet};
use std::collections::BTreeMap;
use std::io::Write;

/// Writes detections and alarms as they come. What the output refuses is told at the end: whoever
/// went away (a closed pipe) does not stop the run's counts.
pub(super) struct Lines<'w> {
    out: &'w mut dyn Write,
    json: bool,
    updates: bool,
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
}

/// An alarm's line; the keys are a contract.
#[derive(serde::Serialize)]
struct AlarmLine<'a> {
    correlation: &'a str,
    group: BTreeMap<&'a str, &'a str>,
    ts: String,
    id: String,
    risk: Option<u8>,
    severity: crate::verdict::Severity,
    change: &'static str,
    count: u64,
    message: &'a str,
}

impl<'w> Lines<'w> {
    pub(super) fn new(options: &Options, out: &'w mut dyn Write) -> Self {
        let Options { json, updates, .. } = *options;
        Self { out, json, updates, detections: 0, alarms: 0, failed: None }
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
                });
            } else {
                let level = if meta.level.is_empty() { "-" } else { &meta.level };
                let (title, file, number) = (&meta.title, record.origin, record.number);
                self.line(format_args!("{ts}  {level:<13}  {title}  ({file}:{number})"));
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
                    group: alarm.group.iter().map(|(n, v)| (&**n, v.as_str())).collect(),
                    ts,
                    id: alarm.id.to_string(),
                    risk: alarm.risk,
                    severity: alarm.severity,
                    change: alarm.change.word(),
                    count: alarm.count,
                    message: &alarm.message,
                });
            } else {
                let change = if opened { "ALARM" } else { alarm.change.word() };
                let risk = alarm.risk.map_or_else(String::new, |risk| format!("  risk {risk}"));
                self.line(format_args!("{ts}  {change:<13}  {}{risk}", alarm.message));
            }
        }
    }

    pub(super) fn end(&mut self) -> Result<(), String> {
        let flushed = self.out.flush();
        self.failed.take().map_or(flushed, Err).map_err(|e| format!("standard output: {e}"))
    }

    fn json(&mut self, line: &impl serde::Serialize) {
        // Serialising text and numbers into memory cannot fail.
        let line = serde_json::to_string(line).unwrap_or_default();
        self.line(format_args!("{line}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        if self.failed.is_none() {
            self.failed = writeln!(self.out, "{line}").err();
        }
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

pub(super) fn tell_bad(counts: &Counts, stderr: &mut dyn Write) -> Result<(), String> {
    let Some(first) = &counts.first_bad else { return Ok(()) };
    writeln!(stderr, "smesec: {} broken events, the first: {first}", counts.bad)
        .map_err(|e| e.to_string())
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
