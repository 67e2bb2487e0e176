//! A stage's formatted request to what goes over the wire.

use super::multipart::{self, Part};
use crate::runner::{ConnectionOptions, Request, Trust};
use crate::taas::extension::{Call, Extension};
use crate::taas::files::Files;
use crate::taas::url::{Url, form_encoded};
use crate::taas::value::Value;
use std::path::PathBuf;
use std::time::Duration;

/// How long an answer may take where a stage does not say. Slow reports take some seconds; a server that
/// hangs shall not hold the run.
const DEADLINE: Duration = Duration::from_secs(30);

/// A request ready to be sent.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) request: Request,
    pub(super) url: Url,
    pub(super) deadline: Duration,
    pub(super) follow: bool,
    pub(super) end_session: bool,
    pub(super) cookies: Cookies,
    pub(super) auth: Option<Auth>,
}

/// Which cookies a request carries.
#[derive(Debug, PartialEq)]
pub(super) enum Cookies {
    /// Those of the jar that fit its URL.
    Jar,
    /// These: from the jar by name where there is no value.
    These(Vec<(String, Option<String>)>),
}

/// Who asks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Auth {
    pub(super) digest: bool,
    pub(super) user: String,
    pub(super) password: String,
}

/// Builds the request; `formatted` has its variables put in, and `file` is the test's file.
///
/// # Errors
/// Says what cannot be sent.
pub(super) fn build(formatted: &Value, files: &dyn Files, file: &str) -> Result<Ready, String> {
    let field = |name: &str| formatted.key(name).filter(|value| !matches!(value, Value::Null));
    let text = |name: &str| field(name).map(ToString::to_string);
    let flag = |name: &str| field(name).is_some_and(Value::truth);
    let mut url = Url::parse(&text("url").ok_or("a request needs a `url`")?)?;
    if let Some(params) = field("params") {
        url.add_query(&form(params)?);
    }
    let mut headers: Vec<(String, Vec<u8>)> = vec![
        ("User-Agent".to_owned(), concat!("smesec/", env!("CARGO_PKG_VERSION")).into()),
        ("Accept-Encoding".to_owned(), b"gzip, deflate".to_vec()),
        ("Accept".to_owned(), b"*/*".to_vec()),
    ];
    for (name, value) in field("headers").and_then(Value::entries).unwrap_or_default() {
        if matches!(value, Value::Null) {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            continue;
        }
        let value = value.to_string();
        if name.is_empty() || name.contains(|c: char| c.is_control() || c == ':' || c == ' ') {
            return Err(format!("`{name}` is no name of a header; check it"));
        }
        if value.contains(['\r', '\n', '\0']) {
            return Err(format!("the header `{name}` holds a line break; remove it"));
        }
        set(&mut headers, name, value.into_bytes());
    }
    let body = body(formatted, files, file, &mut headers)?;
    let mut auth = None;
    match field("auth") {
        Some(Value::List(items)) => {
            if let [user, password] = items.as_slice() {
                let (user, password) = (user.to_string(), password.to_string());
                auth = Some(Auth { digest: false, user, password });
            }
        }
        Some(given @ Value::Map(_)) => {
            let part = |name: &str| given.key(name).map(ToString::to_string).unwrap_or_default();
            for (name, value) in given.key("headers").and_then(Value::entries).unwrap_or_default() {
                set(&mut headers, name, value.to_string().into_bytes());
            }
            if given.key("username").is_some() {
                let digest = part("type") == "digest";
                auth = Some(Auth { digest, user: part("username"), password: part("password") });
            }
        }
        _ => {}
    }
    // As of old, a URL may say who asks; `auth` goes before it.
    if let (None, Some((user, password))) = (&auth, url.user.take()) {
        auth = Some(Auth { digest: false, user, password });
    }
    if let Some(Auth { digest: false, user, password }) = &auth {
        let basic = format!("Basic {}", base64(format!("{user}:{password}").as_bytes()));
        set(&mut headers, "Authorization", basic.into_bytes());
    }
    let (connect_deadline, deadline) = timeout(field("timeout"))?;
    let connection = ConnectionOptions {
        connect_deadline,
        trust: match field("verify") {
            Some(Value::Bool(false)) => Trust::Anybody,
            Some(Value::Text(path)) => Trust::File(PathBuf::from(path)),
            _ => Trust::System,
        },
        client_certificate: certificate(field("cert")),
    };
    let method = text("method").unwrap_or_else(|| "GET".to_owned());
    Ok(Ready {
        request: Request { method, url: url.to_string(), headers, body, connection },
        url,
        deadline,
        follow: flag("follow_redirects"),
        end_session: flag("clear_session_cookies"),
        cookies: cookies(formatted.key("cookies")),
        auth,
    })
}

fn body(
    formatted: &Value,
    files: &dyn Files,
    file: &str,
    headers: &mut Vec<(String, Vec<u8>)>,
) -> Result<Vec<u8>, String> {
    let field = |name: &str| formatted.key(name).filter(|value| !matches!(value, Value::Null));
    if let Some(uploads) = field("files") {
        let mut parts = Vec::new();
        for (name, value) in field("data").and_then(Value::entries).unwrap_or_default() {
            let each = value.items().unwrap_or(std::slice::from_ref(value));
            parts
                .extend(each.iter().map(|value| Part::field(name, value.to_string().into_bytes())));
        }
        for (field, upload) in upload_list(uploads) {
            parts.push(self::upload(field, upload, files, file)?);
        }
        let (boundary, body) = multipart::write(&parts);
        set_unless(headers, "Content-Type", format!("multipart/form-data; boundary={boundary}"));
        return Ok(body);
    }
    if let Some(name) = field("file_body") {
        let name = name.key("file_path").unwrap_or(name).to_string();
        let (_, bytes) = files.read(&name, file)?;
        let (kind, coding) = multipart::guess(&name);
        if let Some(kind) = kind {
            set_unless(headers, "Content-Type", kind.to_owned());
        }
        if let Some(coding) = coding {
            set_unless(headers, "Content-Encoding", coding.to_owned());
        }
        return Ok(bytes);
    }
    if let Some(json) = field("json") {
        let body = json.to_json()?;
        set_unless(headers, "Content-Type", "application/json".to_owned());
        return Ok(body.into_bytes());
    }
    Ok(match field("data") {
        None => Vec::new(),
        Some(Value::Bytes(bytes)) => bytes.clone(),
        Some(data @ Value::Map(_)) => {
            set_unless(headers, "Content-Type", "application/x-www-form-urlencoded".to_owned());
            form(data)?.into_bytes()
        }
        Some(data) => data.to_string().into_bytes(),
    })
}

/// The uploads with their fields, in their order.
fn upload_list(uploads: &Value) -> Vec<(&str, &Value)> {
    match uploads {
        Value::List(items) => items
            .iter()
            .map(|file| {
                let field = file.key("form_field_name").and_then(Value::as_text);
                (field.unwrap_or_default(), file)
            })
            .collect(),
        other => {
            let entries = other.entries().unwrap_or_default();
            entries
                .iter()
                .map(|(field, file)| {
                    let own = file.key("form_field_name").and_then(Value::as_text);
                    (own.unwrap_or(field), file)
                })
                .collect()
        }
    }
}

fn upload(field: &str, upload: &Value, files: &dyn Files, file: &str) -> Result<Part, String> {
    let name = upload.key("file_path").unwrap_or(upload).to_string();
    let (_, bytes) = files.read(&name, file)?;
    let (kind, coding) = multipart::guess(&name);
    let own = |key: &str| upload.key(key).map(ToString::to_string);
    let short = name.rsplit(['/', '\\']).next().unwrap_or(&name);
    Ok(Part {
        field: field.to_owned(),
        file: Some(short.to_owned()),
        content_type: own("content_type").or_else(|| kind.map(str::to_owned)),
        coding: own("content_encoding").or_else(|| coding.map(str::to_owned)),
        bytes,
    })
}

/// Pairs as a form: lists repeat their name, nothing is left out, mappings go as JSON.
fn form(value: &Value) -> Result<String, String> {
    let Some(entries) = value.entries() else { return Ok(form_encoded(&value.to_string())) };
    let mut out = String::new();
    for (name, value) in entries {
        let each = value.items().unwrap_or(std::slice::from_ref(value));
        for value in each.iter().filter(|value| !matches!(value, Value::Null)) {
            if !out.is_empty() {
                out.push('&');
            }
            out.push_str(&form_encoded(name));
            out.push('=');
            // A mapping is encoded for its own sake and again as part of the form; applications that take
            // JSON in a parameter from such files expect both.
            out.push_str(&match value {
                Value::Map(_) => form_encoded(&form_encoded(&value.to_json()?)),
                other => form_encoded(&other.to_string()),
            });
        }
    }
    Ok(out)
}

fn cookies(value: Option<&Value>) -> Cookies {
    let Some(items) = value.and_then(Value::items) else { return Cookies::Jar };
    let mut these = Vec::new();
    for item in items {
        match item {
            Value::Map(entries) => {
                these.extend(
                    entries.iter().map(|(name, value)| (name.clone(), Some(value.to_string()))),
                );
            }
            other => these.push((other.to_string(), None)),
        }
    }
    Cookies::These(these)
}

fn timeout(value: Option<&Value>) -> Result<(Option<Duration>, Duration), String> {
    let seconds = |value: &Value| {
        let number = value.number().and_then(|number| Duration::try_from_secs_f64(number).ok());
        number.ok_or_else(|| format!("the time-out `{value}` is no number of seconds"))
    };
    match value {
        None => Ok((None, DEADLINE)),
        Some(Value::List(items)) => match items.as_slice() {
            [connect, read] => Ok((Some(seconds(connect)?), seconds(read)?)),
            _ => Err("`timeout` is a number of seconds, or two: connect and read".to_owned()),
        },
        Some(single) => Ok((Some(seconds(single)?), seconds(single)?)),
    }
}

fn certificate(value: Option<&Value>) -> Option<(PathBuf, Option<PathBuf>)> {
    match value? {
        Value::List(items) => match items.as_slice() {
            [certificate, key] => {
                Some((certificate.to_string().into(), Some(key.to_string().into())))
            }
            _ => None,
        },
        single => Some((single.to_string().into(), None)),
    }
}

/// Sets a header, in the place of one of its name.
pub(super) fn set(headers: &mut Vec<(String, Vec<u8>)>, name: &str, value: Vec<u8>) {
    match headers.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        Some(known) => *known = (name.to_owned(), value),
        None => headers.push((name.to_owned(), value)),
    }
}

fn set_unless(headers: &mut Vec<(String, Vec<u8>)>, name: &str, value: String) {
    if !headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
        headers.push((name.to_owned(), value.into_bytes()));
    }
}

/// Standard Base64.
fn base64(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    crate::decode::transform::Transform::Base64Encode.apply(bytes, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A value with what its `$ext` functions give put in.
///
/// # Errors
/// What a function says, or that none of its name is offered.
pub(super) fn extended(value: Value, extension: Option<&dyn Extension>) -> Result<Value, String> {
    Ok(match value {
        Value::List(items) => Value::List(
            items.into_iter().map(|item| extended(item, extension)).collect::<Result<_, _>>()?,
        ),
        Value::Map(entries) => {
            let mut out = Vec::with_capacity(entries.len());
            let mut given = None;
            for (key, item) in entries {
                if key == "$ext" {
                    given = Some(call(&item, extension)?);
                } else {
                    out.push((key, extended(item, extension)?));
                }
            }
            match given {
                None => Value::Map(out),
                Some(whole) if out.is_empty() => whole,
                Some(Value::Map(more)) => {
                    for (key, item) in more {
                        out.retain(|(known, _)| *known != key);
                        out.push((key, item));
                    }
                    Value::Map(out)
                }
                Some(other) => {
                    return Err(format!(
                        "`$ext` stands among other keys and gave {}; give a mapping",
                        other.type_name()
                    ));
                }
            }
        }
        plain => plain,
    })
}

fn call(value: &Value, extension: Option<&dyn Extension>) -> Result<Value, String> {
    let function = value.key("function").unwrap_or(value).to_string();
    let extension = extension
        .ok_or_else(|| format!("the function `{function}` is not offered; hand in an extension"))?;
    let args = value.key("extra_args").and_then(Value::items).unwrap_or_default();
    let kwargs = value.key("extra_kwargs").and_then(Value::entries).unwrap_or_default();
    extension.call(&Call { function: &function, response: None, args, kwargs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taas::Memory;

    fn built(json: &str) -> Result<Ready, String> {
        let files =
            Memory::default().file("OK.json.gz", b"zz".to_vec()).file("a.txt", b"hi".to_vec());
        build(&Value::from_json(json.as_bytes()).unwrap(), &files, "t.yaml")
    }

    fn header<'r>(ready: &'r Ready, name: &str) -> Option<&'r str> {
        let found = ready.request.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    #[test]
    fn parameters_are_encoded_as_the_format_has_it() {
        let ready = built(r#"{"url": "http://h/p?z=0", "params": {"a": true, "b": [1, 2], "c": null, "d": {"x": 1}, "e": "a b&c"}}"#).unwrap();
        assert_eq!(
            ready.request.url,
            "http://h/p?z=0&a=True&b=1&b=2&d=%257B%2522x%2522%253A%2B1%257D&e=a+b%26c"
        );
        assert_eq!(ready.request.method, "GET");
    }

    #[test]
    fn bodies_have_their_types() {
        let json = built(r#"{"url": "http://h", "json": {"a": [1]}}"#).unwrap();
        assert_eq!(json.request.body, br#"{"a": [1]}"#);
        assert_eq!(header(&json, "content-type"), Some("application/json"));
        let form = built(r#"{"url": "http://h", "data": {"a": "x y", "b": [1, 2]}}"#).unwrap();
        assert_eq!(form.request.body, b"a=x+y&b=1&b=2");
        let raw = built(r#"{"url": "http://h", "data": "OK"}"#).unwrap();
        assert_eq!((raw.request.body.as_slice(), header(&raw, "content-type")), (&b"OK"[..], None));
        let file = built(r#"{"url": "http://h", "file_body": "OK.json.gz"}"#).unwrap();
        assert_eq!(header(&file, "content-type"), Some("application/json"));
        assert_eq!(header(&file, "content-encoding"), Some("gzip"));
        let null = built(r#"{"url": "http://h", "json": null}"#).unwrap();
        assert!(null.request.body.is_empty() && header(&null, "content-type").is_none());
    }

    #[test]
    fn credentials_cookies_and_times_are_read() {
        let ready = built(r#"{"url": "http://h", "auth": ["me", "pw"], "cookies": ["a", {"b": 1}], "timeout": [1, 2.5], "verify": false}"#).unwrap();
        assert_eq!(header(&ready, "authorization"), Some("Basic bWU6cHc="));
        let these = vec![("a".to_owned(), None), ("b".to_owned(), Some("1".to_owned()))];
        assert_eq!(ready.cookies, Cookies::These(these));
        assert_eq!(ready.deadline, Duration::from_millis(2_500));
        assert_eq!(ready.request.connection.trust, Trust::Anybody);
        let digest = built(
            r#"{"url": "http://h", "auth": {"type": "digest", "username": "u", "password": "p"}}"#,
        );
        assert!(digest.unwrap().auth.unwrap().digest);
    }

    #[test]
    fn a_url_may_say_who_asks_and_null_leaves_a_header_out() {
        let ready =
            built(r#"{"url": "http://me:p%77@h/x", "headers": {"Accept": null, "X": null}}"#);
        let ready = ready.unwrap();
        assert_eq!(header(&ready, "authorization"), Some("Basic bWU6cHc="));
        assert_eq!(ready.request.url, "http://h/x");
        assert_eq!((header(&ready, "accept"), header(&ready, "x")), (None, None));
        let ready = built(r#"{"url": "http://me:no@h/", "auth": ["me", "pw"]}"#).unwrap();
        assert_eq!(header(&ready, "authorization"), Some("Basic bWU6cHc="));
    }

    #[test]
    fn what_would_split_a_header_is_not_sent() {
        assert!(built(r#"{"url": "http://h", "headers": {"a": "b\r\nc: d"}}"#).is_err());
        assert!(built(r#"{"url": "http://h", "headers": {"a b": "c"}}"#).is_err());
        assert!(
            built(r#"{"url": "h/x"}"#).is_err()
                && built(r#"{"url": "http://h", "timeout": -1}"#).is_err()
        );
    }
}
