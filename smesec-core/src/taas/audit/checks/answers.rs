//! What single answers give away or allow.

use super::super::description::{
    Body, Carrier, Description, NOBODY, Object, Route, Template, User,
};
use super::super::leak;
use super::super::request::{self, Fill};
use super::super::wire::{Sound, Stop, Trail};
use super::super::work::{
    Credential, Judged, Outcome, Proof, Work, fill_of, set_cookies, with_password,
};
use crate::runner::{Request, Response};
use crate::verdict::Severity;
use serde_json::{Value as Json, json};

/// A site that is nobody's (RFC 2606): the attacker's.
const FOREIGN: &str = "smesec-audit.invalid";

pub(in super::super) fn csrf(work: &mut Work<'_>) -> Outcome {
    let Carrier::Cookie(name) = &work.sign_in_of()?.token else {
        return Err(Stop::Skip(
            "the token travels in a header, which no other site can set".to_owned(),
        ));
    };
    let destructive = work.destructive;
    // What a form on another site can send is a POST.
    let eligible = work.description.routes.iter().filter(|route| {
        route.request.method == "POST"
            && (destructive || !route.destructive)
            && !route.allows(NOBODY)
    });
    let users = &work.description.users;
    let found: Vec<(&Route, &User)> = eligible
        .filter_map(|route| Some((route, users.iter().find(|user| route.allows(&user.role))?)))
        .collect();
    if found.is_empty() {
        return Err(Stop::Skip(
            "no `POST` route of a user is described with `destructive: false`; `--destructive` takes any"
                .to_owned(),
        ));
    }
    // Frameworks let single routes out of their guard, so one that is guarded says nothing of the next.
    let mut judged = Judged::default();
    let mut signed_in = Vec::new();
    let mut kept_out = Vec::new();
    for (route, user) in found {
        // Whoever cannot sign in is not locked out by trying for each route.
        if kept_out.contains(&&user.id) {
            continue;
        }
        match csrf_at(work, route, user, name, &mut signed_in) {
            Ok(proof) => judged.proofs.extend(proof),
            Err(Stop::Refuse(why) | Stop::Skip(why)) => {
                judged.undone.push(why);
                if !signed_in.iter().any(|(who, _, _)| *who == user.id) {
                    kept_out.push(&user.id);
                }
            }
        }
    }
    Ok(judged)
}

/// Who has signed in, and whether their cookie has a `SameSite`.
type SignedIn<'a> = Vec<(&'a str, Credential, bool)>;

fn csrf_at<'a>(
    work: &mut Work<'_>,
    route: &Route,
    user: &'a User,
    name: &str,
    signed_in: &mut SignedIn<'a>,
) -> Result<Option<Proof>, Stop> {
    let mut trail = Trail::new();
    let known = signed_in.iter().any(|(who, _, _)| *who == user.id);
    let (mut request, mut right, mut same_site);
    let mut fresh = !known;
    loop {
        if fresh {
            signed_in.retain(|(who, _, _)| *who != user.id);
            let mut aside = Trail::new();
            let credential = work.fresh(user, &[], &mut aside)?;
            let signed =
                aside.last().and_then(|step| step.exchanges.last()?.response.as_ref().ok());
            let kept = signed.is_some_and(|response| keeps_to_site(work, response, name));
            signed_in.push((&user.id, credential, kept));
        }
        let known = signed_in.iter().find(|(who, _, _)| *who == user.id);
        let Some((_, credential, kept)) = known else { return Ok(None) };
        same_site = *kept;
        trail.clear();
        let purpose = format!("baseline: {} from the site itself", route.name());
        request = request::build(&work.description.base, &route.request, &fill_of(user));
        work.sign(&mut request, credential);
        request::set_header(&mut request, "Origin", origin(work));
        right = work.wire.send(&mut trail, &user.id, &purpose, request.clone(), Sound::Admit)?;
        if work.admits_as(&route.request, &right) {
            break;
        }
        // The route before may have ended the session.
        if fresh {
            return Err(Stop::Refuse(format!(
                "{} as `{}` is answered with {}; describe a write that works",
                route.name(),
                user.id,
                right.status
            )));
        }
        fresh = true;
    }
    if let Some(csrf) = work.sign_in_of()?.csrf.as_ref() {
        request.headers.retain(|(header, _)| !header.eq_ignore_ascii_case(&csrf.header));
    }
    let foreign = format!("https://{FOREIGN}");
    request::set_header(&mut request, "Origin", foreign.as_str());
    request::set_header(&mut request, "Referer", format!("{foreign}/"));
    request::set_header(&mut request, "Sec-Fetch-Site", "cross-site");
    if matches!(route.request.body, Body::Json(_)) {
        // A form cannot send JSON by its name; as plain text it can.
        request::set_header(&mut request, "Content-Type", "text/plain");
    }
    let purpose = format!("{} as a form on another site sends it", route.name());
    let seen = work.wire.send(&mut trail, &user.id, &purpose, request, Sound::Refuse)?;
    // Whoever is led elsewhere than the user, such as to a sign-in, is not let in.
    let led_away = seen.header("location") != right.header("location");
    if !work.admits_as(&route.request, &seen) || (seen.status >= 300 && led_away) {
        return Ok(None);
    }
    let part = format!("{} as {}", route.name(), user.id);
    let mut evidence = format!("answered with {} for the origin {foreign}", seen.status);
    if same_site {
        evidence.push_str("; the cookie's SameSite keeps most browsers from sending it");
    }
    let proof = Proof::new(part, evidence, trail).at(route.request.line);
    let severity = if same_site { Severity::Low } else { Severity::High };
    Ok(Some(proof.severity(severity)))
}

/// Whether the cookie that proves the session has a `SameSite` that keeps it from other sites' forms.
fn keeps_to_site(work: &Work<'_>, response: &Response, name: &str) -> bool {
    set_cookies(response, work.wire.now()).iter().any(|cookie| {
        cookie.name == *name
            && cookie.attribute("samesite").is_some_and(|v| !v.eq_ignore_ascii_case("none"))
    })
}

fn origin(work: &Work<'_>) -> String {
    let base = &work.description.base;
    match base.port {
        Some(port) => format!("{}://{}:{port}", base.scheme, base.host),
        None => format!("{}://{}", base.scheme, base.host),
    }
}

pub(in super::super) fn cors(work: &mut Work<'_>) -> Outcome {
    let description = work.description;
    let reads = description.routes.iter().filter(|r| r.request.method == "GET" && !r.destructive);
    // Routes that give each their own are what another site would want.
    let mut routes: Vec<&Route> = reads.collect();
    routes.sort_by_key(|route| route.allows(NOBODY));
    if routes.is_empty() {
        return Err(Stop::Skip("no `GET` route is described".to_owned()));
    }
    let host = &description.base.host;
    let origins = [
        format!("https://{FOREIGN}"),
        "null".to_owned(),
        format!("https://{host}.{FOREIGN}"),
        format!("https://smesec-{host}"),
    ];
    let mut judged = Judged::default();
    for route in routes.into_iter().take(5) {
        let user = description.users.iter().find(|user| route.allows(&user.role));
        let user = user.filter(|_| description.sign_in.is_some());
        let fill = Fill::new();
        let mut trail = Trail::new();
        // What an earlier sign-in gave may have ended since.
        let mut credential = None;
        let mut open = Err(0);
        for again in [false, true] {
            if let Some(user) = user {
                if again {
                    work.forget(user);
                }
                credential = Some(work.credential(user, &mut Trail::new())?);
            } else if again {
                break;
            }
            trail.clear();
            let purpose = "baseline: from no other site";
            let (template, sound) = (&route.request, Sound::Admit);
            let seen =
                work.call(template, &fill, credential.as_ref(), purpose, sound, &mut trail)?;
            open = if work.admits_as(template, &seen) { Ok(()) } else { Err(seen.status) };
            if open.is_ok() {
                break;
            }
        }
        if let Err(status) = open {
            judged.undone.push(format!(
                "{} is answered with {status}, so no other site could read anything there; mend the route or the description",
                route.name()
            ));
            continue;
        }
        for foreign in &origins {
            let mut trail = trail.clone();
            let mut template = route.request.clone();
            template.headers.push(("Origin".to_owned(), foreign.clone()));
            let purpose = format!("from the origin {foreign}");
            let seen = work.call(
                &template,
                &fill,
                credential.as_ref(),
                &purpose,
                Sound::Admit,
                &mut trail,
            )?;
            let header = |name| seen.header(name).map(String::from_utf8_lossy).unwrap_or_default();
            let (allowed, credentials) =
                (header("access-control-allow-origin"), header("access-control-allow-credentials"));
            // A star together with credentials is refused by browsers.
            if allowed.trim() == foreign && credentials.trim().eq_ignore_ascii_case("true") {
                let evidence =
                    format!("pages of {foreign} may read the answer with the user's credentials");
                let proof = Proof::new(route.name(), evidence, trail).at(route.request.line);
                judged.proofs.push(proof);
                return Ok(judged);
            }
        }
    }
    Ok(judged)
}

pub(in super::super) fn redirect(work: &mut Work<'_>) -> Outcome {
    if work.description.redirects.is_empty() {
        return Err(Stop::Skip("no `redirects` are described".to_owned()));
    }
    let base = &work.description.base;
    let (scheme, host) = (base.scheme.as_str(), &base.host);
    let mut destinations = vec![
        format!("https://{FOREIGN}/"),
        format!("//{FOREIGN}/"),
        format!("/\\{FOREIGN}/"),
        format!("https://{host}@{FOREIGN}/"),
        format!("https://{host}.{FOREIGN}/"),
    ];
    if scheme != "https" {
        destinations.push(format!("https:{FOREIGN}/"));
    }
    let mut judged = Judged::default();
    for template in &work.description.redirects {
        if let Err(Stop::Refuse(why) | Stop::Skip(why)) =
            redirect_at(work, template, &destinations, &mut judged)
        {
            judged.undone.push(why);
        }
    }
    Ok(judged)
}

fn redirect_at(
    work: &mut Work<'_>,
    template: &Template,
    destinations: &[String],
    judged: &mut Judged,
) -> Result<(), Stop> {
    let scheme = work.description.base.scheme.as_str();
    let credential = match (work.description.users.first(), &work.description.sign_in) {
        (Some(user), Some(_)) => Some(work.credential(user, &mut Trail::new())?),
        _ => None,
    };
    let mut trail = Trail::new();
    let own = vec![("url".to_owned(), Json::from("/"))];
    let purpose = "baseline: a destination on the site itself";
    let (who, sound) = (credential.as_ref(), Sound::Admit);
    let right = work.call(template, &own, who, purpose, sound.clone(), &mut trail)?;
    // Where there is no such route every destination is refused, and that tells nothing.
    if right.status >= 400 || (leads_to(&right).is_none() && !work.admits_as(template, &right)) {
        return Err(Stop::Refuse(format!(
            "{} {} answers its own site's `/` with {}; mend the route or the description",
            template.method, template.path, right.status
        )));
    }
    for destination in destinations {
        let mut trail = trail.clone();
        let fill = vec![("url".to_owned(), Json::from(destination.as_str()))];
        let purpose = format!("the destination {destination}");
        let seen = work.call(template, &fill, who, &purpose, sound.clone(), &mut trail)?;
        let Some(location) = leads_to(&seen) else { continue };
        if leaves(&location, scheme) {
            let evidence =
                format!("{destination} is answered with {} to `{location}`", seen.status);
            let part = format!("{} {}", template.method, template.path);
            judged.proofs.push(Proof::new(part, evidence, trail).at(template.line));
            break;
        }
    }
    Ok(())
}

fn leads_to(response: &Response) -> Option<String> {
    let text = |name| response.header(name).map(|v| String::from_utf8_lossy(v).into_owned());
    if (300..400).contains(&response.status) {
        return text("location");
    }
    let refresh = text("refresh")?;
    refresh.split_once("url=").or_else(|| refresh.split_once("URL=")).map(|(_, url)| url.to_owned())
}

/// Whether a browser that follows this ends on the foreign site: it takes a backslash for a slash,
/// and drops tabs and line ends. What has the page's own scheme and no slash behind it is a path of the
/// site (WHATWG URL, the state "special relative or authority").
fn leaves(location: &str, base_scheme: &str) -> bool {
    let plain: String =
        location.trim().chars().filter(|c| !matches!(c, '\t' | '\r' | '\n')).collect();
    let plain = plain.replace('\\', "/");
    let rest = match plain.split_once(':') {
        Some((scheme, rest))
            if matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") =>
        {
            if scheme.eq_ignore_ascii_case(base_scheme) && !rest.starts_with('/') {
                return false;
            }
            rest.trim_start_matches('/')
        }
        _ => match plain.strip_prefix("//") {
            Some(rest) => rest.trim_start_matches('/'),
            None => return false,
        },
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    host == FOREIGN || host.ends_with(&format!(".{FOREIGN}"))
}

pub(in super::super) fn cacheable(work: &mut Work<'_>) -> Outcome {
    let user = work.first_user()?;
    let mut trail = Trail::new();
    let credential = work.fresh(user, &[], &mut trail)?;
    let signed = trail.last().and_then(|step| step.exchanges.last()?.response.as_ref().ok());
    let Some(response) = signed else { return Ok(Judged::default()) };
    let values =
        response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cache-control"));
    let told: Vec<String> =
        values.map(|(_, value)| String::from_utf8_lossy(value).to_ascii_lowercase()).collect();
    let directives = told.iter().flat_map(|line| line.split(',')).map(str::trim);
    let stored_nowhere = directives.into_iter().any(|directive| directive == "no-store");
    if work.wire.is_dry() || stored_nowhere {
        return Ok(Judged::default());
    }
    // What a cache would give away.
    if let Some(probe) = work.description.probe(&user.role) {
        let purpose = "what the token opens";
        work.opens(probe, Some(&credential), purpose, Sound::Admit, &mut trail)?;
    }
    let evidence = match told.as_slice() {
        [] => "the answer with the token has no `Cache-Control`".to_owned(),
        told => format!("the answer with the token says `Cache-Control: {}`", told.join(", ")),
    };
    Ok(Judged::from_proof(Some(Proof::new("sign-in", evidence, trail))))
}

/// What only the inside of a program says.
const INSIDES: &[&str] = &[
    "Traceback (most recent call last)",
    "Exception in thread",
    "Stack trace:",
    "stack traceback:",
    "Unhandled exception",
    "\n    at ",
    "\\n    at ",
    "java.lang.",
    "org.springframework.",
    "javax.servlet.",
    "System.NullReferenceException",
    "Microsoft.AspNetCore.",
    "node_modules/",
    "node:internal/",
    "panicked at",
    "goroutine 1 [",
    "PHP Fatal error",
    "PHP Warning",
    "Werkzeug Debugger",
    "ActionController::",
    "site-packages/",
    "SQLSTATE[",
    "ORA-0",
    "syntax error at or near",
    "error in your SQL syntax",
    "unrecognized token: ",
    "SQLite3::",
    "sqlite3.OperationalError",
    "psycopg2.",
    "MongoServerError",
    "com.mysql.",
    "org.hibernate.",
];

/// Writes that are provoked; each costs four requests, and a hundred routes share one error handler.
const MOST_WRITES: usize = 20;

/// What is sent to see errors of one place, with the request beside it that asks for nothing odd.
struct Provoked {
    /// Each with what it is.
    odd: Vec<(String, Request)>,
    plain: Option<Request>,
    by: Option<Credential>,
}

pub(in super::super) fn verbose_error(work: &mut Work<'_>) -> Outcome {
    let description = work.description;
    let mut judged = Judged::default();
    let mut trail = Trail::new();
    let mut provoked: Vec<Provoked> = Vec::new();
    let mut normal = String::new();
    let mut signed = None;
    if let (Some(sign_in), Some(user)) = (&description.sign_in, description.users.first()) {
        let right = work.refuses_wrong_password(user, &mut trail)?;
        normal.push_str(&String::from_utf8_lossy(&right.body));
        signed = Some(work.fresh(user, &[], &mut Trail::new())?);
        provoked.push(odd_sign_ins(work, &sign_in.request, user));
    }
    provoked.extend(odd_reads(description, signed.as_ref()));
    provoked.extend(odd_writes(work, &mut judged));
    if provoked.is_empty() {
        return Err(Stop::Skip(
            "no sign-in and no route that may be sent is described; `--destructive` takes writes"
                .to_owned(),
        ));
    }
    for Provoked { odd, plain, by } in provoked {
        let mut trail = trail.clone();
        let who = by.as_ref().map_or(NOBODY, |credential| credential.who.as_str());
        let signed = |work: &Work<'_>, mut request: Request| {
            if let Some(credential) = &by {
                work.sign(&mut request, credential);
            }
            request
        };
        // A page about such errors, or one that quotes them, says so without being provoked.
        let mut normal = normal.clone();
        if let Some(plain) = plain {
            let plain = signed(work, plain);
            let purpose = "baseline: without anything odd";
            if let Ok(right) = work.wire.send(&mut trail, who, purpose, plain, Sound::Admit) {
                normal.push_str(&String::from_utf8_lossy(&right.body));
            }
        }
        for (purpose, request) in odd {
            let mut trail = trail.clone();
            let request = signed(work, request);
            let line = format!("{} {}", request.method, super::super::wire::path(&request.url));
            // Some servers hang up on what they cannot read; that gives nothing away.
            let Ok(seen) = work.wire.send(&mut trail, who, &purpose, request, Sound::Refuse) else {
                continue;
            };
            let text = String::from_utf8_lossy(&seen.body);
            let told = INSIDES.iter().find(|i| text.contains(**i) && !normal.contains(**i));
            if let Some(inside) = told {
                let evidence =
                    format!("{purpose} is answered with {} and `{}`", seen.status, inside.trim());
                judged.proofs.push(Proof::new(line, evidence, trail));
                return Ok(judged);
            }
        }
    }
    Ok(judged)
}

fn odd_sign_ins(work: &Work<'_>, sign_in: &Template, user: &User) -> Provoked {
    let base = &work.description.base;
    let mut odd = Vec::new();
    let mut broken = request::build(base, sign_in, &with_password(user, super::super::work::WRONG));
    if !broken.body.is_empty() {
        broken.body.truncate(broken.body.len() / 2);
        odd.push(("half a body".to_owned(), broken));
    }
    for (name, value) in
        [("a list", json!([[]])), ("a number", json!(1e300)), ("a quote", json!("'\"`"))]
    {
        let mut fill = with_password(user, value.clone());
        for field in super::super::verify::placeholders(sign_in) {
            super::super::work::replace(&mut fill, &field, value.clone());
        }
        let request = request::build(base, sign_in, &fill);
        odd.push((format!("a sign-in of {name} for text"), request));
    }
    Provoked { odd, plain: None, by: None }
}

fn odd_reads(description: &Description, by: Option<&Credential>) -> Vec<Provoked> {
    let base = &description.base;
    let mut provoked = Vec::new();
    let reads = description.routes.iter().filter(|r| r.request.method == "GET" && !r.destructive);
    for route in reads.take(5) {
        let mut template = route.request.clone();
        let separator = if template.path.contains('?') { '&' } else { '?' };
        template.path = format!("{}{separator}id=%27%22%00&limit=-1x", template.path);
        provoked.push(Provoked {
            odd: vec![(
                format!("odd parameters at {}", route.name()),
                request::build(base, &template, &Fill::new()),
            )],
            plain: Some(request::build(base, &route.request, &Fill::new())),
            by: by.cloned(),
        });
    }
    let read = |object| -> Option<(&Object, &Template)> {
        let object: &Object = object;
        Some((object, object.read.as_ref()?))
    };
    for (kind, object) in description.objects.iter().filter_map(read).take(3) {
        let known = kind.owned.iter().find_map(|(_, ids)| ids.first());
        let with = |id: &str| request::build(base, object, &vec![("id".to_owned(), id.into())]);
        provoked.push(Provoked {
            odd: vec![(format!("an odd id at {} {}", object.method, object.path), with("'\"%00"))],
            plain: known.map(|id| with(id)),
            by: by.cloned(),
        });
    }
    provoked
}

/// Writes with a body of JSON that is broken, or of the wrong kinds, by whom each is open to. What may be
/// written is what any check may write.
fn odd_writes(work: &mut Work<'_>, judged: &mut Judged) -> Vec<Provoked> {
    let description = work.description;
    let mut provoked = Vec::new();
    let writes = description.routes.iter().filter(|route| {
        matches!(route.request.method.as_str(), "POST" | "PUT" | "PATCH")
            && matches!(route.request.body, Body::Json(_))
    });
    let (may, held_back): (Vec<&Route>, Vec<&Route>) =
        writes.partition(|route| work.destructive || !route.destructive);
    if !held_back.is_empty() {
        judged.notes.push(format!(
            "{} writes with a body were not provoked; `destructive: false` at a route allows it, `--destructive` all",
            held_back.len()
        ));
    }
    if may.len() > MOST_WRITES {
        let rest = may.len() - MOST_WRITES;
        judged.notes.push(format!("only the first {MOST_WRITES} writes were provoked, {rest} not"));
    }
    for route in may.into_iter().take(MOST_WRITES) {
        let Body::Json(body) = &route.request.body else { continue };
        let user = description.users.iter().find(|user| route.allows(&user.role));
        let user = user.filter(|_| description.sign_in.is_some());
        let by = match user.map(|user| work.credential(user, &mut Trail::new())).transpose() {
            Ok(by) => by,
            Err(Stop::Refuse(why) | Stop::Skip(why)) => {
                judged.undone.push(why);
                continue;
            }
        };
        let fill = user.map(fill_of).unwrap_or_default();
        let plain = request::build(&description.base, &route.request, &fill);
        let with = |body: Vec<u8>| Request { body, ..plain.clone() };
        let half = plain.body.get(..plain.body.len() / 2).unwrap_or_default();
        let odd = [
            ("half a body", with(half.to_vec())),
            ("values of the wrong kinds", with(of_other_kinds(body).to_string().into_bytes())),
            ("a list for the whole body", with(b"[[]]".to_vec())),
        ];
        let odd = odd.map(|(name, request)| (format!("{name} at {}", route.name()), request));
        provoked.push(Provoked { odd: odd.into(), plain: Some(plain), by });
    }
    provoked
}

/// A body with each value of its first level replaced by one of another kind.
fn of_other_kinds(body: &Json) -> Json {
    let other = |value: &Json| match value {
        Json::String(_) => json!([[]]),
        Json::Number(_) | Json::Bool(_) => json!("'\"`"),
        Json::Null => json!({"a": []}),
        Json::Array(_) | Json::Object(_) => json!(1e300),
    };
    match body {
        Json::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), other(value))).collect()
        }
        body => other(body),
    }
}

pub(in super::super) fn secret(work: &mut Work<'_>) -> Outcome {
    let description = work.description;
    let mut judged = Judged::default();
    let mut tried = false;
    for (role, user) in description.roles() {
        if description.sign_in.is_none() {
            break;
        }
        let mut trail = Trail::new();
        let credential = work.fresh(user, &[], &mut trail)?;
        if let Some(step) = trail.last() {
            let answer = step.exchanges.last().and_then(|e| e.response.as_ref().ok()).cloned();
            let told = answer.and_then(|answer| gives_away(work, &answer, true));
            if let Some(evidence) = told {
                judged.proofs.push(Proof::new(
                    format!("sign-in of {}", user.id),
                    evidence,
                    trail.clone(),
                ));
            }
        }
        let routes = description.routes.iter().filter(|route| {
            route.request.method == "GET" && !route.destructive && route.allows(role)
        });
        for route in routes {
            tried = true;
            // The baseline is the sign-in that led here.
            let mut trail = trail.clone();
            let purpose = format!("{} as {role}", route.name());
            let seen = work.call(
                &route.request,
                &Fill::new(),
                Some(&credential),
                &purpose,
                Sound::Admit,
                &mut trail,
            );
            let seen = match seen {
                Ok(seen) => seen,
                Err(Stop::Refuse(why) | Stop::Skip(why)) => {
                    judged.undone.push(why);
                    continue;
                }
            };
            let part = format!("{} as {}", route.name(), user.id);
            let known = judged.proofs.iter().any(|proof| proof.line == Some(route.request.line));
            let told = gives_away(work, &seen, false);
            // A refusal shows no field, so that none of them gives anything away is not shown.
            if told.is_none() && !work.admits(&seen) {
                judged.undone.push(format!(
                    "{part}: `{role}` may, but got {}; mend the route or the description",
                    seen.status
                ));
            }
            if let (Some(evidence), false) = (told, known) {
                judged.proofs.push(Proof::new(part, evidence, trail).at(route.request.line));
            }
        }
    }
    if !tried && judged.proofs.is_empty() {
        return Err(Stop::Skip("no `GET` route of a user is described".to_owned()));
    }
    Ok(judged)
}

/// What an answer gives away, if anything. Whatever that is, no report shows it.
fn gives_away(work: &mut Work<'_>, response: &Response, signing_in: bool) -> Option<String> {
    let leaks = leak::found(response, work.description, signing_in);
    for leak in &leaks {
        work.secrets.add(leak.value.as_str());
    }
    leaks.into_iter().next().map(|leak| leak.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_would_leave() {
        for location in [
            "https://smesec-audit.invalid/",
            "//smesec-audit.invalid",
            "/\\smesec-audit.invalid/",
            "\\\\smesec-audit.invalid",
            "https:smesec-audit.invalid/",
            "http:///smesec-audit.invalid",
            "https://shop.example@smesec-audit.invalid/x",
            "HTTPS://shop.example.smesec-audit.invalid:443/",
            " /\t/smesec-audit.invalid",
        ] {
            assert!(leaves(location, "http"), "{location}");
        }
        for location in [
            "/",
            "/go?next=https://smesec-audit.invalid/",
            "https://shop.example/?u=smesec-audit.invalid",
            "/https:smesec-audit.invalid/",
            "javascript:smesec-audit.invalid",
            "smesec-audit.invalid",
        ] {
            assert!(!leaves(location, "http"), "{location}");
        }
        let odd = "https:smesec-audit.invalid/";
        assert!(!leaves(odd, "https") && leaves("http:smesec-audit.invalid/", "https"));
    }
}
