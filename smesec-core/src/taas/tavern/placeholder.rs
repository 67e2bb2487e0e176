//! `password: [CONFIDENTIAL]`: what a print of a test file puts where a secret stood.

use super::document::Told;
use crate::decode::yaml::{self, Node};
use crate::mask;

/// Words in brackets that stand for a secret wherever they are. A list of one such word is no value that
/// an application takes.
const WORDS: &[&str] = &[
    "CONFIDENTIAL",
    "SECRET",
    "REDACTED",
    "MASKED",
    "HIDDEN",
    "REMOVED",
    "CENSORED",
    "PLACEHOLDER",
    "CLASSIFIED",
    "OMITTED",
];

/// A placeholder that was met: where, and the names its secret is asked for under, the most particular first.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) told: Told,
    pub(super) names: Vec<String>,
    /// The id of the shared stage that it stands in: only tests that name it want the secret.
    pub(super) of: Option<String>,
}

/// Puts secrets in the place of placeholders in the requests of a test and of what it includes; what `secret` does not know stays
/// and is told as `missing`. Values that were put in go to `known`.
pub(super) fn fill(
    root: &mut Node,
    secret: &dyn Fn(&str) -> Option<String>,
    missing: &mut Vec<Asked>,
    known: &mut Vec<String>,
) {
    let is_test = root.key("test_name").is_some();
    let yaml::Value::Map(entries) = &mut root.value else { return };
    for (key, list) in entries {
        if let (Some("includes"), yaml::Value::List(items)) = (key.as_str(), &mut list.value) {
            // An include has no includes of its own, so that this goes one step deep.
            for item in items.iter_mut().filter(|item| item.key("includes").is_none()) {
                fill(item, secret, missing, known);
            }
            continue;
        }
        if !matches!(key.as_str(), Some("stages" | "finally")) {
            continue;
        }
        let yaml::Value::List(stages) = &mut list.value else { continue };
        for stage in stages {
            let name = stage.key("name").and_then(Node::as_str).unwrap_or_default();
            let name = upper(name);
            let id = stage.key("id").and_then(Node::as_str).unwrap_or_default().to_owned();
            let of = (!is_test).then_some(id);
            let before = missing.len();
            let yaml::Value::Map(stage) = &mut stage.value else { continue };
            for (key, part) in stage {
                if matches!(key.as_str(), Some("request" | "mqtt_publish")) {
                    let mut filler = Filler { stage: &name, secret, missing, known };
                    filler.walk(part, "");
                }
            }
            missing.iter_mut().skip(before).for_each(|asked| asked.of.clone_from(&of));
        }
    }
}

struct Filler<'a> {
    stage: &'a str,
    secret: &'a dyn Fn(&str) -> Option<String>,
    missing: &'a mut Vec<Asked>,
    known: &'a mut Vec<String>,
}

impl Filler<'_> {
    fn walk(&mut self, node: &mut Node, key: &str) {
        if let Some(word) = placeholder(node, key) {
            let own = upper(if key.is_empty() { &word } else { key });
            let names = vec![format!("{}_{own}", self.stage), own];
            if let Some(value) = names.iter().find_map(|name| (self.secret)(name)) {
                let escaped = value.replace('{', "{{").replace('}', "}}");
                self.known.push(value);
                *node = Node { place: node.place, ..Node::text(escaped) };
            } else {
                let why = format!(
                    "`[{word}]` stands for a secret; set SMESEC_SECRET_{} (or SMESEC_SECRET_{})",
                    names.first().map_or("", String::as_str),
                    names.last().map_or("", String::as_str),
                );
                self.missing.push(Asked { told: Told::new(node.place, why), names, of: None });
            }
            return;
        }
        match &mut node.value {
            yaml::Value::Scalar { .. } => {}
            yaml::Value::List(items) => items.iter_mut().for_each(|item| self.walk(item, key)),
            yaml::Value::Map(entries) => {
                for (name, item) in entries {
                    let name = name.as_str().unwrap_or_default().to_owned();
                    self.walk(item, &name);
                }
            }
        }
    }
}

/// The word of a placeholder: in brackets, and a known one, or any in capitals under a secret's name.
fn placeholder(node: &Node, key: &str) -> Option<String> {
    let word = match (&node.value, node.tag.is_none()) {
        (yaml::Value::List(items), true) => match items.as_slice() {
            [single] => single.as_str()?.trim(),
            _ => return None,
        },
        (yaml::Value::Scalar { text, .. }, true) => {
            text.trim().strip_prefix('[')?.strip_suffix(']')?.trim()
        }
        _ => return None,
    };
    let capitals = !word.is_empty()
        && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "_- ".contains(c))
        && word.contains(|c: char| c.is_ascii_uppercase());
    (WORDS.contains(&word) || capitals && mask::is_secret_name(key.as_bytes()))
        .then(|| word.to_owned())
}

/// A name as environment variables have it.
fn upper(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    name.trim_matches('_').to_owned()
}
