//! Digest access authentication (RFC 7616): the answer to a challenge.

use crate::decode::digest::sha256;
use crate::decode::transform::Transform;
use std::fmt::Write as _;

/// Which digest a challenge asks for.
#[derive(Clone, Copy, PartialEq)]
enum Algorithm {
    Md5,
    Sha256,
}

/// The value of `Authorization` that answers a challenge; `None` where it is no digest challenge that can
/// be answered. `salt` makes the client's nonce.
pub(super) fn answer(
    challenge: &str,
    user: &str,
    password: &str,
    method: &str,
    target: &str,
    salt: u64,
) -> Option<String> {
    let fields = challenge
        .trim()
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("digest"))?
        .1;
    let field = |name: &str| {
        split(fields).into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    };
    let (realm, nonce) = (field("realm")?, field("nonce")?);
    let named = field("algorithm").unwrap_or_else(|| "MD5".to_owned());
    let upper = named.to_ascii_uppercase();
    let (base, session) = match upper.strip_suffix("-SESS") {
        Some(base) => (base.to_owned(), true),
        None => (upper.clone(), false),
    };
    let algorithm = match base.as_str() {
        "MD5" => Algorithm::Md5,
        "SHA-256" => Algorithm::Sha256,
        _ => return None,
    };
    let hash = |text: String| hex(&algorithm.of(text.as_bytes()));
    let cnonce = hex(&sha256(format!("{nonce}:{salt}").as_bytes())).get(..16)?.to_owned();
    let mut secret = hash(format!("{user}:{realm}:{password}"));
    if session {
        secret = hash(format!("{secret}:{nonce}:{cnonce}"));
    }
    let asked = hash(format!("{method}:{target}"));
    let qop = field("qop");
    let protects = qop.as_ref().is_some_and(|qop| qop.split(',').any(|q| q.trim() == "auth"));
    if qop.is_some() && !protects {
        return None;
    }
    let response = if protects {
        hash(format!("{secret}:{nonce}:00000001:{cnonce}:auth:{asked}"))
    } else {
        hash(format!("{secret}:{nonce}:{asked}"))
    };
    let mut out = format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{target}\", response=\"{response}\""
    );
    if let Some(opaque) = field("opaque") {
        let _ = write!(out, ", opaque=\"{opaque}\"");
    }
    if field("algorithm").is_some() {
        let _ = write!(out, ", algorithm={named}");
    }
    if protects {
        let _ = write!(out, ", qop=auth, nc=00000001, cnonce=\"{cnonce}\"");
    }
    Some(out)
}

impl Algorithm {
    fn of(self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => sha256(text).to_vec(),
            Self::Md5 => {
                let mut out = Vec::new();
                Transform::Md5.apply(text, &mut out);
                out
            }
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// `a=b, c="d, e"` as pairs.
fn split(text: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim_matches([' ', ',']).to_owned();
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        out.push((key, value.trim().to_owned()));
        rest = next;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_of_rfc_2069_is_answered() {
        let challenge = "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let given =
            answer(challenge, "Mufasa", "CircleOfLife", "GET", "/dir/index.html", 0).unwrap();
        // H(A1):nonce:H(A2), worked out by hand with md5sum.
        assert!(given.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{given}");
        assert!(given.contains("opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""), "{given}");
    }

    #[test]
    fn what_cannot_be_answered_is_not() {
        for challenge in [
            "Basic realm=x",
            "Digest realm=\"r\"",
            "Digest realm=r, nonce=n, algorithm=X",
            "Digest realm=r, nonce=n, qop=\"auth-int\"",
            "",
        ] {
            assert_eq!(answer(challenge, "u", "p", "GET", "/", 0), None, "{challenge}");
        }
        let given = answer(
            "Digest realm=r, nonce=n, qop=\"auth-int,auth\", algorithm=SHA-256",
            "u",
            "p",
            "GET",
            "/",
            0,
        );
        assert!(given.unwrap().contains("qop=auth"));
    }
}
