//! As whom a stage acts: the one who signed in for the cookie, the token or the password that it sends.

use crate::mask;
use crate::runner::Request;
use crate::taas::base64::{self, Alphabet};
use crate::taas::secret::Secrets;
use crate::taas::value::Value;

/// Credentials that a test was given, and whose they are.
#[derive(Debug, Default)]
pub(super) struct People {
    /// A cookie's value or a token, and the user.
    known: Vec<(String, String)>,
}

/// Names under which a request says who signs in.
const USERS: &[&str] =
    &["username", "user", "user_name", "login", "email", "mail", "userid", "user_id", "name"];

/// Shorter values are no credentials; they would be found in every request.
const SHORTEST: usize = 6;

impl People {
    /// As whom a request acts; `nobody` where it carries no credential, and `None` where it carries one of
    /// unknown origin.
    pub(super) fn acting(&self, request: &Request, auth: Option<&str>) -> Option<String> {
        if let Some(user) = auth {
            return Some(user.to_owned());
        }
        let mut carries = false;
        for (name, value) in &request.headers {
            let secret =
                name.eq_ignore_ascii_case("cookie") || mask::is_secret_name(name.as_bytes());
            carries |= secret;
            let text = String::from_utf8_lossy(value);
            if let Some(user) = self.owner(&text) {
                return Some(user);
            }
        }
        if let Some(user) = self.owner(&request.url) {
            return Some(user);
        }
        (!carries).then(|| "nobody".to_owned())
    }

    fn owner(&self, text: &str) -> Option<String> {
        let newest = self.known.iter().rev();
        newest
            .clone()
            .find(|(value, _)| text.contains(value.as_str()))
            .map(|(_, user)| user.clone())
    }

    /// Takes in what a request proves somebody with. It is secret before it is sent: an error may echo it too.
    pub(super) fn learn_sent(headers: &[(String, Vec<u8>)], secrets: &mut Secrets) {
        for (name, value) in headers.iter().filter(|(name, _)| is_credential(name)) {
            let value = String::from_utf8_lossy(value);
            if name.eq_ignore_ascii_case("cookie") {
                let pairs = value.split(';').filter_map(|pair| pair.trim().split_once('='));
                pairs.for_each(|(name, value)| learn_cookie(name, value, secrets));
                continue;
            }
            let (scheme, token) = match value.trim().split_once(' ') {
                Some((scheme, token)) if is_scheme(scheme) => (scheme, token.trim()),
                _ => ("", value.trim()),
            };
            let basic = base64::decode(token, Alphabet::Standard)
                .filter(|_| scheme.eq_ignore_ascii_case("basic"));
            if let Some((_, password)) = basic
                .as_deref()
                .map(String::from_utf8_lossy)
                .as_deref()
                .and_then(|t| t.split_once(':'))
            {
                secrets.add(password);
            }
            if !is_plain_word(token) {
                secrets.add(token);
            }
        }
    }

    /// Takes in what an answer to a sign-in gave: cookies and tokens are then that user's, and secret.
    pub(super) fn learn(
        &mut self,
        request: &Value,
        cookies: &[(String, String)],
        answer: Option<&Value>,
        secrets: &mut Secrets,
    ) {
        let user = signs_in(request, secrets);
        let mut tokens = Vec::new();
        if let Some(answer) = answer {
            tokens_in(answer, "", 0, &mut tokens);
        }
        for (name, value) in cookies {
            if user.is_some() || mask::is_secret_name(name.as_bytes()) {
                tokens.push(value.as_str());
            }
        }
        for token in tokens.into_iter().filter(|token| token.len() >= SHORTEST) {
            secrets.add(token);
            if let Some(user) = &user {
                self.known.push((token.to_owned(), user.clone()));
            }
        }
    }
}

/// Takes in a cookie that is sent. Flags and languages travel in cookies too; what proves somebody is longer.
pub(super) fn learn_cookie(name: &str, value: &str, secrets: &mut Secrets) {
    const LONG: usize = 8;
    if value.len() >= LONG || mask::is_secret_name(name.as_bytes()) {
        secrets.add(value);
    }
}

/// Whether a header of that name says who asks.
fn is_credential(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    mask::is_secret_name(name.as_bytes())
        || lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "auth")
        || lower.contains("signature")
        || lower.contains("subscription-key")
}

/// The schemes of `Authorization` (IANA's registry), and what some services write in their place.
const SCHEMES: &[&str] = &[
    "basic",
    "bearer",
    "digest",
    "dpop",
    "gnap",
    "hawk",
    "hoba",
    "mutual",
    "negotiate",
    "ntlm",
    "vapid",
    "token",
    "apikey",
    "key",
    "jwt",
];

fn is_scheme(word: &str) -> bool {
    // Such as `AWS4-HMAC-SHA256`.
    let made_up = || word.contains("HMAC") || word.to_ascii_lowercase().starts_with("scram");
    SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) || made_up()
}

/// What headers of such names say without a secret; starred out, no report could be read.
fn is_plain_word(value: &str) -> bool {
    let words = ["true", "false", "null", "none"];
    is_scheme(value) || words.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Who signs in with a request: a password beside a name, or `auth`. The password becomes a secret.
fn signs_in(request: &Value, secrets: &mut Secrets) -> Option<String> {
    if let Some(auth) = request.key("auth") {
        let (user, password) = match auth {
            Value::List(items) => (items.first(), items.get(1)),
            map => (map.key("username"), map.key("password")),
        };
        if let Some(password) = password {
            secrets.add(password.to_string());
        }
        return user.map(ToString::to_string);
    }
    let mut found = None;
    for part in ["json", "data", "params"] {
        let Some(entries) = request.key(part).and_then(Value::entries) else { continue };
        let passwords = entries.iter().filter(|(key, _)| {
            let key = key.to_ascii_lowercase();
            key.contains("pass") || key == "pwd" || key.contains("secret")
        });
        let mut has = false;
        for (_, value) in passwords {
            has = true;
            secrets.add(value.to_string());
        }
        if has {
            let named = USERS.iter().find_map(|name| {
                entries.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, user)| user)
            });
            found = found.or_else(|| named.map(ToString::to_string));
        }
    }
    found
}

/// Texts of an answer under names of secrets, or that look like a JSON web token.
fn tokens_in<'v>(value: &'v Value, name: &str, depth: usize, out: &mut Vec<&'v str>) {
    const DEEPEST: usize = 8;
    const MOST: usize = 50;
    if depth > DEEPEST || out.len() > MOST {
        return;
    }
    match value {
        Value::Text(text) => {
            let is_jwt = text.starts_with("eyJ") && text.matches('.').count() == 2;
            if is_jwt || mask::is_secret_name(name.as_bytes()) {
                out.push(text);
            }
        }
        Value::List(items) => items.iter().for_each(|item| tokens_in(item, name, depth + 1, out)),
        Value::Map(entries) => {
            for (key, item) in entries {
                tokens_in(item, key, depth + 1, out);
            }
        }
        _ => {}
    }
}
