//! `smesec siem run`: files and streams, one after another, through readers and engine.

use super::options::Options;
use super::tell::{Lines, tell_bad, tell_report, tell_unplaced, tell_without_field};
use crate::cli::{resident_bytes, thread_cpu_nanos};
use crate::siem::Engine;
use crate::siem::record::Record;
use crate::siem::sources::{BadLine, Reader, ReaderOptions};
use crate::time::Timestamp;
use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is read at a time.
const PIECE: usize = 1 << 20;

/// What a run has counted.
#[derive(Default)]
pub(super) struct Counts {
    records: u64,
    bytes: u64,
    pub(super) bad: u64,
    pub(super) first_bad: Option<BadLine>,
}

pub(in crate::cli) fn run(
    args: impl Iterator<Item = OsString>,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<u8, String> {
    let options = Options::read(args)?;
    let mut files = Vec::new();
    for input in &options.inputs {
        files_below(Path::new(input), 0, &mut files)?;
    }
    let started = thread_cpu_nanos();
    let rules = Arc::new(options.load()?);
    let loaded = thread_cpu_nanos();
    tell_report(&rules, stderr)?;
    if rules.is_empty() {
        return Err("no rule was loaded; check the paths given with `--rules`".to_owned());
    }
    let mut engine = Engine::new(Arc::clone(&rules), options.settings(files.len()));
    let mut lines = Lines::new(&options, stdout);
    let mut counts = Counts::default();
    let mut progress = Progress::new(&files, stderr);
    for _ in 0..options.repeat {
        for file in &files {
            let name = file.display().to_string();
            let mut opened;
            let input: &mut dyn Read = if name == "-" {
                stdin
            } else {
                opened = std::fs::File::open(file)
                    .map_err(|e| format!("`{name}`: {e}; check the path"))?;
                &mut opened
            };
            through(input, &name, &options, &mut engine, &mut lines, &mut counts, &mut progress)?;
        }
    }
    lines.alarms(engine.finish());
    progress.end();
    let run = thread_cpu_nanos();
    lines.end()?;
    let found = lines.detections + lines.alarms > 0;
    if options.stats {
        let line = serde_json::json!({
            "rules": rules.len(),
            "correlations": rules.plan().len(),
            "records": counts.records,
            "bytes": counts.bytes,
            "detections": lines.detections,
            "alarms": lines.alarms,
            "broken": counts.bad,
            "unplaced": engine.matcher().unplaced(),
            "correlation": engine.correlator().statistics(),
            "correlation_bytes": engine.correlator().bytes(),
            "load_cpu_ms": (loaded - started) as f64 / 1e6,
            "run_cpu_ms": (run - loaded) as f64 / 1e6,
            "memory_bytes": resident_bytes(),
        });
        writeln!(stderr, "{line}").map_err(|e| e.to_string())?;
    }
    tell_bad(&counts, stderr)?;
    tell_unplaced(engine.matcher(), stderr)?;
    tell_without_field(engine.correlator(), stderr)?;
    Ok(match (found, counts.bad + engine.matcher().unplaced() > 0) {
        (true, _) => 1,
        (false, true) => 3,
        (false, false) => 0,
    })
}

/// One input through reader and engine.
fn through(
    input: &mut dyn Read,
    name: &str,
    options: &Options,
    engine: &mut Engine,
    lines: &mut Lines<'_>,
    counts: &mut Counts,
    progress: &mut Progress<'_>,
) -> Result<(), String> {
    let now = Timestamp::from_system_clock();
    let mut reader =
        Reader::new(options.format, name, ReaderOptions { now, ..ReaderOptions::default() });
    let mut each = |line: Result<Record<'_>, BadLine>| match line {
        Ok(record) => {
            let record = options.placed(record);
            let told = engine.see(&record);
            if !told.detections.is_empty() || !told.alarms.is_empty() {
                let (detections, alarms) = (told.detections.to_vec(), told.alarms.to_vec());
                lines.detections(engine.matcher().rules(), &detections, &record);
                lines.alarms(&alarms);
            }
        }
        Err(bad) => {
            counts.bad += 1;
            counts.first_bad.get_or_insert(bad);
        }
    };
    let mut piece = vec![0; PIECE];
    loop {
        let read = match input.read(&mut piece) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read.map_err(|e| format!("`{name}`: {e}"))?,
        };
        if read == 0 {
            break;
        }
        reader.feed(piece.get(..read).unwrap_or_default(), &mut each);
        progress.on(read);
    }
    reader.finish(&mut each);
    counts.records += reader.statistics().records;
    counts.bytes += reader.statistics().bytes;
    Ok(())
}

/// How far a long run has come, where a person looks on.
struct Progress<'w> {
    shown: Option<&'w mut dyn Write>,
    whole: u64,
    read: u64,
    percent: u64,
}

impl<'w> Progress<'w> {
    /// Below this nobody has to wait.
    const LONG: u64 = 64 << 20;

    fn new(files: &[PathBuf], stderr: &'w mut dyn Write) -> Self {
        let length = |file: &PathBuf| std::fs::metadata(file).map_or(0, |about| about.len());
        let whole = files.iter().map(length).sum();
        let watched = whole >= Self::LONG && std::io::stderr().is_terminal();
        Self { shown: watched.then_some(stderr), whole, read: 0, percent: 0 }
    }

    fn on(&mut self, read: usize) {
        self.read += read as u64;
        let Some(shown) = &mut self.shown else { return };
        let percent = self.read.saturating_mul(100) / self.whole.max(1);
        if percent > self.percent {
            self.percent = percent;
            let _ = write!(shown, "\r{percent:3} % of {} MiB", self.whole >> 20);
            let _ = shown.flush();
        }
    }

    fn end(self) {
        if let Some(shown) = self.shown {
            let _ = write!(shown, "\r                         \r");
        }
    }
}

/// The input files below a path, in the order of their names. Of a folder, what readers know by its
/// ending; a file that is named is read whatever its name.
fn files_below(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), String> {
    const ENDINGS: &[&str] = &["csv", "evtx", "json", "jsonl", "log", "txt", "xml"];
    /// A link that leads back is cut here; trees of logs are far flatter.
    const DEEPEST: usize = 32;
    if path == Path::new("-") || !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let wrong = |e: std::io::Error| format!("`{}`: {e}; check the path", path.display());
    if depth > DEEPEST {
        return Err(format!("`{}`: folders nest deeper than {DEEPEST}", path.display()));
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(wrong)?;
    entries.sort();
    for entry in entries {
        let ending = entry.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if ENDINGS.contains(&ending.to_ascii_lowercase().as_str()) || entry.is_dir() {
            files_below(&entry, depth + 1, files)?;
        }
    }
    Ok(())
}
