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
    /// Whether tests may ask for a fixture of that name: those of [`Extension::fixture`], unless its values are known
    /// only when a test runs and come through [`Test::with_variables`](super::Test::with_variables).
    fn offers_fixture(&self, name: &str) -> bool {
        self.fixture(name).is_some()
    }
    /// Begins a tincture: calls its function before each try of a stage, with the stage as it stands in the file
    /// before the other arguments where the host's functions take one. What shall go on once the answer is there is
    /// given back.
    ///
    /// # Errors
    /// Why it failed; then the stage has failed.
    fn tincture(
        &self,
        call: &Call<'_>,
        _stage: &Value,
    ) -> Result<Option<Box<dyn Tincture>>, String> {
        self.call(call).map(|_| None)
    }
    /// Looks on at each request, its variables put in, before it is sent; what shall see the answer is given back.
    ///
    /// # Errors
    /// Why it failed; then the stage has failed.
    fn watch(&self, _request: &Value) -> Result<Option<Box<dyn Tincture>>, String> {
        Ok(None)
    }
}

/// What goes on after a stage's request.
pub trait Tincture {
    /// Sees what is expected, by protocol (`requests` or `paho-mqtt`), and the answer, its codings undone, before it is
    /// judged.
    ///
    /// # Errors
    /// What does not hold; then the stage has failed.
    fn finish(self: Box<Self>, expected: &Value, response: Option<&Response>)
    -> Result<(), String>;
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
