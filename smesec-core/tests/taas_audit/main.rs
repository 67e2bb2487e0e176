//! The audit against an API of our own: sound, and with each flaw alone.
#![cfg(feature = "client")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::format_push_string,
    unreachable_pub,
    reason = "a test: a panic is the verdict"
)]

mod api;
#[cfg(feature = "cli")]
mod command;
mod odd;
mod rsa;
mod sql;

use api::{Api, PASSWORDS, Token};
use smesec_core::client::Network;
use smesec_core::runner::{Observer, Report, TestResult, TestRunner, TestVerdict};
use smesec_core::taas::audit::{Audit, Check, SecretSource, checks};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Each switch of the API, how its token travels, and the check that has to find it.
const FLAWS: &[(&str, Token, &str)] = &[
    ("bfla-read", Token::Cookie, "bfla-read"),
    ("bfla-method", Token::Hs256, "bfla-method"),
    ("bfla-method-tamper", Token::Cookie, "bfla-method"),
    ("bfla-anonymous", Token::Cookie, "bfla-anonymous"),
    ("idor-read", Token::Cookie, "idor-read"),
    ("idor-write", Token::Hs256, "idor-write"),
    ("session-fixation", Token::Cookie, "session-fixation"),
    ("signout-keeps-token", Token::Cookie, "signout-keeps-token"),
    ("signout-keeps-token", Token::Rs256, "signout-keeps-token"),
    ("cookie-no-httponly", Token::Cookie, "cookie-no-httponly"),
    ("cookie-no-secure", Token::Cookie, "cookie-no-secure"),
    ("cookie-no-samesite", Token::Cookie, "cookie-no-samesite"),
    ("jwt-alg-none", Token::Hs256, "jwt-alg-none"),
    ("jwt-alg-none", Token::Rs256, "jwt-alg-none"),
    ("jwt-signature-unchecked", Token::Hs256, "jwt-signature-unchecked"),
    ("jwt-expired-accepted", Token::Hs256, "jwt-expired-accepted"),
    ("jwt-key-confusion", Token::Rs256, "jwt-key-confusion"),
    ("jwt-weak-secret", Token::Hs256, "jwt-weak-secret"),
    ("no-lockout", Token::Cookie, "no-lockout"),
    ("no-rate-limit", Token::Cookie, "no-rate-limit"),
    ("enum-message", Token::Cookie, "enum-message"),
    ("enum-status", Token::Cookie, "enum-status"),
    ("enum-timing", Token::Cookie, "enum-timing"),
    ("sqli-login", Token::Cookie, "sqli-login"),
    ("nosql-login", Token::Cookie, "nosql-login"),
    ("mass-assignment", Token::Cookie, "mass-assignment"),
    ("csrf-missing", Token::Cookie, "csrf-missing"),
    ("cors-credentials", Token::Cookie, "cors-credentials"),
    ("open-redirect", Token::Cookie, "open-redirect"),
    ("token-cacheable", Token::Hs256, "token-cacheable"),
    ("verbose-error", Token::Cookie, "verbose-error"),
    ("secret-in-response", Token::Cookie, "secret-in-response"),
];

fn description(port: u16, token: Token) -> String {
    let carrier = if token == Token::Cookie { "{cookie: session}" } else { "{bearer: data.token}" };
    let jwt = match token {
        Token::Cookie => "",
        Token::Hs256 => "jwt: {secret: {env: JWT}}\n",
        Token::Rs256 => "jwt: {jwks: /api/jwks.json}\n",
    };
    format!(
        "base: http://127.0.0.1:{port}
limits: {{requests: 20000, per_second: 1000000}}
users:
  alice: {{role: user, password: {{env: alice}}}}
  bob: {{role: user, password: {{env: bob}}}}
  root: {{role: admin, password: {{env: root}}}}
signin:
  path: /api/signin
  json: {{username: \"{{name}}\", password: \"{{password}}\"}}
  token: {carrier}
signout: POST /api/signout
routes:
  - {{path: /api/health, allow: anybody}}
  - {{path: /api/profile, allow: [user, admin]}}
  - {{path: /api/bills, allow: [user, admin]}}
  - {{path: /api/users, allow: [admin]}}
  - {{method: POST, path: /api/search, json: {{q: x}}, allow: [user, admin], destructive: false}}
  - {{method: DELETE, path: /api/reports/1, allow: [admin]}}
objects:
  meter:
    read: GET /api/meters/{{id}}
    write: {{method: PATCH, path: '/api/meters/{{id}}', json: {{label: '{{marker}}'}}}}
    shared_with: [admin]
    owned: {{alice: [1001], bob: [1002]}}
{jwt}sign_in_checks: {{user: bob}}
mass_assignment:
  as: alice
  write: {{method: PATCH, path: /api/profile, json: {{display: Alice}}}}
  read: GET /api/profile
  fields: {{role: admin}}
redirects:
  - /go?next={{url}}
"
    )
}

struct Quiet;

impl Observer for Quiet {
    fn finished(&mut self, _: &TestResult) {}
}

fn audit(token: Token, flaws: &[&'static str], only: &[&str]) -> Report {
    let api = Api::start(token, flaws);
    let text = description(api.port, token);
    let secret = |source: SecretSource<'_>| match source {
        SecretSource::Environment("JWT") if flaws.contains(&"jwt-weak-secret") => {
            Some("changeme".to_owned())
        }
        SecretSource::Environment("JWT") => {
            Some("6f1c0b9d7a4e4b1f9c3d2e8a5b7c0d1e2f3a4b5c".to_owned())
        }
        SecretSource::Environment(name) => {
            PASSWORDS.iter().find(|(n, _, _)| *n == name).map(|(_, _, p)| (*p).to_owned())
        }
        _ => None,
    };
    let mut audit = Audit::load_with(&text, "target.yaml", &secret).unwrap().destructive(true);
    if !only.is_empty() {
        audit = audit.only(only.iter().copied()).unwrap();
    }
    let network = Network::builder().allow_private_hosts().at_most(u64::MAX).per_second(0).build();
    audit.run(&network, &mut Quiet)
}

/// The checks that found something, and what could not be done, for messages.
fn found(report: &Report) -> (Vec<String>, Vec<String>) {
    let (mut found, mut undone) = (Vec::new(), Vec::new());
    for result in &report.results {
        match &result.verdict {
            TestVerdict::Failed(finding) => found.push(finding.rule.id.clone()),
            TestVerdict::Refused(why) => undone.push(format!("{}: {why}", result.name)),
            _ => {}
        }
    }
    found.dedup();
    (found, undone)
}

fn skipped(report: &Report) -> Vec<&str> {
    let of = |r: &TestResult| matches!(r.verdict, TestVerdict::Skipped(_));
    report.results.iter().filter(|r| of(r)).map(|r| r.name.as_str()).collect()
}

#[test]
fn the_sound_api_raises_no_alarm_and_every_check_says_how_it_ended() {
    let jwt = [
        "jwt-alg-none",
        "jwt-signature-unchecked",
        "jwt-expired-accepted",
        "jwt-key-confusion",
        "jwt-weak-secret",
    ];
    let cookies = [
        "session-fixation",
        "cookie-no-httponly",
        "cookie-no-secure",
        "cookie-no-samesite",
        "csrf-missing",
    ];
    for (token, wanting) in [
        (Token::Cookie, jwt.to_vec()),
        (Token::Hs256, [&cookies[..], &["jwt-key-confusion"]].concat()),
        // The secret of a private key is not told, so expiry cannot be tried within the hour.
        (Token::Rs256, [&cookies[..], &["jwt-expired-accepted", "jwt-weak-secret"]].concat()),
    ] {
        let report = audit(token, &[], &[]);
        let (found, undone) = found(&report);
        assert!(found.is_empty() && undone.is_empty(), "{token:?}: {found:?} {undone:?}");
        let mut skipped = skipped(&report);
        skipped.sort_unstable();
        let mut wanting = wanting;
        wanting.sort_unstable();
        assert_eq!(skipped, wanting, "{token:?}");
        let told = report.results.iter().map(|result| result.name.as_str());
        assert!(checks().iter().all(|check| told.clone().any(|name| name == check.name())));
        assert!(report.matrix.iter().all(|cell| !cell.finding && !cell.seen.is_empty()));
        // Six routes, two roles and nobody.
        assert_eq!(report.matrix.len(), 18);
    }
}

#[test]
fn each_flaw_is_found_and_nothing_beside_it() {
    let mut wrong = Vec::new();
    // The timing test takes most of an audit's time; that it raises no alarm is shown on the sound
    // API and under load.
    let quick: Vec<&str> =
        checks().iter().map(Check::name).filter(|name| *name != "enum-timing").collect();
    for (flaw, token, check) in FLAWS {
        let report = audit(*token, &[*flaw], if *check == "enum-timing" { &[] } else { &quick });
        let (found, undone) = found(&report);
        if found != [*check] || !undone.is_empty() {
            wrong.push(format!("{flaw} ({token:?}): found {found:?}, not done {undone:?}"));
        }
        for result in report.results.iter().filter(|r| matches!(r.verdict, TestVerdict::Failed(_)))
        {
            let exchanges = result.steps.iter().map(|step| step.exchanges.len()).sum::<usize>();
            let text = format!("{result:?}");
            let shown = PASSWORDS.iter().any(|(_, _, password)| text.contains(password));
            if exchanges < 2 || result.advice.is_none() || shown {
                wrong.push(format!(
                    "{flaw}: {exchanges} exchanges; a password shown: {shown}\n{text}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let missing: Vec<_> =
        checks().iter().filter(|check| !FLAWS.iter().any(|(_, _, c)| *c == check.name())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Rounds under load: 2, and as many as `SMESEC_AUDIT_ROUNDS` asks for.
#[test]
fn a_busy_machine_hides_no_flaw_and_makes_none() {
    let rounds =
        std::env::var("SMESEC_AUDIT_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..std::thread::available_parallelism().map_or(2, Into::into) * 2)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut n = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    n = std::hint::black_box(n.wrapping_mul(31).wrapping_add(7));
                }
            })
        })
        .collect();
    let mut wrong = Vec::new();
    for round in 1..=rounds {
        for token in [Token::Cookie, Token::Hs256, Token::Rs256] {
            let (found, undone) = found(&audit(token, &[], &[]));
            if !found.is_empty() || !undone.is_empty() {
                wrong.push(format!(
                    "round {round}, sound, {token:?}: {found:?}, not done {undone:?}"
                ));
            }
        }
        for (flaw, token, check) in FLAWS {
            let report = audit(*token, &[*flaw], &[*check]);
            let (found, undone) = found(&report);
            if found != [*check] || !undone.is_empty() {
                let notes: Vec<_> = report.results.iter().flat_map(|r| &r.warnings).collect();
                wrong.push(format!(
                    "round {round}, {flaw}: {found:?}, not done {undone:?} {notes:?}"
                ));
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    for thread in busy {
        thread.join().unwrap();
    }
    println!("{rounds} rounds, {} audits each", FLAWS.len() + 3);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
