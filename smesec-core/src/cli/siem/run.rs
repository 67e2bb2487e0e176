//! `smesec siem run`: files and streams, one after another, through readers and engine.

use super::inputs::{Inputs, STANDARD};
use super::options::Options;
use super::progress::Progress;
use super::state::State;
use super::tell::{
    Lines, tell_bad, tell_passed, tell_report, tell_unfinished, tell_unplaced, tell_without_field,
};
use crate::cli::{memory, thread_cpu_nanos};
use crate::siem::Engine;
use crate::siem::record::Record;
use crate::siem::sources::{BadLine, Point, Reader, ReaderOptions};
use crate::time::Timestamp;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::sync::Arc;

/// What is read at a time.
const PIECE: usize = 1 << 20;

/// What a run has counted.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) records: u64,
    bytes: u64,
    pub(super) bad: u64,
    /// The first of them; further ones are only counted.
    pub(super) first_bad: Vec<BadLine>,
    /// Files that end within an event, which the next run takes.
    pub(super) unfinished: Vec<String>,
}

/// So many broken lines are told by number and reason.
const MOST_BAD: usize = 10;

pub(in crate::cli) fn run(
    args: impl Iterator<Item = OsString>,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<u8, String> {
    let options = Options::read(args)?;
    let inputs = Inputs::below(&options.inputs)?;
    let started = thread_cpu_nanos();
    let rules = Arc::new(options.load()?);
    let loaded = thread_cpu_nanos();
    tell_report(&rules, stderr)?;
    tell_passed(&inputs, stderr)?;
    let mut engine = options.engine(Arc::clone(&rules), &inputs, stderr)?;
    if rules.is_empty() && engine.directives().is_none() {
        return Err("no rule was loaded; check the paths given with `--rules`".to_owned());
    }
    let state = match &options.state {
        Some(folder) => Some(State::open(folder, &mut engine, stderr)?),
        None => None,
    };
    let mut run = Run {
        options: &options,
        engine,
        lines: Lines::new(&options, stdout),
        counts: Counts::default(),
        progress: Progress::new(&inputs.files, stderr),
        state,
    };
    for _ in 0..options.repeat {
        for file in &inputs.files {
            let name = file.display().to_string();
            if name == STANDARD { run.standard(stdin)? } else { run.file(&name)? }
        }
    }
    // What waits is judged now, and judged again by a run that goes on with more.
    let snapshot = run.state.is_some().then(|| run.engine.snapshot());
    run.lines.alarms(run.engine.finish());
    let ran = thread_cpu_nanos();
    run.lines.end()?;
    if let (Some(state), Some(snapshot)) = (run.state.take(), snapshot) {
        state.end(&snapshot)?;
    }
    let Run { engine, lines, counts, mut progress, .. } = run;
    let stderr = progress.stderr();
    if options.stats {
        let line = serde_json::json!({
            "rules": rules.len(),
            "correlations": rules.plan().len(),
            "records": counts.records,
            "bytes": counts.bytes,
            "detections": lines.detections,
            "alarms": lines.alarms,
            "dropped": engine.dropped(),
            "broken": counts.bad,
            "unplaced": engine.matcher().unplaced(),
            "correlation": engine.correlator().statistics(),
            "correlation_bytes": engine.correlator().bytes(),
            "load_cpu_ms": (loaded - started) as f64 / 1e6,
            "run_cpu_ms": (ran - loaded) as f64 / 1e6,
            "memory_bytes": memory().resident,
        });
        writeln!(stderr, "{line}").map_err(|e| e.to_string())?;
    }
    if !options.json {
        lines.tell_summary(&counts, engine.dropped(), stderr)?;
    }
    tell_unfinished(&counts, stderr)?;
    tell_bad(&counts, stderr)?;
    tell_unplaced(engine.matcher(), stderr)?;
    tell_without_field(engine.correlator(), stderr)?;
    let found = lines.detections + lines.alarms > 0;
    // A rule that is not in force looked at nothing.
    let refused = rules.report().refused.len() + engine.report().refused.len();
    let missed = counts.bad + engine.matcher().unplaced() + refused as u64;
    Ok(match (found, missed > 0) {
        (true, _) => 1,
        (false, true) => 3,
        (false, false) => 0,
    })
}

/// A run under way.
struct Run<'r> {
    options: &'r Options,
    engine: Engine,
    lines: Lines<'r>,
    counts: Counts,
    progress: Progress<'r>,
    state: Option<State>,
}

/// Where an input is read from, and where it has come to.
struct Taken {
    /// Its number in the state.
    place: usize,
    point: Point,
    /// Events since that point.
    told: u64,
    /// Of the next events, those that were taken before.
    skip: u64,
}

impl Run<'_> {
    fn file(&mut self, name: &str) -> Result<(), String> {
        let mut file = File::open(name).map_err(|e| format!("`{name}`: {e}; check the path"))?;
        let taken = match &mut self.state {
            Some(state) => {
                let stderr = self.progress.stderr();
                let (place, at) = state.file(name, &mut file, self.options.format, stderr)?;
                Taken { place, point: at.point, told: 0, skip: at.skip }
            }
            None => Taken::all(self.options),
        };
        let mut reader = reader(name, &taken);
        self.through(&mut file, name, &mut reader, taken)
    }

    /// Standard input; with a state first what was written down of it.
    fn standard(&mut self, stdin: &mut dyn BufRead) -> Result<(), String> {
        let Some(state) = &mut self.state else {
            let taken = Taken::all(self.options);
            let mut reader = reader(STANDARD, &taken);
            return self.through(stdin, STANDARD, &mut reader, taken);
        };
        let (place, at, mut written) = state.standard(self.options.format)?;
        let accepted = state.accepted();
        let mut taken = Taken { place, point: at.point, told: 0, skip: at.skip };
        let mut reader = reader(STANDARD, &taken);
        // Whoever feeds us learns from it where to go on.
        writeln!(self.progress.stderr(), "smesec: standard input is read from byte {accepted}")
            .map_err(|e| e.to_string())?;
        let mut piece = vec![0; PIECE];
        while let Some(read) = some(&mut written, &mut piece, STANDARD)? {
            self.feed(&mut reader, piece.get(..read).unwrap_or_default(), &mut taken);
        }
        self.through(stdin, STANDARD, &mut reader, taken)
    }

    /// One input through reader and engine, to its end.
    fn through(
        &mut self,
        input: &mut (impl Read + ?Sized),
        name: &str,
        reader: &mut Reader,
        mut taken: Taken,
    ) -> Result<(), String> {
        let mut piece = vec![0; PIECE];
        while let Some(read) = some(input, &mut piece, name)? {
            let piece = piece.get(..read).unwrap_or_default();
            if let (STANDARD, Some(state)) = (name, &mut self.state) {
                state.accept(piece)?;
            }
            // A stream may last for days, and its events must not seem to come from the future.
            reader.tell(Timestamp::from_system_clock());
            self.feed(reader, piece, &mut taken);
            self.progress.on(read, self.lines.detections, self.lines.alarms);
            self.lines.flush();
            if let Some(state) = &mut self.state
                && state.reached(taken.place, taken.point, taken.told + taken.skip, read)
            {
                self.lines.end()?;
                state.write(&self.engine.snapshot())?;
            }
        }
        if self.state.is_none() || name == STANDARD {
            reader.finish(&mut |line| self.take(line, &mut taken));
        } else if reader.is_within_event() {
            // The file may be written at this very moment: taken now, the event would be half of
            // one, and its other half would be passed over as taken.
            self.counts.unfinished.push(name.to_owned());
        }
        if let Some(state) = &mut self.state {
            state.reached(taken.place, taken.point, taken.told + taken.skip, 0);
        }
        self.counts.records += reader.statistics().records;
        self.counts.bytes += reader.statistics().bytes;
        Ok(())
    }

    fn feed(&mut self, reader: &mut Reader, piece: &[u8], taken: &mut Taken) {
        reader.feed(piece, &mut |line| self.take(line, taken));
        if let Some(point) = reader.point() {
            (taken.point, taken.told) = (point, 0);
        }
    }

    fn take(&mut self, line: Result<Record<'_>, BadLine>, taken: &mut Taken) {
        taken.told += 1;
        match taken.skip.checked_sub(1) {
            Some(rest) => taken.skip = rest,
            None => self.see(line),
        }
    }

    /// One record, or what was none.
    fn see(&mut self, line: Result<Record<'_>, BadLine>) {
        match line {
            Ok(record) => {
                let record = self.options.placed(record);
                let told = self.engine.see(&record);
                if !told.detections.is_empty() || !told.alarms.is_empty() {
                    self.progress.hide();
                    let (detections, alarms) = (told.detections.to_vec(), told.alarms.to_vec());
                    self.lines.detections(self.engine.matcher().rules(), &detections, &record);
                    self.lines.alarms(&alarms);
                }
            }
            Err(bad) => {
                self.counts.bad += 1;
                if self.counts.first_bad.len() < MOST_BAD {
                    self.counts.first_bad.push(bad);
                }
            }
        }
    }
}

impl Taken {
    /// From the beginning, with nothing taken.
    const fn all(options: &Options) -> Self {
        Self { place: 0, point: Point::new(0, 0, options.format), told: 0, skip: 0 }
    }
}

fn reader(name: &str, taken: &Taken) -> Reader {
    let now = Timestamp::from_system_clock();
    Reader::at(taken.point, name, ReaderOptions { now, ..ReaderOptions::default() })
}

/// The next bytes; `None` at the end.
fn some(
    input: &mut (impl Read + ?Sized),
    piece: &mut [u8],
    name: &str,
) -> Result<Option<usize>, String> {
    loop {
        match input.read(piece) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(format!("`{name}`: {e}")),
            Ok(read) => return Ok((read > 0).then_some(read)),
        }
    }
}
