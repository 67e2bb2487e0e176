//! Heads and bodies of requests, over HTTP/1 and HTTP/2.

use crate::harness::{Backend, Nginx, connect, read_answer, tool};
use crate::{RULES, body, module_or_return, server};
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

#[test]
fn heads_are_judged_and_told() {
    module_or_return!();
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
fn bodies_are_inspected_in_memory_in_files_and_across_pieces() {
    module_or_return!();
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
    module_or_return!();
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
    module_or_return!();
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
    module_or_return!();
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
    module_or_return!();
    if !tool("curl") {
        return;
    }
    let nginx = Nginx::start(
        "smesec on; smesec_rules rules.conf; client_max_body_size 1m; \
        server { listen 127.0.0.1:PORT http2; location / { return 200 hello; } }",
        &[("rules.conf", RULES.as_bytes())],
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
fn events_can_have_the_form_of_modsecurity() {
    module_or_return!();
    let nginx = server("location / { smesec_log audit.json modsecurity; return 200 hello; }");
    let request =
        b"GET /?q=evil HTTP/1.1\r\nHost: shop.example\r\nAuthorization: Basic aGVsbG8=\r\n\r\n";
    assert_eq!(nginx.ask(request).status, 403);
    let line = nginx.settled("audit.json", 1);
    let record: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
    let transaction = &record["transaction"];
    assert_eq!(transaction["messages"][0]["details"]["ruleId"], "1");
    assert_eq!(transaction["messages"][0]["message"], "evil in q");
    assert_eq!(transaction["request"]["uri"], "/?q=evil");
    assert_eq!(transaction["request"]["headers"]["Host"], "shop.example");
    assert!(!line.contains("aGVsbG8="), "{line}");
    assert_eq!(transaction["response"]["http_code"], 403);
    assert_eq!(transaction["producer"]["secrules_engine"], "Enabled");
    assert_eq!(nginx.file("events.json"), "");

    let nginx = server(
        "location / { smesec_log audit.json modsecurity; smesec_decoy /decoy; return 200 hello; } \
        location /decoy { return 200 decoy; }",
    );
    assert_eq!(nginx.get("/?q=evil"), (200, "decoy".to_owned()));
    let line = nginx.settled("audit.json", 1);
    assert!(line.contains("\"http_code\":200"), "what the client got: {line}");
}

#[test]
fn files_are_put_by_webdav() {
    module_or_return!();
    let nginx = server(
        "client_body_buffer_size 8k; location /dav/ { root ROOT; dav_methods PUT; create_full_put_path on; } \
        location /watched/ { smesec detect; root ROOT; dav_methods PUT; create_full_put_path on; }",
    );
    for place in ["dav", "watched"] {
        for size in [1, 100_000] {
            let body = "x".repeat(size);
            let request = format!(
                "PUT /{place}/{size}.bin HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\n\
                Content-Length: {size}\r\n\r\n{body}"
            );
            assert_eq!(nginx.ask(request.as_bytes()).status, 201, "{place} {size}");
            assert_eq!(nginx.file(&format!("html/{place}/{size}.bin")), body);
        }
    }
    let stopped = "PUT /dav/stopped HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
        Content-Length: 9\r\n\r\nnote=evil";
    assert_eq!(nginx.ask(stopped.as_bytes()).status, 406);
    assert_eq!(nginx.file("html/dav/stopped"), "");
    nginx.no_worker_died();
}

#[test]
fn what_matched_is_told_where_the_body_never_came() {
    module_or_return!();
    let nginx =
        server("client_body_timeout 300ms; location / { smesec detect; return 200 hello; }");
    let request =
        b"POST /?q=evil HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
        Content-Length: 100\r\n\r\nnote=";
    // nginx closes such a connection without a word.
    assert_eq!(nginx.ask(request).status, 0);
    assert!(nginx.settled("verdicts.log", 1).contains(" 408 log 0 1"));
    assert!(
        nginx.file("verdicts.log").trim_end().ends_with(" 1"),
        "{}",
        nginx.file("verdicts.log")
    );
}
