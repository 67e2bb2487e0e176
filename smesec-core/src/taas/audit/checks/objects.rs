//! Object level: one user's objects under another user's hands.

use super::super::description::{Object, Template, User};
use super::super::request::Fill;
use super::super::verify::placeholders;
use super::super::wire::{Sound, Stop, Trail};
use super::super::work::{Judged, Outcome, Proof, Work};
use crate::runner::Response;
use serde_json::Value as Json;

/// By what an owner's write and another's are told apart where a read shows them.
const OWNER: &str = "smesec-owner";
const OTHER: &str = "smesec-other";

/// What is done to an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    Read,
    Write,
    Delete,
}

impl Deed {
    /// `reads`, for people.
    const fn word(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Write => "writes",
            Self::Delete => "deletes",
        }
    }
}

pub(in super::super) fn read(work: &mut Work<'_>) -> Outcome {
    each_pair(work, |object| object.read.as_ref().map(|template| (template, Deed::Read)))
}

pub(in super::super) fn write(work: &mut Work<'_>) -> Outcome {
    each_pair(work, |object| {
        let template = object.write.as_ref()?;
        let deletes = template.method == "DELETE";
        Some((template, if deletes { Deed::Delete } else { Deed::Write }))
    })
}

/// One user's try at another's object.
struct Try<'a> {
    object: &'a Object,
    template: &'a Template,
    deed: Deed,
    owner: &'a User,
    other: &'a User,
    id: &'a str,
}

fn each_pair(work: &mut Work<'_>, takes: impl Fn(&Object) -> Option<(&Template, Deed)>) -> Outcome {
    work.sign_in_of()?;
    let mut judged = Judged::default();
    let mut tried = false;
    let description = work.description;
    for object in &description.objects {
        let Some((template, deed)) = takes(object) else { continue };
        for (owner, ids) in &object.owned {
            let Some(owner) = description.user(owner) else { continue };
            // What was deleted cannot be tried again.
            let mut ids = ids.iter().peekable();
            for other in &description.users {
                let Some(id) = ids.peek().copied() else { break };
                let owns =
                    object.owned.iter().any(|(user, ids)| *user == other.id && ids.contains(id));
                if owns || object.shared_with.contains(&other.role) {
                    continue;
                }
                tried = true;
                match (Try { object, template, deed, owner, other, id }).judge(work) {
                    Ok(proof) => {
                        if proof.is_some() && deed == Deed::Delete {
                            ids.next();
                        }
                        judged.proofs.extend(proof);
                    }
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

impl Try<'_> {
    fn judge(&self, work: &mut Work<'_>) -> Result<Option<Proof>, Stop> {
        let Self { object, template, deed, owner, other, id } = *self;
        let (kind, act) = (&object.kind, deed.word());
        let mut trail = Trail::new();
        let theirs = work.credential(owner, &mut Trail::new())?;
        let mine = work.credential(other, &mut Trail::new())?;
        // A deletion cannot be tried by its owner first; that the object is there is shown by a read.
        let (baseline, own_act) = match (deed, &object.read) {
            (Deed::Delete, Some(read)) => (read, "reads"),
            (Deed::Delete, None) => {
                return Err(Stop::Refuse(format!(
                    "whether a {kind} is deleted shows in nothing; describe `read` beside `write`"
                )));
            }
            _ => (template, act),
        };
        let purpose = format!("baseline: {} {own_act} their own {kind}", owner.id);
        let own = fill(id, OWNER);
        let right = work.call(baseline, &own, Some(&theirs), &purpose, Sound::Admit, &mut trail)?;
        if !work.admits_as(baseline, &right) {
            return Err(Stop::Refuse(format!(
                "`{}`, who {own_act} their own {kind} `{id}`, got {}; check `owned` and the request",
                owner.id, right.status
            )));
        }
        let purpose = format!("{} {act} the {kind} of {}", other.id, owner.id);
        // A write that is refused in words alone shows where the owner reads. What stood there before, such as the
        // history of an earlier audit, shows nothing.
        let marks = placeholders(template).iter().any(|name| name == "marker");
        let shows = object.read.as_ref().filter(|_| deed == Deed::Write && marks);
        let before = match shows {
            Some(read) => self.foreign_marks(work, read, &theirs, &mut Trail::new())?,
            None => None,
        };
        let foreign = fill(id, OTHER);
        let sound = Sound::Refuse;
        let seen = work.call(template, &foreign, Some(&mine), &purpose, sound, &mut trail)?;
        let admitted = work.admits_as(template, &seen);
        let told = match deed {
            Deed::Delete => {
                let after = self.read_again(work, baseline, &theirs, &mut trail)?;
                if work.admits(&after) {
                    return Ok(None);
                }
                if !matches!(after.status, 404 | 410) {
                    return Err(Stop::Refuse(format!(
                        "`{}`, who reads their {kind} `{id}` after {} deleted it, got {}; that tells neither way",
                        owner.id, other.id, after.status
                    )));
                }
                let (before, now) = (right.status, after.status);
                format!(
                    "the {kind} `{id}` was there for `{}` ({before}) and is gone ({now}) after the answer {} to `{}`",
                    owner.id, seen.status, other.id
                )
            }
            Deed::Write if !admitted => {
                let (Some(read), Some(before)) = (shows, before) else { return Ok(None) };
                let after = self.foreign_marks(work, read, &theirs, &mut trail)?;
                if after.is_none_or(|after| after <= before) {
                    return Ok(None);
                }
                self.put_back(work, &own, &theirs)?;
                format!(
                    "the {kind} `{id}` of `{}` was written though `{}` was answered with {}: its owner sees the change",
                    owner.id, other.id, seen.status
                )
            }
            _ if !admitted => return Ok(None),
            Deed::Read => {
                let same = seen.body == right.body;
                if !same && self.is_said_of_none(work, &mine, &seen)? {
                    return Ok(None);
                }
                let same = if same { ", the same as its owner sees" } else { "" };
                format!("the {kind} `{id}` of `{}` came with {}{same}", owner.id, seen.status)
            }
            Deed::Write => {
                let told =
                    format!("the {kind} `{id}` of `{}` was written with {}", owner.id, seen.status);
                let shown = match shows {
                    Some(read) => {
                        let after = self.read_again(work, read, &theirs, &mut trail)?;
                        let body = String::from_utf8_lossy(&after.body).into_owned();
                        work.admits_as(read, &after)
                            .then(|| (body.contains(OTHER), body.contains(OWNER)))
                    }
                    None => None,
                };
                match shown {
                    Some((true, _)) => {
                        self.put_back(work, &own, &theirs)?;
                        format!("{told}, and its owner sees the change")
                    }
                    // Answered like a success, and nothing was changed.
                    Some((false, true)) => return Ok(None),
                    _ if self.is_said_of_none(work, &mine, &seen)? => return Ok(None),
                    _ => told,
                }
            }
        };
        let part =
            format!("{} {} as {} ({})", template.method, template.path, other.id, other.role);
        Ok(Some(Proof::new(part, told, trail).at(template.line)))
    }

    /// How often another's mark stands in what the owner reads; `None` where they read nothing.
    fn foreign_marks(
        &self,
        work: &mut Work<'_>,
        read: &Template,
        theirs: &super::super::work::Credential,
        trail: &mut Trail,
    ) -> Result<Option<usize>, Stop> {
        let seen = self.read_again(work, read, theirs, trail)?;
        let marks = String::from_utf8_lossy(&seen.body).matches(OTHER).count();
        Ok(work.admits_as(read, &seen).then_some(marks))
    }

    /// Puts back what another wrote, as far as the baseline left it.
    fn put_back(
        &self,
        work: &mut Work<'_>,
        own: &Fill,
        theirs: &super::super::work::Credential,
    ) -> Result<(), Stop> {
        let purpose = format!("{} writes the {} back", self.owner.id, self.object.kind);
        let aside = &mut Trail::new();
        work.call(self.template, own, Some(theirs), &purpose, Sound::Admit, aside).map(|_| ())
    }

    fn read_again(
        &self,
        work: &mut Work<'_>,
        read: &Template,
        theirs: &super::super::work::Credential,
        trail: &mut Trail,
    ) -> Result<Response, Stop> {
        let purpose = format!("{} reads the {} again", self.owner.id, self.object.kind);
        work.call(read, &fill(self.id, ""), Some(theirs), &purpose, Sound::Admit, trail)
    }

    /// Some APIs answer 200 to everything; an id of nobody's shows what "not yours" looks like there.
    fn is_said_of_none(
        &self,
        work: &mut Work<'_>,
        mine: &super::super::work::Credential,
        seen: &Response,
    ) -> Result<bool, Stop> {
        let none = unknown_id(self.id, self.object);
        let (act, kind) = (self.deed.word(), &self.object.kind);
        let purpose = format!("control: {} {act} a {kind} that does not exist", self.other.id);
        let (fill, aside) = (fill(&none, OTHER), &mut Trail::new());
        let control =
            work.call(self.template, &fill, Some(mine), &purpose, Sound::Refuse, aside)?;
        Ok(work.admits_as(self.template, &control)
            && control.header("location") == seen.header("location")
            && alike(&control.body, &none, &seen.body, self.id))
    }
}

fn fill(id: &str, marker: &str) -> Fill {
    vec![("id".to_owned(), Json::from(id)), ("marker".to_owned(), Json::from(marker))]
}

/// Whether two answers are the same but for the id that they echo.
fn alike(a: &[u8], a_id: &str, b: &[u8], b_id: &str) -> bool {
    let plain = |body: &[u8], id: &str| String::from_utf8_lossy(body).replace(id, "{id}");
    plain(a, a_id) == plain(b, b_id)
}

/// An id of the same kind that no described object has: servers answer otherwise to what cannot be
/// an id at all.
fn unknown_id(like: &str, object: &Object) -> String {
    let taken = |id: &str| object.owned.iter().any(|(_, ids)| ids.iter().any(|known| known == id));
    if !like.is_empty() && like.bytes().all(|b| b.is_ascii_digit()) {
        // From the end of what so many digits hold, where no object is yet.
        let most = like.bytes().fold(0_u128, |sum, _| sum.saturating_mul(10).saturating_add(9));
        let ids =
            (0..100).map(|n| format!("{:0width$}", most.saturating_sub(n), width = like.len()));
        return ids.into_iter().find(|id| !taken(id)).unwrap_or_else(|| "9".repeat(like.len()));
    }
    // The last digits alone: what stands before them says, as a UUID's version does, what kind it is.
    let tail = like.bytes().rev().take(6).take_while(u8::is_ascii_hexdigit).count();
    let (head, tail) = like.split_at_checked(like.len() - tail).unwrap_or((like, ""));
    let turned = |by: u32| -> String {
        let turn = |c: char| {
            let digit = c.to_digit(16).map(|digit| (digit + by) % 16)?;
            let digit = char::from_digit(digit, 16)?;
            Some(if c.is_ascii_uppercase() { digit.to_ascii_uppercase() } else { digit })
        };
        tail.chars().map(|c| turn(c).unwrap_or(c)).collect()
    };
    let ids = (1..16).map(|by| format!("{head}{}", turned(by)));
    let mut ids = ids.filter(|id| id != like && !taken(id));
    ids.next().unwrap_or_else(|| format!("{like}-smesec"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_id_keeps_its_shape_and_is_nobodys() {
        let owned = ["42", "99", "7"].map(str::to_owned).to_vec();
        let object = Object {
            kind: "thing".into(),
            read: None,
            write: None,
            shared_with: Vec::new(),
            owned: vec![("alice".to_owned(), owned)],
        };
        assert_eq!(unknown_id("42", &object), "98");
        assert_eq!(unknown_id("7", &object), "9");
        let id = "3f2b8c1e-0000-4a4a-9999-abcdefabcdef";
        assert_eq!(unknown_id(id, &object), "3f2b8c1e-0000-4a4a-9999-abcdefbcdef0");
        assert_eq!(unknown_id("xyz", &object), "xyz-smesec");
        assert_eq!(unknown_id("", &object), "-smesec");
    }
}
