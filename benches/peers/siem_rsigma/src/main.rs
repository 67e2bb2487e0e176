//! Our matcher and RSigma's engine over the same JSON lines and the same rules, in one process: how many
//! events a CPU second each takes, JSON included, and whether they find the same.
//!
//!   siem-rsigma flatten FOLDER     every event of the EVTX and JSON files below, flattened, one a line
//!   siem-rsigma load RULES...      the load of rules
//!   siem-rsigma lane NAME EVENTS RULES...     a JSON line of figures; differences on standard error

use smesec_core::siem::record::{Kind, Record};
use smesec_core::siem::sources::{Format, ReaderOptions, records_of};
use smesec_core::siem::{Matcher, RuleSet};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["flatten", folder] => flatten(Path::new(folder)),
        ["load", rules @ ..] if !rules.is_empty() => load(rules),
        ["lane", name, events, rules @ ..] if !rules.is_empty() => lane(name, events, rules),
        _ => {
            eprintln!(
                "usage: siem-rsigma flatten FOLDER | load RULES... | lane NAME EVENTS RULES..."
            );
            std::process::exit(2);
        }
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            files(&entry, found);
        } else {
            found.push(entry);
        }
    }
}

fn flatten(folder: &Path) {
    let mut found = Vec::new();
    files(folder, &mut found);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for file in found {
        let ending = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let mut lines = Vec::new();
        if ending == "evtx" {
            let Ok(mut parser) = evtx::EvtxParser::from_path(&file) else { continue };
            lines.extend(parser.records_json_value().flatten().map(|r| r.data.to_string()));
        } else if ending == "jsonl" {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            lines.extend(text.lines().map(str::to_owned));
        }
        let name = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
        records(lines.join("\n").as_bytes(), |record| {
            let mut object = serde_json::Map::new();
            for field in record.fields {
                let value = match field.value.kind {
                    Kind::Null => serde_json::Value::Null,
                    Kind::Bool => (field.value.text == "true").into(),
                    Kind::Number => {
                        serde_json::from_str(field.value.text).unwrap_or(serde_json::Value::Null)
                    }
                    Kind::Text => field.value.text.into(),
                };
                match object.get_mut(field.name) {
                    None => {
                        object.insert(field.name.to_owned(), value);
                    }
                    Some(serde_json::Value::Array(list)) => list.push(value),
                    Some(first) => *first = vec![first.take(), value].into(),
                }
            }
            object.insert("smesec_file".to_owned(), name.clone().into());
            let _ = writeln!(out, "{}", serde_json::Value::Object(object));
        });
    }
}

/// Every record of JSON lines.
fn records(text: &[u8], mut each: impl FnMut(&Record<'_>)) {
    records_of(Format::Json, "", text, ReaderOptions::default(), &mut |line| {
        if let Ok(record) = line {
            each(&record);
        }
    });
}

/// The load of rules, ours and theirs in turn, from the files to what can match; the best of each.
fn load(rules: &[&str]) {
    let rounds: usize = std::env::var("ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(5);
    let mut best = [f64::MAX; 2];
    let mut figures = serde_json::json!({});
    for round in 0..rounds {
        let (memory, before) = (resident(), cpu());
        let mut builder = RuleSet::builder();
        for path in rules {
            builder.path(path);
        }
        let set = builder.build().expect("rules");
        best[0] = best[0].min(cpu() - before);
        if round == 0 {
            figures["rules"] = set.len().into();
            figures["our_load_mb"] = (resident() - memory).into();
        }
        #[cfg(feature = "peer")]
        {
            best[1] = best[1].min(peer::load(&set));
        }
    }
    figures["our_load_s"] = best[0].into();
    if cfg!(feature = "peer") {
        figures["peer_load_s"] = best[1].into();
        figures["load_ratio"] = (best[0] / best[1]).into();
    }
    println!("{figures}");
}

fn cpu() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0.0);
    pages * rustix::param::page_size() as f64 / 1e6
}

type Found = BTreeSet<(usize, String)>;

fn lane(name: &str, events: &str, rules: &[&str]) {
    let text = std::fs::read_to_string(events).expect("events");
    let lines: Vec<&str> = text.lines().collect();
    let rounds: usize = std::env::var("ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(5);

    let mut builder = RuleSet::builder();
    for path in rules {
        builder.path(path);
    }
    let set = Arc::new(builder.build().expect("rules"));
    let mut matcher = Matcher::new(Arc::clone(&set));

    // Once to learn which rules concern which event, and what we find.
    let mut kinds: BTreeMap<Vec<u32>, usize> = BTreeMap::new();
    let mut kind_of = Vec::with_capacity(lines.len());
    let mut ours = Found::new();
    let mut looked_at = vec![0_u32; set.len()];
    records(text.as_bytes(), |record| {
        let at = kind_of.len();
        let concerned = matcher.concerned(record);
        let next = kinds.len();
        kind_of.push(*kinds.entry(concerned).or_insert(next));
        for rule in matcher.matches(record) {
            ours.insert((at, set.meta(*rule).map_or(String::new(), |m| m.id.clone())));
        }
        for rule in matcher.candidates() {
            looked_at[*rule as usize] += 1;
        }
    });
    assert_eq!(kind_of.len(), lines.len(), "every line is an event");
    #[cfg(feature = "peer")]
    let peer = peer::Peer::new(&set, &kinds);

    let mut best = [f64::MAX; 4];
    let mut theirs = Found::new();
    for _ in 0..rounds {
        let mut fresh = Matcher::new(Arc::clone(&set));
        let before = cpu();
        let mut count = 0;
        records(text.as_bytes(), |record| count += fresh.matches(record).len());
        best[0] = best[0].min(cpu() - before);
        assert_eq!(count, ours.len());
        let mut forgetful = Matcher::new(Arc::clone(&set)).remember(false);
        let before = cpu();
        let mut count = 0;
        records(text.as_bytes(), |record| count += forgetful.matches(record).len());
        best[3] = best[3].min(cpu() - before);
        assert_eq!(count, ours.len());
        let before = cpu();
        let mut fields = 0;
        records(text.as_bytes(), |record| fields += record.fields.len());
        best[1] = best[1].min(cpu() - before);
        assert!(fields > 0);
        #[cfg(feature = "peer")]
        {
            let before = cpu();
            let mut found = Vec::new();
            for (at, line) in lines.iter().enumerate() {
                peer.evaluate(kind_of[at], line, at, &mut found);
            }
            best[2] = best[2].min(cpu() - before);
            theirs = found.into_iter().collect();
        }
    }
    let per = |seconds: f64| (lines.len() as f64 / seconds).round();
    let mut figures = serde_json::json!({
        "lane": name,
        "events": lines.len(),
        "kinds": kinds.len(),
        "rules": kinds.keys().map(Vec::len).max(),
        "detections": ours.len(),
        "candidates_per_event": f64::from(looked_at.iter().sum::<u32>()) / lines.len() as f64,
        "ours_per_s": per(best[0]),
        "without_memory_per_s": per(best[3]),
        "parsing_per_s": per(best[1]),
        "times_parsing": best[0] / best[1],
        "resident_mb": resident(),
    });
    if cfg!(feature = "peer") {
        figures["peer_detections"] = theirs.len().into();
        figures["peer_per_s"] = per(best[2]).into();
        figures["ratio"] = (best[2] / best[0]).into();
        figures["only_ours"] = ours.difference(&theirs).count().into();
        figures["only_peer"] = theirs.difference(&ours).count().into();
        for (who, only) in [("ours", ours.difference(&theirs)), ("peer", theirs.difference(&ours))]
        {
            for (at, rule) in only.take(20) {
                eprintln!("only {who}: rule {rule}, event {}", at + 1);
            }
        }
    }
    println!("{figures}");
    if std::env::var_os("CANDIDATES").is_some() {
        let mut often: Vec<(u32, u32)> = looked_at.into_iter().zip(0..).collect();
        often.sort_unstable_by(|a, b| b.cmp(a));
        for (times, rule) in often.into_iter().take(40) {
            eprintln!("{times:8} {}", set.meta(rule).map_or("", |m| m.file.as_str()));
        }
    }
}

#[cfg(feature = "peer")]
mod peer {
    use super::{RuleSet, cpu};
    use rsigma_eval::{Engine, JsonEvent};
    use rsigma_parser::{SigmaRule, parse_sigma_yaml};
    use std::collections::{BTreeMap, HashMap};

    /// RSigma's engines: one for each set of rules that concerns some event, so that it has no log source
    /// to compare.
    pub struct Peer {
        engines: Vec<Engine>,
    }

    /// The CPU seconds from the files that we loaded to an engine of all their rules.
    pub fn load(set: &RuleSet) -> f64 {
        let files = files(set);
        let before = cpu();
        let rules = read(&files);
        let mut whole = Engine::new();
        for (at, error) in whole.add_rules(&rules) {
            eprintln!("peer refuses {}: {error}", rules[at].title);
        }
        cpu() - before
    }

    fn files(set: &RuleSet) -> Vec<&str> {
        let mut files: Vec<&str> = set.metas().iter().map(|m| m.file.as_str()).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    fn read(files: &[&str]) -> Vec<SigmaRule> {
        let mut rules: Vec<SigmaRule> = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(file).expect("rule");
            match parse_sigma_yaml(&text) {
                Ok(collection) => rules.extend(collection.rules),
                Err(error) => eprintln!("peer refuses {file}: {error}"),
            }
        }
        rules
    }

    impl Peer {
        pub fn new(set: &RuleSet, kinds: &BTreeMap<Vec<u32>, usize>) -> Self {
            let rules = read(&files(set));
            let by_id: HashMap<&str, &SigmaRule> =
                rules.iter().filter_map(|rule| Some((rule.id.as_deref()?, rule))).collect();
            let mut engines: Vec<Engine> = (0..kinds.len()).map(|_| Engine::new()).collect();
            for (concerned, kind) in kinds {
                let of_kind = concerned
                    .iter()
                    .filter_map(|rule| by_id.get(set.meta(*rule)?.id.as_str()).copied());
                let _ = engines[*kind].add_rules(of_kind);
            }
            Self { engines }
        }

        pub fn evaluate(
            &self,
            kind: usize,
            line: &str,
            at: usize,
            found: &mut Vec<(usize, String)>,
        ) {
            let value: serde_json::Value = serde_json::from_str(line).expect("json");
            let event = JsonEvent::borrow(&value);
            for result in self.engines[kind].evaluate(&event) {
                found.push((at, result.header.rule_id.unwrap_or_default()));
            }
        }
    }
}
