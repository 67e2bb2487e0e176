//! Signatures of tokens (RFC 7518, section 3): which algorithm, which key, whether it fits.

use crate::decode::digest::hmac_sha256;
#[cfg(feature = "client")]
use crate::taas::base64::{self, Alphabet};

/// Checks the signature `given` of `signed` under a key as test files write it: a shared secret, or a public key in PEM.
///
/// # Errors
/// Says that it does not fit, that the key is none for the algorithm, or that the algorithm is not offered.
pub(super) fn check(algorithm: &str, key: &str, signed: &[u8], given: &[u8]) -> Result<(), String> {
    let fits = match (algorithm, key.trim_start().starts_with("-----BEGIN")) {
        // Whoever signs with the text of a public key would be let in.
        ("HS256" | "HS384" | "HS512", true) => {
            return Err(format!(
                "the key is a key pair's, and `{algorithm}` takes a shared secret; take `{algorithm}` out of `algorithms`"
            ));
        }
        ("HS256", false) => same(&hmac_sha256(key.as_bytes(), signed), given),
        _ => other(algorithm, key, signed, given)?,
    };
    if fits { Ok(()) } else { Err("the token's signature is not of this key".to_owned()) }
}

/// Compares without telling by its time where two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

/// Without the room `client` there is no cryptography but our own digest.
#[cfg(not(feature = "client"))]
fn other(algorithm: &str, _key: &str, _signed: &[u8], _given: &[u8]) -> Result<bool, String> {
    Err(format!(
        "the signature `{algorithm}` cannot be checked by this build, HS256 can; build it with `client`, or set `verify_signature: false` to look at the claims alone"
    ))
}

#[cfg(feature = "client")]
fn other(algorithm: &str, key: &str, signed: &[u8], given: &[u8]) -> Result<bool, String> {
    use ring::{hmac, signature};
    let secret = |hash| hmac::verify(&hmac::Key::new(hash, key.as_bytes()), signed, given).is_ok();
    let (expected, verification): (Kind, &dyn signature::VerificationAlgorithm) = match algorithm {
        "HS384" => return Ok(secret(hmac::HMAC_SHA384)),
        "HS512" => return Ok(secret(hmac::HMAC_SHA512)),
        "RS256" => (Kind::Rsa, &signature::RSA_PKCS1_2048_8192_SHA256),
        "RS384" => (Kind::Rsa, &signature::RSA_PKCS1_2048_8192_SHA384),
        "RS512" => (Kind::Rsa, &signature::RSA_PKCS1_2048_8192_SHA512),
        "PS256" => (Kind::Rsa, &signature::RSA_PSS_2048_8192_SHA256),
        "PS384" => (Kind::Rsa, &signature::RSA_PSS_2048_8192_SHA384),
        "PS512" => (Kind::Rsa, &signature::RSA_PSS_2048_8192_SHA512),
        "ES256" => (Kind::P256, &signature::ECDSA_P256_SHA256_FIXED),
        "ES384" => (Kind::P384, &signature::ECDSA_P384_SHA384_FIXED),
        "EdDSA" => (Kind::Ed25519, &signature::ED25519),
        other => {
            return Err(format!(
                "the signature `{other}` cannot be checked; HS, RS and PS with 256, 384 and 512, ES256, ES384 and EdDSA can; set `verify_signature: false` to look at the claims alone"
            ));
        }
    };
    let (kind, bytes) = public_key(key)?;
    if kind != expected {
        return Err(format!(
            "the key is one of {}, and `{algorithm}` needs one of {}",
            kind.word(),
            expected.word()
        ));
    }
    Ok(signature::UnparsedPublicKey::new(verification, bytes).verify(signed, given).is_ok())
}

/// What a key pair is of.
#[cfg(feature = "client")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

#[cfg(feature = "client")]
impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::P256 => "the curve P-256",
            Self::P384 => "the curve P-384",
            Self::Ed25519 => "Ed25519",
        }
    }

    /// By its algorithm identifier in DER (RFC 3279, RFC 5480, RFC 8410), what stands within its sequence.
    fn of(identifier: &[u8]) -> Option<Self> {
        const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
        const CURVE: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
        const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";
        Some(match identifier {
            RSA => Self::Rsa,
            ED25519 => Self::Ed25519,
            other => match other.strip_prefix(CURVE)? {
                b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07" => Self::P256,
                b"\x06\x05\x2b\x81\x04\x00\x22" => Self::P384,
                _ => return None,
            },
        })
    }
}

/// A public key in PEM (`PUBLIC KEY` or `RSA PUBLIC KEY`): its kind and its bytes.
#[cfg(feature = "client")]
fn public_key(pem: &str) -> Result<(Kind, Vec<u8>), String> {
    let wrong = || {
        "the key is no public key in PEM; write one that begins with `-----BEGIN PUBLIC KEY-----`"
            .to_owned()
    };
    let (label, rest) = pem
        .trim()
        .strip_prefix("-----BEGIN ")
        .and_then(|r| r.split_once("-----"))
        .ok_or_else(wrong)?;
    let (body, _) = rest.split_once("-----END ").ok_or_else(wrong)?;
    let der = base64::decode(body, Alphabet::Standard).ok_or_else(wrong)?;
    match label {
        "RSA PUBLIC KEY" => Ok((Kind::Rsa, der)),
        "PUBLIC KEY" => {
            let (info, _) = element(&der, 0x30).ok_or_else(wrong)?;
            let (identifier, rest) = element(info, 0x30).ok_or_else(wrong)?;
            let (bits, _) = element(rest, 0x03).ok_or_else(wrong)?;
            let kind = Kind::of(identifier).ok_or_else(|| {
                "the key is of no kind that can be checked: RSA, P-256, P-384 and Ed25519 can"
                    .to_owned()
            })?;
            // The first byte counts the bits that are left over, and none are.
            let bytes = bits.strip_prefix(&[0]).ok_or_else(wrong)?;
            Ok((kind, bytes.to_vec()))
        }
        other => Err(format!("the key is a `{other}`; write the `PUBLIC KEY`")),
    }
}

/// The content of the DER element of this tag at the start, and what follows it.
#[cfg(feature = "client")]
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = der.strip_prefix(&[tag])?.split_first()?;
    match *length {
        short @ 0..=0x7f => rest.split_at_checked(usize::from(short)),
        // Keys are shorter than 64 KiB.
        long @ 0x81..=0x82 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long - 0x80))?;
            let length = digits.iter().fold(0, |all, digit| all << 8 | usize::from(*digit));
            rest.split_at_checked(length)
        }
        _ => None,
    }
}

#[cfg(test)]
#[cfg(feature = "client")]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    };

    fn pem(identifier: &str, key: &[u8]) -> String {
        let identifier: Vec<u8> =
            identifier.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let wrap = |tag: u8, content: &[u8]| {
            let mut out = vec![tag, u8::try_from(content.len()).unwrap()];
            out.extend(content);
            out
        };
        let mut info = wrap(0x30, &identifier);
        info.extend(wrap(0x03, &[&[0], key].concat()));
        let mut text = Vec::new();
        crate::decode::transform::Transform::Base64Encode.apply(&wrap(0x30, &info), &mut text);
        let text = String::from_utf8(text).unwrap();
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    const P256: &str = "06 07 2a 86 48 ce 3d 02 01 06 08 2a 86 48 ce 3d 03 01 07";
    const ED: &str = "06 03 2b 65 70";

    #[test]
    fn signatures_of_key_pairs_are_checked() {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.as_ref(), &random);
        let pair = pair.unwrap();
        let key = pem(P256, pair.public_key().as_ref());
        let good = pair.sign(&random, b"a.b").unwrap();
        assert_eq!(check("ES256", &key, b"a.b", good.as_ref()), Ok(()));
        let told = check("ES256", &key, b"a.c", good.as_ref()).unwrap_err();
        assert!(told.contains("not of this key"), "{told}");
        for (algorithm, why) in [
            ("RS256", "one of the curve P-256, and `RS256` needs one of RSA"),
            ("HS256", "takes a shared secret"),
            ("ES512", "`ES512` cannot be checked"),
        ] {
            let told = check(algorithm, &key, b"a.b", good.as_ref()).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
        let pair = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
        let key = pem(ED, pair.public_key().as_ref());
        assert_eq!(check("EdDSA", &key, b"a.b", pair.sign(b"a.b").as_ref()), Ok(()));
    }

    // Of a key pair that was made for this test with OpenSSL; `a.b` is what they sign.
    const RSA: &str = "-----BEGIN PUBLIC KEY-----\n\
         MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAzyoAW/swvoNrrap4lqUs\n\
         dSbQKpvVDLqjA0oSQ3yb0IHv7Unb39NPloHHb46Hg2VLIJGapLQAwwJ8YV4WzRmN\n\
         leR0EUcB6BE2oLSbM22++lCvIngw70C8E1UJ5UiwkKwroK5d6rmOoAGjlogsYyJ+\n\
         YkfUQhaVYUtjZJBIWAPNM56QCe6WjAl1hFMoUlXUNeqQX6wv2ww9EhhoNzuRLjnN\n\
         7bLLZasTNDSgJZXQ8sYp5MlOs26xKzlcjpSvTaOePxNP/n71U7Rzipi8HeByJK/y\n\
         tZiUN5grzdrL47MAIru/CyLele8tiYi9g2iGe7NT/7zqGjmYaaA55M45nogFgIST\n\
         JwIDAQAB\n\
         -----END PUBLIC KEY-----";
    const RSA_ALONE: &str = "-----BEGIN RSA PUBLIC KEY-----\n\
         MIIBCgKCAQEAzyoAW/swvoNrrap4lqUsdSbQKpvVDLqjA0oSQ3yb0IHv7Unb39NP\n\
         loHHb46Hg2VLIJGapLQAwwJ8YV4WzRmNleR0EUcB6BE2oLSbM22++lCvIngw70C8\n\
         E1UJ5UiwkKwroK5d6rmOoAGjlogsYyJ+YkfUQhaVYUtjZJBIWAPNM56QCe6WjAl1\n\
         hFMoUlXUNeqQX6wv2ww9EhhoNzuRLjnN7bLLZasTNDSgJZXQ8sYp5MlOs26xKzlc\n\
         jpSvTaOePxNP/n71U7Rzipi8HeByJK/ytZiUN5grzdrL47MAIru/CyLele8tiYi9\n\
         g2iGe7NT/7zqGjmYaaA55M45nogFgISTJwIDAQAB\n\
         -----END RSA PUBLIC KEY-----";
    const RS256: &str = "zq7E79S0N5YDBvQ0+Td1gqrfACOIhgXRnz17pZc/3Sj+2y4jhpjFh5AkNHHzsHs5YMwElTuBnXMBZgZZSmgYFUHQlM\
         uMQTTW7IK8pXubqGEBXO0+Dd2CfUToe6aG3Cv8PNjuaHc01Wid4KrDyDvsuJzLtIdwK2reHGlt7z49zzpS740nQMzK\
         JBurS5GzhI99M6FoPndT2OigQuofTZhr0M9EybUXgwkrvY7rESEMkMEwVr02vrI3gZKjJyQ7NiLLcPDQOZbd/6o8y+\
         tBg0jFXXFDmEiGlLVcljNjC7CcfxPC6k+tzYww1g2PKN64WFG+T/lVDmO4iZbS7Q2qad3gUg==";
    const PS384: &str = "wMgyQ7dxLvlD9pMJGUjbJPyxOB4Y1IQZ0ORdrO31VIoQhAc3h5NTrXLqyzSB9aTilN+66DbeX1B4kCWLd/3bEOtzGj\
         o3lHgbRP0Jc+0C3XIBRrb6PVJpZgicAzfxHlI/uN9wLVZB3mJcOi9T77ZDjd0VABMbTM6qj5mWcDAAIlZakk1fTi4E\
         sgBOG5LJR6cNIwsQuNjeGOlYXnqf9kViKIO0aRg43RX3fyXseM0nx0BBDWhSCnVTU1xZG/ovxzSuLFBE7U6fatB67m\
         3RLSbDuLNabz5ZPj7ED0YDmbL5J8a0vUQpd9eOBaNfC5HRalVLKwC0Qqq/cy+l+9PZK/YuUg==";

    #[test]
    fn signatures_of_another_library_are_checked() {
        let bytes = |text| base64::decode(text, Alphabet::Standard).unwrap();
        for key in [RSA, RSA_ALONE] {
            assert_eq!(check("RS256", key, b"a.b", &bytes(RS256)), Ok(()));
            assert_eq!(check("PS384", key, b"a.b", &bytes(PS384)), Ok(()));
            for (algorithm, signed, given) in [
                ("RS256", b"a.c", RS256),
                ("RS384", b"a.b", RS256),
                ("PS256", b"a.b", PS384),
                ("RS256", b"a.b", PS384),
            ] {
                let told = check(algorithm, key, signed, &bytes(given)).unwrap_err();
                assert!(told.contains("not of this key"), "{algorithm}: {told}");
            }
        }
    }

    #[test]
    fn what_is_no_key_is_told() {
        let good = pem(P256, &[4; 65]);
        for cut in 0..good.len() {
            let _ = public_key(good.get(..cut).unwrap());
        }
        for (key, why) in [
            ("secret", "no public key in PEM"),
            ("-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----", "no public key"),
            ("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----", "`PRIVATE KEY`"),
        ] {
            let told = check("RS256", key, b"", b"").unwrap_err();
            assert!(told.contains(why), "{key}: {told}");
        }
        assert!(check("HS512", "other", b"a", b"b").is_err());
    }
}
