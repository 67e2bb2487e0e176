//! One test as it runs: its stages one after another, with their variables, cookies and people.

use super::answer::Answer;
use super::jar::Jar;
use super::people::{People, learn_cookie};
use super::request::{self, Auth, Cookies, Ready};
use super::{digest, message};
use crate::runner::{Exchange, MessageSession, Request, Response, Session, Target, TestStep};
use crate::taas::expression;
use crate::taas::extension::{Call, Tincture};
use crate::taas::format::{format, format_text};
use crate::taas::report::{LOOKED_AT, MOST_EXCHANGES};
use crate::taas::scope::Scope;
use crate::taas::secret::Secrets;
use crate::taas::tavern::{Action, Script, Stage, Strict};
use crate::taas::url::Url;
use crate::taas::value::Value;
use crate::time::Timestamp;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Redirects that one request follows; the format's own runner stops there too.
const REDIRECTS: usize = 30;

/// Retries of one stage. Whoever waits longer for an answer wants a delay between them.
const RETRIES: i128 = 10_000;

/// The longest delay of a stage. Whoever waits longer wants a schedule.
const LONGEST_DELAY: f64 = 3_600.0;

/// A test at work.
pub(super) struct Act<'t> {
    pub(super) script: &'t Script,
    pub(super) session: Box<dyn Session>,
    pub(super) messages: Option<Box<dyn MessageSession>>,
    pub(super) scope: Scope,
    file: &'t str,
    jar: Jar,
    people: People,
    secrets: &'t mut Secrets,
    pub(super) steps: Vec<TestStep>,
    pub(super) warnings: Vec<String>,
}

/// Why a test failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) why: String,
    /// Under `finally`, after all else went well.
    pub(super) finally: bool,
}

impl<'t> Act<'t> {
    pub(super) fn new(
        script: &'t Script,
        file: &'t str,
        session: Box<dyn Session>,
        secrets: &'t mut Secrets,
    ) -> Self {
        let mut scope = Scope::new(Arc::clone(&script.fixed.env), Arc::clone(&script.shared));
        for (name, value) in &script.own {
            scope.set(name.as_str(), value.clone());
        }
        Self {
            script,
            session,
            messages: None,
            scope,
            file,
            jar: Jar::default(),
            people: People::default(),
            secrets,
            steps: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Runs all stages, then those under `finally` whatever came before.
    pub(super) fn run(&mut self, target: &dyn Target) -> Result<(), Failure> {
        let script = self.script;
        let outcome = self.connect(target).and_then(|()| self.stages(&script.stages));
        let last = self.finally(&script.finally);
        match (outcome, last) {
            (Err(why), _) => Err(Failure { why, finally: false }),
            (Ok(()), Err(why)) => Err(Failure { why, finally: true }),
            (Ok(()), Ok(())) => Ok(()),
        }
    }

    fn connect(&mut self, target: &dyn Target) -> Result<(), String> {
        let Some(options) = &self.script.messages else { return Ok(()) };
        let (options, deadline) = message::options(&self.formatted(options)?)?;
        if let Some((_, password)) = &options.credentials {
            self.secrets.add(password.as_str());
        }
        self.messages = Some(target.messages(&options, deadline).map_err(|e| e.to_string())?);
        Ok(())
    }

    fn stages(&mut self, stages: &[Stage]) -> Result<(), String> {
        let only = stages.iter().any(|stage| stage.only);
        for stage in stages.iter().filter(|stage| stage.only || !only) {
            // The format's own runner ends with the first that is marked so and not skipped.
            if self.stage(stage, false)? && stage.only {
                break;
            }
        }
        Ok(())
    }

    /// What cleans up runs whole: neither `skip` nor `only` counts there.
    fn finally(&mut self, stages: &[Stage]) -> Result<(), String> {
        stages.iter().try_for_each(|stage| self.stage(stage, true).map(|_| ()))
    }

    /// Runs a stage until it passes or its retries are spent; false where it is skipped.
    fn stage(&mut self, stage: &Stage, finally: bool) -> Result<bool, String> {
        let mut step = TestStep { name: stage.name.clone(), ..TestStep::default() };
        let mut ran = true;
        match self.attempts(stage, finally, &mut step) {
            Ok(done) => ran = done,
            Err(why) => step.failures.push(why),
        }
        let failed = step.failures.first().map(|first| {
            let place = format!("{}:{}:{}", self.file, stage.place.line, stage.place.column);
            format!("{place}: stage `{}`: {first}", step.name)
        });
        self.steps.push(step);
        failed.map_or(Ok(ran), Err)
    }

    fn attempts(
        &mut self,
        stage: &Stage,
        finally: bool,
        step: &mut TestStep,
    ) -> Result<bool, String> {
        step.name = format_text(&stage.name, &self.scope)?.into_owned();
        if !finally && self.skips(&stage.skip)? {
            step.name.push_str(" (skipped)");
            return Ok(false);
        }
        let retries = match format(&stage.max_retries, &self.scope)? {
            Value::Null => 0,
            Value::Int(number) if (0..=RETRIES).contains(&number) => {
                u32::try_from(number).unwrap_or(0)
            }
            other => {
                return Err(format!(
                    "`max_retries` is {other}; write a whole number from 0 to {RETRIES}"
                ));
            }
        };
        for attempt in 0..=retries {
            step.failures.clear();
            self.delay(&stage.delay_before)?;
            let outcome = self.attempt(stage, step);
            self.delay(&stage.delay_after)?;
            match outcome {
                Ok(()) if step.failures.is_empty() => break,
                Err(why) if attempt == retries => return Err(why),
                _ => {}
            }
        }
        Ok(true)
    }

    fn skips(&self, skip: &Value) -> Result<bool, String> {
        match format(skip, &self.scope)? {
            Value::Null => Ok(false),
            Value::Bool(flag) => Ok(flag),
            Value::Text(condition) => match condition.trim().to_ascii_lowercase().as_str() {
                // The words of Python's `strtobool` go before a condition.
                "y" | "yes" | "t" | "true" | "on" | "1" => Ok(true),
                "n" | "no" | "f" | "false" | "off" | "0" => Ok(false),
                _ => {
                    let known = |name: &str| self.scope.resolve(name).ok().map(Cow::into_owned);
                    Ok(expression::evaluate_with(&condition, &known)?.truth())
                }
            },
            other => Err(format!("`skip` is {other}; write true, false or a condition")),
        }
    }

    fn delay(&mut self, delay: &Value) -> Result<(), String> {
        let seconds = match format(delay, &self.scope)? {
            Value::Null => return Ok(()),
            other => other.number().filter(|seconds| (0.0..=LONGEST_DELAY).contains(seconds)),
        };
        let seconds = seconds.ok_or("a delay is a number of seconds, an hour at most")?;
        self.session.wait(Duration::from_secs_f64(seconds));
        Ok(())
    }

    fn attempt(&mut self, stage: &Stage, step: &mut TestStep) -> Result<(), String> {
        match &stage.action {
            Action::Http { request, response, strict } => {
                let strict = strict.unwrap_or(self.script.strict);
                self.http(stage, request, response.as_ref(), strict, step)
            }
            Action::Message { publish, awaited } => {
                let begun = self.begin(stage, publish.as_ref().unwrap_or(&Value::Null))?;
                self.message(publish.as_ref(), awaited, step)?;
                finish(begun, "paho-mqtt", Value::List(awaited.clone()), None)
            }
        }
    }

    /// Functions around a stage, and what they go on with: the host's own, those of the test, of the stage and of
    /// the global configuration.
    fn begin(&self, stage: &Stage, request: &Value) -> Result<Begun, String> {
        let mut begun = Vec::new();
        let Some(extension) = &self.script.fixed.extension else { return Ok(begun) };
        begun.extend(extension.watch(request)?);
        let of_test = || self.script.tinctures.iter().chain(&stage.tinctures);
        let tinctures = || of_test().chain(self.script.global_tinctures.iter());
        if tinctures().next().is_none() {
            return Ok(begun);
        }
        let shown = stage.shown();
        for tincture in tinctures() {
            let tincture = format(tincture, &self.scope)?;
            let function = tincture.key("function").and_then(Value::as_text).unwrap_or_default();
            let args = tincture.key("extra_args").and_then(Value::items).unwrap_or_default();
            let kwargs = tincture.key("extra_kwargs").and_then(Value::entries).unwrap_or_default();
            let call = Call { function, response: None, args, kwargs };
            begun.extend(extension.tincture(&call, &shown)?);
        }
        Ok(begun)
    }

    /// A value with its variables and the results of its functions put in.
    pub(super) fn formatted(&self, value: &Value) -> Result<Value, String> {
        request::extended(format(value, &self.scope)?, self.script.fixed.extension.as_deref())
    }

    fn http(
        &mut self,
        stage: &Stage,
        request: &Value,
        response: Option<&Value>,
        strict: Strict,
        step: &mut TestStep,
    ) -> Result<(), String> {
        self.scope.set_request(None);
        let formatted = self.formatted(request)?;
        let ready = request::build(&formatted, self.script.fixed.files.as_ref(), self.file)?;
        if ready.end_session {
            self.jar.end_session();
        }
        if let Some(auth) = &ready.auth {
            self.secrets.add(auth.password.as_str());
        }
        People::learn_sent(&ready.request.headers, self.secrets);
        if let Cookies::These(these) = &ready.cookies {
            for (name, value) in these {
                if let Some(value) = value {
                    learn_cookie(name, value, self.secrets);
                }
            }
        }
        let begun = self.begin(stage, &formatted)?;
        let user = ready.auth.as_ref().map(|auth| auth.user.as_str());
        let (last, cookies) = self.send(&ready, user, step)?;
        let names = cookies.iter().map(|(name, _)| name.clone()).collect();
        let answer = Answer::new(&last, names)?;
        self.people.learn(&formatted, &cookies, answer.json.as_ref(), self.secrets);
        // Without a response nothing is checked, as in the format's own runner; loading warned of it.
        let Some(response) = response else {
            return finish(begun, "requests", Value::Null, Some(&answer));
        };
        self.scope.set_request(Some(vars(formatted)));
        // What is formatted here are expectations: functions among them get the answer, not their place.
        let expected = format(response, &self.scope);
        self.scope.set_request(None);
        let expected = expected?;
        if !begun.is_empty() {
            finish(begun, "requests", expected.clone(), Some(&answer))?;
        }
        let extension = self.script.fixed.extension.as_deref();
        let judged = answer.judge(
            &with_functions(expected, extension)?,
            strict,
            extension,
            self.session.now(),
        );
        step.failures.extend(judged.failures);
        for warning in judged.warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        if step.failures.is_empty() {
            for (name, value) in judged.saved {
                self.scope.set(name, value);
            }
        }
        Ok(())
    }

    /// Sends a request, answers a digest challenge, follows redirects; the last answer and its cookies.
    fn send(
        &mut self,
        ready: &Ready,
        user: Option<&str>,
        step: &mut TestStep,
    ) -> Result<(Response, Vec<(String, String)>), String> {
        let mut request = ready.request.clone();
        let mut url = ready.url.clone();
        let mut user = user;
        let mut own_cookie =
            request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        let (jar, mut cookies_of) = (Cookies::Jar, &ready.cookies);
        let mut challenged = false;
        let mut turns = 0;
        loop {
            if !own_cookie {
                self.put_cookies(&mut request, &url, cookies_of)?;
            }
            if step.acting_as.is_none() {
                step.acting_as = self.people.acting(&request, user);
            }
            let (response, cookies) = self.exchange_once(&request, &url, ready.deadline, step)?;
            if let Some(auth) = ready.auth.as_ref().filter(|auth| auth.digest && !challenged)
                && response.status == 401
                && let Some(answer) = self.answer_to(&response, auth, &request.method, &url)
            {
                challenged = true;
                request::set(&mut request.headers, "Authorization", answer.into_bytes());
                continue;
            }
            let location = response.header("location");
            let Some(location) = location
                .filter(|to| !to.trim_ascii().is_empty())
                .filter(|_| ready.follow && matches!(response.status, 301 | 302 | 303 | 307 | 308))
            else {
                return Ok((response, cookies));
            };
            turns += 1;
            if turns > REDIRECTS {
                return Err(format!("more than {REDIRECTS} redirects; the last leads to `{url}`"));
            }
            let next = url.join(&String::from_utf8_lossy(location))?;
            if next.authority != url.authority || (url.scheme == "https" && next.scheme == "http") {
                // Credentials are for the host that they were given for.
                request.headers.retain(|(name, _)| {
                    !["authorization", "cookie"].iter().any(|own| name.eq_ignore_ascii_case(own))
                });
                (own_cookie, cookies_of) = (false, &jar);
                user = None;
            }
            turned(&mut request, response.status);
            request.url = next.to_string();
            url = next;
        }
    }

    fn put_cookies(
        &self,
        request: &mut Request,
        url: &Url,
        cookies: &Cookies,
    ) -> Result<(), String> {
        let mut pairs = Vec::new();
        match cookies {
            Cookies::Jar => {
                for cookie in self.jar.for_url(url, self.session.now()) {
                    pairs.push(format!("{}={}", cookie.name, cookie.value));
                }
            }
            Cookies::These(these) => {
                for (name, value) in these {
                    let value = if let Some(value) = value {
                        value.as_str()
                    } else {
                        let known = self.jar.named(name).ok_or_else(|| {
                            format!("no answer has set a cookie `{name}`; get it first")
                        })?;
                        known.value.as_str()
                    };
                    pairs.push(format!("{name}={value}"));
                }
            }
        }
        request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("cookie"));
        if !pairs.is_empty() {
            request.headers.push(("Cookie".to_owned(), pairs.join("; ").into_bytes()));
        }
        Ok(())
    }

    fn exchange_once(
        &mut self,
        request: &Request,
        url: &Url,
        deadline: Duration,
        step: &mut TestStep,
    ) -> Result<(Response, Vec<(String, String)>), String> {
        let start = self.session.now();
        let outcome = self.session.exchange(request, deadline);
        let now = self.session.now();
        let elapsed = between(start, now);
        let response = outcome.clone();
        keep(&mut step.exchanges, Exchange { request: request.clone(), response, elapsed });
        let response = outcome.map_err(|e| format!("`{} {}`: {e}", request.method, request.url))?;
        let mut cookies = Vec::new();
        for (name, value) in &response.headers {
            if name.eq_ignore_ascii_case("set-cookie")
                && let Some(set) = self.jar.store(value, url, now)
                && let Some(cookie) = self.jar.named(&set)
            {
                cookies.push((set, cookie.value.clone()));
            }
        }
        Ok((response, cookies))
    }

    fn answer_to(
        &self,
        response: &Response,
        auth: &Auth,
        method: &str,
        url: &Url,
    ) -> Option<String> {
        let salt = u64::from_ne_bytes(self.session.now().unix_nanos().to_ne_bytes());
        let challenges = response
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
        challenges.into_iter().find_map(|(_, value)| {
            let challenge = String::from_utf8_lossy(value);
            digest::answer(&challenge, &auth.user, &auth.password, method, &url.target(), salt)
        })
    }
}

/// Adds an exchange to those of a stage. Reports show the last ones; of those before, which retries make
/// thousands of, the request's line, the status and the time stay. Bodies are kept as far as reports look.
fn keep(exchanges: &mut Vec<Exchange>, mut exchange: Exchange) {
    let cut = |body: &mut Vec<u8>| {
        if body.len() > LOOKED_AT {
            body.truncate(LOOKED_AT);
            body.shrink_to_fit();
        }
    };
    cut(&mut exchange.request.body);
    if let Ok(response) = &mut exchange.response {
        cut(&mut response.body);
    }
    let before = exchanges.len().checked_sub(MOST_EXCHANGES);
    if let Some(old) = before.and_then(|at| exchanges.get_mut(at)) {
        (old.request.headers, old.request.body) = (Vec::new(), Vec::new());
        if let Ok(response) = &mut old.response {
            (response.headers, response.body) = (Vec::new(), Vec::new());
        }
    }
    exchanges.push(exchange);
}

/// What waits for the end of a stage's request.
type Begun = Vec<Box<dyn Tincture>>;

/// Shows an answer and what is expected of it to all that waits for it.
fn finish(
    begun: Begun,
    protocol: &str,
    expected: Value,
    answer: Option<&Answer<'_>>,
) -> Result<(), String> {
    if begun.is_empty() {
        return Ok(());
    }
    let expected = Value::Map(vec![(protocol.to_owned(), expected)]);
    let response =
        answer.map(|answer| Response { body: answer.body.clone(), ..answer.response.clone() });
    begun.into_iter().try_for_each(|tincture| tincture.finish(&expected, response.as_ref()))
}

/// What follows a redirect keeps of the request: browsers turn 303 and, by custom, 301 and 302 into GET.
fn turned(request: &mut Request, status: u16) {
    let get = match status {
        303 | 302 => request.method != "HEAD",
        301 => request.method == "POST",
        _ => false,
    };
    if get {
        "GET".clone_into(&mut request.method);
    }
    if !matches!(status, 307 | 308) {
        request.body.clear();
        request.headers.retain(|(name, _)| {
            !["content-type", "content-length", "content-encoding", "transfer-encoding"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
        });
    }
}

/// The request as `tavern.request_vars` shows it.
fn vars(formatted: Value) -> Value {
    let Value::Map(mut entries) = formatted else { return formatted };
    if !entries.iter().any(|(key, _)| key == "method") {
        entries.push(("method".to_owned(), Value::text("GET")));
    }
    Value::Map(entries)
}

/// Expectations with the results of functions inside a body put in; checks and `save` get the answer later.
fn with_functions(
    expected: Value,
    extension: Option<&dyn crate::taas::Extension>,
) -> Result<Value, String> {
    let Value::Map(entries) = expected else { return Ok(expected) };
    let each = entries.into_iter().map(|(key, value)| {
        let value = match key.as_str() {
            "save" | "verify_response_with" => value,
            _ => request::extended(value, extension)?,
        };
        Ok((key, value))
    });
    Ok(Value::Map(each.collect::<Result<_, String>>()?))
}

/// The time from one point to another; none where the clock went back.
pub(super) fn between(start: Timestamp, end: Timestamp) -> Duration {
    let nanos = end.unix_nanos().saturating_sub(start.unix_nanos());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_retries_keep_little_and_their_number() {
        let mut kept = Vec::new();
        for _ in 0..1_000 {
            let headers = vec![("A".to_owned(), vec![b'x'; 10_000])];
            let response =
                Response { status: 503, headers, body: vec![b'x'; 200_000], ..Response::default() };
            let request = Request { url: "http://h/".to_owned(), ..Request::default() };
            let exchange = Exchange { request, response: Ok(response), elapsed: Duration::ZERO };
            keep(&mut kept, exchange);
        }
        let sizes = kept.iter().filter_map(|kept| kept.response.as_ref().ok());
        let sizes: Vec<usize> = sizes
            .map(|r| r.body.len() + r.headers.iter().map(|(_, v)| v.len()).sum::<usize>())
            .collect();
        let whole = LOOKED_AT + 10_000;
        assert_eq!(sizes.len(), 1_000);
        assert_eq!(sizes.iter().sum::<usize>(), whole * MOST_EXCHANGES);
        assert!(sizes.iter().rev().take(MOST_EXCHANGES).all(|size| *size == whole));
    }
}
