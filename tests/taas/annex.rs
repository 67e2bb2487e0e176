//! The pilot's file as its report prints it: `response` inside `request`, placeholders for secrets.

use crate::wire::Wire;
use smesec_core::runner::{TestRunner, TestVerdict};
use smesec_core::taas::{Memory, Runner, Suite};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};

/// As printed; the page's line breaks were flattened to this indentation.
const ANNEX: &str = r#"
test_name: "API test of gridvalley.eu"
stages:
  - name: Login
    request:
      headers:
        content-type: application/json
      json:
        password: [CONFIDENTIAL]
        remember: true
        username: [CONFIDENTIAL]
      method: POST
      url: "https://gridvalley.eu/api/signin"
      response:
        status_code: 200
        cookies:
          - token

  - name: Make sure user does not have admin access
    request:
      url: https://gridvalley.eu/admin/data
      method: GET
      response:
        status_code: 403
"#;

fn suite() -> smesec_core::taas::SuiteBuilder {
    Suite::builder().files(Memory::default()).text("annex.tavern.yaml", ANNEX)
}

fn with_secrets() -> smesec_core::taas::SuiteBuilder {
    suite().secret(|name| match name {
        "PASSWORD" => Some("correct horse".to_owned()),
        "LOGIN_USERNAME" => Some("alice".to_owned()),
        _ => None,
    })
}

/// A sign-in that gives a cookie, and a page for administrators.
fn portal(admin: u16) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            loop {
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut head).unwrap_or(0) == 0 {
                        break;
                    }
                }
                if head.is_empty() {
                    break;
                }
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                let mut body = vec![0; length.and_then(|n| n.parse().ok()).unwrap_or(0)];
                let _ = reader.read_exact(&mut body);
                let body = String::from_utf8_lossy(&body).into_owned();
                let right = body.contains(r#""password": "correct horse""#)
                    && body.contains(r#""username": "alice""#);
                let answer = if head.starts_with("POST /api/signin") && right {
                    "HTTP/1.1 200 OK\r\nSet-Cookie: token=abcdef0123456789; Path=/; HttpOnly\r\nContent-Length: 0\r\n\r\n".to_owned()
                } else if head.starts_with("GET /admin/data")
                    && head.contains("token=abcdef0123456789")
                {
                    format!("HTTP/1.1 {admin} X\r\nContent-Length: 2\r\n\r\n{{}}")
                } else {
                    "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".to_owned()
                };
                if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    address
}

#[test]
fn it_runs_as_printed_and_says_as_whom_each_stage_acts() {
    let suite = with_secrets().build();
    assert!(suite.report().refused.is_empty(), "{}", suite.report());
    let runner = Runner::new(&suite);
    let report = runner.run(&Wire { address: portal(403) }, &mut crate::Nobody);
    let result = &report.results[0];
    assert_eq!(result.verdict, TestVerdict::Passed);
    let acting: Vec<_> = result.steps.iter().map(|step| step.acting_as.as_deref()).collect();
    assert_eq!(acting, [Some("nobody"), Some("alice")]);
    let hoisted: Vec<_> =
        result.warnings.iter().filter(|w| w.contains("inside `request`")).collect();
    assert_eq!(hoisted.len(), 2);
    assert!(hoisted[0].starts_with("annex.tavern.yaml:14:7: "), "{}", hoisted[0]);
    let masked = runner.secrets();
    assert_eq!(masked.masked("it was correct horse"), "it was [masked]");
    assert_eq!(masked.masked("with abcdef0123456789"), "with [masked]");
}

#[test]
fn a_portal_that_lets_users_into_the_office_fails_it() {
    let suite = with_secrets().build();
    let report = Runner::new(&suite).run(&Wire { address: portal(200) }, &mut crate::Nobody);
    let TestVerdict::Failed(finding) = &report.results[0].verdict else {
        unreachable!("{:?}", report.results[0].verdict)
    };
    assert_eq!(
        finding.message,
        "annex.tavern.yaml:19:5: stage `Make sure user does not have admin access`: the status code is 200, expected 403"
    );
}

#[test]
fn without_the_secret_it_is_not_run_and_says_what_to_set() {
    let suite = suite().build();
    let report = Runner::new(&suite).run(&Wire { address: portal(403) }, &mut crate::Nobody);
    let TestVerdict::Skipped(why) = &report.results[0].verdict else { unreachable!() };
    assert!(why.contains("SMESEC_SECRET_LOGIN_PASSWORD"), "{why}");
    let warned = &report.results[0].warnings;
    assert!(warned.iter().any(|w| w.starts_with("annex.tavern.yaml:9:19: ")), "{warned:?}");
}

#[test]
fn a_strict_layout_refuses_it_and_both_places_are_refused_always() {
    let suite = with_secrets().strict_layout(true).build();
    let told = suite.report().to_string();
    assert!(told.contains("annex.tavern.yaml:14:7: "), "{told}");
    assert!(told.contains("a request has no key `response`"), "{told}");
    let both = ANNEX
        .replace("  - name: Make sure", "    response: {status_code: 200}\n  - name: Make sure");
    let suite = Suite::builder().text("both.yaml", both).build();
    assert!(
        suite.report().to_string().contains("in `request` and beside it"),
        "{}",
        suite.report()
    );
}
