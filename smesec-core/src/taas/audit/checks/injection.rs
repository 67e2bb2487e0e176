//! What a sign-in or a write takes for more than data.

use super::super::description::{Body, User};
use super::super::request::Fill;
use super::super::verify::placeholders;
use super::super::wire::{Sound, Stop, Trail};
use super::super::work::{
    Judged, Outcome, Proof, WRONG, Work, field_of, fill_of, put, replace, with_password,
};
use crate::runner::Response;
use serde_json::{Value as Json, json};

/// Endings that make a query of one quoted name true or end it there. `NAME` stands for a user's
/// own name; the password is a wrong one where the second is `None`.
const SQL: &[(&str, Option<&str>)] = &[
    ("NAME' -- ", None),
    ("NAME'#", None),
    ("NAME'/*", None),
    ("NAME\" -- ", None),
    ("NAME') -- ", None),
    ("NAME' OR '1'='1", None),
    ("' OR '1'='1' -- ", None),
    ("' OR 1=1 LIMIT 1 -- ", None),
    ("\" OR \"1\"=\"1\" -- ", None),
    ("') OR ('1'='1' -- ", None),
    ("NAME", Some("' OR '1'='1")),
    ("NAME", Some("\" OR \"1\"=\"1")),
    ("NAME", Some("') OR ('1'='1")),
];

pub(in super::super) fn sql(work: &mut Work<'_>) -> Outcome {
    let user = work.first_user()?;
    let mut trail = Trail::new();
    work.refuses_wrong_password(user, &mut trail)?;
    for (name, password) in SQL {
        let mut fill = with_password(user, password.unwrap_or(WRONG));
        for field in identity(work) {
            let own = if field == "user" { user.id.as_str() } else { user.field(&field) };
            replace(&mut fill, &field, name.replace("NAME", own).into());
        }
        if let Some(proof) = try_one(work, user, &fill, name, password.unwrap_or(""), &trail)? {
            return Ok(Judged::from_proof(Some(proof)));
        }
    }
    Ok(Judged::default())
}

pub(in super::super) fn no_sql(work: &mut Work<'_>) -> Outcome {
    let user = work.first_user()?;
    let described = work.sign_in_of()?;
    if matches!(described.request.body, Body::None) {
        return Err(Stop::Skip("the sign-in has no body that could carry an operator".to_owned()));
    }
    let mut trail = Trail::new();
    work.refuses_wrong_password(user, &mut trail)?;
    let operators =
        [json!({"$ne": null}), json!({"$ne": ""}), json!({"$gt": ""}), json!({"$regex": ".*"})];
    for (operator, name_too) in
        operators.iter().map(|o| (o, false)).chain(operators.iter().map(|o| (o, true)))
    {
        let mut fill = with_password(user, operator.clone());
        if name_too {
            for field in identity(work) {
                replace(&mut fill, &field, operator.clone());
            }
        }
        let shown = operator.to_string();
        let (name, password) =
            if name_too { (shown.as_str(), shown.as_str()) } else { ("NAME", shown.as_str()) };
        if let Some(proof) = try_one(work, user, &fill, name, password, &trail)? {
            return Ok(Judged::from_proof(Some(proof)));
        }
    }
    Ok(Judged::default())
}

fn try_one(
    work: &mut Work<'_>,
    user: &User,
    fill: &Fill,
    name: &str,
    password: &str,
    baseline: &Trail,
) -> Result<Option<Proof>, Stop> {
    let mut trail = baseline.clone();
    let shown = match password {
        "" => format!("the name `{name}`"),
        password => format!("the name `{name}` and the password `{password}`"),
    };
    let purpose = format!("sign-in with {shown}");
    let attempt = work.attempt("nobody", fill, &[], &purpose, Sound::Refuse, &mut trail)?;
    if let Some(credential) = attempt.credential
        && work.lets_in(&credential, &mut trail)?
    {
        let evidence = format!("{shown} signed in without the password");
        return Ok(Some(Proof::new("sign-in", evidence, trail)));
    }
    // Such a try counts as a wrong password for the user; a right one sets the count back.
    if name.starts_with("NAME") {
        work.fresh(user, &[], &mut Trail::new())?;
    }
    Ok(None)
}

/// The fields of the sign-in that say who it is.
fn identity(work: &Work<'_>) -> Vec<String> {
    let asked = work.description.sign_in.as_ref().map(|s| placeholders(&s.request));
    asked.unwrap_or_default().into_iter().filter(|name| name != "password").collect()
}

pub(in super::super) fn mass_assignment(work: &mut Work<'_>) -> Outcome {
    let Some(described) = &work.description.mass else {
        return Err(Stop::Skip("no `mass_assignment` is described".to_owned()));
    };
    let Some(user) = work.description.user(&described.user) else {
        return Err(Stop::Skip("no user is described".to_owned()));
    };
    let mut trail = Trail::new();
    let credential = work.credential(user, &mut Trail::new())?;
    let fill = fill_of(user);
    let read = |work: &mut Work<'_>, purpose: &str, trail: &mut Trail| {
        let seen =
            work.call(&described.read, &fill, Some(&credential), purpose, Sound::Admit, trail)?;
        if !work.admits(&seen) {
            return Err(Stop::Refuse(format!("{purpose}: {}", seen.status)));
        }
        Ok(seen)
    };
    let field = |response: &Response, name: &str| {
        let json: Json = serde_json::from_slice(&response.body).ok()?;
        field_of(&json, name).cloned()
    };
    let before = read(work, &format!("baseline: what {} is", user.id), &mut trail)?;
    let purpose = "baseline: the write without more";
    let plain =
        work.call(&described.write, &fill, Some(&credential), purpose, Sound::Admit, &mut trail)?;
    if !work.admits_as(&described.write, &plain) {
        return Err(Stop::Refuse(format!(
            "`{}` cannot write as described: {}; mend `write` under `mass_assignment`",
            user.id, plain.status
        )));
    }
    let mut judged = Judged::default();
    for (name, value) in &described.fields {
        let was = field(&before, name);
        if was.as_ref().is_some_and(|was| same(was, value)) {
            judged.undone.push(format!(
                "`{name}` of `{}` is {value} already; name a user for whom it is not",
                user.id
            ));
            continue;
        }
        let mut trail = trail.clone();
        let mut template = described.write.clone();
        if let Body::Json(body) = &mut template.body {
            put(body, name, value.clone());
        }
        let purpose = format!("the write with `{name}: {value}`");
        let tried = work
            .call(&template, &fill, Some(&credential), &purpose, Sound::Refuse, &mut trail)
            .and_then(|written| {
                let purpose = format!("what {} is afterwards", user.id);
                Ok((written, read(work, &purpose, &mut trail)?))
            });
        let (written, after) = match tried {
            Ok(both) => both,
            Err(Stop::Refuse(why) | Stop::Skip(why)) => {
                judged.undone.push(why);
                continue;
            }
        };
        if !field(&after, name).is_some_and(|now| same(&now, value)) {
            continue;
        }
        let evidence = format!(
            "`{name}` was {}, and is {value} after a write answered with {}",
            was.as_ref().map_or_else(|| "not there".to_owned(), Json::to_string),
            written.status
        );
        let part = format!("{} {} as {}", template.method, template.path, user.id);
        judged.proofs.push(Proof::new(part, evidence, trail).at(described.write.line));
        if let Body::Json(body) = &mut template.body {
            put(body, name, was.unwrap_or(Json::Null));
            let purpose = format!("puts `{name}` back");
            let mut aside = Trail::new();
            let back =
                work.call(&template, &fill, Some(&credential), &purpose, Sound::Admit, &mut aside);
            if let Err(Stop::Refuse(why) | Stop::Skip(why)) = back {
                judged.undone.push(format!("`{name}` could not be put back: {why}"));
            }
        }
    }
    Ok(judged)
}

/// Whether a field has a value, however the service writes it: 1 and 1.0, true and "true".
fn same(found: &Json, wanted: &Json) -> bool {
    if let (Some(a), Some(b)) = (found.as_f64(), wanted.as_f64()) {
        return a == b;
    }
    let scalar = |json: &Json| match json {
        Json::String(text) => Some(text.clone()),
        Json::Bool(_) | Json::Number(_) => Some(json.to_string()),
        _ => None,
    };
    found == wanted || scalar(found).zip(scalar(wanted)).is_some_and(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_same_however_it_is_written() {
        for (a, b) in [(json!(1), json!(1.0)), (json!("1"), json!(1)), (json!("true"), json!(true))]
        {
            assert!(same(&a, &b) && same(&b, &a), "{a} {b}");
        }
        for (a, b) in [(json!(1), json!(2)), (json!(null), json!("null")), (json!([1]), json!(1))] {
            assert!(!same(&a, &b), "{a} {b}");
        }
    }
}
