//! What a host sees of the firewall: verdicts, findings and events, step by step.
#![cfg(feature = "waf")]
#![expect(clippy::unwrap_used, reason = "a test: a panic is the verdict")]

use smesec_core::event::Event;
use smesec_core::filter::{Filter, Outcome, Work, WorkResult};
use smesec_core::http::{Connection, Header, RequestHead, ResponseHead};
use smesec_core::intake::{Intake, ObjectId, ObjectMeta};
use smesec_core::limits::OnLimit;
use smesec_core::policy::{Exception, OnBlock};
use smesec_core::sink::Queue;
use smesec_core::time::Timestamp;
use smesec_core::verdict::{Action, Body, Phase, Step, Verdict};
use smesec_core::waf::audit::ModSecurityJson;
use smesec_core::waf::{Mode, RuleSet, Waf};
use std::sync::Arc;

const FORM: Header<'static> =
    Header { name: b"Content-Type", value: b"application/x-www-form-urlencoded" };

fn rules(text: &str) -> Arc<RuleSet> {
    let mut builder = RuleSet::builder();
    let head = "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n";
    builder.strict(true).text("test.conf", format!("{head}{text}").as_bytes());
    Arc::new(builder.build().unwrap())
}

fn waf(text: &str) -> Waf {
    Waf::builder(rules(text)).build()
}

fn connection() -> Connection {
    Connection {
        client: "192.0.2.1:4711".parse().unwrap(),
        server: "192.0.2.2:80".parse().unwrap(),
        now: Timestamp::from_unix_seconds(1_000),
    }
}

fn head<'a>(method: &'a str, target: &'a str, headers: &'a [Header<'a>]) -> RequestHead<'a> {
    let now = Timestamp::from_unix_seconds(1_000);
    RequestHead {
        method: method.as_bytes(),
        target: target.as_bytes(),
        version: b"HTTP/1.1",
        headers,
        now,
    }
}

fn verdict(step: Step) -> Verdict {
    step.verdict().unwrap()
}

/// Runs a request whole; the verdict and the ids of the findings.
fn request(waf: &Waf, target: &str, headers: &[Header<'_>], body: &[u8]) -> (Verdict, Vec<String>) {
    let mut transaction = waf.begin(&connection(), None);
    let mut answer = verdict(transaction.request_head(&head("POST", target, headers)));
    if !answer.is_decisive() {
        answer = verdict(transaction.request_body(body, true));
    }
    let ids = transaction.findings().iter().map(|f| f.rule.id.clone()).collect();
    (answer, ids)
}

fn deny(status: u16) -> Action {
    Action::Deny { status }
}

#[test]
fn a_chain_needs_all_its_links_and_keeps_the_heads_status() {
    let waf = waf(r#"
        SecRule ARGS:a "@streq 1" "id:1,phase:2,deny,status:418,chain"
          SecRule ARGS:b "@streq 2" "t:none"
    "#);
    assert_eq!(request(&waf, "/?a=1&b=2", &[], b"").0.action(), deny(418));
    assert_eq!(request(&waf, "/?a=1&b=3", &[], b"").0.action(), Action::Pass);
    assert_eq!(request(&waf, "/?b=2", &[], b"").0.action(), Action::Pass);
}

#[test]
fn scores_add_up_once_for_each_value() {
    let waf = waf(r#"
        SecRule ARGS "@contains bad" "id:1,phase:2,pass,setvar:tx.score=+5"
        SecRule TX:score "@ge %{tx.threshold}" "id:2,phase:2,deny,status:403"
        SecAction "id:3,phase:1,pass,nolog,setvar:tx.threshold=10"
    "#);
    assert_eq!(request(&waf, "/?a=bad&b=good", &[], b"").0.action(), Action::Log);
    let (verdict, ids) = request(&waf, "/?a=bad&b=bad", &[], b"");
    assert_eq!((verdict.action(), verdict.score()), (deny(403), 10));
    assert_eq!(ids, ["1", "2"]);
}

#[test]
fn skip_after_allow_and_markers_move_on() {
    let waf = waf(r#"
        SecRule REQUEST_FILENAME "@streq /skip" "id:1,phase:1,pass,nolog,skipAfter:END"
        SecRule REQUEST_FILENAME "@rx ^/(?:skip|deny)$" "id:2,phase:1,deny"
        SecMarker END
        SecRule REQUEST_FILENAME "@streq /allow" "id:3,phase:1,allow,nolog"
        SecRule ARGS:x "@streq 1" "id:4,phase:2,deny"
    "#);
    assert_eq!(request(&waf, "/skip", &[], b"").0.action(), Action::Pass);
    assert_eq!(request(&waf, "/deny", &[], b"").0.action(), deny(403));
    assert_eq!(request(&waf, "/allow?x=1", &[], b"").0.action(), Action::Pass);
    assert_eq!(request(&waf, "/other?x=1", &[], b"").0.action(), deny(403));
}

#[test]
fn counts_exclusions_and_selectors_choose_values() {
    let waf = waf(r#"
        SecRule &ARGS:id "@gt 1" "id:1,phase:1,deny,status:400"
        SecRule ARGS|!ARGS:comment|!ARGS:/^_/ "@contains evil" "id:2,phase:1,deny,status:401"
        SecRule REQUEST_HEADERS:/^X-Fo/ "@contains evil" "id:3,phase:1,deny,status:402"
    "#);
    let x_foo = [Header::new("x-foo", "evil")];
    for (target, headers, action) in [
        ("/?id=1", &[][..], Action::Pass),
        ("/?id=1&ID=2", &[], deny(400)),
        ("/?comment=evil&_x=evil", &[], Action::Pass),
        ("/?other=evil", &[], deny(401)),
        ("/", &x_foo, deny(402)),
    ] {
        assert_eq!(request(&waf, target, headers, b"").0.action(), action, "{target}");
    }
}

#[test]
fn every_chunking_gives_the_same_verdict() {
    let waf = waf(r#"
        SecRule REQUEST_HEADERS:Content-Type "@contains json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
        SecRule ARGS "@rx (?i)union\s+select" "id:2,phase:2,deny"
        SecRule FILES "@endsWith .php" "id:3,phase:2,deny,status:415"
        SecRule REQBODY_ERROR "@eq 1" "id:4,phase:2,deny,status:400"
    "#);
    let json = [Header::new("Content-Type", "application/json")];
    let multipart =
        [Header::new("Content-Type", "multipart/form-data; boundary=----WebKitFormBoundaryx")];
    let upload = b"------WebKitFormBoundaryx\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.php\"\r\n\r\nx\r\n------WebKitFormBoundaryx--\r\n";
    let cases: [(&[Header<'_>], &[u8], Action); 5] = [
        (&[FORM], b"q=1+union++select+2", deny(403)),
        (&json, br#"{"a":{"b":["UNION\u0020SELECT"]}}"#, deny(403)),
        (&json, br#"{"a":"#, deny(400)),
        (&json, br#"{"a":"please select a union"}"#, Action::Pass),
        (&multipart, upload, deny(415)),
    ];
    for (headers, body, action) in cases {
        for size in 1..=body.len() {
            let mut transaction = waf.begin(&connection(), None);
            let _ = verdict(transaction.request_head(&head("POST", "/", headers)));
            for chunk in body.chunks(size) {
                let _ = verdict(transaction.request_body(chunk, false));
            }
            let last = verdict(transaction.request_body(b"", true));
            assert_eq!(
                last.action(),
                action,
                "chunks of {size}: {}",
                String::from_utf8_lossy(body)
            );
        }
    }
}

#[test]
fn responses_are_inspected_where_their_type_is_listed() {
    let waf = waf(r#"
        SecResponseBodyMimeType text/html application/json
        SecRule RESPONSE_BODY "@contains stack trace" "id:1,phase:4,deny,status:500"
        SecRule RESPONSE_ARGS:json.debug "@streq true" "id:2,phase:4,deny,status:502"
        SecRule RESPONSE_STATUS "@rx ^5" "id:3,phase:3,pass,msg:'upstream says %{RESPONSE_STATUS}'"
    "#);
    for (kind, body, action) in [
        ("text/html; charset=utf-8", &b"a stack trace"[..], deny(500)),
        ("image/png", b"a stack trace", Action::Log),
        ("application/json", br#"{"debug":true}"#, deny(502)),
    ] {
        let mut transaction = waf.begin(&connection(), None);
        let _ = verdict(transaction.request_head(&head("GET", "/", &[])));
        let headers = [Header::new("Content-Type", kind)];
        let now = Timestamp::default();
        let head = ResponseHead { status: 503, version: b"HTTP/1.1", headers: &headers, now };
        assert_eq!(verdict(transaction.response_head(&head)).action(), Action::Log);
        assert_eq!(transaction.findings()[0].message, "upstream says 503");
        let holds = matches!(transaction.wants(Phase::ResponseBody), Body::Hold { .. });
        assert_eq!(holds, kind != "image/png", "{kind}");
        assert_eq!(verdict(transaction.response_body(body, true)).action(), action, "{kind}");
    }
}

#[test]
fn detection_keeps_the_findings_and_blocks_nothing() {
    let set = rules(r#"SecRule ARGS "@contains bad" "id:1,phase:1,deny,msg:'bad'""#);
    let detect = Waf::builder(Arc::clone(&set)).mode(Mode::Detect).build();
    assert_eq!(
        request(&detect, "/?a=bad", &[], b""),
        (Verdict::new(Action::Log, 0), vec!["1".to_owned()])
    );
    let decoy = Waf::builder(Arc::clone(&set)).on_block(OnBlock::Decoy).build();
    assert_eq!(request(&decoy, "/?a=bad", &[], b"").0.action(), Action::Decoy);
    let off = Waf::builder(set).mode(Mode::Off).build();
    assert_eq!(request(&off, "/?a=bad", &[], b""), (Verdict::PASS, vec![]));
}

#[test]
fn exceptions_hold_for_their_path_until_they_expire() {
    let blocking = waf(r#"SecRule ARGS "@contains bad" "id:7,phase:1,deny,tag:'attack'""#);
    let until = |seconds| {
        blocking.with_exceptions(vec![Exception {
            tag: Some("attack".into()),
            target: Some("ARGS:comment".into()),
            path_prefix: "/forum".into(),
            expires: Some(Timestamp::from_unix_seconds(seconds)),
            ..Exception::default()
        }])
    };
    assert_eq!(request(&until(1_001), "/forum?comment=bad", &[], b"").0.action(), Action::Pass);
    assert_eq!(request(&until(1_001), "/forum?other=bad", &[], b"").0.action(), deny(403));
    assert_eq!(request(&until(1_001), "/shop?comment=bad", &[], b"").0.action(), deny(403));
    assert_eq!(request(&until(1_000), "/forum?comment=bad", &[], b"").0.action(), deny(403));
    assert_eq!(request(&blocking, "/forum?comment=bad", &[], b"").0.action(), deny(403));
}

#[test]
fn a_transaction_finishes_on_the_generation_it_began_with() {
    let waf = waf(r#"SecRule ARGS_POST:a "@streq 1" "id:1,phase:2,deny""#);
    let mut old = waf.begin(&connection(), None);
    let _ = verdict(old.request_head(&head("POST", "/", &[FORM])));
    assert_eq!(waf.reload(rules(r#"SecRule ARGS_POST:a "@streq 2" "id:1,phase:2,deny""#)), 2);
    assert_eq!(verdict(old.request_body(b"a=1", true)).action(), deny(403));
    assert_eq!(request(&waf, "/", &[FORM], b"a=1").0.action(), Action::Pass);
    let mut outlives = waf.begin(&connection(), None);
    drop(waf);
    let _ = verdict(outlives.request_head(&head("POST", "/", &[FORM])));
    assert_eq!(verdict(outlives.request_body(b"a=2", true)).action(), deny(403));
}

#[test]
fn persistent_collections_count_across_transactions() {
    let waf = waf(r#"
        SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.hits=+1,expirevar:ip.hits=60"
        SecRule IP:hits "@gt 2" "id:2,phase:1,deny,status:429"
    "#);
    let statuses: Vec<Action> = (0..4).map(|_| request(&waf, "/", &[], b"").0.action()).collect();
    assert_eq!(statuses, [Action::Pass, Action::Pass, deny(429), deny(429)]);
}

#[test]
fn of_those_who_count_at_once_each_sees_a_number_of_its_own() {
    let waf = waf(r#"
        SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.hits=+1"
        SecRule IP:hits "@gt 1000" "id:2,phase:1,deny,status:429"
    "#);
    let count = || (0..500).filter(|_| request(&waf, "/", &[], b"").0.is_decisive()).count();
    let blocked: usize = std::thread::scope(|scope| {
        let counts: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
        counts.into_iter().map(|count| count.join().unwrap()).sum()
    });
    assert_eq!(blocked, 1_000);
}

#[test]
fn limits_decide_by_policy_and_leave_a_finding() {
    let set =
        rules("SecRequestBodyLimit 10\nSecRule ARGS \"@contains x\" \"id:1,phase:2,pass,nolog\"");
    let (over, ids) = request(&Waf::builder(set).build(), "/", &[FORM], b"a=0123456789");
    assert_eq!((over.action(), ids), (deny(413), vec!["smesec-limit".to_owned()]));
    let many = "/?".to_owned() + &"a=1&".repeat(300);
    let set = rules(r#"SecRule ARGS "@rx ^[1-9]$" "id:1,phase:1,pass,nolog""#);
    let closed = Waf::builder(Arc::clone(&set)).steps(100).build();
    assert_eq!(request(&closed, &many, &[], b"").0.action(), deny(403));
    let open = Waf::builder(set).steps(100).on_limit(OnLimit::Open).build();
    assert_eq!(
        request(&open, &many, &[], b""),
        (Verdict::new(Action::Log, 0), vec!["smesec-limit".to_owned()])
    );
}

#[test]
fn the_host_may_open_what_a_limit_on_bodies_refuses() {
    let set = rules(
        r#"
        SecRequestBodyLimit 100
        SecRequestBodyNoFilesLimit 20
        SecAction "id:9,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
        SecRule REQUEST_HEADERS:Content-Type "@beginsWith multipart" "id:8,phase:1,pass,nolog,ctl:requestBodyProcessor=MULTIPART"
        SecRule REQBODY_ERROR|MULTIPART_STRICT_ERROR "@eq 1" "id:1,phase:2,deny,status:400"
        SecRule ARGS "@contains evil" "id:2,phase:2,deny"
    "#,
    );
    let multipart = [Header::new("Content-Type", "multipart/form-data; boundary=b")];
    let file = format!(
        "--b\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n{}\r\n--b--",
        "x".repeat(100)
    );
    let long = format!(r#"{{"a":["{}"]}}"#, "x".repeat(100));
    let evil = format!(r#"{{"a":["evil", "{}"]}}"#, "x".repeat(100));
    let closed = Waf::builder(Arc::clone(&set)).build();
    let open = Waf::builder(set).on_limit(OnLimit::Open).build();
    for (headers, body, opened) in [
        (&[][..], r#"{"a":"fits"}"#, Action::Pass),
        (&[], r#"{"a":"beyond the second limit"}"#, Action::Log),
        (&[], long.as_str(), Action::Log),
        (&[], evil.as_str(), deny(403)),
        (&[], r#"{"a":"broken, and too long", x"#, deny(400)),
        (&multipart, file.as_str(), Action::Log),
    ] {
        let (verdict, ids) = request(&closed, "/", headers, body.as_bytes());
        if opened == Action::Pass {
            assert_eq!(verdict.action(), opened);
        } else {
            assert_eq!(verdict.action(), deny(413), "{body}: {ids:?}");
        }
        let (verdict, ids) = request(&open, "/", headers, body.as_bytes());
        assert_eq!(verdict.action(), opened, "{body}: {ids:?}");
        assert_eq!(ids.contains(&"smesec-limit".to_owned()), opened != Action::Pass, "{body}");
    }
    let mut transaction = closed.begin(&connection(), None);
    let _ = verdict(transaction.request_head(&head("POST", "/", &[])));
    let _ = verdict(transaction.request_body(br#"{"a":"beyond the second limit"}"#, true));
    assert!(transaction.findings()[0].message.contains("`SecRequestBodyNoFilesLimit`"));
}

#[test]
fn a_step_costs_by_the_length_of_what_is_looked_at() {
    let set = rules(r#"SecRule ARGS "@rx ^[a-z]+$" "id:1,phase:2,pass,nolog""#);
    let waf = Waf::builder(set).steps(1_000).build();
    let of =
        |bytes: usize| request(&waf, "/", &[FORM], &[b"a=", vec![b'A'; bytes].as_slice()].concat());
    assert_eq!(of(1_000).0.action(), Action::Pass);
    assert_eq!(of(900_000).0.action(), deny(403));
}

#[test]
fn one_long_key_above_many_values_is_no_way_to_much_work() {
    let waf = waf(r#"
        SecAction "id:9,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
        SecRule REQBODY_ERROR "@eq 1" "id:1,phase:2,deny,status:400"
    "#);
    let of = |key: usize, values: usize| {
        let values = (0..values).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let body = format!(r#"{{"{}":[{values}]}}"#, "k".repeat(key));
        request(&waf, "/", &[], body.as_bytes()).0.action()
    };
    assert_eq!(of(16_000, 50), Action::Pass);
    assert_eq!(of(100, 990), Action::Pass);
    assert_eq!(of(16_000, 990), deny(400));
}

#[test]
fn a_value_that_comes_again_counts_as_it_did() {
    let waf = waf(r#"
        SecRule ARGS "@rx ." "id:1,phase:1,pass,nolog,multiMatch,t:lowercase,setvar:tx.n=+1"
        SecRule TX:n "@eq 2" "id:2,phase:1,pass"
        SecRule TX:n "@eq 3" "id:3,phase:1,pass"
    "#);
    assert_eq!(request(&waf, "/?a=x&b=x", &[], b"").1, ["2"]);
    assert_eq!(request(&waf, "/?a=x&b=x&c=x", &[], b"").1, ["3"]);
    assert_eq!(request(&waf, "/?a=x&b=X", &[], b"").1, ["3"], "a step that changed it counts");
}

#[test]
fn findings_beyond_those_kept_are_counted() {
    let each = |n| format!("SecRule ARGS \"@streq x\" \"id:{n},phase:1,pass\"\n");
    let waf = waf(&(1..=300).map(each).collect::<String>());
    let queue = Queue::new(10);
    let mut transaction = waf.begin(&connection(), None);
    let _ = verdict(transaction.request_head(&head("GET", "/?a=x", &[])));
    transaction.finish(Outcome::default(), &queue);
    let event = queue.drain().remove(0);
    assert_eq!((event.findings.len(), &event.extra["findings_left_out"]), (256, &44.into()));
    assert!(event.message.contains("300 findings"), "{}", event.message);
}

/// Answers an upload with work that is no scan.
struct Confused;

impl Intake for Confused {
    fn open(&mut self, _: &ObjectMeta) -> ObjectId {
        ObjectId::new(0)
    }
    fn data(&mut self, _: ObjectId, _: &[u8]) {}
    fn close(&mut self, _: ObjectId, _: bool) -> Option<Work> {
        Some(Work::new(|| WorkResult::Own(Box::new(()))))
    }
}

#[test]
fn an_upload_without_a_report_does_not_pass() {
    let waf = waf("");
    let headers = [Header::new("Content-Type", "multipart/form-data; boundary=b")];
    let mut transaction = waf.begin(&connection(), Some(Box::new(Confused)));
    let _ = verdict(transaction.request_head(&head("POST", "/", &headers)));
    let body = b"--b\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\nx\r\n--b--\r\n";
    assert_eq!(transaction.request_body(body, true), Step::Pending);
    let done = transaction.take_work().unwrap().run();
    assert_eq!(verdict(transaction.resume(done)).action(), deny(403));
    assert!(transaction.findings()[0].message.contains("no report"));
}

#[test]
fn a_child_process_counts_for_itself_unless_the_store_is_shared() {
    let waf = waf(r#"
        SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1"
        SecRule IP:n "@gt 1" "id:2,phase:1,deny"
    "#);
    assert_eq!(request(&waf, "/", &[], b"").0.action(), Action::Pass);
    let child = waf.in_child(1);
    assert_eq!(request(&child, "/", &[], b"").0.action(), Action::Pass);
    assert_eq!(request(&child, "/", &[], b"").0.action(), deny(403));
    assert_eq!(request(&waf, "/", &[], b"").0.action(), deny(403));
}

#[test]
fn one_event_tells_all_and_no_secret() {
    let waf = waf(r#"
        SecRule ARGS "@contains union" "id:1,phase:1,deny,msg:'found in %{MATCHED_VAR_NAME}',logdata:'%{MATCHED_VAR}',severity:CRITICAL,tag:'attack-sqli'"
    "#);
    let event = |target: &str| -> Event {
        let queue = Queue::new(10);
        let mut transaction = waf.begin(&connection(), None);
        let _ = verdict(transaction.request_head(&head(
            "GET",
            target,
            &[Header::new("Host", "shop.example")],
        )));
        let now = Timestamp::from_unix_seconds(1_001);
        transaction.finish(Outcome { status: 403, bytes: 5, aborted: false, now }, &queue);
        let mut events = queue.drain();
        assert_eq!(events.len(), 1);
        events.remove(0)
    };
    let plain = event("/?q=union");
    assert_eq!(plain.class_uid, 4_002);
    assert_eq!(plain.findings[0].message, "found in ARGS:q");
    assert_eq!(plain.findings[0].evidence, "union");
    assert_eq!(plain.extra["host"], "shop.example");
    let secret = event("/?password=hunter2union").to_json();
    assert!(!secret.contains("hunter2"), "{secret}");
}

#[test]
fn wrong_order_changes_nothing() {
    let waf = waf(r#"SecRule ARGS "@contains bad" "id:1,phase:1,deny""#);
    let mut transaction = waf.begin(&connection(), None);
    assert_eq!(verdict(transaction.request_body(b"early", true)), Verdict::PASS);
    assert_eq!(verdict(transaction.response_body(b"early", true)), Verdict::PASS);
    assert_eq!(verdict(transaction.request_head(&head("GET", "/?a=bad", &[]))).action(), deny(403));
    assert_eq!(verdict(transaction.request_head(&head("GET", "/", &[]))).action(), deny(403));
}

#[test]
fn what_cannot_run_is_named_with_its_place() {
    let mut builder = RuleSet::builder();
    builder.text(
        "bad.conf",
        b"SecRule ARGS \"@rx (a\" \"id:1,phase:1,deny\"\n\
          SecRule NO_SUCH \"@rx a\" \"id:2,phase:1,deny\"\n\
          SecRule ARGS \"@fuzzyHash x\" \"id:3,phase:1,deny\"\n\
          SecRuleScript x.lua \"id:4\"\n\
          SecRule ARGS \"@contains ok\" \"id:5,phase:1,deny\"\n",
    );
    let set = builder.build().unwrap();
    let refused: Vec<(u32, bool)> =
        set.report().refused.iter().map(|r| (r.line, r.why.len() > 20)).collect();
    assert_eq!(refused, [(1, true), (2, true), (3, true), (4, true)]);
    assert_eq!(set.len(), 1);
    let text = set.report().to_string();
    assert!(text.contains("bad.conf:2:9: rule `2`: unknown variable `NO_SUCH`"), "{text}");
}

#[cfg(feature = "backtrack")]
#[test]
fn patterns_beyond_linear_time_run_under_a_limit() {
    let waf = waf(r#"
        SecRule ARGS:a "@rx ^(\w+)=\1$" "id:1,phase:1,deny,status:401,capture,logdata:'%{TX.1}'"
        SecRule ARGS:b "!@rx ^(?!admin)" "id:2,phase:1,deny,status:402"
        SecRule ARGS:c "@rx (?<!re)play" "id:3,phase:1,deny,status:405,t:lowercase"
    "#);
    for (target, action) in [
        ("/?a=x1%3Dx1", deny(401)),
        ("/?a=x1%3Dx2", Action::Pass),
        ("/?b=administrator", deny(402)),
        ("/?b=user", Action::Pass),
        ("/?c=PLAY", deny(405)),
        ("/?c=replay", Action::Pass),
    ] {
        assert_eq!(request(&waf, target, &[], b"").0.action(), action, "{target}");
    }
    let set = |limit: usize| {
        let mut builder = RuleSet::builder();
        let text = r#"SecRuleEngine On
            SecRule ARGS "!@rx ^(?:(?=a)a|aa)+(?=(x))\1$" "id:1,phase:1,deny,status:404"
            SecRule TX:/^MSC_/ "!@streq 0" "id:2,phase:1,pass,t:none,msg:'cut short'""#;
        builder.strict(true).backtrack_limit(limit).text("slow.conf", text.as_bytes());
        Arc::new(builder.build().unwrap())
    };
    let slow = format!("/?q={}xx", "a".repeat(40));
    let closed = Waf::builder(set(1_000)).build();
    let limit = vec!["smesec-limit".to_owned()];
    assert_eq!(request(&closed, &slow, &[], b""), (Verdict::new(deny(403), 0), limit.clone()));
    let open = Waf::builder(set(1_000)).on_limit(OnLimit::Open).build();
    let (verdict, ids) = request(&open, &slow, &[], b"");
    assert_eq!((verdict.action(), ids), (Action::Log, [limit, vec!["2".to_owned()]].concat()));
    assert_eq!(request(&closed, "/?q=aax", &[], b"").0.action(), Action::Pass);
    assert_eq!(request(&closed, "/?q=b", &[], b"").0.action(), deny(404));
}

#[cfg(not(feature = "backtrack"))]
#[test]
fn patterns_beyond_linear_time_are_refused_by_name() {
    let mut builder = RuleSet::builder();
    builder.text("far.conf", br#"SecRule ARGS "@rx (?=a)b" "id:1,phase:1,deny""#);
    let refused = builder.build().unwrap().report().to_string();
    assert!(
        refused.contains("look-around") && refused.contains("feature `backtrack`"),
        "{refused}"
    );
}

#[test]
fn an_entity_hides_no_attack_in_xml() {
    let waf = waf(r#"
        SecAction "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"
        SecRule REQBODY_ERROR "@eq 1" "id:2,phase:2,deny,status:400"
        SecRule XML:/*|XML://@* "@contains union select" "id:3,phase:2,deny"
    "#);
    let body = |entities: &str, content: &str| {
        let body = format!("<!DOCTYPE a [{entities}]><a>{content}</a>");
        request(&waf, "/", &[], body.as_bytes()).0.action()
    };
    assert_eq!(body("<!ENTITY x '1 union select 2'>", "&x;"), deny(403));
    assert_eq!(body("<!ENTITY x '1 union select 2'>", "<b c='&x;'/>"), deny(403));
    assert_eq!(body("<!ENTITY x 'select 2'><!ENTITY y 'union &x;'>", "&y;"), deny(403));
    assert_eq!(body("<!ENTITY x '1 union'>", "&x; of two"), Action::Pass);
    assert_eq!(body("<!ENTITY x '&x;'>", "&x;"), deny(400));
}

#[test]
fn a_tag_means_itself_and_not_what_contains_it() {
    let set = r#"
        SecRule ARGS "@contains x" "id:2,phase:2,pass,tag:language-java,msg:'Java (all)'"
        SecRule ARGS "@contains x" "id:3,phase:2,pass,tag:language-javascript,msg:'Script'"
        SecRule ARGS "@contains x" "id:4,phase:2,pass,tag:other,msg:'Script two'"
    "#;
    let left = |first: &str, last: &str| {
        let waf = waf(&format!("SecAction \"id:1,phase:1,pass,nolog,{first}\"\n{set}\n{last}"));
        request(&waf, "/?a=x", &[], b"").1
    };
    let ctl = |ctl: &str| left(&format!("ctl:{ctl}"), "");
    assert_eq!(ctl("ruleRemoveByTag=language-java"), ["3", "4"]);
    assert_eq!(ctl("ruleRemoveTargetByTag=language-java;ARGS"), ["3", "4"]);
    assert_eq!(ctl("ruleRemoveByTag=^language-java"), ["4"]);
    assert_eq!(ctl("ruleRemoveByTag=java$"), ["3", "4"]);
    assert_eq!(ctl("ruleRemoveTargetByMsg=Script;ARGS"), ["2", "4"]);
    assert_eq!(left("t:none", "SecRuleRemoveByTag language-java"), ["3", "4"]);
    assert_eq!(left("t:none", "SecRuleRemoveByTag (java|other)"), Vec::<String>::new());
    assert_eq!(left("t:none", "SecRuleUpdateTargetByTag language-java !ARGS"), ["3", "4"]);
    assert_eq!(left("t:none", "SecRuleRemoveByMsg \"Java (all)\""), ["3", "4"]);
    assert_eq!(left("t:none", "SecRuleUpdateTargetByMsg ^Script !ARGS"), ["2"]);
    let mut builder = RuleSet::builder();
    let broken = "SecRuleEngine On\nSecRuleRemoveByTag java(\n\
                  SecAction \"id:1,phase:1,pass,ctl:ruleRemoveByTag=java(\"\n";
    builder.text("test.conf", broken.as_bytes());
    let set = builder.build().unwrap();
    let places: Vec<_> = set.report().refused.iter().map(|r| (r.file.as_str(), r.line)).collect();
    assert_eq!(places, [("test.conf", 2), ("test.conf", 3)]);
}

#[test]
fn a_jump_goes_to_the_next_marker_of_its_name() {
    let waf = waf(r#"
        SecAction "id:1,phase:1,pass,nolog,skipAfter:END"
        SecRule ARGS "@streq x" "id:2,phase:1,pass"
        SecMarker END
        SecRule ARGS "@streq x" "id:3,phase:1,pass"
        SecAction "id:4,phase:1,pass,nolog,skipAfter:END"
        SecRule ARGS "@streq x" "id:5,phase:1,pass"
        SecMarker END
        SecRule ARGS "@streq x" "id:6,phase:1,pass"
    "#);
    assert_eq!(request(&waf, "/?a=x", &[], b"").1, ["3", "6"]);
    let text = "SecRuleEngine On\nSecMarker END\n\
                SecAction \"id:1,phase:1,pass,nolog,skipAfter:END\"\n\
                SecRule ARGS \"@streq x\" \"id:2,phase:1,pass\"\n\
                SecRule ARGS \"@streq x\" \"id:3,phase:2,pass\"\n";
    let mut builder = RuleSet::builder();
    builder.text("test.conf", text.as_bytes());
    let set = builder.build().unwrap();
    let notes: Vec<_> = set.report().degraded.iter().map(|d| (d.line, d.why.clone())).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes.iter().all(|(line, why)| *line == 3 && why.contains("stands before it")));
    let waf = Waf::builder(Arc::new(set)).build();
    assert_eq!(request(&waf, "/?a=x", &[], b"").1, ["3"]);
}

#[test]
fn patterns_hold_what_their_macros_stand_for() {
    let set = rules(
        r#"
        SecAction "id:1,phase:1,pass,nolog,setvar:tx.charsets=utf-8|iso-8859-1"
        SecRule ARGS:csrf "!@rx ^%{ARGS.token}$" "id:2,phase:1,deny"
        SecRule ARGS:charset "!@rx ^(?:%{tx.charsets})$" "id:3,phase:1,deny,status:404"
        SecRule ARGS:x "@rx ^%{ARGS.token}(.)" "id:4,phase:1,pass,capture,chain"
          SecRule TX:1 "@streq !" "t:none"
        SecRule ARGS:x "@rx ^a%{2}$" "id:5,phase:1,pass"
    "#,
    );
    let waf = Waf::builder(set).build();
    let ids = |target: &str| request(&waf, target, &[], b"").1;
    let none = Vec::<String>::new();
    assert_eq!(ids("/?csrf=abc&token=abc"), none);
    assert_eq!(ids("/?csrf=abc&token=abd"), ["2"]);
    assert_eq!(ids("/?charset=utf-8"), none);
    assert_eq!(ids("/?charset=iso-8859-1"), none);
    assert_eq!(ids("/?charset=utf-7"), ["3"]);
    assert_eq!(ids("/?token=x1&x=x1!"), ["4"]);
    assert_eq!(ids("/?token=x1&x=x2!"), none);
    assert_eq!(ids("/?token=q&x=a%25%25"), ["5"]);
    // No pattern, or too large a one, matches nothing.
    assert_eq!(ids("/?csrf=(&token=("), ["2"]);
    assert_eq!(ids("/?x=aaaa!&token=((a{1,99}){1,99}){1,99}"), none);
    assert_eq!(ids(&format!("/?x=aaaa!&token={}", "a?".repeat(4_000))), none);
    let mut builder = RuleSet::builder();
    builder.text("test.conf", b"SecRule ARGS \"@rx (%{ARGS.a}\" \"id:1,phase:1,deny\"\n");
    assert_eq!(builder.build().unwrap().report().refused.len(), 1);
}

#[test]
fn what_fits_into_the_limit_is_judged_before_more_is_forwarded() {
    let waf = waf(r#"
        SecRequestBodyLimit 8
        SecRequestBodyLimitAction ProcessPartial
        SecResponseBodyLimit 8
        SecResponseBodyLimitAction ProcessPartial
        SecRule ARGS:q "@contains evil" "id:1,phase:2,deny"
        SecRule INBOUND_DATA_ERROR "@eq 1" "id:2,phase:2,pass,setvar:tx.score=+1"
        SecRule RESPONSE_BODY "@contains evil" "id:3,phase:4,deny"
        SecRule OUTBOUND_DATA_ERROR "@eq 1" "id:4,phase:4,pass,setvar:tx.score=+2"
    "#);
    for (body, action, score) in [
        (&b"q=evil&r=more"[..], deny(403), 0),
        (b"q=good&r=evil", Action::Log, 1),
        (b"q=good&r", Action::Pass, 0),
    ] {
        for size in 1..=body.len() {
            let mut transaction = waf.begin(&connection(), None);
            let _ = verdict(transaction.request_head(&head("POST", "/", &[FORM])));
            let mut seen = 0;
            for chunk in body.chunks(size) {
                seen += chunk.len();
                let now = verdict(transaction.request_body(chunk, false));
                assert_eq!(now.action() == action, seen > 8 || action == Action::Pass, "{size}");
            }
            let last = verdict(transaction.request_body(b"", true));
            assert_eq!((last.action(), last.score()), (action, score), "chunks of {size}");
        }
    }
    let headers = [Header::new("Content-Type", "text/html")];
    let page = ResponseHead {
        status: 200,
        version: b"HTTP/1.1",
        headers: &headers,
        now: Timestamp::default(),
    };
    for (body, action, score) in [
        (&b"an evil one"[..], deny(403), 0),
        (b"another evil one", Action::Log, 2),
        (b"all good", Action::Pass, 0),
    ] {
        for size in 1..=body.len() {
            let mut transaction = waf.begin(&connection(), None);
            let _ = verdict(transaction.request_head(&head("GET", "/", &[])));
            let _ = verdict(transaction.request_body(b"", true));
            let _ = verdict(transaction.response_head(&page));
            let mut seen = 0;
            for chunk in body.chunks(size) {
                seen += chunk.len();
                let now = verdict(transaction.response_body(chunk, false));
                assert_eq!(now.action() == action, seen > 8 || action == Action::Pass, "{size}");
            }
            let last = verdict(transaction.response_body(b"", true));
            assert_eq!((last.action(), last.score()), (action, score), "chunks of {size}");
        }
    }
}

#[test]
fn a_rule_may_block_where_the_rule_set_only_detects() {
    let set = rules(
        r#"
        SecRuleEngine DetectionOnly
        SecRule REQUEST_FILENAME "@beginsWith /admin" "id:1,phase:1,pass,nolog,ctl:ruleEngine=On"
        SecRule ARGS:x "@streq 1" "id:2,phase:2,deny"
    "#,
    );
    let waf = Waf::builder(Arc::clone(&set)).build();
    assert_eq!(request(&waf, "/?x=1", &[], b"").0.action(), Action::Log);
    assert_eq!(request(&waf, "/admin?x=1", &[], b"").0.action(), deny(403));
    let detects = Waf::builder(set).mode(Mode::Detect).build();
    assert_eq!(request(&detects, "/admin?x=1", &[], b"").0.action(), Action::Log);
}

#[test]
fn the_record_holds_what_is_audited_and_what_was_done() {
    let waf = waf(r#"
        SecRule ARGS:a "@streq 1" "id:1,phase:1,pass,noauditlog"
        SecRule ARGS:b "@streq 1" "id:2,phase:1,pass,nolog,auditlog"
        SecRule ARGS:c "@streq 1" "id:3,phase:1,pass"
        SecRule ARGS:d "@streq 1" "id:4,phase:1,pass,nolog"
        SecRule ARGS:e "@streq 1" "id:5,phase:5,deny,status:418"
        SecRule ARGS:f "@streq 1" "id:6,phase:1,deny,noauditlog"
    "#);
    let recorded = |target: &str| {
        let sink = Queue::new(8);
        let mut transaction = waf.begin(&connection(), None);
        let passed = !verdict(transaction.request_head(&head("GET", target, &[]))).is_decisive();
        if passed {
            let _ = verdict(transaction.request_body(b"", true));
        }
        let now = Timestamp::from_unix_seconds(1_001);
        transaction.finish(Outcome { status: 200, bytes: 1, aborted: false, now }, &sink);
        let events = sink.drain();
        let Some(event) = events.first() else { return String::new() };
        let found: Vec<_> = event.findings.iter().map(|f| f.rule.id.as_str()).collect();
        let audited = ModSecurityJson::wanted(event, &waf.rules()).map(|record| {
            let json: serde_json::Value = serde_json::from_str(&record.to_json()).unwrap();
            let messages = json["transaction"]["messages"].as_array().unwrap().iter();
            let ids = messages.map(|m| m["details"]["ruleId"].as_str().unwrap().to_owned());
            ids.collect::<Vec<_>>()
        });
        format!("{} {found:?} {audited:?}", event.action.word())
    };
    assert_eq!(recorded("/?a=1"), r#"log ["1"] None"#);
    assert_eq!(recorded("/?b=1"), r#"log ["2"] Some(["2"])"#);
    assert_eq!(recorded("/?a=1&b=1&c=1"), r#"log ["1", "2", "3"] Some(["2", "3"])"#);
    assert_eq!(recorded("/?d=1"), "");
    assert_eq!(recorded("/?e=1"), r#"log ["5"] Some(["5"])"#);
    assert_eq!(recorded("/?f=1"), r#"deny ["6"] None"#);
    assert_eq!(recorded("/?c=1&f=1"), r#"deny ["3", "6"] Some(["3"])"#);
}

#[test]
fn variables_are_filled_as_the_language_says() {
    let waf = waf(r#"
        SecAction "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=XML,ctl:parseXmlIntoArgs=On"
        SecRule REQUEST_FILENAME "@streq /a+b c.txt" "id:2,phase:1,pass"
        SecRule REQUEST_BASENAME "@streq a+b c.txt" "id:3,phase:1,pass"
        SecRule REMOTE_USER "@streq me" "id:4,phase:1,pass"
        SecRule &REMOTE_USER "@eq 1" "id:7,phase:1,pass"
        SecRule REMOTE_USER "!@rx ^(?:alice|me)$" "id:8,phase:1,pass"
        SecRule ARGS:xml.order.item "@streq evil" "id:5,phase:2,pass"
        SecRule ARGS:xml.order.item.n "@streq evil" "id:6,phase:2,pass"
    "#);
    let basic = [Header::new("Authorization", "Basic bWU6c2VjcmV0")];
    let ids =
        |target: &str, headers: &[Header<'_>], body: &[u8]| request(&waf, target, headers, body).1;
    assert_eq!(ids("/a+b%20c.txt", &[], b""), ["2", "3"]);
    assert_eq!(ids("/a%2Bb%20c.txt", &[], b""), ["2", "3"]);
    assert_eq!(ids("/", &basic, b""), ["4", "7"]);
    let another = [Header::new("Authorization", "Basic Ym9iOng=")];
    assert_eq!(ids("/", &another, b""), ["7", "8"]);
    assert_eq!(ids("/", &[], b"<order><n/>x<item n='1'>evil</item></order>"), ["5"]);
    assert_eq!(ids("/", &[], b"<order><item n='evil'>x<b/></item></order>"), ["6"]);
    assert_eq!(ids("/", &[], b"<order><item><n>evil</n></item></order>"), ["6"]);
}

#[test]
fn a_body_that_is_called_nothing_is_read_as_what_it_looks_like() {
    let waf = waf(r#"
        SecAction "id:9,phase:1,pass,nolog,ctl:requestBodyProcessor=GUESS"
        SecRule REQBODY_PROCESSOR "@streq XML" "id:1,phase:2,pass"
        SecRule REQBODY_PROCESSOR "@streq JSON" "id:2,phase:2,pass"
        SecRule REQUEST_BODY "@contains <!DOCTYPE" "id:3,phase:2,pass"
        SecRule XML:/* "@contains evil" "id:4,phase:2,pass"
        SecRule ARGS "@contains evil" "id:5,phase:2,pass"
    "#);
    let ids = |body: &[u8]| request(&waf, "/", &[], body).1;
    assert_eq!(ids(b"<!DOCTYPE a SYSTEM 'http://b/c'><a>evil</a>"), ["1", "3", "4"]);
    assert_eq!(ids(br#"{"a":"evil"}"#), ["2", "5"]);
    assert_eq!(ids(b"a=evil"), ["5"]);
    assert_eq!(ids(b"%PDF-1.7 <!DOCTYPE evil"), [""; 0]);
}

#[test]
fn an_update_of_actions_says_what_it_cannot_change() {
    let text = "SecRuleEngine On\n\
                SecRule ARGS \"@streq x\" \"id:1,phase:1,pass,nolog\"\n\
                SecRule ARGS \"@streq x\" \"id:2,phase:1,pass\"\n\
                SecMarker END\n\
                SecRuleUpdateActionById 1 \"skipAfter:END\"\n\
                SecRuleUpdateActionById 2 \"t:lowercase,deny\"\n\
                SecRuleUpdateActionById 2 \"phase:2\"\n\
                SecRuleUpdateActionById 2 \"multiMatch\"\n";
    let mut builder = RuleSet::builder();
    builder.text("test.conf", text.as_bytes());
    let set = builder.build().unwrap();
    let refused: Vec<_> = set.report().refused.iter().map(|r| (r.line, r.why.clone())).collect();
    let lines: Vec<u32> = refused.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [6, 7, 8], "{refused:?}");
    for ((_, why), name) in refused.iter().zip(["`t`", "`phase`", "`multimatch`"]) {
        assert!(why.contains(name), "{why}");
    }
    let waf = Waf::builder(Arc::new(set)).build();
    assert_eq!(request(&waf, "/?a=x", &[], b"").0.action(), Action::Pass);
}
