//! `smesec taas run` as one meets it: files, a server, exit codes, and nothing secret in what it writes.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test: a panic is the verdict")]

use smesec_core::cli;
use smesec_core::taas::{Files, Suite};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Exit code, standard output, standard error.
fn smesec(args: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = cli::run(args.iter().map(Into::into), &mut &b""[..], &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("taas-run").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes a file; `PORT` in it is the server's.
fn file(folder: &Path, name: &str, text: &str, port: u16) -> String {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text.replace("PORT", &port.to_string())).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A server at all loopback addresses: what it answers to a path and a request's head and body.
fn server(answer: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, answer) = (BufReader::new(socket.unwrap()), Arc::clone(&answer));
            std::thread::spawn(move || {
                loop {
                    let (mut head, mut line) = (String::new(), String::new());
                    while socket.read_line(&mut line).is_ok_and(|read| read > 2) {
                        head.push_str(&std::mem::take(&mut line));
                    }
                    let lower = head.to_ascii_lowercase();
                    let length = lower.split("content-length: ").nth(1);
                    let length =
                        length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
                    let mut body = vec![0; length];
                    let Some(path) = head.split(' ').nth(1) else { break };
                    if socket.read_exact(&mut body).is_err() {
                        break;
                    }
                    let given =
                        answer(path, &format!("{head}\n{}", String::from_utf8_lossy(&body)));
                    if socket.get_mut().write_all(given.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

fn says(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

/// One stage that asks for a path, with more keys of its request and of its response.
fn asks(path: &str, request: &str, response: &str) -> String {
    format!(
        "test_name: t\nstages:\n  - name: a\n    request: {{url: 'http://127.0.0.1:PORT{path}'{request}}}\n    response: {{status_code: 200{response}}}\n"
    )
}

/// What one test comes to.
fn run(name: &str, port: u16, text: &str) -> (u8, String) {
    let file = file(&folder(name), "t.tavern.yaml", text, port);
    let (code, out, err) = smesec(&["taas", "run", &file]);
    (code, out + &err)
}

#[test]
fn what_a_server_says_acts_on_no_terminal_and_forges_no_line() {
    let port = server(|_, _| says("404", "", "\u{1b}[2J\u{9b}31m\n passed  all is well"));
    let (code, out) = run("escape", port, &asks("/", "", ""));
    assert_eq!(code, 1);
    assert!(!out.contains(['\u{1b}', '\u{9b}']) && out.contains("[2J"), "{out}");
    assert!(out.lines().all(|line| !line.starts_with(" passed")), "{out}");
}

#[test]
fn a_secret_is_masked_in_every_form_in_which_it_travels() {
    let port = server(|path, _| says("404", "", &format!("no {path}")));
    let text = asks("/", ", params: {code: '[SECRET]'}", "");
    let folder = folder("forms");
    let file_name = file(&folder, "t.tavern.yaml", &text, port);
    let secrets = file(&folder, "secrets", "CODE=päss w/rd&=\"x", port);
    let html = folder.join("r.html");
    let html = html.to_str().unwrap();
    let (code, out, err) =
        smesec(&["taas", "run", &file_name, "--secrets", &secrets, "--html", html]);
    let page = std::fs::read_to_string(html).unwrap();
    assert_eq!(code, 1, "{out}{err}");
    for text in [&out, &err, &page] {
        assert!(!text.contains("w%2Frd") && !text.contains("w/rd"), "{text}");
    }
    assert!(page.contains("code=[masked]"), "{page}");
}

/// Has another file of each name beside whatever names it.
struct Twice;

impl Files for Twice {
    fn read(&self, name: &str, from: &str) -> Result<(String, Vec<u8>), String> {
        let which = if from.is_empty() { "right" } else { "wrong" };
        let text = asks("/", "", "").replace("test_name: t", &format!("test_name: {which}"));
        Ok((name.to_owned(), text.into_bytes()))
    }
}

#[test]
fn the_file_that_is_named_is_the_one_that_runs() {
    let suite = Suite::builder().files(Twice).file("a/t.tavern.yaml").build();
    assert_eq!(suite.tests()[0].name(), "right");
    let (code, _, err) = smesec(&["taas", "run", "no/such.tavern.yaml"]);
    assert!(code == 2 && err.contains("`no/such.tavern.yaml` is no file; check the name"), "{err}");
}

#[test]
fn a_shared_stage_asks_for_its_secret_where_it_is_used() {
    let port =
        server(|_, seen| says(if seen.contains("hunter2hunter2") { "200" } else { "401" }, "", ""));
    let stages = "name: shared\ndescription: d\nstages:\n  - id: login\n    name: log in\n    request: {url: 'http://127.0.0.1:PORT/', method: POST, json: {password: [CONFIDENTIAL]}, response: {status_code: 200}}\n";
    let uses = "stages:\n  - {type: ref, id: login}\n";
    let test = format!(
        "test_name: uses it\nincludes:\n  - !include c.yaml\n{uses}---\ntest_name: uses it not\nincludes:\n  - !include c.yaml\nstages:\n  - {{name: a, request: {{url: 'http://127.0.0.1:PORT/', json: {{p: hunter2hunter2}}}}, response: {{status_code: 200}}}}\n"
    );
    let folder = folder("placeholder");
    file(&folder, "c.yaml", stages, port);
    let test = file(&folder, "t.tavern.yaml", &test, port);
    let (code, out, err) = smesec(&["taas", "run", &test]);
    assert!(code == 3 && out.contains("1 passed") && out.contains("1 skipped"), "{out}{err}");
    assert!(err.contains("set SMESEC_SECRET_LOG_IN_PASSWORD"), "{err}");
    let secrets = file(&folder, "secrets", "PASSWORD=hunter2hunter2\n", port);
    let (code, out, err) = smesec(&["taas", "run", &test, "--secrets", &secrets]);
    assert!(code == 0 && out.contains("2 passed"), "{out}{err}");
    // A global configuration's stages are no others.
    let alone = format!("test_name: global\n{uses}");
    let alone = file(&folder, "g.tavern.yaml", &alone, port);
    let global = folder.join("c.yaml");
    let args = ["taas", "run", &alone, "--global-cfg", global.to_str().unwrap()];
    let (code, out, err) = smesec(&args);
    assert!(code == 3 && err.contains("SMESEC_SECRET_LOG_IN_PASSWORD"), "{out}{err}");
    let (code, out, err) = smesec(&[&args[..], &["--secrets", &secrets]].concat());
    assert!(code == 0 && !out.contains("hunter2"), "{out}{err}");
}

#[test]
fn types_and_patterns_are_the_formats_own() {
    let port =
        server(|_, _| says("200", "Content-Type: application/json\r\n", "\u{feff}{\"n\": 17}"));
    let check = |path: &str, kind: &str| {
        asks(
            "/",
            "",
            &format!(
                ", verify_response_with: {{function: 'tavern.helpers:validate_content', extra_kwargs: {{comparisons: [{{jmespath: {path}, operator: type, expected: {kind}}}]}}}}"
            ),
        )
    };
    for (path, kind, wanted) in [
        ("n", "number", 0),
        ("n", "INT", 0),
        ("n", "str", 1),
        ("m", "none", 0),
        ("n", "NoneType", 1),
    ] {
        let (code, out) = run("types", port, &check(path, kind));
        assert_eq!(code, wanted, "{path} {kind}: {out}");
    }
    let pattern = ", verify_response_with: {function: 'tavern.helpers:validate_regex', extra_kwargs: {expression: '1', in_jmespath: n}}";
    let (code, out) = run("pattern", port, &asks("/", "", pattern));
    assert!(code == 1 && out.contains("no text"), "{out}");
}

#[test]
fn who_asks_may_stand_in_the_url_and_null_leaves_a_header_out() {
    let port = server(|_, seen| {
        let fine =
            seen.contains("Authorization: Basic Ym9iOmh1bnRlcjIy") && !seen.contains("Accept:");
        says(if fine { "200" } else { "404" }, "", seen)
    });
    let text = asks("/", ", headers: {Accept: null}", "").replace("//127", "//bob:hunter22@127");
    let (code, out) = run("user", port, &text);
    assert!(code == 0 && !out.contains("hunter22"), "{out}");
    let folder = folder("user");
    let file = folder.join("t.tavern.yaml");
    let (_, out, err) = smesec(&["taas", "run", "--dry-run", file.to_str().unwrap()]);
    assert!(out.contains(&format!("    GET http://127.0.0.1:{port}/  (a)")), "{out}{err}");
    assert!(!out.contains("hunter22"), "{out}");
}

#[test]
fn credentials_stay_with_the_host_that_they_were_given_for() {
    let port = server(|path, seen| match path {
        "/away" => {
            let host = seen.split("Host: 127.0.0.1:").nth(1);
            let port = host.map_or("1", |rest| rest.lines().next().unwrap());
            says("302", &format!("Location: http://127.0.0.2:{port}/there\r\n"), "")
        }
        "/empty" => says("302", "Location: \r\n", ""),
        "/secure" => says("200", "Set-Cookie: s=1; Secure\r\n", ""),
        _ => says(if seen.contains("Cookie:") { "404" } else { "200" }, "", ""),
    });
    // The second host is named, so that it may be asked.
    let second =
        "  - {name: b, request: {url: 'http://127.0.0.2:PORT/b'}, response: {status_code: 200}}\n";
    for own in ["headers: {Cookie: 'sid=mine'}", "cookies: [{sid: mine}]"] {
        let text = asks("/away", &format!(", follow_redirects: true, {own}"), "") + second;
        let (code, out) = run("away", port, &text);
        assert_eq!(code, 0, "{own}: {out}");
    }
    let text = asks("/empty", ", follow_redirects: true", "").replace("200", "302");
    let (code, out) = run("empty", port, &text);
    assert_eq!(code, 0, "{out}");
    let text = asks("/secure", "", "")
        + "  - {name: b, request: {url: 'http://127.0.0.1:PORT/b'}, response: {status_code: 200}}\n";
    let (code, out) = run("secure", port, &text);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn includes_are_one_document_and_make_identifiers_of_their_own() {
    let paths = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&paths);
    let port = server(move |path, _| {
        seen.lock().unwrap().push(path.to_owned());
        says("200", "", "")
    });
    let folder = folder("include");
    let one = "name: one\ndescription: d\nvariables:\n  id: !uuid\n";
    file(&folder, "shared/one.yaml", one, port);
    file(&folder, "two.yaml", &format!("{one}---\nname: two\n"), port);
    let test = |include: &str| {
        asks("/{id}", "", "")
            .replace("stages:", &format!("includes:\n  - !include {include}\nstages:"))
    };
    let twice = file(
        &folder,
        "t.tavern.yaml",
        &format!("{}---\n{}", test("one.yaml"), test("one.yaml")),
        port,
    );
    let (code, _, err) = smesec(&["taas", "run", &twice]);
    assert!(code == 2 && err.contains("`one.yaml` is no file beside"), "{err}");
    let places = format!("TAVERN_INCLUDE=/nowhere:{}", folder.join("shared").to_str().unwrap());
    let (code, out, err) = smesec(&["taas", "run", &twice, "--env", &places]);
    assert_eq!(code, 0, "{out}{err}");
    let paths = paths.lock().unwrap();
    assert!(paths.len() == 2 && paths[0].len() == 37 && paths[0] != paths[1], "{paths:?}");
    let two = file(&folder, "u.tavern.yaml", &test("two.yaml"), port);
    let (code, _, err) = smesec(&["taas", "run", &two]);
    assert!(code == 2 && err.contains("two.yaml:6:1: an include is one document"), "{err}");
}

#[test]
fn a_cap_and_a_rate_may_be_asked_for() {
    let port = server(|_, _| says("200", "", ""));
    let text = [asks("/", "", ""), asks("/", "", "")].join("---\n");
    let file = file(&folder("cap"), "t.tavern.yaml", &text, port);
    let (code, out, err) = smesec(&["taas", "run", &file, "--requests", "1", "--per-second", "50"]);
    assert!(code == 1 && out.contains("raise the cap"), "{out}{err}");
    let (code, _, err) = smesec(&["taas", "run", &file, "--jobs", "2", "--requests", "2"]);
    assert_eq!((code, err.as_str()), (0, ""));
    for (option, value, told) in [
        ("--requests", "0", "`--requests 0`: write a whole number, 1 at least"),
        ("--per-second", "x", "`--per-second x`: write a whole number, 1 at least"),
        ("--proxy", "https://p", "`--proxy`: "),
    ] {
        let (code, _, err) = smesec(&["taas", "run", &file, option, value]);
        assert!(code == 2 && err.contains(told), "{err}");
    }
    // The server speaks HTTP/1.1 alone.
    let (code, out, _) = smesec(&["taas", "run", &file, "--http2"]);
    assert!(code == 1 && out.contains("HTTP/2"), "{out}");
    let (code, _, err) = smesec(&["taas", "audit", "x.yaml", "--requests", "7"]);
    assert!(code == 2 && err.contains("`limits: {requests: N, per_second: N}`"), "{err}");
}

#[test]
fn a_host_without_a_port_is_its_schemes_port_alone() {
    let port = server(|_, _| says("200", "", ""));
    let text = asks("/x", "", "").replace(
        "stages:",
        "includes:\n  - {name: i, description: d, variables: {host: 'http://127.0.0.1'}}\nstages:",
    );
    let (_, out) = run("port", port, &text);
    assert!(out.contains("1 passed"), "{out}");
    let file = folder("port").join("t.tavern.yaml");
    let (_, out, _) = smesec(&["taas", "run", "--dry-run", file.to_str().unwrap()]);
    let connects: Vec<&str> = out.lines().filter(|line| line.starts_with("would")).collect();
    let own = format!("would connect to 127.0.0.1:{port}");
    assert_eq!(connects, [own.as_str(), "would connect to 127.0.0.1:80"], "{out}");
}

#[test]
fn skipif_knows_the_platform_and_the_environment_of_the_run() {
    let port = server(|_, _| says("200", "", ""));
    let marked = |name: &str, mark: &str| {
        let text = asks("/", "", "").replace("stages:", &format!("marks:\n  - {mark}\nstages:"));
        file(&folder("skipif"), &format!("{name}.tavern.yaml"), &text, port)
    };
    for (name, mark, told) in [
        ("platform", "skipif: \"sys.platform.startswith('win')\"", "1 passed"),
        ("os", "skipif: \"os.name == 'posix'\"", "1 skipped"),
        ("set", "skipif: \"'SMESEC_TRIAL' in os.environ\"", "1 skipped"),
        ("call", "skipif(\"os.environ.get('SMESEC_TRIAL') != 'on'\", reason='x')", "1 passed"),
    ] {
        let (_, out, err) =
            smesec(&["taas", "run", &marked(name, mark), "--env", "SMESEC_TRIAL=on"]);
        assert!(out.contains(told), "{mark}: {out}{err}");
    }
    let file = marked("version", "skipif: 'sys.version_info < (3, 8)'");
    let (code, out, err) = smesec(&["taas", "run", &file]);
    assert_eq!(code, 2, "{out}{err}");
    assert!(format!("{out}{err}").contains("`sys.version_info` is not known"), "{out}{err}");
}

#[test]
fn what_is_saved_keeps_its_order_and_literals_are_read_as_in_tavern() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&bodies);
    let port = server(move |path, seen_now| {
        if path == "/back" {
            seen.lock().unwrap().push(seen_now.rsplit("\n\n").next().unwrap().to_owned());
        }
        let body =
            r#"{"list": [{"z": 1, "kind": "a", "b": {"y": 1, "x": 2}}, {"z": 2, "kind": "b"}]}"#;
        says("200", "Content-Type: application/json\r\n", body)
    });
    let saves =
        ", save: {json: {one: 'list[?kind==`a`] | [0]', two: 'list[?kind==`\"b\"`] | [0].z'}}";
    let back = "  - {name: b, request: {url: 'http://127.0.0.1:PORT/back', method: POST, json: {got: !force_format_include '{one}', n: !int '{two}'}}, response: {status_code: 200}}\n";
    let (code, out) = run("order", port, &(asks("/", "", saves) + back));
    assert_eq!(code, 0, "{out}");
    let bodies = bodies.lock().unwrap();
    let plain: String = bodies[0].split_whitespace().collect();
    assert!(plain.ends_with(r#"{"got":{"z":1,"kind":"a","b":{"y":1,"x":2}},"n":2}"#), "{bodies:?}");
}

#[test]
fn a_dry_run_tells_which_hosts_the_real_one_refuses() {
    let port = server(|_, _| says("200", "", ""));
    let text = asks("/", "", "")
        + "  - {name: b, request: {url: 'http://203.0.113.7/b'}, response: {status_code: 200}}\n"
        + "  - {name: c, request: {url: 'https://[2001:db8::1]:8443/'}, response: {status_code: 200}}\n";
    let file = file(&folder("refusal"), "t.tavern.yaml", &text, port);
    let (code, out, err) = smesec(&["taas", "run", "--dry-run", &file]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let would: Vec<&str> = out.lines().filter(|line| line.starts_with("would")).collect();
    let own = format!("would connect to 127.0.0.1:{port}");
    assert_eq!(
        would,
        [
            own.as_str(),
            "would not connect to 203.0.113.7:80: `203.0.113.7` is at the public address 203.0.113.7; allow it as a public host to send there (`--allow-public`)",
            "would not connect to [2001:db8::1]:8443: `2001:db8::1` is at the public address 2001:db8::1; allow it as a public host to send there (`--allow-public`)",
        ]
    );
    // The real run says the same, and sends nothing there.
    let (code, out, _) = smesec(&["taas", "run", &file]);
    assert!(code == 1 && out.contains("`203.0.113.7` is at the public address"), "{out}");
    let (code, out, _) = smesec(&["taas", "run", "--dry-run", "--allow-public", &file]);
    assert!(code == 0 && out.contains("would connect to 203.0.113.7:80\n"), "{out}");
    // A proxy alone sees where a name leads.
    let through = ["taas", "run", "--dry-run", "--proxy", "http://127.0.0.1:1", &file];
    std::fs::write(&file, asks("/", "", "").replace("127.0.0.1:PORT", "shop.example")).unwrap();
    let (code, out, _) = smesec(&through);
    let last = out.lines().last().unwrap();
    assert!(code == 0 && last.starts_with("would not connect to shop.example:80: "), "{out}");
    assert!(last.ends_with("(`--allow-public`)"), "{out}");
}

#[test]
fn what_a_stage_proves_itself_with_is_masked_wherever_it_is_echoed() {
    // All that comes back is what was sent: in words of its own, without a name before it.
    let port = server(|_, seen| {
        let words: Vec<&str> = seen.split([' ', '\r', '\n', ';', '=']).collect();
        says("404", "", &words.join(" ~ "))
    });
    let folder = folder("credentials");
    let report = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (html, junit, sarif) = (report("r.html"), report("r.xml"), report("r.sarif"));
    for (headers, secrets) in [
        ("{Authorization: 'Bearer zqT0kenValue77'}", &["zqT0kenValue77"][..]),
        ("{authorization: zqT0kenValue77}", &["zqT0kenValue77"]),
        ("{Authorization: 'Basic Ym9iOmh1bnRlcjIy'}", &["Ym9iOmh1bnRlcjIy", "hunter22"]),
        (
            "{X-Auth: abcSECRETabc, X-Access-Token: tok-88aa, otp: 918273, pin: 4711}",
            &["abcSECRETabc", "tok-88aa", "918273", "4711"],
        ),
        (
            "{X-Hub-Signature: s1gn4ture, Ocp-Apim-Subscription-Key: subkey99}",
            &["s1gn4ture", "subkey99"],
        ),
        ("{Cookie: 'lang=en; sid=c00kieValue'}", &["c00kieValue"]),
    ] {
        let echoed = secrets.join("+");
        let text =
            asks(&format!("/text?b=you+sent+{echoed}"), &format!(", headers: {headers}"), "");
        let test = file(&folder, "t.tavern.yaml", &text, port);
        let args = ["taas", "run", &test, "--html", &html, "--junit", &junit, "--sarif", &sarif];
        let (code, out, err) = smesec(&args);
        assert_eq!(code, 1, "{out}{err}");
        let (_, lines, _) = smesec(&["taas", "run", &test, "--json"]);
        let read = |path: &str| std::fs::read_to_string(path).unwrap();
        for text in [&out, &err, &lines, &read(&html), &read(&junit), &read(&sarif)] {
            for secret in secrets {
                assert!(!text.contains(secret), "{headers}: {text}");
            }
        }
        assert!(out.contains("[masked]"), "{out}");
    }
    // What says nothing of anybody stays readable.
    let (_, out) = run("plain", port, &asks("/true", ", headers: {X-Auth-Done: 'true'}", ""));
    assert!(out.contains("/true"), "{out}");
}

#[test]
fn a_name_before_an_escaped_quote_is_a_name() {
    let port = server(|_, _| says("404", "", r#"{"log":"{\"password\":\"hunter2secret\"}"}"#));
    let (code, out) = run("escaped", port, &asks("/", "", ""));
    assert!(code == 1 && out.contains("password") && !out.contains("hunter2"), "{out}");
}

#[test]
fn whole_numbers_stay_whole_both_ways() {
    let big = "18446744073709551617";
    let port = server(move |_, seen| {
        let body = seen.split("\r\n\n").nth(1).unwrap_or_default().to_owned();
        let fine = seen.contains(&format!("\"n\": {big},"));
        says(if fine { "200" } else { "400" }, "Content-Type: application/json\r\n", &body)
    });
    let request = format!(", method: POST, json: {{n: {big}, m: 9223372036854775808}}");
    for (expected, wanted) in [(big, 0), ("18446744073709551618", 1)] {
        let response = format!(", json: {{n: {expected}, m: 9223372036854775808}}");
        let (code, out) = run("big", port, &asks("/", &request, &response));
        assert_eq!(code, wanted, "{out}");
    }
}

#[test]
fn lists_in_any_order_are_paired_as_well_as_can_be() {
    let port = server(|_, _| {
        says("200", "Content-Type: application/json\r\n", r#"[{"a":1,"b":2},{"a":1},{"c":3}]"#)
    });
    let expect =
        |list: &str| asks("/", "", &format!(", strict: ['json:list_any_order'], json: {list}"));
    for (list, wanted) in [
        ("[!anything , {a: 1}, {a: 1, b: 2}]", 0),
        ("[{a: !anyint }, {a: 1, b: 2}]", 0),
        ("[{a: 1}, {a: 1}, {a: 1}]", 1),
    ] {
        let (code, out) = run("order", port, &expect(list));
        assert_eq!(code, wanted, "{list}: {out}");
    }
}

/// A test of stages that ask for their own names, and which of them did.
fn asked(name: &str, head: &str, stages: &[&str], finally: &[&str]) -> (Vec<String>, String) {
    let paths = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&paths);
    let port = server(move |path, _| {
        seen.lock().unwrap().push(path.trim_start_matches('/').to_owned());
        says("200", "", "")
    });
    let stage = |stage: &&str| {
        let (name, rest) = stage.split_once(' ').unwrap_or((stage, ""));
        format!(
            "  - {{name: {name}, {rest} request: {{url: 'http://127.0.0.1:PORT/{name}'}}, response: {{status_code: 200}}}}\n"
        )
    };
    let mut text = format!("test_name: t\n{head}stages:\n");
    text.extend(stages.iter().map(stage));
    if !finally.is_empty() {
        text.push_str("finally:\n");
        text.extend(finally.iter().map(stage));
    }
    let (_, out) = run(name, port, &text);
    let paths = paths.lock().unwrap().clone();
    (paths, out)
}

#[test]
fn the_first_stage_alone_ends_a_test_and_what_cleans_up_runs_whole() {
    let stages = ["a", "b only: true,", "c only: true,"];
    let finally = ["d skip: true,", "e only: true,", "f"];
    let (paths, out) = asked("only", "", &stages, &finally);
    assert_eq!(paths, ["b", "d", "e", "f"], "{out}");
    let (paths, out) = asked("only", "", &["a", "b only: true, skip: true,", "c only: true,"], &[]);
    assert_eq!(paths, ["c"], "{out}");
}

#[test]
fn a_stage_is_skipped_by_the_value_of_a_variable() {
    let head = "includes:\n  - {name: i, description: d, variables: {v: 5, user: {role: admin}}}\n";
    let stages = [
        "a skip: v == 5,",
        "b skip: v == 6,",
        "c skip: \"user.role == 'admin'\",",
        "d skip: 'yes',",
        "e skip: 'no',",
        "f skip: '{v} == 5',",
    ];
    let (paths, out) = asked("skip", head, &stages, &[]);
    assert_eq!(paths, ["b", "e"], "{out}");
    let (_, out) = asked("skip", head, &["a skip: w == 5,"], &[]);
    assert!(out.contains("`w` is not known"), "{out}");
}

#[test]
fn nothing_fits_where_nothing_is_expected() {
    let port = server(|_, _| says("200", "", ""));
    for (json, wanted) in [("{}", 0), ("[]", 0), ("{a: 1}", 1)] {
        let (code, out) = run("nothing", port, &asks("/", "", &format!(", json: {json}")));
        assert_eq!(code, wanted, "{json}: {out}");
    }
}
