//! `smesec siem explain RULE EVENT`: the rule by its id, name, title or file; the event in a file,
//! or `-`.

use super::options::Options;
use crate::siem::record::Record;
use crate::siem::sigma::Meta;
use crate::siem::sources::{BadLine, ReaderOptions, records_of};
use crate::siem::{Matcher, RuleSet};
use crate::time::Timestamp;
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::sync::Arc;

pub(in crate::cli) fn explain(
    args: impl Iterator<Item = OsString>,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
) -> Result<u8, String> {
    let mut options = Options::read(args)?;
    let usage = "write `smesec siem explain [--rules PATH] RULE EVENT`; EVENT is a file or `-`";
    let [wanted, event] = options.inputs.as_slice() else { return Err(usage.to_owned()) };
    let (wanted, event) = (wanted.clone(), event.clone());
    if options.rules.is_empty() {
        options.rules.push(wanted.clone());
    }
    let rules = Arc::new(options.load()?);
    let named = |meta: &Meta| [&meta.id, &meta.name, &meta.title, &meta.file].contains(&&wanted);
    if let Some(why) = options.directive(&wanted)?.or_else(|| correlation(&rules, &wanted)) {
        return Err(why);
    }
    let Some(rule) = (0..).zip(rules.metas()).find(|(_, meta)| named(meta)).map(|(n, _)| n) else {
        let refused = rules.report().refused.first();
        let why = refused.map_or_else(String::new, |refused| format!(" ({refused})"));
        return Err(format!(
            "no rule `{wanted}` is in force{why}; give its id, name, title or file"
        ));
    };
    let mut bytes = Vec::new();
    if event == "-" {
        stdin.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    } else {
        bytes = std::fs::read(&event).map_err(|e| format!("`{event}`: {e}; check the path"))?;
    }
    let mut matcher = Matcher::new(Arc::clone(&rules));
    let title = rules.meta(rule).map_or("", |meta| meta.title.as_str());
    let (mut matched, mut told) = (false, Vec::new());
    let mut each = |line: Result<Record<'_>, BadLine>| match line {
        Ok(record) => {
            let record = options.placed(record);
            let concerned = matcher.concerned(&record).contains(&rule);
            let Some(explained) = rules.explain(rule, &record) else { return };
            matched |= explained.matches && concerned;
            told.push(format!("{event}:{}: {title}\n", record.number));
            if !concerned {
                let why =
                    "the record is of another log source, so the rule is not asked; its searches:";
                told.push(format!("{why}\n"));
            }
            told.push(explained.to_string());
        }
        Err(bad) => told.push(format!("{bad}\n")),
    };
    let now = Timestamp::from_system_clock();
    let reading = ReaderOptions { now, ..ReaderOptions::default() };
    records_of(options.format, event.as_str(), &bytes, reading, &mut each);
    stdout.write_all(told.concat().as_bytes()).map_err(|e| e.to_string())?;
    Ok(u8::from(matched))
}

/// What to explain in place of a correlation, which looks at no record itself.
fn correlation(rules: &RuleSet, wanted: &str) -> Option<String> {
    let own = |meta: &Meta| [&meta.id, &meta.name, &meta.title].iter().any(|name| *name == wanted);
    if rules.metas().iter().any(own) {
        return None;
    }
    let parts = rules.plan().parts(wanted, rules.metas())?;
    let parts: Vec<String> = parts.iter().map(|part| format!("`{part}`")).collect();
    Some(format!(
        "`{wanted}` is a correlation, which looks at no record by itself; explain its parts: {}",
        parts.join(", ")
    ))
}
