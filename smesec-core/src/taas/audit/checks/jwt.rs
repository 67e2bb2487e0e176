//! JSON Web Tokens that the target did not make, or that have ended.

use super::super::description::{Route, User};
use super::super::forge::{Token, key_texts, keys_of_jwks};
use super::super::request::Fill;
use super::super::wire::{Sound, Stop, Trail};
use super::super::work::{Credential, Judged, Outcome, Proof, Work};
use std::time::Duration;

/// Seconds after a token's end in which letting it in is no fault yet: libraries forgive up to a minute,
/// since clocks differ.
const GRACE: u64 = 65;

/// What every check of tokens begins with: a sign-in, its token, and the proof that it matters.
struct Stand<'a> {
    user: &'a User,
    probe: &'a Route,
    credential: Credential,
    token: Token,
    trail: Trail,
}

fn stand<'a>(work: &mut Work<'a>) -> Result<Stand<'a>, Stop> {
    let (user, probe) = work.probe()?;
    let mut trail = Trail::new();
    let credential = work.credential(user, &mut Trail::new())?;
    let Some(token) = Token::parse(&credential.token) else {
        return Err(Stop::Skip("the token is no JSON Web Token".to_owned()));
    };
    work.guarded(probe, &credential, &mut trail)?;
    let garbage = work.with_token(&credential, "smesec.not-a.token");
    let purpose = "baseline: a made-up token";
    if work.opens(probe, Some(&garbage), purpose, Sound::Refuse, &mut trail)? {
        return Err(Stop::Refuse(format!("{} lets in with any text for a token", probe.name())));
    }
    Ok(Stand { user, probe, credential, token, trail })
}

impl Stand<'_> {
    fn accepts(&mut self, work: &mut Work<'_>, forged: &str, purpose: &str) -> Result<bool, Stop> {
        let credential = work.with_token(&self.credential, forged);
        let before = self.trail.len();
        let open =
            work.opens(self.probe, Some(&credential), purpose, Sound::Refuse, &mut self.trail)?;
        if !open {
            self.trail.truncate(before);
        }
        Ok(open)
    }

    fn proof(self, evidence: impl Into<String>) -> Outcome {
        let part = format!("{} as {}", self.probe.name(), self.user.id);
        let line = self.probe.request.line;
        Ok(Judged::from_proof(Some(Proof::new(part, evidence, self.trail).at(line))))
    }

    /// Where no signature is checked every forgery is let in; that is one fault and told once.
    fn needs_checked_signatures(&mut self, work: &mut Work<'_>) -> Result<(), Stop> {
        let Some(bad) = self.token.badly_signed().into_iter().next() else { return Ok(()) };
        if self.accepts(work, &bad, "baseline: a signature with one bit turned")? {
            return Err(Stop::Skip(
                "no signature is checked at all; see jwt-signature-unchecked".to_owned(),
            ));
        }
        Ok(())
    }
}

pub(in super::super) fn algorithm_none(work: &mut Work<'_>) -> Outcome {
    let mut stand = stand(work)?;
    stand.needs_checked_signatures(work)?;
    for forged in stand.token.without_algorithm() {
        if stand.accepts(work, &forged, "a token with the algorithm none and no signature")? {
            return stand.proof("a token without a signature is let in");
        }
    }
    Ok(Judged::default())
}

pub(in super::super) fn signature_unchecked(work: &mut Work<'_>) -> Outcome {
    let mut stand = stand(work)?;
    let purposes = [
        "the signature with one bit turned",
        "the signature taken away",
        "other claims under the old signature",
    ];
    for (forged, purpose) in stand.token.badly_signed().into_iter().zip(purposes) {
        if stand.accepts(work, &forged, purpose)? {
            return stand.proof(format!("a token is let in with {purpose}"));
        }
    }
    Ok(Judged::default())
}

pub(in super::super) fn expired(work: &mut Work<'_>) -> Outcome {
    let mut stand = stand(work)?;
    let Some(expires) = stand.token.expires() else {
        return stand.proof("the token never ends: it has no `exp` that is a number");
    };
    let now = work.wire.now().unix_seconds();
    let late = stand.token.expired(now);
    let told = "a token is let in an hour after it ended";
    // Signed by who may, if the file tells the secret or a list has it.
    let secret = work.description.jwt.secret.clone();
    let secret = secret.filter(|secret| stand.token.is_signed_with(secret.as_bytes()));
    let secret = secret.or_else(|| guess(work, &stand.token));
    if let Some(secret) = secret {
        let good = stand.token.signed_with(secret.as_bytes());
        if !stand.accepts(work, &good, "baseline: a token of our own that has not ended")?
            && !work.wire.is_dry()
        {
            return Err(Stop::Refuse(
                "a token signed with the secret is not let in; check `secret` under `jwt`"
                    .to_owned(),
            ));
        }
        let forged = late.signed_with(secret.as_bytes());
        if stand.accepts(work, &forged, "a token that ended an hour ago")? {
            return stand.proof(told);
        }
        return Ok(Judged::default());
    }
    let bad = stand.token.badly_signed();
    if let Some(bad) = bad.first()
        && stand.accepts(work, bad, "baseline: a signature with one bit turned")?
    {
        let forged = late.unsigned();
        if stand.accepts(work, &forged, "a token that ended an hour ago")? {
            return stand.proof(told);
        }
        return Ok(Judged::default());
    }
    // It ends by the target's clock, not by ours.
    let there = work.time_there(&stand.trail);
    let left = u64::try_from(expires.saturating_sub(there).max(0)).unwrap_or_default();
    let wait = Duration::from_secs(left.saturating_add(GRACE));
    if wait > work.description.jwt.wait {
        return Err(Stop::Skip(format!(
            "the token ends in {left} s, and many targets forgive a minute; tell its `secret`, or let the audit `wait: {}` under `jwt`",
            wait.as_secs()
        )));
    }
    work.wire.wait(wait);
    let token = stand.credential.token.clone();
    if stand.accepts(work, &token, "the same token after it has ended")? {
        let late = work.time_there(&stand.trail).saturating_sub(expires);
        return stand.proof(format!(
            "a token is let in {late} s after its `exp` by the target's clock; {} s were waited",
            wait.as_secs()
        ));
    }
    Ok(Judged::default())
}

pub(in super::super) fn key_confusion(work: &mut Work<'_>) -> Outcome {
    let mut stand = stand(work)?;
    let asymmetric = ["RS", "ES", "PS", "Ed"];
    let algorithm = stand.token.algorithm().to_owned();
    if !asymmetric.iter().any(|start| algorithm.starts_with(start)) && !work.wire.is_dry() {
        return Err(Stop::Skip(format!(
            "the tokens are signed with {algorithm}, which has no public key"
        )));
    }
    let mut keys: Vec<String> = work.description.jwt.public_key.iter().cloned().collect();
    if let Some(jwks) = &work.description.jwt.jwks {
        let purpose = "the published keys";
        let mut aside = Trail::new();
        let response = work.call(jwks, &Fill::new(), None, purpose, Sound::Admit, &mut aside)?;
        keys.extend(keys_of_jwks(&response.body));
    }
    if keys.is_empty() {
        return Err(Stop::Skip(
            "the public key is not known; give `public_key` or `jwks` under `jwt`".to_owned(),
        ));
    }
    stand.needs_checked_signatures(work)?;
    for key in keys.iter().flat_map(|key| key_texts(key)) {
        let forged = stand.token.signed_with(key.as_bytes());
        if stand.accepts(work, &forged, "HS256 with the public key as its secret")? {
            return stand.proof("a token signed with nothing but the public key is let in");
        }
    }
    Ok(Judged::default())
}

pub(in super::super) fn weak_secret(work: &mut Work<'_>) -> Outcome {
    let mut stand = stand(work)?;
    let algorithm = stand.token.algorithm().to_owned();
    if algorithm != "HS256" {
        return Err(Stop::Skip(format!(
            "the tokens are signed with {algorithm}; secrets are guessed for HS256"
        )));
    }
    let Some(secret) = guess(work, &stand.token) else { return Ok(Judged::default()) };
    work.secrets.add(secret.clone());
    let forged = stand.token.signed_with(secret.as_bytes());
    if !stand.accepts(work, &forged, "a token signed with the guessed secret")? {
        return Ok(Judged::default());
    }
    stand.proof(format!(
        "the secret is in a list of common ones ({} characters)",
        secret.chars().count()
    ))
}

/// The secret, if it is a common word or made of what the target says of itself.
fn guess(work: &Work<'_>, token: &Token) -> Option<String> {
    let description = work.description;
    let own = description.jwt.words.iter().map(String::as_str);
    let host = description.base.host.split('.');
    let users = description.users.iter().map(|user| user.id.as_str());
    token.guess(own.chain(host).chain(users))
}
