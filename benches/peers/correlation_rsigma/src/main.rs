//! One stream of events through our correlator and through RSigma's, each with its CPU time.
//!
//! `correlation-rsigma ours STREAM RULES [--batch N] [--lateness SECONDS] [--snapshot N] [--buckets N] [--alarms FILE]`
//! `correlation-rsigma rsigma STREAM RULES [--alarms FILE]`
//!
//! Each parses the lines with what it ships (the peer is handed `serde_json` values, which it asks for),
//! matches the ten base rules and correlates. `parse STREAM -` tells what parsing alone costs.

mod front;
mod ours;
#[cfg(feature = "peer")]
mod peer;

use std::io::Write;

/// What the command line asks for.
pub struct Asked {
    pub stream: String,
    pub rules: String,
    pub batch: usize,
    pub lateness: i64,
    pub snapshot: usize,
    pub buckets: u16,
    pub alarms: Option<String>,
}

fn main() {
    let mut words = std::env::args().skip(1);
    let mode = words.next().unwrap_or_default();
    let mut asked = Asked {
        stream: words.next().expect("a stream"),
        rules: words.next().expect("rules"),
        batch: usize::MAX,
        lateness: 30,
        snapshot: 0,
        buckets: 1,
        alarms: None,
    };
    while let Some(word) = words.next() {
        let mut next = || words.next().expect("a value");
        match word.as_str() {
            "--batch" => asked.batch = next().parse().expect("a number"),
            "--lateness" => asked.lateness = next().trim_end_matches('s').parse().expect("seconds"),
            "--snapshot" => asked.snapshot = next().parse().expect("a number"),
            "--buckets" => asked.buckets = next().parse().expect("a number"),
            "--alarms" => asked.alarms = Some(next()),
            other => panic!("unknown option {other}"),
        }
    }
    match mode.as_str() {
        "parse" => front::parse_only(&asked),
        "ours" => ours::run(&asked),
        #[cfg(feature = "peer")]
        "rsigma" => peer::run(&asked),
        other => panic!("unknown lane {other}"),
    }
}

/// Seconds of CPU that this process has used.
pub fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("procfs");
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |at: usize| after.split_whitespace().nth(at).and_then(|n| n.parse::<f64>().ok());
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0
}

/// The most memory that this process has held, in MB.
pub fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kb.unwrap_or(0.0) / 1024.0
}

pub fn write_alarms(asked: &Asked, lines: &[String]) {
    if let Some(file) = &asked.alarms {
        let mut out = std::io::BufWriter::new(std::fs::File::create(file).expect("the alarms' file"));
        for line in lines {
            writeln!(out, "{line}").expect("written");
        }
    }
}
