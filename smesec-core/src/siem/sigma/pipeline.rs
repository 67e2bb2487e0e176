//! Pipelines: changes to rules as data, in pySigma's form.
//!
//! Offered are the transformations that change what a rule asks: renaming, prefixing and suffixing
//! fields, adding conditions, changing the log source, giving values to placeholders, refusing
//! rules. Those that format queries for a server have no meaning here and are refused by name.

use super::condition::Condition;
use super::modifier::{Modifier, Placeholders};
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

/// What became of a field that is named outside of the rule.
#[derive(Clone, Debug)]
pub(crate) struct Traced {
    pub(crate) written: String,
    /// One name, or several of which any will do.
    pub(crate) now: Vec<String>,
}

impl Traced {
    pub(crate) fn new(field: &str) -> Self {
        Self { written: field.to_owned(), now: vec![field.to_owned()] }
    }
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
        read.only(&root, KEYS, "a pipeline")?;
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
        self.apply_traced(rule, &mut [])
    }

    /// As [`Self::apply`]; of the fields in `traced` it is noted what they are called behind it.
    pub(crate) fn apply_traced(
        &self,
        rule: &mut Rule,
        traced: &mut [Traced],
    ) -> Result<(), String> {
        for step in &self.steps {
            if !step.concerns(rule) {
                continue;
            }
            for field in traced.iter_mut() {
                field.now = field.now.iter().flat_map(|name| step.named(name)).collect();
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
                if item.modifiers.contains(&Modifier::FieldRef) {
                    // A value that names a field is renamed as a field is.
                    let named = item.values.iter().flat_map(|value| match value {
                        Literal::Text(name) => {
                            self.named(name).into_iter().map(Literal::Text).collect()
                        }
                        other => vec![other.clone()],
                    });
                    item.values = named.collect();
                }
                let Some(field) = &item.field else { return };
                match self.named(field).as_slice() {
                    [one] => item.field = Some(one.clone()),
                    several => {
                        let of = |name: &String| {
                            Body::Item(Item { field: Some(name.clone()), ..item.clone() })
                        };
                        *body = Body::Any(several.iter().map(of).collect());
                    }
                }
            }
        }
    }

    /// What a field is called after this step: one name, or several of which any will do.
    fn named(&self, field: &str) -> Vec<String> {
        let concerned = self
            .fields
            .as_ref()
            .is_none_or(|(only, fields)| fields.iter().any(|known| known == field) == *only);
        let changed = match &self.change {
            _ if !concerned => None,
            Change::Prefix(prefix) => Some(vec![format!("{prefix}{field}")]),
            Change::Suffix(suffix) => Some(vec![format!("{field}{suffix}")]),
            Change::Rename(names) => {
                let new = names.iter().find(|(old, _)| old == field);
                new.map(|(_, new)| new.clone()).filter(|new| !new.is_empty())
            }
            _ => None,
        };
        changed.unwrap_or_else(|| vec![field.to_owned()])
    }
}

/// What a pipeline's keys are; `allowed_backends` says for which of pySigma's servers it is, and nothing
/// of what it does.
const KEYS: &[&str] = &["name", "priority", "vars", "transformations", "allowed_backends"];

struct Reader<'f> {
    file: &'f str,
}

impl Reader<'_> {
    /// Refuses keys that nothing reads.
    fn only(&self, node: &Node, known: &[&str], what: &str) -> Result<(), RuleError> {
        for (key, _) in node.map().unwrap_or_default() {
            let name = key.as_str().unwrap_or_default();
            if !known.contains(&name) {
                let known = known.join(", ");
                let why = format!("unknown key `{name}` of {what}; known are {known}");
                return Err(self.wrong(key, &why));
            }
        }
        Ok(())
    }

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
        self.only_known(node, &named)?;
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
        let list = |key: &str| match node.key(key) {
            None => Ok::<&[Node], RuleError>(&[]),
            // pySigma's mapping gives conditions names for an expression, which is not offered.
            Some(value) => value.list().ok_or_else(|| {
                self.wrong(value, &format!("`{key}` is {}; write a list", value.kind()))
            }),
        };
        let rules = list("rule_conditions")?.iter().map(|node| self.rule_condition(node));
        let any = match node.key("rule_cond_op").map(|value| (value, value.as_str())) {
            None | Some((_, Some("and"))) => false,
            Some((_, Some("or"))) => true,
            Some((value, _)) => return Err(self.wrong(value, "`rule_cond_op` is `and` or `or`")),
        };
        let all_but = self.flag(node, "field_name_cond_not")?;
        let fields = match list("field_name_conditions")? {
            [] => None,
            [one] => Some((
                match self.text(self.needed(one, "type")?)?.as_str() {
                    "include_fields" => !all_but,
                    "exclude_fields" => all_but,
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
            any,
            not: self.flag(node, "rule_cond_not")?,
            fields,
        }))
    }

    /// Refuses keys that nothing reads: a condition that is passed over changes rules that were not
    /// meant.
    fn only_known(&self, node: &Node, kind: &str) -> Result<(), RuleError> {
        const ALL: [&str; 8] = [
            "id",
            "type",
            "rule_conditions",
            "rule_cond_op",
            "rule_cond_not",
            "field_name_conditions",
            "field_name_cond_not",
            "detection_item_conditions",
        ];
        let own: &[&str] = match kind {
            "field_name_mapping" => &["mapping"],
            "field_name_prefix" => &["prefix"],
            "field_name_suffix" => &["suffix"],
            "add_condition" => &["conditions", "negated"],
            "change_logsource" => &["product", "category", "service"],
            "rule_failure" => &["message"],
            _ => &[],
        };
        for (key, _) in node.map().unwrap_or_default() {
            let name = key.as_str().unwrap_or_default();
            if !ALL.contains(&name) && !own.contains(&name) {
                let why = format!("the key `{name}` is not offered here; leave it out");
                return Err(self.wrong(key, &why));
            }
        }
        Ok(())
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
        let literal = |node: &Node| {
            Literal::of(node)
                .ok_or_else(|| self.wrong(node, "a value is text, a number or a boolean"))
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
                "- type: field_name_prefix\n  prefix: w.\n  field_name_cond_not: true\n  field_name_conditions: [{type: include_fields, fields: [User]}]"
            ),
            ["w.Image", "User"]
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
                "- {type: field_name_prefix, prefix: a, rule_conditions: {c: {type: tag, tag: x}}}",
                "`rule_conditions` is a mapping; write a list",
            ),
            (
                "- {type: field_name_prefix, prefix: a, rule_cond_expr: c}",
                "the key `rule_cond_expr` is not offered here",
            ),
            (
                "- {type: field_name_prefix, prefix: a, field_name_cond_op: or}",
                "the key `field_name_cond_op` is not offered here",
            ),
            ("- {type: field_name_prefix, prefix: a, mapping: {}}", "the key `mapping`"),
            ("- {type: field_name_prefix, prefix: a, rule_cond_op: xor}", "is `and` or `or`"),
            (
                "- {type: field_name_prefix, prefix: a, rule_conditions: [{type: x}]}",
                "`x` is not offered",
            ),
        ] {
            let why = applied(steps).unwrap_err();
            assert!(why.starts_with("p.yml:5:") && why.contains(says), "{why}");
        }
    }

    #[test]
    fn a_value_that_names_a_field_is_renamed_as_a_field_is() {
        let asked = |steps: &str| {
            let text = "title: t\nlogsource: {product: windows}\n\
                detection: {a: {A|fieldref: B, C: B}, condition: a}\n";
            let mut rules = Vec::new();
            load(text, "t.yml", &mut |document| match document {
                Ok(Sigma::Rule(rule)) => rules.push(rule),
                other => unreachable!("{other:?}"),
            });
            let text = format!("name: p\ntransformations:\n{steps}");
            Pipeline::parse(&text, "p.yml").unwrap().apply(&mut rules[0]).unwrap();
            let Body::All(parts) = &rules[0].searches[0].body else { unreachable!() };
            let items = parts.iter().map(|part| match part {
                Body::Item(item) => {
                    let values: Vec<_> = item.values.iter().map(Literal::to_string).collect();
                    format!("{}: {}", item.key(), values.join(","))
                }
                other => unreachable!("{other:?}"),
            });
            items.collect::<Vec<_>>()
        };
        assert_eq!(
            asked("- {type: field_name_mapping, mapping: {B: [x, y]}}"),
            ["A|fieldref: x,y", "C: B"]
        );
        assert_eq!(
            asked("- {type: field_name_prefix, prefix: e.}"),
            ["e.A|fieldref: e.B", "e.C: B"]
        );
        let only = "field_name_conditions: [{type: include_fields, fields: [A]}]";
        assert_eq!(
            asked(&format!("- {{type: field_name_suffix, suffix: _s, {only}}}")),
            ["A_s|fieldref: B", "C: B"]
        );
    }
}
