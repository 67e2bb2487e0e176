//! The prefilter and the memory of values against the plain interpreter: the same verdicts, the same
//! findings, for every request, and no panic for any.
#![cfg(feature = "waf")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is the verdict")]

use smesec_core::filter::Filter;
use smesec_core::http::{Connection, Header, RequestHead, ResponseHead};
use smesec_core::waf::{Mode, RuleSet, Waf};
use std::path::PathBuf;
use std::sync::Arc;

/// Pieces that attacks and honest traffic are made of.
const PIECES: &[&str] = &[
    "'",
    "\"",
    " or ",
    "1=1",
    "union",
    " select ",
    "<script>",
    "</",
    "javascript:",
    "../",
    "..\\",
    "/etc/passwd",
    "%00",
    "%27",
    "%u0027",
    "+",
    "&",
    "=",
    ";",
    "|",
    "$(",
    "`id`",
    "${jndi:ldap://x}",
    "<?php",
    "O'Brien",
    "hello world",
    "{\"a\":1}",
    "[",
    "]",
    "é",
    "\u{3042}",
    "0x41",
    "--",
    "/*",
    "*/",
    "#",
    "cmd.exe",
    "http://127.0.0.1/",
    "file=",
    "sleep(5)",
    "\\x3c",
    "&lt;",
    "&#60;",
    "eval(",
    "__proto__",
    "{{7*7}}",
    "a",
    "B",
    " ",
    "\n",
    "\u{1}",
    "You have an error in your SQL syntax",
    "ORA-00933: SQL command not properly ended",
    "Traceback (most recent call last)",
];

struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(below).unwrap()).unwrap()
    }

    fn text(&mut self, pieces: usize) -> String {
        (0..=self.next(pieces)).map(|_| PIECES[self.next(PIECES.len())]).collect()
    }
}

fn answer(
    waf: &Waf,
    target: &str,
    headers: &[Header<'_>],
    body: &[u8],
    page: &[u8],
) -> Vec<(String, String)> {
    let connection = Connection {
        client: "192.0.2.1:4711".parse().unwrap(),
        server: "192.0.2.2:80".parse().unwrap(),
        now: smesec_core::time::Timestamp::from_unix_seconds(1_000),
    };
    let mut transaction = waf.begin(&connection, None);
    let now = connection.now;
    let head = RequestHead {
        method: b"POST",
        target: target.as_bytes(),
        version: b"HTTP/1.1",
        headers,
        now,
    };
    let _ = transaction.request_head(&head);
    let _ = transaction.request_body(body, true);
    let kind = [Header::new("Content-Type", "text/html")];
    let _ = transaction.response_head(&ResponseHead {
        status: 200,
        version: b"HTTP/1.1",
        headers: &kind,
        now,
    });
    let _ = transaction.response_body(page, true);
    transaction.findings().iter().map(|f| (f.rule.id.clone(), f.part.clone())).collect()
}

fn compare(name: &str, load: impl Fn(&mut smesec_core::waf::RuleSetBuilder), rounds: usize) {
    let compile = |prefilter: bool| {
        let mut builder = RuleSet::builder();
        builder.prefilter(prefilter);
        load(&mut builder);
        let rules = builder.build().unwrap();
        assert!(rules.len() > 50, "{name}: {} rules", rules.len());
        Waf::builder(Arc::new(rules)).mode(Mode::Detect).remember(prefilter).build()
    };
    let (fast, plain) = (compile(true), compile(false));
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut found = 0;
    for round in 0..rounds {
        let target =
            format!("/{}?{}={}", random.text(2).replace(' ', "+"), random.text(1), random.text(6));
        let cookie = format!("sid={}; x={}", random.text(2), random.text(3));
        let agent = random.text(3);
        let (kind, body) = match random.next(3) {
            0 => (
                "application/json",
                format!(
                    "{{\"k\":\"{}\",\"n\":[1,\"{}\"]}}",
                    random.text(4).replace(['"', '\\', '\n', '\u{1}'], ""),
                    random.next(9)
                ),
            ),
            1 => (
                "text/xml",
                format!(
                    "<a b=\"{}\">{}</a>",
                    random.next(9),
                    random.text(3).replace(['<', '&'], "")
                ),
            ),
            _ => (
                "application/x-www-form-urlencoded",
                format!("q={}&r={}", random.text(8), random.text(2)),
            ),
        };
        let headers = [
            Header::new("Host", "shop.example"),
            Header::new("User-Agent", &agent),
            Header::new("Content-Type", kind),
            Header::new("Cookie", &cookie),
        ];
        let page = random.text(4);
        let right = answer(&plain, &target, &headers, body.as_bytes(), page.as_bytes());
        // From the third time on what was found before is remembered.
        for time in 1..=4 {
            let left = answer(&fast, &target, &headers, body.as_bytes(), page.as_bytes());
            assert_eq!(left, right, "{name}, round {round}, time {time}: {target} {kind} {body}");
        }
        found += usize::from(!right.is_empty());
    }
    assert!(found > rounds / 2, "{name}: only {found} of {rounds} requests found anything");
}

#[test]
fn the_built_in_pack_answers_alike() {
    compare(
        "built-in pack",
        |builder| {
            builder.builtin();
        },
        400,
    );
}

#[test]
fn the_core_rule_set_answers_alike() {
    let corpora = std::env::var_os("SMESEC_CORPORA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"),
        PathBuf::from,
    );
    let crs = corpora.join("crs");
    if !crs.is_dir() {
        eprintln!("##### SKIPPED: no Core Rule Set at {}; set SMESEC_CORPORA #####", crs.display());
        return;
    }
    compare(
        "CRS at paranoia 4",
        |builder| {
            builder.paranoia(4).text(
            "settings.conf",
            b"SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n\
              SecRule REQUEST_HEADERS:Content-Type \"@contains json\" \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
              SecRule REQUEST_HEADERS:Content-Type \"@contains xml\" \"id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n",
        );
            builder.path(crs.join("crs-setup.conf.example").to_str().unwrap());
            let mut names: Vec<_> =
                std::fs::read_dir(crs.join("rules")).unwrap().map(|e| e.unwrap().path()).collect();
            names.sort();
            for path in names.iter().filter(|p| p.extension().is_some_and(|e| e == "conf")) {
                builder.path(path.to_str().unwrap());
            }
        },
        300,
    );
}

#[test]
fn lists_that_must_not_occur_answer_alike_for_values_that_come_again() {
    let rules = "SecRuleEngine DetectionOnly\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n\
        SecRule ARGS \"!@pm good fine\" \"id:1,phase:1,pass,t:lowercase\"\n\
        SecRule ARGS \"@rx o\" \"id:2,phase:1,pass,t:none\"\n\
        SecRule ARGS \"!@pm good fine\" \"id:3,phase:2,pass,t:none\"\n\
        SecRule ARGS \"!@pm good fine\" \"id:4,phase:2,pass,t:urlDecode\"\n\
        SecRule ARGS \"@rx ^(o+)k$\" \"id:5,phase:2,pass,capture,setvar:'tx.Seen_%{tx.1}=%{tx.0}'\"\n\
        SecRule TX:/^seen_/ \"@within ook ok\" \"id:6,phase:2,pass\"\n\
        SecRule RESPONSE_BODY \"!@pm welcome\" \"id:7,phase:4,pass\"\n";
    let compile = |prefilter: bool| {
        let mut builder = RuleSet::builder();
        builder.prefilter(prefilter).text("lists.conf", rules.as_bytes());
        let rules = builder.build().unwrap();
        assert_eq!(rules.len(), 7);
        Waf::builder(Arc::new(rules)).mode(Mode::Detect).remember(prefilter).build()
    };
    let (fast, plain) = (compile(true), compile(false));
    let ids = |waf: &Waf, value: &str, page: &str| {
        let found = answer(waf, &format!("/?a={value}"), &[], b"", page.as_bytes());
        found.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    for (value, page, right) in [
        ("good", "welcome", &["2"][..]),
        ("GOOD", "welcome", &[]),
        ("g%2564ood", "Welcome", &["1", "2", "3", "4"]),
        ("%2567ood", "bye", &["1", "2", "3", "7"]),
        ("ook", "welcome", &["1", "2", "3", "4", "5", "6"]),
        ("oook", "", &["1", "2", "3", "4", "5", "7"]),
    ] {
        assert_eq!(ids(&plain, value, page), right, "{value} {page}");
        for time in 1..=4 {
            assert_eq!(ids(&fast, value, page), right, "{value} {page}, time {time}");
        }
    }
}
