//! Pipelines: changes to rules as data, in pySigma's form.
//!
//! Offered are the transformations that change what a rule asks: renaming, prefixing and suffixing
//! fields, adding conditions, changing the log source, giving values to placeholders, refusing
//! rules. Those that format queries for a server have no meaning here and are refused by name.

use super::condition::Condition;
use super::modifier::Placeholders;
use super::rule::{self, Body, Item, Literal, Rule, RuleSource, Search};
use crate::decode::yaml::{self, Node, Place, Scalar};
use crate::error::RuleError;

/// A pipeline.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Pipelines run by ascending priority.
    pub priority: i64,
    /// Values for placeholders.
    pub placeholders: Placeholders,
    steps: Vec<Step>,
}

#[derive(Clone, PartialEq, Debug)]
struct Step {
    change: Change,
    /// The rules that are changed: all or any of these, or the other way round.
    rules: Vec<RuleCondition>,
    any: bool,
    not: bool,
    /// The fields that are changed: only these, or all but these.
    fields: Option<(bool, Vec<String>)>,
}

#[derive(Clone, PartialEq, Debug)]
enum Change {
    Rename(Vec<(String, Vec<String>)>),
    Prefix(String),
    Suffix(String),
    Add { searches: Vec<Item>, negated: bool },
    LogSource(RuleSource),
    Refuse(String),
}

#[derive(Clone, PartialEq, Debug)]
enum RuleCondition {
    LogSource(RuleSource),
    Tag(String),
    Id(String),
}

impl Pipeline {
    /// Reads a pipeline.
    ///
    /// # Errors
    /// `file:line:column` of what is missing, unknown or not offered.
    pub fn parse(text: &str, file: &str) -> Result<Self, RuleError> {
        let mut documents = yaml::documents(text, file, yaml::Limits::default());
        let root = match documents.next() {
            Some(document) => document?.root,
            None => {
                return Err(RuleError::new(
                    file,
                    1,
                    1,
                    "an empty pipeline; write `transformations`",
                ));
            }
        };
        let read = Reader { file };
        let priority = match root.key("priority").map(|node| (node, node.scalar())) {
            None => 0,
            Some((_, Some(Scalar::Int(priority)))) => priority,
            Some((node, _)) => return Err(read.wrong(node, "`priority` is a whole number")),
        };
        for unknown in ["postprocessing", "finalizers"] {
            if let Some(node) = root.key(unknown) {
                let why = format!("`{unknown}` formats queries for a server; leave it out");
                return Err(read.wrong(node, &why));
            }
        }
        let mut placeholders = Placeholders::new();
        for (key, value) in root.key("vars").and_then(Node::map).unwrap_or_default() {
            placeholders.insert(read.text(key)?, read.texts(value)?);
        }
        let steps = root.key("transformations").and_then(Node::list).unwrap_or_default();
        let mut pipeline = Self {
            name: root.key("name").and_then(Node::as_str).unwrap_or_default().to_owned(),
            priority,
            placeholders,
            steps: Vec::new(),
        };
        for step in steps {
            if let Some(step) = read.step(step)? {
                pipeline.steps.push(step);
            }
        }
        Ok(pipeline)
    }

    /// Changes a rule.
    ///
    /// # Errors
    /// Why the pipeline refuses the rule.
    pub fn apply(&self, rule: &mut Rule) -> Result<(), String> {
        for step in &self.steps {
            if !step.concerns(rule) {
                continue;
            }
            match &step.change {
                Change::LogSource(source) => {
                    let or = |new: &String, old: &mut String| {
                        if !new.is_empty() {
                            old.clone_from(new);
                        }
                    };
                    or(&source.product, &mut rule.log_source.product);
                    or(&source.category, &mut rule.log_source.category);
                    or(&source.service, &mut rule.log_source.service);
                }
                Change::Refuse(why) => {
                    return Err(format!("the pipeline `{}` refuses it: {why}", self.name));
                }
                Change::Add { searches, negated } => {
                    let added = Condition::Search(rule.searches.len());
                    rule.searches.push(Search {
                        name: format!("_pipeline_{}", rule.searches.len()),
                        place: Place { line: 1, column: 1 },
                        body: Body::All(searches.iter().cloned().map(Body::Item).collect()),
                    });
                    let added = if *negated { Condition::Not(Box::new(added)) } else { added };
                    let own = std::mem::replace(&mut rule.condition, Condition::All(Vec::new()));
                    rule.condition = Condition::All(vec![added, own]);
                }
                _ => {
                    for search in &mut rule.searches {
                        step.body(&mut search.body);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Step {
    fn concerns(&self, rule: &Rule) -> bool {
        let fits = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        let holds = |condition: &RuleCondition| match condition {
            RuleCondition::LogSource(source) => {
                fits(&source.product, &rule.log_source.product)
                    && fits(&source.category, &rule.log_source.category)
                    && fits(&source.service, &rule.log_source.service)
            }
            RuleCondition::Tag(tag) => rule.meta.tags.contains(tag),
            RuleCondition::Id(id) => rule.meta.id == *id,
        };
        let concerned = self.rules.is_empty()
            || if self.any { self.rules.iter().any(holds) } else { self.rules.iter().all(holds) };
        concerned != self.not
    }

    fn body(&self, body: &mut Body) {
        match body {
            Body::All(parts) | Body::Any(parts) => {
                for part in parts {
                    self.body(part);
                }
            }
            Body::Item(item) => {
                let Some(field) = item.field.clone() else { return };
                if let Some((only, fields)) = &self.fields
                    && fields.contains(&field) != *only
                {
                    return;
                }
                match &self.change {
                    Change::Prefix(prefix) => item.field = Some(format!("{prefix}{field}")),
                    Change::Suffix(suffix) => item.field = Some(format!("{field}{suffix}")),
                    Change::Rename(names) => {
                        let new = names.iter().find(|(old, _)| *old == field);
                        match new.map(|(_, new)| new.as_slice()) {
                            None | Some([]) => {}
                            Some([one]) => item.field = Some(one.clone()),
                            Some(several) => {
                                let of = |name: &String| {
                                    Body::Item(Item { field: Some(name.clone()), ..item.clone() })
                                };
                                *body = Body::Any(several.iter().map(of).collect());
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

struct Reader<'f> {
    file: &'f str,
}

impl Reader<'_> {
    fn wrong(&self, node: &Node, why: &str) -> RuleError {
        rule::error(self.file, node.place, why.to_owned())
    }

    fn text(&self, node: &Node) -> Result<String, RuleError> {
        let text = node.as_str().map(str::to_owned);
        text.ok_or_else(|| {
            self.wrong(node, &format!("{} stands where text is expected", node.kind()))
        })
    }

    fn texts(&self, node: &Node) -> Result<Vec<String>, RuleError> {
        let list = node.list().unwrap_or(std::slice::from_ref(node));
        list.iter().map(|node| self.text(node)).collect()
    }

    fn needed<'n>(&self, node: &'n Node, key: &str) -> Result<&'n Node, RuleError> {
        node.key(key).ok_or_else(|| self.wrong(node, &format!("no `{key}`; write it")))
    }

    fn source(&self, node: &Node) -> Result<RuleSource, RuleError> {
        let part = |key: &str| match node.key(key) {
            Some(value) => self.text(value).map(|text| text.to_lowercase()),
            None => Ok(String::new()),
        };
        Ok(RuleSource {
            product: part("product")?,
            category: part("category")?,
            service: part("service")?,
        })
    }

    fn flag(&self, node: &Node, key: &str) -> Result<bool, RuleError> {
        match node.key(key).map(|value| (value, value.scalar())) {
            None => Ok(false),
            Some((_, Some(Scalar::Bool(flag)))) => Ok(flag),
            Some((value, _)) => Err(self.wrong(value, &format!("`{key}` is `true` or `false`"))),
        }
    }

    /// A step; `None` for one that is done by reading it.
    fn step(&self, node: &Node) -> Result<Option<Step>, RuleError> {
        let kind = self.needed(node, "type")?;
        let named = self.text(kind)?;
        let change = match named.as_str() {
            "field_name_mapping" => {
                let mapping = self.needed(node, "mapping")?;
                let pairs = mapping.map().unwrap_or_default().iter();
                let pairs = pairs.map(|(old, new)| Ok((self.text(old)?, self.texts(new)?)));
                Change::Rename(pairs.collect::<Result<_, RuleError>>()?)
            }
            "field_name_prefix" => Change::Prefix(self.text(self.needed(node, "prefix")?)?),
            "field_name_suffix" => Change::Suffix(self.text(self.needed(node, "suffix")?)?),
            "add_condition" => {
                let conditions = self.needed(node, "conditions")?;
                let pairs = conditions.map().unwrap_or_default().iter();
                let items = pairs.map(|(field, value)| self.item(field, value));
                Change::Add {
                    searches: items.collect::<Result<_, _>>()?,
                    negated: self.flag(node, "negated")?,
                }
            }
            "change_logsource" => Change::LogSource(self.source(node)?),
            "rule_failure" => Change::Refuse(self.text(self.needed(node, "message")?)?),
            // `expand` asks the values that the pipeline's `vars` give without being told to.
            "value_placeholders" => return Ok(None),
            other => {
                let why = format!(
                    "the transformation `{other}` is not offered; write one of field_name_mapping, \
                     field_name_prefix, field_name_suffix, add_condition, change_logsource, rule_failure, \
                     value_placeholders"
                );
                return Err(self.wrong(kind, &why));
            }
        };
        if let Some(other) = node.key("detection_item_conditions") {
            return Err(self.wrong(
                other,
                "conditions over detection items are not offered; use field_name_conditions",
            ));
        }
        let list = |key: &str| node.key(key).and_then(Node::list).unwrap_or_default();
        let rules = list("rule_conditions").iter().map(|node| self.rule_condition(node));
        let fields = match list("field_name_conditions") {
            [] => None,
            [one] => Some((
                match self.text(self.needed(one, "type")?)?.as_str() {
                    "include_fields" => true,
                    "exclude_fields" => false,
                    other => {
                        let why = format!(
                            "`{other}` is not offered; write include_fields or exclude_fields"
                        );
                        return Err(self.wrong(one, &why));
                    }
                },
                self.texts(self.needed(one, "fields")?)?,
            )),
            [_, second, ..] => {
                return Err(self.wrong(second, "one condition over fields; join the lists"));
            }
        };
        Ok(Some(Step {
            change,
            rules: rules.collect::<Result<_, _>>()?,
            any: node.key("rule_cond_op").and_then(Node::as_str) == Some("or"),
            not: self.flag(node, "rule_cond_not")?,
            fields,
        }))
    }

    fn rule_condition(&self, node: &Node) -> Result<RuleCondition, RuleError> {
        let kind = self.needed(node, "type")?;
        Ok(match self.text(kind)?.as_str() {
            "logsource" => RuleCondition::LogSource(self.source(node)?),
            "tag" => RuleCondition::Tag(self.text(self.needed(node, "tag")?)?),
            "is_sigma_rule" => RuleCondition::LogSource(RuleSource::default()),
            "rule_id" => RuleCondition::Id(self.text(self.needed(node, "id")?)?),
            other => {
                let why = format!(
                    "the rule condition `{other}` is not offered; write logsource, tag or rule_id"
                );
                return Err(self.wrong(kind, &why));
            }
        })
    }

    fn item(&self, field: &Node, value: &Node) -> Result<Item, RuleError> {
        let values = value.list().unwrap_or(std::slice::from_ref(value)).iter();
        let literal = |node: &Node| match node.scalar() {
            Some(Scalar::Null) => Ok(Literal::Null),
            Some(Scalar::Bool(value)) => Ok(Literal::Bool(value)),
            Some(Scalar::Int(value)) => Ok(Literal::Int(value)),
            Some(Scalar::Float(value)) => Ok(Literal::Float(value)),
            Some(Scalar::Text(text)) => Ok(Literal::Text(text.to_owned())),
            None => Err(self.wrong(node, "a value is text, a number or a boolean")),
        };
        Ok(Item {
            field: Some(self.text(field)?),
            modifiers: Vec::new(),
            values: values.map(literal).collect::<Result<_, _>>()?,
            place: field.place,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::{Sigma, load};
    use super::*;

    fn rule() -> Rule {
        let text = "title: t\nlogsource: {product: windows, category: process_creation}\n\
            detection: {a: {Image: x, User: y}, condition: a}\n";
        let mut rules = Vec::new();
        load(text, "t.yml", &mut |document| match document {
            Ok(Sigma::Rule(rule)) => rules.push(rule),
            other => unreachable!("{other:?}"),
        });
        rules.pop().unwrap()
    }

    fn applied(steps: &str) -> Result<Rule, String> {
        let text = format!("name: p\npriority: 10\nvars: {{x: [a, b]}}\ntransformations:\n{steps}");
        let pipeline = Pipeline::parse(&text, "p.yml").map_err(|e| e.to_string())?;
        let mut rule = rule();
        pipeline.apply(&mut rule)?;
        Ok(rule)
    }

    fn fields(body: &Body) -> Vec<String> {
        match body {
            Body::Item(item) => vec![item.field.clone().unwrap_or_default()],
            Body::All(parts) | Body::Any(parts) => parts.iter().flat_map(fields).collect(),
        }
    }

    #[test]
    fn rules_are_changed_as_the_steps_say() {
        let names = |steps: &str| fields(&applied(steps).unwrap().searches.first().unwrap().body);
        assert_eq!(
            names("- {type: field_name_mapping, mapping: {Image: NewProcessName}}"),
            ["NewProcessName", "User"]
        );
        assert_eq!(
            names("- {type: field_name_mapping, mapping: {Image: [a, b]}}"),
            ["a", "b", "User"]
        );
        assert_eq!(
            names(
                "- type: field_name_prefix\n  prefix: w.\n  field_name_conditions: [{type: include_fields, fields: [User]}]"
            ),
            ["Image", "w.User"]
        );
        let other = "- type: field_name_suffix\n  suffix: _s\n  rule_conditions: [{type: logsource, product: linux}]";
        assert_eq!(names(other), ["Image", "User"]);
        let added = applied("- {type: add_condition, conditions: {EventID: 1}}").unwrap();
        assert_eq!(
            added.condition,
            Condition::All(vec![Condition::Search(1), Condition::Search(0)])
        );
        let moved = applied("- {type: change_logsource, service: sysmon}").unwrap();
        assert_eq!(moved.log_source.service, "sysmon");
        assert_eq!(moved.log_source.product, "windows");
        assert!(
            applied("- {type: rule_failure, message: no}").unwrap_err().contains("refuses it: no")
        );
    }

    #[test]
    fn what_is_not_offered_is_named() {
        for (steps, says) in [
            ("- {type: drop_detection_item}", "`drop_detection_item` is not offered"),
            ("- {type: field_name_mapping}", "no `mapping`"),
            (
                "- {type: field_name_prefix, prefix: a, rule_conditions: [{type: x}]}",
                "`x` is not offered",
            ),
        ] {
            let why = applied(steps).unwrap_err();
            assert!(why.starts_with("p.yml:5:") && why.contains(says), "{why}");
        }
    }
}
