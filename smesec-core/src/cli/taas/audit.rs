//! `smesec taas audit` and `smesec taas draft`.

use super::reports::Reports;
use super::way::Way;
use super::{refusal, shown};
use crate::cli::text;
use crate::client::Network;
use crate::runner::{Observer, Report, TestResult, TestRunner, TestVerdict};
use crate::taas::Secrets;
use crate::taas::audit::{Audit, EXAMPLE, checks, draft as draft_of};
use crate::verdict::Severity;
use std::ffi::OsString;
use std::io::Write;

#[derive(Default)]
struct Options {
    file: Option<String>,
    only: Vec<String>,
    destructive: bool,
    dry_run: bool,
    json: bool,
}

pub(in crate::cli) fn run(
    args: impl Iterator<Item = OsString>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<u8, String> {
    use lexopt::prelude::{Long, Value};
    let mut options = Options::default();
    let mut reports = Reports::new();
    let mut way = Way::default();
    let mut parser = lexopt::Parser::from_args(args);
    let failed = |e: std::io::Error| e.to_string();
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        let name = match arg {
            Value(file) if options.file.is_none() => {
                options.file = Some(text(file)?);
                continue;
            }
            Long(name) => name.to_owned(),
            other => return Err(format!("{}; see `smesec --help`", other.unexpected())),
        };
        if reports.take(&name, &mut parser)? || way.take(&name, &mut parser)? {
            continue;
        }
        match name.as_str() {
            "example" => {
                return stdout.write_all(EXAMPLE.as_bytes()).map(|()| 0).map_err(failed);
            }
            "checks" => return list(stdout).map(|()| 0).map_err(failed),
            "only" => {
                let names = text(parser.value().map_err(|e| e.to_string())?)?;
                options.only.extend(names.split(',').map(|name| name.trim().to_owned()));
            }
            "destructive" => options.destructive = true,
            "dry-run" => options.dry_run = true,
            "json" => options.json = true,
            _ => return Err(format!("unknown option `--{name}`; see `smesec --help`")),
        }
    }
    let Some(file) = &options.file else {
        return Err("which target? Write `smesec taas audit TARGET.yaml`; `--example` prints one"
            .to_owned());
    };
    if way.bounds() {
        return Err("an audit has its cap and its rate in its file; write `limits: {requests: N, per_second: N}` there".to_owned());
    }
    let described =
        std::fs::read_to_string(file).map_err(|e| format!("`{file}`: {e}; check the path"))?;
    let mut audit = Audit::load(&described, file).map_err(|e| e.to_string())?;
    if !options.only.is_empty() {
        let names = options.only.iter().map(String::as_str);
        audit = audit.only(names).map_err(|e| format!("`--only`: {e}"))?;
    }
    let audit = audit.destructive(options.destructive);
    for warning in audit.warnings() {
        writeln!(stderr, "smesec: {}", shown(warning)).map_err(failed)?;
    }
    if options.dry_run {
        plan(&audit, options.json, stdout).map_err(failed)?;
        // Standard output is the plan alone, one request a line.
        let network = network(&audit, &way);
        for host in audit.hosts() {
            let public = audit.allows_public_hosts();
            if let Some(line) = refusal(&network, &host, public, "public: true") {
                writeln!(stderr, "smesec: {line}").map_err(failed)?;
            }
        }
        return Ok(0);
    }
    let mut lines = Lines { json: options.json, out: stdout, failed: None };
    let report = audit.run(&network(&audit, &way), &mut lines);
    if let Some(why) = lines.failed {
        return Err(failed(why));
    }
    if !options.json {
        summary(&report, stdout).map_err(failed)?;
    }
    let person = (!options.json).then_some(stdout);
    // The audit has masked what it keeps.
    reports.write(file, &report, &Secrets::default(), person)?;
    Ok(code(&report))
}

/// Only the description's own hosts, within its bounds.
fn network(audit: &Audit, way: &Way) -> Network {
    let (most, rate, _) = audit.limits();
    let builder = Network::builder().at_most(most).per_second(rate);
    way.over(builder.allow_hosts(audit.hosts(), audit.allows_public_hosts())).build()
}

/// 0 nothing found, 1 findings, 3 something could not be checked, or nothing was.
fn code(report: &Report) -> u8 {
    let any = |is: fn(&TestVerdict) -> bool| report.results.iter().any(|r| is(&r.verdict));
    if any(|v| matches!(v, TestVerdict::Failed(_))) {
        1
    } else if any(|v| matches!(v, TestVerdict::Refused(_))) || !any(|v| *v == TestVerdict::Passed) {
        3
    } else {
        0
    }
}

fn list(out: &mut dyn Write) -> std::io::Result<()> {
    for check in checks() {
        let asked = if check.is_destructive() { " (--destructive)" } else { "" };
        writeln!(out, "{:<24} {}{asked}", check.name(), check.title())?;
        writeln!(out, "{:<24} needs {}; {}", "", check.needs(), check.tags().join(" "))?;
    }
    Ok(())
}

fn plan(audit: &Audit, json: bool, out: &mut dyn Write) -> std::io::Result<()> {
    for planned in audit.plan() {
        let request = &planned.request;
        if json {
            writeln!(out, "{}", planned.json_line())?;
        } else {
            writeln!(
                out,
                "{:<24} {:<10} {} {}  ({})",
                planned.check,
                shown(&planned.acting_as),
                request.method,
                shown(&request.url),
                shown(&planned.purpose)
            )?;
        }
    }
    Ok(())
}

/// Writes each result as it comes.
struct Lines<'a> {
    json: bool,
    out: &'a mut dyn Write,
    failed: Option<std::io::Error>,
}

impl Observer for Lines<'_> {
    fn finished(&mut self, result: &TestResult) {
        let written =
            if self.json { json_line(result, self.out) } else { person(result, self.out) };
        if let Err(why) = written {
            self.failed.get_or_insert(why);
        }
    }
}

/// One JSON line a finding; the keys are a contract.
fn json_line(result: &TestResult, out: &mut dyn Write) -> std::io::Result<()> {
    let TestVerdict::Failed(finding) = &result.verdict else { return Ok(()) };
    let steps = result.steps.iter();
    let exchanges = steps.flat_map(|step| {
        step.exchanges.iter().map(move |exchange| {
            let request = &exchange.request;
            let answer = match &exchange.response {
                Ok(response) => serde_json::json!({
                    "status": response.status,
                    "headers": response.headers.iter().map(|(n, v)| (n, String::from_utf8_lossy(v))).collect::<Vec<_>>(),
                    "body": String::from_utf8_lossy(&response.body),
                }),
                Err(why) => serde_json::json!({"error": why.to_string()}),
            };
            serde_json::json!({
                "step": step.name,
                "as": step.acting_as,
                "method": request.method,
                "url": request.url,
                "headers": request.headers.iter().map(|(n, v)| (n, String::from_utf8_lossy(v))).collect::<Vec<_>>(),
                "body": String::from_utf8_lossy(&request.body),
                "answer": answer,
            })
        })
    });
    let line = serde_json::json!({
        "check": finding.rule.id,
        "severity": finding.severity,
        "part": finding.part,
        "message": finding.message,
        "evidence": finding.evidence,
        "advice": result.advice,
        "tags": finding.rule.tags,
        "place": result.place.as_ref().map(|(file, line)| format!("{file}:{line}")),
        "exchanges": exchanges.collect::<Vec<_>>(),
    });
    writeln!(out, "{line}")
}

fn person(result: &TestResult, out: &mut dyn Write) -> std::io::Result<()> {
    match &result.verdict {
        TestVerdict::Failed(finding) => {
            let severity = match finding.severity {
                Severity::Critical => "CRITICAL",
                Severity::High => "HIGH",
                Severity::Medium => "MEDIUM",
                Severity::Low => "LOW",
                Severity::Info => "INFO",
            };
            writeln!(out, "{severity:<9} {:<24} {}", finding.rule.id, shown(&finding.message))?;
            writeln!(out, "{:<9} {}", "", shown(&finding.evidence))?;
            for step in result.steps.iter().rev().take(2).rev() {
                for exchange in &step.exchanges {
                    let seen = match &exchange.response {
                        Ok(response) => response.status.to_string(),
                        Err(why) => shown(&why.to_string()),
                    };
                    let (method, url) = (&exchange.request.method, shown(&exchange.request.url));
                    let step = shown(&step.name);
                    writeln!(out, "{:<9}   {method} {url} -> {seen}  ({step})", "")?;
                }
            }
            if let Some(advice) = &result.advice {
                writeln!(out, "{:<9} fix: {advice}", "")?;
            }
        }
        TestVerdict::Passed => writeln!(out, "{:<9} {}", "ok", result.name)?,
        TestVerdict::Skipped(why) => {
            writeln!(out, "{:<9} {:<24} {}", "skipped", result.name, shown(why))?;
        }
        TestVerdict::Refused(why) => {
            writeln!(out, "{:<9} {:<24} {}", "NOT DONE", result.name, shown(why))?;
        }
        TestVerdict::ExpectedFailure(_) => {}
    }
    for note in &result.warnings {
        writeln!(out, "{:<9} {}", "", shown(note))?;
    }
    Ok(())
}

fn summary(report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    let count = |is: fn(&TestVerdict) -> bool| {
        report.results.iter().filter(|result| is(&result.verdict)).count()
    };
    writeln!(
        out,
        "{} findings, {} checks passed, {} skipped, {} could not be done",
        count(|v| matches!(v, TestVerdict::Failed(_))),
        count(|v| *v == TestVerdict::Passed),
        count(|v| matches!(v, TestVerdict::Skipped(_))),
        count(|v| matches!(v, TestVerdict::Refused(_))),
    )
}

pub(in crate::cli) fn draft(
    args: impl Iterator<Item = OsString>,
    stdout: &mut dyn Write,
) -> Result<u8, String> {
    use lexopt::prelude::Value;
    let mut parser = lexopt::Parser::from_args(args);
    let mut file = None;
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Value(path) if file.is_none() => file = Some(text(path)?),
            other => return Err(format!("{}; see `smesec --help`", other.unexpected())),
        }
    }
    let file = file.ok_or("which document? Write `smesec taas draft openapi.yaml`")?;
    let document =
        std::fs::read_to_string(&file).map_err(|e| format!("`{file}`: {e}; check the path"))?;
    let drafted = draft_of(&document, &file).map_err(|e| e.to_string())?;
    stdout.write_all(drafted.as_bytes()).map_err(|e| e.to_string())?;
    Ok(0)
}
