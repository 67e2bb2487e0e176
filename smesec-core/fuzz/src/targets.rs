//! One function a parser: any bytes, no panic, and what must hold for all of them. The fuzzer calls
//! these, and an ordinary test replays the committed corpus through them.

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
use smesec_core::filter::Filter;
use smesec_core::gateway::Config;
use smesec_core::http::{Connection, Header, RequestHead};
use smesec_core::siem::record::{Field, LogSource, Record, Value};
use smesec_core::siem::{Matcher, RuleSet as SigmaRules};
use smesec_core::waf::injection::{detect_sqli, detect_xss};
use smesec_core::waf::seclang::{Memory, parse_text};
use smesec_core::waf::{Mode, RuleSet, Waf};
use std::sync::{Arc, OnceLock};

/// A fuzz target's name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by the names of their corpora.
pub const TARGETS: &[Target] = &[
    ("compress", compress),
    ("config", config),
    ("cookie", cookie),
    ("form", form),
    ("graphql", graphql),
    ("injection", injection),
    ("json", json),
    ("multipart", multipart),
    ("schema", schema),
    ("seclang", seclang),
    ("shared_store", shared_store),
    ("sigma", sigma),
    ("sigma_match", sigma_match),
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

pub fn form(data: &[u8]) {
    let mut scratch = Vec::new();
    let mut count = 0;
    parse_form(data, b'&', &mut scratch, &mut |name, value, offset, _| {
        assert!(offset <= data.len() && name.len() + value.len() <= data.len());
        count += 1;
    });
    assert!(count <= data.len() + 1);
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
    let now = smesec_core::time::Timestamp::default();
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

fn connection() -> Connection {
    Connection {
        client: ([192, 0, 2, 1], 40_000).into(),
        server: ([192, 0, 2, 2], 80).into(),
        now: Default::default(),
    }
}
