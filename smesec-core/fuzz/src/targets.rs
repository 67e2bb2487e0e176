//! One function a parser: any bytes, no panic, and what must hold for all of them. The fuzzer calls
//! these, and an ordinary test replays the committed corpus through them.

use smesec_core::client::http1::{Limits, ResponseParser};
use smesec_core::client::mqtt::packet;
use smesec_core::collection::{Change, CollectionStore, SharedStore};
use smesec_core::decode::body::compress::{DecompressLimits, Decompressor, Encoding};
use smesec_core::decode::body::cookie::{CookieFormat, parse_cookies};
use smesec_core::decode::body::form::parse_form;
use smesec_core::decode::body::graphql::{GraphqlLimits, parse_graphql};
use smesec_core::decode::body::json::{Json, JsonLimits};
use smesec_core::decode::body::multipart::{Multipart, MultipartLimits, PartEvent};
use smesec_core::decode::body::xml::{XmlDocument, XmlLimits};
use smesec_core::decode::body::xpath::XPath;
use smesec_core::decode::transform::Transform;
use smesec_core::decode::yaml;
use smesec_core::filter::Filter;
use smesec_core::gateway::Config;
use smesec_core::http::{Connection, Header, RequestHead};
use smesec_core::ruleset::LoadReport;
use smesec_core::siem::correlation::{Correlator, Plan, Settings};
use smesec_core::siem::directive::{Directives, parse_xml, parse_yaml};
use smesec_core::siem::record::{Field, LogSource, Record, Value};
use smesec_core::siem::risk::Assets;
use smesec_core::siem::sigma::{self, Meta};
use smesec_core::siem::sources::{Format, Reader, ReaderOptions};
use smesec_core::siem::{Matcher, RuleSet as SigmaRules};
use smesec_core::taas::audit::{Audit, draft};
use smesec_core::time::Timestamp;
use smesec_core::waf::injection::{detect_sqli, detect_xss};
use smesec_core::waf::seclang::{Memory, parse_text};
use smesec_core::waf::{Mode, RuleSet, Waf};
use std::sync::{Arc, OnceLock};

/// A fuzz target's name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by the names of their corpora.
pub const TARGETS: &[Target] = &[
    ("audit", audit),
    ("compress", compress),
    ("config", config),
    ("cookie", cookie),
    ("correlation", correlation),
    ("correlation_snapshot", correlation_snapshot),
    ("directive", directive),
    ("form", form),
    ("graphql", graphql),
    ("http_answer", http_answer),
    ("injection", injection),
    ("json", json),
    ("log_auditd", log_auditd),
    ("log_auto", log_auto),
    ("log_cef", log_cef),
    ("log_csv", log_csv),
    ("log_evtx", log_evtx),
    ("log_json", log_json),
    ("log_syslog", log_syslog),
    ("log_xml", log_xml),
    ("mqtt", mqtt),
    ("multipart", multipart),
    ("schema", schema),
    ("seclang", seclang),
    ("shared_store", shared_store),
    ("sigma", sigma),
    ("sigma_match", sigma_match),
    ("taas", taas),
    ("transaction", transaction),
    ("transform", transform),
    ("xml", xml),
    ("xpath", xpath),
];

/// The first byte says how the rest is cut into chunks; 0 leaves it whole.
fn chunks(data: &[u8]) -> (usize, &[u8]) {
    match data.split_first() {
        Some((0, rest)) => (rest.len().max(1), rest),
        Some((size, rest)) => (usize::from(*size), rest),
        None => (1, data),
    }
}

fn base_rules() -> Vec<Meta> {
    ["a", "b", "c"].iter().map(|name| Meta { name: (*name).into(), ..Meta::default() }).collect()
}

fn plan(text: &str) -> Arc<Plan> {
    let mut correlations = Vec::new();
    for document in yaml::documents(text, "f.yml", yaml::Limits::default()).map_while(Result::ok) {
        correlations.extend(sigma::correlation::parse(&document.root, "f.yml"));
    }
    let mut report = LoadReport::default();
    let count = correlations.len();
    let plan = Plan::build(correlations, &base_rules(), &mut report);
    assert_eq!(plan.len() + report.refused.len(), count, "each is in force or refused");
    Arc::new(plan)
}

fn hits(correlator: &mut Correlator, out: &mut Vec<smesec_core::siem::correlation::Alarm>) {
    for n in 0..60_i64 {
        let value = (n % 5).to_string();
        let field = |name| Field { name, value: Value::text(&value) };
        let fields = [field("g"), field("v"), field("ip")];
        let record = Record { fields: &fields, ..Record::default() };
        let time = Timestamp::from_unix_seconds(n * 7 % 100);
        correlator.hit(u32::try_from(n % 3).unwrap_or(0), time, "s", &record, out);
    }
    correlator.flush(out);
}

pub fn correlation(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        hits(&mut Correlator::new(plan(text), Settings::default()), &mut Vec::new());
    }
}

pub fn correlation_snapshot(data: &[u8]) {
    static PLAN: OnceLock<Arc<Plan>> = OnceLock::new();
    let plan = PLAN.get_or_init(|| plan(include_str!("../corpus/correlation/kinds")));
    let mut correlator = Correlator::new(Arc::clone(plan), Settings::default());
    if correlator.restore(data).is_ok() {
        let mut alarms = Vec::new();
        hits(&mut correlator, &mut alarms);
        let mut again = Correlator::new(Arc::clone(plan), Settings::default());
        again.restore(&correlator.snapshot(0)).expect("our own snapshot");
    }
    let directives = || {
        let text = include_str!("../corpus/directive/yaml");
        let read = parse_yaml(text, "f.yml").unwrap_or_default();
        let mut report = LoadReport::default();
        Directives::new(read, &base_rules(), Assets::new(), Settings::default(), &mut report)
    };
    let mut running = directives();
    if running.restore(data).is_ok() {
        running.flush(&mut Vec::new());
        directives().restore(&running.snapshot()).expect("our own snapshot");
    }
}

pub fn directive(data: &[u8]) {
    let mut report = LoadReport::default();
    let mut directives = parse_xml(data, "f.xml", &mut report).unwrap_or_default();
    if let Ok(text) = std::str::from_utf8(data) {
        directives.extend(parse_yaml(text, "f.yml").unwrap_or_default());
    }
    let mut run =
        Directives::new(directives, &base_rules(), Assets::new(), Settings::default(), &mut report);
    let mut alarms = Vec::new();
    for n in 0..60_i64 {
        let value = (n % 5).to_string();
        let field = |name| Field { name, value: Value::text(&value) };
        let fields = [field("plugin_id"), field("plugin_sid"), field("dst_port")];
        let record = Record { fields: &fields, ..Record::default() };
        run.see(&[0], Timestamp::from_unix_seconds(n), "s", &record, Some(5), &mut alarms);
    }
    run.flush(&mut alarms);
    assert_eq!(run.running(), 0);
}

pub fn form(data: &[u8]) {
    let mut scratch = Vec::new();
    let mut count = 0;
    parse_form(data, b'&', &mut scratch, &mut |name, value, offset, _| {
        assert!(offset <= data.len() && name.len() + value.len() <= data.len());
        count += 1;
    });
    assert!(count <= data.len() + 1);
}

/// However the answer is cut, it is read alike; what an answer holds is bounded by what came.
pub fn http_answer(data: &[u8]) {
    let (size, data) = chunks(data);
    let method = if data.first().is_some_and(u8::is_ascii_lowercase) { "HEAD" } else { "GET" };
    let data = data.strip_prefix(b"h").unwrap_or(data);
    let read = |size: usize| {
        let mut parser = ResponseParser::new(method, Limits { head: 1024, body: 1024 });
        let mut taken = 0;
        for chunk in data.chunks(size) {
            taken += parser.push(chunk).ok()?;
            if parser.is_complete() {
                break;
            }
        }
        parser.end().ok()?;
        assert!(parser.is_complete() && taken <= data.len());
        let keeps_alive = parser.keeps_alive();
        Some((parser.into_response(), taken, keeps_alive))
    };
    let whole = read(data.len().max(1));
    assert_eq!(read(size), whole);
    assert_eq!(read(1), whole);
    if let Some((response, taken, _)) = whole {
        assert!((100..1000).contains(&response.status) && response.body.len() <= taken);
    }
}

/// A packet that was read was there whole, and none is read from less.
pub fn mqtt(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((found, end))) = packet::read(rest) {
        assert!(end >= 2 && end <= rest.len());
        assert_eq!(packet::read(&rest[..end]), Ok(Some((found, end))));
        assert_eq!(packet::read(&rest[..end - 1]), Ok(None));
        rest = &rest[end..];
    }
}

pub fn cookie(data: &[u8]) {
    let mut bytes = 0;
    for format in [CookieFormat::Netscape, CookieFormat::Version1] {
        parse_cookies(data, format, &mut |name, value| bytes += name.len() + value.len());
    }
    assert!(bytes <= 2 * data.len());
}

pub fn json(data: &[u8]) {
    let run = |size: usize, data: &[u8]| {
        let mut leaves = Vec::new();
        let mut json = Json::new(JsonLimits::default());
        let mut each = |path: &[u8], value: &[u8]| leaves.push((path.to_vec(), value.to_vec()));
        let fed = data.chunks(size).try_for_each(|chunk| json.feed(chunk, &mut each));
        let ended = fed.and_then(|()| json.finish(&mut each)).map_err(|e| e.to_string());
        (leaves, ended)
    };
    let (size, data) = chunks(data);
    assert_eq!(run(size, data), run(data.len().max(1), data), "chunks of {size}");
}

pub fn multipart(data: &[u8]) {
    let (size, data) = chunks(data);
    let cut = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (kind, body) = data.split_at(cut);
    let run = |size: usize| {
        let mut told = String::new();
        let Ok(mut parser) = Multipart::new(kind, MultipartLimits::default()) else {
            return told;
        };
        let mut in_data = false;
        let mut each = |event: PartEvent<'_>| {
            use std::fmt::Write as _;
            // Pieces of a part's data may be cut anywhere; all else may not.
            if let PartEvent::Data(bytes) = event {
                in_data = true;
                for byte in bytes {
                    let _ = write!(told, "{byte:02x}");
                }
            } else {
                let _ = write!(told, "|{event:?}");
                in_data = false;
            }
        };
        for chunk in body.chunks(size) {
            parser.feed(chunk, &mut each);
        }
        parser.finish(&mut each);
        told + &format!("{:?} {:?}", parser.flags(), parser.error())
    };
    assert_eq!(run(size), run(body.len().max(1)), "chunks of {size}");
}

pub fn compress(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let encoding = match kind % 3 {
        0 => Encoding::Gzip,
        1 => Encoding::Deflate,
        _ => Encoding::Brotli,
    };
    let (size, body) = chunks(rest);
    let limits = DecompressLimits { max_output: 1 << 16, max_ratio: 100, ratio_after: 1 << 12 };
    let run = |size: usize| {
        let mut out = Vec::new();
        let mut unpack = Decompressor::new(encoding, limits);
        let fed = body.chunks(size).try_for_each(|chunk| unpack.feed(chunk, &mut out));
        let ended = fed.and_then(|()| unpack.finish()).is_ok();
        assert!(out.len() as u64 <= limits.max_output);
        (ended, if ended { out } else { Vec::new() })
    };
    // Where a limit stands depends on how much went in at once; what is unpacked whole does not.
    let (whole, cut) = (run(body.len().max(1)), run(size));
    if whole.0 && cut.0 {
        assert_eq!(whole.1, cut.1, "chunks of {size}");
    }
}

pub fn graphql(data: &[u8]) {
    let mut bytes = 0;
    let _ = parse_graphql(data, GraphqlLimits::default(), &mut |part| {
        bytes += format!("{part:?}").len();
    });
}

const PATHS: &[&str] = &["/*", "//@*", "/soap:Envelope/soap:Body//*", "//text()", "/a/b[1]"];

pub fn xml(data: &[u8]) {
    let (document, _) = XmlDocument::parse_partial(data, XmlLimits::default());
    for path in PATHS {
        if let Ok(path) = XPath::compile(path) {
            document.select(&path, &mut |_| {});
        }
    }
}

pub fn xpath(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(path) = XPath::compile(text) else { return };
    let document = b"<a x='1'><b>c</b><b y='2'><d/>e</b><!-- f --></a>";
    let Ok(document) = XmlDocument::parse(document, XmlLimits::default()) else { return };
    let mut count = 0;
    document.select(&path, &mut |_| count += 1);
    assert!(count < 100);
}

pub fn transform(data: &[u8]) {
    let mut out = Vec::new();
    for transform in Transform::ALL {
        let changed = transform.apply(data, &mut out);
        assert!(!changed || out != data, "{transform:?} says that it changed what it did not");
        assert!(!changed || out.len() <= 4 * data.len() + 20, "{transform:?} grew its input");
    }
}

pub fn injection(data: &[u8]) {
    let first = (detect_sqli(data).map(|f| f.to_string()), detect_xss(data));
    let again = (detect_sqli(data).map(|f| f.to_string()), detect_xss(data));
    assert_eq!(first, again);
}

pub fn seclang(data: &[u8]) {
    let syntax = parse_text("fuzz.conf", data, &Memory::default());
    drop(syntax);
    if data.len() < 4_096 {
        let mut builder = RuleSet::builder();
        builder.loader(Box::new(Memory::default()));
        builder.text("fuzz.conf", data);
        if let Ok(rules) = builder.build() {
            let waf = Waf::builder(Arc::new(rules)).mode(Mode::Block).steps(100_000).build();
            let _ = inspect(&waf, b"GET", b"/?a=1&b[]=x'y", b"text/plain", b"a=b", 3);
        }
    }
}

pub fn config(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Err(why) = Config::parse("fuzz.toml", text)
    {
        assert!(why.to_string().starts_with("fuzz.toml:"), "{why}");
    }
}

/// A target's description or an `OpenAPI` document; the first byte is of either.
pub fn audit(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let key = "-----BEGIN PUBLIC KEY-----";
    match Audit::load_with(text, "fuzz.yaml", &|_| Some(key.to_owned())) {
        Ok(audit) => {
            let (most, _, _) = audit.limits();
            assert!(audit.destructive(true).plan().len() as u64 <= most);
        }
        Err(why) => assert!(why.to_string().starts_with("fuzz.yaml:"), "{why}"),
    }
    match draft(text, "fuzz.yaml") {
        Ok(drafted) => {
            let read = Audit::load_with(&drafted, "draft.yaml", &|_| Some("a password".to_owned()));
            assert!(read.is_ok(), "{read:?} of\n{drafted}");
        }
        Err(why) => assert!(why.to_string().starts_with("fuzz.yaml:"), "{why}"),
    }
}

/// What a firewall says to one request whose body comes in chunks of `size`.
fn inspect(
    waf: &Waf,
    method: &[u8],
    target: &[u8],
    kind: &[u8],
    body: &[u8],
    size: usize,
) -> String {
    let connection = connection();
    let length = body.len().to_string();
    let headers = [
        Header::new("Host", "shop.example"),
        Header::new("User-Agent", "fuzz/1.0"),
        Header::new("Accept", "*/*"),
        Header::new("Content-Type", kind),
        Header::new("Content-Length", &length),
    ];
    let mut transaction = waf.begin(&connection, None);
    let head = RequestHead {
        method,
        target,
        version: b"HTTP/1.1",
        headers: &headers,
        now: connection.now,
    };
    let mut verdict = transaction.request_head(&head).verdict();
    for chunk in body.chunks(size.max(1)) {
        verdict = transaction.request_body(chunk, false).verdict();
    }
    if verdict.is_some_and(|verdict| !verdict.is_decisive()) {
        verdict = transaction.request_body(b"", true).verdict();
    }
    format!("{verdict:?} {:?}", transaction.findings())
}

fn builtin() -> &'static Waf {
    static WAF: OnceLock<Waf> = OnceLock::new();
    WAF.get_or_init(|| {
        let mut builder = RuleSet::builder();
        builder.builtin();
        let rules = builder.build().expect("the built-in pack compiles");
        Waf::builder(Arc::new(rules)).mode(Mode::Block).build()
    })
}

/// A chunk size, then three lines: method, target, content type; the rest is the body.
pub fn transaction(data: &[u8]) {
    let (size, data) = chunks(data);
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (method, target, kind, body) = (part(), part(), part(), part());
    let whole = inspect(builtin(), method, target, kind, body, body.len());
    let cut = inspect(builtin(), method, target, kind, body, size);
    assert_eq!(whole, cut, "chunks of {size}");
}

/// A JSON Schema, a byte 0xFF, a value.
pub fn schema(data: &[u8]) {
    let cut = data.iter().position(|byte| *byte == 0xFF).unwrap_or(data.len());
    let (schema, value) = data.split_at(cut);
    let mut builder = RuleSet::builder();
    builder.loader(Box::new(Memory([("s.json".to_owned(), schema.to_vec())].into())));
    builder.text(
        "schema.conf",
        b"SecRuleEngine On\nSecRule REQUEST_HEADERS:X \"@validateSchema s.json\" \"id:1,phase:1,deny\"\n",
    );
    let rules = builder.build().expect("one rule fits");
    let waf = Waf::builder(Arc::new(rules)).build();
    let value = value.strip_prefix(&[0xFF]).unwrap_or_default();
    let mut transaction = waf.begin(&connection(), None);
    let head = RequestHead {
        method: b"GET",
        target: b"/",
        version: b"HTTP/1.1",
        headers: &[Header { name: b"X", value }],
        now: Default::default(),
    };
    let _ = transaction.request_head(&head);
}

/// A test file through loading and a run against a target that always gives one answer.
pub fn taas(data: &[u8]) {
    use smesec_core::runner::{ExchangeError, Request, Response, Session, Target};
    struct Same;
    impl Target for Same {
        fn session(&self) -> Box<dyn Session> {
            Box::new(Self)
        }
    }
    impl Session for Same {
        fn exchange(
            &mut self,
            _: &Request,
            _: std::time::Duration,
        ) -> Result<Response, ExchangeError> {
            Ok(Response {
                status: 200,
                headers: vec![
                    ("Set-Cookie".into(), b"a=b".into()),
                    ("Location".into(), b"/?a=b".into()),
                ],
                body: br#"{"a": [1, {"b": "c"}], "token": "t0ken-value"}"#.into(),
                ..Response::default()
            })
        }
        fn wait(&mut self, _: std::time::Duration) {}
        fn now(&self) -> Timestamp {
            Default::default()
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let files = smesec_core::taas::Memory::default()
        .file("common.yaml", "variables: {v: 1, host: 'http://h'}\nstages: []\n")
        .file("circle.yaml", "a: !include circle.yaml\n");
    let suite = smesec_core::taas::Suite::builder()
        .files(files)
        .secret(|_| Some("secret".to_owned()))
        .text("t.yaml", text)
        .build();
    let _ = (suite.report().to_string(), suite.hosts());
    for test in suite.tests().iter().take(20) {
        let _ = test.run(&Same, &mut smesec_core::taas::Secrets::default());
    }
}

/// Rule files: what is refused has a place and a reason, what is loaded can be asked and explained.
pub fn sigma(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut builder = SigmaRules::builder();
    builder.text("fuzz.yml", &text);
    let Ok(rules) = builder.build() else { return };
    for refused in rules.report().refused.iter().chain(&rules.report().degraded) {
        assert!(refused.line > 0 && !refused.why.is_empty(), "{refused}");
    }
    ask(rules, "Image=C:\\x\\cmd.exe\nCommandLine=cmd /c -enc SQBFAFgA\nsrc_ip=10.0.0.1");
}

/// A rule, a line `...`, and fields, one a line.
pub fn sigma_match(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some((rule, fields)) = text.split_once("\n...\n") else { return };
    let mut builder = SigmaRules::builder();
    builder.text("fuzz.yml", rule);
    if let Ok(rules) = builder.build() {
        ask(rules, fields);
    }
}

/// Matching again finds the same, and so does the explanation, which has neither index nor memory.
fn ask(rules: SigmaRules, fields: &str) {
    let rules = Arc::new(rules);
    let mut matcher = Matcher::new(Arc::clone(&rules));
    let pair = |line| -> Option<(&str, &str)> { str::split_once(line, '=') };
    let fields: Vec<Field<'_>> = fields
        .lines()
        .filter_map(pair)
        .map(|(name, text)| Field { name, value: Value::text(text) })
        .collect();
    let log_source =
        LogSource { product: "windows", category: "process_creation", service: "sysmon" };
    let record = Record { fields: &fields, log_source, ..Record::default() };
    let concerned = matcher.concerned(&record);
    let first = matcher.matches(&record).to_vec();
    for _ in 0..2 {
        assert_eq!(matcher.matches(&record), first);
    }
    for rule in concerned {
        let told = rules.explain(rule, &record).expect("a rule that is concerned");
        assert_eq!(told.matches, first.contains(&rule), "{told}");
    }
}

/// A store in memory that somebody else writes into: each ten bytes say where and what.
#[expect(unsafe_code, reason = "the region is the target's own")]
pub fn shared_store(data: &[u8]) {
    let mut words = vec![0u64; 8_192];
    let start = std::ptr::NonNull::new(words.as_mut_ptr().cast::<u8>()).expect("not null");
    // SAFETY: the words outlive the store, which is made anew after each change of them.
    let open = || unsafe { SharedStore::in_region(start, 8_192 * 8) };
    let now = Timestamp::default();
    let use_it = |store: &SharedStore| {
        for n in 0..40u8 {
            let value = Change::Set(vec![n; usize::from(n) * 8]);
            store.apply("IP", &[n % 20], &[n % 3], value, now);
            assert!(store.load("IP", &[n % 30], now).len() <= 64);
        }
    };
    use_it(&open().expect("fresh memory"));
    for change in data.chunks_exact(10) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % words.len();
        // A word that is 0 may be a lock, which is waited for.
        if words[at] != 0 {
            words[at] = u64::from_le_bytes(change[2..].try_into().expect("eight bytes"));
        }
    }
    if let Ok(store) = open() {
        use_it(&store);
    }
}

/// What a reader tells of bytes that come in pieces of `size`, cut in between into small events.
fn records(format: Format, data: &[u8], size: usize) -> String {
    use std::fmt::Write as _;
    let mut told = String::new();
    let options = ReaderOptions { event_bytes: 1_000, fields: 100, ..ReaderOptions::default() };
    let mut reader = Reader::new(format, "fuzz", options);
    let mut each = |line: Result<Record<'_>, _>| {
        let _ = match line {
            Ok(record) => {
                assert!(record.fields.len() <= 100);
                writeln!(told, "{record:?}")
            }
            Err(bad) => writeln!(told, "{bad}"),
        };
    };
    for piece in data.chunks(size.max(1)) {
        reader.feed(piece, &mut each);
    }
    reader.finish(&mut each);
    told
}

fn log(format: Format, data: &[u8]) {
    let (size, data) = chunks(data);
    let whole = records(format, data, data.len());
    assert_eq!(whole, records(format, data, size), "pieces of {size}");
}

pub fn log_auditd(data: &[u8]) {
    log(Format::Auditd, data);
}

pub fn log_auto(data: &[u8]) {
    log(Format::Auto, data);
}

pub fn log_cef(data: &[u8]) {
    log(Format::Cef, data);
    log(Format::Leef, data);
}

pub fn log_csv(data: &[u8]) {
    log(Format::Csv, data);
}

pub fn log_json(data: &[u8]) {
    log(Format::Json, data);
}

pub fn log_syslog(data: &[u8]) {
    log(Format::Syslog, data);
    log(Format::Access, data);
    log(Format::ErrorLog, data);
}

pub fn log_xml(data: &[u8]) {
    log(Format::EventXml, data);
    log(Format::JournalExport, data);
}

/// A chunk; the file's header before it holds nothing that is read.
pub fn log_evtx(data: &[u8]) {
    let mut file = vec![0; 4_096];
    file[..8].copy_from_slice(b"ElfFile\0");
    file.extend_from_slice(data);
    records(Format::Evtx, &file, file.len());
}

fn connection() -> Connection {
    Connection {
        client: ([192, 0, 2, 1], 40_000).into(),
        server: ([192, 0, 2, 2], 80).into(),
        now: Default::default(),
    }
}
