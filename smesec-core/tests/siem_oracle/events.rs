//! Events of the corpus as owned fields, mutations of them, and made-up rules with made-up events.

use smesec_core::siem::record::{self, Field, LogSource, Record};
use smesec_core::siem::sigma::{Body, Literal};
use smesec_core::siem::sources::{Format, ReaderOptions, records_of};
use smesec_core::siem::{Matcher, RuleSet};
use std::fmt::Write as _;
use std::path::Path;

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    Null,
    Text(String),
    Number(String),
    Bool(String),
}

impl Value {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Null => None,
            Self::Text(text) | Self::Number(text) | Self::Bool(text) => Some(text),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) values: Vec<(String, Value)>,
    pub(crate) product: &'static str,
}

impl Event {
    pub(crate) fn fields(&self) -> Vec<Field<'_>> {
        self.values
            .iter()
            .map(|(name, value)| {
                let (text, kind) = match value {
                    Value::Null => ("", record::Kind::Null),
                    Value::Text(text) => (text.as_str(), record::Kind::Text),
                    Value::Number(text) => (text.as_str(), record::Kind::Number),
                    Value::Bool(text) => (text.as_str(), record::Kind::Bool),
                };
                Field { name, value: record::Value { text, kind } }
            })
            .collect()
    }

    pub(crate) fn record<'e>(&'e self, fields: &'e [Field<'e>]) -> Record<'e> {
        let log_source = LogSource { product: self.product, ..LogSource::default() };
        Record { fields, log_source, ..Record::default() }
    }
}

/// A small generator of numbers, the same on every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }

    pub(crate) fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// The corpus' JSON events, flattened as a reader of Windows events would.
pub(crate) fn corpus(sigma: &Path) -> Vec<Event> {
    let mut folders: Vec<_> =
        std::fs::read_dir(sigma.join("regression")).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    let mut events = Vec::new();
    for folder in folders {
        let Ok(text) = std::fs::read_to_string(folder.join("input.jsonl")) else { continue };
        for line in text.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let mut values = Vec::new();
            for part in ["System", "EventData", "UserData"] {
                flatten(&value["Event"][part], "", &mut values);
            }
            events.push(Event { values, product: "" });
        }
    }
    events
}

/// The events of all EVTX files below a folder.
pub(crate) fn evtx(folder: &Path) -> Vec<Event> {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let mut events = Vec::new();
    for entry in entries {
        if entry.is_dir() {
            events.extend(evtx(&entry));
        } else if entry.extension().is_some_and(|ending| ending == "evtx") {
            let bytes = std::fs::read(&entry).unwrap();
            records_of(Format::Evtx, "x", &bytes, ReaderOptions::default(), &mut |line| {
                events.extend(line.ok().map(|record| owned(&record)));
            });
        }
    }
    events
}

fn owned(record: &Record<'_>) -> Event {
    let value = |value: record::Value<'_>| match value.kind {
        record::Kind::Null => Value::Null,
        record::Kind::Number => Value::Number(value.text.to_owned()),
        record::Kind::Bool => Value::Bool(value.text.to_owned()),
        record::Kind::Text => Value::Text(value.text.to_owned()),
    };
    let fields = record.fields.iter();
    let mut values: Vec<(String, Value)> =
        fields.map(|field| (field.name.to_owned(), value(field.value))).collect();
    // The oracle knows no table of log sources: what a field is called there, it is shown.
    let aliases = [
        ("Signature", "ThreatName"),
        ("Filename", "Path"),
        ("Image", "NewProcessName"),
        ("ParentImage", "ParentProcessName"),
    ];
    for (alias, name) in aliases {
        if let Some((_, value)) = values.iter().find(|(known, _)| known == name).cloned() {
            values.push((alias.to_owned(), value));
        }
    }
    Event { values, product: "windows" }
}

fn flatten(value: &serde_json::Value, name: &str, out: &mut Vec<(String, Value)>) {
    match value {
        serde_json::Value::Object(entries) => {
            for (key, value) in entries {
                let inner = match (key.as_str(), name) {
                    ("#text", _) => name.to_owned(),
                    (_, "") => key.replace(' ', ""),
                    ("#attributes", _) => name.to_owned(),
                    _ => format!("{name}_{}", key.replace(' ', "")),
                };
                flatten(value, &inner, out);
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| flatten(value, name, out)),
        serde_json::Value::Null if name.is_empty() => {}
        serde_json::Value::Null => out.push((name.to_owned(), Value::Null)),
        serde_json::Value::String(text) => out.push((name.to_owned(), Value::Text(text.clone()))),
        other => out.push((name.to_owned(), Value::Number(other.to_string()))),
    }
}

/// An event into which values of a rule that concerns it were written, most of them whole.
pub(crate) fn mutated(
    base: &Event,
    set: &RuleSet,
    matcher: &mut Matcher,
    random: &mut Random,
) -> Event {
    let mut event = base.clone();
    let fields = event.fields();
    let concerned = matcher.concerned(&event.record(&fields));
    drop(fields);
    if concerned.is_empty() {
        return event;
    }
    for _ in 0..=random.below(2) {
        let rule = set.rule(*random.of(&concerned)).unwrap();
        for search in &rule.searches {
            // What takes a match away again is written seldom.
            if search.name.starts_with("filter") && random.below(4) > 0 {
                continue;
            }
            write(&search.body, &mut event, random);
        }
    }
    if random.below(4) == 0 {
        let at = random.below(event.values.len());
        let (name, value) = event.values[at].clone();
        match (random.below(4), value) {
            (0, _) => {
                event.values.remove(at);
            }
            (1, _) => event.values[at].1 = Value::Null,
            (2, Value::Text(text)) => {
                event.values.push((name, Value::Text(text.to_uppercase())));
            }
            (_, Value::Text(text)) => {
                let cut: String = text.chars().skip(random.below(3)).collect();
                event.values[at].1 = Value::Text(cut);
            }
            _ => {}
        }
    }
    event
}

fn write(body: &Body, event: &mut Event, random: &mut Random) {
    match body {
        Body::All(parts) => parts.iter().for_each(|part| write(part, event, random)),
        Body::Any(parts) => write(random.of(parts), event, random),
        Body::Item(item) => {
            let all = item.modifiers.iter().any(|m| m.word() == "all");
            let values: Vec<&Literal> =
                if all { item.values.iter().collect() } else { vec![random.of(&item.values)] };
            let texts: Vec<String> = values
                .iter()
                .map(|value| {
                    let dash = *random.of(&["-", "/", "\u{2013}", "\u{2015}"]);
                    let windash = item.modifiers.iter().any(|m| m.word() == "windash");
                    let text = value
                        .to_string()
                        .replace("\\\\", "\\")
                        .replace('*', "xy")
                        .replace('?', "z");
                    if windash { text.replacen('-', dash, 1) } else { text }
                })
                .collect();
            let joined = texts.join(" ");
            let text = match random.below(3) {
                0 => joined,
                1 => format!("C:\\x{joined}"),
                _ => joined.to_uppercase(),
            };
            let name = item.field.clone().unwrap_or_else(|| "Message".to_owned());
            // Fields that say where the event belongs stay.
            if ["Channel", "EventID", "Provider_Name", "EventType"].contains(&name.as_str()) {
                return;
            }
            let value = if values == [&Literal::Null] { Value::Null } else { Value::Text(text) };
            match event.values.iter_mut().find(|(known, _)| *known == name) {
                Some((_, old)) => *old = value,
                None => event.values.push((name, value)),
            }
        }
    }
}

const WORDS: &[&str] = &[
    "a",
    "ab",
    "abc",
    "abcd",
    "\\cmd.exe",
    "\\x\\cmd.exe",
    " -enc",
    " /enc",
    "É",
    "ß",
    "İ",
    "k",
    "10.0.0.1",
    "5",
    "-1.5",
    "Mimi",
    "mimikatz",
    "aa aa",
    "x*y",
    "x?y",
    "\\*",
    "*",
    "?",
    "\\\\",
    "fe80::1",
    "",
    "YWJj",
    "abcdefghijklm",
    "true",
];
const FIELDS: &[&str] = &["F", "G", "H", "I.J"];
const KEYS: &[&str] = &[
    "",
    "|contains",
    "|startswith",
    "|endswith",
    "|contains|all",
    "|contains|windash",
    "|re",
    "|re|i",
    "|cidr",
    "|gt",
    "|lte",
    "|exists",
    "|cased",
    "|contains|cased",
    "|neq",
    "|fieldref",
    "|fieldref|endswith",
    "|base64offset|contains",
    "|endswith|windash",
    "|startswith|cased",
    "|wide|base64offset|contains",
    "|base64|contains",
    "null",
];

/// Rules that nobody would write, of all modifiers and forms of conditions.
pub(crate) fn rules(random: &mut Random, count: usize) -> String {
    let mut text = String::new();
    for n in 0..count {
        let _ = write!(text, "---\ntitle: r{n}\nid: r{n}\nlogsource: {{product: p}}\ndetection:\n");
        for name in ["a1", "a2", "b1"] {
            let _ = writeln!(text, "  {name}:");
            let list = random.below(3) == 0;
            let mut used = Vec::new();
            for _ in 0..=random.below(2) {
                if list && random.below(3) == 0 {
                    let _ =
                        writeln!(text, "    - '{}'", random.of(&["mimi", "cmd*exe", "É", "abcde"]));
                    continue;
                }
                let line = line(random);
                let key = line.split(':').next().unwrap().to_owned();
                if !list && used.contains(&key) {
                    continue;
                }
                used.push(key);
                let _ = writeln!(text, "    {}{line}", if list { "- " } else { "" });
            }
        }
        let condition = *random.of(&[
            "a1",
            "a1 and a2",
            "a1 or b1",
            "1 of a*",
            "all of them",
            "2 of them",
            "not a1",
            "a1 and not b1",
            "not 1 of a* and b1",
            "not (a1 and a2) or b1",
            "not 2 of them",
            "a1 and not (a2 or b1)",
        ]);
        let _ = writeln!(text, "  condition: {condition}");
    }
    text
}

fn line(random: &mut Random) -> String {
    let field = *random.of(FIELDS);
    let key = *random.of(KEYS);
    let quoted = |text: &str| format!("'{text}'");
    match key {
        "null" => format!("{field}: null"),
        "|exists" => format!("{field}|exists: {}", random.below(2) == 0),
        "|gt" | "|lte" => format!("{field}{key}: {}", random.of(&["5", "-2", "0.5"])),
        "|cidr" => {
            format!("{field}|cidr: {}", random.of(&["10.0.0.0/8", "fe80::/10", "0.0.0.0/0"]))
        }
        "|re" | "|re|i" => {
            format!(
                "{field}{key}: '{}'",
                random.of(&["^a", "m.m", "[0-9]+$", "(ab|MIMI)c?", "É", "\\bcmd\\b"])
            )
        }
        "|fieldref" | "|fieldref|endswith" => format!("{field}{key}: {}", random.of(FIELDS)),
        _ if key.contains("base64") => {
            format!("{field}{key}: '{}'", random.of(&["abc", "mimikatz", "x"]))
        }
        _ => {
            let count = 1 + random.below(3) * random.below(4);
            let values: Vec<String> =
                (0..count).map(|_| quoted(WORDS[random.below(WORDS.len())])).collect();
            format!("{field}{key}: [{}]", values.join(", "))
        }
    }
}

/// An event of those words.
pub(crate) fn made_up(random: &mut Random) -> Event {
    let mut values = Vec::new();
    for _ in 0..random.below(6) {
        let mut text = String::new();
        for _ in 0..=random.below(3) {
            text.push_str(WORDS[random.below(WORDS.len())]);
        }
        if random.below(4) == 0 {
            text = text.to_uppercase();
        }
        let value = match random.below(8) {
            0 => Value::Null,
            1 => Value::Number(random.of(&["5", "6", "-3", "0.25"]).to_string()),
            _ => Value::Text(text),
        };
        values.push(((*random.of(FIELDS)).to_owned(), value));
    }
    values.sort_by(|a, b| a.0.cmp(&b.0));
    Event { values, product: "p" }
}
