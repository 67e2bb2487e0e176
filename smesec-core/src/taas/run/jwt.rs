//! JSON web tokens (RFC 7519) in answers: taken apart, their signature and their claims checked.

use super::signature;
use crate::taas::base64::{self, Alphabet};
use crate::taas::value::Value;
use crate::time::Timestamp;

/// Checks a token as the arguments ask, and gives its claims.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn check(
    token: &str,
    arguments: &[(String, Value)],
    now: Timestamp,
) -> Result<Value, String> {
    let argument =
        |name: &str| arguments.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let options = argument("options");
    let verify_signature = options.and_then(|o| o.key("verify_signature")).is_none_or(Value::truth);
    // Without the signature nothing else is verified unless it is asked for.
    let asked = |name: &str| {
        options.and_then(|options| options.key(name)).map_or(verify_signature, Value::truth)
    };
    let [head, body, signature] = <[&str; 3]>::try_from(token.split('.').collect::<Vec<_>>())
        .map_err(|_| "the token has not three parts; is it a JSON web token?".to_owned())?;
    let part = |text: &str, what: &str| {
        let bytes = base64url(text).ok_or_else(|| format!("the token's {what} is not Base64"))?;
        Value::from_json(&bytes).map_err(|e| format!("the token's {what} is no JSON: {e}"))
    };
    let head = part(head, "head")?;
    let claims = part(body, "claims")?;
    if claims.entries().is_none() {
        return Err("the token's claims are no mapping".to_owned());
    }
    if verify_signature {
        let algorithm = head.key("alg").and_then(Value::as_text).unwrap_or_default();
        let allowed = argument("algorithms").and_then(Value::items).unwrap_or_default();
        if !allowed.iter().any(|name| name.as_text() == Some(algorithm)) {
            let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            return Err(format!(
                "the token is signed with `{algorithm}`, allowed are: {}",
                names.join(", ")
            ));
        }
        let key = argument("key").map(ToString::to_string).unwrap_or_default();
        let signed = token.rsplit_once('.').map_or("", |(signed, _)| signed);
        let given = base64url(signature).ok_or("the token's signature is not Base64")?;
        signature::check(algorithm, &key, signed.as_bytes(), &given)?;
    }
    let seconds = now.unix_seconds();
    let leeway = argument("leeway").and_then(Value::number).unwrap_or(0.0);
    #[expect(clippy::cast_precision_loss, reason = "seconds of this era are exact in a float")]
    let now = seconds as f64;
    let time = |name: &str| claims.key(name).and_then(Value::number);
    if asked("verify_exp") && time("exp").is_some_and(|end| end <= now - leeway) {
        return Err("the token has expired".to_owned());
    }
    if asked("verify_nbf") && time("nbf").is_some_and(|start| start > now + leeway) {
        return Err("the token is not valid yet".to_owned());
    }
    if asked("verify_aud") {
        let held = listed(claims.key("aud"));
        let wanted = listed(argument("audience"));
        match (wanted.is_empty(), held.is_empty()) {
            (true, true) => {}
            (true, false) => {
                return Err(
                    "the token has an audience and none is expected; give `audience`".to_owned()
                );
            }
            _ if wanted.iter().any(|name| held.contains(name)) => {}
            _ => {
                return Err(format!(
                    "the token is for `{}`, expected `{}`",
                    held.join("`, `"),
                    wanted.join("`, `")
                ));
            }
        }
    }
    if let Some(issuer) = argument("issuer").filter(|_| asked("verify_iss"))
        && !listed(Some(issuer))
            .iter()
            .any(|name| claims.key("iss").map(ToString::to_string).as_ref() == Some(name))
    {
        return Err(format!("the token is not of the issuer `{issuer}`"));
    }
    for required in
        options.and_then(|o| o.key("require")).and_then(Value::items).unwrap_or_default()
    {
        if claims.key(&required.to_string()).is_none() {
            return Err(format!("the token has no claim `{required}`"));
        }
    }
    Ok(claims)
}

fn listed(value: Option<&Value>) -> Vec<String> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(items)) => items.iter().map(ToString::to_string).collect(),
        Some(single) => vec![single.to_string()],
    }
}

fn base64url(text: &str) -> Option<Vec<u8>> {
    base64::decode(text, Alphabet::Url)
}

#[cfg(test)]
mod tests {
    use super::*;

    // {"alg":"HS256","typ":"JWT"} {"sub":"1234567890","name":"John Doe","iat":1516239022}, key `your-256-bit-secret`:
    // the token that the format's home page shows.
    const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";

    fn checked(token: &str, arguments: &str) -> Result<Value, String> {
        let arguments = Value::from_json(arguments.as_bytes()).unwrap();
        check(token, arguments.entries().unwrap(), Timestamp::from_unix_seconds(1_516_239_100))
    }

    #[test]
    fn signatures_are_of_their_key_and_algorithm() {
        let good = checked(TOKEN, r#"{"key": "your-256-bit-secret", "algorithms": ["HS256"]}"#);
        assert_eq!(good.unwrap().key("sub"), Some(&Value::text("1234567890")));
        for (arguments, why) in [
            (r#"{"key": "other", "algorithms": ["HS256"]}"#, "not of this key"),
            (r#"{"key": "your-256-bit-secret", "algorithms": ["RS256"]}"#, "signed with `HS256`"),
            (r#"{"key": "your-256-bit-secret"}"#, "allowed are"),
            (
                r#"{"key": "your-256-bit-secret", "algorithms": ["HS256"], "audience": "x"}"#,
                "expected `x`",
            ),
        ] {
            let told = checked(TOKEN, arguments).unwrap_err();
            assert!(told.contains(why), "{arguments}: {told}");
        }
        assert!(checked(TOKEN, r#"{"options": {"verify_signature": false}}"#).is_ok());
    }

    #[test]
    fn broken_tokens_are_told() {
        for token in ["", "a.b", "a.b.c", "e30.W10.", "...."] {
            assert!(
                checked(token, r#"{"options": {"verify_signature": false}}"#).is_err(),
                "{token}"
            );
        }
    }
}
