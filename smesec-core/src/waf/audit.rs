//! A transaction's record as ModSecurity 3 writes it into its JSON audit log, for tools that read that.

use super::compile::program::{Engine, Rule};
use super::ruleset::RuleSet;
use crate::event::{Event, Finding};
use crate::time::Timestamp;
use crate::verdict::{Action, Severity};
use serde::Serialize;
use serde_json::{Map, Value};

/// An event of the firewall in the form of ModSecurity 3's audit log (`SecAuditLogFormat JSON`).
///
/// It says what the event says, with the same secrets masked; bodies are in neither. Headers are there
/// when [`WafBuilder::record_headers`](super::WafBuilder::record_headers) is on. Times are UTC. A finding
/// that no rule made, such as a limit, has no file and line.
///
/// ```
/// use smesec_core::filter::{Filter, Outcome};
/// use smesec_core::http::{Connection, RequestHead};
/// use smesec_core::sink::Queue;
/// use smesec_core::time::Timestamp;
/// use smesec_core::waf::{RuleSet, Waf, audit::ModSecurityJson};
/// use std::sync::Arc;
///
/// let mut builder = RuleSet::builder();
/// builder.text("shop.conf", br#"
///     SecRuleEngine On
///     SecRule ARGS "@contains attack" "id:7,phase:1,deny,msg:'Attack',severity:CRITICAL"
/// "#);
/// let rules = Arc::new(builder.build()?);
/// let waf = Waf::builder(Arc::clone(&rules)).build();
/// let now = Timestamp::from_unix_seconds(1_700_000_000);
/// let (client, server) = ("192.0.2.1:4711".parse().unwrap(), "192.0.2.2:80".parse().unwrap());
/// let mut transaction = waf.begin(&Connection { client, server, now }, None);
/// let head =
///     RequestHead { method: b"GET", target: b"/?q=attack", version: b"HTTP/1.1", headers: &[], now };
/// let _ = transaction.request_head(&head);
/// let queue = Queue::new(1);
/// transaction.finish(Outcome { status: 403, bytes: 0, aborted: false, now }, &queue);
///
/// let line = ModSecurityJson::new(&queue.drain()[0], &rules).to_json();
/// let record: serde_json::Value = serde_json::from_str(&line).unwrap();
/// let transaction = &record["transaction"];
/// assert_eq!(transaction["time_stamp"], "Tue Nov 14 22:13:20 2023");
/// assert_eq!(transaction["messages"][0]["details"]["ruleId"], "7");
/// assert_eq!(transaction["messages"][0]["details"]["lineNumber"], "3");
/// # Ok::<(), smesec_core::Error>(())
/// ```
#[derive(Debug, Serialize)]
pub struct ModSecurityJson<'a> {
    transaction: Transaction<'a>,
}

#[derive(Debug, Serialize)]
struct Transaction<'a> {
    client_ip: String,
    time_stamp: String,
    server_id: &'a str,
    client_port: u16,
    host_ip: String,
    host_port: u16,
    unique_id: &'a str,
    request: Request<'a>,
    response: Response<'a>,
    producer: Producer<'a>,
    messages: Vec<Message<'a>>,
}

#[derive(Debug, Serialize)]
struct Request<'a> {
    method: &'a str,
    http_version: f64,
    hostname: &'a str,
    uri: &'a str,
    headers: Option<&'a Map<String, Value>>,
}

#[derive(Debug, Serialize)]
struct Response<'a> {
    http_code: u64,
    headers: Option<&'a Map<String, Value>>,
}

#[derive(Debug, Serialize)]
struct Producer<'a> {
    modsecurity: &'static str,
    connector: &'static str,
    secrules_engine: &'static str,
    components: &'a [String],
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    message: &'a str,
    details: Details<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    r#match: String,
    reference: String,
    rule_id: &'a str,
    file: &'a str,
    line_number: String,
    data: &'a str,
    severity: &'static str,
    ver: &'a str,
    rev: &'static str,
    tags: &'a [String],
    maturity: &'static str,
    accuracy: &'static str,
}

/// What calls itself the producer: readers look into the field, and it is not ModSecurity.
const PRODUCER: &str = concat!("smesec v", env!("CARGO_PKG_VERSION"));

impl<'a> ModSecurityJson<'a> {
    /// The record of an event. `rules` are those that were in force; they tell the rules' places.
    pub fn new(event: &'a Event, rules: &'a RuleSet) -> Self {
        let text = |name: &str| event.extra.get(name).and_then(Value::as_str).unwrap_or_default();
        let map = |name: &str| event.extra.get(name).and_then(Value::as_object);
        let settings = &rules.program.settings;
        let (client, server) = (event.src_endpoint, event.dst_endpoint);
        let address = |endpoint: Option<std::net::SocketAddr>| {
            endpoint.map_or_else(String::new, |end| end.ip().to_canonical().to_string())
        };
        let version = text("http_version").trim_start_matches("HTTP/").parse().unwrap_or(1.1);
        let status = event.extra.get("status").and_then(Value::as_u64).unwrap_or_default();
        // What the client got, which a decoy or an error page may have made another; else what it was to get.
        let http_code = match event.action {
            Action::Deny { status: meant } | Action::Redirect { status: meant } if status == 0 => {
                u64::from(meant)
            }
            _ => status,
        };
        let secrules_engine = match settings.engine {
            Engine::On => "Enabled",
            // The host's own mode stands above the rules'.
            _ if event.action.is_decisive() => "Enabled",
            Engine::Detect | Engine::Off => "DetectionOnly",
        };
        Self {
            transaction: Transaction {
                client_ip: address(client),
                time_stamp: clock(event.time),
                server_id: event.device.as_deref().unwrap_or_default(),
                client_port: client.map_or(0, |end| end.port()),
                host_ip: address(server),
                host_port: server.map_or(0, |end| end.port()),
                unique_id: event.transaction_id.as_deref().unwrap_or_default(),
                request: Request {
                    method: text("method"),
                    http_version: version,
                    hostname: text("host"),
                    uri: text("uri"),
                    headers: map("request_headers"),
                },
                response: Response { http_code, headers: map("response_headers") },
                producer: Producer {
                    modsecurity: PRODUCER,
                    connector: "",
                    secrules_engine,
                    components: &settings.components,
                },
                messages: event.findings.iter().map(|finding| message(finding, rules)).collect(),
            },
        }
    }

    /// The record that belongs into the log: without the matches of rules with `noauditlog`, and none at all
    /// where nothing else matched.
    pub fn wanted(event: &'a Event, rules: &'a RuleSet) -> Option<Self> {
        let audited = |finding: &&Finding| rule_of(finding, rules).is_none_or(|rule| rule.audits);
        let mut record = Self::new(event, rules);
        let all = event.findings.len();
        let messages = event.findings.iter().filter(audited);
        record.transaction.messages = messages.map(|finding| message(finding, rules)).collect();
        (all == 0 || !record.transaction.messages.is_empty()).then_some(record)
    }

    /// One line of the log, without the line feed.
    pub fn to_json(&self) -> String {
        // Strings, numbers and maps of them always have a form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The rule that found it, where it has an id.
fn rule_of<'a>(finding: &Finding, rules: &'a RuleSet) -> Option<&'a Rule> {
    let id: u64 = finding.rule.id.parse().ok().filter(|id| *id != 0)?;
    rules.program.rules.iter().find(|rule| rule.id == id)
}

fn message<'a>(finding: &'a Finding, rules: &'a RuleSet) -> Message<'a> {
    let rule = rule_of(finding, rules);
    let file = rule.and_then(|rule| rules.program.files.get(rule.span.file as usize));
    let found = if finding.part.is_empty() {
        String::new()
    } else {
        format!("Matched against variable `{}' (Value: `{}' )", finding.part, finding.evidence)
    };
    let reference = finding
        .span
        .map_or_else(String::new, |(from, to)| format!("o{from},{}", to.saturating_sub(from)));
    Message {
        message: &finding.message,
        details: Details {
            r#match: found,
            reference,
            rule_id: &finding.rule.id,
            file: file.map_or("", String::as_str),
            line_number: rule.map_or_else(String::new, |rule| rule.span.line.to_string()),
            data: &finding.evidence,
            severity: match finding.severity {
                Severity::Critical => "2",
                Severity::High => "3",
                Severity::Medium => "4",
                Severity::Low => "5",
                Severity::Info => "6",
            },
            ver: finding.rule.author.as_deref().unwrap_or_default(),
            rev: "",
            tags: &finding.rule.tags,
            maturity: "0",
            accuracy: "0",
        },
    }
}

/// The form of C's `asctime`.
fn clock(time: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let civil = time.civil();
    let of = |names: &[&'static str], n: i64| {
        usize::try_from(n).ok().and_then(|n| names.get(n).copied()).unwrap_or("?")
    };
    format!(
        "{} {} {:>2} {:02}:{:02}:{:02} {}",
        of(&DAYS, civil.weekday),
        of(&MONTHS, civil.month - 1),
        civil.day,
        civil.hour,
        civil.minute,
        civil.second,
        civil.year
    )
}
