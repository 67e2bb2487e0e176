//! `smesec siem run`: directives, policies and assets; what it reads; and that it goes on after being
//! killed at any moment.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is the verdict")]

use serde_json::Value;
use smesec_core::cli;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Exit code, standard output, standard error.
fn smesec(args: &[&str], input: &[u8]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = ["siem", "run"].iter().chain(args).map(Into::into);
    let code = cli::run(args, &mut &input[..], &mut out, &mut err);
    // The shop of these tests is no source that the table of log sources knows.
    let degraded = "smesec: 3 rules do less than they say; `smesec rules check` names them\n";
    let err = String::from_utf8(err).unwrap().replace(degraded, "");
    (code, String::from_utf8(out).unwrap(), err)
}

/// A folder of its own for each test.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("siem").join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn file(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

const RULES: &str = "
title: Failed sign-in
name: failed
id: 11111111-1111-1111-1111-111111111111
level: low
logsource: {product: shop}
detection: {selection: {outcome: failure}, condition: selection}
---
title: Signed in
name: signed_in
logsource: {product: shop}
detection: {selection: {outcome: success}, condition: selection}
---
title: Port scan
id: 22222222-2222-2222-2222-222222222222
level: medium
logsource: {product: shop}
detection: {selection: {event: scan}, condition: selection}
---
title: Guessing
level: high
correlation: {type: event_count, rules: [failed], group-by: [src_ip, host], timespan: 5m, condition: {gte: 3}}
---
title: Guessed
level: critical
correlation: {type: temporal_ordered, rules: [failed, signed_in], group-by: [src_ip], timespan: 1m}
";

const XML: &str = r#"<directives>
  <directive id="500" name="guessing against DST_IP" priority="5">
    <rule type="detector" name="one" reliability="3" from="ANY" to="HOME_NET" plugin_id="4003" plugin_sid="1">
      <rules>
        <rule type="detector" name="two" reliability="+2" from="1:SRC_IP" to="ANY" time_out="60" plugin_id="4003" plugin_sid="1"/>
      </rules>
    </rule>
  </directive>
</directives>"#;

const YAML: &str = "
directives:
  - id: '501'
    name: failures of SRC_IP
    priority: 4
    level: {rules: [failed], reliability: 2, next: [{rules: [failed], from: '1:SRC_IP', occurrence: 2, time_out: 10s, reliability: 10}]}
";

const EVENTS: &str = r#"{"product":"shop","time":"2026-03-02T06:00:00Z","outcome":"failure","src_ip":"203.0.113.9","dst_ip":"10.0.0.5","host":"dc01","plugin_id":4003,"plugin_sid":1}
{"product":"shop","time":"2026-03-02T06:00:01Z","outcome":"failure","src_ip":"203.0.113.9","dst_ip":"10.0.0.5","host":"dc01","plugin_id":4003,"plugin_sid":1}
{"product":"shop","time":"2026-03-02T06:00:02Z","outcome":"failure","src_ip":"203.0.113.9","dst_ip":"10.0.0.5","host":"dc01"}
{"product":"shop","time":"2026-03-02T06:00:03Z","event":"scan","src_ip":"10.0.9.9","host":"lab"}
{"product":"shop","time":"2026-03-02T06:00:04Z","event":"scan","src_ip":"203.0.113.9","host":"lab"}
"#;

const ASSETS: &str = "home: [10.0.0.0/8]\nhosts: {dc01: 5, 10.0.0.5: 5}\n";

const POLICIES: &str = "
policies:
  - {name: our scanner, sources: 10.0.9.9, types: [Port scan], then: drop}
  - {name: low ones only together, types: [failed], then: silence}
";

#[test]
fn alarms_have_a_risk_and_directives_run_beside_the_rules() {
    let folder = folder("risk");
    let [rules, xml, yaml, assets, policies, events] = [
        ("rules.yml", RULES),
        ("d.xml", XML),
        ("d.yml", YAML),
        ("assets.yml", ASSETS),
        ("policies.yml", POLICIES),
        ("events.jsonl", EVENTS),
    ]
    .map(|(name, text)| file(&folder, name, text));
    let given: &[&str] = &[
        "--rules",
        &rules,
        "--directives",
        &xml,
        "--directives",
        &yaml,
        "--assets",
        &assets,
        "--policies",
        &policies,
        "--updates",
    ];
    let (code, out, err) = smesec(&[given, &["--json", "--stats", &events]].concat(), b"");
    assert_eq!(code, 1, "{err}");
    let told = lines(&out);
    let detections: Vec<_> = told.iter().filter_map(|line| line["title"].as_str()).collect();
    assert_eq!(detections, ["Port scan"], "the other was dropped by a policy");
    let alarms: BTreeSet<_> = told
        .iter()
        .filter(|line| line["id"].is_string())
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            (text("kind"), text("message"), text("change"), line["risk"].as_u64().unwrap())
        })
        .collect();
    let alarm = |kind: &str, message: &str, change: &str, risk| {
        (kind.to_owned(), message.to_owned(), change.to_owned(), risk)
    };
    // 5 × 4 × 6 / 25; 5 × 5 × 3 / 25, then 5; 5 × 4 × 2 / 25, then 10.
    let expected = BTreeSet::from([
        alarm("correlation", "Guessing: src_ip 203.0.113.9, host dc01", "opened", 4),
        alarm("directive", "guessing against 10.0.0.5", "opened", 3),
        alarm("directive", "guessing against 10.0.0.5", "updated", 5),
        alarm("directive", "guessing against 10.0.0.5", "closed", 5),
        alarm("directive", "failures of 203.0.113.9", "opened", 1),
        alarm("directive", "failures of 203.0.113.9", "updated", 8),
        alarm("directive", "failures of 203.0.113.9", "closed", 8),
    ]);
    assert_eq!(alarms, expected);
    let stats: Value = serde_json::from_str(err.lines().next().unwrap()).unwrap();
    assert_eq!((stats["dropped"].as_u64(), stats["alarms"].as_u64()), (Some(1), Some(3)));

    let (_, table, err) = smesec(&[given, &["--output", "table", &events]].concat(), b"");
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].starts_with("TIME ") && rows[0].ends_with("RISK  WHAT"), "{table}");
    assert!(
        rows.contains(&"2026-03-02T06:00:02.000000000Z  ALARM             4  Guessing: src_ip 203.0.113.9, host dc01"),
        "{table}"
    );
    assert_eq!(
        err,
        "smesec: 5 records, 1 detections, 3 alarms, 1 dropped by policies, 0 broken lines\n"
    );
    // Without an inventory what is at stake counts as a host whose value nobody has set.
    let (_, out, _) = smesec(&["--rules", &rules, "--json", &events], b"");
    let risks: Vec<_> = lines(&out).iter().filter_map(|line| line["risk"].as_u64()).collect();
    assert_eq!(risks, [1], "2 × 4 × 6 / 25");
    // A network named on the command line is home, and the outside address is not.
    let home = ["--rules", &rules, "--directives", &xml, "--home-net", "10.0.0.0/8,192.168.0.0/16"];
    let (_, out, _) = smesec(&[&home[..], &["--json", &events]].concat(), b"");
    assert!(out.contains("guessing against 10.0.0.5"), "{out}");
}

#[test]
fn the_example_logs_give_the_alarms_that_the_readme_shows() {
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/logs");
    let (code, out, err) = smesec(&[logs.to_str().unwrap()], b"");
    assert_eq!(code, 1);
    assert!(!err.contains("less than they say") && err.contains(" 0 broken lines"), "{err}");
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    assert!(std::fs::read_to_string(readme).unwrap().contains(&out), "{out}");
    for what in [
        "Password guessing: source 203.0.113.9, account anna",
        "Password guessed: source 203.0.113.9, account anna",
        "Port scan: src_ip 203.0.113.9, dest_ip 10.0.0.5",
        "Web site probed: c-ip 203.0.113.9",
        "Scan, then exploit: src_ip 203.0.113.9, dest_ip 10.0.0.5",
    ] {
        assert!(out.contains(what), "no {what} in {out}");
    }
    assert_eq!(out.lines().count(), 6, "{out}");
}

#[test]
fn what_is_wrong_with_a_file_is_told_by_its_place() {
    let folder = folder("wrong");
    let rules = file(&folder, "rules.yml", RULES);
    let with = |option: &str, name: &str, text: &str| {
        let path = file(&folder, name, text);
        let (code, out, err) = smesec(&["--rules", &rules, option, &path, "-"], b"");
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        err.replace(folder.to_str().unwrap(), "")
    };
    for (told, why) in [
        (with("--assets", "a.yml", "hosts: {x: 9}"), "smesec: /a.yml:1:12: the value of `x`"),
        (with("--policies", "p.yml", "policies: [{then: x}]"), "smesec: /p.yml:1:19: `then` is"),
        (with("--directives", "d.yml", "directives:\n  - {}"), "smesec: /d.yml:2:5: the directive"),
        (with("--directives", "d.xml", "<directives><"), "smesec: /d.xml:1:"),
        (with("--home-net", "x", ""), "smesec: `--home-net`: `/x` is no address range"),
        (with("--output", "x", ""), "smesec: `--output /x`: write table or json"),
    ] {
        assert!(told.starts_with(why), "{told}");
    }
    // A directive that cannot run is named, and with `--strict` an error.
    let path = file(&folder, "e.yml", YAML.replace("failed", "nobody"));
    let (code, _, err) = smesec(&["--rules", &rules, "--directives", &path, "-"], b"");
    assert_eq!(code, 3, "what is not in force has inspected nothing");
    assert!(err.contains("e.yml:3:5: rule `501`") || err.contains("e.yml:3:5: "), "{err}");
    let strict = ["--strict", "--rules", &rules, "--directives", &path, "-"];
    assert_eq!(smesec(&strict, b"").0, 2);
}

#[test]
fn lists_wrappers_and_utf_16_are_read_like_lines() {
    let folder = folder("inputs");
    let rules = file(&folder, "rules.yml", RULES);
    let objects: Vec<&str> = EVENTS.lines().collect();
    let list = format!("[{}]", objects.join(","));
    let records = format!("{{\"Records\": [\n{}\n]}}\n", objects.join(",\n"));
    let pretty = format!("[{}]", objects.join(",\n").replace(",\"", ",\n  \"").replace('{', "{\n"));
    let wide = |text: &str, big: bool| -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16().collect::<Vec<_>>());
        units.flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
    };
    let expected = smesec(&["--rules", &rules, "--json", "-"], EVENTS.as_bytes());
    assert_eq!((expected.0, lines(&expected.1).len()), (1, 3), "{}", expected.1);
    for (name, bytes) in [
        ("list", list.as_bytes().to_vec()),
        ("records", records.into_bytes()),
        ("pretty", pretty.into_bytes()),
        ("little-endian", wide(EVENTS, false)),
        ("big-endian", wide(EVENTS, true)),
        ("list in UTF-16", wide(&list, false)),
    ] {
        for format in ["auto", "json"] {
            let given = ["--rules", &rules, "--json", "--format", format, "-"];
            assert_eq!(smesec(&given, &bytes), expected, "{name} as {format}");
        }
    }
}

#[test]
fn broken_lines_are_told_by_number_and_reason() {
    let folder = folder("broken");
    let rules = file(&folder, "rules.yml", RULES);
    let mut text = EVENTS.to_owned();
    for _ in 0..12 {
        text.push_str("{\"a\": }\n");
    }
    let (code, _, err) = smesec(&["--rules", &rules, "-"], text.as_bytes());
    assert_eq!(code, 1);
    assert!(err.contains("5 records, 2 detections, 1 alarms, 12 broken lines\n"), "{err}");
    assert!(err.contains("smesec: broken: -:6: no valid JSON at byte 6: a value"), "{err}");
    assert!(err.ends_with("smesec: 2 more broken lines, 12 in all\n"), "{err}");
}

#[test]
fn a_run_goes_on_where_the_last_one_came_to() {
    let folder = folder("state");
    let (rules, state) = (file(&folder, "rules.yml", RULES), folder.join("state"));
    let state = state.to_str().unwrap();
    let events = file(&folder, "events.jsonl", "");
    let run = |more: &str| {
        let mut log = std::fs::OpenOptions::new().append(true).open(&events).unwrap();
        log.write_all(more.as_bytes()).unwrap();
        smesec(&["--rules", &rules, "--json", "--state", state, &events], b"")
    };
    let (first, rest) = EVENTS.split_at(EVENTS.match_indices('\n').nth(1).unwrap().0 + 1);
    assert_eq!(run(first).0, 0);
    let (_, out, err) = run(rest);
    assert_eq!(err, "");
    let told = lines(&out);
    assert_eq!(told.len(), 3, "two failures of the first run and one of the second: {out}");
    let numbers: Vec<_> = told.iter().filter_map(|line| line["record_id"].as_u64()).collect();
    assert_eq!(numbers, [3, 4]);
    let whole = smesec(&["--rules", &rules, "--json", &events], b"").1;
    assert_eq!(lines(&whole).len(), 3);
    // Nothing new: what waits is judged again, and has the same id.
    let id = |out: &str| lines(out).iter().find_map(|line| line["id"].as_str().map(str::to_owned));
    assert_eq!((id(&run("").1), lines(&run("").1).len()), (id(&whole), 1));
    // Another file under the same name.
    std::fs::write(&events, EVENTS.replace("06:00", "07:00")).unwrap();
    let (_, _, err) = run("");
    assert!(err.contains("is not the file it was; it is read from its start"), "{err}");
    // Rules that have changed begin anew, and say so.
    let changed = file(&folder, "changed.yml", RULES.replace("timespan: 5m", "timespan: 6m"));
    let (_, _, err) = smesec(&["--rules", &changed, "--state", state, &events], b"");
    assert!(err.contains("groups of the state belong to rules that"), "{err}");
    // Damage is told, and nothing is lost silently.
    let path = Path::new(state).join("state");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (code, _, err) = run("");
    assert_eq!(code, 2);
    assert!(err.contains("is damaged") && err.contains("remove the file to start anew"), "{err}");
}

#[test]
fn a_file_that_has_gone_moves_no_other_files_position() {
    let folder = folder("gone");
    let (rules, state) = (file(&folder, "rules.yml", RULES), folder.join("state"));
    let state = state.to_str().unwrap();
    let scan = EVENTS.lines().nth(3).unwrap();
    let begin = format!("{scan}\n");
    let [a, b, c] = ["a.jsonl", "b.jsonl", "c.jsonl"].map(|name| file(&folder, name, &begin));
    let found = |files: &[&str]| {
        let given = [&["--rules", &rules, "--json", "--state", state], files].concat();
        let (_, out, err) = smesec(&given, b"");
        assert_eq!(err, "");
        let detections = lines(&out).into_iter().filter(|line| line["rule_id"].is_string());
        detections.filter(|line| line["file"] == c.as_str()).count()
    };
    assert_eq!(found(&[&a, &b, &c]), 1);
    std::fs::remove_file(&a).unwrap();
    // More than lies between two states, so that one is written while `b` is read.
    let more = format!(
        "{begin}{}\n",
        scan.replace("scan\"", &format!("scan\",\"x\":\"{}\"", "x".repeat(50_000)))
    );
    for name in [&b, &c] {
        let mut log = std::fs::OpenOptions::new().append(true).open(name).unwrap();
        log.write_all(more.repeat(120).as_bytes()).unwrap();
    }
    assert_eq!(found(&[&b, &c]), 240);
}

#[test]
fn an_event_that_is_half_written_is_the_next_runs() {
    let folder = folder("half");
    let (rules, state) = (file(&folder, "rules.yml", RULES), folder.join("state"));
    let events = file(&folder, "events.jsonl", "");
    let run = |more: &str| {
        let mut log = std::fs::OpenOptions::new().append(true).open(&events).unwrap();
        log.write_all(more.as_bytes()).unwrap();
        let given = ["--rules", &rules, "--json", "--state", state.to_str().unwrap(), &events];
        let (code, out, err) = smesec(&given, b"");
        (code, lines(&out).iter().filter(|line| line["rule_id"].is_string()).count(), err)
    };
    let scan = EVENTS.lines().nth(3).unwrap();
    let (half, rest) = scan.split_at(40);
    let (code, found, err) = run(&format!("{scan}\n{half}"));
    assert_eq!((code, found), (1, 1));
    assert!(
        err.contains("events.jsonl` ends within an event, which is left for the next run"),
        "{err}"
    );
    assert_eq!(run(&format!("{rest}\n")), (1, 1, String::new()));
    assert_eq!(run("").1, 0);
    // Without a state there is no next run.
    std::fs::write(&events, scan).unwrap();
    let (code, _, err) = smesec(&["--rules", &rules, &events], b"");
    assert!(code == 1 && err.contains("1 records, 1 detections"), "{err}");

    // The lines of one audit event, some of them in the next run.
    let rule = "title: Reads\nlogsource: {product: linux, service: auditd}\n\
        detection: {selection: {comm: cat, name: /etc/shadow}, condition: selection}\n";
    let (rule, log) = (file(&folder, "audit.yml", rule), file(&folder, "audit.log", ""));
    let state = folder.join("audit");
    let audited = |more: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
        file.write_all(more.as_bytes()).unwrap();
        smesec(&["--rules", &rule, "--json", "--state", state.to_str().unwrap(), &log], b"")
    };
    let line =
        |kind: &str, what: &str| format!("type={kind} msg=audit(1772431200.123:42): {what}\n");
    let (code, _, err) = audited(&line("SYSCALL", "arch=c000003e syscall=2 comm=\"cat\""));
    assert!(code == 0 && err.contains("ends within an event"), "{err}");
    let more = [line("PATH", "item=0 name=\"/etc/shadow\""), line("PROCTITLE", "proctitle=636174")];
    let (code, out, err) = audited(&more.concat());
    assert_eq!((code, lines(&out).len(), err.as_str()), (1, 1, ""));
    assert_eq!(audited("").0, 0);
}

/// Access lines of one client, counted by the fields that rules ask.
const WEB: &str = "
title: Probe
name: probe
logsource: {category: webserver}
detection: {selection: {sc-status: 404}, condition: selection}
---
title: Probed
level: high
correlation: {type: event_count, rules: [probe], group-by: [c-ip, host, program], timespan: 5m, condition: {gte: 3}}
---
title: Probed anywhere
level: high
correlation: {type: event_count, rules: [probe], group-by: [c-ip], timespan: 5m, condition: {gte: 3}}
";

#[test]
fn an_access_line_within_syslog_has_its_client_and_its_host() {
    let folder = folder("access");
    let rules = file(&folder, "rules.yml", WEB);
    let groups = |line: &dyn Fn(u32) -> String| {
        let text: String = (1..4).map(|n| line(n) + "\n").collect();
        let (_, out, err) = smesec(&["--rules", &rules, "--json", "-"], text.as_bytes());
        let alarms = lines(&out);
        let groups: BTreeSet<String> =
            alarms.iter().map(|line| line["group"].to_string()).collect();
        (groups.into_iter().collect::<Vec<_>>().join(" "), err)
    };
    let access = |n: u32, user: &str, end: &str| {
        format!(
            "198.51.100.1 - {user} [02/Mar/2026:06:20:0{n} +0000] \"GET /x HTTP/1.1\" 404 9 \"-\" \"a{end}"
        )
    };
    let both = |host: &str, program: &str| {
        format!(
            "{{\"c-ip\":\"198.51.100.1\",\"host\":\"{host}\",\"program\":\"{program}\"}} {{\"c-ip\":\"198.51.100.1\"}}"
        )
    };
    for (stamp, program) in [
        ("Mar  2 06:20:01", "nginx"),
        ("Mar 12 06:20:01", "httpd"),
        ("<190>Mar  2 06:20:01", "nginx"),
        ("2026-03-02T06:20:01+00:00", "apache2"),
    ] {
        let line = |n: u32| format!("{stamp} web01 {program}: {}", access(n, "-", "\""));
        assert_eq!(groups(&line).0, both("web01", program), "{stamp}");
    }
    let rfc =
        |n: u32| format!("<190>1 2026-03-02T06:20:01Z web01 nginx - - - {}", access(n, "-", "\""));
    assert_eq!(groups(&rfc).0, both("web01", "nginx"));
    // A relay cuts long messages; that must not hide what the client asked for.
    let cut = |n: u32| format!("Mar  2 06:20:01 web01 nginx: {}", access(n, "-", ""));
    assert_eq!(groups(&cut).0, both("web01", "nginx"));
    // The same lines by themselves.
    let only = "{\"c-ip\":\"198.51.100.1\"}";
    assert_eq!(groups(&|n| access(n, "john doe", "\"")).0, only);
    assert_eq!(groups(&|n| format!("shop.example:443 {}", access(n, "-", "\""))).0, only);
    let named = |n: u32| access(n, "-", "\"").replace("198.51.100.1", "host.example.org");
    assert_eq!(groups(&named).0, "{\"c-ip\":\"host.example.org\"}");
    // What another program says of a web server is no access of its client.
    let other = |n: u32| format!("Mar  2 06:20:01 web01 watcher: {}", access(n, "-", "\""));
    assert_eq!(groups(&other).0, "");
}

#[test]
fn the_times_of_cloud_services_are_read() {
    let folder = folder("times");
    let rules = "title: Any\nid: any\nlogsource: {product: shop}\n\
        detection: {selection: {a: 1}, condition: selection}\n";
    let rules = file(&folder, "rules.yml", rules);
    for time in [
        r#""CreationTime": "2026-03-02T06:00:01""#,
        r#""id": {"time": "2026-03-02T06:00:01Z", "customerId": "C"}"#,
        r#""local_time": "2026-03-02 06:00:01""#,
        r#""local_time": "2026-03-02 08:00:01", "utc_time": "2026-03-02 06:00:01""#,
        r#""TimeCreated": "/Date(1772431201000)/""#,
        r#""timestamp": "02/Mar/2026:06:00:01 +0000""#,
        r#""timestamp": "02/Mar/2026:07:00:01 +0100""#,
    ] {
        let event = format!("{{\"product\": \"shop\", \"a\": 1, {time}}}\n");
        let given = ["--rules", &rules, "--json", "--log-source", "shop/-/-", "-"];
        let (_, out, err) = smesec(&given, event.as_bytes());
        let told = lines(&out);
        assert_eq!(told.len(), 1, "{time}: {err}");
        assert_eq!(told[0]["ts"], "2026-03-02T06:00:01.000000000Z", "{time}");
    }
}

#[test]
fn of_a_folder_every_log_is_read_and_what_is_not_is_named() {
    let folder = folder("folder");
    let rules = "title: Root\nlogsource: {product: linux}\n\
        detection: {selection: {user: root}, condition: selection}\n";
    let rules = file(&folder, "rules.yml", rules);
    let logs = folder.join("logs");
    std::fs::create_dir_all(&logs).unwrap();
    let line =
        "Mar  2 06:00:00 web01 sshd[812]: Failed password for root from 192.0.2.7 port 4022 ssh2\n";
    let entry = "__CURSOR=s=1\n__REALTIME_TIMESTAMP=1772431200123456\nSYSLOG_IDENTIFIER=sshd\n\
        MESSAGE=Failed password for root from 192.0.2.7 port 4022 ssh2\n\n";
    for name in ["syslog", "messages-20260302", "auth.log.1", "auth.log-20260301", "a.LOG"] {
        file(&logs, name, line);
    }
    file(&logs, "j.export", entry);
    file(&logs, "auth.log.2.gz", b"\x1f\x8b\x08");
    file(&logs, "wtmp", b"\x07\0\0\0");
    file(&logs, "notes.md", "x");
    file(&logs, ".hidden", "x");
    let (code, out, err) = smesec(&["--rules", &rules, "--json", logs.to_str().unwrap()], b"");
    assert_eq!(code, 1);
    let read: BTreeSet<_> = lines(&out)
        .iter()
        .map(|line| line["file"].as_str().unwrap().rsplit('/').next().unwrap().to_owned())
        .collect();
    let expected =
        ["a.LOG", "auth.log-20260301", "auth.log.1", "j.export", "messages-20260302", "syslog"];
    assert_eq!(read.iter().collect::<Vec<_>>(), expected);
    for told in [
        "auth.log.2.gz` is passed over: it is compressed; unpack it",
        "wtmp` is passed over: it is no text; name it to read it",
        "notes.md` is passed over: `.md` is no ending that logs have",
        ".hidden` is passed over: its name begins with a dot",
    ] {
        assert!(err.contains(told), "{err}");
    }
    assert_eq!(err.matches("is passed over").count(), 4, "{err}");
}

#[test]
fn a_file_with_its_newest_event_first_has_its_alarms() {
    let folder = folder("newest");
    let rules = file(&folder, "rules.yml", RULES);
    let spread = EVENTS.replace("06:00:01Z", "06:02:00Z").replace("06:00:02Z", "06:04:00Z");
    let turned: Vec<&str> = spread.lines().rev().collect();
    let events = file(&folder, "events.jsonl", turned.join("\n"));
    let alarms = |given: &[&str], input: &[u8]| {
        let (_, out, _) = smesec(&[&["--rules", &rules, "--json"], given].concat(), input);
        lines(&out).iter().filter(|line| line["kind"] == "correlation").count()
    };
    assert_eq!(alarms(&[&events], b""), 1);
    // A stream has no end that could be waited for, and who says how late events come is believed.
    assert_eq!(alarms(&["-"], turned.join("\n").as_bytes()), 0);
    assert_eq!(alarms(&["--lateness", "30s", &events], b""), 0);
}

#[test]
fn a_pipeline_renames_the_fields_of_correlations() {
    let folder = folder("pipeline");
    let rules = "
title: A
name: a
logsource: {category: a}
detection: {s: {Kind: x}, condition: s}
---
title: B
name: b
logsource: {category: b}
detection: {s: {Kind: x}, condition: s}
---
title: Grouped
correlation: {type: event_count, rules: [a], group-by: [User], timespan: 10m, condition: {gte: 2}}
---
title: Looked at
correlation: {type: value_count, rules: [a], group-by: [who], timespan: 10m, condition: {gte: 2, field: Host}, aliases: {who: {a: User}}}
---
title: Two names
correlation: {type: temporal, rules: [a, b], group-by: [User], timespan: 10m}
";
    let pipeline = "
name: p
transformations:
  - {type: field_name_mapping, mapping: {User: user.name, Host: h, Kind: k}, rule_conditions: [{type: logsource, category: a}]}
";
    let (rules, pipeline) = (file(&folder, "r.yml", rules), file(&folder, "p.yml", pipeline));
    let event = |second: u32, source: &str, rest: &str| {
        format!(
            "{{\"time\":\"2026-03-02T06:00:0{second}Z\",\"product\":\"p\",\"category\":\"{source}\",{rest}}}\n"
        )
    };
    let events = [
        event(1, "a", r#""k":"x","user":{"name":"anna"},"h":"one""#),
        event(2, "a", r#""k":"x","user":{"name":"anna"},"h":"two""#),
        event(3, "b", r#""Kind":"x","User":"anna""#),
    ];
    let given = ["--rules", &rules, "--pipeline", &pipeline, "--json", "-"];
    let (_, out, err) = smesec(&given, events.concat().as_bytes());
    let alarms: BTreeSet<_> = lines(&out)
        .iter()
        .map(|line| format!("{} {}", line["correlation"].as_str().unwrap(), line["group"]))
        .collect();
    let expected = [
        "Grouped {\"user.name\":\"anna\"}",
        "Looked at {\"who\":\"anna\"}",
        "Two names {\"User\":\"anna\"}",
    ];
    assert_eq!(alarms.iter().collect::<Vec<_>>(), expected, "{out}{err}");
    // Of a field with two names no group can be made.
    let several = file(
        &folder,
        "several.yml",
        "transformations: [{type: field_name_mapping, mapping: {User: [u, v]}}]",
    );
    let (_, _, err) = smesec(&["--rules", &rules, "--pipeline", &several, "-"], b"");
    assert!(
        err.contains("r.yml:12:1: ") && err.contains("gives the field `User` 2 names"),
        "{err}"
    );
}

#[test]
fn what_explains_nothing_by_itself_names_its_parts() {
    let folder = folder("explain");
    let (rules, yaml) = (file(&folder, "rules.yml", RULES), file(&folder, "d.yml", YAML));
    let explain = |wanted: &str| {
        let args = ["siem", "explain", "--rules", &rules, "--directives", &yaml, wanted, "-"];
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code =
            cli::run(args.iter().map(Into::into), &mut EVENTS.as_bytes(), &mut out, &mut err);
        (code, String::from_utf8(err).unwrap())
    };
    let failed = "`11111111-1111-1111-1111-111111111111`";
    let (code, err) = explain("Guessed");
    assert_eq!(code, 2);
    let told = format!(
        "`Guessed` is a correlation, which looks at no record by itself; explain its parts: {failed}, `signed_in`"
    );
    assert!(err.contains(&told), "{err}");
    let told = "`501` is a directive, which looks at no record by itself; explain the rules that its levels name: `failed`";
    assert!(explain("501").1.contains(told), "{}", explain("501").1);
    assert_eq!(explain("failed").0, 1);
    assert!(explain("nobody").1.contains("no rule `nobody` is in force"));
}

#[test]
fn what_is_misspelt_is_told_by_its_place() {
    let folder = folder("misspelt");
    let rules = file(&folder, "rules.yml", RULES);
    let told = |option: &str, name: &str, text: &str| {
        let path = file(&folder, name, text);
        let given: &[&str] = if option == "--rules" { &[] } else { &["--rules", &rules] };
        smesec(&[given, &[option, &path, "-"]].concat(), b"").2
    };
    let rule = |source: &str, level: &str| {
        format!(
            "title: t\nlogsource: {source}\nlevel: {level}\ndetection: {{a: {{b: c}}, condition: a}}\n"
        )
    };
    let wrong = told("--rules", "a.yml", &rule("{product: shop, servise: x}", "low"));
    assert!(wrong.contains("a.yml:2:28: unknown key `servise` of `logsource`"), "{wrong}");
    let wrong = told("--rules", "b.yml", &rule("{product: shop}", "hihg"));
    assert!(wrong.contains("b.yml:3:8: unknown level `hihg`; known are"), "{wrong}");
    let right = rule("{product: shop, definition: x, x-team: y}", "High");
    assert!(!told("--rules", "c.yml", &right).contains("unknown"));
    let wrong = told("--pipeline", "p.yml", "name: p\ntransformation: []\n");
    assert!(wrong.contains("p.yml:2:1: unknown key `transformation` of a pipeline"), "{wrong}");
    let wrong = told("--policies", "o.yml", "policies:\n  - {types: [faild], then: drop}\n");
    assert!(wrong.contains("o.yml:2:14: the policy names `faild`, which is no rule's"), "{wrong}");
    let twice = format!("{YAML}---{YAML}");
    let wrong = told("--directives", "d.yml", &twice);
    assert!(wrong.contains("a directive with this id stands in"), "{wrong}");
}

#[test]
fn a_line_of_json_says_whose_it_is() {
    let folder = folder("json");
    let tagged = RULES.replace("level: medium", "tags: [attack.t1046]\nlevel: medium");
    let rules = file(&folder, "rules.yml", tagged);
    let (_, out, _) = smesec(&["--rules", &rules, "--json", "-"], EVENTS.as_bytes());
    let told = lines(&out);
    let scan = told.iter().find(|line| line["title"] == "Port scan").unwrap();
    assert_eq!(scan["tags"][0], "attack.t1046");
    assert_eq!(scan["log_source"]["product"], "shop");
    let alarm = told.iter().find(|line| line["correlation"] == "Guessing").unwrap();
    assert_eq!(alarm["rule_id"], "Guessing", "its id, else its name, else its title");
}

#[test]
fn a_run_without_all_of_its_rules_says_so_by_its_status() {
    let folder = folder("status");
    let rules = file(&folder, "rules.yml", format!("{RULES}---\ntitle: none\n"));
    assert_eq!(smesec(&["--rules", &rules, "-"], b"").0, 3);
    assert_eq!(smesec(&["--rules", &rules, "-"], EVENTS.as_bytes()).0, 1);
    let rules = file(&folder, "whole.yml", RULES);
    assert_eq!(smesec(&["--rules", &rules, "-"], b"").0, 0);
}

/// A stream of `count` events in which groups come near thresholds, cross them and fall again.
fn stream(count: u64) -> String {
    let mut random = 0x9e37_79b9_u64;
    let mut text = String::new();
    for n in 0..count {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (src, what, late) = ((random >> 33) % 1_000, (random >> 50) % 40, (random >> 20) % 20);
        let second = n / 100 + 60 - late;
        let time =
            format!("2026-03-02T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60);
        let outcome = match what {
            0 => "success",
            1..=6 => "failure",
            _ => "none",
        };
        let _ = writeln!(
            text,
            "{{\"product\":\"shop\",\"time\":\"{time}\",\"outcome\":\"{outcome}\",\"src_ip\":\"10.1.{}.{}\",\"dst_ip\":\"10.0.0.5\",\"host\":\"dc01\",\"n\":{n}}}",
            src / 250,
            src % 250
        );
    }
    text
}

/// The alarms told: each change by id.
fn told(out: &str) -> BTreeSet<(String, String)> {
    let change =
        |line: &Value| Some((line["id"].as_str()?.to_owned(), line["change"].as_str()?.to_owned()));
    lines(out).iter().filter_map(change).collect()
}

/// Runs the command until it is killed after `patience`, or ends; gives what it told, and whether it ended.
/// What is left of standard input comes from where it says it goes on.
fn run_and_kill(args: &[&str], input: Option<&[u8]>, patience: Option<Duration>) -> (String, bool) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_smesec"))
        .args(["siem", "run"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut err = BufReader::new(child.stderr.take().unwrap());
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut text = Vec::new();
            out.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        });
        scope.spawn(move || {
            let mut line = String::new();
            while err.read_line(&mut line).unwrap_or(0) > 0 {
                if let (Some(at), Some(input)) =
                    (line.trim().strip_prefix("smesec: standard input is read from byte "), input)
                {
                    let rest = &input[at.parse::<usize>().unwrap()..];
                    for piece in rest.chunks(50_001) {
                        if to.write_all(piece).is_err() {
                            break;
                        }
                    }
                    break;
                }
                line.clear();
            }
            drop(to);
            let _ = err.read_to_end(&mut Vec::new());
        });
        if let Some(patience) = patience {
            std::thread::sleep(patience);
            let ended = child.try_wait().unwrap().is_some();
            child.kill().unwrap();
            child.wait().unwrap();
            return (reading.join().unwrap(), ended);
        }
        let ended = child.wait().unwrap().code() == Some(1);
        (reading.join().unwrap(), ended)
    })
}

#[test]
fn killed_at_any_moment_it_tells_the_same_alarms() {
    let folder = folder("killed");
    let text = stream(80_000);
    let [rules, yaml, events] = [("rules.yml", RULES), ("d.yml", YAML), ("events.jsonl", &text)]
        .map(|(name, text)| file(&folder, name, text));
    let given = ["--json", "--updates", "--rules", &rules, "--directives", &yaml];
    let begun = Instant::now();
    let (expected, ended) = run_and_kill(&[&given[..], &[&events]].concat(), None, None);
    // Moments within the run, however fast the machine is: the first two kills come before its end.
    let whole = u64::try_from(begun.elapsed().as_millis()).unwrap();
    let expected = told(&expected);
    assert!(ended && expected.len() > 1_000, "{}", expected.len());

    for (name, input) in [("file", None), ("stdin", Some(text.as_bytes()))] {
        let state = folder.join(name);
        let state = state.to_str().unwrap();
        let source = if input.is_some() { "-" } else { events.as_str() };
        let args = [&given[..], &["--state", state, source]].concat();
        let (mut all, mut kills, mut random) = (BTreeSet::new(), 0, 12_345_u64);
        for _ in 0..8 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let patience = Duration::from_millis(whole / 16 + (random >> 33) % (whole / 4).max(1));
            let (out, ended) = run_and_kill(&args, input, Some(patience));
            all.extend(told(&out));
            if ended {
                break;
            }
            kills += 1;
        }
        let (out, ended) = run_and_kill(&args, input, None);
        assert!(ended, "{name}");
        all.extend(told(&out));
        let missing = expected.difference(&all).count();
        let more = all.difference(&expected).count();
        assert_eq!((missing, more), (0, 0), "{name}, killed {kills} times");
        eprintln!("{name}: killed {kills} times, {} changes of alarms, all the same", all.len());
        assert!(kills > 0, "{name}: it was never killed");
    }
}
