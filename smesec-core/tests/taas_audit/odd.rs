//! Services that do as real ones do, sound or not: answered within the process, on a clock of their own.

use smesec_core::decode::digest::hmac_sha256;
use smesec_core::decode::transform::Transform;
use smesec_core::runner::{
    ExchangeError, Observer, Report, Request, Response, Session, Target, TestResult, TestRunner,
    TestVerdict, Trust,
};
use smesec_core::taas::audit::{Audit, SecretSource};
use smesec_core::taas::{Secrets, report};
use smesec_core::time::Timestamp;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Given = Result<Response, ExchangeError>;
type Answers = Box<dyn Fn(&Request, i64) -> Given + Send + Sync>;

/// A service: what it answers, and its clock in milliseconds.
struct Service {
    answer: Answers,
    clock: Arc<AtomicI64>,
}

struct Door(Arc<Service>);

impl Target for Door {
    fn session(&self) -> Box<dyn Session> {
        Box::new(Line(Arc::clone(&self.0)))
    }
}

struct Line(Arc<Service>);

impl Session for Line {
    fn exchange(&mut self, request: &Request, _: Duration) -> Given {
        let now = self.0.clock.fetch_add(1, Relaxed);
        (self.0.answer)(request, now / 1_000)
    }

    fn wait(&mut self, pause: Duration) {
        self.0.clock.fetch_add(pause.as_millis().try_into().unwrap(), Relaxed);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_nanos(self.0.clock.load(Relaxed) * 1_000_000)
    }
}

struct Quiet;

impl Observer for Quiet {
    fn finished(&mut self, _: &TestResult) {}
}

const NOW: i64 = 1_700_000_000;

fn audit(
    text: &str,
    only: &[&str],
    answer: impl Fn(&Request, i64) -> Given + Send + Sync + 'static,
) -> Report {
    audit_with(text, only, true, answer)
}

fn audit_with(
    text: &str,
    only: &[&str],
    destructive: bool,
    answer: impl Fn(&Request, i64) -> Given + Send + Sync + 'static,
) -> Report {
    let secret = |source: SecretSource<'_>| match source {
        SecretSource::Environment("alice") => Some("correct-horse-alice".to_owned()),
        SecretSource::Environment("root") => Some("tr0ub4dor-and-root".to_owned()),
        SecretSource::Environment(other) => Some(other.to_owned()),
        _ => None,
    };
    let audit = Audit::load_with(text, "target.yaml", &secret).unwrap().destructive(destructive);
    let audit = audit.only(only.iter().copied()).unwrap();
    let clock = Arc::new(AtomicI64::new(NOW * 1_000));
    let service = Arc::new(Service { answer: Box::new(answer), clock });
    audit.run(&Door(service), &mut Quiet)
}

/// Each result as `check: verdict`, with what it says.
fn told(report: &Report) -> Vec<String> {
    let line = |result: &TestResult| match &result.verdict {
        TestVerdict::Failed(finding) => format!("{} FOUND {}", finding.part, finding.evidence),
        TestVerdict::Passed => "ok".to_owned(),
        TestVerdict::Skipped(why) => format!("skipped {why}"),
        TestVerdict::Refused(why) => format!("NOT DONE {why}"),
        TestVerdict::ExpectedFailure(_) => unreachable!(),
        _ => String::new(),
    };
    report.results.iter().map(line).collect()
}

const SHOP: &str = "base: http://127.0.0.1:8080
limits: {per_second: 1000000}
users:
  alice: {role: user, password: {env: alice}}
  root: {role: admin, password: {env: root}}
signin: {path: /in, form: {u: '{name}', p: '{password}'}, token: {cookie: sid}}
routes:
  - {path: /me, allow: [user, admin]}
  - {path: /all, allow: [admin]}
";

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()));
    Response {
        status,
        reason: String::new(),
        headers: headers.collect(),
        body: body.as_bytes().to_vec(),
    }
}

fn path(request: &Request) -> &str {
    let rest = request.url.split_once("://").unwrap().1;
    rest.split_once('/').map_or("", |(_, path)| path)
}

/// Sessions of a service.
#[derive(Default)]
struct Site {
    sessions: Mutex<HashMap<String, String>>,
    made: AtomicU32,
    /// Wrong passwords in a row.
    wrong: AtomicU32,
}

impl Site {
    fn cookie(request: &Request) -> Option<String> {
        let (_, value) = request.headers.iter().find(|(n, _)| n == "Cookie")?;
        let value = String::from_utf8(value.clone()).unwrap();
        value.split("; ").find_map(|pair| pair.strip_prefix("sid=")).map(str::to_owned)
    }

    fn who(&self, request: &Request) -> Option<String> {
        let sessions = self.sessions.lock().unwrap();
        sessions.get(&Self::cookie(request)?).filter(|who| !who.is_empty()).cloned()
    }

    /// Whose name and password a sign-in has, if they are right.
    fn right(request: &Request) -> Option<String> {
        let body = String::from_utf8(request.body.clone()).unwrap();
        [("alice", "correct-horse-alice"), ("root", "tr0ub4dor-and-root")]
            .iter()
            .find(|(name, password)| body == format!("u={name}&p={password}"))
            .map(|(name, _)| (*name).to_owned())
    }

    fn fresh(&self) -> String {
        format!("session-{:08}", self.made.fetch_add(1, Relaxed))
    }

    /// A session for a user; `only` ends those before it.
    fn open(&self, user: &str, only: bool) -> String {
        let id = self.fresh();
        let mut sessions = self.sessions.lock().unwrap();
        sessions.retain(|_, whose| !only || whose != user);
        sessions.insert(id.clone(), user.to_owned());
        id
    }

    /// What a plain sound site answers.
    fn plain(&self, request: &Request) -> Response {
        match path(request) {
            "in" => {
                let Some(user) = Self::right(request) else {
                    self.wrong.fetch_add(1, Relaxed);
                    return answer(401, &[], "no");
                };
                self.wrong.store(0, Relaxed);
                let cookie = format!("sid={}; Path=/", self.open(&user, false));
                answer(200, &[("Set-Cookie", &cookie)], "welcome")
            }
            "me" if self.who(request).is_some() => answer(200, &[], "you"),
            "all" if self.who(request).as_deref() == Some("root") => answer(200, &[], "all"),
            "me" | "all" => answer(403, &[], "no"),
            _ => answer(404, &[], "nothing here"),
        }
    }
}

#[test]
fn a_server_that_says_to_wait_for_ever_is_not_waited_for() {
    let asked = AtomicU32::new(0);
    let report = audit(SHOP, &["bfla-read"], move |_, _| {
        let first = asked.fetch_add(1, Relaxed) == 0;
        let wait = if first { "1" } else { "18446744073709551615" };
        Ok(answer(429, &[("Retry-After", wait)], ""))
    });
    assert!(told(&report)[0].starts_with("NOT DONE"), "{:?}", told(&report));
}

#[test]
fn mild_checks_do_not_wait_away_the_patience_of_grave_ones() {
    // One sign-in in twenty seconds; a quote in the name signs in.
    let (site, free) = (Site::default(), Arc::new(AtomicI64::new(0)));
    let report =
        audit(SHOP, &["enum-message", "enum-status", "sqli-login"], move |request, now| {
            if path(request) != "in" {
                return Ok(site.plain(request));
            }
            let wait = free.load(Relaxed) - now;
            if wait > 0 {
                return Ok(answer(429, &[("Retry-After", &wait.to_string())], "later"));
            }
            free.store(now + 20, Relaxed);
            if String::from_utf8_lossy(&request.body).contains("%27") {
                let cookie = format!("sid={}", site.open("alice", false));
                return Ok(answer(200, &[("Set-Cookie", &cookie)], "welcome"));
            }
            Ok(site.plain(request))
        });
    let told = told(&report);
    assert!(told[0].contains("the target asks to wait 20 s; of 120 s 20 are used up and 90 s kept for graver checks: raise `patience` under `limits`"), "{told:?}");
    assert!(told[1].contains("raise `patience`"), "{told:?}");
    assert!(told[2].contains("FOUND"), "{told:?}");
    // What was answered with "later" alone is no pass.
    let site = Site::default();
    let report = audit(SHOP, &["sqli-login"], move |request, _| {
        let body = String::from_utf8_lossy(&request.body);
        if body.contains("%27") || body.contains("%22") {
            return Ok(answer(429, &[("Retry-After", "3600")], "later"));
        }
        Ok(site.plain(request))
    });
    let told = self::told(&report);
    assert!(
        told[0]
            .starts_with("NOT DONE the target asks to wait 3600 s; of 120 s 0 are used up: raise"),
        "{told:?}"
    );
}

#[test]
fn what_was_found_to_be_secret_stands_in_no_report() {
    let site = Site::default();
    let hash = "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW";
    let key = "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEA\\n-----END PRIVATE KEY-----";
    let body = format!(
        r#"{{"digest":"{hash}","pem":"{key}","all":[{{"secret_key":"sk-0001-aaaa"}}],"note":"sk-0001-aaaa","cloud":"AKIAABCDEFGHIJKLMNOP"}}"#
    );
    let report = audit(SHOP, &["secret-in-response"], move |request, _| {
        Ok(match path(request) {
            "me" if site.who(request).is_some() => answer(200, &[], &body),
            _ => site.plain(request),
        })
    });
    assert!(
        told(&report)[0].contains("FOUND a bcrypt hash is in the answer"),
        "{:?}",
        told(&report)
    );
    let (secrets, mut out) = (Secrets::default(), Vec::new());
    let about = report::About::new("shop", &secrets);
    for write in [report::sarif, report::junit, report::html, report::json_lines] {
        write(&report, &about, &mut out).unwrap();
    }
    let style = report::Style::default();
    report::terminal(&report, &about, style, &mut out).unwrap();
    out.extend(format!("{report:?}").into_bytes());
    let out = String::from_utf8(out).unwrap();
    for secret in ["R9h/cIPz0gi", "MIIEvQIB", "sk-0001", "AKIAABC"] {
        assert!(!out.contains(secret), "{secret}");
    }
}

#[test]
fn a_password_that_is_a_word_is_not_found_in_other_words() {
    for (body, found) in [
        (r#"{"passwordChangedAt": 17, "hint": "never tell your password"}"#, false),
        (r#"{"password": "[redacted]", "x": "<hidden>"}"#, false),
        (r#"{"note": "password"}"#, true),
    ] {
        let text = SHOP.replace("{env: alice}", "{env: password}");
        let site = Site::default();
        let report = audit(&text, &["secret-in-response"], move |request, _| {
            Ok(match path(request) {
                "in" => {
                    let id = site.open("root", false);
                    answer(200, &[("Set-Cookie", &format!("sid={id}"))], "")
                }
                _ if site.who(request).is_some() => answer(200, &[], body),
                _ => answer(403, &[], ""),
            })
        });
        let told = told(&report);
        assert_eq!(told.iter().any(|line| line.contains("FOUND")), found, "{told:?}");
        if found {
            assert!(told[0].contains("what `alice` signs in with"), "{told:?}");
        }
    }
}

#[test]
fn a_limit_that_is_reached_already_is_a_limit() {
    for (status, headers) in [(429, &[][..]), (401, &[("Retry-After", "60")][..])] {
        let report = audit(SHOP, &["no-rate-limit"], move |_, _| Ok(answer(status, headers, "")));
        assert_eq!(told(&report), ["ok"], "{status}");
        assert!(report.results[0].warnings[0].contains("after 1 sign-ins"), "{report:?}");
    }
    let report = audit(SHOP, &["no-rate-limit"], |_, _| Ok(answer(401, &[], "")));
    assert!(told(&report)[0].contains("FOUND"));
}

#[test]
fn a_cookie_with_a_refusal_is_no_sign_in() {
    for locks in [true, false] {
        let site = Site::default();
        let report = audit(SHOP, &["no-lockout"], move |request, _| {
            if path(request) != "in" {
                return Ok(site.plain(request));
            }
            let right = Site::right(request).filter(|_| !locks || site.wrong.load(Relaxed) < 5);
            let (id, to) = if let Some(user) = right {
                (site.open(&user, false), "/home")
            } else {
                site.wrong.fetch_add(1, Relaxed);
                (site.fresh(), "/in?failed")
            };
            Ok(answer(302, &[("Set-Cookie", &format!("sid={id}")), ("Location", to)], ""))
        });
        assert_eq!(told(&report)[0] == "ok", locks, "{:?}", told(&report));
    }
}

fn token(expires: i64) -> String {
    token_of(&format!(r#"{{"sub":"alice","exp":{expires}}}"#))
}

fn token_of(claims: &str) -> String {
    let part = |bytes: &[u8]| {
        let mut out = Vec::new();
        Transform::Base64Encode.apply(bytes, &mut out);
        let text = String::from_utf8(out).unwrap();
        text.trim_end_matches('=').replace('+', "-").replace('/', "_")
    };
    let body = format!("{}.{}", part(br#"{"alg":"HS256","typ":"JWT"}"#), part(claims.as_bytes()));
    let key = b"9b1f0c7e4a5d4c3b8e2f6a7d1c0b9e8f";
    format!("{body}.{}", part(&hmac_sha256(key, body.as_bytes())))
}

#[test]
fn a_token_ends_by_the_clock_of_the_target_and_a_minute_is_forgiven() {
    let text = SHOP.replace("{cookie: sid}", "{bearer: token}") + "jwt: {wait: 900}\n";
    // The target's clock is five minutes ahead, and it forgives a minute, or ten.
    for (leeway, sound) in [(60, true), (600, false)] {
        let report = audit(&text, &["jwt-expired-accepted"], move |request, now| {
            let there = now + 300;
            let date = match there - NOW {
                // Only the minutes differ within this test.
                passed @ 0..3_600 => {
                    let (minutes, seconds) = ((13 * 60 + 20 + passed) / 60, (20 + passed) % 60);
                    format!("Tue, 14 Nov 2023 22:{minutes:02}:{seconds:02} GMT")
                }
                _ => unreachable!(),
            };
            let good = token(NOW + 300 + 200);
            let sent = request.headers.iter().find(|(n, _)| n == "Authorization");
            let is_good = sent.is_some_and(|(_, v)| v[..] == *format!("Bearer {good}").as_bytes());
            let date = [("Date", date.as_str())];
            Ok(match path(request) {
                "in" => answer(200, &date, &format!(r#"{{"token":"{good}"}}"#)),
                _ if is_good && there <= NOW + 500 + leeway => answer(200, &date, ""),
                _ => answer(401, &date, ""),
            })
        });
        let told = told(&report);
        assert_eq!(told[0] == "ok", sound, "{told:?}");
        assert!(
            sound || told[0].contains("65 s after its `exp` by the target's clock"),
            "{told:?}"
        );
    }
}

#[test]
fn a_redirect_is_judged_as_the_browser_reads_it_where_there_is_one() {
    let go = "redirects: ['/go?next={url}']\n";
    let secure = SHOP.replace("http://", "https://") + go;
    let site = Site::default();
    // It follows what begins with its own scheme and no slash: a path of its own, for browsers.
    let report = audit(&secure, &["open-redirect"], move |request, _| {
        let Some(next) = path(request).strip_prefix("go?next=") else {
            return Ok(site.plain(request));
        };
        let inside =
            next.starts_with("%2F") && !next.starts_with("%2F%2F") && !next.contains("%5C");
        let odd = next.starts_with("https%3A") && !next.contains("%2F%2F");
        Ok(if inside || odd {
            answer(302, &[("Location", &next.replace("%2F", "/").replace("%3A", ":"))], "")
        } else {
            answer(400, &[], "")
        })
    });
    assert_eq!(told(&report), ["ok"]);
    let site = Site::default();
    let report =
        audit(
            &format!("{SHOP}{go}"),
            &["open-redirect"],
            move |request, _| Ok(site.plain(request)),
        );
    assert!(
        told(&report)[0].starts_with("NOT DONE GET /go?next={url} answers"),
        "{:?}",
        told(&report)
    );
}

#[test]
fn a_page_that_speaks_of_errors_gives_none_away() {
    for (always, found) in [(true, false), (false, true)] {
        let site = Site::default();
        let report = audit(SHOP, &["verbose-error"], move |request, _| {
            let odd = request.url.contains('?');
            Ok(match path(request).split('?').next() {
                Some("me") if always || odd => answer(200, &[], "see java.lang.Exception"),
                _ => site.plain(request),
            })
        });
        assert_eq!(told(&report)[0].contains("FOUND"), found, "{:?}", told(&report));
    }
}

const WRITES: &str =
    "  - {method: POST, path: /notes, json: {text: a, n: 1, to: {name: x}}, allow: [user]WRITE}
  - {method: PUT, path: /all, json: {on: true}, allow: [admin]}
";

#[test]
fn writes_are_provoked_where_they_may_be_sent() {
    // Each error handler gives way to one kind of broken body alone.
    for shown in ["{\"text\":", "\"text\":[[]]", "[[]]\n"] {
        for (flag, destructive, found) in
            [("", false, false), ("", true, true), (", destructive: false", false, true)]
        {
            let (site, seen) = (Site::default(), Arc::new(Mutex::new(Vec::new())));
            let text = format!("{SHOP}{}", WRITES.replace("WRITE", flag));
            let sent = Arc::clone(&seen);
            let report = audit_with(&text, &["verbose-error"], destructive, move |request, _| {
                if request.body.is_empty() || path(request) == "in" {
                    return Ok(site.plain(request));
                }
                let who = site.who(request).unwrap_or_default();
                let body = String::from_utf8(request.body.clone()).unwrap();
                sent.lock().unwrap().push(format!("{who} {} {body}", request.method));
                let whole = serde_json::from_str::<serde_json::Value>(&body).is_ok();
                let odd = if shown.starts_with('{') {
                    !whole
                } else {
                    whole && (body + "\n").contains(shown)
                };
                Ok(match (path(request), odd) {
                    ("notes", true) => {
                        answer(500, &[], "TypeError\n    at write (node:internal/x)")
                    }
                    ("notes", false) => answer(201, &[], "written"),
                    _ => answer(400, &[], "what was that"),
                })
            });
            let (told, seen) = (told(&report), seen.lock().unwrap());
            assert_eq!(told[0].contains("POST /notes FOUND"), found, "{shown} {flag}: {told:?}");
            assert_eq!(seen.is_empty(), !found, "{seen:?}");
            assert!(!seen.iter().any(|line| line.starts_with("root") && !destructive), "{seen:?}");
            if found {
                let (who, body) = seen[0].split_once(" {").unwrap();
                assert_eq!(
                    (who, body.len()),
                    ("alice POST", 35),
                    "the baseline is the write: {seen:?}"
                );
            } else {
                assert_eq!(told, ["ok"]);
                let note = &report.results[0].warnings[0];
                assert!(
                    note.starts_with("2 writes with a body were not provoked; `dest"),
                    "{note}"
                );
            }
        }
    }
}

fn things(write: &str) -> String {
    format!(
        "{SHOP}objects: {{thing: {{read: 'GET /things/{{id}}', {write}owned: {{alice: [1001]}}}}}}\n"
    )
}

#[test]
fn not_yours_is_told_from_yours_by_an_id_of_the_same_kind() {
    let site = Site::default();
    // To ids that cannot be one it answers otherwise than to others' objects, all with 200.
    let report = audit(&things(""), &["idor-read"], move |request, _| {
        let Some(id) = path(request).strip_prefix("things/") else {
            return Ok(site.plain(request));
        };
        Ok(match (id, site.who(request).as_deref()) {
            (id, _) if id.len() != 4 => answer(200, &[], "no such kind of id"),
            ("1001", Some("alice")) => answer(200, &[], "a thing"),
            _ => answer(200, &[], "nothing for you"),
        })
    });
    assert_eq!(told(&report), ["ok"]);
}

#[test]
fn a_deletion_by_another_is_seen_by_its_owner() {
    let text = things("write: 'DELETE /things/{id}', ");
    for sound in [true, false] {
        let (site, there) = (Site::default(), Mutex::new(true));
        let kept = Arc::new(Mutex::new(true));
        let seen = Arc::clone(&kept);
        let report = audit(&text, &["idor-write"], move |request, _| {
            if path(request) != "things/1001" {
                return Ok(site.plain(request));
            }
            let mine = site.who(request).as_deref() == Some("alice");
            let mut there = there.lock().unwrap();
            if request.method == "DELETE" && (mine || !sound) {
                *there = false;
                *seen.lock().unwrap() = false;
                return Ok(answer(204, &[], ""));
            }
            Ok(answer(if mine && *there { 200 } else { 404 }, &[], ""))
        });
        let told = told(&report);
        assert_eq!(*kept.lock().unwrap(), sound, "{told:?}");
        assert_eq!(told[0] == "ok", sound, "{told:?}");
        assert!(sound || told[0].contains("is gone (404)"), "{told:?}");
    }
}

#[test]
fn a_write_whose_effect_nobody_saw_is_not_said_to_be_seen() {
    let text = things("write: {method: PATCH, path: '/things/{id}', json: {l: '{marker}'}}, ");
    let site = Site::default();
    let report = audit(&text, &["idor-write"], move |request, _| {
        Ok(match (path(request), request.method.as_str()) {
            ("things/1001", "PATCH") => answer(200, &[], "written"),
            ("things/1001", _) => answer(500, &[], ""),
            _ => site.plain(request),
        })
    });
    let told = told(&report);
    assert!(told[0].contains("FOUND") && !told[0].contains("sees the change"), "{told:?}");
}

#[test]
fn one_session_a_user_hides_no_flaw_and_makes_none() {
    let text = format!("{SHOP}signout: POST /out\n");
    for flawed in [true, false] {
        let site = Site::default();
        let report = audit(
            &text,
            &["session-fixation", "signout-keeps-token", "cors-credentials", "secret-in-response"],
            move |request, _| {
                let origin = request.headers.iter().find(|(n, _)| n == "Origin");
                let mut given = match path(request) {
                    "in" => match Site::right(request) {
                        Some(user) => {
                            let id = site.open(&user, true);
                            answer(200, &[("Set-Cookie", &format!("sid={id}"))], "")
                        }
                        None => answer(401, &[], ""),
                    },
                    "out" => {
                        let id = Site::cookie(request).unwrap();
                        site.sessions.lock().unwrap().remove(&id);
                        answer(200, &[], "")
                    }
                    _ => site.plain(request),
                };
                // Headers of such kinds come with answers that worked alone.
                if let (Some((_, origin)), true, 200) = (origin, flawed, given.status) {
                    let credentials = b"true".to_vec();
                    given.headers.push(("Access-Control-Allow-Origin".into(), origin.clone()));
                    given.headers.push(("Access-Control-Allow-Credentials".into(), credentials));
                }
                Ok(given)
            },
        );
        let told = told(&report);
        let at = told.iter().position(|line| line.contains("FOUND"));
        assert_eq!(at, flawed.then_some(2), "{told:?}");
        assert!(!told.iter().any(|line| line.contains("NOT DONE")), "{told:?}");
    }
}

#[test]
fn where_a_refusal_leads_tells_who_exists() {
    for (to_unknown, found) in [("/in?why=unknown", true), ("/in?why=wrong", false)] {
        let site = Site::default();
        let report = audit(SHOP, &["enum-message", "enum-status"], move |request, _| {
            if path(request) != "in" || Site::right(request).is_some() {
                return Ok(site.plain(request));
            }
            let known = request.body.starts_with(b"u=alice&");
            let to = if known { "/in?why=wrong" } else { to_unknown };
            Ok(answer(302, &[("Location", to)], ""))
        });
        let told = told(&report);
        assert_eq!(
            told.iter().filter(|line| line.contains("FOUND")).count(),
            usize::from(found),
            "{told:?}"
        );
        assert!(!found || told[0].contains("/in?why=unknown"), "{told:?}");
    }
}

#[test]
fn of_a_cookie_set_twice_the_last_counts() {
    for (before, after) in [
        ("sid=old-session-0; Path=/", ""),
        ("sid=; Max-Age=-1", ""),
        ("sid=deleted; Expires=Thu, 01 Jan 1970 00:00:00 GMT", ""),
        ("sid=deleted; Max-Age=-1", "; HttpOnly"),
    ] {
        let site = Site::default();
        let report = audit(SHOP, &["bfla-read", "cookie-no-httponly"], move |request, _| {
            let mut given = site.plain(request);
            if let Some(at) = given.headers.iter().position(|(name, _)| name == "Set-Cookie") {
                given.headers[at].1.extend_from_slice(after.as_bytes());
                given.headers.insert(at, ("Set-Cookie".into(), before.as_bytes().to_vec()));
            }
            Ok(given)
        });
        let told = told(&report);
        assert_eq!(told[0], "ok", "{before}: {told:?}");
        assert_eq!(told[1] == "ok", !after.is_empty(), "{before}: {told:?}");
    }
}

#[test]
fn a_session_that_a_refusal_gave_is_planted_too() {
    for flawed in [true, false] {
        let site = Site::default();
        let report = audit(SHOP, &["session-fixation"], move |request, _| {
            if path(request) != "in" {
                return Ok(site.plain(request));
            }
            let known = Site::cookie(request)
                .filter(|id| site.sessions.lock().unwrap().contains_key(id) && flawed);
            let user = Site::right(request);
            // It knows ids of its own alone, keeps them, and gives one to whomever it refuses.
            let id = known.unwrap_or_else(|| site.fresh());
            let whose = user.clone().unwrap_or_default();
            let mut sessions = site.sessions.lock().unwrap();
            sessions.insert(id.clone(), whose);
            let status = if user.is_some() { 200 } else { 401 };
            Ok(answer(status, &[("Set-Cookie", &format!("sid={id}"))], ""))
        });
        let told = told(&report);
        assert_eq!(told[0] == "ok", !flawed, "{told:?}");
    }
}

#[test]
fn one_broken_connection_loses_neither_the_check_nor_its_proofs() {
    let text = SHOP.to_owned() + "  - {path: /more, allow: [admin]}\n";
    for check in ["bfla-read", "bfla-method", "bfla-anonymous"] {
        let site = Site::default();
        let report = audit(&text, &[check], move |request, _| match path(request) {
            // Everybody is let in to `/all`, or by other methods; to `/more` nobody gets through.
            "all" if request.method != "GET" || check != "bfla-method" => {
                Ok(answer(200, &[], "all"))
            }
            "more" => Err(ExchangeError::Connection("reset".to_owned())),
            _ => Ok(site.plain(request)),
        });
        let told = told(&report);
        assert!(told.iter().any(|line| line.contains("FOUND")), "{check}: {told:?}");
        assert!(told.iter().any(|line| line.starts_with("NOT DONE")), "{check}: {told:?}");
    }
}

#[test]
fn success_may_be_a_redirect() {
    let text = "base: http://127.0.0.1:8080
users:
  alice: {role: user, password: {env: alice}}
  root: {role: admin, password: {env: root}}
signin: {path: /in, form: {u: '{name}', p: '{password}'}, token: {cookie: sid}}
routes:
  - {path: /me, allow: [user, admin]}
  - {path: /all, allow: [admin], admits: [302]}
";
    for flawed in [true, false] {
        let site = Site::default();
        let report = audit(text, &["bfla-read", "bfla-anonymous"], move |request, _| {
            Ok(match path(request) {
                "all" if flawed || site.who(request).as_deref() == Some("root") => {
                    answer(302, &[("Location", "/list?page=1")], "")
                }
                "all" => answer(302, &[("Location", "/in?next=all")], ""),
                _ => site.plain(request),
            })
        });
        let told = told(&report);
        assert_eq!(
            told.iter().filter(|line| line.contains("FOUND")).count(),
            if flawed { 2 } else { 0 },
            "{told:?}"
        );
        assert!(flawed || told == ["ok", "ok"], "{told:?}");
    }
}

#[test]
fn a_private_authority_is_believed_and_a_named_host_may_have_the_keys() {
    let load = |text: &str| {
        Audit::load_with(text, "dir/t.yaml", &|_: SecretSource<'_>| Some("x".to_owned()))
    };
    let routes = "routes: [{path: /, allow: anybody}]\n";
    let with = |tls: &str| format!("base: https://api.internal\ntls: {tls}\n{routes}");
    for (tls, trust) in [
        ("{ca: ca.pem}", Trust::File("dir/ca.pem".into())),
        ("{verify: false}", Trust::Anybody),
        ("{verify: true}", Trust::System),
    ] {
        let audit = load(&with(tls)).unwrap();
        assert!(audit.plan().iter().all(|p| p.request.connection.trust == trust), "{tls}");
        assert!(!audit.plan().is_empty());
        assert_eq!(audit.warnings().len(), usize::from(trust == Trust::Anybody));
        assert_eq!(audit.hosts(), [("api.internal".to_owned(), Some(443))]);
    }
    assert!(load(&with("{ca: x, verify: false}")).is_err());

    let elsewhere = "jwt: {jwks: 'https://login.example/keys'}\n";
    let why = load(&format!("{SHOP}{elsewhere}")).unwrap_err().to_string();
    assert!(
        why.ends_with("leads to a host that the file does not name; add it to `hosts`"),
        "{why}"
    );
    let text = format!("{SHOP}hosts: [login.example]\n{elsewhere}");
    let site = Site::default();
    let text = text.replace("{cookie: sid}", "{bearer: token}");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let signed = Arc::new(token(NOW + 9_000));
    audit(&text, &["jwt-key-confusion"], move |request, _| {
        seen.lock().unwrap().push(request.url.clone());
        let rest = signed.split_once('.').unwrap().1;
        // RS256 by its header; the signature is never looked at here.
        let rs = format!("eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.{rest}");
        let sent = request.headers.iter().any(|(_, v)| v[..] == *format!("Bearer {rs}").as_bytes());
        Ok(match path(request) {
            "in" => answer(200, &[], &format!(r#"{{"token":"{rs}"}}"#)),
            "keys" => answer(200, &[], r#"{"keys":[]}"#),
            _ if sent => answer(200, &[], ""),
            _ => site.plain(request),
        })
    });
    let asked = asked.lock().unwrap();
    assert!(asked.iter().any(|url| url == "https://login.example/keys"), "{asked:?}");
}

#[test]
fn a_write_that_is_refused_in_words_alone_is_seen_by_its_owner() {
    let text = things("write: {method: PATCH, path: '/things/{id}', json: {l: '{marker}'}}, ");
    // The history shows what an earlier audit wrote; of a sound one it stays that.
    for (status, sound) in [(404, false), (403, false), (403, true)] {
        let (site, written) = (Site::default(), Mutex::new("smesec-other".to_owned()));
        let report = audit(&text, &["idor-write"], move |request, _| {
            let mine = site.who(request).as_deref() == Some("alice");
            let mut written = written.lock().unwrap();
            Ok(match (path(request), request.method.as_str()) {
                ("things/1001", "PATCH") => {
                    if mine || !sound {
                        written.push_str(&String::from_utf8_lossy(&request.body));
                    }
                    answer(if mine { 200 } else { status }, &[], "")
                }
                ("things/1001", _) if mine => answer(200, &[], &written),
                ("things/1001", _) => answer(404, &[], ""),
                _ => site.plain(request),
            })
        });
        let told = told(&report);
        assert_eq!(told[0] == "ok", sound, "{told:?}");
        let seen = format!("answered with {status}: its owner sees the change");
        assert!(sound || told[0].contains(&seen), "{told:?}");
    }
}

#[test]
fn each_route_that_a_form_can_reach_is_tried() {
    let text = SHOP.to_owned()
        + "  - {method: POST, path: /out, form: {a: b}, allow: [user]}
  - {method: POST, path: /safe, form: {a: b}, allow: [user]}
  - {method: POST, path: /open, form: {a: b}, allow: [user, admin]}
  - {method: POST, path: /broken, form: {a: b}, allow: [user]}
  - {method: POST, path: /bare, form: {a: b}, allow: [admin]}
";
    let site = Site::default();
    let report = audit(&text, &["csrf-missing"], move |request, _| {
        let foreign =
            request.headers.iter().any(|(n, v)| n == "Sec-Fetch-Site" && v == b"cross-site");
        let guarded = foreign && matches!(path(request), "out" | "safe");
        Ok(match path(request) {
            "out" | "safe" | "open" | "bare" if guarded || site.who(request).is_none() => {
                answer(403, &[], "")
            }
            "out" => {
                let id = Site::cookie(request).unwrap();
                site.sessions.lock().unwrap().remove(&id);
                answer(200, &[], "bye")
            }
            "safe" | "open" | "bare" => answer(200, &[], "done"),
            _ => site.plain(request),
        })
    });
    let told = told(&report);
    let starts = |start: &str| told.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(
        (starts("POST /open as alice FOUND"), starts("POST /bare as root FOUND")),
        (1, 1),
        "{told:?}"
    );
    assert_eq!((starts("NOT DONE POST /broken"), told.len()), (1, 3), "{told:?}");
}

#[test]
fn a_refusal_in_the_body_is_not_looked_for_in_an_answer_to_head() {
    let text = format!("denied: ['you may not']\n{SHOP}");
    for (flawed, in_body) in [(false, true), (true, true), (true, false)] {
        let site = Site::default();
        let report = audit(&text, &["bfla-method"], move |request, _| {
            let mut given = match path(request) {
                "all" if site.who(request).as_deref() == Some("root") => answer(200, &[], "all"),
                "all" if flawed && request.method != "GET" => answer(200, &[], "all"),
                "all" if in_body => answer(200, &[], "you may not"),
                "all" => answer(403, &[], "no"),
                _ => site.plain(request),
            };
            if request.method == "HEAD" {
                given.body.clear();
            }
            Ok(given)
        });
        let told = told(&report);
        assert_eq!(told[0].contains("FOUND"), flawed, "{told:?}");
        let noted =
            report.results.iter().flat_map(|r| &r.warnings).any(|w| w.contains("`HEAD /all`"));
        assert_eq!(noted, !flawed, "{report:?}");
    }
}

#[test]
fn a_token_without_an_end_is_found() {
    let text = SHOP.replace("{cookie: sid}", "{bearer: token}");
    let good = token_of(r#"{"sub":"alice"}"#);
    let report = audit(&text, &["jwt-expired-accepted"], move |request, _| {
        let sent = request.headers.iter().find(|(n, _)| n == "Authorization");
        let is_good = sent.is_some_and(|(_, v)| v[..] == *format!("Bearer {good}").as_bytes());
        Ok(match path(request) {
            "in" => answer(200, &[], &format!(r#"{{"token":"{good}"}}"#)),
            _ if is_good => answer(200, &[], ""),
            _ => answer(401, &[], ""),
        })
    });
    let told = told(&report);
    assert!(told[0].contains("FOUND the token never ends: it has no `exp`"), "{told:?}");
}
