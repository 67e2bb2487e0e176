//! Reports of a run that has something of everything, and of hostile text.

use super::*;
use crate::decode::body::xml::{XmlDocument, XmlLimits};
use crate::decode::body::xpath::XPath;
use crate::event::{Event, RuleInfo};
use crate::runner::{Cell, Exchange, ExchangeError, Request, Response, TestStep};
use crate::sink::Queue;
use serde_json::Value;
use std::sync::Arc;

/// Text that breaks out of each format where it is not escaped.
const HOSTILE: &str = "</pre><script>alert(1)</script> ]]> \"quoted\" 'a' & \x1b[31mred\x07 \u{202e}txt \0 \u{ffff} end";
const SECRET: &str = "geh\"eim<1>";

fn exchange(status: u16) -> Exchange {
    Exchange {
        request: Request {
            method: "POST".into(),
            url: format!("http://127.0.0.1:5003/login?token={SECRET}"),
            headers: vec![
                ("Authorization".into(), b"Bearer abc.def".to_vec()),
                ("X-Odd".into(), HOSTILE.as_bytes().to_vec()),
            ],
            body: format!("{{\"user\": \"ann\", \"note\": \"{SECRET}\"}}").into(),
            ..Request::default()
        },
        response: Ok(Response {
            status,
            reason: "OK".into(),
            headers: vec![
                ("Set-Cookie".into(), b"sid=0123456789; HttpOnly".to_vec()),
                ("Set-Cookie".into(), b"b=2".to_vec()),
            ],
            body: format!("{HOSTILE}{}", "x".repeat(100_000)).into(),
        }),
        elapsed: Duration::from_millis(12),
    }
}

fn secrets() -> Secrets {
    let mut secrets = Secrets::default();
    secrets.add(SECRET);
    secrets
}

fn report() -> Report {
    let rule = RuleInfo {
        id: "bfla-read".into(),
        name: "A role reads what it may not".into(),
        tags: vec!["CWE-285".into()],
        ..RuleInfo::default()
    };
    let found = Finding::new(Arc::new(rule), Severity::High, format!("user read it: {SECRET}"));
    let mut failed = TestResult::new(format!("admin page {HOSTILE}"), TestVerdict::Failed(found));
    failed.place = Some(("tests/a b&c.yaml".into(), 12));
    failed.advice = Some("check the role on the server".into());
    failed.elapsed = Duration::from_millis(1500);
    failed.steps = vec![TestStep {
        name: "read".into(),
        acting_as: Some("ann".into()),
        exchanges: vec![exchange(200), exchange(403)],
        failures: vec!["status 200, expected 403".into()],
    }];
    let mut plain = TestResult::new(
        "wrong password",
        TestVerdict::Failed(Finding::new(Arc::default(), Severity::Medium, "status 200")),
    );
    plain.steps = vec![TestStep {
        exchanges: vec![Exchange {
            response: Err(ExchangeError::Timeout(Duration::from_secs(1))),
            ..exchange(0)
        }],
        ..TestStep::default()
    }];
    let mut passed = TestResult::new("right password", TestVerdict::Passed);
    passed.warnings = vec!["a.yaml:3:1: this stage asserts nothing".into()];
    let expected = Finding::new(Arc::default(), Severity::Info, "as it must");
    let cell = |role: &str, seen: &str, finding| Cell {
        role: role.into(),
        method: "GET".into(),
        route: "/admin/<b>".into(),
        expected: "deny".into(),
        seen: seen.into(),
        finding,
    };
    Report {
        results: vec![
            failed,
            plain,
            passed,
            TestResult::new("must fail", TestVerdict::ExpectedFailure(expected)),
            TestResult::new("later", TestVerdict::Skipped(HOSTILE.into())),
            TestResult::new("broken", TestVerdict::Refused(format!("no {SECRET} file"))),
        ],
        matrix: vec![
            cell("user", "200", true),
            cell("nobody", "401", false),
            cell("old", "", false),
        ],
    }
}

type Writer = fn(&Report, &About<'_>, &mut Vec<u8>) -> std::io::Result<()>;

const WRITERS: &[(&str, Writer)] = &[
    ("junit", |report, about, out| junit(report, about, out)),
    ("sarif", |report, about, out| sarif(report, about, out)),
    ("html", |report, about, out| html(report, about, out)),
    ("json", |report, about, out| json_lines(report, about, out)),
    ("terminal", |report, about, out| {
        terminal(report, about, Style { colour: false, passed: true }, out)
    }),
];

fn written(writer: &str, report: &Report) -> String {
    let secrets = secrets();
    let mut about = About::new("shop", &secrets);
    about.began = Timestamp::from_unix_seconds(1_700_000_000);
    let mut out = Vec::new();
    let (_, write) = WRITERS.iter().find(|(name, _)| *name == writer).unwrap();
    write(report, &about, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn no_report_holds_a_secret_a_control_or_an_endless_body() {
    for (writer, _) in WRITERS {
        let text = written(writer, &report());
        for secret in ["geh", "eim", "abc.def", "0123456789"] {
            assert!(!text.contains(secret), "{writer} shows `{secret}`: {text}");
        }
        assert!(text.contains("[masked]"), "{writer}");
        let is_json = matches!(*writer, "json" | "sarif");
        // JSON escapes what acts on a terminal, and is not shown as it is.
        let acts = |c: char| if is_json { c < ' ' && c != '\n' } else { evidence::is_control(c) };
        assert!(!text.chars().any(acts), "{writer}");
        assert!(!text.contains("<script") || is_json || *writer == "terminal", "{writer}");
        assert!(text.len() < 40_000, "{writer}: {} bytes", text.len());
    }
}

#[test]
fn junit_is_well_formed_and_counts() {
    let text = written("junit", &report());
    let document = XmlDocument::parse(text.as_bytes(), XmlLimits::default()).unwrap();
    let select = |path: &str| {
        let mut found = Vec::new();
        document.select(&XPath::compile(path).unwrap(), &mut |value| {
            found.push(String::from_utf8(value.to_vec()).unwrap());
        });
        found
    };
    assert_eq!(select("/testsuites/@tests"), ["6"]);
    assert_eq!(select("/testsuites/@failures"), ["2"]);
    assert_eq!(select("/testsuites/@errors"), ["1"]);
    assert_eq!(select("/testsuites/@skipped"), ["2"]);
    assert_eq!(select("/testsuites/testsuite/@name"), ["tests/a b&c.yaml", "shop"]);
    assert_eq!(select("/testsuites/testsuite/@timestamp"), ["2023-11-14T22:13:20"; 2]);
    let failures = select("/testsuites/testsuite/testcase/failure");
    assert_eq!(failures.len(), 2);
    assert!(failures[0].contains("read: status 200, expected 403"), "{}", failures[0]);
    assert!(failures[0].contains("> POST http://127.0.0.1:5003/login?token=[masked]\n"));
    assert!(
        failures[0]
            .contains("< 403 OK\n< Set-Cookie: sid=[masked]; HttpOnly\n< Set-Cookie: b=[masked]\n")
    );
    assert!(failures[1].contains("< no answer within 1s"), "{}", failures[1]);
    let messages = select("/testsuites/testsuite/testcase/failure/@message");
    assert_eq!(messages, ["user read it: [masked]", "status 200"]);
    let names = select("/testsuites/testsuite/testcase/@name");
    assert!(names[0].contains("<script>alert(1)</script> ]]> \"quoted\" 'a' & \\u{1b}[31mred"));
    assert_eq!(names.len(), 6);
}

#[test]
fn of_cookies_only_names_and_attributes_are_shown() {
    let secrets = secrets();
    let about = About::new("shop", &secrets);
    for (name, value, shown) in [
        (
            "Set-Cookie",
            "sid=abc; Path=/; SameSite=Lax; Secure",
            "sid=[masked]; Path=/; SameSite=Lax; Secure",
        ),
        ("set-cookie", "abcdef", "[masked]"),
        ("Set-Cookie", "sid=abc; x=def", "sid=[masked]; x=[masked]"),
        ("Cookie", "sid=abc; path=def; ghi", "sid=[masked]; path=[masked];[masked]"),
        ("Authorization", "Basic abc", "[masked]"),
        ("Accept", "a/b", "a/b"),
    ] {
        assert_eq!(evidence::header(name, value.as_bytes(), &about), shown);
    }
}

#[test]
fn sarif_has_what_the_schema_asks_for() {
    let log: Value = serde_json::from_str(&written("sarif", &report())).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let ids: Vec<_> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["bfla-read", "test-failed"]);
    assert_eq!(rules[0]["help"]["text"], "check the role on the server");
    assert_eq!(rules[0]["properties"]["tags"], serde_json::json!(["security", "CWE-285"]));
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        let rule = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[rule]["id"], result["ruleId"]);
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
    }
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "tests/a%20b&c.yaml");
    assert_eq!(place["region"]["startLine"], 12);
    assert_eq!(results[0]["level"], "error");
    assert_eq!(results[0]["properties"]["exchanges"].as_array().unwrap().len(), 2);
    assert_eq!(results[0]["webResponse"]["statusCode"], 403);
    assert_eq!(
        results[0]["webResponse"]["headers"]["Set-Cookie"],
        "sid=[masked]; HttpOnly, b=[masked]"
    );
    assert!(results[1].get("webResponse").is_none(), "there was no answer");
    assert_eq!(run["invocations"][0]["executionSuccessful"], false);
    let note = &run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"];
    assert_eq!(note, "`broken` could not be run: no [masked] file");
}

#[test]
fn html_shows_the_matrix_and_escapes_all() {
    let text = written("html", &report());
    assert!(text.contains("<td class=\"wrong\">✗ 200<small>expected deny</small></td>"));
    assert!(text.contains("<td class=\"right\">✓ 401<small>expected deny</small></td>"));
    assert!(text.contains("<td class=\"none\">not tried</td>"));
    assert!(text.contains("<th scope=\"row\">GET /admin/&lt;b&gt;</th>"));
    assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(
        !text.contains("http-equiv=\"refresh")
            && !text.contains(" src=")
            && !text.contains(" href=")
    );
    assert_eq!(text.matches("<article>").count(), 3);
}

#[test]
fn the_terminal_shows_what_failed_and_counts() {
    let text = written("terminal", &report());
    assert!(text.contains("bfla-read (high): user read it: [masked]"), "{text}");
    assert!(text.contains("step `read` as ann:\n          status 200, expected 403\n"), "{text}");
    assert!(text.contains("to mend it: check the role on the server"));
    assert!(text.contains("as user: expected deny, saw 200"));
    let last = text.lines().last().unwrap();
    let counts = "1 passed, 2 failed, 1 failed as expected, 1 could not be run, 1 skipped in";
    assert!(last.starts_with(counts), "{last}");
}

#[test]
fn differences_know_tests_by_file_name_and_turn() {
    let bad = || TestVerdict::Refused("x".into());
    let run = |tests: &[(&str, &str, u32, TestVerdict)]| Report {
        results: tests
            .iter()
            .map(|(file, name, line, verdict)| TestResult {
                place: Some(((*file).to_owned(), *line)),
                ..TestResult::new(*name, verdict.clone())
            })
            .collect(),
        ..Report::default()
    };
    let before = written(
        "json",
        &run(&[
            ("a.yaml", "x", 1, bad()),
            ("a.yaml", "y", 2, bad()),
            ("a.yaml", "y", 3, TestVerdict::Passed),
            ("b.yaml", "x", 1, TestVerdict::Passed),
            ("b.yaml", SECRET, 4, bad()),
        ]),
    );
    let now = run(&[
        ("a.yaml", "x", 7, TestVerdict::Passed),
        ("a.yaml", "y", 8, bad()),
        ("a.yaml", "y", 9, bad()),
        ("b.yaml", SECRET, 9, bad()),
        ("c.yaml", "z", 1, bad()),
    ]);
    let secrets = secrets();
    let difference = Difference::since("last.json", &before, &now, &secrets).unwrap();
    assert_eq!(difference.fixed, ["a.yaml: x"]);
    assert_eq!(difference.still_failing, ["a.yaml: y", "b.yaml: [masked]"]);
    assert_eq!(difference.new_failures, ["a.yaml: y (2)", "c.yaml: z"]);
    assert_eq!(difference.gone, ["b.yaml: x"]);
    assert!(difference.is_worse());
    for (text, why) in [
        ("{}\n", "last.json:1: neither a test"),
        ("\n{\"test\":\"a\",\"verdict\":\"odd\"}", "last.json:2: `odd` is no verdict"),
        ("{", "last.json:1: no JSON line"),
    ] {
        let told = Difference::since("last.json", text, &now, &secrets).unwrap_err().to_string();
        assert!(told.starts_with(why), "{told}");
    }
    let mut about = About::new("shop", &secrets);
    about.difference = Some(&difference);
    for (name, write) in WRITERS.iter().filter(|(name, _)| matches!(*name, "html" | "terminal")) {
        let mut out = Vec::new();
        write(&now, &about, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("2 new failures, 1 fixed, 2 still failing, 1 no longer there"),
            "{name}"
        );
    }
}

#[test]
fn events_carry_what_failed() {
    let secrets = secrets();
    let queue = Queue::new(10);
    events(&report(), &About::new("shop", &secrets), 7, &queue);
    let events: Vec<Event> = queue.drain().into_iter().collect();
    assert_eq!(events.len(), 4, "two failed, one refused, a summary");
    let first: Value = serde_json::from_str(&events.first().unwrap().to_json()).unwrap();
    assert_eq!(first["detector"], "taas");
    assert_eq!(first["class_uid"], 2004);
    assert_eq!(first["user"], "ann");
    assert_eq!(first["findings"][0]["rule"]["id"], "bfla-read");
    assert_eq!(first["findings"][0]["message"], "user read it: [masked]");
    let last = events.last().unwrap();
    let line =
        "tests of shop: 1 passed, 2 failed, 1 failed as expected, 1 could not be run, 1 skipped";
    assert_eq!(last.message, line);
    assert!(events.iter().all(|event| !event.to_json().contains("eim")));
}
