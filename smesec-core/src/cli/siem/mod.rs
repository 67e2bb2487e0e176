//! `smesec siem run`: logs through Sigma rules; `smesec siem explain`: one rule over one record.

mod json;

use super::{text, thread_cpu_nanos};
use crate::siem::record::{LogSource, Record};
use crate::siem::{Matcher, RuleSet};
use json::JsonLines;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What both subcommands are told of rules.
#[derive(Default)]
struct Options {
    rules: Vec<String>,
    placeholders: Vec<String>,
    pipelines: Vec<String>,
    log_sources: Vec<String>,
    said: [String; 3],
    json: bool,
    stats: bool,
    strict: bool,
    repeat: usize,
    inputs: Vec<String>,
}

fn options(args: impl Iterator<Item = OsString>, needs_rules: bool) -> Result<Options, String> {
    use lexopt::prelude::{Long, Value};
    let mut options = Options { repeat: 1, ..Options::default() };
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        let flag = match arg {
            Value(path) => {
                options.inputs.push(text(path)?);
                continue;
            }
            Long(name) => name.to_owned(),
            lexopt::Arg::Short(_) => {
                return Err(format!("{}; see `smesec --help`", arg.unexpected()));
            }
        };
        match flag.as_str() {
            "json" => options.json = true,
            "stats" => options.stats = true,
            "strict" => options.strict = true,
            _ => {
                let value = text(parser.value().map_err(|e| e.to_string())?)?;
                match flag.as_str() {
                    "rules" => options.rules.push(value),
                    "placeholders" => options.placeholders.push(value),
                    "pipeline" => options.pipelines.push(value),
                    "log-sources" => options.log_sources.push(value),
                    "log-source" => options.said = said(&value)?,
                    "format" if matches!(value.as_str(), "auto" | "json") => {}
                    "format" => {
                        return Err(format!("format `{value}` is not offered yet; write `json`"));
                    }
                    "repeat" => {
                        options.repeat = value
                            .parse()
                            .map_err(|_| format!("`--repeat {value}`: write a whole number"))?;
                    }
                    // Correlation is what these are for; until it is joined they change nothing.
                    "lateness" | "home-net" => {}
                    _ => return Err(format!("unknown option `--{flag}`; see `smesec --help`")),
                }
            }
        }
    }
    if needs_rules && options.rules.is_empty() {
        return Err("`--rules PATH` is missing; name a file or a folder of Sigma rules".to_owned());
    }
    Ok(options)
}

/// `product/category/service`, `-` for what is not known.
fn said(value: &str) -> Result<[String; 3], String> {
    let parts: Vec<String> =
        value.split('/').map(|p| if p == "-" { String::new() } else { p.to_lowercase() }).collect();
    parts.try_into().map_err(|_| {
        format!(
            "`--log-source {value}`: write `product/category/service`, `-` for what is not known"
        )
    })
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("`{path}`: {e}; check the path"))
}

impl Options {
    fn load(&self) -> Result<RuleSet, String> {
        let mut builder = RuleSet::builder();
        builder.strict(self.strict);
        for path in &self.placeholders {
            builder.placeholders(path, &read(path)?);
        }
        for path in &self.pipelines {
            builder.pipeline(path, &read(path)?);
        }
        for path in &self.log_sources {
            builder.log_sources(path, &read(path)?);
        }
        for path in &self.rules {
            builder.path(path);
        }
        builder.build().map_err(|e| e.to_string())
    }

    fn log_source(&self) -> LogSource<'_> {
        let [product, category, service] = &self.said;
        LogSource { product, category, service }
    }
}

/// What a run has counted.
#[derive(Default)]
struct Counts {
    records: u64,
    broken: u64,
    detections: u64,
    first_broken: Option<String>,
}

pub(super) fn run(
    args: impl Iterator<Item = OsString>,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<u8, String> {
    let options = options(args, true)?;
    if options.inputs.is_empty() {
        return Err("no input; name files or folders, or `-` for standard input".to_owned());
    }
    let started = thread_cpu_nanos();
    let rules = Arc::new(options.load()?);
    let loaded = thread_cpu_nanos();
    tell_report(&rules, stderr)?;
    if rules.is_empty() {
        return Err("no rule was loaded; check the paths given with `--rules`".to_owned());
    }
    let mut matcher = Matcher::new(Arc::clone(&rules));
    let mut counts = Counts::default();
    let mut files = Vec::new();
    for input in &options.inputs {
        files_below(Path::new(input), 0, &mut files)?;
    }
    for _ in 0..options.repeat {
        for file in &files {
            let name = file.display().to_string();
            let mut opened;
            let input: &mut dyn BufRead = if name == "-" {
                stdin
            } else {
                let file = std::fs::File::open(file)
                    .map_err(|e| format!("`{name}`: {e}; check the path"))?;
                opened = BufReader::with_capacity(1 << 18, file);
                &mut opened
            };
            through(input, &name, &options, &mut matcher, &mut counts, stdout)?;
        }
    }
    if options.stats {
        let line = serde_json::json!({
            "rules": rules.len(),
            "records": counts.records,
            "detections": counts.detections,
            "broken": counts.broken,
            "unplaced": matcher.unplaced(),
            "load_cpu_ms": (loaded - started) as f64 / 1e6,
            "run_cpu_ms": (thread_cpu_nanos() - loaded) as f64 / 1e6,
            "memory_bytes": super::resident_bytes(),
        });
        writeln!(stderr, "{line}").map_err(|e| e.to_string())?;
    }
    tell_rest(&counts, &matcher, stderr)?;
    Ok(match (counts.detections > 0, counts.broken + matcher.unplaced() > 0) {
        (true, _) => 1,
        (false, true) => 3,
        (false, false) => 0,
    })
}

/// `siem explain RULE EVENT`: the rule by its id, name, title or file; the event in a file, or
/// on standard input.
pub(super) fn explain(
    args: impl Iterator<Item = OsString>,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
) -> Result<u8, String> {
    let mut options = options(args, false)?;
    let usage = "write `smesec siem explain [--rules PATH] RULE EVENT`; EVENT is a file or `-`";
    let [wanted, event] = options.inputs.as_slice() else { return Err(usage.to_owned()) };
    let (wanted, event) = (wanted.clone(), event.clone());
    if options.rules.is_empty() {
        options.rules.push(wanted.clone());
    }
    let rules = options.load()?;
    let named = |meta: &crate::siem::sigma::Meta| {
        [&meta.id, &meta.name, &meta.title, &meta.file].contains(&&wanted)
    };
    let Some(rule) = (0..).zip(rules.metas()).find(|(_, meta)| named(meta)).map(|(n, _)| n) else {
        let refused = rules.report().refused.first();
        let why = refused.map_or_else(String::new, |refused| format!(" ({refused})"));
        return Err(format!(
            "no rule `{wanted}` is in force{why}; give its id, name, title or file"
        ));
    };
    let text = if event == "-" {
        let mut text = String::new();
        std::io::Read::read_to_string(stdin, &mut text).map_err(|e| e.to_string())?;
        text
    } else {
        read(&event)?
    };
    let mut matcher = Matcher::new(Arc::new(rules));
    let mut matched = false;
    for (number, line) in (0_u64..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let mut reader = JsonLines::default();
        let lent = reader
            .read(line, &event, number)
            .map_err(|why| format!("{event}:{}: {why}", number + 1))?;
        let record = lent.record(options.log_source());
        let concerned = matcher.concerned(&record).contains(&rule);
        let Some(told) = matcher.rules().explain(rule, &record) else { continue };
        let meta = matcher.rules().meta(rule);
        let title = meta.map_or("", |meta| meta.title.as_str());
        matched |= told.matches && concerned;
        writeln!(stdout, "{event}:{}: {title}", number + 1).map_err(|e| e.to_string())?;
        if !concerned {
            writeln!(
                stdout,
                "the record is of another log source, so the rule is not asked; its searches:"
            )
            .map_err(|e| e.to_string())?;
        }
        write!(stdout, "{told}").map_err(|e| e.to_string())?;
    }
    Ok(u8::from(matched))
}

/// One input through the matcher.
fn through(
    input: &mut dyn BufRead,
    name: &str,
    options: &Options,
    matcher: &mut Matcher,
    counts: &mut Counts,
    stdout: &mut dyn Write,
) -> Result<(), String> {
    let mut reader = JsonLines::default();
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let read = input.read_until(b'\n', &mut line).map_err(|e| format!("`{name}`: {e}"))?;
        if read == 0 {
            return Ok(());
        }
        let at = number;
        number += 1;
        let broken = match std::str::from_utf8(&line).map(str::trim_end) {
            Ok("") => continue,
            Ok(line) => match reader.read(line, name, at) {
                Ok(lent) => {
                    counts.records += 1;
                    let record = lent.record(options.log_source());
                    let matched = matcher.matches(&record).len();
                    if matched > 0 {
                        counts.detections += matched as u64;
                        tell(matcher, matched, &record, options.json, stdout)
                            .map_err(|e| e.to_string())?;
                    }
                    let fields = recycled(lent);
                    reader.give_back(fields);
                    continue;
                }
                Err(why) => why,
            },
            Err(_) => "the line is not UTF-8; convert it".to_owned(),
        };
        counts.broken += 1;
        counts.first_broken.get_or_insert_with(|| format!("{name}:{}: {broken}", at + 1));
    }
}

/// The fields' vector, its borrows given up.
fn recycled(lent: json::Lent<'_>) -> Vec<crate::siem::record::Field<'static>> {
    let mut fields = lent.fields;
    fields.clear();
    fields
        .into_iter()
        .map(|_| crate::siem::record::Field {
            name: "",
            value: crate::siem::record::Value::text(""),
        })
        .collect()
}

/// A detection's line; the keys are a contract.
#[derive(serde::Serialize)]
struct Detection<'d> {
    rule_id: &'d str,
    title: &'d str,
    author: Option<&'d str>,
    level: &'d str,
    file: &'d str,
    record_id: u64,
    ts: String,
}

fn tell(
    matcher: &Matcher,
    _matched: usize,
    record: &Record<'_>,
    json: bool,
    stdout: &mut dyn Write,
) -> std::io::Result<()> {
    for rule in matcher.matched() {
        let Some(meta) = matcher.rules().meta(*rule) else { continue };
        let ts = record.time.to_string();
        if json {
            let line = Detection {
                rule_id: &meta.id,
                title: &meta.title,
                author: meta.author.as_deref(),
                level: &meta.level,
                file: record.origin,
                record_id: record.number,
                ts,
            };
            writeln!(stdout, "{}", serde_json::to_string(&line).unwrap_or_default())?;
        } else {
            let level = if meta.level.is_empty() { "-" } else { &meta.level };
            writeln!(
                stdout,
                "{ts}  {level:<13}  {}  ({}:{})",
                meta.title, record.origin, record.number
            )?;
        }
    }
    Ok(())
}

fn tell_report(rules: &RuleSet, stderr: &mut dyn Write) -> Result<(), String> {
    let report = rules.report();
    for refused in &report.refused {
        writeln!(stderr, "smesec: {refused}").map_err(|e| e.to_string())?;
    }
    if !report.degraded.is_empty() {
        let count = report.degraded.len();
        writeln!(
            stderr,
            "smesec: {count} rules do less than they say; `smesec rules check` names them"
        )
        .map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn tell_rest(counts: &Counts, matcher: &Matcher, stderr: &mut dyn Write) -> Result<(), String> {
    if let Some(first) = &counts.first_broken {
        writeln!(stderr, "smesec: {} broken lines, the first: {first}", counts.broken)
            .map_err(|e| e.to_string())?;
    }
    if matcher.unplaced() > 0 {
        writeln!(
            stderr,
            "smesec: {} records belong to no log source that a rule asks for; say what they are with \
             `--log-source product/category/service`",
            matcher.unplaced()
        )
        .map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// The input files below a path, in the order of their names.
fn files_below(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), String> {
    if path == Path::new("-") || !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let wrong = |e: std::io::Error| format!("`{}`: {e}; check the path", path.display());
    if depth > 32 {
        return Err(format!("`{}`: folders nest deeper than 32", path.display()));
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(wrong)?;
    entries.sort();
    for entry in entries {
        let known = entry.extension().is_some_and(|e| e == "json" || e == "jsonl" || e == "log");
        if known || entry.is_dir() {
            files_below(&entry, depth + 1, files)?;
        }
    }
    Ok(())
}
