//! From a template to a request.

use super::description::{Base, Body, Template};
use crate::runner::{ConnectionOptions, Request};
use serde_json::Value as Json;
use std::fmt::Write as _;

/// What placeholders stand for, by name.
pub(super) type Fill = Vec<(String, Json)>;

/// A request of the template below the base, its placeholders filled. A placeholder that is a whole
/// JSON string may become a value of any kind, which is how an operator gets into a login.
pub(super) fn build(base: &Base, template: &Template, fill: &Fill) -> Request {
    let path = filled(&template.path, fill, &percent);
    let authority = match base.port {
        Some(port) => format!("{}:{port}", base.host),
        None => base.host.clone(),
    };
    let url = if path.starts_with('/') {
        format!("{}://{authority}{}{path}", base.scheme, base.prefix)
    } else {
        path
    };
    let mut headers = vec![("Accept".to_owned(), b"application/json, */*;q=0.5".to_vec())];
    for (name, value) in &template.headers {
        let plain = |text: &str| text.replace(['\r', '\n'], " ");
        headers.push((name.clone(), filled(value, fill, &plain).into_bytes()));
    }
    let mut with_type = |kind: &str| {
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("Content-Type".to_owned(), kind.as_bytes().to_vec()));
        }
    };
    let body = match &template.body {
        Body::None => Vec::new(),
        Body::Json(json) => {
            with_type("application/json");
            filled_json(json, fill).to_string().into_bytes()
        }
        Body::Form(fields) => {
            with_type("application/x-www-form-urlencoded");
            form(fields, fill).into_bytes()
        }
    };
    Request {
        method: template.method.clone(),
        url,
        headers,
        body,
        connection: ConnectionOptions { trust: base.trust.clone(), ..ConnectionOptions::default() },
    }
}

/// Replaces a header, or adds it.
pub(super) fn set_header(request: &mut Request, name: &str, value: impl Into<Vec<u8>>) {
    let value = value.into();
    match request.headers.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        Some((_, old)) => *old = value,
        None => request.headers.push((name.to_owned(), value)),
    }
}

fn form(fields: &[(String, String)], fill: &Fill) -> String {
    let mut out = String::new();
    let mut pair = |name: &str, value: &str| {
        let separator = if out.is_empty() { "" } else { "&" };
        let _ = write!(out, "{separator}{}={}", percent(name), percent(value));
    };
    for (name, value) in fields {
        match whole(value, fill) {
            // As PHP and Express read nested names.
            Some(Json::Object(operators)) => {
                for (operator, value) in operators {
                    pair(&format!("{name}[{operator}]"), &as_text(value));
                }
            }
            _ => pair(name, &filled(value, fill, &str::to_owned)),
        }
    }
    out
}

/// Depth is bounded by the YAML reader's.
fn filled_json(json: &Json, fill: &Fill) -> Json {
    match json {
        Json::String(text) => match whole(text, fill) {
            Some(value) => value.clone(),
            None => filled(text, fill, &str::to_owned).into(),
        },
        Json::Array(items) => items.iter().map(|item| filled_json(item, fill)).collect(),
        Json::Object(fields) => Json::Object(
            fields.iter().map(|(name, value)| (name.clone(), filled_json(value, fill))).collect(),
        ),
        other => other.clone(),
    }
}

/// The value of a text that is one placeholder and nothing else.
fn whole<'f>(text: &str, fill: &'f Fill) -> Option<&'f Json> {
    let name = text.strip_prefix('{')?.strip_suffix('}')?;
    fill.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn filled(text: &str, fill: &Fill, encode: &dyn Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let value = after.split_once('}').and_then(|(name, after)| {
            let value = fill.iter().find(|(known, _)| known == name)?;
            Some((encode(&as_text(&value.1)), after))
        });
        if let Some((value, after)) = value {
            out.push_str(&value);
            rest = after;
        } else {
            out.push('{');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

fn as_text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub(super) fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn placeholders_are_encoded_for_where_they_stand() {
        let base = Base {
            scheme: "http".into(),
            host: "127.0.0.1".into(),
            port: Some(8080),
            prefix: "/api".into(),
            trust: crate::runner::Trust::System,
        };
        let mut template = Template {
            method: "POST".into(),
            path: "/things/{id}?to={url}&{kept}".into(),
            headers: vec![("X-Who".into(), "{name}".into())],
            body: Body::Json(
                json!({"name": "{name}", "hint": "I am {name}", "password": "{password}"}),
            ),
            admits: Vec::new(),
            line: 1,
        };
        let fill: Fill = vec![
            ("id".into(), json!("1/2")),
            ("url".into(), json!("https://a.example/?b")),
            ("name".into(), json!("al\r\nice")),
            ("password".into(), json!({"$ne": null})),
        ];
        let request = build(&base, &template, &fill);
        assert_eq!(
            request.url,
            "http://127.0.0.1:8080/api/things/1%2F2?to=https%3A%2F%2Fa.example%2F%3Fb&{kept}"
        );
        assert!(
            request.headers.contains(&("X-Who".into(), b"al  ice".to_vec())),
            "no header splits"
        );
        let body: Json = serde_json::from_slice(&request.body).unwrap_or_default();
        assert_eq!(
            body,
            json!({"name": "al\r\nice", "hint": "I am al\r\nice", "password": {"$ne": null}})
        );
        template.body =
            Body::Form(vec![("u".into(), "{name}".into()), ("p".into(), "{password}".into())]);
        let request = build(&base, &template, &fill);
        assert_eq!(String::from_utf8_lossy(&request.body), "u=al%0D%0Aice&p%5B%24ne%5D=null");
    }
}
