//! JSON Web Tokens (RFC 7515, RFC 7519), taken apart and forged by hand: a library would refuse to
//! make what an audit has to send.

use crate::decode::digest::hmac_sha256;
use crate::decode::transform::Transform;
use serde_json::{Value as Json, json};

/// The token of a dry run: HS256 under a secret of the list, so that every forgery is listed.
pub(super) const SAMPLE: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJkcnktcnVuIiwiZXhwIjo0MTAyNDQ0ODAwfQ.k6n0vDohzZhAiteAurO2bMi3uX7FQzkCOtq1DuqmoyE";

/// Secrets that have been found to sign tokens: defaults of tutorials and frameworks, and the
/// shortest of lists.
const WORDS: &[&str] = &[
    "secret",
    "Secret",
    "SECRET",
    "secretkey",
    "secret-key",
    "secret_key",
    "SECRET_KEY",
    "mysecret",
    "my-secret",
    "my_secret",
    "mysecretkey",
    "my-secret-key",
    "supersecret",
    "super-secret",
    "super_secret",
    "supersecretkey",
    "topsecret",
    "jwt",
    "jwtsecret",
    "jwt-secret",
    "jwt_secret",
    "JWT_SECRET",
    "jwtkey",
    "jwt_key",
    "token",
    "tokensecret",
    "token-secret",
    "access",
    "accesssecret",
    "access-token-secret",
    "refresh",
    "auth",
    "authsecret",
    "session",
    "sessionsecret",
    "key",
    "mykey",
    "privatekey",
    "private_key",
    "signingkey",
    "signing-key",
    "signing_secret",
    "shhh",
    "shhhh",
    "shhhhh",
    "hush",
    "password",
    "Password",
    "password1",
    "password123",
    "passw0rd",
    "Passw0rd",
    "admin",
    "admin123",
    "administrator",
    "root",
    "toor",
    "test",
    "test123",
    "testsecret",
    "testing",
    "demo",
    "example",
    "sample",
    "changeme",
    "change-me",
    "change_me",
    "changeit",
    "please-change-me",
    "default",
    "development",
    "dev",
    "devsecret",
    "production",
    "local",
    "node",
    "express",
    "nodejs",
    "django-insecure",
    "flask",
    "laravel",
    "spring",
    "rails",
    "symfony",
    "hello",
    "helloworld",
    "hello world",
    "123",
    "1234",
    "12345",
    "123456",
    "1234567",
    "12345678",
    "123456789",
    "1234567890",
    "0123456789",
    "qwerty",
    "qwerty123",
    "abc",
    "abc123",
    "abcdef",
    "letmein",
    "welcome",
    "iloveyou",
    "foo",
    "bar",
    "foobar",
    "baz",
    "xxx",
    "none",
    "null",
    "undefined",
    "true",
    "a",
    "s3cr3t",
    "S3cr3t",
    "sup3rs3cr3t",
    "your-256-bit-secret",
    "your-secret-key",
    "your_secret_key",
    "your-secret",
    "some-secret",
    "somesecret",
    "mytoken",
    "application",
    "app",
    "appsecret",
    "app-secret",
    "api",
    "apikey",
    "api-key",
    "api_secret",
    "server",
    "backend",
    "company",
    "0",
    "1",
    "00000000",
    "11111111",
    " ",
    "",
];

/// A token taken apart.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Token {
    header: Json,
    claims: Json,
    signed: String,
    signature: Vec<u8>,
}

impl Token {
    /// `None` for what is no JSON Web Token.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let object = |part: &str| {
            let json: Json = serde_json::from_slice(&decode(part)?).ok()?;
            json.is_object().then_some(json)
        };
        Some(Self {
            header: object(header)?,
            claims: object(claims)?,
            signed: format!("{header}.{claims}"),
            signature: decode(signature)?,
        })
    }

    /// The algorithm that its header names.
    pub(super) fn algorithm(&self) -> &str {
        self.header.get("alg").and_then(Json::as_str).unwrap_or_default()
    }

    /// When it expires, in seconds since 1970.
    pub(super) fn expires(&self) -> Option<i64> {
        let exp = self.claims.get("exp")?;
        exp.as_i64().or_else(|| whole_seconds(exp.as_f64()?))
    }

    /// The same claims under an algorithm of no signature, in the spellings that filters miss.
    pub(super) fn without_algorithm(&self) -> Vec<String> {
        let spelled = ["none", "None", "NONE", "nOnE"];
        spelled.iter().map(|alg| format!("{}.", self.body(alg, &self.claims))).collect()
    }

    /// The same claims, their signature broken: a bit turned, taken away, and kept while the
    /// claims change.
    pub(super) fn badly_signed(&self) -> Vec<String> {
        let mut turned = self.signature.clone();
        if let Some(first) = turned.first_mut() {
            *first ^= 1;
        }
        let mut claims = self.claims.clone();
        if let Json::Object(fields) = &mut claims {
            fields.insert("smesec".to_owned(), json!(true));
        }
        vec![
            format!("{}.{}", self.signed, encode(&turned)),
            format!("{}.", self.signed),
            format!("{}.{}", self.body(self.algorithm(), &claims), encode(&self.signature)),
        ]
    }

    /// The same claims signed anew with HS256 under `key`.
    pub(super) fn signed_with(&self, key: &[u8]) -> String {
        sign(&self.body("HS256", &self.claims), key)
    }

    /// The claims an hour after their end. `seconds` is now, since 1970.
    pub(super) fn expired(&self, seconds: i64) -> Self {
        let mut other = self.clone();
        if let Json::Object(fields) = &mut other.claims {
            fields.insert("exp".to_owned(), json!(seconds - 3_600));
            for earlier in ["iat", "nbf"] {
                if fields.contains_key(earlier) {
                    fields.insert(earlier.to_owned(), json!(seconds - 7_200));
                }
            }
        }
        other
    }

    /// This token under a signature that nobody has made, for targets that check none.
    pub(super) fn unsigned(&self) -> String {
        format!("{}.{}", self.body(self.algorithm(), &self.claims), encode(&[0x5a; 32]))
    }

    /// Whether `key` signed it (HS256).
    pub(super) fn is_signed_with(&self, key: &[u8]) -> bool {
        hmac_sha256(key, self.signed.as_bytes()).as_slice() == self.signature
    }

    /// The secret that signed it, if a list has it.
    pub(super) fn guess<'w>(&self, further: impl Iterator<Item = &'w str>) -> Option<String> {
        let mut words = WORDS.iter().copied().chain(further);
        words.find(|word| self.is_signed_with(word.as_bytes())).map(str::to_owned)
    }

    fn body(&self, algorithm: &str, claims: &Json) -> String {
        let mut header = self.header.clone();
        if let Json::Object(fields) = &mut header {
            fields.insert("alg".to_owned(), algorithm.into());
        }
        format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        )
    }
}

fn sign(body: &str, key: &[u8]) -> String {
    format!("{body}.{}", encode(&hmac_sha256(key, body.as_bytes())))
}

#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and a far date is a far date")]
fn whole_seconds(seconds: f64) -> Option<i64> {
    seconds.is_finite().then_some(seconds as i64)
}

/// Base64 with the alphabet of URLs, without padding.
fn encode(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    Transform::Base64Encode.apply(bytes, &mut out);
    let text = String::from_utf8(out).unwrap_or_default();
    text.trim_end_matches('=').replace('+', "-").replace('/', "_")
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !text.bytes().all(alphabet) || text.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::new();
    Transform::Base64DecodeExt.apply(text.as_bytes(), &mut out);
    Some(out)
}

/// The texts of a public key that a confused server may take for the secret: as it stands, without
/// and with a line end.
pub(super) fn key_texts(pem: &str) -> Vec<String> {
    let trimmed = pem.trim();
    let mut texts = vec![pem.to_owned()];
    for text in [trimmed.to_owned(), format!("{trimmed}\n")] {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

/// The keys of a JWK set (RFC 7517) as PEM: RSA, and elliptic curves of 256 bits.
pub(super) fn keys_of_jwks(body: &[u8]) -> Vec<String> {
    let Ok(json) = serde_json::from_slice::<Json>(body) else { return Vec::new() };
    let keys = json.get("keys").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    keys.iter().filter_map(|key| Some(pem(&key_info(key)?))).collect()
}

/// A `SubjectPublicKeyInfo` (RFC 5280) in DER.
fn key_info(key: &Json) -> Option<Vec<u8>> {
    const RSA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0];
    const EC_P256: &[u8] = &[
        0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
    ];
    let number = |name: &str| decode(key.get(name)?.as_str()?);
    let (algorithm, point) = match key.get("kty")?.as_str()? {
        "RSA" => {
            let parts = [integer(&number("n")?), integer(&number("e")?)].concat();
            (RSA, der(0x30, &parts))
        }
        "EC" if key.get("crv")?.as_str()? == "P-256" => {
            (EC_P256, [&[4][..], &number("x")?, &number("y")?].concat())
        }
        _ => return None,
    };
    let bits = der(0x03, &[&[0][..], &point].concat());
    Some(der(0x30, &[der(0x30, algorithm), bits].concat()))
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let bytes = bytes.iter().position(|b| *b != 0).and_then(|at| bytes.get(at..)).unwrap_or(&[0]);
    let padded = bytes.first().is_some_and(|b| *b >= 0x80);
    der(0x02, &if padded { [&[0][..], bytes].concat() } else { bytes.to_vec() })
}

fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len().to_be_bytes();
    let significant = length.iter().position(|b| *b != 0).and_then(|at| length.get(at..));
    let significant = significant.unwrap_or(&[0]);
    let mut out = vec![tag];
    match significant {
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(value);
    out
}

fn pem(info: &[u8]) -> String {
    let mut encoded = Vec::new();
    Transform::Base64Encode.apply(info, &mut encoded);
    let lines: Vec<String> =
        encoded.chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7515, appendix A.1, and its key.
    const RFC: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const RFC_KEY: &str =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

    #[test]
    fn signatures_are_those_of_the_standard() {
        let token = Token::parse(RFC).unwrap();
        assert_eq!((token.algorithm(), token.expires()), ("HS256", Some(1_300_819_380)));
        let key = decode(RFC_KEY).unwrap();
        assert!(token.is_signed_with(&key) && !token.is_signed_with(b"secret"));
        let again = Token::parse(&token.signed_with(&key)).unwrap();
        assert!(again.is_signed_with(&key) && again.claims == token.claims);
    }

    #[test]
    fn each_forgery_differs_where_it_should_and_nowhere_else() {
        let token = Token::parse(SAMPLE).unwrap();
        assert_eq!(token.guess(std::iter::empty()).as_deref(), Some("secret"));
        for forged in token.without_algorithm() {
            assert!(forged.ends_with('.'));
            let forged = Token::parse(&forged).unwrap();
            assert!(forged.algorithm().eq_ignore_ascii_case("none"));
            assert_eq!((forged.claims, forged.signature), (token.claims.clone(), Vec::new()));
        }
        for forged in token.badly_signed() {
            assert!(!Token::parse(&forged).unwrap().is_signed_with(b"secret"), "{forged}");
        }
        let late = token.expired(10_000);
        assert_eq!(late.expires(), Some(6_400));
        assert!(Token::parse(&late.signed_with(b"secret")).unwrap().is_signed_with(b"secret"));
        assert!(!Token::parse(&late.unsigned()).unwrap().is_signed_with(b"secret"));
        let unknown = token.signed_with(b"4c1f0a6f7b1d");
        assert_eq!(Token::parse(&unknown).unwrap().guess(std::iter::empty()), None);
        let told = Token::parse(&unknown).unwrap().guess(["4c1f0a6f7b1d"].into_iter());
        assert_eq!(told.as_deref(), Some("4c1f0a6f7b1d"));
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in ["", "abc", "a.b.c", "..", "e30.e30.!", "e30.e30.AA.AA", "W10.e30.AA"] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
        for at in 0..SAMPLE.len() {
            let _ = Token::parse(SAMPLE.get(..at).unwrap()).map(|t| t.badly_signed());
        }
    }

    #[test]
    fn a_jwk_becomes_the_pem_that_others_write() {
        let n = "7vpK-PCzrQVqnyogPisdfcBs7qd0_s2Gt-JfqqTuOlqTAsCBLrjhTRUsUn46VKjJ7POnce0MXCv3Ma2r7Wdsyw";
        let set = json!({"keys": [{"kty": "RSA", "n": n, "e": "AQAB"}, {"kty": "oct", "k": "AA"}]});
        let keys = keys_of_jwks(set.to_string().as_bytes());
        let [pem] = keys.as_slice() else { unreachable!("{keys:?}") };
        assert_eq!(
            pem,
            "-----BEGIN PUBLIC KEY-----\n\
             MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAO76Svjws60Fap8qID4rHX3AbO6ndP7N\n\
             hrfiX6qk7jpakwLAgS644U0VLFJ+OlSoyezzp3HtDFwr9zGtq+1nbMsCAwEAAQ==\n\
             -----END PUBLIC KEY-----\n"
        );
        assert!(keys_of_jwks(b"{}").is_empty() && keys_of_jwks(b"<html>").is_empty());
        assert_eq!(key_texts(pem).len(), 2);
    }
}
