//! Secrets in answers: by the field they stand in, by their shape, and users' own passwords.

use super::description::Description;
use crate::runner::Response;
use serde_json::Value as Json;

/// A secret that an answer holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Leak {
    /// What it is; without the value, and in words that a password is seldom one of.
    pub(super) what: String,
    pub(super) value: String,
}

/// Secrets told of one answer: a list of users has as many as it has lines, and all are masked.
const MOST: usize = 1_000;

/// Answers of services nest some levels; deeper ones are not looked into.
const DEEPEST: usize = 32;

/// A password shorter than this is a word of any text, and is looked for as a whole value alone.
const SHORTEST: usize = 8;

/// The secrets that an answer holds. A sign-in's own answer may hold the token.
pub(super) fn found(response: &Response, description: &Description, signing_in: bool) -> Vec<Leak> {
    let text = String::from_utf8_lossy(&response.body);
    let json: Option<Json> = serde_json::from_slice(&response.body).ok();
    let mut out = Vec::new();
    for user in &description.users {
        let password = user.field("password");
        let whole = json.as_ref().is_some_and(|json| holds(json, password, 0));
        if !password.is_empty() && (whole || stands_alone(&text, password)) {
            out.push(Leak {
                what: format!("what `{}` signs in with is in the answer", user.id),
                value: password.to_owned(),
            });
        }
    }
    for (what, value) in known_by_shape(&text) {
        out.push(Leak { what: format!("{what} is in the answer"), value: value.to_owned() });
    }
    if let Some(json) = &json {
        fields(json, signing_in, 0, &mut out);
    }
    out.truncate(MOST);
    out
}

/// Whether a text is a value of the answer, whole.
fn holds(json: &Json, wanted: &str, depth: usize) -> bool {
    match json {
        _ if depth > DEEPEST => false,
        Json::String(text) => text == wanted,
        Json::Array(items) => items.iter().any(|item| holds(item, wanted, depth + 1)),
        Json::Object(fields) => fields.values().any(|item| holds(item, wanted, depth + 1)),
        _ => false,
    }
}

/// Whether a long enough text stands somewhere between signs that are no part of it. A word of the
/// language, such as the password `password`, is in many a text that gives nothing away.
fn stands_alone(text: &str, wanted: &str) -> bool {
    let only_letters = wanted.bytes().all(|b| b.is_ascii_alphabetic());
    if wanted.len() < SHORTEST || only_letters {
        return false;
    }
    text.match_indices(wanted).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + wanted.len()..).and_then(|text| text.chars().next());
        ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    })
}

/// Secrets that show by their shape what they are, wherever they stand.
pub(super) fn known_by_shape(text: &str) -> Vec<(&'static str, &str)> {
    const SIGNS: &[(&str, &str)] = &[
        ("$2a$", "a bcrypt hash"),
        ("$2b$", "a bcrypt hash"),
        ("$2y$", "a bcrypt hash"),
        ("$argon2", "an Argon2 hash"),
        ("$scrypt$", "an scrypt hash"),
        ("pbkdf2_sha256$", "a PBKDF2 hash"),
        ("pbkdf2:sha", "a PBKDF2 hash"),
        ("{SSHA}", "a salted SHA hash"),
    ];
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '&' | ';');
    let mut out = Vec::new();
    for (sign, what) in SIGNS {
        for (at, _) in text.match_indices(sign).take(MOST) {
            let value = text.get(at..).unwrap_or_default();
            let value = value.split(ends).next().unwrap_or_default();
            // The sign alone, as an explanation has it, is no hash.
            if value.len() >= sign.len() + 8 {
                out.push((*what, value));
            }
        }
    }
    for (at, mark) in text.match_indices("PRIVATE KEY-----").take(MOST) {
        let begin = text.get(..at).and_then(|head| head.rfind("-----BEGIN "));
        let Some(begin) = begin.filter(|begin| at - begin < 64) else { continue };
        let rest = text.get(at + mark.len()..).unwrap_or_default();
        let end = rest.find("-----END ").unwrap_or(rest.len());
        let value = text.get(begin..at + mark.len() + end).unwrap_or_default();
        if rest.bytes().take(end).filter(u8::is_ascii_alphanumeric).count() > 32 {
            out.push(("a private key", value));
        }
    }
    for (at, _) in text.match_indices("AKIA").take(MOST) {
        let key = text.get(at..at + 20).unwrap_or_default();
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
        if key.chars().all(is_part) && !key.is_empty() && !before.is_some_and(is_part) {
            out.push(("a cloud access key", key));
        }
    }
    out
}

/// Fields that are secrets by their name and have a value.
fn fields(json: &Json, signing_in: bool, depth: usize, out: &mut Vec<Leak>) {
    if depth > DEEPEST || out.len() >= MOST {
        return;
    }
    match json {
        Json::Array(items) => {
            items.iter().for_each(|item| fields(item, signing_in, depth + 1, out));
        }
        Json::Object(entries) => {
            for (name, value) in entries {
                match value {
                    Json::String(text) if is_secret(name, signing_in) && !stands_in(text) => {
                        out.push(Leak {
                            what: format!("the field `{name}` has a value"),
                            value: text.clone(),
                        });
                    }
                    other => fields(other, signing_in, depth + 1, out),
                }
            }
        }
        _ => {}
    }
}

fn is_secret(name: &str, signing_in: bool) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    matches!(
        plain.as_str(),
        "password"
            | "passwd"
            | "passwordhash"
            | "hashedpassword"
            | "pwhash"
            | "passwordsalt"
            | "privatekey"
            | "secretkey"
            | "clientsecret"
            | "totpsecret"
            | "mfasecret"
            | "otpsecret"
    ) || (!signing_in && matches!(plain.as_str(), "resettoken" | "passwordresettoken"))
}

/// Whether a value only says that there is one: nothing, stars, `[redacted]`, `<hidden>`.
fn stands_in(text: &str) -> bool {
    let text = text.trim();
    let inner = [("[", "]"), ("<", ">"), ("(", ")")].iter().find_map(|(open, close)| {
        text.strip_prefix(open)?.strip_suffix(close).map(str::to_ascii_lowercase)
    });
    let is_word = |word: &str| {
        ["redacted", "hidden", "masked", "removed", "filtered", "omitted", "confidential", "secret"]
            .contains(&word)
    };
    text.chars().all(|c| matches!(c, '*' | '•' | '.' | '#' | '-'))
        || inner.as_deref().is_some_and(is_word)
        || is_word(&text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_secrets_by_their_name_and_value() {
        let told = |json: Json| {
            let mut out = Vec::new();
            fields(&json, false, 0, &mut out);
            out.into_iter().map(|leak| leak.value).collect::<Vec<_>>()
        };
        assert_eq!(
            told(json!({"users": [{"passwordHash": "x"}, {"passwordHash": "y"}]})),
            ["x", "y"]
        );
        assert_eq!(told(json!({"client_secret": "abc"})), ["abc"]);
        let none = Vec::<String>::new();
        assert_eq!(
            told(json!({"password": "", "password_hint": "x", "password_hash": null})),
            none
        );
        for stand_in in ["******", "[redacted]", "<hidden>", "REDACTED", "[Filtered]"] {
            assert_eq!(told(json!({"password": stand_in, "token": "x"})), none, "{stand_in}");
        }
    }

    #[test]
    fn a_password_is_a_whole_value_or_stands_alone() {
        assert!(stands_alone("login: pa55word!x;", "pa55word!x"));
        assert!(!stands_alone("xpa55word!x", "pa55word!x"));
        assert!(!stands_alone(r#"{"passwordChangedAt": 1}"#, "password"));
        assert!(!stands_alone("enter your password here", "password"));
        assert!(holds(&json!({"a": [{"b": "password"}]}), "password", 0));
        assert!(!holds(&json!({"password": "no"}), "password", 0));
    }

    #[test]
    fn shapes_are_found_with_their_values() {
        let text = "h=$2b$12$abcdefghijklmnopqrstuv; k=AKIAABCDEFGHIJKLMNOP, see $2b$ and AKIA";
        let found = known_by_shape(text);
        let values: Vec<&str> = found.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, ["$2b$12$abcdefghijklmnopqrstuv", "AKIAABCDEFGHIJKLMNOP"]);
        let key = format!("-----BEGIN RSA PRIVATE KEY-----\\n{}\\n-----END RSA", "Ab9".repeat(20));
        assert!(known_by_shape(&key).iter().all(|(_, value)| value.contains("Ab9Ab9")));
        assert_eq!(known_by_shape("-----BEGIN PRIVATE KEY----- goes here"), []);
    }
}
