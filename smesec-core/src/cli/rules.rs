//! `smesec rules check`.

use super::{resident_bytes, text, thread_cpu_nanos};
use crate::waf::RuleSet;
use std::ffi::OsString;
use std::io::Write;

pub(super) fn run(
    args: impl Iterator<Item = OsString>,
    stdout: &mut dyn Write,
) -> Result<u8, String> {
    use lexopt::prelude::{Long, Value};
    let mut parser = lexopt::Parser::from_args(args);
    let (mut json, mut strict, mut paths) = (false, false, Vec::new());
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Long("json") => json = true,
            Long("strict") => strict = true,
            Long("language") => {
                let language = text(parser.value().map_err(|e| e.to_string())?)?;
                if language != "seclang" {
                    return Err(format!(
                        "rule language `{language}` is not offered yet; write `seclang`"
                    ));
                }
            }
            Value(path) => paths.push(text(path)?),
            other => return Err(format!("{}; see `smesec --help`", other.unexpected())),
        }
    }
    let (memory, cpu) = (resident_bytes(), thread_cpu_nanos());
    let mut builder = RuleSet::builder();
    builder.strict(strict);
    if paths.is_empty() {
        builder.builtin();
    }
    for path in &paths {
        builder.path(path);
    }
    let rules = builder.build().map_err(|e| e.to_string())?;
    let cpu = thread_cpu_nanos() - cpu;
    let report = rules.report();
    let written = if json {
        let line = serde_json::json!({
            "loaded": report.loaded,
            "refused": report.refused,
            "degraded": report.degraded,
            "load_cpu_ms": cpu as f64 / 1e6,
            "memory_bytes": resident_bytes().saturating_sub(memory),
            "prefilter_bytes": rules.prefilter_bytes(),
        });
        writeln!(stdout, "{line}")
    } else {
        write!(stdout, "{report}")
    };
    written.map_err(|e| e.to_string())?;
    Ok(if report.refused.is_empty() { 0 } else { 2 })
}
