//! Function level: every role, and nobody, at every route.

use super::super::description::{NOBODY, Route, User};
use super::super::request::Fill;
use super::super::wire::{Sound, Stop, Trail};
use super::super::work::{Credential, Judged, Outcome, Proof, Work};
use crate::runner::{Cell, Response};

pub(in super::super) fn read(work: &mut Work<'_>) -> Outcome {
    let routes = routes(work, |route| is_read(route) && !route.destructive);
    if routes.is_empty() {
        return Err(Stop::Skip("no route is read with `GET` or `HEAD`".to_owned()));
    }
    match roles_at(work, &routes)? {
        (judged, true) => Ok(judged),
        (_, false) => Err(Stop::Skip("every role may read every route".to_owned())),
    }
}

pub(in super::super) fn method(work: &mut Work<'_>) -> Outcome {
    let destructive = work.destructive;
    let routes_written = routes(work, |r| !is_read(r) && (destructive || !r.destructive));
    let held_back = routes(work, |r| !is_read(r) && r.destructive && !destructive).len();
    let (mut judged, kept_out) = roles_at(work, &routes_written)?;
    let tampered = tamper(work, &mut judged);
    if !kept_out && !tampered {
        return Err(Stop::Skip(if held_back > 0 {
            format!("{held_back} routes that change something are tried with `--destructive` only")
        } else {
            "no role is kept from any route".to_owned()
        }));
    }
    if held_back > 0 {
        judged.notes.push(format!(
            "{held_back} routes that change something were not tried; `--destructive` tries them"
        ));
    }
    Ok(judged)
}

pub(in super::super) fn anonymous(work: &mut Work<'_>) -> Outcome {
    let destructive = work.destructive;
    let routes = routes(work, |route| destructive || !route.destructive);
    let mut judged = Judged::default();
    let mut tried = false;
    for route in routes {
        let expected = route.allows(NOBODY);
        tried |= !expected;
        let sound = if expected { Sound::Admit } else { Sound::Refuse };
        let mut trail = Trail::new();
        let mut landing = None;
        if !expected {
            match baseline(work, route, &mut trail) {
                Ok(Some(right)) => landing = leads_to(&right),
                Ok(None) => {}
                Err(why) => {
                    cell(work, route, NOBODY, "not tried", false);
                    judged.undone.push(why);
                    continue;
                }
            }
        }
        let purpose = format!("{} without signing in", route.name());
        let seen = work.call(&route.request, &Fill::new(), None, &purpose, sound, &mut trail);
        let whom = Whom { role: NOBODY, who: NOBODY, landing: landing.as_deref() };
        judge(work, &mut judged, route, whom, seen, trail);
    }
    if tried { Ok(judged) } else { Err(Stop::Skip("every route is open to `nobody`".to_owned())) }
}

fn routes<'a>(work: &Work<'a>, take: impl Fn(&Route) -> bool) -> Vec<&'a Route> {
    work.description.routes.iter().filter(|route| take(route)).collect()
}

fn is_read(route: &Route) -> bool {
    matches!(route.request.method.as_str(), "GET" | "HEAD" | "OPTIONS")
}

/// Every role at these routes, and whether any is to be kept out of one. Those that may come first:
/// a refusal tells nothing where nobody is let in.
fn roles_at(work: &mut Work<'_>, routes: &[&Route]) -> Result<(Judged, bool), Stop> {
    work.sign_in_of()?;
    let roles: Vec<(String, User)> = work
        .description
        .roles()
        .into_iter()
        .map(|(role, user)| (role.to_owned(), user.clone()))
        .collect();
    let mut judged = Judged::default();
    let mut kept_out = false;
    for route in routes {
        let mut baseline_trail = Trail::new();
        let (may, may_not): (Vec<_>, Vec<_>) =
            roles.iter().partition(|(role, _)| route.allows(role));
        let mut confirmed = false;
        let mut landing: Option<String> = None;
        for (role, user) in may {
            let mut trail = Trail::new();
            let Some(credential) = signed_in(work, &mut judged, route, role, user) else {
                continue;
            };
            let purpose = format!("{} as {role}, who may", route.name());
            let fill = Fill::new();
            let seen = work.call(
                &route.request,
                &fill,
                Some(&credential),
                &purpose,
                Sound::Admit,
                &mut trail,
            );
            if let Ok(response) = &seen
                && work.admits_as(&route.request, response)
            {
                confirmed = true;
                landing = landing.or_else(|| leads_to(response));
            }
            if baseline_trail.is_empty() {
                baseline_trail.clone_from(&trail);
            }
            let whom = Whom { role, who: &user.id, landing: None };
            judge(work, &mut judged, route, whom, seen, trail);
        }
        for (role, user) in may_not {
            kept_out = true;
            let Some(credential) = signed_in(work, &mut judged, route, role, user) else {
                continue;
            };
            let mut trail = baseline_trail.clone();
            let purpose = format!("{} as {role}, who may not", route.name());
            let fill = Fill::new();
            let seen = work.call(
                &route.request,
                &fill,
                Some(&credential),
                &purpose,
                Sound::Refuse,
                &mut trail,
            );
            let whom = Whom { role, who: &user.id, landing: landing.as_deref() };
            if !confirmed
                && seen.as_ref().is_ok_and(|response| !whom.is_let_in(work, route, response))
            {
                cell(work, route, role, &status(&seen), false);
                continue;
            }
            judge(work, &mut judged, route, whom, seen, trail);
        }
    }
    Ok((judged, kept_out))
}

/// A user's credential. A sign-in that fails is told, and what was found before stands.
fn signed_in(
    work: &mut Work<'_>,
    judged: &mut Judged,
    route: &Route,
    role: &str,
    user: &User,
) -> Option<Credential> {
    match work.credential(user, &mut Trail::new()) {
        Ok(credential) => Some(credential),
        Err(Stop::Refuse(why) | Stop::Skip(why)) => {
            cell(work, route, role, "not tried", false);
            judged.undone.push(why);
            None
        }
    }
}

/// Shows that somebody is let in, so that being let in means something: the answer. A route that no
/// described role may use is judged without.
fn baseline(
    work: &mut Work<'_>,
    route: &Route,
    trail: &mut Trail,
) -> Result<Option<Response>, String> {
    let allowed = work.description.users.iter().find(|user| route.allows(&user.role));
    let Some(user) = allowed else { return Ok(None) };
    let purpose = format!("baseline: {} as {}", route.name(), user.role);
    let answered = work.credential(user, &mut Trail::new()).and_then(|credential| {
        let fill = Fill::new();
        work.call(&route.request, &fill, Some(&credential), &purpose, Sound::Admit, trail)
    });
    match answered {
        Ok(response) if work.admits_as(&route.request, &response) => Ok(Some(response)),
        Ok(response) => Err(format!(
            "{}: `{}` may, but got {}; a refusal would tell nothing",
            route.name(),
            user.id,
            response.status
        )),
        Err(Stop::Refuse(why) | Stop::Skip(why)) => Err(why),
    }
}

/// Whose answer is judged.
#[derive(Clone, Copy)]
struct Whom<'a> {
    role: &'a str,
    who: &'a str,
    /// Where those who may are led, if they are: whoever is led elsewhere is not let in.
    landing: Option<&'a str>,
}

impl Whom<'_> {
    fn is_let_in(&self, work: &Work<'_>, route: &Route, response: &Response) -> bool {
        let same = match (self.landing, leads_to(response)) {
            (Some(right), Some(seen)) => right == seen,
            _ => true,
        };
        same && work.admits_as(&route.request, response)
    }
}

/// Where a redirect leads, without its parameters.
fn leads_to(response: &Response) -> Option<String> {
    let location = response.header("location").filter(|_| (300..400).contains(&response.status))?;
    let location = String::from_utf8_lossy(location);
    location.split(['?', '#']).next().map(str::to_owned)
}

fn judge(
    work: &mut Work<'_>,
    judged: &mut Judged,
    route: &Route,
    whom: Whom<'_>,
    seen: Result<Response, Stop>,
    trail: Trail,
) {
    let Whom { role, who, .. } = whom;
    let expected = route.allows(role);
    let admitted = seen.as_ref().is_ok_and(|response| whom.is_let_in(work, route, response));
    let finding = seen.is_ok() && admitted && !expected;
    cell(work, route, role, &status(&seen), finding);
    match seen {
        Err(Stop::Refuse(why) | Stop::Skip(why)) => judged.undone.push(why),
        Ok(response) if finding => {
            let as_whom = if role == NOBODY { who.to_owned() } else { format!("{who} ({role})") };
            let evidence = format!("a refusal was expected, {} came", response.status);
            let part = format!("{} as {as_whom}", route.name());
            judged.proofs.push(Proof::new(part, evidence, trail).at(route.request.line));
        }
        Ok(response) if expected && !admitted => judged.undone.push(format!(
            "{} as {who}: `{role}` may, but got {}; mend the route or the description",
            route.name(),
            response.status
        )),
        Ok(_) => {}
    }
}

/// Guards that are tied to a method let other methods pass: a made-up one, which many frameworks
/// treat as GET, `HEAD`, and `GET` with a header that overrides it.
fn tamper(work: &mut Work<'_>, judged: &mut Judged) -> bool {
    let guarded = routes(work, |route| route.request.method == "GET" && !route.destructive);
    let mut tried = false;
    for route in guarded {
        match tamper_at(work, judged, route) {
            Ok(possible) => tried |= possible,
            Err(Stop::Refuse(why) | Stop::Skip(why)) => {
                tried = true;
                judged.undone.push(why);
            }
        }
    }
    tried
}

/// False where no role is kept from the route.
fn tamper_at(work: &mut Work<'_>, judged: &mut Judged, route: &Route) -> Result<bool, Stop> {
    let roles = work.description.roles();
    let kept_out = roles.iter().find(|(role, _)| !route.allows(role)).map(|(_, user)| *user);
    let allowed = work.description.users.iter().find(|user| route.allows(&user.role));
    let (Some(user), Some(allowed)) = (kept_out, allowed) else { return Ok(false) };
    let mine = work.credential(user, &mut Trail::new())?;
    let theirs = work.credential(allowed, &mut Trail::new())?;
    let mut trail = Trail::new();
    let (template, fill) = (&route.request, Fill::new());
    let purpose = format!("baseline: {} as {}", route.name(), allowed.role);
    let right = work.call(template, &fill, Some(&theirs), &purpose, Sound::Admit, &mut trail)?;
    let purpose = format!("baseline: {} as {}, who may not", route.name(), user.role);
    let refused = work.call(template, &fill, Some(&mine), &purpose, Sound::Refuse, &mut trail)?;
    let landing = leads_to(&right);
    let whom = Whom { role: &user.role, who: &user.id, landing: landing.as_deref() };
    // What bfla-read tells need not be told twice.
    if !work.admits_as(template, &right) || whom.is_let_in(work, route, &refused) {
        return Ok(true);
    }
    for (method, over) in [("SMESEC", None), ("HEAD", None), ("POST", Some("GET"))] {
        if over.is_some() && !work.destructive {
            continue;
        }
        // Where the refusal stands in the body alone, no answer to HEAD can tell it.
        let bodyless = Response { body: Vec::new(), ..refused.clone() };
        if method == "HEAD" && whom.is_let_in(work, route, &bodyless) {
            judged.notes.push(format!(
                "`HEAD {}` was not tried: the target refuses in its body, and HEAD has none",
                template.path
            ));
            continue;
        }
        let mut template = route.request.clone();
        method.clone_into(&mut template.method);
        if let Some(over) = over {
            template.headers.push(("X-HTTP-Method-Override".to_owned(), over.to_owned()));
        }
        let mut trail = trail.clone();
        let purpose = format!("{method} {} as {}, who may not", template.path, user.role);
        let seen = work.call(&template, &fill, Some(&mine), &purpose, Sound::Refuse, &mut trail)?;
        // HEAD has no body to compare; what it tells is that the guard let it pass.
        let same = method == "HEAD" || seen.body == right.body;
        if whom.is_let_in(work, route, &seen) && same {
            let part = format!("{method} {} as {} ({})", template.path, user.id, user.role);
            let evidence = format!(
                "GET is refused with {}, {method} is answered with {}",
                refused.status, seen.status
            );
            judged.proofs.push(Proof::new(part, evidence, trail).at(template.line));
            break;
        }
    }
    Ok(true)
}

fn status(seen: &Result<Response, Stop>) -> String {
    seen.as_ref().map_or_else(|_| "no answer".to_owned(), |response| response.status.to_string())
}

fn cell(work: &mut Work<'_>, route: &Route, role: &str, seen: &str, finding: bool) {
    let expected = if route.allows(role) { "allow" } else { "deny" };
    work.cells.push(Cell {
        role: role.to_owned(),
        method: route.request.method.clone(),
        route: route.request.path.clone(),
        expected: expected.to_owned(),
        seen: seen.to_owned(),
        finding,
    });
}
