//! The command's contract: keys, exit codes, and errors that say where and what to do.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test: a panic is the verdict")]

use serde_json::{Value, json};
use smesec_core::cli;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Exit code, standard output, standard error.
fn smesec(args: &[&str], input: &str) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = cli::run(args.iter().map(Into::into), &mut input.as_bytes(), &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn each_command_and_group_tells_its_own_usage() {
    let help = |args: &[&str]| smesec(args, "");
    let (code, whole, _) = help(&["--help"]);
    assert_eq!(code, 0);
    for (args, has, has_not) in [
        (&["waf", "--help"][..], "smesec waf check", "smesec rules"),
        (&["siem", "-h"], "smesec siem explain", "smesec taas"),
        (&["taas", "audit", "--help"], "smesec taas audit --example", "smesec taas run"),
        (&["config", "example", "--help"], "smesec config example", "smesec serve"),
        (&["demo", "--help"], "smesec demo [--once]", "exit code"),
    ] {
        let (code, told, wrong) = help(args);
        assert_eq!((code, wrong.as_str()), (0, ""), "{args:?}");
        assert!(told.contains(has) && !told.contains(has_not), "{args:?}: {told}");
        assert!(told.lines().all(|line| whole.contains(line)), "{told}");
    }
    let (code, told, wrong) = help(&["waf"]);
    assert_eq!((code, told.as_str()), (2, ""));
    assert!(wrong.contains("smesec waf check [--rules PATH]"), "{wrong}");
    let (code, _, wrong) = help(&["wav", "--help"]);
    assert_eq!(code, 2);
    assert!(wrong.contains("unknown command `wav`"), "{wrong}");
}

const RULES: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/html
SecRule ARGS:q "@contains attack" "id:1,phase:2,deny,status:406,msg:'seen'"
SecRule ARGS:q "@contains odd" "id:2,phase:1,pass,log"
SecRule RESPONSE_BODY "@contains secret" "id:3,phase:4,deny,status:500"
SecRule REMOTE_ADDR "@ipMatch 198.51.100.7" "id:4,phase:1,pass,nolog"
SecRule ARGS:who "@streq me" "id:5,phase:5,pass,log,chain"
  SecRule REMOTE_PORT "@eq 40000" "t:none"
"#;

#[test]
fn transactions_are_answered_in_order_with_the_keys_of_the_contract() {
    let rules = file("command-rules.conf", RULES);
    let rules = rules.to_str().unwrap();
    let line = |name: &str, uri: &str, more: Value| {
        let mut line = json!({"name": name, "method": "GET", "uri": uri, "version": "1.1",
            "headers": [["Host", "shop.example"]], "body_b64": ""});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("{line}\n")
    };
    let form = json!({"method": "POST", "headers": [["Host", "a"], ["Content-Type", "application/x-www-form-urlencoded"]],
        "body_b64": "cT1hbitvZGQrYXR0YWNr"});
    let leak = json!({"resp_status": "200", "resp_headers": [["Content-Type", "text/html"]], "resp_body_b64": "dGhlIHNlY3JldA=="});
    let input = [
        line("good", "/?q=boots", json!({})),
        line("attack", "/?q=attack", json!({"label": "keys that are not known are passed over"})),
        line("form", "/", form),
        line("leak", "/", leak),
        line("odd", "/?q=odd", json!({})),
        line("me", "/?who=me", json!({})),
    ];
    let input = input.concat();
    let run = |more: &[&str]| {
        let (code, out, err) = smesec(
            &[&["waf", "check", "--rules", rules, "--requests", "-"], more].concat(),
            &input,
        );
        assert_eq!(err, "");
        let rows: Vec<Value> =
            out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for row in &rows {
            assert!(row.get("micros").unwrap().as_f64().unwrap() > 0.0, "{row}");
            assert!(row.get("score").unwrap().is_i64(), "{row}");
        }
        let part = |row: &Value| {
            json!([row.get("name"), row.get("verdict"), row.get("status"), row.get("ids")])
        };
        (code, Value::Array(rows.iter().map(part).collect()))
    };
    let blocked = json!([
        ["good", "pass", 0, []],
        ["attack", "block", 406, [1]],
        ["form", "block", 406, [1]],
        ["leak", "block", 500, [3]],
        ["odd", "pass", 0, [2]],
        ["me", "pass", 0, [5]],
    ]);
    assert_eq!(run(&[]), (1, blocked.clone()));
    assert_eq!(run(&["--repeat", "5"]), (1, blocked), "only the first pass answers");
    let detected = json!([
        ["good", "pass", 0, []],
        ["attack", "pass", 0, [1]],
        ["form", "pass", 0, [1]],
        ["leak", "pass", 0, [3]],
        ["odd", "pass", 0, [2]],
        ["me", "pass", 0, [5]],
    ]);
    assert_eq!(run(&["--detect-only"]), (0, detected));
}

#[test]
fn the_built_in_pack_is_the_default() {
    let input = r#"{"name":"up","method":"GET","uri":"/?f=../../../etc/passwd","headers":[["Host","a.example"],["User-Agent","Mozilla/5.0"],["Accept","*/*"]]}"#;
    let (code, out, err) = smesec(&["waf", "check", "--requests", "-"], input);
    let row: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, row.get("verdict").unwrap().as_str()), (1, Some("block")), "{out}{err}");
    assert!(!row.get("ids").unwrap().as_array().unwrap().is_empty());
}

#[test]
fn errors_say_where_and_what_to_do() {
    let rules = file("command-errors.conf", RULES);
    let rules = rules.to_str().unwrap();
    let check = |input: &str| smesec(&["waf", "check", "--rules", rules, "--requests", "-"], input);
    let good = "{\"method\":\"GET\",\"uri\":\"/\"}\n";
    for (input, told) in [
        ("\n\nnot json\n", "-:3:"),
        (&*format!("{good}{{\"method\":\"GET\"}}\n"), "-:2:"),
        ("{\"method\":\"GET\",\"uri\":\"/\",\"body_b64\":\"?\"}", "-:1: `?` is not Base64"),
    ] {
        let (code, _, err) = check(input);
        assert_eq!(code, 2);
        assert!(err.contains(told), "{err}");
    }
    for (args, told) in [
        (&["waf", "check"][..], "--requests"),
        (&["waf", "check", "--requests", "/nonexistent.jsonl"], "/nonexistent.jsonl"),
        (&["waf", "check", "--frobnicate", "--requests", "-"], "frobnicate"),
        (&["waf", "check", "--repeat", "many", "--requests", "-"], "many"),
        (&["waf", "check", "--paranoia", "9", "--requests", "-"], "1 to 4"),
        (&["waf", "check", "--rules", "/nonexistent.conf", "--requests", "-"], "/nonexistent.conf"),
        (&["rules", "check", "--language", "klingon", rules], "klingon"),
        (&["frobnicate"], "smesec --help"),
    ] {
        let (code, out, err) = smesec(args, good);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.starts_with("smesec: ") && err.contains(told), "{args:?}: {err}");
    }
}

#[test]
fn rules_check_reports_for_people_and_for_programs() {
    let rules = file(
        "command-report.conf",
        "SecRule ARGS \"@contains x\" \"id:1,phase:1,deny\"\nSecRule ARGS \"@nonsense x\" \"id:2,phase:1,deny\"\n",
    );
    let rules = rules.to_str().unwrap();
    let (code, out, _) = smesec(&["rules", "check", rules], "");
    assert_eq!(code, 2);
    assert!(out.starts_with("1 rules loaded, 1 refused, 0 degraded\n"), "{out}");
    assert!(out.contains(&format!("{rules}:2:")), "{out}");

    let (code, out, _) = smesec(&["rules", "check", "--json", "--language", "seclang", rules], "");
    assert_eq!((code, out.lines().count()), (2, 1));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report.get("loaded").unwrap(), 1);
    assert_eq!(report.pointer("/refused/0/line").unwrap(), 2);
    assert!(report.get("load_cpu_ms").unwrap().as_f64().unwrap() > 0.0);
    assert!(report.get("memory_bytes").unwrap().is_u64());

    let fine = file("command-fine.conf", "SecRule ARGS \"@contains x\" \"id:1,phase:1,deny\"\n");
    assert_eq!(smesec(&["rules", "check", fine.to_str().unwrap()], "").0, 0);
}

#[test]
fn help_names_every_command() {
    let (code, out, _) = smesec(&["--help"], "");
    assert_eq!(code, 0);
    for command in
        ["waf check", "rules check", "--paranoia", "--detect-only", "--repeat", "exit code"]
    {
        assert!(out.contains(command), "{command} is not in the help");
    }
    assert_eq!(smesec(&[], ""), smesec(&["help"], ""));
}

#[test]
fn a_reader_that_left_is_no_panic() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for args in
        [&["--help"][..], &["rules", "check", "--json"], &["waf", "check", "--requests", "-"]]
    {
        let input = b"{\"method\":\"GET\",\"uri\":\"/\"}\n";
        let code = cli::run(args.iter().map(Into::into), &mut &input[..], &mut Gone, &mut Gone);
        assert!(code <= 3, "{args:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_told() {
    /// A disk that is full, behind a buffer.
    struct Full;
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
    }
    for args in [&["--version"][..], &["config", "example"], &["siem", "--help"]] {
        let mut err = Vec::new();
        let code = cli::run(args.iter().map(Into::into), &mut &b""[..], &mut Full, &mut err);
        let err = String::from_utf8(err).unwrap();
        assert!(code == 2 && err.starts_with("smesec: standard output: "), "{args:?}: {err}");
    }
}

#[test]
fn configurations_are_written_and_checked() {
    let (code, example, _) = smesec(&["config", "example"], "");
    assert_eq!(code, 0);
    let good = file("example.toml", &example);
    let (code, out, err) = smesec(&["config", "check", good.to_str().unwrap()], "");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.ends_with("example.toml: good\n"), "{out}");

    let bad = file("bad.toml", &example.replace("# mode = \"block\" ", "mode = \"blok\" "));
    let (code, _, err) = smesec(&["config", "check", bad.to_str().unwrap()], "");
    assert_eq!(code, 2);
    assert!(err.contains("bad.toml:") && err.contains("`blok` is no mode; write"), "{err}");

    let rules = file("broken.toml", &example.replace("rules = []", "rules = [\"nowhere.conf\"]"));
    let (code, _, err) = smesec(&["config", "check", rules.to_str().unwrap()], "");
    assert!(code == 2 && err.contains("nowhere.conf"), "{err}");

    for (args, told) in [
        (&["serve"][..], "`--config FILE` is missing"),
        (&["serve", "--config", "/nowhere.toml"], "`/nowhere.toml`"),
        (&["config", "chek"], "write `smesec config check FILE`"),
        (&["demo", "--port", "x"], "`--port x`: write 0 to 65535"),
    ] {
        let (code, _, err) = smesec(args, "");
        assert!(code == 2 && err.contains(told), "{args:?}: {err}");
    }
}

#[test]
fn the_demonstration_ends_by_itself_and_tells_who_was_stopped_by_which_rule() {
    let (code, out, err) = smesec(&["demo", "--once", "--port", "0"], "");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("24 of 24 as they should be"), "{out}");
    let stopped: Vec<_> = out.lines().filter(|line| line.contains("403 stopped")).collect();
    assert_eq!(stopped.len(), 14);
    for line in stopped {
        let rule = line.get(64..).unwrap_or("").trim();
        assert!(rule.split(' ').next().unwrap().parse::<u32>().is_ok(), "no rule in `{line}`");
    }
}

/// A gateway as a process of its own, ended by the test's end.
struct Served(std::process::Child);

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_schedule_runs_tests_and_their_failures_are_events_in_the_gateways_log() {
    let folder = file("schedule-probe", "").parent().unwrap().join("schedule");
    std::fs::create_dir_all(&folder).unwrap();
    let site = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = site.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in site.incoming() {
            use std::io::{Read as _, Write as _};
            let (mut stream, mut head) = (stream.unwrap(), [0; 4096]);
            let read = stream.read(&mut head).unwrap_or(0);
            let known = head.get(..read).is_some_and(|head| head.starts_with(b"GET /here"));
            let status = if known { "200 OK" } else { "404 Not Found" };
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let test = |name: &str, path: &str| {
        format!(
            "test_name: {name}\nstages:\n  - name: ask\n    request:\n      url: http://{address}{path}\n    response:\n      status_code: 200\n---\n"
        )
    };
    let tests = [test("it is there", "/here"), test("it is gone", "/gone")].concat();
    std::fs::write(folder.join("shop.tavern.yaml"), tests).unwrap();
    let log = folder.join("events.jsonl");
    let _ = std::fs::remove_file(&log);
    let config = format!(
        "[gateway]\nlisten = [\"127.0.0.1:0\"]\nevent_log = \"events.jsonl\"\n[[gateway.host]]\nnames = [\"*\"]\nupstream = \"http://{address}\"\n[[schedule]]\ntests = [\"shop.tavern.yaml\"]\nevery = \"1s\"\n"
    );
    let path = folder.join("smesec.toml");
    std::fs::write(&path, &config).unwrap();
    let named = path.to_str().unwrap();
    let (code, out, err) = smesec(&["config", "check", named], "");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");

    let served = std::process::Command::new(env!("CARGO_BIN_EXE_smesec"))
        .args(["serve", "--config", named])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let _served = Served(served);
    let begun = std::time::Instant::now();
    let runs = loop {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        if text.matches("it is gone").count() >= 2 {
            break text;
        }
        assert!(begun.elapsed().as_secs() < 60, "two runs within a minute: {text}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let told: Vec<Value> = runs.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
    let failed =
        told.iter().find(|event| event["extra"]["test"] == "it is gone").expect("an event");
    assert_eq!(failed["detector"], "taas");
    assert!(
        !told.iter().any(|event| event["extra"]["test"] == "it is there"),
        "only failures are told: {runs}"
    );

    // A file that is not there is told before anything runs.
    std::fs::write(&path, config.replace("shop.tavern", "none.tavern")).unwrap();
    let (code, _, err) = smesec(&["config", "check", named], "");
    assert!(
        code == 2 && err.contains("smesec.toml:7: ") && err.contains("none.tavern.yaml"),
        "{err}"
    );
}

#[test]
fn a_log_that_was_moved_is_left_although_the_configuration_is_broken() {
    let folder = file("rotation-probe", "").parent().unwrap().join("rotation");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let (path, log) = (folder.join("smesec.toml"), folder.join("access.log"));
    let config = "[gateway]\nlisten = [\"127.0.0.1:0\"]\naccess_log = \"access.log\"\n[[gateway.host]]\nnames = [\"*\"]\nupstream = \"http://127.0.0.1:1\"\n[waf]\nmode = \"off\"\n";
    std::fs::write(&path, config).unwrap();
    let served = std::process::Command::new(env!("CARGO_BIN_EXE_smesec"))
        .args(["serve", "--config", path.to_str().unwrap()])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut served = Served(served);
    let told = std::io::BufReader::new(served.0.stderr.take().unwrap());
    let mut told = std::io::BufRead::lines(told).map_while(Result::ok);
    assert!(told.any(|line| line.contains("serving on")));
    let hang_up = || {
        let pid = rustix::process::Pid::from_child(&served.0);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    };
    std::fs::write(&path, "[gateway\n").unwrap();
    std::fs::rename(&log, folder.join("access.log.1")).unwrap();
    hang_up();
    assert!(told.any(|line| line.contains("not reloaded") && line.contains("smesec.toml:1:")));
    let begun = std::time::Instant::now();
    while !log.exists() {
        assert!(begun.elapsed().as_secs() < 20, "the log was not opened anew");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
