//! What readers, matcher and correlator do together: lines in, alarms out.

use super::correlation::{Alarm, AlarmKind, Change, Settings};
use super::record::{Field, Kind, LogSource, Record, Value};
use super::sources::{Format, ReaderOptions, records_of};
use super::{Engine, Matcher, RuleSet};
use crate::time::Timestamp;
use std::fmt::Write as _;
use std::sync::Arc;

const GUESSING: &str = "
title: fail
name: fail
logsource: {product: app}
detection: {s: {ev: fail}, condition: s}
---
title: also fail
name: also
logsource: {product: app}
detection: {s: {ev: f*}, condition: s}
---
title: G
correlation: {type: event_count, rules: [fail], group-by: [u], timespan: 5m, condition: {gte: 3}}
---
title: H
correlation: {type: event_count, rules: [also], group-by: [u], timespan: 5m, condition: {gte: 3}}
";

fn engine(rules: &str) -> Engine {
    let mut builder = RuleSet::builder();
    builder.strict(true).text("r.yml", rules);
    Engine::new(Arc::new(builder.build().unwrap()), Settings::default())
}

/// Reads lines at a time, and gives what was told of them.
fn read(engine: &mut Engine, format: Format, lines: &str, now: i64) -> Vec<Alarm> {
    let now = Timestamp::from_unix_seconds(now);
    let options = ReaderOptions { now, ..ReaderOptions::default() };
    let mut alarms = Vec::new();
    records_of(format, "x", lines.as_bytes(), options, &mut |record| {
        let mut record = record.unwrap();
        record.log_source.product = "app";
        alarms.extend(engine.see(&record).alarms.to_vec());
    });
    alarms
}

fn opened(alarms: &[Alarm]) -> Vec<&str> {
    let new = |a: &&Alarm| a.change == Change::Opened && a.kind == AlarmKind::Correlation;
    alarms.iter().filter(new).map(|alarm| alarm.message.as_str()).collect()
}

fn failures(count: i64) -> String {
    let mut lines = String::new();
    for n in 0..count {
        let time = Timestamp::from_unix_seconds(1_577_836_800 + n * 40);
        let _ = writeln!(lines, "{{\"time\":\"{time}\",\"ev\":\"fail\",\"u\":\"a\"}}");
    }
    lines
}

/// 2026, years after what the lines tell.
const TODAY: i64 = 1_772_431_200;

#[test]
fn a_clock_years_ahead_does_not_confirm_itself() {
    let all = failures(10);
    let (first, rest) = all.split_once('\n').unwrap();
    let ahead = "{\"time\":\"2024-01-01T00:00:00Z\",\"ev\":\"fail\",\"u\":\"zz\"}";
    let mut engine = engine(GUESSING);
    let mut alarms = read(&mut engine, Format::Json, &format!("{first}\n{ahead}\n{rest}"), TODAY);
    alarms.extend(engine.finish().to_vec());
    assert_eq!(engine.correlator().statistics().late_dropped, 0);
    assert_eq!(opened(&alarms), ["G: u a", "H: u a"]);
}

#[test]
fn lines_without_a_time_move_no_clock() {
    let undated = "{\"ev\":\"fail\",\"u\":\"b\"}\n";
    let mut engine = engine(GUESSING);
    let lines = format!("{undated}{undated}{}{}", failures(10), undated.repeat(3));
    let mut alarms = read(&mut engine, Format::Json, &lines, TODAY);
    alarms.extend(engine.finish().to_vec());
    let statistics = engine.correlator().statistics();
    assert_eq!((statistics.late_dropped, statistics.undated), (0, 10));
    // The first two are of the time of reading, the others of the last line's before them.
    let mut opened = opened(&alarms);
    opened.sort_unstable();
    assert_eq!(opened, ["G: u a", "G: u b", "H: u a", "H: u b"]);
    let b = alarms.iter().find(|alarm| alarm.message == "G: u b").unwrap();
    assert_eq!(b.time, Timestamp::from_unix_seconds(1_577_836_800 + 9 * 40));
}

#[test]
fn lines_without_a_time_move_no_clock_of_directives() {
    let text = "
directives:
  - {id: '1', name: guessing from SRC_IP, priority: 5,
     level: {rules: [fail], reliability: 1, next: [
       {rules: [fail], from: '1:SRC_IP', occurrence: 3, time_out: 5m, reliability: 10}]}}
";
    let mut rules = RuleSet::builder();
    rules.strict(true).text("r.yml", GUESSING);
    let mut engine = Engine::builder(Arc::new(rules.build().unwrap()))
        .directives(crate::siem::directive::parse_yaml(text, "d.yml").unwrap())
        .build();
    let failures = failures(5).replace("\"u\":", "\"src_ip\":\"192.0.2.7\",\"u\":");
    let undated = "{\"ev\":\"fail\",\"u\":\"b\"}\n".repeat(2);
    let lines = format!("{undated}{failures}{undated}");
    let mut alarms = read(&mut engine, Format::Json, &lines, TODAY);
    alarms.extend(engine.finish().to_vec());
    assert_eq!(engine.directives().unwrap().late_dropped(), 0);
    assert!(alarms.iter().any(|alarm| alarm.message == "guessing from 192.0.2.7"), "{alarms:?}");
}

#[test]
fn a_message_that_was_repeated_counts_as_often() {
    let rules = "
title: fail
name: fail
logsource: {product: app}
detection: {s: {action: login, outcome: failure}, condition: s}
---
title: G
correlation: {type: event_count, rules: [fail], group-by: [src_ip], timespan: 5m, condition: {gte: 5}}
";
    let failed = "Failed password for root from 192.0.2.7 port 22 ssh2";
    let line = |times: &str| {
        let message = format!("message repeated {times} times: [ {failed}]");
        format!("Mar  1 10:00:01 gate sshd[7]: {message}\n")
    };
    for (times, alarm, dropped) in
        [("4", false, 0), ("5", true, 0), ("1003", true, 3), ("99999999999", true, 4_294_966_295)]
    {
        let mut engine = engine(rules);
        let mut alarms = read(&mut engine, Format::Syslog, &line(times), TODAY);
        alarms.extend(engine.finish().to_vec());
        assert_eq!(!opened(&alarms).is_empty(), alarm, "{times}");
        let statistics = engine.correlator().statistics();
        assert_eq!(statistics.repeats_dropped, dropped, "{times}");
        assert_eq!(statistics.hits, times.parse::<u64>().unwrap().min(1_000), "{times}");
    }
}

#[test]
fn the_best_time_that_can_be_read_is_taken() {
    let times = |line: &str| {
        let mut times = Vec::new();
        records_of(Format::Json, "x", line.as_bytes(), ReaderOptions::default(), &mut |record| {
            let record = record.unwrap();
            times.push((record.time.unix_nanos() / 1_000_000_000, record.undated));
        });
        times
    };
    let time = "\"time\":\"2020-01-01T00:00:00Z\"";
    assert_eq!(times(&format!("{{\"timestamp\":\"soon\",{time}}}")), [(1_577_836_800, false)]);
    assert_eq!(times(&format!("{{{time},\"date\":1}}")), [(1_577_836_800, false)]);
    assert_eq!(times("{\"time\":\"soon\"}"), [(0, true)]);
}

#[test]
fn an_explanation_says_what_the_matcher_says() {
    let mut builder = RuleSet::builder();
    builder.text(
        "r.yml",
        "title: t\nlogsource: {product: windows, category: process_creation}\n\
         detection: {a: {Image|endswith: \\cmd.exe}, condition: a}\n",
    );
    let rules = Arc::new(builder.build().unwrap());
    for (channel, matches) in [("Security", true), ("System", false)] {
        let fields =
            [("Channel", channel), ("EventID", "4688"), ("NewProcessName", "C:\\Windows\\cmd.exe")]
                .map(|(name, text)| Field { name, value: Value::text(text) });
        let record = Record { fields: &fields, ..Record::default() };
        assert_eq!(Matcher::new(Arc::clone(&rules)).matches(&record).len(), usize::from(matches));
        let told = rules.explain(0, &record).unwrap();
        assert_eq!(told.matches, matches, "{told}");
    }
}

/// How many of these values of `v` a rule over `v` matches.
fn matched(line: &str, values: &[&str]) -> Vec<String> {
    let mut builder = RuleSet::builder();
    builder.strict(true).text(
        "r.yml",
        &format!(
            "title: t\nlogsource: {{product: p}}\ndetection: {{a: {{{line}}}, condition: a}}\n"
        ),
    );
    let mut matcher = Matcher::new(Arc::new(builder.build().unwrap()));
    let matches = |text: &&&str| {
        let kind = if text.parse::<f64>().is_ok() { Kind::Number } else { Kind::Text };
        let fields = [Field { name: "v", value: Value { text, kind } }];
        let log_source = LogSource { product: "p", ..LogSource::default() };
        matcher.matches(&Record { fields: &fields, log_source, ..Record::default() }).len() == 1
    };
    values.iter().filter(matches).map(|text| (**text).to_owned()).collect()
}

#[test]
fn numbers_without_quotes_ask_for_what_is_written() {
    assert_eq!(matched("v: 1.0", &["1.0", "1", "1.00"]), ["1.0", "1"]);
    assert_eq!(matched("v: 12e4", &["12e4", "120000"]), ["12e4"]);
    assert_eq!(matched("v: 0x1F", &["0x1f", "31", "1F"]), ["0x1f", "31"]);
    assert_eq!(matched("v|gte: 1.0", &["1", "0.9", "2"]), ["1", "2"]);
    assert_eq!(matched("v: 4688", &["4688", "4688.0"]), ["4688"]);
}

#[test]
fn filters_name_the_rules_own_fields_and_pipelines_rename_both() {
    let mut builder = RuleSet::builder();
    builder
        .strict(true)
        .text(
            "r.yml",
            "title: t\nlogsource: {product: p}\ndetection: {a: {Image: x}, condition: a}\n---\n\
             title: f\nlogsource: {product: p}\n\
             filter: {rules: any, selection: {User: ann}, condition: not selection}\n",
        )
        .pipeline(
            "p.yml",
            "name: p\ntransformations:\n- {type: field_name_mapping, mapping: {Image: i, User: u}}\n\
             - {type: change_logsource, product: q}\n",
        );
    let rules = builder.build().unwrap();
    assert!(
        rules.report().degraded.iter().all(|d| !d.why.contains("filter")),
        "{}",
        rules.report()
    );
    let mut matcher = Matcher::new(Arc::new(rules));
    for (user, count) in [("ann", 0), ("bob", 1)] {
        let fields =
            [("i", "x"), ("u", user)].map(|(name, text)| Field { name, value: Value::text(text) });
        let log_source = LogSource { product: "q", ..LogSource::default() };
        let record = Record { fields: &fields, log_source, ..Record::default() };
        assert_eq!(matcher.matches(&record).len(), count, "{user}");
    }
}

#[test]
fn a_service_is_known_though_it_writes_a_category() {
    let source = |line: &str| {
        let mut told = String::new();
        records_of(Format::Json, "x", line.as_bytes(), ReaderOptions::default(), &mut |record| {
            let source = record.unwrap().log_source;
            told = format!("{}/{}/{}", source.product, source.category, source.service);
        });
        told
    };
    assert_eq!(
        source("{\"operationName\":\"x\",\"resourceId\":\"y\",\"category\":\"Administrative\"}"),
        "azure//activitylogs"
    );
    assert_eq!(source("{\"category\":\"web\",\"service\":\"w\"}"), "/web/");
    assert_eq!(source("{\"product\":\"p\",\"category\":\"c\"}"), "p/c/");
}

#[test]
fn rules_made_to_grow_are_refused_in_time() {
    let refused = |text: &str| {
        let mut builder = RuleSet::builder();
        builder.text("r.yml", text);
        builder.build().unwrap().report().to_string()
    };
    let head = "title: t\nlogsource: {product: p}\ndetection:\n";
    // Each mention of a search is a copy of it.
    let lines = (0..2_000).map(|n| format!("    f{n}: v\n")).collect::<Vec<_>>().concat();
    let mentions = vec!["a"; 2_000].join(" or ");
    let report = refused(&format!("{head}  a:\n{lines}  condition: {mentions}\n"));
    assert!(report.contains("mention each once"), "{report}");
    // Each mention looks through the searches.
    let searches = (0..5_000).map(|n| format!("  s{n}: {{f: v}}\n")).collect::<Vec<_>>().concat();
    let mentions = vec!["1 of s*"; 5_000].join(" or ");
    let report = refused(&format!("{head}{searches}  condition: {mentions}\n"));
    assert!(report.contains("mentions too many searches"), "{report}");
    // Each anchor keeps a copy of all that is below it.
    let mut text = String::new();
    for depth in 0..60 {
        let _ = writeln!(text, "{}k: &a{depth}", "  ".repeat(depth));
    }
    let indent = "  ".repeat(60);
    text.extend((0..20_000).map(|n| format!("{indent}k{n}: v\n")));
    let report = refused(&text);
    assert!(report.contains("aliases are expanded"), "{report}");
    // Many keys are found by a table.
    let keys = (0..60_000).map(|n| format!("  k{n}: v\n")).collect::<Vec<_>>().concat();
    let report = refused(&format!("title: t\nlogsource:\n{keys}{keys}"));
    assert!(report.contains("stands already") || report.contains("values"), "{report}");
}
