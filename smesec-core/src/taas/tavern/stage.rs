//! Stages: one request with what is expected of its answer.

use super::document::Told;
use super::value::value;
use crate::decode::yaml::{Node, Place};
use crate::taas::value::Value;

/// One stage, its variables not yet put in.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) id: Option<String>,
    pub(crate) skip: Value,
    pub(crate) only: bool,
    pub(crate) max_retries: Value,
    pub(crate) delay_before: Value,
    pub(crate) delay_after: Value,
    pub(crate) tinctures: Vec<Value>,
    pub(crate) action: Action,
}

/// What a stage does.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Sends a request; without a response nothing of the answer is checked.
    Http { request: Value, response: Option<Value>, strict: Option<Strict> },
    /// Publishes a message, waits for messages, or both.
    Message { publish: Option<Value>, awaited: Vec<Value> },
}

/// How exactly each part of an answer is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Strict {
    json: Option<Setting>,
    headers: Option<Setting>,
    query: Option<Setting>,
}

/// A part of an answer that can be compared strictly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Section {
    Json,
    Headers,
    Query,
}

/// How exactly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Setting {
    /// Nothing more and in this order.
    On,
    /// At least this, lists in this order.
    Off,
    /// At least this, lists in any order.
    AnyOrder,
}

impl Strict {
    pub(crate) const DEFAULT: Self = Self { json: None, headers: None, query: None };

    /// Reads `strict`; the schema has judged it.
    pub(super) fn read(node: &Value) -> Self {
        let mut strict = Self::DEFAULT;
        if let Value::Bool(flag) = node {
            let setting = Some(if *flag { Setting::On } else { Setting::Off });
            return Self { json: setting, headers: setting, query: setting };
        }
        for word in node.items().unwrap_or_default().iter().filter_map(Value::as_text) {
            let (section, setting) = word.split_once(':').unwrap_or((word, ""));
            let setting = match setting {
                "on" => Some(Setting::On),
                "off" => Some(Setting::Off),
                "list_any_order" => Some(Setting::AnyOrder),
                // A bare word keeps the default of its part.
                _ => None,
            };
            match section {
                "json" => strict.json = setting,
                "headers" => strict.headers = setting,
                "redirect_query_params" => strict.query = setting,
                _ => {}
            }
        }
        strict
    }

    /// The setting for a part: bodies are exact unless told otherwise, the rest is not.
    pub(crate) fn of(self, section: Section) -> Setting {
        match section {
            Section::Json => self.json.unwrap_or(Setting::On),
            Section::Headers => self.headers.unwrap_or(Setting::Off),
            Section::Query => self.query.unwrap_or(Setting::Off),
        }
    }
}

impl Stage {
    /// Reads a stage that the schema has judged.
    ///
    /// # Errors
    /// Names a tag that cannot be read.
    pub(super) fn read(node: &Node) -> Result<Self, Told> {
        let field = |name: &str| node.key(name).map(value).transpose();
        let own = |name: &str| Ok::<Value, Told>(field(name)?.unwrap_or_default());
        let list = |name: &str| {
            Ok::<Vec<Value>, Told>(match field(name)? {
                None => Vec::new(),
                Some(Value::List(items)) => items,
                Some(single) => vec![single],
            })
        };
        let action = match field("request")? {
            Some(request) => {
                let response = field("response")?;
                let strict = response.as_ref().and_then(|r| r.key("strict")).map(Strict::read);
                Action::Http { request, response, strict }
            }
            None => {
                Action::Message { publish: field("mqtt_publish")?, awaited: list("mqtt_response")? }
            }
        };
        Ok(Self {
            name: node.key("name").and_then(Node::as_str).unwrap_or_default().to_owned(),
            place: node.place,
            id: node.key("id").and_then(Node::as_str).map(str::to_owned),
            skip: own("skip")?,
            only: own("only")?.truth(),
            max_retries: own("max_retries")?,
            delay_before: own("delay_before")?,
            delay_after: own("delay_after")?,
            tinctures: list("tinctures")?,
            action,
        })
    }

    /// What of it a tincture is shown: its name, and its request and response as they stand in the file.
    pub(crate) fn shown(&self) -> Value {
        let mut entries = vec![("name".to_owned(), Value::text(self.name.as_str()))];
        let mut add = |key: &str, value: Option<&Value>| {
            entries.extend(value.map(|value| (key.to_owned(), value.clone())));
        };
        match &self.action {
            Action::Http { request, response, .. } => {
                add("request", Some(request));
                add("response", response.as_ref());
            }
            Action::Message { publish, awaited } => {
                add("mqtt_publish", publish.as_ref());
                let awaited = (!awaited.is_empty()).then(|| Value::List(awaited.clone()));
                add("mqtt_response", awaited.as_ref());
            }
        }
        Value::Map(entries)
    }

    /// The functions that it calls.
    pub(super) fn functions(&self) -> Vec<&str> {
        let mut out = Vec::new();
        for value in &self.tinctures {
            out.extend(value.key("function").and_then(Value::as_text));
        }
        match &self.action {
            Action::Http { request, response, .. } => {
                crate::taas::extension::functions_in(request, &mut out);
                if let Some(response) = response {
                    in_checks(response, &mut out);
                }
            }
            Action::Message { publish, awaited } => {
                if let Some(publish) = publish {
                    crate::taas::extension::functions_in(publish, &mut out);
                }
                for one in awaited {
                    in_checks(one, &mut out);
                }
            }
        }
        out
    }
}

/// The functions that check or save an answer.
fn in_checks<'v>(response: &'v Value, out: &mut Vec<&'v str>) {
    crate::taas::extension::functions_in(response, out);
    if let Some(checks) = response.key("verify_response_with") {
        let each = checks.items().map_or_else(|| vec![checks], |items| items.iter().collect());
        out.extend(each.into_iter().filter_map(|check| check.key("function")?.as_text()));
    }
}
