//! What the checks share while an audit runs: who is signed in, and how answers are read.

use super::description::{Carrier, CsrfSource, Description, NOBODY, Route, SignIn, Template, User};
use super::request::{self, Fill};
use super::wire::{Sound, Stop, Trail, Wire};
use crate::runner::{Cell, Request, Response};
use crate::taas::Secrets;
use crate::taas::run::date;
use crate::time::Timestamp;
use serde_json::Value as Json;
use std::collections::HashMap;

/// One thing that a check found.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    /// Where, such as `GET /api/users as alice`.
    pub(super) part: String,
    /// What was expected and seen.
    pub(super) evidence: String,
    /// A milder or graver severity than the check's own.
    pub(super) severity: Option<crate::verdict::Severity>,
    pub(super) line: Option<u32>,
    pub(super) trail: Trail,
}

impl Proof {
    pub(super) fn new(part: impl Into<String>, evidence: impl Into<String>, trail: Trail) -> Self {
        Self { part: part.into(), evidence: evidence.into(), severity: None, line: None, trail }
    }

    pub(super) fn at(mut self, line: u32) -> Self {
        self.line = Some(line);
        self
    }

    pub(super) fn severity(mut self, severity: crate::verdict::Severity) -> Self {
        self.severity = Some(severity);
        self
    }
}

/// What a check comes to.
#[derive(Clone, Debug, Default)]
pub(super) struct Judged {
    pub(super) proofs: Vec<Proof>,
    /// What could not be tried, and why.
    pub(super) undone: Vec<String>,
    /// What a person may want to know, such as a confidence.
    pub(super) notes: Vec<String>,
}

impl Judged {
    pub(super) fn from_proof(proof: Option<Proof>) -> Self {
        Self { proofs: proof.into_iter().collect(), ..Self::default() }
    }
}

pub(super) type Outcome = Result<Judged, Stop>;

/// What proves a sign-in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Credential {
    pub(super) who: String,
    /// The session's id or the token.
    pub(super) token: String,
    pub(super) cookies: Vec<(String, String)>,
    pub(super) csrf: Option<String>,
}

/// A sign-in that was tried.
pub(super) struct Attempt {
    pub(super) response: Response,
    pub(super) credential: Option<Credential>,
}

pub(super) struct Work<'a> {
    pub(super) description: &'a Description,
    pub(super) wire: Wire,
    pub(super) secrets: Secrets,
    pub(super) cells: Vec<Cell>,
    pub(super) destructive: bool,
    signed_in: HashMap<String, Credential>,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        description: &'a Description,
        wire: Wire,
        secrets: Secrets,
        destructive: bool,
    ) -> Self {
        let signed_in = HashMap::new();
        Self { description, wire, secrets, cells: Vec::new(), destructive, signed_in }
    }

    pub(super) fn sign_in_of(&self) -> Result<&'a SignIn, Stop> {
        let described = self.description.sign_in.as_ref();
        described.ok_or_else(|| Stop::Skip("no `signin` is described".to_owned()))
    }

    /// The first user, whom most checks act as.
    pub(super) fn first_user(&self) -> Result<&'a User, Stop> {
        self.sign_in_of()?;
        let first = self.description.users.first();
        first.ok_or_else(|| Stop::Skip("no user is described".to_owned()))
    }

    /// The first user with a route that shows whether a token is accepted.
    pub(super) fn probe(&self) -> Result<(&'a User, &'a Route), Stop> {
        self.sign_in_of()?;
        let mut users = self.description.users.iter();
        users.find_map(|user| Some((user, self.description.probe(&user.role)?))).ok_or_else(|| {
            Stop::Skip("no `GET` route is open to a user and closed to `nobody`".to_owned())
        })
    }

    /// A user's credential, signed in once for the whole audit.
    pub(super) fn credential(
        &mut self,
        user: &User,
        trail: &mut Trail,
    ) -> Result<Credential, Stop> {
        if let Some(known) = self.signed_in.get(&user.id) {
            return Ok(known.clone());
        }
        self.fresh(user, &[], trail)
    }

    /// Forgets a user's credential: what was done may have ended it.
    pub(super) fn forget(&mut self, user: &User) {
        self.signed_in.remove(&user.id);
    }

    /// Signs in anew, with cookies that the browser already has. The next checks act with what this
    /// sign-in gave: some servers end the one before it.
    pub(super) fn fresh(
        &mut self,
        user: &User,
        planted: &[(String, String)],
        trail: &mut Trail,
    ) -> Result<Credential, Stop> {
        let purpose = format!("{} signs in", user.id);
        let sound = self.signed_in_answer()?;
        let attempt = self.attempt(&user.id, &fill_of(user), planted, &purpose, sound, trail)?;
        let credential = attempt.credential.ok_or_else(|| {
            Stop::Refuse(format!(
                "`{}` cannot sign in: the answer is {} without the token; check the user and `signin`",
                user.id, attempt.response.status
            ))
        })?;
        if planted.is_empty() {
            self.signed_in.insert(user.id.clone(), credential.clone());
        }
        Ok(credential)
    }

    /// What a sound target answers to a right sign-in, for the dry run.
    pub(super) fn signed_in_answer(&self) -> Result<Sound, Stop> {
        let described = self.sign_in_of()?;
        let mut response = Response { status: 200, ..Response::default() };
        let mut body = Json::Object(serde_json::Map::new());
        let token = super::forge::SAMPLE;
        match &described.token {
            Carrier::Cookie(name) => {
                let cookie = format!("{name}={token}; HttpOnly; Secure; SameSite=Lax");
                response.headers.push(("Set-Cookie".to_owned(), cookie.into_bytes()));
            }
            Carrier::Header { field, .. } => put(&mut body, field, token),
        }
        match described.csrf.as_ref().map(|csrf| &csrf.from) {
            Some(CsrfSource::Cookie(name)) => {
                let cookie = format!("{name}=dry-run");
                response.headers.push(("Set-Cookie".to_owned(), cookie.into_bytes()));
            }
            Some(CsrfSource::Field(field)) => put(&mut body, field, "dry-run"),
            None => {}
        }
        response.body = body.to_string().into_bytes();
        Ok(Sound::Answer(response))
    }

    /// Tries a sign-in with these values.
    pub(super) fn attempt(
        &mut self,
        who: &str,
        fill: &Fill,
        planted: &[(String, String)],
        purpose: &str,
        sound: Sound,
        trail: &mut Trail,
    ) -> Result<Attempt, Stop> {
        let described = self.sign_in_of()?;
        let mut request = request::build(&self.description.base, &described.request, fill);
        if !planted.is_empty() {
            request::set_header(&mut request, "Cookie", cookie_header(planted));
        }
        let response = self.wire.send(trail, who, purpose, request, sound)?;
        let credential = self.read_credential(who, &response, planted);
        Ok(Attempt { response, credential })
    }

    fn read_credential(
        &mut self,
        who: &str,
        response: &Response,
        planted: &[(String, String)],
    ) -> Option<Credential> {
        let described = self.description.sign_in.as_ref()?;
        if response.status >= 400 || self.says_no(response) {
            return None;
        }
        let set = set_cookies(response, self.wire.now());
        let body = || serde_json::from_slice::<Json>(&response.body).ok();
        let token = match &described.token {
            Carrier::Cookie(name) => set.iter().find(|c| c.name == *name)?.value.clone(),
            Carrier::Header { field, .. } => scalar_text(field_of(&body()?, field)?)?,
        };
        if token.is_empty() {
            return None;
        }
        let csrf = described.csrf.as_ref().and_then(|csrf| match &csrf.from {
            CsrfSource::Cookie(name) => Some(set.iter().find(|c| c.name == *name)?.value.clone()),
            CsrfSource::Field(field) => scalar_text(field_of(&body()?, field)?),
        });
        let mut cookies: Vec<_> = set.into_iter().map(|c| (c.name, c.value)).collect();
        for (name, value) in planted {
            if !cookies.iter().any(|(known, _)| known == name) {
                cookies.push((name.clone(), value.clone()));
            }
        }
        for secret in cookies.iter().map(|(_, value)| value).chain(&csrf).chain([&token]) {
            // Flags and languages travel in cookies too; what proves somebody is longer.
            if secret.len() >= 8 {
                self.secrets.add(secret.clone());
            }
        }
        Some(Credential { who: who.to_owned(), token, cookies, csrf })
    }

    /// The same credential with another token in its place.
    pub(super) fn with_token(&mut self, credential: &Credential, token: &str) -> Credential {
        let mut other = credential.clone();
        if let Some(Carrier::Cookie(name)) = self.description.sign_in.as_ref().map(|s| &s.token) {
            for (_, value) in other.cookies.iter_mut().filter(|(known, _)| known == name) {
                token.clone_into(value);
            }
        }
        token.clone_into(&mut other.token);
        self.secrets.add(token);
        other
    }

    /// Puts what proves a sign-in on a request.
    pub(super) fn sign(&self, request: &mut Request, credential: &Credential) {
        let Some(described) = &self.description.sign_in else { return };
        if let Carrier::Header { header, prefix, .. } = &described.token {
            request::set_header(request, header, format!("{prefix}{}", credential.token));
        }
        if !credential.cookies.is_empty() {
            request::set_header(request, "Cookie", cookie_header(&credential.cookies));
        }
        let safe = matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        if let (Some(csrf), Some(value), false) = (&described.csrf, &credential.csrf, safe) {
            request::set_header(request, &csrf.header, value.as_str());
        }
    }

    /// Sends a route's request, as a user where a credential is given.
    pub(super) fn call(
        &mut self,
        template: &Template,
        fill: &Fill,
        credential: Option<&Credential>,
        purpose: &str,
        sound: Sound,
        trail: &mut Trail,
    ) -> Result<Response, Stop> {
        let mut request = request::build(&self.description.base, template, fill);
        let who = match credential {
            Some(credential) => {
                self.sign(&mut request, credential);
                credential.who.clone()
            }
            None => NOBODY.to_owned(),
        };
        self.wire.send(trail, &who, purpose, request, sound)
    }

    /// Whether a credential opens the probe route.
    pub(super) fn opens(
        &mut self,
        probe: &Route,
        credential: Option<&Credential>,
        purpose: &str,
        sound: Sound,
        trail: &mut Trail,
    ) -> Result<bool, Stop> {
        let response =
            self.call(&probe.request, &Fill::new(), credential, purpose, sound, trail)?;
        Ok(self.admits_as(&probe.request, &response))
    }

    /// The baseline of every check of tokens: the right one opens the probe, none does not.
    pub(super) fn guarded(
        &mut self,
        probe: &Route,
        credential: &Credential,
        trail: &mut Trail,
    ) -> Result<(), Stop> {
        let open =
            self.opens(probe, Some(credential), "baseline: the right token", Sound::Admit, trail)?;
        if !open {
            return Err(Stop::Refuse(format!(
                "`{}` is not let in at {} with the right token; nothing can be told from refusals there",
                credential.who,
                probe.name()
            )));
        }
        if self.opens(probe, None, "baseline: no token", Sound::Refuse, trail)? {
            return Err(Stop::Refuse(format!(
                "{} lets everybody in (see bfla-anonymous); no token can be tried there",
                probe.name()
            )));
        }
        Ok(())
    }

    /// The baseline of every check of sign-ins: a wrong password is refused.
    pub(super) fn refuses_wrong_password(
        &mut self,
        user: &User,
        trail: &mut Trail,
    ) -> Result<Response, Stop> {
        let fill = with_password(user, WRONG);
        let purpose = "baseline: a wrong password";
        let attempt = self.attempt(&user.id, &fill, &[], purpose, Sound::Refuse, trail)?;
        if let Some(credential) = attempt.credential
            && self.lets_in(&credential, trail)?
        {
            return Err(Stop::Refuse(
                "a wrong password is let in; mend that before anything else".to_owned(),
            ));
        }
        Ok(attempt.response)
    }

    /// Whether a token that a sign-in gave opens anything: some servers give a fresh session to
    /// whomever they refuse.
    pub(super) fn lets_in(
        &mut self,
        credential: &Credential,
        trail: &mut Trail,
    ) -> Result<bool, Stop> {
        let probes: Vec<&'a Route> = self
            .description
            .roles()
            .iter()
            .filter_map(|(role, _)| self.description.probe(role))
            .collect();
        if probes.is_empty() {
            return Ok(true);
        }
        for probe in probes {
            let purpose = "what the token opens";
            if self.opens(probe, Some(credential), purpose, Sound::Refuse, trail)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The target's time as an answer to the last request tells it, our own where none does.
    pub(super) fn time_there(&self, trail: &Trail) -> i64 {
        let last = trail.last().and_then(|step| step.exchanges.last()?.response.as_ref().ok());
        let told =
            last.and_then(|response| date(&String::from_utf8_lossy(response.header("date")?)));
        told.unwrap_or_else(|| self.wire.now()).unix_seconds()
    }

    /// Whether an answer lets in.
    pub(super) fn admits(&self, response: &Response) -> bool {
        (200..300).contains(&response.status) && !self.says_no(response)
    }

    /// As [`Work::admits`], with the statuses that a request's description adds.
    pub(super) fn admits_as(&self, template: &Template, response: &Response) -> bool {
        self.admits(response)
            || (template.admits.contains(&response.status) && !self.says_no(response))
    }

    /// The texts of `denied` stand in the body, or in where a redirect leads.
    fn says_no(&self, response: &Response) -> bool {
        let text = String::from_utf8_lossy(&response.body);
        let location = String::from_utf8_lossy(response.header("location").unwrap_or_default());
        let denied = &self.description.denied;
        denied.iter().any(|no| text.contains(no.as_str()) || location.contains(no.as_str()))
    }
}

/// No user's password.
pub(super) const WRONG: &str = "smesec-not-the-password-7c1";

/// A user's own values.
pub(super) fn fill_of(user: &User) -> Fill {
    let mut fill: Fill = vec![("user".to_owned(), user.id.as_str().into())];
    fill.extend(user.fields.iter().map(|(name, value)| (name.clone(), value.as_str().into())));
    fill
}

/// A user's values with another password.
pub(super) fn with_password(user: &User, password: impl Into<Json>) -> Fill {
    let mut fill = fill_of(user);
    replace(&mut fill, "password", password.into());
    fill
}

pub(super) fn replace(fill: &mut Fill, name: &str, value: Json) {
    for (_, old) in fill.iter_mut().filter(|(known, _)| known == name) {
        *old = value.clone();
    }
}

/// One `Set-Cookie` (RFC 6265, section 5.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SetCookie {
    pub(super) name: String,
    pub(super) value: String,
    /// Names in lower case.
    pub(super) attributes: Vec<(String, String)>,
}

impl SetCookie {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().rfind(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether it takes the cookie away; a `Max-Age` counts before an `Expires`.
    fn has_ended(&self, now: Timestamp) -> bool {
        if let Some(seconds) = self.attribute("max-age").and_then(|age| age.parse::<i64>().ok()) {
            return seconds <= 0;
        }
        self.attribute("expires").and_then(date).is_some_and(|end| end <= now)
    }
}

/// The cookies that an answer sets, but for those it takes away. Of one set twice the last counts.
pub(super) fn set_cookies(response: &Response, now: Timestamp) -> Vec<SetCookie> {
    let mut out: Vec<SetCookie> = Vec::new();
    for (name, line) in &response.headers {
        if !name.eq_ignore_ascii_case("set-cookie") {
            continue;
        }
        let line = String::from_utf8_lossy(line);
        let mut parts = line.split(';');
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            continue;
        };
        let attributes = parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (name.trim().to_ascii_lowercase(), value.trim().to_owned())
        });
        let cookie = SetCookie {
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
            attributes: attributes.collect(),
        };
        out.retain(|known| known.name != cookie.name);
        if !cookie.value.is_empty() && !cookie.has_ended(now) {
            out.push(cookie);
        }
    }
    out
}

pub(super) fn cookie_header(cookies: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("; ")
}

/// The value at a dotted path, such as `data.token`; numbers index lists.
pub(super) fn field_of<'j>(json: &'j Json, path: &str) -> Option<&'j Json> {
    path.splitn(DEEPEST, '.').try_fold(json, |at, name| match at {
        Json::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => at.get(name),
    })
}

/// Parts of a dotted path; what a file names beyond is one part, so that no name makes a tower.
const DEEPEST: usize = 32;

/// Puts a value at a dotted path, making the objects on its way.
pub(super) fn put(json: &mut Json, path: &str, value: impl Into<Json>) {
    let mut at = json;
    for name in path.splitn(DEEPEST, '.') {
        if !at.is_object() {
            *at = Json::Object(serde_json::Map::new());
        }
        let Json::Object(fields) = at else { return };
        at = fields.entry(name).or_insert(Json::Null);
    }
    *at = value.into();
}

fn scalar_text(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
