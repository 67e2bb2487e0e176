//! `marks`: what makes several tests of one, or none.

use super::document::Told;
use super::value::value;
use crate::decode::yaml::Node;
use crate::taas::expression;
use crate::taas::extension::{Call, Extension};
use crate::taas::format::{format, format_text};
use crate::taas::scope::Scope;
use crate::taas::value::Value;

/// Tests that one document may become; a table of users and routes has hundreds.
const CASES: usize = 10_000;

/// What a test says about its own end, `_xfail` and the mark `xfail`.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Expected {
    /// Refused before anything is sent.
    Refusal,
    /// An assertion fails; with a text, one that says so.
    Failure(Option<String>),
    /// An assertion under `finally` fails.
    Finally,
    /// It may fail anyhow, and may pass (the mark).
    Anything,
}

/// What the marks of a test say.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Their names, for selection.
    pub(super) names: Vec<String>,
    /// Why the test is skipped.
    pub(super) skip: Option<String>,
    /// The mark `xfail`.
    pub(super) may_fail: bool,
    /// Fixtures that it needs.
    pub(super) fixtures: Vec<String>,
    /// The tests it becomes: the suffix of the name, and the variables.
    pub(super) cases: Vec<Case>,
    /// A function that gives parameters and is not offered.
    pub(super) missing: Option<String>,
}

/// One test of several.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Case {
    pub(super) suffix: String,
    pub(super) variables: Vec<(String, Value)>,
}

/// Reads the marks; what is wrong goes into `told`.
pub(super) fn read(
    root: &Node,
    scope: &Scope,
    extension: Option<&dyn Extension>,
    told: &mut Vec<Told>,
) -> Marks {
    let mut marks = Marks { cases: vec![Case::default()], ..Marks::default() };
    let Some(node) = root.key("marks") else { return marks };
    let Some(items) = node.list().filter(|items| !items.is_empty()) else {
        told.push(Told::new(node.place, "`marks` is a list; begin each mark with `- `"));
        return marks;
    };
    let mut parameters: Vec<Vec<Case>> = Vec::new();
    for item in items {
        let outcome = match (item.as_str(), item.map()) {
            (Some(text), _) => marks.text(text, scope),
            (_, Some([(key, inner)])) => {
                let name = key.as_str().unwrap_or_default();
                marks.names.push(name.to_owned());
                match name {
                    "skipif" => marks.skip_if(inner.as_str().unwrap_or_default(), scope),
                    "usefixtures" => marks.fixtures(inner),
                    "parametrize" => marks
                        .parametrize(inner, scope, extension)
                        .map(|cases| parameters.extend(cases)),
                    other => Err(format!(
                        "`{other}` takes nothing here; known are skipif, usefixtures, parametrize"
                    )),
                }
            }
            _ => Err("a mark is a name, or one of skipif, usefixtures, parametrize".to_owned()),
        };
        if let Err(why) = outcome {
            told.push(Told::new(item.place, why));
        }
    }
    marks.multiply(&parameters, node, told);
    marks
}

/// Whether a condition of `skipif` holds.
fn holds(condition: &str, scope: &Scope) -> Result<bool, String> {
    let known = |name: &str| expression::of_the_run(name, scope.env());
    Ok(expression::evaluate_with(condition, &known)?.truth())
}

impl Marks {
    /// `slow`, `skip(reason='…')`, `skipif(1 > 0, reason='…')`.
    fn text(&mut self, text: &str, scope: &Scope) -> Result<(), String> {
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => {
                let inner = rest
                    .trim_end()
                    .strip_suffix(')')
                    .ok_or_else(|| format!("the mark `{text}` is not closed; add `)`"))?;
                (name.trim(), Some(inner))
            }
            None => (text.trim(), None),
        };
        self.names.push(name.to_owned());
        let (plain, named) = match arguments {
            Some(inner) => expression::call_arguments(&format_text(inner, scope)?)?,
            None => (Vec::new(), Vec::new()),
        };
        let reason =
            named.iter().find(|(name, _)| name == "reason").map(|(_, why)| why.to_string());
        match name {
            "skip" => {
                let why = reason.or_else(|| plain.first().map(ToString::to_string));
                self.skip = Some(why.unwrap_or_else(|| "marked `skip`".to_owned()));
            }
            "skipif" => match plain.first() {
                Some(Value::Text(condition)) => {
                    if holds(condition, scope)? {
                        self.skip = Some(reason.unwrap_or_else(|| format!("skipif {condition}")));
                    }
                }
                Some(value) => {
                    if value.truth() {
                        self.skip = Some(reason.unwrap_or_else(|| format!("skipif {value}")));
                    }
                }
                None => return Err("`skipif` needs a condition".to_owned()),
            },
            "xfail" => self.may_fail = true,
            "usefixtures" => self.fixtures.extend(plain.iter().map(ToString::to_string)),
            "parametrize" => {
                return Err("write `parametrize` as a mapping with `key` and `vals`".to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    fn skip_if(&mut self, condition: &str, scope: &Scope) -> Result<(), String> {
        let formatted = format_text(condition, scope)?;
        if holds(&formatted, scope)? {
            self.skip = Some(format!("skipif {formatted}"));
        }
        Ok(())
    }

    fn fixtures(&mut self, node: &Node) -> Result<(), String> {
        let names = node.list().filter(|items| items.iter().all(|item| item.as_str().is_some()));
        let names = names.filter(|items| !items.is_empty());
        let names = names.ok_or("`usefixtures` is a list of names; write at least one")?;
        self.fixtures.extend(names.iter().filter_map(|name| name.as_str().map(str::to_owned)));
        Ok(())
    }

    /// The cases of one `parametrize`; `None` where a function that gives them is not offered.
    fn parametrize(
        &mut self,
        node: &Node,
        scope: &Scope,
        extension: Option<&dyn Extension>,
    ) -> Result<Option<Vec<Case>>, String> {
        let keys: Vec<String> = match node.key("key") {
            Some(key) if key.as_str().is_some() => {
                vec![key.as_str().unwrap_or_default().to_owned()]
            }
            Some(key) => {
                let names = key.list().unwrap_or_default().iter();
                names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
            }
            None => Vec::new(),
        };
        if keys.is_empty() {
            return Err("`parametrize` needs a `key`: a name or a list of names".to_owned());
        }
        let combined = node.key("key").is_some_and(|key| key.list().is_some());
        let vals = node.key("vals").ok_or("`parametrize` needs `vals`: a list of values")?;
        let given = value(vals).map_err(|told| told.why)?;
        let mut wrong = None;
        let items = match given {
            Value::Map(entries) if entries.iter().any(|(key, _)| key == "$ext") => {
                let Some(items) = self.parameters_of(&Value::Map(entries), extension)? else {
                    return Ok(None);
                };
                items
            }
            Value::List(items) => items,
            // The names of the tests are those that a mapping would give.
            Value::Map(entries) => {
                wrong = Some("`vals` is a list of values; a mapping stands here".to_owned());
                entries.into_iter().map(|(key, _)| Value::Text(key)).collect()
            }
            _ => return Err("`vals` is a list of values".to_owned()),
        };
        if items.is_empty() {
            return Err("`vals` is empty; write at least one value".to_owned());
        }
        let mut cases = Vec::with_capacity(items.len());
        for item in items {
            let item = format(&item, scope)?;
            let (shown, variables) = if combined {
                let values = match item {
                    Value::List(values) => values,
                    single => vec![single],
                };
                if values.len() != keys.len() {
                    return Err(format!(
                        "`vals` has {} values for {} keys; write one for each",
                        values.len(),
                        keys.len()
                    ));
                }
                let shown: Vec<String> = values.iter().map(ToString::to_string).collect();
                (shown.join("-"), keys.iter().cloned().zip(values).collect())
            } else {
                (item.to_string(), keys.iter().cloned().zip([item]).collect())
            };
            cases.push(Case { suffix: shown, variables });
        }
        match wrong {
            Some(why) => {
                self.cases = cases
                    .into_iter()
                    .map(|case| Case { suffix: format!("[{}]", case.suffix), ..case })
                    .collect();
                Err(why)
            }
            None => Ok(Some(cases)),
        }
    }

    fn parameters_of(
        &mut self,
        value: &Value,
        extension: Option<&dyn Extension>,
    ) -> Result<Option<Vec<Value>>, String> {
        let call = value.key("$ext");
        let function =
            call.and_then(|c| c.key("function")).and_then(Value::as_text).unwrap_or_default();
        let Some(extension) = extension.filter(|extension| extension.offers(function)) else {
            self.missing = Some(function.to_owned());
            return Ok(None);
        };
        let args =
            call.and_then(|c| c.key("extra_args")).and_then(Value::items).unwrap_or_default();
        let kwargs =
            call.and_then(|c| c.key("extra_kwargs")).and_then(Value::entries).unwrap_or_default();
        match extension.call(&Call { function, response: None, args, kwargs })? {
            Value::List(items) => Ok(Some(items)),
            other => {
                Err(format!("`{function}` gave {} for `vals`; give a list", other.type_name()))
            }
        }
    }

    /// Each case of the first with each of the second, and so on.
    fn multiply(&mut self, parameters: &[Vec<Case>], node: &Node, told: &mut Vec<Told>) {
        if parameters.is_empty() {
            return;
        }
        let count = parameters.iter().try_fold(1_usize, |all, cases| all.checked_mul(cases.len()));
        if count.is_none_or(|count| count > CASES) {
            told.push(Told::new(
                node.place,
                format!("`parametrize` makes more than {CASES} tests; cut the file in parts"),
            ));
            return;
        }
        let mut all = vec![Case::default()];
        for cases in parameters {
            let mut next = Vec::with_capacity(all.len() * cases.len());
            for before in &all {
                for case in cases {
                    let mut both = before.clone();
                    if !both.suffix.is_empty() || !both.variables.is_empty() {
                        both.suffix.push('-');
                    }
                    both.suffix.push_str(&case.suffix);
                    both.variables.extend(case.variables.iter().cloned());
                    next.push(both);
                }
            }
            all = next;
        }
        for case in &mut all {
            case.suffix = format!("[{}]", case.suffix);
        }
        self.cases = all;
    }
}
