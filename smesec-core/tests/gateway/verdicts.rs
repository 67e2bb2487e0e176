//! Who is stopped, who passes, and that what passes is not changed.

use crate::stage::{Answer, HEAD, Stage, echo, page, site, upstream};
use std::io::{BufReader, Write};

fn post(kind: &str, body: &str) -> String {
    format!(
        "POST /form HTTP/1.1\r\n{HEAD}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn attacks_are_stopped_wherever_they_stand() {
    let stage = Stage::before(echo());
    let form = "application/x-www-form-urlencoded";
    for (what, request) in [
        ("query", format!("GET /?q=%3Cscript%3Ealert(1)%3C/script%3E HTTP/1.1\r\n{HEAD}\r\n")),
        ("form", post(form, "name=x'+UNION+SELECT+password+FROM+users--")),
        ("json", post("application/json", r#"{"a":{"b":"<script>alert(1)</script>"}}"#)),
        ("path", format!("GET /a/..%2f..%2f..%2fetc/passwd HTTP/1.1\r\n{HEAD}\r\n")),
        ("header", format!("GET / HTTP/1.1\r\n{HEAD}X-Api: ${{jndi:ldap://x/a}}\r\n\r\n")),
    ] {
        let answer = stage.send(request);
        assert_eq!(answer.status, 403, "{what}: {answer:?}");
        let event = stage.event(|event| event.extra["incident"] == answer.incident().as_str());
        assert!(!event.findings.is_empty(), "{what}");
        assert_eq!(event.extra["host"], "shop.example");
        assert_eq!(event.extra["site"], "*");
    }
    for (what, request) in [
        ("form", post(form, "name=Ann+O%27Neill&text=select+one+from+the+list")),
        ("json", post("application/json", r#"{"a":{"b":"1 < 2"}}"#)),
        ("search", format!("GET /?q=rock+%26+roll HTTP/1.1\r\n{HEAD}\r\n")),
    ] {
        let answer = stage.send(request);
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
    }
    assert!(stage.end());
}

#[test]
fn a_client_that_asks_for_json_is_told_in_json() {
    let stage = Stage::before(echo());
    let answer = stage.send("GET /?q=%3Cscript%3E HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\nAccept: application/json\r\nConnection: close\r\n\r\n");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (403, Some("application/problem+json"))
    );
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let event = stage.event(|event| event.extra["incident"] == told["incident"]);
    assert_eq!(told["status"], 403);
    assert!(!answer.text().contains("script"), "nothing of the request is repeated");
    assert!(event.findings.iter().any(|finding| finding.part.contains("ARGS")), "{event:?}");
}

#[test]
fn what_passes_is_not_changed() {
    let stage = Stage::before(echo());
    let body = "a=1&b=%20%2b&c=\u{fc}";
    let answer = stage.send(format!(
        "POST /a%20b/c?d=%41&e HTTP/1.1\r\n{HEAD}Content-Type: application/x-www-form-urlencoded\r\nX-Own: a, b\r\nX-Own: c\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let text = answer.text();
    assert!(text.starts_with("POST /a%20b/c?d=%41&e HTTP/1.1\r\n"), "{text}");
    assert!(text.contains("\r\nx-own: a, b\r\nx-own: c\r\n"), "{text}");
    assert!(text.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{text}");
    assert!(text.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{text}");
    assert!(text.contains("\r\nx-forwarded-proto: http\r\n"), "{text}");
    assert!(!text.to_lowercase().contains("connection: close"), "that was for us: {text}");
    assert!(text.ends_with(body), "{text}");
    assert_eq!((answer.status, answer.header("x-upstream")), (200, Some("yes")));
}

#[test]
fn answers_of_every_kind_come_back_as_they_are() {
    let at = upstream(|head, _| {
        match head.split(' ').nth(1).unwrap() {
        "/204" => b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_vec(),
        "/302" => page(302, "Location: http://shop.example/b?c=d#e\r\n", b"moved"),
        "/404" => page(404, "Content-Type: text/html\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n", b"<h1>no</h1>"),
        "/418" => page(418, "", b""),
        "/head" => b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1234\r\n\r\n".to_vec(),
        "/chunks" => b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n".to_vec(),
        other => page(500, "", other.as_bytes()),
    }
    });
    let stage = Stage::before(at);
    assert_eq!(stage.get("/204").header("x-a"), Some("b"));
    assert_eq!(
        (stage.get("/304").status, stage.get("/304").header("etag").map(str::to_owned)),
        (304, Some("\"a\"".to_owned()))
    );
    let moved = stage.get("/302");
    assert_eq!(
        (moved.header("location"), moved.text().as_str()),
        (Some("http://shop.example/b?c=d#e"), "moved")
    );
    let missing = stage.get("/404");
    assert_eq!((missing.status, missing.text().as_str()), (404, "<h1>no</h1>"));
    assert_eq!(missing.head.matches("set-cookie").count(), 2);
    assert_eq!(stage.get("/418").status, 418);
    assert_eq!(stage.get("/chunks").text(), "abcdefg");
    let mut stream = stage.connect();
    write!(stream, "HEAD /head HTTP/1.1\r\n{HEAD}\r\n").unwrap();
    let head = Answer::read_to("HEAD", &mut BufReader::new(stream));
    assert_eq!((head.status, head.header("content-length")), (200, Some("1234")));
    stage.counted("smesec_aborted_total", 0);
}

#[test]
fn one_connection_carries_many_requests() {
    let stage = Stage::before(echo());
    let mut stream = stage.connect();
    let request =
        |n: u32| format!("GET /{n} HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\nAccept: */*\r\n\r\n");
    // Two at once, as a client that does not wait sends them.
    stream.write_all((request(0) + &request(1)).as_bytes()).unwrap();
    let mut reading = BufReader::new(stream.try_clone().unwrap());
    for n in 0..20 {
        if n > 1 {
            stream.write_all(request(n).as_bytes()).unwrap();
        }
        let answer = Answer::read_to("GET", &mut reading);
        assert!(answer.text().starts_with(&format!("GET /{n} ")), "{answer:?}");
    }
    stage.counted("smesec_connections_total", 1);
}

#[test]
fn every_chunking_of_a_body_gives_the_same_verdict() {
    let stage = Stage::before(echo());
    for (body, status) in
        [("a=b&q=1'+union+select+2,3--", 403), ("a=b&q=a+union+of+select+clubs", 200)]
    {
        for size in [1, 2, 3, 5, 7, 11, 100] {
            let mut stream = stage.connect();
            write!(stream, "POST / HTTP/1.1\r\n{HEAD}Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
            for piece in body.as_bytes().chunks(size) {
                // A verdict may come before the end; then the rest is not read.
                let _ = write!(stream, "{:x}\r\n", piece.len());
                let _ = stream.write_all(piece).and_then(|()| stream.write_all(b"\r\n"));
            }
            let _ = stream.write_all(b"0\r\n\r\n");
            assert_eq!(Answer::read(&mut stream).status, status, "{body} in chunks of {size}");
        }
    }
}

#[test]
fn a_host_has_a_mode_and_exceptions_of_its_own() {
    let at = echo();
    let stage = Stage::new(&format!(
        "{}[[gateway.host]]\nnames = [\"watched.example\"]\nupstream = \"http://{at}\"\nmode = \"detect\"\n\
[[gateway.host]]\nnames = [\"*.open.example\"]\nupstream = \"http://{at}\"\nmode = \"off\"\n\
[[gateway.host]]\nnames = [\"forum.example\"]\nupstream = \"http://{at}\"\n\
[[gateway.host.exception]]\npath = \"/forum/\"\nreason = \"posts quote code\"\n",
        crate::stage::LISTEN
    ));
    let status = |host: &str, path: &str| {
        stage
            .send(format!("GET {path}?q=%3Cscript%3E HTTP/1.1\r\nHost: {host}\r\nUser-Agent: x/1\r\nAccept: */*\r\nConnection: close\r\n\r\n"))
            .status
    };
    assert_eq!(status("watched.example", "/"), 200);
    let event = stage.event(|event| event.extra["host"] == "watched.example");
    assert!(!event.findings.is_empty(), "what would have been stopped is told");
    assert_eq!(status("a.open.example", "/"), 200);
    assert_eq!(status("forum.example:8080", "/forum/a"), 200);
    assert_eq!(status("FORUM.example.", "/login"), 403);
    let unknown = stage.send("GET / HTTP/1.1\r\nHost: other.example\r\nUser-Agent: x/1\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    assert_eq!(unknown.status, 421);
}

#[test]
fn lists_limits_and_forwarded_addresses() {
    let rules = "[gateway.addresses]\ndeny = [\"203.0.113.0/24\"]\nallow = [\"198.51.100.7\"]\n[gateway.rate]\nrequests_per_second = 0.001\nburst = 3\n";
    let text = site(echo()).replace(
        "[[gateway.host]]",
        &format!("trusted_proxies = [\"127.0.0.1\"]\n{rules}[[gateway.host]]"),
    );
    let stage = Stage::new(&text);
    let from = |client: &str, target: &str| {
        stage.send(format!("GET {target} HTTP/1.1\r\n{HEAD}X-Forwarded-For: {client}\r\n\r\n"))
    };
    assert_eq!(from("203.0.113.9", "/").status, 403);
    let event = stage.event(|event| event.findings[0].rule.id == "smesec-address-list");
    assert_eq!(event.src_endpoint.unwrap().ip().to_string(), "203.0.113.9");
    assert_eq!(
        from("198.51.100.7", "/?q=%3Cscript%3E").status,
        200,
        "no rule looks at the allowed"
    );
    let seen = from("192.0.2.1", "/").text();
    assert!(
        seen.contains("x-forwarded-for: 192.0.2.1\r\nx-forwarded-for: 127.0.0.1\r\n")
            || seen.contains("x-real-ip: 192.0.2.1\r\n"),
        "{seen}"
    );
    assert_eq!(from("192.0.2.1", "/").status, 200);
    assert_eq!(from("192.0.2.1", "/").status, 200);
    assert_eq!(from("192.0.2.1", "/").status, 429);
    assert_eq!(from("192.0.2.2", "/").status, 200, "another client");
}
