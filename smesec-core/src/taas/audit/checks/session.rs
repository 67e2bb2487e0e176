//! Sessions: what a sign-in gives, what a sign-out takes, what the cookie says.

use super::super::description::{Carrier, Route, User};
use super::super::request::Fill;
use super::super::wire::{Sound, Stop, Trail};
use super::super::work::{Credential, Judged, Outcome, Proof, SetCookie, Work, set_cookies};
use crate::runner::Response;

pub(in super::super) fn fixation(work: &mut Work<'_>) -> Outcome {
    let name = cookie_name(work)?;
    let (user, probe) = work.probe()?;
    let mut trail = Trail::new();
    // An id that the server gives out before the sign-in, if it does; else one made up.
    let mut planted = "smesec-planted-0123456789abcdef".to_owned();
    let purpose = "before the sign-in";
    let before =
        work.call(&probe.request, &Fill::new(), None, purpose, Sound::Refuse, &mut trail)?;
    if let Some(given) = given(work, &before, &name) {
        planted = given;
    }
    let judged = plant(work, &name, user, probe, planted, trail)?;
    if !judged.proofs.is_empty() {
        return Ok(judged);
    }
    // Some know only ids of their own, and give them to whomever they refuse.
    let mut trail = Trail::new();
    let refused = work.refuses_wrong_password(user, &mut trail)?;
    match given(work, &refused, &name) {
        Some(planted) => plant(work, &name, user, probe, planted, trail),
        None => {
            // The count of wrong passwords is set back.
            work.fresh(user, &[], &mut Trail::new())?;
            Ok(judged)
        }
    }
}

fn given(work: &Work<'_>, response: &Response, name: &str) -> Option<String> {
    let cookies = set_cookies(response, work.wire.now());
    cookies.into_iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value)
}

/// Signs a user in within a session that was there before, and looks whether it is signed in then.
fn plant(
    work: &mut Work<'_>,
    name: &str,
    user: &User,
    probe: &Route,
    planted: String,
    mut trail: Trail,
) -> Outcome {
    work.secrets.add(planted.clone());
    let cookies = vec![(name.to_owned(), planted.clone())];
    let attacker = Credential {
        who: "nobody".to_owned(),
        token: planted,
        cookies: cookies.clone(),
        csrf: None,
    };
    let purpose = "baseline: the planted session before the sign-in";
    if work.opens(probe, Some(&attacker), purpose, Sound::Refuse, &mut trail)? {
        return Err(Stop::Refuse(format!(
            "{} lets in with any session id; no planted one can be told",
            probe.name()
        )));
    }
    // A target that keeps the planted id sets no cookie again: the sign-in is judged by the door.
    let sound = work.signed_in_answer()?;
    let fill = super::super::work::fill_of(user);
    let purpose = format!("{} signs in within the planted session", user.id);
    let attempt = work.attempt(&user.id, &fill, &cookies, &purpose, sound, &mut trail)?;
    work.forget(user);
    let purpose = "the planted session after the sign-in";
    if work.opens(probe, Some(&attacker), purpose, Sound::Refuse, &mut trail)? {
        let evidence =
            format!("the cookie `{name}` that was set before the sign-in is signed in after it");
        let proof = Proof::new(format!("cookie {name}"), evidence, trail);
        return Ok(Judged::from_proof(Some(proof)));
    }
    if attempt.credential.is_none() {
        return Err(Stop::Refuse(format!(
            "`{}` cannot sign in with a cookie already set: {}",
            user.id, attempt.response.status
        )));
    }
    Ok(Judged::default())
}

pub(in super::super) fn sign_out(work: &mut Work<'_>) -> Outcome {
    let Some(sign_out) = &work.description.sign_out else {
        return Err(Stop::Skip("no `signout` is described".to_owned()));
    };
    let (user, probe) = work.probe()?;
    let mut trail = Trail::new();
    // A sign-in of its own: the others' session must live on.
    let credential = work.fresh(user, &[], &mut trail)?;
    trail.clear();
    work.guarded(probe, &credential, &mut trail)?;
    let purpose = format!("{} signs out", user.id);
    let fill = Fill::new();
    let out = work.call(sign_out, &fill, Some(&credential), &purpose, Sound::Admit, &mut trail)?;
    work.forget(user);
    if out.status >= 400 {
        return Err(Stop::Refuse(format!("signing out is answered with {}", out.status)));
    }
    let purpose = "the token after the sign-out";
    let open = work.opens(probe, Some(&credential), purpose, Sound::Refuse, &mut trail)?;
    Ok(Judged::from_proof(open.then(|| {
        let evidence = "the token still opens the route after the sign-out";
        Proof::new(format!("{} as {}", probe.name(), user.id), evidence, trail).at(sign_out.line)
    })))
}

pub(in super::super) fn http_only(work: &mut Work<'_>) -> Outcome {
    flag(work, "HttpOnly", |cookie| cookie.attribute("httponly").is_some())
}

pub(in super::super) fn secure(work: &mut Work<'_>) -> Outcome {
    flag(work, "Secure", |cookie| cookie.attribute("secure").is_some())
}

pub(in super::super) fn same_site(work: &mut Work<'_>) -> Outcome {
    flag(work, "SameSite=Lax or Strict", |cookie| {
        cookie
            .attribute("samesite")
            .is_some_and(|v| v.eq_ignore_ascii_case("lax") || v.eq_ignore_ascii_case("strict"))
    })
}

fn flag(work: &mut Work<'_>, wanted: &str, has: impl Fn(&SetCookie) -> bool) -> Outcome {
    let name = cookie_name(work)?;
    let user = work.first_user()?;
    let mut trail = Trail::new();
    work.fresh(user, &[], &mut trail)?;
    let response = trail.last().and_then(|step| step.exchanges.last()?.response.as_ref().ok());
    let set = response.map(|response| set_cookies(response, work.wire.now())).unwrap_or_default();
    let cookie = set.into_iter().find(|cookie| cookie.name == name);
    let Some(cookie) = cookie else {
        return Err(Stop::Refuse(format!("the sign-in sets no cookie `{name}`")));
    };
    if let Ok((_, probe)) = work.probe() {
        let credential = work.credential(user, &mut Trail::new())?;
        if probe.allows(&user.role) {
            work.opens(
                probe,
                Some(&credential),
                "what the cookie opens",
                Sound::Admit,
                &mut trail,
            )?;
        }
    }
    Ok(Judged::from_proof((!has(&cookie)).then(|| {
        let shown: Vec<&str> = cookie.attributes.iter().map(|(name, _)| name.as_str()).collect();
        let shown = if shown.is_empty() { "none".to_owned() } else { shown.join(", ") };
        let evidence = format!("the cookie `{name}` lacks {wanted}; its attributes: {shown}");
        Proof::new(format!("cookie {name}"), evidence, trail)
    })))
}

fn cookie_name(work: &Work<'_>) -> Result<String, Stop> {
    match &work.sign_in_of()?.token {
        Carrier::Cookie(name) => Ok(name.clone()),
        Carrier::Header { .. } => {
            Err(Stop::Skip("the token does not travel in a cookie".to_owned()))
        }
    }
}
