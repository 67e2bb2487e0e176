//! `smesec rules check`.

use super::{memory, text, thread_cpu_nanos};
use crate::gateway::warm::warm;
use crate::policy::Exception;
use crate::waf::{Mode, RuleSet, RuleSetBuilder, Waf};
use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;

/// Further hosts that are measured: enough for pages of memory to tell what one costs.
const HOSTS: u64 = 100;

pub(super) fn run(
    args: impl Iterator<Item = OsString>,
    stdout: &mut dyn Write,
) -> Result<u8, String> {
    use lexopt::prelude::{Long, Value};
    let mut parser = lexopt::Parser::from_args(args);
    let (mut json, mut strict, mut paths) = (false, false, Vec::new());
    let mut told = None;
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Long("json") => json = true,
            Long("strict") => strict = true,
            Long("language") => {
                let language = text(parser.value().map_err(|e| e.to_string())?)?;
                if !matches!(language.as_str(), "seclang" | "sigma") {
                    return Err(format!(
                        "rule language `{language}` is not offered yet; write `seclang` or `sigma`"
                    ));
                }
                told = Some(language);
            }
            Value(path) => paths.push(text(path)?),
            other => return Err(format!("{}; see `smesec --help`", other.unexpected())),
        }
    }
    if told.as_deref().unwrap_or_else(|| language_of(&paths)) == "sigma" {
        return sigma(&paths, json, strict, stdout);
    }
    let (before, cpu) = (memory(), thread_cpu_nanos());
    let mut builder = RuleSet::builder();
    builder.strict(strict);
    if paths.is_empty() {
        builder.builtin();
    }
    for source in &paths {
        add(&mut builder, source);
    }
    let rules = builder.build().map_err(|e| e.to_string())?;
    let cpu = thread_cpu_nanos() - cpu;
    let rules = Arc::new(rules);
    let report = rules.report();
    let written = if json {
        let loaded = memory().own.saturating_sub(before.own);
        let waf = Waf::builder(Arc::clone(&rules)).mode(Mode::Block).build();
        warm(&waf);
        let warmed = memory();
        let hosts: Vec<Waf> = (0..HOSTS).map(|_| waf.with_exceptions(exceptions())).collect();
        for host in &hosts {
            warm(host);
        }
        let overlay = memory().own.saturating_sub(warmed.own) / HOSTS;
        let line = serde_json::json!({
            "loaded": report.loaded,
            "refused": report.refused,
            "degraded": report.degraded,
            "load_cpu_ms": cpu as f64 / 1e6,
            "memory_bytes": loaded,
            "memory_with_scratch_bytes": warmed.own.saturating_sub(before.own),
            "resident_with_scratch_bytes": warmed.resident.saturating_sub(before.resident),
            "host_bytes": overlay,
            "prefilter_bytes": rules.prefilter_bytes(),
        });
        writeln!(stdout, "{line}")
    } else {
        write!(stdout, "{report}")
    };
    written.map_err(|e| e.to_string())?;
    Ok(if report.refused.is_empty() { 0 } else { 2 })
}

/// Adds a file, or our own pack by the word that `smesec.toml` has for it.
pub(super) fn add(builder: &mut RuleSetBuilder, source: &str) {
    match source {
        "builtin" => builder.builtin(),
        path => builder.path(path),
    };
}

/// The language of files by their endings; a folder's by that of its first file.
fn language_of(paths: &[String]) -> &'static str {
    let Some(first) = paths.first() else { return "seclang" };
    let mut path = std::path::PathBuf::from(first);
    // Rule folders are folders of folders.
    for _ in 0..8 {
        let Ok(entries) = std::fs::read_dir(&path) else { break };
        let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        match entries.into_iter().next() {
            Some(first) => path = first,
            None => break,
        }
    }
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if matches!(ending, "yml" | "yaml") { "sigma" } else { "seclang" }
}

fn sigma(paths: &[String], json: bool, strict: bool, stdout: &mut dyn Write) -> Result<u8, String> {
    let (before, cpu) = (memory(), thread_cpu_nanos());
    let mut builder = crate::siem::RuleSet::builder();
    builder.strict(strict);
    for path in paths {
        builder.path(path);
    }
    let rules = builder.build().map_err(|e| e.to_string())?;
    let report = rules.report();
    let written = if json {
        let line = serde_json::json!({
            "loaded": report.loaded,
            "refused": report.refused,
            "degraded": report.degraded,
            "load_cpu_ms": (thread_cpu_nanos() - cpu) as f64 / 1e6,
            "memory_bytes": memory().own.saturating_sub(before.own),
        });
        writeln!(stdout, "{line}")
    } else {
        write!(stdout, "{report}")
    };
    written.map_err(|e| e.to_string())?;
    Ok(if report.refused.is_empty() { 0 } else { 2 })
}

/// What a host of its own typically takes out: a handful of rules here, a target there.
fn exceptions() -> Vec<Exception> {
    let exception = |rules, target: Option<&str>, path: &str| Exception {
        rules: vec![rules],
        target: target.map(str::to_owned),
        path_prefix: path.to_owned(),
        ..Exception::default()
    };
    vec![
        exception((942_000, 942_999), Some("ARGS:text"), "/forum/"),
        exception((941_100, 941_100), Some("ARGS:html"), "/editor"),
        exception((920_000, 920_999), None, "/api/"),
        exception((932_000, 932_999), Some("REQUEST_HEADERS:Referer"), ""),
    ]
}
