//! The reports that a run is asked for, written when it has ended.

use super::shown;
use crate::cli::text;
use crate::runner::Report;
use crate::taas::Secrets;
use crate::taas::report::{self, About, Difference};
use crate::time::Timestamp;
use std::io::Write;
use std::time::{Duration, Instant};

/// Where reports go, by option.
pub(super) struct Reports {
    junit: Option<String>,
    sarif: Option<String>,
    html: Option<String>,
    /// The saved run to compare with, which this run then replaces.
    last: Option<String>,
    began: (Timestamp, Instant),
}

impl Reports {
    pub(super) fn new() -> Self {
        let began = (Timestamp::from_system_clock(), Instant::now());
        Self { junit: None, sarif: None, html: None, last: None, began }
    }

    /// Takes an option that is about reports; false for another.
    pub(super) fn take(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<bool, String> {
        let place = match name {
            "junit" => &mut self.junit,
            "sarif" => &mut self.sarif,
            "html" => &mut self.html,
            "last" => &mut self.last,
            _ => return Ok(false),
        };
        *place = Some(text(parser.value().map_err(|e| format!("`--{name}`: {e}"))?)?);
        Ok(true)
    }

    /// Whether the whole report has to be kept until the end.
    pub(super) fn wanted(&self) -> bool {
        [&self.junit, &self.sarif, &self.html, &self.last].iter().any(|place| place.is_some())
    }

    /// Writes all that were asked for; `name` is what was tested. What changed since the last run
    /// goes to `out`, for a person.
    pub(super) fn write(
        &self,
        name: &str,
        report: &Report,
        secrets: &Secrets,
        out: Option<&mut dyn Write>,
    ) -> Result<(), String> {
        let difference = self.last.as_ref().map_or(Ok(None), |file| {
            match std::fs::read_to_string(file) {
                Ok(saved) => Difference::since(file, &saved, report, secrets)
                    .map(Some)
                    .map_err(|e| e.to_string()),
                // The first run has none before it.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(format!("`{file}`: {e}; check that it may be read")),
            }
        })?;
        let mut about = About::new(name, secrets);
        about.began = self.began.0;
        about.elapsed = Some(Duration::from_millis(
            u64::try_from(self.began.1.elapsed().as_millis()).unwrap_or(u64::MAX),
        ));
        about.difference = difference.as_ref();
        type Writer = fn(&Report, &About<'_>, &mut dyn Write) -> std::io::Result<()>;
        let all: [(&Option<String>, Writer); 4] = [
            (&self.junit, report::junit),
            (&self.sarif, report::sarif),
            (&self.html, report::html),
            (&self.last, report::json_lines),
        ];
        for (file, writer) in all {
            let Some(file) = file else { continue };
            let mut bytes = Vec::new();
            let written = writer(report, &about, &mut bytes);
            written
                .and_then(|()| std::fs::write(file, bytes))
                .map_err(|e| format!("`{file}`: {e}; check that it may be written"))?;
        }
        if let (Some(out), Some(difference)) = (out, &difference) {
            let parts = [
                ("new failure", &difference.new_failures),
                ("fixed", &difference.fixed),
                ("still failing", &difference.still_failing),
                ("gone", &difference.gone),
            ];
            for (what, names) in parts {
                for name in names {
                    writeln!(out, "{what}: {}", shown(name)).map_err(|e| e.to_string())?;
                }
            }
        }
        Ok(())
    }
}
