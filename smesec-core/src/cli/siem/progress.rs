//! How far a long run has come, where a person looks on.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(super) struct Progress<'w> {
    stderr: &'w mut dyn Write,
    watched: bool,
    shown: bool,
    /// Bytes of all files; 0 where they have no end that is known.
    whole: u64,
    read: u64,
    told: Instant,
}

impl<'w> Progress<'w> {
    /// Below this nobody has to wait, and a line that comes and goes only flickers.
    const PATIENCE: Duration = Duration::from_millis(500);

    pub(super) fn new(files: &[PathBuf], stderr: &'w mut dyn Write) -> Self {
        let length = |file: &PathBuf| std::fs::metadata(file).map_or(0, |about| about.len());
        let endless = files.iter().any(|file| !file.is_file());
        let whole = if endless { 0 } else { files.iter().map(length).sum() };
        let watched = std::io::stderr().is_terminal();
        Self { stderr, watched, shown: false, whole, read: 0, told: Instant::now() }
    }

    /// So many bytes more, and what has been found so far.
    pub(super) fn on(&mut self, read: usize, detections: u64, alarms: u64) {
        self.read += read as u64;
        if !self.watched || self.told.elapsed() < Self::PATIENCE {
            return;
        }
        self.told = Instant::now();
        self.shown = true;
        let found = format!("{detections} detections, {alarms} alarms");
        let mebibytes = self.read >> 20;
        let _ = match self.read.saturating_mul(100).checked_div(self.whole) {
            Some(percent) => {
                let whole = self.whole >> 20;
                write!(self.stderr, "\r{:>3} % of {whole} MiB, {found}\x1b[K", percent.min(100))
            }
            None => write!(self.stderr, "\r{mebibytes} MiB, {found}\x1b[K"),
        };
        let _ = self.stderr.flush();
    }

    /// Makes room for lines on the same terminal.
    pub(super) fn hide(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(self.stderr, "\r\x1b[K");
            let _ = self.stderr.flush();
        }
    }

    /// Where other things are told; the line makes room for them.
    pub(super) fn stderr(&mut self) -> &mut dyn Write {
        self.hide();
        self.stderr
    }
}
