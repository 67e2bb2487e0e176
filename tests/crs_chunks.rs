//! The Core Rule Set's own tests, their bodies cut at every byte, re-chunked at random and broken off: the
//! same findings for every chunking, and no panic for any.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test: a panic is the verdict, and a skipped run has to be seen"
)]

use serde_json::Value;
use smesec_core::filter::{Filter, Outcome};
use smesec_core::http::{Connection, Header, RequestHead};
use smesec_core::sink::Discard;
use smesec_core::waf::{RuleSet, Waf};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Bodies up to here are cut at every byte; of longer ones some places are drawn.
const EVERY: usize = 400;
const DRAWN: usize = 24;

struct Case {
    name: String,
    method: String,
    target: String,
    version: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn place(variable: &str, default: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(default);
    std::env::var_os(variable).map_or(beside, PathBuf::from)
}

fn output(command: &mut Command) -> Option<Vec<u8>> {
    let output = command.output().ok()?;
    output.status.success().then_some(output.stdout)
}

/// Rules and requests as the conformance suite makes them; `None` where the corpus is not there.
fn material() -> Option<(PathBuf, Vec<Case>)> {
    let (crs, tools) =
        (place("SMESEC_CORPORA", "corpora").join("crs"), place("SMESEC_TOOLS", "tools"));
    let rules = output(Command::new("sh").arg(tools.join("waf/mkconf.sh")).arg(&crs).arg("ftw"));
    let python = std::env::var_os("CARGO_TARGET_DIR")
        .map(|target| PathBuf::from(target).join("venv/bin/python"))
        .filter(|python| python.exists())
        .unwrap_or_else(|| "python3".into());
    let lines = output(Command::new(python).arg(tools.join("waf/crs_to_jsonl.py")).arg(&crs));
    let (Some(rules), Some(lines)) = (rules, lines) else {
        println!("##### SKIPPED: CRS cut and re-chunked, no corpus or no PyYAML here #####");
        return None;
    };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crs-chunks.conf");
    std::fs::write(&file, rules).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let cases = String::from_utf8(lines).unwrap();
    let cases = cases.lines().map(|line| {
        let case: Value = serde_json::from_str(line).unwrap();
        let pairs = case["headers"].as_array().unwrap().iter();
        Case {
            name: text(&case["name"]),
            method: text(&case["method"]),
            target: text(&case["uri"]),
            version: format!("HTTP/{}", text(&case["version"])),
            headers: pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
            body: base64(case["body_b64"].as_str().unwrap()),
        }
    });
    Some((file, cases.collect()))
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        alphabet.iter().position(|b| *b == byte).and_then(|n| u32::try_from(n).ok())
    };
    let digits: Vec<u32> = text.bytes().filter_map(digit).collect();
    let group = |four: &[u32]| {
        let sum = (0..4).fold(0, |sum, n| sum << 6 | four.get(n).copied().unwrap_or(0));
        let [_, bytes @ ..] = sum.to_be_bytes();
        bytes.into_iter().take(four.len() - 1).collect::<Vec<u8>>()
    };
    digits.chunks(4).flat_map(group).collect()
}

/// Verdict and findings of a request whose body comes in these pieces.
fn inspect<'a>(waf: &Waf, case: &Case, pieces: impl Iterator<Item = &'a [u8]>) -> String {
    let connection = Connection {
        client: ([192, 0, 2, 1], 4_711).into(),
        server: ([192, 0, 2, 2], 80).into(),
        now: smesec_core::time::Timestamp::from_unix_seconds(1_700_000_000),
    };
    let headers: Vec<_> =
        case.headers.iter().map(|(name, value)| Header::new(name, value)).collect();
    let mut transaction = waf.begin(&connection, None);
    let mut verdict = transaction.request_head(&RequestHead {
        method: case.method.as_bytes(),
        target: case.target.as_bytes(),
        version: case.version.as_bytes(),
        headers: &headers,
        now: connection.now,
    });
    for piece in pieces {
        verdict = transaction.request_body(piece, false);
    }
    if verdict.verdict().is_some_and(|verdict| !verdict.is_decisive()) {
        verdict = transaction.request_body(b"", true);
    }
    let rules: Vec<_> =
        transaction.findings().iter().map(|f| (&f.rule.id, &f.part, &f.evidence)).collect();
    let told = format!("{verdict:?} {rules:?}");
    transaction.finish(Outcome::default(), &Discard);
    told
}

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap_or(0)
    }
}

/// How many chunkings were tried.
fn every_chunking(waf: &Waf, case: &Case, random: &mut Random) -> usize {
    let body = case.body.as_slice();
    let whole = inspect(waf, case, std::iter::once(body));
    let places: Vec<usize> = if body.len() <= EVERY {
        (1..body.len()).collect()
    } else {
        (0..DRAWN).map(|_| 1 + random.below(body.len() - 1)).collect()
    };
    for at in &places {
        let (first, second) = body.split_at(*at);
        let cut = inspect(waf, case, [first, second].into_iter());
        assert_eq!(cut, whole, "{} cut at {at}", case.name);
    }
    let mut rest = body;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(1 + random.below(rest.len().min(40)));
        pieces.push(piece);
        rest = after;
    }
    assert_eq!(inspect(waf, case, pieces.into_iter()), whole, "{} at random", case.name);
    // What is broken off may be seen otherwise, but is seen without a panic.
    let _broken = inspect(waf, case, std::iter::once(&body[..random.below(body.len())]));
    places.len() + 1
}

#[test]
fn every_chunking_of_the_core_rule_set_s_tests_finds_the_same() {
    let Some((rules, cases)) = material() else { return };
    let mut builder = RuleSet::builder();
    builder.path(rules.to_str().unwrap());
    let waf = Waf::builder(Arc::new(builder.build().unwrap())).build();
    let cases: Vec<Case> = cases.into_iter().filter(|case| !case.body.is_empty()).collect();
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let tried: usize = std::thread::scope(|scope| {
        let run = |part: usize| {
            let (waf, cases) = (waf.clone(), &cases);
            scope.spawn(move || {
                let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ part as u64);
                let own = cases.iter().skip(part).step_by(threads);
                own.map(|case| every_chunking(&waf, case, &mut random)).sum::<usize>()
            })
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{} tests with a body, {tried} chunkings", cases.len());
    assert!(cases.len() > 2_000 && tried > 20 * cases.len(), "the corpus is smaller than it was");
}
