//! What changed since the last run.

use super::is_bad;
use crate::error::ConfigError;
use crate::runner::{Report, TestResult};
use serde_json::Value;
use std::collections::HashMap;

/// The tests whose verdict changed between two runs.
///
/// A test is known by its file and its name, and by its turn where several have the same; lines may
/// move.
///
/// ```
/// use smesec_core::runner::{Report, TestResult, TestVerdict};
/// use smesec_core::taas::{Secrets, report::{About, Difference, json_lines}};
///
/// let run = |verdict| Report { results: vec![TestResult::new("a", verdict)], ..Report::default() };
/// let (secrets, mut saved) = (Secrets::default(), Vec::new());
/// let about = About::new("shop", &secrets);
/// json_lines(&run(TestVerdict::Refused("no such host".into())), &about, &mut saved)?;
/// let saved = String::from_utf8(saved).unwrap();
/// let difference = Difference::since("last.json", &saved, &run(TestVerdict::Passed), &secrets).unwrap();
/// assert_eq!(difference.fixed, ["a"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Difference {
    /// Fail now, and did not or were not there.
    pub new_failures: Vec<String>,
    /// Failed, and do not any more.
    pub fixed: Vec<String>,
    /// Fail still.
    pub still_failing: Vec<String>,
    /// Were there, and are no more.
    pub gone: Vec<String>,
}

/// A test's file, name and turn.
type Key = (String, String, usize);

impl Difference {
    /// What changed since the run that [`json_lines`](super::json_lines) wrote to `saved`; `file` is
    /// its name, for errors. Names were masked when they were saved, so they are compared masked.
    ///
    /// # Errors
    /// When `saved` is no such report.
    pub fn since(
        file: &str,
        saved: &str,
        report: &Report,
        secrets: &crate::taas::Secrets,
    ) -> Result<Self, ConfigError> {
        let (order, mut before) = read(file, saved)?;
        let mut difference = Self::default();
        let mut turns = HashMap::new();
        for result in &report.results {
            let key = turn(
                &mut turns,
                secrets.masked(file_of(result)).into_owned(),
                secrets.masked(&result.name).into_owned(),
            );
            let shown = shown(&key);
            let was_bad = before.remove(&key);
            match (was_bad, is_bad(&result.verdict)) {
                (Some(true), true) => difference.still_failing.push(shown),
                (Some(true), false) => difference.fixed.push(shown),
                (_, true) => difference.new_failures.push(shown),
                (_, false) => {}
            }
        }
        let gone = order.iter().filter(|key| before.contains_key(*key));
        difference.gone = gone.map(shown).collect();
        Ok(difference)
    }

    /// Whether something fails that did not.
    pub const fn is_worse(&self) -> bool {
        !self.new_failures.is_empty()
    }

    /// Such as `2 new failures, 1 fixed, 3 still failing`.
    pub(super) fn line(&self) -> String {
        let count = |list: &[String], what: &str| format!("{} {what}", list.len());
        let mut parts = vec![
            count(&self.new_failures, "new failures"),
            count(&self.fixed, "fixed"),
            count(&self.still_failing, "still failing"),
        ];
        if !self.gone.is_empty() {
            parts.push(count(&self.gone, "no longer there"));
        }
        parts.join(", ")
    }
}

fn read(file: &str, saved: &str) -> Result<(Vec<Key>, HashMap<Key, bool>), ConfigError> {
    let (mut order, mut before, mut turns) = (Vec::new(), HashMap::new(), HashMap::new());
    for (n, line) in saved.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = |why: String| ConfigError::at(file, u32::try_from(n + 1).unwrap_or(u32::MAX), why);
        let line: Value = serde_json::from_str(line)
            .map_err(|e| at(format!("no JSON line of a report ({e}); write it with `--json`")))?;
        let field = |name: &str| line.get(name).and_then(Value::as_str);
        let Some(name) = field("test") else {
            if line.get("cell").is_some() || line.get("summary").is_some() {
                continue;
            }
            return Err(at(
                "neither a test, a cell nor a summary; write it with `--json`".to_owned()
            ));
        };
        let bad = match field("verdict") {
            Some("failed" | "refused") => true,
            Some("passed" | "expected_failure" | "skipped") => false,
            other => {
                let other = other.unwrap_or_default().escape_debug();
                return Err(at(format!("`{other}` is no verdict; write it with `--json`")));
            }
        };
        let place = field("place").unwrap_or_default();
        let place = place.rsplit_once(':').map_or(place, |(file, _)| file);
        let key = turn(&mut turns, place.to_owned(), name.to_owned());
        before.insert(key.clone(), bad);
        order.push(key);
    }
    Ok((order, before))
}

fn file_of(result: &TestResult) -> &str {
    result.place.as_ref().map_or("", |(file, _)| file)
}

fn turn(turns: &mut HashMap<(String, String), usize>, file: String, name: String) -> Key {
    let turn = turns.entry((file.clone(), name.clone())).or_default();
    *turn += 1;
    (file, name, *turn)
}

fn shown((file, name, turn): &Key) -> String {
    let turn = if *turn > 1 { format!(" ({turn})") } else { String::new() };
    if file.is_empty() { format!("{name}{turn}") } else { format!("{file}: {name}{turn}") }
}
