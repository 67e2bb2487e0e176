//! Our own form of directives, over Sigma rules as well as plugin numbers.

use super::fields::{Name, Wanted};
use super::{Directive, Level, MOST_OCCURRENCES, Reliability, TIME_OUT};
use crate::decode::yaml::{Limits, Node, Place, documents};
use crate::error::RuleError;
use crate::siem::sigma::correlation::span;

/// Reads directives from YAML: documents with a list `directives`, whose levels nest under `next`. Keys
/// beside OSSIM's are `rules` (Sigma rules, any of which has to have matched) and time spans such as
/// `15s`.
///
/// ```
/// use smesec_core::siem::directive::parse_yaml;
/// let text = "
/// directives:
///   - id: guessing
///     name: guessing against DST_IP
///     priority: 4
///     level:
///       rules: [failed_login]
///       reliability: 3
///       next:
///         - {rules: [failed_login], from: '1:SRC_IP', occurrence: 3, time_out: 15s, reliability: +1}
/// ";
/// assert_eq!(parse_yaml(text, "mine.yml")?.len(), 1);
/// # Ok::<(), smesec_core::error::RuleError>(())
/// ```
///
/// # Errors
/// The first thing that is no YAML, missing, unknown or of the wrong kind, with its place.
pub fn parse_yaml(text: &str, file: &str) -> Result<Vec<Directive>, RuleError> {
    let reader = Reader { file };
    let mut directives = Vec::new();
    for document in documents(text, file, Limits::default()) {
        let root = document?.root;
        let list = root.key("directives").and_then(Node::list);
        let Some(list) = list else {
            return Err(reader.error(root.place, "there is no list `directives`; add one"));
        };
        for node in list {
            directives.push(reader.directive(node)?);
        }
    }
    Ok(directives)
}

struct Reader<'a> {
    file: &'a str,
}

impl Reader<'_> {
    fn error(&self, place: Place, why: &str) -> RuleError {
        RuleError::new(self.file, place.line.max(1), place.column.max(1), why)
    }

    fn text<'n>(&self, node: &'n Node, key: &str) -> Result<&'n str, RuleError> {
        let why = || format!("`{key}` is {}; write one text", node.kind());
        node.as_str().ok_or_else(|| self.error(node.place, &why()))
    }

    fn directive(&self, node: &Node) -> Result<Directive, RuleError> {
        let entries = node.map().unwrap_or_default();
        for (key, _) in entries {
            let name = key.as_str().unwrap_or_default();
            if !["id", "name", "author", "priority", "level"].contains(&name) {
                let why = format!(
                    "unknown key `{name}` of a directive; known are id, name, author, priority and level"
                );
                return Err(self.error(key.place, &why));
            }
        }
        let Some(id) = node.key("id") else {
            return Err(self.error(node.place, "the directive has no `id`; add one"));
        };
        let id = self.text(id, "id")?.to_owned();
        let Some(priority) = node.key("priority") else {
            return Err(
                self.error(node.place, "the directive has no `priority`; add one from 0 to 5")
            );
        };
        let number = self.text(priority, "priority")?.parse::<u8>().ok().filter(|n| *n <= 5);
        let number = number
            .ok_or_else(|| self.error(priority.place, "the `priority` is no number from 0 to 5"))?;
        let Some(level) = node.key("level") else {
            return Err(self.error(node.place, "the directive has no `level`; add its first"));
        };
        let name = node.key("name").map(|name| self.text(name, "name")).transpose()?;
        let author = node.key("author").map(|author| self.text(author, "author")).transpose()?;
        Ok(Directive {
            file: self.file.to_owned(),
            place: node.place,
            name: name.unwrap_or(&id).to_owned(),
            author: author.map(str::to_owned),
            priority: number,
            first: self.level(level, 1)?,
            id,
        })
    }

    // As deep as the YAML, whose depth is bounded.
    fn level(&self, node: &Node, depth: usize) -> Result<Level, RuleError> {
        let Some(entries) = node.map() else {
            let why = format!("a level is {}; write a mapping", node.kind());
            return Err(self.error(node.place, &why));
        };
        let mut level = Level {
            name: String::new(),
            reliability: Reliability::Plus(0),
            occurrence: 1,
            time_out: (depth > 1).then_some(TIME_OUT),
            sticky: true,
            sticky_different: None,
            rules: Vec::new(),
            wanted: Vec::new(),
            next: Vec::new(),
        };
        for (key, value) in entries {
            let key_text = key.as_str().unwrap_or_default();
            match key_text {
                "name" => self.text(value, "name")?.clone_into(&mut level.name),
                "reliability" => {
                    let text = self.text(value, "reliability")?;
                    level.reliability = Reliability::parse(text).ok_or_else(|| {
                        let why = format!("`{text}` is neither 0 to 10 nor such as `+2`");
                        self.error(value.place, &why)
                    })?;
                }
                "occurrence" => {
                    let count = self.text(value, "occurrence")?.parse().ok();
                    let why = format!("`occurrence` is not from 1 to {MOST_OCCURRENCES}");
                    level.occurrence = count
                        .filter(|n| (1..=MOST_OCCURRENCES).contains(n))
                        .ok_or_else(|| self.error(value.place, &why))?;
                }
                "time_out" if depth == 1 => {
                    let why = "the first level waits for ever; take `time_out` out";
                    return Err(self.error(key.place, why));
                }
                "time_out" => {
                    let why = "`time_out` is no time span such as `15s`";
                    let nanos = span(self.text(value, "time_out")?);
                    level.time_out = Some(nanos.ok_or_else(|| self.error(value.place, why))?);
                }
                "sticky" => level.sticky = self.text(value, "sticky")? != "false",
                "sticky_different" => {
                    let text = self.text(value, "sticky_different")?;
                    let why = format!("`{text}` names no field; use such as `DST_PORT`");
                    let name = Name::of(text).ok_or_else(|| self.error(value.place, &why))?;
                    level.sticky_different = Some(name);
                }
                "rules" => {
                    let one = |node: &Node| Ok(self.text(node, "rules")?.to_owned());
                    level.rules = match value.list() {
                        Some(items) => items.iter().map(one).collect::<Result<_, RuleError>>()?,
                        None => vec![one(value)?],
                    };
                }
                "next" => {
                    let Some(items) = value.list() else {
                        return Err(self.error(value.place, "`next` is no list of levels"));
                    };
                    for item in items {
                        level.next.push(self.level(item, depth + 1)?);
                    }
                }
                _ => {
                    let Some(name) = Name::of_attribute(key_text) else {
                        let why = format!("unknown key `{key_text}` of a level; see the manual");
                        return Err(self.error(key.place, &why));
                    };
                    let text = match value.list() {
                        Some(items) => items
                            .iter()
                            .map(|item| self.text(item, key_text))
                            .collect::<Result<Vec<_>, _>>()?
                            .join(","),
                        None => self.text(value, key_text)?.to_owned(),
                    };
                    let wanted = Wanted::parse(name, &text, depth)
                        .map_err(|why| self.error(value.place, &why))?;
                    level.wanted.extend(wanted.map(|wanted| (name, wanted)));
                }
            }
        }
        let open = level.wanted.iter().all(|(_, wanted)| wanted.looks_back());
        if depth == 1 && level.rules.is_empty() && open {
            return Err(
                self.error(node.place, "it matches every event; name `rules` or a `plugin_id`")
            );
        }
        Ok(level)
    }
}
