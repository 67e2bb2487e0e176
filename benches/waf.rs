//! The firewall over the kinds of transactions that sites see, with the built-in pack: from the head to the
//! verdict on the request's body. `cargo bench --bench waf`; peers are measured by `benches/peers/`.
#![expect(clippy::unwrap_used, reason = "a bench: a panic is the verdict")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use smesec_core::filter::{Filter, Outcome};
use smesec_core::http::{Connection, Header, RequestHead};
use smesec_core::sink::Discard;
use smesec_core::waf::{Mode, RuleSet, Waf};
use std::sync::Arc;

struct Case {
    name: &'static str,
    method: &'static str,
    target: &'static str,
    kind: &'static str,
    body: String,
}

fn cases() -> Vec<Case> {
    let case = |name, method, target, kind, body: String| Case { name, method, target, kind, body };
    let line = |n: usize| {
        format!(
            "{{\"id\":{n},\"name\":\"Boots {n}\",\"tags\":[\"warm\",\"brown\"],\"price\":{n}.5}}"
        )
    };
    let json = |lines: usize| format!("[{}]", (0..lines).map(line).collect::<Vec<_>>().join(","));
    let form = "application/x-www-form-urlencoded";
    let prose = "They are light and warm; I would order them again from where I am. ".repeat(150);
    vec![
        case("get_plain", "GET", "/", "", String::new()),
        case(
            "get_arguments",
            "GET",
            "/search?q=boots+%26+shoes&page=2&sort=price",
            "",
            String::new(),
        ),
        case(
            "form",
            "POST",
            "/login",
            form,
            "user=ann&password=correct+horse&next=%2Fcart".to_owned(),
        ),
        case(
            "form_prose_10k",
            "POST",
            "/review",
            form,
            format!("text={}", prose.replace(' ', "+")),
        ),
        case("json_10k", "POST", "/api/items", "application/json", json(150)),
        case("json_100k", "POST", "/api/items", "application/json", json(1_500)),
        case(
            "attack_sql",
            "GET",
            "/?id=1%27+union+select+login,hash+from+members--",
            "",
            String::new(),
        ),
        case("attack_xss", "GET", "/?q=%3Cscript%3Ealert(1)%3C/script%3E", "", String::new()),
    ]
}

fn run(waf: &Waf, case: &Case) -> bool {
    let connection = Connection {
        client: ([192, 0, 2, 1], 4_711).into(),
        server: ([192, 0, 2, 2], 80).into(),
        now: smesec_core::time::Timestamp::from_unix_seconds(1_700_000_000),
    };
    let length = case.body.len().to_string();
    let mut headers = vec![
        Header::new("Host", "shop.example"),
        Header::new(
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        ),
        Header::new("Accept", "*/*"),
    ];
    if !case.kind.is_empty() {
        headers.extend([
            Header::new("Content-Type", case.kind),
            Header::new("Content-Length", &length),
        ]);
    }
    let mut transaction = waf.begin(&connection, None);
    let head = RequestHead {
        method: case.method.as_bytes(),
        target: case.target.as_bytes(),
        version: b"HTTP/1.1",
        headers: &headers,
        now: connection.now,
    };
    let mut verdict = transaction.request_head(&head).verdict().unwrap_or_default();
    if !verdict.is_decisive() {
        verdict =
            transaction.request_body(case.body.as_bytes(), true).verdict().unwrap_or_default();
    }
    transaction.finish(Outcome::default(), &Discard);
    verdict.is_decisive()
}

fn transactions(criterion: &mut Criterion) {
    let mut builder = RuleSet::builder();
    builder.builtin();
    let waf = Waf::builder(Arc::new(builder.build().unwrap())).mode(Mode::Block).build();
    let mut group = criterion.benchmark_group("waf");
    for case in cases() {
        assert_eq!(run(&waf, &case), case.name.starts_with("attack"), "{}", case.name);
        group.throughput(Throughput::Bytes((case.target.len() + case.body.len()) as u64));
        group.bench_function(case.name, |bencher| bencher.iter(|| run(&waf, &case)));
    }
    group.finish();
}

fn load(criterion: &mut Criterion) {
    criterion.bench_function("waf/load", |bencher| {
        bencher.iter(|| {
            let mut builder = RuleSet::builder();
            builder.builtin();
            builder.build().unwrap()
        });
    });
}

criterion_group!(benches, transactions, load);
criterion_main!(benches);
