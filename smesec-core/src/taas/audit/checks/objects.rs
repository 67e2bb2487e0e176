//! Object level: one user's objects under another user's hands.

use super::super::description::{Object, User};
use super::super::request::Fill;
use super::super::wire::{Sound, Stop, Trail};
use super::super::work::{Judged, Outcome, Proof, Work};
use serde_json::Value as Json;

/// An id that nobody's object has, beside the shape of one that exists.
fn unknown_id(like: &str) -> String {
    if !like.is_empty() && like.bytes().all(|b| b.is_ascii_digit()) {
        return "998877665544".to_owned();
    }
    // The same shape with other letters: a UUID stays a UUID.
    let turned: String = like
        .chars()
        .map(|c| match c {
            '0'..='8' | 'a'..='e' => char::from_u32(u32::from(c) + 1).unwrap_or(c),
            '9' => '0',
            'f' => 'a',
            other => other,
        })
        .collect();
    if turned == like { format!("{like}-smesec") } else { turned }
}

fn fill(id: &str, marker: &str) -> Fill {
    vec![("id".to_owned(), Json::from(id)), ("marker".to_owned(), Json::from(marker))]
}

pub(in super::super) fn read(work: &mut Work<'_>) -> Outcome {
    each_pair(work, |object| object.read.is_some(), read_one)
}

pub(in super::super) fn write(work: &mut Work<'_>) -> Outcome {
    each_pair(work, |object| object.write.is_some(), write_one)
}

type Try = fn(&mut Work<'_>, &Object, &User, &User, &str) -> Result<Option<Proof>, Stop>;

fn each_pair(work: &mut Work<'_>, takes: impl Fn(&Object) -> bool, each: Try) -> Outcome {
    work.sign_in_of()?;
    let mut judged = Judged::default();
    let mut tried = false;
    for object in work.description.objects.iter().filter(|object| takes(object)) {
        let shared = |user: &User| object.shared_with.contains(&user.role);
        for (owner, ids) in &object.owned {
            let Some(owner) = work.description.user(owner) else { continue };
            let Some(id) = ids.first() else { continue };
            for other in &work.description.users {
                let owns =
                    object.owned.iter().any(|(user, ids)| *user == other.id && ids.contains(id));
                if owns || shared(other) {
                    continue;
                }
                tried = true;
                match each(work, object, owner, other, id) {
                    Ok(proof) => judged.proofs.extend(proof),
                    Err(Stop::Refuse(why) | Stop::Skip(why)) => judged.undone.push(why),
                }
            }
        }
    }
    if tried {
        Ok(judged)
    } else {
        Err(Stop::Skip(
            "no object is described that one user owns and another, of a role without a right to it, does not"
                .to_owned(),
        ))
    }
}

fn read_one(
    work: &mut Work<'_>,
    object: &Object,
    owner: &User,
    other: &User,
    id: &str,
) -> Result<Option<Proof>, Stop> {
    let Some(template) = &object.read else { return Ok(None) };
    let mut trail = Trail::new();
    let theirs = work.credential(owner, &mut trail)?;
    let mine = work.credential(other, &mut trail)?;
    trail.clear();
    let kind = &object.kind;
    let purpose = format!("baseline: {} reads their own {kind}", owner.id);
    let right =
        work.call(template, &fill(id, ""), Some(&theirs), &purpose, Sound::Admit, &mut trail)?;
    if !work.admits(&right) {
        return Err(Stop::Refuse(format!(
            "`{}` cannot read their own {kind} `{id}`: {}; check `owned`",
            owner.id, right.status
        )));
    }
    let purpose = format!("{} reads the {kind} of {}", other.id, owner.id);
    let seen =
        work.call(template, &fill(id, ""), Some(&mine), &purpose, Sound::Refuse, &mut trail)?;
    if !work.admits(&seen) {
        return Ok(None);
    }
    // Some APIs answer 200 to everything; then an id of nobody's shows what "not yours" looks like.
    let purpose = format!("control: {} reads a {kind} that does not exist", other.id);
    let none = unknown_id(id);
    let mut control_trail = Trail::new();
    let control = work.call(
        template,
        &fill(&none, ""),
        Some(&mine),
        &purpose,
        Sound::Refuse,
        &mut control_trail,
    )?;
    if seen.body != right.body
        && work.admits(&control)
        && alike(&control.body, &none, &seen.body, id)
    {
        return Ok(None);
    }
    let part = format!("{} {} as {} ({})", template.method, template.path, other.id, other.role);
    let evidence = format!(
        "the {kind} `{id}` of `{}` came with {}{}",
        owner.id,
        seen.status,
        if seen.body == right.body { ", the same as its owner sees" } else { "" }
    );
    Ok(Some(Proof::new(part, evidence, trail).at(template.line)))
}

/// Whether two answers are the same but for the id that they echo.
fn alike(a: &[u8], a_id: &str, b: &[u8], b_id: &str) -> bool {
    let plain = |body: &[u8], id: &str| String::from_utf8_lossy(body).replace(id, "{id}");
    plain(a, a_id) == plain(b, b_id)
}

fn write_one(
    work: &mut Work<'_>,
    object: &Object,
    owner: &User,
    other: &User,
    id: &str,
) -> Result<Option<Proof>, Stop> {
    let Some(template) = &object.write else { return Ok(None) };
    let mut trail = Trail::new();
    let theirs = work.credential(owner, &mut trail)?;
    let mine = work.credential(other, &mut trail)?;
    trail.clear();
    let kind = &object.kind;
    let purpose = format!("baseline: {} writes their own {kind}", owner.id);
    let own = fill(id, "smesec-owner");
    let right = work.call(template, &own, Some(&theirs), &purpose, Sound::Admit, &mut trail)?;
    if !work.admits(&right) {
        return Err(Stop::Refuse(format!(
            "`{}` cannot write their own {kind} `{id}`: {}; check `owned` and `write`",
            owner.id, right.status
        )));
    }
    let purpose = format!("{} writes the {kind} of {}", other.id, owner.id);
    let foreign = fill(id, "smesec-other");
    let seen = work.call(template, &foreign, Some(&mine), &purpose, Sound::Refuse, &mut trail)?;
    if !work.admits(&seen) {
        return Ok(None);
    }
    let mut told = format!("the {kind} `{id}` of `{}` was written with {}", owner.id, seen.status);
    let marked = super::super::verify::placeholders(template).iter().any(|name| name == "marker");
    if let (Some(read), true) = (&object.read, marked && template.method != "DELETE") {
        let purpose = format!("{} reads the {kind} again", owner.id);
        let after =
            work.call(read, &fill(id, ""), Some(&theirs), &purpose, Sound::Admit, &mut trail)?;
        let body = String::from_utf8_lossy(&after.body).into_owned();
        if work.admits(&after) && !body.contains("smesec-other") {
            // Answered like a success, and nothing was changed.
            return Ok(None);
        }
        told.push_str(", and its owner sees the change");
        // As far as the baseline left it, it is put back.
        let purpose = format!("{} writes the {kind} back", owner.id);
        work.call(template, &own, Some(&theirs), &purpose, Sound::Admit, &mut Trail::new())?;
    } else {
        let none = unknown_id(id);
        let purpose = format!("control: {} writes a {kind} that does not exist", other.id);
        let mut aside = Trail::new();
        let fill = fill(&none, "smesec-other");
        let control =
            work.call(template, &fill, Some(&mine), &purpose, Sound::Refuse, &mut aside)?;
        if work.admits(&control) && alike(&control.body, &none, &seen.body, id) {
            return Ok(None);
        }
    }
    let part = format!("{} {} as {} ({})", template.method, template.path, other.id, other.role);
    Ok(Some(Proof::new(part, told, trail).at(template.line)))
}

#[cfg(test)]
mod tests {
    use super::unknown_id;

    #[test]
    fn an_unknown_id_keeps_its_shape() {
        assert_eq!(unknown_id("42"), "998877665544");
        let id = "3f2b8c1e-0000-4a4a-9999-abcdefabcdef";
        let other = unknown_id(id);
        assert!(
            other != id && other.len() == id.len() && other.matches('-').count() == 4,
            "{other}"
        );
        assert_eq!(unknown_id("xyz"), "xyz-smesec");
    }
}
