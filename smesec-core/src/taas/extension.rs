//! Functions and fixtures of the host's own, which test files call by name.

use super::value::Value;
use crate::runner::Response;

/// A call that a test makes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'c> {
    /// The function, such as `my_package.checks:is_paid`.
    pub function: &'c str,
    /// The answer, where the call judges or saves one.
    pub response: Option<&'c Response>,
    /// Arguments by position.
    pub args: &'c [Value],
    /// Arguments by name.
    pub kwargs: &'c [(String, Value)],
}

/// What the host offers to test files beyond the format: the functions behind `$ext`,
/// `verify_response_with` and `tinctures`, and fixtures.
///
/// A function behind `auth` gives a mapping: `{type: basic, username: …, password: …}`, `type: digest`
/// likewise, or `{headers: {…}}`.
pub trait Extension: Send + Sync {
    /// Whether a function of that name can be called. A test that needs one that cannot is skipped, and
    /// says so.
    fn offers(&self, function: &str) -> bool;
    /// Calls a function.
    ///
    /// # Errors
    /// Why it failed; a test whose check fails so has failed.
    fn call(&self, call: &Call<'_>) -> Result<Value, String>;
    /// Fixtures that every test has without asking for them: names and values.
    fn fixtures(&self) -> Vec<(String, Value)> {
        Vec::new()
    }
    /// The value of a fixture; `None` where it has none of that name.
    fn fixture(&self, _name: &str) -> Option<Value> {
        None
    }
}

/// Names of functions that a value calls: those under `$ext`.
pub(super) fn functions_in<'v>(value: &'v Value, out: &mut Vec<&'v str>) {
    match value {
        Value::List(items) => items.iter().for_each(|item| functions_in(item, out)),
        Value::Map(entries) => {
            for (key, item) in entries {
                match item.key("function").and_then(Value::as_text) {
                    Some(name) if key == "$ext" => out.push(name),
                    _ if key == "$ext" => out.extend(item.as_text()),
                    _ => functions_in(item, out),
                }
            }
        }
        _ => {}
    }
}
