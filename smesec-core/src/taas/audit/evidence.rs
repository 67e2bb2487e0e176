//! Exchanges as a report may show them: whole enough to prove, without what is secret.

use super::leak;
use crate::mask::is_secret_name;
use crate::runner::{Exchange, Request, Response, TestStep};
use crate::taas::Secrets;
use serde_json::Value as Json;

/// Bytes of a body that a report keeps. 4 KiB: the fields that prove a finding, not the data set.
const MAX_BODY: usize = 4_096;

const MASKED: &str = "[masked]";

pub(super) fn step(step: &TestStep, secrets: &Secrets) -> TestStep {
    TestStep {
        name: secrets.masked(&step.name).into_owned(),
        acting_as: step.acting_as.clone(),
        exchanges: step.exchanges.iter().map(|e| exchange(e, secrets)).collect(),
        failures: step.failures.iter().map(|why| secrets.masked(why).into_owned()).collect(),
    }
}

fn exchange(exchange: &Exchange, secrets: &Secrets) -> Exchange {
    Exchange {
        request: request(&exchange.request, secrets),
        response: exchange.response.as_ref().map_err(Clone::clone).map(|response| Response {
            status: response.status,
            reason: response.reason.clone(),
            headers: headers(&response.headers, secrets),
            body: body(&response.body, secrets),
        }),
        elapsed: exchange.elapsed,
    }
}

pub(super) fn request(request: &Request, secrets: &Secrets) -> Request {
    Request {
        url: secrets.masked(&request.url).into_owned(),
        headers: headers(&request.headers, secrets),
        body: body(&request.body, secrets),
        ..request.clone()
    }
}

fn headers(headers: &[(String, Vec<u8>)], secrets: &Secrets) -> Vec<(String, Vec<u8>)> {
    let one = |(name, value): &(String, Vec<u8>)| {
        let text = String::from_utf8_lossy(value);
        let shown = match name.to_ascii_lowercase().as_str() {
            "set-cookie" => set_cookie(&text),
            "cookie" => {
                let pairs: Vec<String> =
                    text.split(';').map(|pair| without_value(pair.trim())).collect();
                pairs.join("; ")
            }
            "authorization" => match text.split_once(' ') {
                Some((scheme, _)) => format!("{scheme} {MASKED}"),
                None => MASKED.to_owned(),
            },
            lower if is_secret_name(lower.as_bytes()) => MASKED.to_owned(),
            _ => text.into_owned(),
        };
        (name.clone(), secrets.masked(&shown).into_owned().into_bytes())
    };
    headers.iter().map(one).collect()
}

/// The attributes stay: they are what the cookie checks are about.
fn set_cookie(text: &str) -> String {
    match text.split_once(';') {
        Some((pair, attributes)) => format!("{};{attributes}", without_value(pair)),
        None => without_value(text),
    }
}

fn without_value(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, value)) if !value.is_empty() => format!("{name}={MASKED}"),
        _ => pair.to_owned(),
    }
}

fn body(bytes: &[u8], secrets: &Secrets) -> Vec<u8> {
    let text = match serde_json::from_slice::<Json>(bytes) {
        Ok(mut json) if json.is_object() || json.is_array() => {
            mask_fields(&mut json);
            json.to_string()
        }
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    let mut shown = secrets.masked(&text).into_owned();
    for (_, value) in leak::known_by_shape(&text) {
        shown = shown.replace(value, MASKED);
    }
    if shown.len() > MAX_BODY {
        let end = (0..=MAX_BODY).rev().find(|at| shown.is_char_boundary(*at)).unwrap_or(0);
        shown.truncate(end);
        shown.push('…');
    }
    shown.into_bytes()
}

/// `serde_json` bounds the depth of what it reads.
fn mask_fields(json: &mut Json) {
    match json {
        Json::Array(items) => items.iter_mut().for_each(mask_fields),
        Json::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Json::Null => {}
                    _ if is_secret_name(name.as_bytes()) => *value = MASKED.into(),
                    _ => mask_fields(value),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_below_a_secret_name_goes_whole_and_hashes_go_under_any_name() {
        let sent = br#"{"token":{"value":"abc","kind":"x"},"password":["x"],"of":"$2b$12$abcdefghijklmnopqrstuv","n":1}"#;
        let shown = body(sent, &Secrets::default());
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert_eq!(shown, r#"{"n":1,"of":"[masked]","password":"[masked]","token":"[masked]"}"#);
    }

    #[test]
    fn secrets_stay_behind_and_proofs_go_out() {
        let mut secrets = Secrets::default();
        secrets.add("hunter2hunter2");
        let sent = Exchange {
            request: Request {
                method: "POST".into(),
                url: "http://a/x?p=hunter2hunter2".into(),
                headers: vec![
                    ("Authorization".into(), b"Bearer abc.def".to_vec()),
                    ("Cookie".into(), b"sid=123; theme=dark".to_vec()),
                ],
                body: br#"{"name":"alice","password":"pw","note":"hunter2hunter2"}"#.to_vec(),
                ..Request::default()
            },
            response: Ok(Response {
                status: 200,
                headers: vec![("Set-Cookie".into(), b"sid=456; Path=/; HttpOnly".to_vec())],
                body: format!("{}é", "x".repeat(4_095)).into_bytes(),
                ..Response::default()
            }),
            elapsed: std::time::Duration::ZERO,
        };
        let shown = format!("{:?}", exchange(&sent, &secrets).request.url);
        assert_eq!(shown, "\"http://a/x?p=[masked]\"");
        let told = exchange(&sent, &secrets);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let values: Vec<String> = told.request.headers.iter().map(|(_, v)| text(v)).collect();
        assert_eq!(values, ["Bearer [masked]", "sid=[masked]; theme=[masked]"]);
        let body: Json = serde_json::from_slice(&told.request.body).unwrap_or_default();
        let masked =
            serde_json::json!({"name": "alice", "note": "[masked]", "password": "[masked]"});
        assert_eq!(body, masked);
        let response = told.response.unwrap_or_default();
        assert!(response.headers.iter().any(|(_, v)| v == b"sid=[masked]; Path=/; HttpOnly"));
        assert!(text(&response.body).ends_with("x…"));
    }
}
