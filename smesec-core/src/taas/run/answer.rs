//! An answer judged: status, headers, cookies, body, redirects, checks; and what is saved of it.

use super::compare::{compare, shown};
use super::{helpers, jmes};
use crate::decode::body::compress::{DecompressLimits, Decompressor, Encoding};
use crate::runner::Response;
use crate::taas::extension::Extension;
use crate::taas::tavern::{Section, Strict};
use crate::taas::url::form_pairs;
use crate::taas::value::{Kind, Token, Value};
use crate::time::Timestamp;
use std::fmt::Write as _;

/// An answer, its codings undone.
#[derive(Debug)]
pub(super) struct Answer<'r> {
    pub(super) response: &'r Response,
    pub(super) body: Vec<u8>,
    pub(super) json: Option<Value>,
    /// The names of the cookies that it sets.
    pub(super) cookies: Vec<String>,
}

/// What judging came to.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) failures: Vec<String>,
    pub(super) saved: Vec<(String, Value)>,
    pub(super) warnings: Vec<String>,
}

impl<'r> Answer<'r> {
    /// Takes an answer in.
    ///
    /// # Errors
    /// Says why its body cannot be decompressed.
    pub(super) fn new(response: &'r Response, cookies: Vec<String>) -> Result<Self, String> {
        let body = decoded(response)?;
        let json = Value::from_json(&body).ok();
        Ok(Self { response, body, json, cookies })
    }

    /// Judges it by a formatted `response`.
    pub(super) fn judge(
        &self,
        expected: &Value,
        strict: Strict,
        extension: Option<&dyn Extension>,
        now: Timestamp,
    ) -> Judged {
        let mut out = Judged::default();
        let field = |name: &str| expected.key(name).filter(|value| !matches!(value, Value::Null));
        self.status(field("status_code"), &mut out);
        if let Some(headers) = field("headers") {
            let lower = |value: &Value| match value {
                Value::Map(entries) => Value::Map(
                    entries.iter().map(|(k, v)| (k.to_ascii_lowercase(), v.clone())).collect(),
                ),
                other => other.clone(),
            };
            let setting = strict.of(Section::Headers);
            compare(&lower(headers), &self.headers(), setting, "headers", &mut out.failures);
        }
        for name in field("cookies").and_then(Value::items).unwrap_or_default() {
            let name = name.to_string();
            if !self.cookies.contains(&name) {
                out.failures.push(format!("the answer sets no cookie `{name}`"));
            }
        }
        if let Some(wanted) = field("json") {
            match self.json.as_ref().filter(|json| !matches!(json, Value::Null)) {
                Some(found) => {
                    compare(wanted, found, strict.of(Section::Json), "json", &mut out.failures);
                }
                // Where nothing is expected, nothing fits too, as in the format's own runner.
                None if !wanted.truth() => {}
                None => {
                    out.failures.push(format!("the body is no JSON, expected {}", shown(wanted)));
                }
            }
        }
        if let Some(wanted) = field("text") {
            let anything =
                matches!(wanted, Value::Token(t) if matches!(**t, Token::Any(Kind::Anything)));
            let found = Value::text(String::from_utf8_lossy(&self.body));
            if !anything && wanted.as_text() != found.as_text() {
                let (found, wanted) = (shown(&found), shown(wanted));
                out.failures.push(format!("the text is {found}, expected {wanted}"));
            }
        }
        if let Some(wanted) = field("redirect_query_params") {
            match self.redirect() {
                Some(found) => {
                    let setting = strict.of(Section::Query);
                    let path = "redirect_query_params";
                    compare(wanted, &found, setting, path, &mut out.failures);
                }
                None => {
                    out.failures.push("the answer leads nowhere: it has no `Location`".to_owned());
                }
            }
        }
        if let Some(checks) = field("verify_response_with") {
            for check in checks.items().unwrap_or(std::slice::from_ref(checks)) {
                if let Err(why) = helpers::call(check, self.response, &self.body, extension, now) {
                    let name = check.key("function").map(ToString::to_string).unwrap_or_default();
                    out.failures.push(format!("`{name}`: {why}"));
                }
            }
        }
        if let Some(save) = field("save") {
            self.save(save, extension, now, &mut out);
        }
        out
    }

    fn status(&self, wanted: Option<&Value>, out: &mut Judged) {
        let status = Value::Int(self.response.status.into());
        let fits = match wanted {
            None => self.response.status == 200,
            Some(Value::List(items)) => items.contains(&status),
            Some(single) => *single == status,
        };
        if !fits {
            let wanted = wanted.map_or_else(|| "200".to_owned(), shown);
            let mut why = format!("the status code is {status}, expected {wanted}");
            // What a server says about a refusal is what one needs to mend it.
            if (400..500).contains(&self.response.status) && !self.body.is_empty() {
                let text = Value::text(String::from_utf8_lossy(&self.body));
                let _ = write!(why, "; it says {}", shown(&text));
            }
            out.failures.push(why);
        }
    }

    /// The headers under names in small letters, repeated ones joined.
    fn headers(&self) -> Value {
        let mut out: Vec<(String, Value)> = Vec::new();
        for (name, value) in &self.response.headers {
            let name = name.to_ascii_lowercase();
            let value = String::from_utf8_lossy(value);
            match out.iter_mut().find(|(known, _)| *known == name) {
                Some((_, Value::Text(text))) => {
                    text.push_str(", ");
                    text.push_str(&value);
                }
                _ => out.push((name, Value::text(value))),
            }
        }
        Value::Map(out)
    }

    /// The parameters of the URL that a redirect leads to.
    fn redirect(&self) -> Option<Value> {
        let location = String::from_utf8_lossy(self.response.header("location")?).into_owned();
        let query = location.split('#').next()?.split_once('?').map_or("", |(_, query)| query);
        let mut out: Vec<(String, Value)> = Vec::new();
        for (name, value) in form_pairs(query) {
            match out.iter_mut().find(|(known, _)| *known == name) {
                Some((_, Value::List(items))) => items.push(Value::Text(value)),
                Some((_, known)) => {
                    let first = std::mem::take(known);
                    *known = Value::List(vec![first, Value::Text(value)]);
                }
                None => out.push((name, Value::Text(value))),
            }
        }
        Some(Value::Map(out))
    }

    fn save(
        &self,
        save: &Value,
        extension: Option<&dyn Extension>,
        now: Timestamp,
        out: &mut Judged,
    ) {
        for (from, wanted) in save.entries().unwrap_or_default() {
            if from == "$ext" {
                match helpers::call(wanted, self.response, &self.body, extension, now) {
                    Ok(Value::Map(entries)) => out.saved.extend(entries),
                    Ok(Value::Null) => {}
                    Ok(other) => out.failures.push(format!(
                        "the function behind `save` gave {}; give a mapping",
                        other.type_name()
                    )),
                    Err(why) => out.failures.push(format!("`save`: {why}")),
                }
                continue;
            }
            let entries = wanted.entries().unwrap_or_default();
            let whole = match from.as_str() {
                "json" => match &self.json {
                    Some(json) if json.truth() => json.clone(),
                    _ => {
                        out.failures.push("there is no JSON in the body to save from".to_owned());
                        continue;
                    }
                },
                "headers" => self.headers(),
                "redirect_query_params" => {
                    let Some(query) = self.redirect() else {
                        let why = "there is nothing to save: the answer has no `Location`";
                        out.failures.push(why.to_owned());
                        continue;
                    };
                    query
                }
                _ => continue,
            };
            for (name, path) in entries {
                let path = path.to_string();
                let found = if from == "json" {
                    jmes::search(&path, &whole)
                } else {
                    // Their names have hyphens, which are no path; quotes around them are allowed.
                    let key = path.trim_matches('"');
                    let key =
                        if from == "headers" { key.to_ascii_lowercase() } else { key.to_owned() };
                    Ok(whole.key(&key).cloned().unwrap_or_default())
                };
                match found {
                    Ok(value) => {
                        if matches!(value, Value::Null) {
                            out.warnings.push(format!(
                                "`{name}` is saved as null: the answer has nothing at `{path}`; check the path"
                            ));
                        }
                        out.saved.push((name.clone(), value));
                    }
                    Err(why) => out.failures.push(why),
                }
            }
        }
    }
}

/// The body without its content codings.
fn decoded(response: &Response) -> Result<Vec<u8>, String> {
    let coding = response.header("content-encoding").unwrap_or_default();
    let codings = coding.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    let mut body = response.body.clone();
    if body.is_empty() {
        return Ok(body);
    }
    // The last one was put on last.
    let codings: Vec<&[u8]> = codings.filter(|c| !c.is_empty() && *c != b"identity").collect();
    for coding in codings.iter().rev() {
        let Some(encoding) = Encoding::from_content_coding(coding) else { break };
        let mut out = Vec::new();
        let mut decompressor = Decompressor::new(encoding, DecompressLimits::default());
        decompressor
            .feed(&body, &mut out)
            .and_then(|()| decompressor.finish())
            .map_err(|e| format!("the body cannot be decompressed: {e}"))?;
        body = out;
    }
    Ok(body)
}
