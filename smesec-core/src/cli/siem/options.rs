//! What the subcommands are told.

use super::inputs::Inputs;
use crate::cli::text;
use crate::siem::correlation::Settings;
use crate::siem::record::{LogSource, Record};
use crate::siem::sources::Format;
use crate::siem::{Engine, RuleSet, RuleSetBuilder, Site};
use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;

/// The options of `smesec siem run` and of `smesec siem explain`.
#[derive(Default)]
pub(super) struct Options {
    pub(super) rules: Vec<String>,
    placeholders: Vec<String>,
    pipelines: Vec<String>,
    log_sources: Vec<String>,
    /// Product, category and service of all records, where the user says them.
    said: [String; 3],
    pub(super) format: Format,
    lateness: Option<i64>,
    home_net: Vec<String>,
    assets: Vec<String>,
    directives: Vec<String>,
    policies: Vec<String>,
    pub(super) state: Option<String>,
    pub(super) json: bool,
    pub(super) stats: bool,
    pub(super) updates: bool,
    strict: bool,
    pub(super) repeat: usize,
    pub(super) inputs: Vec<String>,
}

impl Options {
    pub(super) fn read(args: impl Iterator<Item = OsString>) -> Result<Self, String> {
        use lexopt::prelude::{Long, Value};
        let mut options = Self { repeat: 1, ..Self::default() };
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
                "updates" => options.updates = true,
                _ => {
                    let value = text(parser.value().map_err(|e| e.to_string())?)?;
                    options.take(&flag, value)?;
                }
            }
        }
        if options.state.is_some() && options.repeat > 1 {
            return Err("`--state` goes on where it came to; leave `--repeat` out".to_owned());
        }
        if options.inputs.is_empty() {
            return Err("no input; name files or folders, or `-` for standard input".to_owned());
        }
        Ok(options)
    }

    fn take(&mut self, flag: &str, value: String) -> Result<(), String> {
        match flag {
            "rules" => self.rules.push(value),
            "placeholders" => self.placeholders.push(value),
            "pipeline" => self.pipelines.push(value),
            "log-sources" => self.log_sources.push(value),
            "log-source" => self.said = said(&value)?,
            "format" => {
                self.format = Format::named(&value).ok_or_else(|| {
                    let names: Vec<&str> = Format::ALL.iter().map(|(name, _)| *name).collect();
                    format!("format `{value}` is unknown; write one of {}", names.join(", "))
                })?;
            }
            "lateness" => self.lateness = Some(duration(&value)?),
            "home-net" => self.home_net.push(value),
            "assets" => self.assets.push(value),
            "directives" => self.directives.push(value),
            "policies" => self.policies.push(value),
            "state" => self.state = Some(value),
            "output" => {
                self.json = match value.as_str() {
                    "json" => true,
                    "table" => false,
                    _ => return Err(format!("`--output {value}`: write table or json")),
                }
            }
            "repeat" => {
                self.repeat = value
                    .parse()
                    .map_err(|_| format!("`--repeat {value}`: write a whole number"))?;
            }
            _ => return Err(format!("unknown option `--{flag}`; see `smesec --help`")),
        }
        Ok(())
    }

    /// Reads and compiles the rules; the built-in ones where none are named.
    pub(super) fn load(&self) -> Result<RuleSet, String> {
        let mut builder: RuleSetBuilder = RuleSet::builder();
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
        if self.rules.is_empty() {
            builder.builtin();
        }
        builder.build().map_err(|e| e.to_string())
    }

    /// The engine over the rules: the inventory, policies and directives that the user names. What
    /// of the directives cannot run is told.
    pub(super) fn engine(
        &self,
        rules: Arc<RuleSet>,
        inputs: &Inputs,
        stderr: &mut dyn Write,
    ) -> Result<Engine, String> {
        if self.lateness.is_some() && inputs.files.len() > 1 {
            // Right for a log that was rotated, wrong for logs of the same hours.
            writeln!(
                stderr,
                "smesec: files are read one after another: with `--lateness`, what is that much older than \
                 the end of the file before is not correlated; leave it out, or name files in the order of \
                 their time"
            )
            .map_err(|e| e.to_string())?;
        }
        let mut site = Site::default();
        for path in &self.assets {
            site.assets(&read(path)?, path).map_err(|e| e.to_string())?;
        }
        for networks in &self.home_net {
            site.home(networks).map_err(|e| format!("`--home-net`: {e}"))?;
        }
        for path in &self.policies {
            site.policies(&read(path)?, path);
        }
        for path in &self.directives {
            let text = std::fs::read(path).map_err(|e| format!("`{path}`: {e}; check the path"))?;
            site.directives(&text, path).map_err(|e| e.to_string())?;
        }
        let engine = site.engine(rules, self.settings(inputs)).map_err(|e| e.to_string())?;
        let report = engine.report();
        if let (true, Some(first)) = (self.strict, report.refused.first()) {
            return Err(first.to_string());
        }
        for told in report.refused.iter().chain(&report.degraded) {
            writeln!(stderr, "smesec: {told}").map_err(|e| e.to_string())?;
        }
        Ok(engine)
    }

    /// What to explain in place of a directive that the user names, which looks at no record itself.
    pub(super) fn directive(&self, wanted: &str) -> Result<Option<String>, String> {
        let mut site = Site::default();
        for path in &self.directives {
            let text = std::fs::read(path).map_err(|e| format!("`{path}`: {e}; check the path"))?;
            site.directives(&text, path).map_err(|e| e.to_string())?;
        }
        Ok(site.rules_of(wanted).map(|rules| {
            let parts: Vec<String> = rules.iter().map(|rule| format!("`{rule}`")).collect();
            let parts = if parts.is_empty() {
                "it names no rules, only fields".to_owned()
            } else {
                format!("explain the rules that its levels name: {}", parts.join(", "))
            };
            format!("`{wanted}` is a directive, which looks at no record by itself; {parts}")
        }))
    }

    /// Files are read one after another, so with several of them nothing can be judged before the
    /// last has been read; and a single one may have its newest event first. A state goes on with what
    /// comes later, so there one file is judged as it grows; and the user may say how late events come.
    pub(super) fn settings(&self, inputs: &Inputs) -> Settings {
        let whole = self.state.is_none() && inputs.are_files();
        match self.lateness {
            Some(lateness) => Settings { lateness, ..Settings::default() },
            None if whole || inputs.files.len() > 1 => Settings::stored(),
            None => Settings::default(),
        }
    }

    /// A record with what the user says of its source.
    pub(super) fn placed<'r>(&'r self, record: Record<'r>) -> Record<'r> {
        let [product, category, service] = &self.said;
        let or = |said: &'r str, read: &'r str| if said.is_empty() { read } else { said };
        let read = record.log_source;
        let log_source = LogSource {
            product: or(product, read.product),
            category: or(category, read.category),
            service: or(service, read.service),
        };
        Record { log_source, ..record }
    }
}

/// `product/category/service`, `-` for what is not known.
fn said(value: &str) -> Result<[String; 3], String> {
    let part = |p: &str| if p == "-" { String::new() } else { p.to_lowercase() };
    let parts: Vec<String> = value.split('/').map(part).collect();
    parts.try_into().map_err(|_| {
        format!(
            "`--log-source {value}`: write `product/category/service`, `-` for what is not known"
        )
    })
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("`{path}`: {e}; check the path"))
}

/// `90s`, `5m`, `2h`, `1d`: nanoseconds.
fn duration(value: &str) -> Result<i64, String> {
    let wrong =
        || format!("`--lateness {value}`: write a number and a unit, such as 30s, 5m or 2h");
    let unit = value.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number = value.strip_suffix(unit).unwrap_or_default();
    let number: i64 = number.parse().map_err(|_| wrong())?;
    if number < 0 {
        return Err(wrong());
    }
    number.checked_mul(seconds * 1_000_000_000).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("130s"), Ok(130_000_000_000));
        assert_eq!(duration("2h"), Ok(7_200_000_000_000));
        for wrong in ["", "30", "s", "-1s", "1ss", "9999999999999d"] {
            assert!(duration(wrong).unwrap_err().contains("such as 30s"), "{wrong}");
        }
    }
}
