//! The variables that a test sees: those of its file below, its own above, and `tavern.…`.

use super::value::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Names and their values.
pub(super) type Variables = HashMap<String, Value>;

/// The variables in force at one point of a test.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// What the environment of the run says, `tavern.env_vars`.
    env: Arc<BTreeMap<String, String>>,
    /// What the file and the global configuration say; shared by all tests that see the same.
    shared: Arc<Variables>,
    /// What this test says and saves; goes before `shared`.
    own: Variables,
    /// The request of this stage, `tavern.request_vars`.
    request: Option<Value>,
}

impl Scope {
    pub(super) fn new(env: Arc<BTreeMap<String, String>>, shared: Arc<Variables>) -> Self {
        Self { env, shared, own: Variables::new(), request: None }
    }

    pub(super) fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    pub(super) fn set(&mut self, name: impl Into<String>, value: Value) {
        self.own.insert(name.into(), value);
    }

    pub(super) fn set_request(&mut self, request: Option<Value>) {
        self.request = request;
    }

    /// The value of `name.key[0]`.
    ///
    /// # Errors
    /// Names the variable or the key that is missing.
    pub(super) fn resolve(&self, path: &str) -> Result<Cow<'_, Value>, String> {
        let end = path.find(['.', '[']).unwrap_or(path.len());
        let (name, mut rest) = path.split_at_checked(end).unwrap_or((path, ""));
        if name.is_empty() {
            return Err("`{}` names no variable; write `{{` and `}}` for braces".to_owned());
        }
        let known = self.own.get(name).or_else(|| self.shared.get(name));
        let mut value = match known {
            Some(value) => Cow::Borrowed(value),
            None if name == "tavern" => {
                let (step, after) = step(rest, path)?;
                rest = after;
                match step {
                    "env_vars" => {
                        let (variable, after) = self::step(rest, path)?;
                        rest = after;
                        let value = self.env.get(variable).ok_or_else(|| {
                            format!(
                                "the environment has no variable `{variable}`; set it for the run"
                            )
                        })?;
                        Cow::Owned(Value::text(value))
                    }
                    "request_vars" => match &self.request {
                        Some(request) => Cow::Borrowed(request),
                        None => {
                            return Err("`tavern.request_vars` is there once a request is sent; use it in `response`".to_owned());
                        }
                    },
                    other => {
                        return Err(format!(
                            "`tavern.{other}` does not exist; write `tavern.env_vars` or `tavern.request_vars`"
                        ));
                    }
                }
            }
            None => {
                return Err(format!(
                    "variable `{name}` is not defined; define it in `includes`, save it first, or write `{{{{` for a brace"
                ));
            }
        };
        while !rest.is_empty() {
            let (key, after) = step(rest, path)?;
            rest = after;
            let missing = || format!("`{path}` has no `{key}`");
            value = match value {
                Cow::Borrowed(inner) => Cow::Borrowed(inside(inner, key).ok_or_else(missing)?),
                Cow::Owned(inner) => Cow::Owned(inside(&inner, key).ok_or_else(missing)?.clone()),
            };
        }
        Ok(value)
    }
}

/// The next `.key` or `[key]`, and what follows it.
fn step<'p>(rest: &'p str, path: &str) -> Result<(&'p str, &'p str), String> {
    let cut = if let Some(after) = rest.strip_prefix('.') {
        let end = after.find(['.', '[']).unwrap_or(after.len());
        after.split_at_checked(end)
    } else if let Some(after) = rest.strip_prefix('[') {
        after.split_once(']')
    } else {
        None
    };
    cut.filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| format!("`{path}` is no path to a variable; write `name.key` or `name[0]`"))
}

fn inside<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    match value {
        Value::Map(_) => value.key(key),
        Value::List(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    }
}
