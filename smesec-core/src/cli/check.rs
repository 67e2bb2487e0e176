//! `smesec waf check`.

use super::{text, thread_cpu_nanos};
use crate::filter::{Filter, Outcome, Transaction};
use crate::http::{Connection, Header, RequestHead, ResponseHead};
use crate::sink::Discard;
use crate::time::Timestamp;
use crate::verdict::{Action, Verdict};
use crate::waf::{Mode, RuleSet, Waf};
use serde::Deserialize;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;

/// One line of the input.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    name: String,
    method: String,
    uri: String,
    #[serde(default = "version")]
    version: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body_b64: String,
    resp_status: Option<serde_json::Value>,
    #[serde(default)]
    resp_headers: Vec<(String, String)>,
    resp_body_b64: Option<String>,
}

fn version() -> String {
    "1.1".to_owned()
}

/// The page that a transaction without a response of its own is given.
const PAGE: &[u8] = b"<!DOCTYPE html><html><head><title>Shop</title></head><body><h1>Welcome</h1>\
<p>Shoes, boots and sandals.</p></body></html>";

struct Options {
    rules: Vec<String>,
    paranoia: Option<u8>,
    mode: Mode,
    remember: bool,
    repeat: usize,
    requests: Option<String>,
}

fn options(args: impl Iterator<Item = OsString>) -> Result<Options, String> {
    use lexopt::prelude::Long;
    let mut options = Options {
        rules: Vec::new(),
        paranoia: None,
        mode: Mode::Rules,
        remember: true,
        repeat: 1,
        requests: None,
    };
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        let flag = match &arg {
            Long(name) => (*name).to_owned(),
            _ => return Err(format!("{}; see `smesec --help`", arg.unexpected())),
        };
        if flag == "detect-only" {
            options.mode = Mode::Detect;
            continue;
        }
        if flag == "no-memory" {
            options.remember = false;
            continue;
        }
        let value = text(parser.value().map_err(|e| e.to_string())?)?;
        let number = || {
            value.parse::<usize>().map_err(|_| format!("`--{flag} {value}`: write a whole number"))
        };
        match flag.as_str() {
            "rules" => options.rules.push(value),
            "requests" => options.requests = Some(value),
            "paranoia" => options.paranoia = Some(u8::try_from(number()?).unwrap_or(u8::MAX)),
            "repeat" => options.repeat = number()?.max(1),
            _ => return Err(format!("unknown option `--{flag}`; see `smesec --help`")),
        }
    }
    Ok(options)
}

pub(super) fn run(
    args: impl Iterator<Item = OsString>,
    stdin: &mut dyn BufRead,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<u8, String> {
    let options = options(args)?;
    let file = options
        .requests
        .as_deref()
        .ok_or("`--requests FILE` is missing; write `-` for standard input")?;
    let mut builder = RuleSet::builder();
    if options.rules.is_empty() {
        builder.builtin();
    }
    if let Some(level) = options.paranoia {
        builder.paranoia(level);
    }
    for source in &options.rules {
        super::rules::add(&mut builder, source);
    }
    let rules = Arc::new(builder.build().map_err(|e| e.to_string())?);
    for refused in &rules.report().refused {
        writeln!(stderr, "smesec: {refused}").map_err(|e| e.to_string())?;
    }
    if rules.is_empty() {
        return Err("no rule was loaded; check the paths given with `--rules`".to_owned());
    }
    let mode = match (options.mode, options.rules.is_empty()) {
        (Mode::Rules, true) => Mode::Block,
        (mode, _) => mode,
    };
    let waf = Waf::builder(rules).mode(mode).remember(options.remember).build();
    let mut opened;
    let input: &mut dyn BufRead = if file == "-" {
        stdin
    } else {
        let handle =
            std::fs::File::open(file).map_err(|e| format!("`{file}`: {e}; check the path"))?;
        opened = BufReader::new(handle);
        &mut opened
    };
    let (mut found, mut incomplete) = (false, false);
    for (n, line) in input.lines().enumerate() {
        let line = line.map_err(|e| format!("{file}:{}: {e}", n + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        let parsed: Line = serde_json::from_str(&line).map_err(|e| {
            format!("{file}:{}:{}: {e}; one transaction a line is expected", n + 1, e.column())
        })?;
        let answer = check(&waf, &parsed, options.repeat)
            .map_err(|why| format!("{file}:{}: {why}", n + 1))?;
        found |= answer.verdict != "pass";
        incomplete |= answer.ids.iter().any(|id| id == "smesec-limit");
        writeln!(stdout, "{}", serde_json::to_string(&answer).unwrap_or_default())
            .map_err(|e| e.to_string())?;
    }
    Ok(match (found, incomplete) {
        (true, _) => 1,
        (false, true) => 3,
        (false, false) => 0,
    })
}

/// One line of the output; the keys are a contract.
#[derive(serde::Serialize)]
struct Answer {
    name: String,
    verdict: &'static str,
    status: u16,
    score: i32,
    ids: Vec<serde_json::Value>,
    micros: f64,
}

fn check(waf: &Waf, line: &Line, repeat: usize) -> Result<Answer, String> {
    let body = base64(&line.body_b64)?;
    let page = match &line.resp_body_b64 {
        Some(text) => base64(text)?,
        None => PAGE.to_vec(),
    };
    let version = format!("HTTP/{}", line.version);
    let headers = views(&line.headers);
    let connection = Connection {
        client: ([198, 51, 100, 7], 40_000).into(),
        server: ([127, 0, 0, 1], 80).into(),
        now: Timestamp::from_system_clock(),
    };
    let head = RequestHead {
        method: line.method.as_bytes(),
        target: line.uri.as_bytes(),
        version: version.as_bytes(),
        headers: &headers,
        now: connection.now,
    };
    let mut times = Vec::with_capacity(repeat);
    let mut answer = None;
    for n in 0..repeat {
        let before = thread_cpu_nanos();
        let mut transaction = waf.begin(&connection, None);
        let mut verdict = transaction.request_head(&head).verdict().unwrap_or_default();
        if !verdict.is_decisive() {
            verdict = transaction.request_body(&body, true).verdict().unwrap_or_default();
        }
        times.push(thread_cpu_nanos() - before);
        if n == 0 {
            if !verdict.is_decisive() {
                verdict = respond(transaction.as_mut(), line, &page, connection.now);
            }
            let status = match verdict.action() {
                Action::Deny { status } | Action::Redirect { status } => status,
                action if action.is_decisive() => 403,
                _ => 0,
            };
            let ids = |transaction: &dyn Transaction| -> Vec<serde_json::Value> {
                let found = transaction.findings().iter();
                found
                    .map(|f| {
                        f.rule
                            .id
                            .parse::<u64>()
                            .map_or_else(|_| f.rule.id.clone().into(), Into::into)
                    })
                    .collect()
            };
            let collected = std::sync::Mutex::new(None);
            let before_log = ids(transaction.as_ref());
            let outcome = Outcome {
                status: if status == 0 { 200 } else { status },
                now: connection.now,
                ..Outcome::default()
            };
            transaction.finish(outcome, &Collect(&collected));
            let event = collected.into_inner().ok().flatten();
            let ids = event.map_or(before_log, |event: crate::event::Event| {
                let found = event.findings.iter();
                found
                    .map(|f| {
                        f.rule
                            .id
                            .parse::<u64>()
                            .map_or_else(|_| f.rule.id.clone().into(), Into::into)
                    })
                    .collect()
            });
            let word = match verdict.action() {
                Action::Decoy => "decoy",
                action if action.is_decisive() => "block",
                _ => "pass",
            };
            answer = Some(Answer {
                name: line.name.clone(),
                verdict: word,
                status,
                score: verdict.score(),
                ids,
                micros: 0.0,
            });
        } else {
            transaction.finish(Outcome::default(), &Discard);
        }
    }
    times.sort_unstable();
    let mut answer = answer.ok_or("`--repeat` of 0")?;
    answer.micros = times.get(times.len() / 2).map_or(0.0, |nanos| *nanos as f64 / 1e3);
    Ok(answer)
}

struct Collect<'a>(&'a std::sync::Mutex<Option<crate::event::Event>>);

impl crate::sink::Sink for Collect<'_> {
    fn accept(&self, event: crate::event::Event) {
        if let Ok(mut place) = self.0.lock() {
            *place = Some(event);
        }
    }
}

fn respond(transaction: &mut dyn Transaction, line: &Line, page: &[u8], now: Timestamp) -> Verdict {
    let status = line
        .resp_status
        .as_ref()
        .and_then(|s| s.as_str().map_or_else(|| s.as_u64(), |t| t.parse().ok()));
    let own = views(&line.resp_headers);
    let default = [Header { name: b"Content-Type", value: b"text/html" }];
    let head = ResponseHead {
        status: status.and_then(|s| u16::try_from(s).ok()).unwrap_or(200),
        version: b"HTTP/1.1",
        headers: if own.is_empty() { &default } else { &own },
        now,
    };
    let verdict = transaction.response_head(&head).verdict().unwrap_or_default();
    if verdict.is_decisive() {
        return verdict;
    }
    transaction.response_body(page, true).verdict().unwrap_or_default()
}

fn views(headers: &[(String, String)]) -> Vec<Header<'_>> {
    headers.iter().map(|(name, value)| Header::new(name, value)).collect()
}

/// Standard Base64; blanks are skipped.
fn base64(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' | b' ' | b'\n' | b'\r' => continue,
            _ => return Err(format!("`{}` is not Base64", char::from(byte))),
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap_or_default());
        }
    }
    Ok(out)
}
