//! The nginx module in real nginx on real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test: a panic is the verdict, and a skipped run has to be seen"
)]

#[path = "nginx/harness.rs"]
mod harness;

use harness::{
    Answer, Backend, Nginx, ask, connect, module, post, read_answer, tool, with_sanitizer,
};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

/// Rules that the tests know by their words.
const RULES: &str = r#"
    SecRuleEngine On
    SecRequestBodyAccess On
    SecRequestBodyLimit 2097152
    SecRequestBodyNoFilesLimit 2097152
    SecResponseBodyAccess On
    SecResponseBodyMimeType text/html text/plain
    SecResponseBodyLimit 100000
    SecResponseBodyLimitAction ProcessPartial
    SecRule ARGS_GET:q "@contains evil" "id:1,phase:1,deny,status:403,msg:'evil in q'"
    SecRule ARGS_POST:note "@contains evil" "id:2,phase:2,deny,status:406,msg:'evil note'"
    SecRule RESPONSE_BODY "@contains secret" "id:3,phase:4,deny,status:502"
    SecRule ARGS_GET:next "@streq away" "id:4,phase:1,redirect:https://example.org/"
    SecRule ARGS_GET:q "@streq close" "id:5,phase:1,drop"
    SecRule RESPONSE_HEADERS:X-Leak "@contains yes" "id:6,phase:3,deny,status:500"
"#;

macro_rules! module_or_return {
    () => {
        match module() {
            Some(module) => module,
            None => return,
        }
    };
}

/// A server with the rules above and `rest` in it.
fn server(rest: &str) -> Nginx {
    Nginx::start(
        &format!(
            "smesec on; smesec_rules rules.conf; smesec_log events.json;\n\
         log_format verdicts '$request_uri $status $smesec_action $smesec_score $smesec_rules';\n\
         access_log verdicts.log verdicts;\n\
         server {{ listen 127.0.0.1:PORT; {rest} }}"
        ),
        &[("rules.conf", RULES)],
    )
}

#[test]
fn heads_are_judged_and_told() {
    let _ = module_or_return!();
    let nginx = server(
        "location / { return 200 hello; } location /off { smesec off; return 200 off; } \
        location /watch { smesec detect; return 200 watched; }",
    );
    assert_eq!(nginx.get("/?q=good"), (200, "hello".to_owned()));
    assert_eq!(nginx.get("/?q=evil").0, 403);
    assert_eq!(nginx.get("/off?q=evil"), (200, "off".to_owned()));
    assert_eq!(nginx.get("/watch?q=evil"), (200, "watched".to_owned()));
    let answer = nginx.ask(b"GET /?next=away HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("location"), Some("https://example.org/"));
    assert_eq!(nginx.get("/?q=close").0, 0, "closed without an answer");

    let events = nginx.settled("events.json", 4);
    assert_eq!(events.lines().count(), 4, "{events}");
    let event: serde_json::Value = serde_json::from_str(events.lines().next().unwrap()).unwrap();
    assert_eq!(event["findings"][0]["rule"]["id"], "1");
    assert!(event["src_endpoint"].as_str().unwrap().starts_with("127.0.0.1:"));
    let ids: std::collections::BTreeSet<_> =
        events.lines().map(|line| line[..45].to_owned()).collect();
    assert_eq!(ids.len(), 4, "each event has an id of its own");
    let told = nginx.file("verdicts.log");
    assert!(told.contains("/?q=good 200 pass 0 -\n"), "{told}");
    assert!(told.contains("/?q=evil 403 deny 0 1\n"), "{told}");
    assert!(told.contains("/off?q=evil 200 - - -\n"), "{told}");
    assert!(told.contains("/watch?q=evil 200 log 0 1\n"), "{told}");
    assert!(
        nginx
            .file("error.log")
            .contains("smesec: stopped, action deny, status 403, score 0, rules 1,")
    );
}

#[test]
fn errors_in_rules_are_told_by_nginx_t_with_file_and_line() {
    let _ = module_or_return!();
    let check = |http: &str, files: &[(&str, &str)]| Nginx::check(http, files);
    let on = "server { listen 127.0.0.1:PORT; location / { smesec on; } }";
    let (good, told) = check(
        &format!("smesec_rules bad.conf; {on}"),
        &[("bad.conf", "SecRuleEngine On\n\nSecRule ARGS \"@nonsense x\" \"id:1,phase:1\"\n")],
    );
    assert!(!good && told.contains("bad.conf:3:"), "{told}");
    let (good, told) = check(
        &format!("smesec_strict off; smesec_rules bad.conf; {on}"),
        &[("bad.conf", "SecRuleEngine On\n\nSecRule ARGS \"@nonsense x\" \"id:1,phase:1\"\n")],
    );
    assert!(good && told.contains("[warn]") && told.contains("bad.conf:3:"), "{told}");
    let (good, told) = check(&format!("smesec_rules_inline 'SecRule ARGS';\n{on}"), &[]);
    assert!(!good && told.contains("inline rules of ") && told.contains("nginx.conf:"), "{told}");
    let (good, told) = check(&format!("smesec_rules missing.conf; {on}"), &[]);
    assert!(!good && told.contains("missing.conf"), "{told}");
    let (good, told) = check(on, &[]);
    assert!(!good && told.contains("where no rules are"), "{told}");
    for (directive, says) in [
        ("smesec maybe;", "maybe"),
        ("smesec_paranoia 5;", "between 1 and 4"),
        ("smesec_exception rule=x;", "neither an id"),
        ("smesec_exception rule=9-3;", "neither an id"),
        ("smesec_exception until=soon;", "no day"),
        ("smesec_exception until=2999-01-01;", "between 1971 and 2200"),
        ("smesec_exception colour=red;", "colour=red"),
        ("smesec_decoy nowhere;", "named location"),
        ("smesec_zone small:4k;", "128k"),
        ("smesec_zone nothing;", "name and a size"),
        ("smesec_rules *.nothing;", "names no file"),
    ] {
        let (good, told) = check(&format!("{directive} server {{ listen 127.0.0.1:PORT; }}"), &[]);
        assert!(
            !good && told.contains(says) && told.contains("nginx.conf:"),
            "{directive}: {told}"
        );
    }
    let (good, told) = check(&format!("smesec_rules builtin; smesec_paranoia 2; {on}"), &[]);
    assert!(good, "{told}");
    let (good, told) = check(
        &format!("smesec_rules part-*.conf; {on}"),
        &[
            ("part-1.conf", "SecRuleEngine On\n"),
            ("part-2.conf", "SecRule ARGS \"@nonsense\" \"id:1,phase:1\"\n"),
        ],
    );
    assert!(!good && told.contains("part-2.conf:1:"), "{told}");
}

#[test]
fn the_configuration_of_the_page_loads() {
    let _ = module_or_return!();
    let page = include_str!("../examples/nginx/README.md");
    let block = page.split_once("```nginx\n").unwrap().1.split_once("```").unwrap().0;
    let http = block.split_once("http {\n").unwrap().1.rsplit_once('}').unwrap().0;
    let http = http.replace("/var/log/nginx/", "").replace("listen 80", "listen 127.0.0.1:PORT");
    let (good, told) = Nginx::check(&http, &[]);
    assert!(good, "{told}");
}

/// A body of `len` bytes with the attack at `at`.
fn body(len: usize, at: usize) -> Vec<u8> {
    let mut body = b"note=".to_vec();
    body.resize(len, b'x');
    body[at..at + 4].copy_from_slice(b"evil");
    body
}

#[test]
fn bodies_are_inspected_in_memory_in_files_and_across_pieces() {
    let _ = module_or_return!();
    for pool in ["", "smesec_thread_pool off;", "smesec_thread_pool default 1;"] {
        let nginx = server(&format!(
            "{pool} client_max_body_size 1m; client_body_buffer_size 16k; \
            location / {{ return 200 hello; }} \
            location /memory {{ client_body_buffer_size 1m; return 200 hello; }}"
        ));
        for path in ["/file", "/memory"] {
            let mut harmless = body(300_000, 100);
            harmless[100..104].copy_from_slice(b"good");
            assert_eq!(nginx.post(path, &harmless).0, 200, "{pool}{path}");
            // Around the borders of what nginx reads, of its buffer, and of the module's own pieces.
            for at in [5, 1_022, 16_381, 16_382, 16_383, 32_766, 65_534, 131_070, 163_838, 299_996]
            {
                assert_eq!(nginx.post(path, &body(300_000, at)).0, 406, "{pool}{path} at {at}");
            }
        }
        assert_eq!(nginx.post("/small", b"note=evil").0, 406);
        assert_eq!(nginx.post("/small", b"note=good").0, 200);
        assert_eq!(nginx.post("/empty", b"").0, 200);
        assert_eq!(
            nginx.post("/large", &body(1_200_000, 7)).0,
            413,
            "nginx's own limit still holds"
        );
        nginx.no_worker_died();
    }
}

#[test]
fn the_upstream_gets_the_whole_body_after_the_inspection() {
    let _ = module_or_return!();
    let backend = Backend::start(|request, stream| {
        let sum: u64 = request.body.iter().map(|b| u64::from(*b)).sum();
        let text = format!("{} bytes, sum {sum}", request.body.len());
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    });
    let nginx = server(&format!(
        "client_max_body_size 2m; location / {{ proxy_pass http://127.0.0.1:{}; }} \
        location /stream {{ proxy_request_buffering off; proxy_pass http://127.0.0.1:{}; }}",
        backend.port, backend.port
    ));
    for path in ["/", "/stream"] {
        for len in [10, 20_000, 300_000, 1_000_000] {
            let mut sent = b"note=".to_vec();
            sent.extend((0..len).map(|n| b'a' + u8::try_from(n % 26).unwrap()));
            let sum: u64 = sent.iter().map(|b| u64::from(*b)).sum();
            assert_eq!(nginx.post(path, &sent), (200, format!("{} bytes, sum {sum}", sent.len())));
        }
    }
}

#[test]
fn chunked_bodies_and_kept_connections() {
    let _ = module_or_return!();
    let nginx = server("location / { return 200 hello; }");
    let chunked = |pieces: &[&str]| {
        let mut text = String::from(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
            Transfer-Encoding: chunked\r\n\r\n",
        );
        for piece in pieces {
            let _ = write!(text, "{:x}\r\n{piece}\r\n", piece.len());
        }
        text + "0\r\n\r\n"
    };
    assert_eq!(nginx.ask(chunked(&["note=ev", "il"]).as_bytes()).status, 406);
    assert_eq!(nginx.ask(chunked(&["note=go", "od"]).as_bytes()).status, 200);
    assert_eq!(nginx.ask(chunked(&[]).as_bytes()).status, 200);

    // One connection, many requests: each has a transaction of its own.
    let mut stream = connect(nginx.port);
    for n in 0..50 {
        let word = if n % 3 == 0 { "evil" } else { "good" };
        write!(stream, "GET /?q={word} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let answer = read_answer(&mut stream);
        assert_eq!(answer.status, if n % 3 == 0 { 403 } else { 200 });
    }
    // And pipelined, a body between them.
    let mut stream = connect(nginx.port);
    let text = chunked(&["note=good"])
        + "GET /?q=evil HTTP/1.1\r\nHost: a\r\n\r\n"
        + "GET /?q=ok HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(text.as_bytes()).unwrap();
    let got: Vec<u16> = (0..3).map(|_| read_answer(&mut stream).status).collect();
    assert_eq!(got, [200, 403, 200]);
}

#[test]
fn a_client_that_leaves_takes_nothing_with_it() {
    let _ = module_or_return!();
    let nginx = server(
        "client_body_buffer_size 8k; client_max_body_size 2m; location / { return 200 hello; }",
    );
    for sent in [0, 10, 9_000, 200_000, 400_000] {
        let mut stream = connect(nginx.port);
        let head = "POST /gone HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 400000\r\n\r\n";
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&body(400_000, 399_000)[..sent]);
        drop(stream);
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(nginx.get("/"), (200, "hello".to_owned()));
    nginx.no_worker_died();
}

#[test]
fn http_2_is_judged_alike() {
    let _ = module_or_return!();
    if !tool("curl") {
        return;
    }
    let nginx = Nginx::start(
        "smesec on; smesec_rules rules.conf; client_max_body_size 1m; \
        server { listen 127.0.0.1:PORT http2; location / { return 200 hello; } }",
        &[("rules.conf", RULES)],
    );
    assert_eq!(nginx.curl(&["--http2-prior-knowledge"], "/?q=good"), "200");
    assert_eq!(nginx.curl(&["--http2-prior-knowledge"], "/?q=evil"), "403");
    for (name, at, want) in [("a", 16_382, "406"), ("b", 299_000, "406"), ("c", 0, "200")] {
        let mut sent = body(300_000, at.max(5));
        if at == 0 {
            sent[5..9].copy_from_slice(b"good");
        }
        let path = nginx.write(name, &sent);
        let data = format!("@{}", path.display());
        assert_eq!(
            nginx.curl(&["--http2-prior-knowledge", "--data-binary", &data], "/"),
            want,
            "at {at}"
        );
        let data = ["--http2-prior-knowledge", "-H", "Content-Length:", "--data-binary", &data];
        assert_eq!(nginx.curl(&data, "/"), want, "without a length, at {at}");
    }
    // Clients that leave in the midst of an upload, while the pool may have it.
    let path = nginx.write("d", &body(900_000, 899_000));
    let data = format!("@{}", path.display());
    for n in 1..30 {
        let seconds = format!("0.{:03}", n * 2);
        nginx.curl(
            &["--http2-prior-knowledge", "--max-time", &seconds, "--data-binary", &data],
            "/",
        );
    }
    assert_eq!(nginx.curl(&["--http2-prior-knowledge"], "/?q=good"), "200");
    nginx.no_worker_died();
}

#[test]
fn internal_redirects_keep_their_transaction() {
    let _ = module_or_return!();
    let nginx = server(
        "root ROOT; error_page 404 /fallback; error_page 403 /blocked.html; \
        location = /fallback { return 200 fallback; } \
        location = /blocked.html { internal; } \
        location /named { try_files /none @named; } location @named { return 200 named; } \
        location /rewritten { rewrite ^ /target last; } location /target { return 200 target; } \
        location /unguarded { smesec off; rewrite ^ /target last; } \
        location / { index index.html; }",
    );
    nginx.write("html/index.html", b"the index");
    nginx.write("html/blocked.html", b"our own page");
    assert_eq!(nginx.get("/"), (200, "the index".to_owned()));
    assert_eq!(nginx.get("/nothing"), (404, "fallback".to_owned()));
    assert_eq!(nginx.get("/?q=evil"), (403, "our own page".to_owned()));
    assert_eq!(nginx.get("/named"), (200, "named".to_owned()));
    assert_eq!(nginx.get("/named?q=evil").0, 403);
    assert_eq!(nginx.get("/rewritten"), (200, "target".to_owned()));
    assert_eq!(nginx.get("/unguarded?q=evil").0, 403, "the second location is guarded");
    let events = nginx.settled("events.json", 3);
    assert_eq!(events.lines().count(), 3, "one event for each that was stopped: {events}");
}

#[test]
fn error_pages_answer_at_once_and_lead_past_nothing() {
    let _ = module_or_return!();
    let backend = Backend::start(|request, stream| {
        let text = format!("app {}", request.body.len());
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    });
    let nginx = server(&format!(
        "root ROOT; client_max_body_size 20k; client_body_timeout 1s; client_body_buffer_size 1k; \
        error_page 400 408 413 /sorry; location = /sorry {{ return 200 sorry; }} location / {{ return 200 hello; }} \
        location /page {{ smesec off; error_page 404 = @app; }} location /file.html {{ smesec off; }} \
        location @app {{ proxy_pass http://127.0.0.1:{}; }}",
        backend.port
    ));
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let began = Instant::now();
    let large = format!("{head}Transfer-Encoding: chunked\r\n\r\n8000\r\n{}", "x".repeat(0x8000));
    assert_eq!(nginx.ask(large.as_bytes()).status, 413);
    let broken = format!("{head}Transfer-Encoding: chunked\r\n\r\n4\r\nnote\r\nzz\r\n");
    assert_eq!(nginx.ask(broken.as_bytes()).status, 400);
    let attack = format!("{head}Transfer-Encoding: chunked\r\n\r\n9\r\nnote=evil\r\nzz\r\n");
    let status = nginx.ask(attack.as_bytes()).status;
    assert!(status == 400 || status == 406, "{status}");
    let late = format!("{head}Content-Length: 100\r\n\r\nnote=");
    let status = nginx.ask(late.as_bytes()).status;
    assert!(status == 408 || status == 0, "{status}");
    assert_eq!(nginx.ask(b"GARBAGE\r\n\r\n").status, 400);
    assert_eq!(nginx.post("/", &vec![b'x'; 30_000]).0, 413);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    // A location that is not guarded leads to one that is.
    assert_eq!(nginx.get("/page"), (200, "app 0".to_owned()));
    assert_eq!(nginx.get("/page?q=evil").0, 403);
    nginx.no_worker_died();
}

#[test]
fn a_websocket_is_untouched_after_its_handshake() {
    let _ = module_or_return!();
    let backend = Backend::start(|_, stream| {
        let _ = stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        let mut piece = [0; 64];
        while let Ok(n @ 1..) = stream.read(&mut piece) {
            let _ = stream.write_all(&piece[..n]);
        }
    });
    let nginx = server(&format!(
        "location / {{ proxy_pass http://127.0.0.1:{}; proxy_http_version 1.1; \
        proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}",
        backend.port
    ));
    let upgrade = |target: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
    };
    assert_eq!(nginx.ask(upgrade("/?q=evil").as_bytes()).status, 403);
    let mut stream = connect(nginx.port);
    stream.write_all(upgrade("/").as_bytes()).unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        got.push(byte[0]);
    }
    assert!(got.starts_with(b"HTTP/1.1 101"));
    for word in ["evil", "secret", "anything"] {
        stream.write_all(word.as_bytes()).unwrap();
        let mut echo = vec![0; word.len()];
        stream.read_exact(&mut echo).unwrap();
        assert_eq!(echo, word.as_bytes());
    }
}

#[test]
fn subrequests_are_nginx_own() {
    let _ = module_or_return!();
    let nginx = server(
        "root ROOT; location / { ssi on; index page.html; } \
        location /part { return 200 'part with evil'; } \
        location /checked { auth_request /auth; return 200 'never'; } \
        location /checked-file { auth_request /auth; alias ROOT/page.html; } \
        location = /auth { internal; return 204; } \
        location /mirrored { mirror /auth; alias ROOT/page.html; }",
    );
    nginx.write("html/page.html", b"<!--# include virtual=\"/part?q=evil\" -->!");
    assert_eq!(nginx.get("/page.html"), (200, "part with evil!".to_owned()));
    assert_eq!(nginx.get("/page.html?q=evil").0, 403);
    assert_eq!(nginx.get("/checked-file").0, 200);
    assert_eq!(nginx.get("/checked-file?q=evil").0, 403);
    assert_eq!(
        nginx.post("/mirrored", b"note=good").0,
        405,
        "nginx's own answer to POST on a file"
    );
    assert_eq!(nginx.post("/mirrored", b"note=evil").0, 406);
    assert_eq!(nginx.get("/mirrored").0, 200);
    nginx.no_worker_died();
}

#[test]
fn a_block_leads_to_the_decoy_where_there_is_one() {
    let _ = module_or_return!();
    let backend = Backend::start(|request, stream| {
        let text = format!("bait {} {}", request.method, request.body.len());
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    });
    let nginx = server(&format!(
        "smesec_decoy @bait; location @bait {{ proxy_pass http://127.0.0.1:{}; }} \
        location / {{ return 200 real; }} \
        location /uri {{ smesec_decoy /trap?x=1; return 200 real; }} location /trap {{ return 200 'trap $args'; }} \
        location /plain {{ smesec_decoy off; return 200 real; }}",
        backend.port
    ));
    assert_eq!(nginx.get("/?q=good"), (200, "real".to_owned()));
    assert_eq!(nginx.get("/?q=evil"), (200, "bait GET 0".to_owned()));
    assert_eq!(nginx.post("/", b"note=evil"), (200, "bait POST 9".to_owned()));
    assert_eq!(nginx.post("/", &body(300_000, 200_000)), (200, "bait POST 300000".to_owned()));
    assert_eq!(nginx.get("/uri?q=evil"), (200, "trap x=1".to_owned()));
    assert_eq!(nginx.get("/plain?q=evil").0, 403);
    assert_eq!(nginx.get("/?next=away").0, 302, "a rule's redirect stays one");
    nginx.no_worker_died();
}

#[test]
fn exceptions_hold_for_their_place_and_time() {
    let _ = module_or_return!();
    let nginx = server(
        "location / { return 200 hello; } \
        location /forum { smesec_exception rule=1 target=ARGS_GET:q path=/forum/post until=2199-01-01 'reason=people quote'; \
          return 200 forum; location /forum/inner { smesec_exception rule=2-3; return 200 inner; } } \
        location /past { smesec_exception rule=1 until=2020-01-01; return 200 past; } \
        location /other { smesec_exception rule=2; return 200 other; }",
    );
    assert_eq!(nginx.get("/forum/post?q=evil").0, 200);
    assert_eq!(nginx.get("/forum?q=evil").0, 403);
    assert_eq!(nginx.get("/past?q=evil").0, 403);
    assert_eq!(nginx.get("/other?q=evil").0, 403);
    assert_eq!(nginx.post("/other", b"note=evil").0, 200);
    assert_eq!(nginx.post("/forum/inner", b"note=evil").0, 200);
    assert_eq!(nginx.get("/forum/inner?q=evil").0, 403, "the outer one is for another path");
}

#[test]
fn rules_are_merged_from_the_outside_in() {
    let _ = module_or_return!();
    let nginx = server(
        "location / { return 200 hello; } \
        location /more { smesec_rules_inline 'SecRule ARGS_GET:p \"@streq wrong\" \"id:20,phase:1,deny,status:409\"'; return 200 more; \
          location /more/yet { smesec_rules_inline 'SecRuleRemoveById 1'; return 200 yet; } } \
        location /own { smesec rules; smesec_rules_inline 'SecRuleEngine DetectionOnly'; return 200 own; }",
    );
    assert_eq!(nginx.get("/?p=wrong").0, 200);
    assert_eq!(nginx.get("/more?p=wrong").0, 409);
    assert_eq!(nginx.get("/more?q=evil").0, 403);
    assert_eq!(nginx.get("/more/yet?q=evil").0, 200);
    assert_eq!(nginx.get("/more/yet?p=wrong").0, 409);
    assert_eq!(nginx.get("/own?q=evil").0, 200, "as SecRuleEngine says");
}

#[test]
fn responses_are_held_until_their_verdict() {
    let _ = module_or_return!();
    let backend = Backend::start(|request, stream| {
        let chunk = |stream: &mut std::net::TcpStream, text: &str| {
            let _ = write!(stream, "{:x}\r\n{text}\r\n", text.len());
            std::thread::sleep(Duration::from_millis(30));
        };
        let head = |stream: &mut std::net::TcpStream, more: &str| {
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n{more}\r\n"
            );
        };
        match request.target.as_str() {
            "/split" => {
                head(stream, "");
                chunk(stream, "<p>the sec");
                chunk(stream, "ret</p>");
            }
            "/early" => {
                head(stream, "");
                chunk(stream, "secret");
                for _ in 0..30 {
                    let _ = write!(stream, "{:x}\r\n{}\r\n", 10_000, "y".repeat(10_000));
                }
            }
            "/long" | "/late" => {
                head(stream, "");
                for _ in 0..30 {
                    let _ = write!(stream, "{:x}\r\n{}\r\n", 10_000, "y".repeat(10_000));
                }
                chunk(stream, if request.target == "/late" { "secret" } else { "end" });
            }
            "/leak" => head(stream, "X-Leak: yes\r\n"),
            _ => {
                head(stream, "");
                chunk(stream, "<p>all ");
                chunk(stream, "well</p>");
            }
        }
        let _ = stream.write_all(b"0\r\n\r\n");
    });
    for more in [
        "",
        "gzip on; gzip_types *; gzip_min_length 1;",
        "proxy_buffering off;",
        "smesec_thread_pool off;",
        "smesec_thread_pool default 1;",
        "smesec_thread_pool default 1; proxy_buffering off;",
        "smesec_thread_pool default 1; proxy_buffers 4 4k; proxy_busy_buffers_size 8k; proxy_max_temp_file_size 0;",
        "error_page 502 /sorry;",
    ] {
        let nginx = server(&format!(
            "{more} location / {{ proxy_pass http://127.0.0.1:{}; proxy_http_version 1.1; }} \
            location /watched/ {{ smesec detect; proxy_pass http://127.0.0.1:{}/; }} \
            location /static {{ root ROOT; default_type text/html; }} location /sorry {{ return 200 sorry; }}",
            backend.port, backend.port
        ));
        assert_eq!(nginx.get("/well"), (200, "<p>all well</p>".to_owned()), "{more}");
        let (status, text) = nginx.get("/split");
        assert!(status == 502 && !text.contains("the sec"), "{more}: {status} {text}");
        assert_eq!(nginx.get("/leak").0, 500);
        let (status, text) = nginx.get("/long");
        assert!(
            status == 200 && text.len() == 300_003 && text.ends_with("yend"),
            "{status} {}",
            text.len()
        );
        assert_eq!(nginx.get("/late").0, 200, "beyond the limit: ProcessPartial");
        let (status, text) = nginx.get("/early");
        assert!(status == 502 && text.len() < 1_000, "{more}: {status} {}", text.len());
        assert_eq!(nginx.get("/watched/split"), (200, "<p>the secret</p>".to_owned()));
        // A static file, which nginx would send without looking at it.
        nginx.write("html/static/good.html", "good ".repeat(10_000).as_bytes());
        nginx.write("html/static/bad.html", ("bad ".repeat(10_000) + "secret").as_bytes());
        assert_eq!(nginx.get("/static/good.html").1.len(), 50_000);
        let (status, text) = nginx.get("/static/bad.html");
        assert!(status == 502 && !text.contains("bad bad"), "{status}");
        assert_eq!(nginx.ask(b"HEAD /static/good.html HTTP/1.0\r\nHost: a\r\n\r\n").status, 200);
        assert_eq!(nginx.get("/static/none.html").0, 404);
        let compressed =
            nginx.ask(b"GET /well HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        assert_eq!(compressed.header("content-encoding").is_some(), more.starts_with("gzip"));
        nginx.no_worker_died();
    }
}

#[test]
fn what_is_not_held_streams() {
    let _ = module_or_return!();
    let backend = Backend::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nfirst");
        std::thread::sleep(Duration::from_secs(2));
        let _ = stream.write_all(b"second");
    });
    let nginx = server(&format!(
        "smesec detect; proxy_buffering off; location / {{ proxy_pass http://127.0.0.1:{}; }}",
        backend.port
    ));
    let began = Instant::now();
    let mut stream = connect(nginx.port);
    stream.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
    let mut got = Vec::new();
    let mut piece = [0; 4096];
    while !String::from_utf8_lossy(&got).contains("first") {
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0);
        got.extend_from_slice(&piece[..n]);
    }
    assert!(
        began.elapsed() < Duration::from_millis(1_500),
        "the first piece waited for the second"
    );
    stream.read_to_end(&mut got).unwrap();
    assert!(String::from_utf8_lossy(&got).ends_with("firstsecond"));
}

#[test]
fn four_workers_count_one_visitor_once() {
    let _ = module_or_return!();
    let count = "SecRuleEngine On\n\
        SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1\"\n\
        SecRule IP:n \"@gt 100\" \"id:2,phase:1,deny,status:429\"\n";
    let http = "smesec on; smesec_zone smesec:1m; smesec_rules count.conf; \
        server { listen 127.0.0.1:PORT reuseport; location / { return 200 $pid; } }";
    let nginx = Nginx::start_with(4, http, &[("count.conf", count)]);
    let mut workers = std::collections::BTreeSet::new();
    let mut passed = 0;
    for _ in 0..160 {
        let (status, pid) = nginx.get("/");
        if status == 200 {
            passed += 1;
            workers.insert(pid);
        }
    }
    assert!(workers.len() > 1, "one worker served all: {workers:?}");
    assert_eq!(passed, 100);
    nginx.reload();
    assert_eq!(nginx.get("/").0, 429, "the counter outlives a reload");
    nginx.kill_a_worker();
    for _ in 0..20 {
        assert_eq!(nginx.get("/").0, 429, "and a worker that was killed");
    }
}

#[test]
fn a_reload_with_broken_rules_changes_nothing_and_a_reopen_moves_the_log() {
    let _ = module_or_return!();
    let nginx = server("location / { return 200 hello; }");
    nginx.write("rules.conf", b"SecRule ARGS \"@nonsense x\" \"id:1,phase:1\"\n");
    for _ in 0..3 {
        nginx.signal("reload");
    }
    let log = nginx.settled("error.log", 3);
    assert!(log.contains("rules.conf:1:"), "{log}");
    assert_eq!(nginx.get("/?q=evil").0, 403, "the old rules are in force");
    nginx.write("rules.conf", (RULES.to_owned() + "SecRuleRemoveById 1\n").as_bytes());
    nginx.reload();
    assert_eq!(nginx.get("/?q=evil").0, 200, "the new ones are");

    assert_eq!(nginx.post("/", b"note=evil").0, 406);
    let before = nginx.settled("events.json", 2);
    assert_eq!(before.lines().count(), 2, "{before}");
    nginx.rename("events.json", "events.1");
    nginx.signal("reopen");
    nginx.settled("events.json", 0);
    assert_eq!(nginx.post("/", b"note=evil").0, 406);
    assert_eq!(nginx.settled("events.json", 1).lines().count(), 1);
    assert_eq!(nginx.file("events.1"), before);
}

#[test]
fn reloads_under_load_lose_nothing_and_leak_nothing() {
    let _ = module_or_return!();
    let nginx = server("location / { return 200 hello; }");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut right, mut wrong) = (0_u32, Vec::new());
    let sizes = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let (mut right, mut wrong) = (0_u32, Vec::new());
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for (answer, want) in [
                    (ask(nginx.port, b"GET /?q=good HTTP/1.0\r\nHost: a\r\n\r\n"), 200),
                    (ask(nginx.port, b"GET /?q=evil HTTP/1.0\r\nHost: a\r\n\r\n"), 403),
                    (post(nginx.port, "/", &body(100_000, 90_000)), 406),
                ] {
                    if answer.status == want {
                        right += 1;
                    } else {
                        wrong.push((answer.status, want));
                    }
                }
            }
            (right, wrong)
        });
        let mut sizes = Vec::new();
        for n in 0..40 {
            nginx.reload();
            if n % 10 == 9 {
                sizes.push(nginx.master_kilobytes());
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        (right, wrong) = load.join().unwrap();
        sizes
    });
    assert!(wrong.is_empty() && right > 100, "{right} right, {wrong:?}");
    // The sanitizer keeps what was freed for a while.
    assert!(with_sanitizer() || sizes[3] < sizes[0] + 1_000, "the master grows: {sizes:?} kB");
    nginx.no_worker_died();
}

/// A small generator, so that a run can be repeated.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n).unwrap()).unwrap()
    }
}

#[test]
fn no_worker_dies_of_raw_requests() {
    let _ = module_or_return!();
    let nginx = Nginx::start(
        "smesec on; smesec_rules builtin; smesec_log events.json; client_body_buffer_size 1k; default_type text/html; \
        smesec_rules_inline 'SecResponseBodyAccess On\nSecResponseBodyMimeType text/html text/plain\nSecRule RESPONSE_BODY \"@contains secret\" \"id:1,phase:4,deny\"'; \
        client_max_body_size 1m; client_header_timeout 2s; client_body_timeout 2s; smesec_thread_pool default 2k; \
        server { listen 127.0.0.1:PORT; location / { return 200 hello; } \
          location /decoy { smesec_decoy @bait; return 200 real; } location @bait { return 200 bait; } \
          location /page { smesec_thread_pool default 1; error_page 400 403 404 405 413 /index.html; root ROOT; } }",
        &[],
    );
    nginx.write("html/index.html", b"index");
    nginx.write("html/page/big.html", "page ".repeat(60_000).as_bytes());
    nginx.write("html/page/bad.html", ("page ".repeat(20_000) + "secret").as_bytes());
    let seeds: &[&[u8]] = &[
        b"GET /?q=1'+union+select+2-- HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=<script>\r\n\r\n",
        b"POST /decoy HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 20\r\n\r\nq=1'+or+1=1--&a=%00b",
        b"POST /page HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 90\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"../a.php\"\r\n\r\n<?php\r\n--b--\r\n12345678",
        b"POST /page/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n9\r\n{\"a\":[1,2\r\n3\r\n,3]\r\n1\r\n}\r\n0\r\n\r\n",
        b"PROPFIND /page/%2e%2e/%c0%af HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1,3-4\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /page/big.html HTTP/1.1\r\nHost: a\r\n\r\nGET /page/bad.html HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a/page/../x?a[]=1&a=2 HTTP/1.0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    ];
    let mut numbers = Numbers(0x5eed_0f12_3456_789a);
    let seconds =
        std::env::var("SMESEC_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut sent = 0;
    while Instant::now() < until {
        let mut request = seeds[numbers.below(seeds.len())].to_vec();
        for _ in 0..numbers.below(6) {
            let at = numbers.below(request.len());
            match numbers.below(5) {
                0 => request[at] = u8::try_from(numbers.below(256)).unwrap(),
                1 => request.truncate(at.max(1)),
                2 => request.insert(at, b"\r\n\0%<'\"&=;:"[numbers.below(11)]),
                3 => {
                    let piece = request[at..].to_vec();
                    request.extend_from_slice(&piece);
                }
                _ => {
                    let filler = vec![b'a'; numbers.below(20_000)];
                    request.splice(at..at, filler);
                }
            }
        }
        let mut stream = connect(nginx.port);
        stream.set_read_timeout(Some(Duration::from_millis(3))).unwrap();
        let cut = numbers.below(request.len() + 1);
        let _ = stream.write_all(&request[..cut]);
        let _ = stream.write_all(&request[cut..]);
        let _ = stream.read(&mut [0; 512]);
        sent += 1;
    }
    println!("{sent} requests");
    assert!(sent > 300, "{sent}");
    nginx.no_worker_died();
    assert_eq!(nginx.get("/").0, 200);
}

#[test]
fn a_long_inspection_does_not_hold_up_the_others() {
    let _ = module_or_return!();
    // Many rules over a long value: some hundreds of milliseconds for one body.
    let mut rules = String::from(
        "SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit 8000000\n\
        SecRequestBodyNoFilesLimit 8000000\n",
    );
    for n in 1..=60 {
        let _ = writeln!(
            rules,
            "SecRule ARGS_POST \"@rx (?i)[a-z]+{n}x[0-9]+y\" \"id:{n},phase:2,deny,t:urlDecodeUni,t:lowercase\""
        );
    }
    let http = "smesec on; smesec_rules slow.conf; client_max_body_size 8m; \
        server { listen 127.0.0.1:PORT; location / { return 200 hello; } }";
    let nginx = Nginx::start(http, &[("slow.conf", &rules)]);
    let body = format!("note={}", "ab1c2d3e".repeat(500_000));
    let (long, worst) = std::thread::scope(|scope| {
        let long = scope.spawn(|| {
            let began = Instant::now();
            let answer: Answer = post(nginx.port, "/", body.as_bytes());
            (answer.status, began.elapsed())
        });
        let mut worst = Duration::ZERO;
        while !long.is_finished() {
            let began = Instant::now();
            assert_eq!(nginx.get("/?q=quick").0, 200);
            worst = worst.max(began.elapsed());
        }
        (long.join().unwrap(), worst)
    });
    println!("the long one took {:?}, the slowest beside it {worst:?}", long.1);
    assert_eq!(long.0, 200);
    assert!(worst < long.1 / 3 + Duration::from_millis(100), "{worst:?} beside {:?}", long.1);
}
