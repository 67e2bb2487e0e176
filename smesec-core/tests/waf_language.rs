//! The parts of the rule language that reach beyond the transaction: databases, resolvers, encodings.
#![cfg(feature = "waf")]
#![expect(clippy::unwrap_used, reason = "a test: a panic is the verdict")]

use smesec_core::filter::{Filter, Outcome};
use smesec_core::http::{Connection, Header, RequestHead, ResponseHead};
use smesec_core::limits::OnLimit;
use smesec_core::sink::Queue;
use smesec_core::time::Timestamp;
use smesec_core::verdict::{Action, Step, Verdict};
use smesec_core::waf::audit::ModSecurityJson;
use smesec_core::waf::seclang::Memory;
use smesec_core::waf::{Resolver, RuleSet, RuleSetBuilder, Waf};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

const HEAD: &str = "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n";

fn builder(files: Memory, text: &str) -> RuleSetBuilder {
    let mut builder = RuleSet::builder();
    builder.loader(Box::new(files));
    builder.text("test.conf", format!("{HEAD}{text}").as_bytes());
    builder
}

fn waf(text: &str) -> Waf {
    let mut builder = builder(Memory::default(), text);
    builder.strict(true);
    Waf::builder(Arc::new(builder.build().unwrap())).build()
}

fn connection(client: &str) -> Connection {
    Connection {
        client: client.parse().unwrap(),
        server: "192.0.2.2:80".parse().unwrap(),
        now: Timestamp::from_unix_seconds(1_000),
    }
}

fn verdict(step: Step) -> Verdict {
    step.verdict().unwrap()
}

/// Runs a request whole; what is done and the ids of the findings.
fn from(
    waf: &Waf,
    client: &str,
    target: &str,
    headers: &[Header<'_>],
    body: &[u8],
) -> (Action, Vec<String>) {
    let mut transaction = waf.begin(&connection(client), None);
    let mut answer = verdict(transaction.request_head(&RequestHead {
        method: b"POST",
        target: target.as_bytes(),
        version: b"HTTP/1.1",
        headers,
        now: Timestamp::from_unix_seconds(1_000),
    }));
    if !answer.is_decisive() {
        answer = verdict(transaction.request_body(body, true));
    }
    let ids = transaction.findings().iter().map(|f| f.rule.id.clone()).collect();
    (answer.action(), ids)
}

fn deny(status: u16) -> Action {
    Action::Deny { status }
}

/// Writes databases in the MaxMind DB format, version 2.0: a tree over IPv4 with records of 24 bits.
#[cfg(feature = "geo")]
mod mmdb {
    #[derive(Clone)]
    pub(crate) enum Value {
        Text(&'static str),
        Double(f64),
        Small(u16),
        Long(u32),
        Huge(u64),
        Map(Vec<(&'static str, Value)>),
        List(Vec<Value>),
    }

    fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
        let size = u8::try_from(size).unwrap();
        let (low, more) = if size < 29 { (size, None) } else { (29, Some(size - 29)) };
        if kind < 8 {
            out.push(kind << 5 | low);
        } else {
            out.extend([low, kind - 7]);
        }
        out.extend(more);
    }

    fn write(out: &mut Vec<u8>, value: &Value) {
        match value {
            Value::Text(text) => {
                control(out, 2, text.len());
                out.extend_from_slice(text.as_bytes());
            }
            Value::Double(number) => {
                control(out, 3, 8);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Value::Small(number) => {
                control(out, 5, 2);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Value::Long(number) => {
                control(out, 6, 4);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Value::Huge(number) => {
                control(out, 9, 8);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Value::Map(pairs) => {
                control(out, 7, pairs.len());
                for (name, value) in pairs {
                    write(out, &Value::Text(name));
                    write(out, value);
                }
            }
            Value::List(values) => {
                control(out, 11, values.len());
                for value in values {
                    write(out, value);
                }
            }
        }
    }

    #[expect(clippy::indexing_slicing, reason = "nodes are numbered as they are made")]
    pub(crate) fn database(networks: &[([u8; 4], u32, Value)]) -> Vec<u8> {
        let mut data = Vec::new();
        let mut nodes: Vec<[Option<Result<usize, usize>>; 2]> = vec![[None; 2]];
        for (address, bits, value) in networks {
            let place = data.len();
            write(&mut data, value);
            let address = u32::from_be_bytes(*address);
            let mut node = 0;
            for depth in 0..*bits {
                let side = usize::from(address >> (31 - depth) & 1 == 1);
                if depth + 1 == *bits {
                    nodes[node][side] = Some(Err(place));
                } else if let Some(Ok(next)) = nodes[node][side] {
                    node = next;
                } else {
                    nodes.push([None; 2]);
                    nodes[node][side] = Some(Ok(nodes.len() - 1));
                    node = nodes.len() - 1;
                }
            }
        }
        let mut out = Vec::new();
        for record in nodes.iter().flatten() {
            let number = match record {
                None => nodes.len(),
                Some(Ok(node)) => *node,
                Some(Err(place)) => nodes.len() + 16 + place,
            };
            out.extend_from_slice(&u32::try_from(number).unwrap().to_be_bytes()[1..]);
        }
        out.extend_from_slice(&[0; 16]);
        out.extend(data);
        out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        let metadata = Value::Map(vec![
            ("binary_format_major_version", Value::Small(2)),
            ("binary_format_minor_version", Value::Small(0)),
            ("build_epoch", Value::Huge(1)),
            ("database_type", Value::Text("Test-City")),
            ("description", Value::Map(vec![("en", Value::Text("test"))])),
            ("ip_version", Value::Small(4)),
            ("languages", Value::List(vec![Value::Text("en")])),
            ("node_count", Value::Long(u32::try_from(nodes.len()).unwrap())),
            ("record_size", Value::Small(24)),
        ]);
        write(&mut out, &metadata);
        out
    }
}

#[cfg(feature = "geo")]
#[test]
fn places_of_addresses_are_looked_up() {
    use mmdb::Value::{Double, List, Map, Small, Text};
    let names = |name| ("names", Map(vec![("en", Text(name))]));
    let berlin = Map(vec![
        ("city", Map(vec![names("Berlin")])),
        ("continent", Map(vec![("code", Text("EU")), names("Europe")])),
        ("country", Map(vec![("iso_code", Text("DE")), names("Germany")])),
        (
            "location",
            Map(vec![
                ("latitude", Double(52.5)),
                ("longitude", Double(-13.25)),
                ("metro_code", Small(7)),
            ]),
        ),
        ("postal", Map(vec![("code", Text("10115"))])),
        ("subdivisions", List(vec![Map(vec![("iso_code", Text("BE"))])])),
    ]);
    let other = Map(vec![("registered_country", Map(vec![("iso_code", Text("FR"))]))]);
    let database =
        mmdb::database(&[([198, 51, 100, 0], 24, berlin), ([203, 0, 113, 128], 25, other)]);
    let rules = r#"
        SecGeoLookupDB places.mmdb
        SecRule REMOTE_ADDR "@geoLookup" "id:1,phase:1,deny,status:451,msg:'%{GEO.COUNTRY_CODE} %{GEO.COUNTRY_CODE3} %{GEO.COUNTRY_NAME} %{GEO.COUNTRY_CONTINENT} %{GEO.REGION} %{GEO.CITY} %{GEO.POSTAL_CODE} %{GEO.LATITUDE} %{GEO.LONGITUDE} %{GEO.DMA_CODE}',chain"
          SecRule GEO:COUNTRY_CODE "@within DE,FR" "t:none"
        SecRule &GEO "!@eq 0" "id:2,phase:1,pass,msg:'left over'"
    "#;
    let files = |bytes: Vec<u8>| Memory([("places.mmdb".to_owned(), bytes)].into());
    let set = Arc::new(builder(files(database), rules).build().unwrap());
    assert_eq!((set.report().refused.len(), set.report().degraded.len()), (0, 0));
    let waf = Waf::builder(set).build();
    let mut transaction = waf.begin(&connection("198.51.100.7:1"), None);
    let head = RequestHead {
        method: b"GET",
        target: b"/",
        version: b"HTTP/1.1",
        headers: &[],
        now: Timestamp::default(),
    };
    assert_eq!(verdict(transaction.request_head(&head)).action(), deny(451));
    assert_eq!(
        transaction.findings()[0].message,
        "DE DEU Germany EU BE Berlin 10115 52.5 -13.25 7"
    );
    for (client, action) in [
        ("203.0.113.200:1", deny(451)),
        ("[::ffff:203.0.113.200]:1", deny(451)),
        ("203.0.113.1:1", Action::Pass),
        ("[2001:db8::1]:1", Action::Pass),
    ] {
        assert_eq!(from(&waf, client, "/", &[], b"").0, action, "{client}");
    }
    let broken = builder(files(b"nothing".to_vec()), rules).build().unwrap();
    assert!(broken.report().refused[0].why.contains(".mmdb"));
    assert!(broken.report().degraded[0].why.contains("SecGeoLookupDB"));
}

#[cfg(feature = "geo")]
#[test]
fn without_a_database_no_place_is_known() {
    let text = r#"SecRule REMOTE_ADDR "@geoLookup" "id:1,phase:1,deny""#;
    let set = builder(Memory::default(), text).build().unwrap();
    assert_eq!((set.len(), set.report().refused.len()), (1, 0));
    let degraded = set.report().to_string();
    assert!(degraded.contains("`1`") && degraded.contains("never matches"), "{degraded}");
    assert_eq!(
        from(&Waf::builder(Arc::new(set)).build(), "192.0.2.1:1", "/", &[], b"").0,
        Action::Pass
    );
}

#[cfg(not(feature = "geo"))]
#[test]
fn without_the_feature_no_place_is_looked_up() {
    let text =
        "SecGeoLookupDB places.mmdb\nSecRule REMOTE_ADDR \"@geoLookup\" \"id:1,phase:1,deny\"";
    let files = Memory([("places.mmdb".to_owned(), Vec::new())].into());
    let set = builder(files, text).build().unwrap();
    assert_eq!(set.report().refused.len(), 2);
    assert!(set.report().refused.iter().all(|refused| refused.why.contains("feature `geo`")));
}

/// Answers from a table; a name without entry does not exist, one with `None` cannot be asked.
#[derive(Default)]
struct Table {
    names: BTreeMap<&'static str, Option<IpAddr>>,
    asked: Mutex<Vec<String>>,
}

impl Resolver for Table {
    fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        match self.names.get(name) {
            None => Some(Vec::new()),
            Some(found) => found.map(|address| vec![address]),
        }
    }
}

#[test]
fn block_lists_are_asked_through_the_hosts_resolver() {
    let text = r#"
        SecHttpBlKey Key
        SecRule REMOTE_ADDR "@rbl bl.example" "id:1,phase:1,deny,status:429,t:none"
        SecRule REMOTE_ADDR "@rbl bl.example" "id:2,phase:1,deny,status:428,t:none"
        SecRule REMOTE_ADDR "@rbl dnsbl.httpbl.org" "id:3,phase:1,deny,status:430,t:none,capture,msg:'%{TX.0}'"
        SecRule ARGS:host "@rbl uri.example" "id:4,phase:1,deny,status:431,t:none"
    "#;
    let set = Arc::new(builder(Memory::default(), text).build().unwrap());
    assert_eq!((set.len(), set.report().refused.len()), (4, 0));
    assert_eq!(set.report().degraded.len(), 4);
    assert!(set.report().degraded[0].why.contains("resolver"));
    let listed = Some(IpAddr::from([127, 0, 0, 2]));
    let names = BTreeMap::from([
        ("1.2.0.192.bl.example", listed),
        ("2.2.0.192.bl.example", Some(IpAddr::from([203, 0, 113, 1]))),
        ("3.2.0.192.bl.example", None),
        ("key.4.2.0.192.dnsbl.httpbl.org", Some(IpAddr::from([127, 9, 30, 5]))),
        ("bad.example.uri.example", listed),
    ]);
    let table = Arc::new(Table { names, ..Table::default() });
    let waf = Waf::builder(Arc::clone(&set)).resolver(Arc::clone(&table) as _).build();
    for (client, target, action) in [
        ("192.0.2.1:1", "/", deny(429)),
        ("192.0.2.2:1", "/", Action::Pass),
        ("192.0.2.3:1", "/", Action::Pass),
        ("192.0.2.4:1", "/", deny(430)),
        ("192.0.2.5:1", "/?host=Bad.Example", deny(431)),
        ("192.0.2.5:1", "/?host=good.example", Action::Pass),
    ] {
        table.asked.lock().unwrap().clear();
        assert_eq!(from(&waf, client, target, &[], b"").0, action, "{client} {target}");
        let asked = table.asked.lock().unwrap();
        assert_eq!(asked.iter().filter(|name| name.ends_with("bl.example")).count(), 1);
    }
    let mut transaction = waf.begin(&connection("192.0.2.4:1"), None);
    let head = RequestHead {
        method: b"GET",
        target: b"/",
        version: b"HTTP/1.1",
        headers: &[],
        now: Timestamp::default(),
    };
    let _ = verdict(transaction.request_head(&head));
    let told = &transaction.findings()[0].message;
    assert!(
        told.ends_with(
            "suspicious, comment spammer IP: 9 days since last activity, threat score 30"
        ),
        "{told}"
    );
    assert!(!told.contains("key"), "{told}");
    assert_eq!(from(&Waf::builder(set).build(), "192.0.2.1:1", "/", &[], b"").0, Action::Pass);
}

#[test]
fn one_transaction_asks_a_bounded_number_of_names() {
    let text = r#"SecRule ARGS "@rbl uri.example" "id:1,phase:1,deny,status:431,t:none""#;
    let set = Arc::new(builder(Memory::default(), text).build().unwrap());
    let table = Arc::new(Table::default());
    let waf = Waf::builder(set).resolver(Arc::clone(&table) as _).build();
    let query = (0..100).map(|n| format!("a=h{n}.example")).collect::<Vec<_>>().join("&");
    let (action, ids) = from(&waf, "192.0.2.1:1", &format!("/?{query}"), &[], b"");
    assert_eq!((action, ids), (deny(403), vec!["smesec-limit".to_owned()]));
    assert_eq!(table.asked.lock().unwrap().len(), 32);
}

/// Searches that end within the limit but are long still use the transaction's budget up.
#[cfg(feature = "backtrack")]
#[test]
fn long_searches_are_charged() {
    let text = r#"SecRule ARGS "@rx ^(?:(?=a)a|aa)+(?=(x))\1$" "id:1,phase:1,deny""#;
    let set = Arc::new(builder(Memory::default(), text).build().unwrap());
    let value = format!("a={}xx&", "a".repeat(14));
    let ids = |count: usize| {
        let waf = Waf::builder(Arc::clone(&set)).steps(1_000_000).on_limit(OnLimit::Open).build();
        from(&waf, "192.0.2.1:1", &format!("/?{}", value.repeat(count)), &[], b"").1
    };
    assert_eq!(ids(5), Vec::<String>::new());
    assert_eq!(ids(50), ["smesec-limit"]);
}

/// Debian's package of the Core Rule Set 3.3 needs look-ahead, places and block lists.
#[cfg(all(feature = "backtrack", feature = "geo"))]
#[test]
fn the_core_rule_set_of_debian_loads_whole() {
    let folder = std::path::Path::new("/usr/share/modsecurity-crs/rules");
    if !folder.is_dir() {
        eprintln!("SKIPPED: `{}` is not there; install modsecurity-crs", folder.display());
        return;
    }
    let mut builder = RuleSet::builder();
    let setup = "/etc/modsecurity/crs/crs-setup.conf";
    if std::path::Path::new(setup).is_file() {
        builder.path(setup);
    }
    builder.text("all.conf", format!("Include {}/*.conf", folder.display()).as_bytes());
    let set = builder.build().unwrap();
    assert!(set.report().refused.is_empty(), "{}", set.report());
    assert!(set.len() > 400, "{}", set.len());
}

/// A gzip member with a stored block (RFC 1951, section 3.2.4; RFC 1952).
fn gzip(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend_from_slice(data);
    let mut sum = u32::MAX;
    for byte in data {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    out.extend((!sum).to_le_bytes());
    out.extend(u32::from(length).to_le_bytes());
    out
}

/// Ten MiB of zeros under Brotli.
const BOMB: &[u8] = b"\xcb\xff\xff\x3f\xf8\x27\x00\xe2\xb1\x40\x20\xf7\xfe\x2f\xff\xff\x3f\xf0\x4f\x00\xc4\x61\x11\x80\xee\xfd\x07";

const RULES: &str = r#"
    SecRule ARGS:q "@streq an attack" "id:1,phase:2,deny,status:403"
    SecRule REQBODY_ERROR "@eq 1" "id:2,phase:2,pass,msg:'%{REQBODY_ERROR_MSG}'"
    SecRule RESPONSE_BODY "@beginsWith a secret" "id:3,phase:4,deny,status:502"
"#;

#[test]
fn compressed_requests_are_inspected_decompressed() {
    let on = waf(&format!("SmesecDecompressBodies On\n{RULES}"));
    let off = waf(RULES);
    let form = Header::new("Content-Type", "application/x-www-form-urlencoded");
    let attack = gzip(b"q=an+attack");
    let twice = gzip(&attack);
    let cut = &attack[..attack.len() - 6];
    let broken = [cut, b"xxxxxx"].concat();
    let client = "192.0.2.1:1";
    for (coding, body, action, error) in [
        ("gzip", &attack[..], deny(403), false),
        ("X-GZIP, identity", &attack, deny(403), false),
        ("gzip, gzip", &twice, deny(403), false),
        ("gzip", cut, deny(403), true),
        ("gzip", &broken, Action::Log, true),
        ("deflate", b"\x01\x0b\x00\xf4\xffq=an+attack", deny(403), false),
        ("gzip", b"q=an+attack", deny(403), true),
        ("gzip", &gzip(b"q=peace"), Action::Pass, false),
        ("gzip", &gzip(b"q=peace")[..12], Action::Log, true),
        ("zstd", b"q=peace", Action::Log, true),
        ("identity", b"q=an+attack", deny(403), false),
        ("gzip, gzip, gzip", b"q=peace", deny(413), true),
    ] {
        let headers = [form, Header::new("Content-Encoding", coding)];
        let (told, ids) = from(&on, client, "/", &headers, body);
        assert_eq!(told, action, "{coding} {body:?}");
        if action == Action::Log {
            assert_eq!(ids.contains(&"2".to_owned()), error, "{coding} {ids:?}");
        }
    }
    let headers = [form, Header::new("Content-Encoding", "gzip")];
    assert_eq!(from(&off, client, "/", &headers, &attack).0, Action::Pass);
    let bomb = [form, Header::new("Content-Encoding", "br")];
    let (told, ids) = from(&on, client, "/", &bomb, BOMB);
    assert_eq!(told, deny(413));
    assert_eq!(ids, ["smesec-limit"], "the body's rules do not run over what was refused");
    let set = builder(Memory::default(), &format!("SmesecDecompressBodies On\n{RULES}"));
    let open = Waf::builder(Arc::new(set.build().unwrap())).on_limit(OnLimit::Open).build();
    assert_eq!(from(&open, client, "/", &bomb, BOMB).0, Action::Log);
}

#[test]
fn compressed_responses_are_inspected_decompressed() {
    let secret = gzip(b"a secret page");
    for (on, coding, body, action) in [
        (true, "gzip", &secret[..], deny(502)),
        (true, "gzip", &gzip(b"a page"), Action::Pass),
        (true, "br", BOMB, Action::Log),
        (true, "", b"a secret page", deny(502)),
        (false, "gzip", &secret, Action::Pass),
    ] {
        let switch = if on { "On" } else { "Off" };
        let waf = waf(&format!("SmesecDecompressBodies {switch}\n{RULES}"));
        let mut transaction = waf.begin(&connection("192.0.2.1:1"), None);
        let now = Timestamp::default();
        let head =
            RequestHead { method: b"GET", target: b"/", version: b"HTTP/1.1", headers: &[], now };
        let _ = verdict(transaction.request_head(&head));
        let headers =
            [Header::new("Content-Type", "text/html"), Header::new("Content-Encoding", coding)];
        let head = ResponseHead { status: 200, version: b"HTTP/1.1", headers: &headers, now };
        let _ = verdict(transaction.response_head(&head));
        let told = verdict(transaction.response_body(body, true)).action();
        assert_eq!(told, action, "{on} {coding}");
    }
}

#[test]
fn what_hides_inside_values_is_seen_by_rules_on_arguments() {
    let rules = r#"
        SecRule ARGS "@contains <script" "id:1,phase:2,deny,status:403,msg:'%{MATCHED_VAR_NAME}'"
        SecRule &ARGS "@gt 3" "id:2,phase:2,deny,status:413"
    "#;
    let on = waf(&format!("SmesecDecodedViews On\n{rules}"));
    let off = waf(rules);
    let some = waf(&format!("SmesecDecodedViews On url2,path\n{rules}"));
    let json = Header::new("X-Note", "{\"a\":\"<script>\"}");
    let own = Header::new("X-Own", "<script>");
    let usual = Header::new("User-Agent", "<script>");
    let graphql = Header::new("Content-Type", "application/graphql");
    let client = "192.0.2.1:1";
    type Case<'a> = (&'a str, &'a [Header<'a>], &'a [u8], &'a str, bool);
    let cases: [Case<'_>; 10] = [
        ("/?q=PHNjcmlwdD4xPC9zY3JpcHQ%2B", &[], b"", "ARGS:q|base64", false),
        ("/?q=%253Cscript%253E", &[], b"", "ARGS:q|url2", true),
        ("/?q=eyJhIjoiPHNjcmlwdD4ifQ==", &[], b"", "ARGS:q|base64|json.a", false),
        ("/?q=%7B%22a%22%3A%22%253Cscript%22%7D", &[], b"", "ARGS:q|json.a|url2", true),
        ("/?q=query%7Bf(n:%22%5Cu003cscript%22)%7D", &[], b"", "ARGS:q|graphql.n", false),
        ("/a/%3Cscript%3E", &[], b"", "ARGS:path.2", true),
        ("/", &[own], b"", "ARGS:header.x-own", false),
        ("/", &[json], b"", "ARGS:header.x-note|json.a", false),
        ("/", &[graphql], b"{ f(n: \"\\u003cscript\") }", "ARGS:graphql.n", false),
        ("/", &[usual], b"", "", false),
    ];
    for (target, headers, body, part, by_some) in cases {
        let mut transaction = on.begin(&connection(client), None);
        let now = Timestamp::default();
        let head = RequestHead {
            method: b"POST",
            target: target.as_bytes(),
            version: b"HTTP/1.1",
            headers,
            now,
        };
        let _ = verdict(transaction.request_head(&head));
        let told = verdict(transaction.request_body(body, true)).action();
        assert_eq!(told, if part.is_empty() { Action::Pass } else { deny(403) }, "{target}");
        if !part.is_empty() {
            assert_eq!(transaction.findings()[0].part, part);
        }
        assert_eq!(from(&off, client, target, headers, body).0, Action::Pass, "{target}");
        assert_eq!(
            from(&some, client, target, headers, body).0 != Action::Pass,
            by_some,
            "{target}"
        );
    }
    let three = "/?a=eyJhIjoiYiIsImMiOiJkIn0=&b=eyJhIjoiYiIsImMiOiJkIn0=&c=1";
    assert_eq!(from(&on, client, three, &[], b"").0, Action::Pass);
    let bad = builder(Memory::default(), "SmesecDecodedViews On rot13").build().unwrap();
    assert!(bad.report().refused[0].why.contains("rot13"));
}

#[test]
fn exclusions_of_an_argument_cover_its_views_and_nothing_else() {
    let waf = waf(r#"
        SmesecDecodedViews On
        SecRule ARGS|!ARGS:note "@contains <script" "id:1,phase:1,deny,status:403"
    "#);
    let encoded = "PHNjcmlwdD4xPC9zY3JpcHQ%2B";
    let act = |name: &str| from(&waf, "192.0.2.1:1", &format!("/?{name}={encoded}"), &[], b"").0;
    assert_eq!(act("note"), Action::Pass);
    assert_eq!(act("text"), deny(403));
    assert_eq!(act("note%7Cbase64"), deny(403));
}

#[test]
fn views_are_bounded() {
    let waf =
        waf("SmesecDecodedViews On\nSecRule ARGS \"@contains <script\" \"id:1,phase:2,deny\"");
    let form = Header::new("Content-Type", "application/x-www-form-urlencoded");
    let body = format!("a=[{}]", vec!["\"x\""; 5_000].join(","));
    let (action, ids) = from(&waf, "192.0.2.1:1", "/", &[form], body.as_bytes());
    assert_eq!((action, ids), (deny(403), vec!["smesec-limit".to_owned()]));
}

#[test]
fn the_whole_request_is_one_text_that_no_event_shows() {
    let waf = waf(r#"
        SecRule FULL_REQUEST "@rx (?s)^POST /a HTTP/1.1\r\nAuthorization: Basic.*\r\n\r\nx=1$" "id:1,phase:2,deny,status:403,logdata:'%{FULL_REQUEST} %{MATCHED_VAR}'"
        SecRule FULL_REQUEST_LENGTH "@gt 200" "id:2,phase:2,deny,status:413"
        SecRule FULL_REQUEST "@contains early" "id:3,phase:1,deny,status:401"
    "#);
    let secret = Header::new("Authorization", "Basic aHVudGVyMg==");
    let client = "192.0.2.1:1";
    assert_eq!(from(&waf, client, "/a", &[secret], b"x=1").0, deny(403));
    assert_eq!(from(&waf, client, "/a", &[secret], b"x=2").0, Action::Pass);
    assert_eq!(from(&waf, client, "/a", &[secret], &[b'x'; 200]).0, deny(413));
    assert_eq!(from(&waf, client, "/early", &[], b"").0, deny(401));
    let mut transaction = waf.begin(&connection(client), None);
    let headers = [secret];
    let now = Timestamp::default();
    let head = RequestHead {
        method: b"POST",
        target: b"/a",
        version: b"HTTP/1.1",
        headers: &headers,
        now,
    };
    let _ = verdict(transaction.request_head(&head));
    let _ = verdict(transaction.request_body(b"x=1", true));
    let evidence = &transaction.findings()[0].evidence;
    assert!(evidence.contains("masked") && !evidence.contains("aHVudGVyMg"), "{evidence}");
}

#[test]
fn prefixes_stand_for_the_namespaces_that_a_rule_binds() {
    let waf = waf(r#"
        SecAction "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"
        SecRule XML:/s:order/s:note/text() "@contains bad" "id:2,phase:2,deny,status:403,xmlns:s=urn:shop"
        SecRule XML:/s:order/s:note/text() "@contains bad" "id:3,phase:2,deny,status:401,xmlns:s=urn:other"
    "#);
    let act = |body: &str| from(&waf, "192.0.2.1:1", "/", &[], body.as_bytes()).0;
    assert_eq!(act("<a:order xmlns:a='urn:shop'><a:note>bad</a:note></a:order>"), deny(403));
    assert_eq!(act("<order xmlns='urn:other'><note>bad</note></order>"), deny(401));
    assert_eq!(act("<s:order xmlns:s='urn:third'><s:note>bad</s:note></s:order>"), Action::Pass);
    let text = r#"SecRule XML:/* "@rx a" "id:1,phase:2,deny,xmlns:nothing""#;
    let set = builder(Memory::default(), text).build().unwrap();
    assert!(set.report().refused[0].why.contains("binds no prefix"));
}

#[test]
fn lists_stand_between_the_rules_that_read_them() {
    let waf = waf("SecDataset words `\nunion\n# a comment\n  select \n`\n\
        SecDataset nets `\n192.0.2.0/24\n2001:db8::/32\n`\n\
        SecRule ARGS \"@pmFromDataset words\" \"id:1,phase:1,deny,status:403\"\n\
        SecRule REMOTE_ADDR \"@ipMatchFromDataset nets\" \"id:2,phase:1,deny,status:401\"\n");
    assert_eq!(from(&waf, "198.51.100.1:1", "/?q=SELECT", &[], b"").0, deny(403));
    assert_eq!(from(&waf, "198.51.100.1:1", "/?q=comment", &[], b"").0, Action::Pass);
    assert_eq!(from(&waf, "192.0.2.9:1", "/", &[], b"").0, deny(401));
    assert_eq!(from(&waf, "[2001:db8::9]:1", "/", &[], b"").0, deny(401));
    let text = "SecRule ARGS \"@pmFromDataset none\" \"id:1,phase:1,deny\"\nSecDataset open `\na\n";
    let set = builder(Memory::default(), text).build().unwrap();
    let told = set.report().to_string();
    assert!(told.contains("test.conf:4:15") && told.contains("`none`"), "{told}");
    assert!(told.contains("test.conf:5:17") && told.contains("quote"), "{told}");
}

#[test]
fn national_numbers_are_checked() {
    let waf = waf(r#"
        SecRule ARGS "@validateNid cl \d{1,2}\.?\d{3}\.?\d{3}-[\dkK]" "id:1,phase:1,deny,status:403"
        SecRule ARGS "@validateNid us \d{3}-\d{2}-\d{4}" "id:2,phase:1,deny,status:401"
    "#);
    let act = |value: &str| from(&waf, "192.0.2.1:1", &format!("/?n={value}"), &[], b"").0;
    assert_eq!(act("12.345.678-5"), deny(403));
    assert_eq!(act("12.345.678-4"), Action::Pass);
    assert_eq!(act("078-05-1120"), deny(401));
    assert_eq!(act("000-05-1120"), Action::Pass);
}

#[test]
fn events_have_the_form_of_modsecuritys_audit_log_too() {
    let text = r#"SecComponentSignature "shop/1.0"
        SecRule ARGS "@rx b(a+)d" "id:7,phase:1,deny,status:418,capture,msg:'found %{TX.1}',severity:ERROR,ver:'shop/1',tag:'t'"
        SecRule ARGS:password "@rx ." "id:8,phase:1,pass,msg:'weak'"
    "#;
    let rules = Arc::new(builder(Memory::default(), text).build().unwrap());
    let waf = Waf::builder(Arc::clone(&rules)).record_headers(true).build();
    let record = |target: &str, headers: &[Header<'_>]| -> (String, serde_json::Value) {
        let mut transaction = waf.begin(&connection("[::ffff:192.0.2.1]:4711"), None);
        let now = Timestamp::from_unix_seconds(951_782_400);
        let head = RequestHead {
            method: b"GET",
            target: target.as_bytes(),
            version: b"HTTP/2.0",
            headers,
            now,
        };
        let mut status = 418;
        if !verdict(transaction.request_head(&head)).is_decisive() {
            status = 200;
            let headers = [Header::new("Set-Cookie", "sid=hunter2"), Header::new("X-A", "b")];
            let head = ResponseHead { status: 200, version: b"HTTP/1.1", headers: &headers, now };
            let _ = verdict(transaction.response_head(&head));
        }
        let queue = Queue::new(1);
        transaction.finish(Outcome { status, bytes: 0, aborted: false, now }, &queue);
        let line = ModSecurityJson::new(&queue.drain()[0], &rules).to_json();
        let value = serde_json::from_str(&line).unwrap();
        (line, value)
    };
    let headers = [
        Header::new("Host", "shop.example"),
        Header::new("Authorization", "Basic hunter2"),
        Header::new("Accept", "a"),
        Header::new("Accept", "b"),
    ];
    let (line, record_1) = record("/?q=baaad&token=hunter2", &headers);
    assert!(!line.contains("hunter2") && !line.contains('\n'), "{line}");
    let transaction = &record_1["transaction"];
    assert_eq!(transaction["client_ip"], "192.0.2.1");
    assert_eq!(transaction["client_port"], 4711);
    assert_eq!(transaction["host_port"], 80);
    assert_eq!(transaction["time_stamp"], "Thu Jan  1 00:16:40 1970");
    assert_eq!(transaction["request"]["http_version"], 2.0);
    assert_eq!(transaction["request"]["headers"]["Accept"], "a, b");
    assert_eq!(transaction["response"]["http_code"], 418);
    assert_eq!(transaction["producer"]["components"][0], "shop/1.0");
    assert_eq!(transaction["producer"]["secrules_engine"], "Enabled");
    let message = &transaction["messages"][0];
    assert_eq!(message["message"], "found aaa");
    let details = &message["details"];
    assert_eq!(details["match"], "Matched against variable `ARGS:q' (Value: `baaad' )");
    assert_eq!(details["reference"], "o0,5");
    assert_eq!(details["ruleId"], "7");
    assert_eq!((&details["file"], &details["lineNumber"]), (&"test.conf".into(), &"5".into()));
    assert_eq!((&details["severity"], &details["ver"]), (&"3".into(), &"shop/1".into()));
    assert_eq!(details["tags"][0], "t");
    let (line, record_2) = record("/?password=hunter2", &[]);
    assert!(!line.contains("hunter2"), "{line}");
    assert_eq!(record_2["transaction"]["response"]["headers"]["X-A"], "b");
    assert_eq!(record_2["transaction"]["messages"][0]["details"]["ruleId"], "8");
}

#[test]
fn groups_are_told_to_whoever_reads_them() {
    let message = |rules: &str, target: &str| {
        let waf = waf(rules);
        let mut transaction = waf.begin(&connection("192.0.2.1:1"), None);
        let _ = transaction.request_head(&RequestHead {
            method: b"GET",
            target: target.as_bytes(),
            version: b"HTTP/1.1",
            headers: &[],
            now: Timestamp::default(),
        });
        let messages = transaction.findings().iter().map(|f| f.message.clone());
        messages.collect::<Vec<_>>().join(" ")
    };
    let own = r#"SecRule ARGS:a "@rx (\d+)-(\d+)" "id:1,phase:1,pass,capture,msg:'%{TX.0} %{TX.1} %{TX.2}'""#;
    assert_eq!(message(own, "/?a=x12-345y"), "12-345 12 345");
    let whole = r#"SecRule ARGS:a "@rx (\d+)-(\d+)" "id:1,phase:1,pass,capture,msg:'%{TX.0}'""#;
    assert_eq!(message(whole, "/?a=x12-345y"), "12-345");
    let chain = r#"SecRule ARGS:a "@rx (\d+)-(\d+)" "id:1,phase:1,pass,capture,msg:'more',chain"
        SecRule TX:2 "@gt 300" "t:none""#;
    assert_eq!(message(chain, "/?a=x12-345y"), "more");
    assert_eq!(message(chain, "/?a=x12-245y"), "");
    let later = r#"SecRule ARGS:a "@rx (\d+)-(\d+)" "id:1,phase:1,pass,nolog,capture"
        SecRule TX:/^[12]$/ "@gt 300" "id:2,phase:1,pass,msg:'later'""#;
    assert_eq!(message(later, "/?a=x12-345y"), "later");
    assert_eq!(message(later, "/?a=x12-245y"), "");
    let copied = r#"SecRule ARGS:a "@rx (\d+)-(\d+)" "id:1,phase:1,pass,nolog,capture,setvar:tx.kept=%{TX.2}"
        SecRule TX:kept "@eq 345" "id:2,phase:1,pass,msg:'kept'""#;
    assert_eq!(message(copied, "/?a=x12-345y"), "kept");
}

#[test]
fn bodies_are_held_to_a_json_schema() {
    let files =
        |schema: &str| Memory([("order.json".to_owned(), schema.as_bytes().to_vec())].into());
    let rules = r#"
        SecRule REQUEST_HEADERS:Content-Type "@contains json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
        SecRule REQUEST_BODY "@validateSchema order.json" "id:2,phase:2,deny,status:422,msg:'no order'"
    "#;
    let schema =
        r#"{"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}"#;
    let set = builder(files(schema), rules).build().unwrap();
    assert_eq!(set.report().refused.len(), 0);
    let waf = Waf::builder(Arc::new(set)).build();
    let headers = [Header::new("Content-Type", "application/json")];
    let send = |body: &[u8]| from(&waf, "192.0.2.1:1", "/", &headers, body).0;
    assert_eq!(send(br#"{"id": 7}"#), Action::Pass);
    assert_eq!(send(br#"{"id": "7"}"#), deny(422));

    let refused = builder(files(r#"{"typo": 1}"#), rules).build().unwrap();
    let why = &refused.report().refused[0].why;
    assert!(why.contains("order.json") && why.contains("`typo` is not offered"), "{why}");
    let xml = r#"SecRule XML "@validateSchema order.xsd" "id:3,phase:2,deny""#;
    let refused = builder(Memory::default(), xml).build().unwrap();
    assert!(refused.report().refused[0].why.contains("JSON Schema"));
}

#[test]
fn an_exclusion_of_a_header_covers_its_view() {
    let rules = |without: &str| {
        waf(&format!(
            "SmesecDecodedViews On\nSecRule ARGS \"@contains <script\" \"id:1,phase:2,deny,status:403\"\n\
             SecRuleUpdateTargetById 1 \"{without}\"\n"
        ))
    };
    let own = [Header::new("X-Own", "<script>")];
    let answer = |without: &str, target: &str| {
        from(&rules(without), "192.0.2.1:1", target, &own, b"").0 != Action::Pass
    };
    assert!(answer("!REQUEST_HEADERS:x-other", "/"));
    assert!(!answer("!REQUEST_HEADERS:X-Own", "/"));
    assert!(!answer("!REQUEST_HEADERS", "/"));
    assert!(answer("!REQUEST_HEADERS", "/?q=<script>"));
    assert!(answer("!REQUEST_HEADERS", "/a/%3Cscript%3E"));
    let both = "!REQUEST_HEADERS,!REQUEST_FILENAME";
    assert!(!answer(both, "/a/%3Cscript%3E") && answer(both, "/?q=<script>"));
}
