//! Whom and what the logs name: the client's address in one form, the host that was asked for.

use crate::stage::{Answer, HEAD, LISTEN, PATIENCE, Stage, connect, echo, host};
use serde_json::Value;
use std::io::Write;
use std::path::Path;

/// The lines of a log, once there are as many as that.
fn lines(path: &Path, at_least: usize) -> Vec<Value> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<_> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if lines.len() >= at_least || std::time::Instant::now() > deadline {
            return lines;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn folder(name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn logs_name_the_host_that_was_asked_for() {
    let folder = folder("gateway-named");
    let (access, audit) = (folder.join("access.log"), folder.join("audit.log"));
    let site = host(echo()).replace("\"*\"", "\"shop.example\", \"*.shop.example\"");
    let stage =
        Stage::new(&format!("{LISTEN}access_log = {access:?}\naudit_log = {audit:?}\n{site}"));
    let ask = |named: &str| {
        let head = HEAD.replace("shop.example", named);
        stage.send(format!("GET /?q=%3Cscript%3E HTTP/1.1\r\n{head}\r\n")).status
    };
    assert_eq!(ask("a.Shop.example:8080"), 403);
    let event = stage.event(|event| event.extra.contains_key("host"));
    assert_eq!(event.extra["host"], "a.shop.example");
    assert_eq!(event.extra["site"], "shop.example");
    assert_eq!(
        stage.send(format!("GET / HTTP/1.1\r\n{}\r\n", HEAD.replace("shop", "scan"))).status,
        421
    );
    assert_eq!(ask(&"x".repeat(4_000)), 421);
    assert!(stage.end());
    let told: Vec<_> = lines(&access, 3)
        .iter()
        .map(|line| (line["host"].as_str().unwrap().to_owned(), line["site"].clone()))
        .collect();
    assert_eq!(told[0], ("a.shop.example".to_owned(), "shop.example".into()));
    assert_eq!(told[1], ("scan.example".to_owned(), Value::Null), "a name that nobody serves");
    assert_eq!(told[2].0.len(), 255, "bounded");
    assert_eq!(lines(&audit, 1)[0]["transaction"]["request"]["hostname"], "a.shop.example");
}

#[test]
fn an_ipv4_client_is_one_on_a_listener_for_both() {
    if std::net::TcpListener::bind("[::]:0").is_err() {
        println!("SKIPPED: this system has no IPv6");
        return;
    }
    let access = folder("gateway-both").join("access.log");
    let text = format!("{LISTEN}access_log = {access:?}\n{}", host(echo()));
    let stage = Stage::new(&text.replace("127.0.0.1:0", "[::]:0"));
    let mut stream = connect(([127, 0, 0, 1], stage.address.port()).into());
    write!(stream, "GET / HTTP/1.1\r\n{HEAD}\r\n").unwrap();
    let answer = Answer::read(&mut stream).text();
    assert!(answer.contains("x-forwarded-for: 127.0.0.1\r\n"), "{answer}");
    assert!(answer.contains("x-real-ip: 127.0.0.1\r\n"), "{answer}");
    let mut stream = connect(([127, 0, 0, 1], stage.address.port()).into());
    write!(stream, "GET /?q=%3Cscript%3E HTTP/1.1\r\n{HEAD}\r\n").unwrap();
    assert_eq!(Answer::read(&mut stream).status, 403);
    let event = stage.event(|event| !event.findings.is_empty());
    assert!(event.src_endpoint.unwrap().is_ipv4() && event.dst_endpoint.unwrap().is_ipv4());
    assert!(stage.end());
    assert!(lines(&access, 1)[0]["client"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[test]
fn what_a_trusted_hop_says_in_ipv6_is_ipv4_all_the_same() {
    let text = format!("{LISTEN}trusted_proxies = [\"127.0.0.1\"]\n{}", host(echo()));
    let stage = Stage::new(&text);
    let answer = stage
        .send(format!("GET / HTTP/1.1\r\n{HEAD}X-Forwarded-For: ::ffff:203.0.113.9\r\n\r\n"))
        .text();
    assert!(answer.contains("x-real-ip: 203.0.113.9\r\n"), "{answer}");

    let stage = Stage::new(&text.replacen("[gateway]\n", "[gateway]\nproxy_protocol = true\n", 1));
    let answer = stage
        .send(format!("PROXY TCP6 ::ffff:203.0.113.9 ::1 4711 80\r\nGET / HTTP/1.1\r\n{HEAD}\r\n"))
        .text();
    assert!(answer.contains("x-real-ip: 203.0.113.9\r\n"), "{answer}");
}
