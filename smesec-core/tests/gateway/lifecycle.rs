//! Reloads and the end.

use crate::stage::{
    Answer, HEAD, LISTEN, PATIENCE, Stage, connect, echo, host, read_head, server, site,
};
use smesec_core::gateway::Config;
use std::io::{BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

fn rules(name: &str, text: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    format!("[waf]\nrules = [{path:?}]\n")
}

fn config(text: &str) -> Config {
    Config::parse("test.toml", text).unwrap()
}

#[test]
fn what_is_broken_does_not_come_into_force() {
    let at = echo();
    let deny = |word: &str| {
        format!(
            "SecRuleEngine On\nSecRule ARGS:q \"@streq {word}\" \"id:1,phase:1,deny,status:406\"\n"
        )
    };
    let first = format!("{}{}", site(at), rules("reload.conf", &deny("one")));
    let stage = Stage::new(&first);
    assert_eq!((stage.get("/?q=one").status, stage.get("/?q=two").status), (406, 200));

    rules("reload.conf", &deny("two"));
    stage.handle.reload(&config(&first)).unwrap();
    assert_eq!((stage.get("/?q=one").status, stage.get("/?q=two").status), (200, 406));

    for broken in [
        "SecRule ARGS \"@rx (\" \"id:1,phase:1,deny\"\n",
        "SecRule\n",
        "SecAction \"id:2,phase:1,pass,nolog\"\nSecRule ARGS \"@nosuch\" \"id:3\"\n",
    ] {
        rules("reload.conf", broken);
        let why = stage.handle.reload(&config(&first)).unwrap_err().to_string();
        assert!(why.contains("reload.conf:"), "{why}");
        assert_eq!((stage.get("/?q=one").status, stage.get("/?q=two").status), (200, 406));
    }
    for other in [
        first.replace("127.0.0.1:0", "127.0.0.1:1"),
        first.replacen("[gateway]\n", "[gateway]\naccess_log = \"other.log\"\n", 1),
    ] {
        assert_ne!(first, other);
        let why = stage.handle.reload(&config(&other)).unwrap_err().to_string();
        assert!(why.contains("restart"), "{why}");
    }
    stage.counted("smesec_reload_failures_total", 5);
}

#[test]
fn no_request_is_lost_while_rules_are_exchanged() {
    let text = site(echo());
    let stage = Stage::new(&text);
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (done, address) = (Arc::clone(&done), stage.address);
            std::thread::spawn(move || {
                let mut stream = connect(address);
                let mut reading = BufReader::new(stream.try_clone().unwrap());
                let mut count = 0;
                while !done.load(Ordering::SeqCst) {
                    let body = format!("name=Ann&n={count}");
                    write!(stream, "POST / HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\nAccept: */*\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
                    let answer = Answer::read_to("POST", &mut reading);
                    assert!(answer.status == 200 && answer.text().ends_with(&body), "{answer:?}");
                    count += 1;
                }
                count
            })
        })
        .collect();
    for _ in 0..5 {
        stage.handle.reload(&config(&text)).unwrap();
    }
    done.store(true, Ordering::SeqCst);
    for client in clients {
        assert!(client.join().unwrap() > 0);
    }
    stage.counted("smesec_reloads_total", 5);
    stage.counted("smesec_aborted_total", 0);
}

#[test]
fn what_was_counted_stays_counted_over_a_reload() {
    let own = rules(
        "counting.conf",
        "SecRuleEngine On\nSecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.seen=+1\"\nSecRule IP:SEEN \"@gt 2\" \"id:2,phase:1,deny,status:429\"\n",
    );
    let text = site(echo()).replace(
        "[[gateway.host]]",
        "[gateway.rate]\nrequests_per_second = 0.001\nburst = 5\n[[gateway.host]]",
    ) + &own;
    let stage = Stage::new(&text);
    assert_eq!((stage.get("/").status, stage.get("/").status), (200, 200));
    stage.handle.reload(&config(&text)).unwrap();
    let third = stage.get("/");
    assert_eq!(third.status, 429, "the collection was forgotten");
    stage.event(|event| event.findings.iter().any(|finding| finding.rule.id == "2"));
    let _ = (stage.get("/"), stage.get("/"));
    assert_eq!(stage.get("/").status, 429);
    stage.event(|event| event.findings[0].rule.id == "smesec-rate-limit");
}

#[test]
fn a_drain_lets_what_is_under_way_end() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (began, under_way) = channel::<()>();
    let began = Mutex::new(began);
    let at = server(move |mut stream| {
        let mut reading = BufReader::new(stream.try_clone().unwrap());
        let Some(_) = read_head(&mut reading) else { return };
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 6\r\n\r\nabc").unwrap();
        began.lock().unwrap().send(()).unwrap();
        wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        stream.write_all(b"def").unwrap();
    });
    let stage = Stage::before(at);
    let mut stream = stage.connect();
    write!(stream, "GET / HTTP/1.1\r\n{HEAD}\r\n").unwrap();
    under_way.recv_timeout(PATIENCE).unwrap();
    stage.handle.drain();
    let address = stage.address;
    let deadline = std::time::Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(address).is_ok() {
        assert!(std::time::Instant::now() < deadline, "it still accepts");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    go.send(()).unwrap();
    assert_eq!(Answer::read(&mut stream).text(), "abcdef");
    assert!(stage.end(), "something was cut off");
}

#[test]
fn logs_hold_each_exchange_and_no_secret() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("gateway-logs");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let (access, events) = (folder.join("access.log"), folder.join("events.log"));
    let audit = folder.join("audit.log");
    let stage = Stage::new(&format!(
        "{LISTEN}access_log = {access:?}\nevent_log = {events:?}\naudit_log = {audit:?}\n{}",
        host(echo())
    ));
    let stopped = stage.get("/?q=%3Cscript%3E&password=hunter2");
    assert_eq!(stage.get("/?token=abc123").status, 200);
    let incident = stopped.incident();
    assert_eq!(stage.get("/\"><script>").status, 400);
    assert!(stage.end());
    let lines = |path: &std::path::Path| -> Vec<serde_json::Value> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<_> =
                text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            if !lines.is_empty() || std::time::Instant::now() > deadline {
                assert!(!text.contains("hunter2") && !text.contains("abc123"), "{text}");
                return lines;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    let access = lines(&access);
    assert_eq!(access.len(), 3);
    assert_eq!(
        (access[0]["incident"].as_str(), access[0]["status"].as_u64()),
        (Some(incident.as_str()), Some(403))
    );
    assert_eq!(access[0]["action"], "deny");
    assert_eq!(access[1]["target"], "/?token=[masked, 6 bytes]");
    assert_eq!(access[2]["status"], 400, "what no one could read has a line too");
    let events = lines(&events);
    assert_eq!(events[1]["extra"]["status"], 400);
    assert_eq!(events[0]["extra"]["incident"], incident.as_str());
    let audit = lines(&audit);
    assert_eq!(audit[0]["transaction"]["response"]["http_code"], 403);
    assert!(!audit[0]["transaction"]["messages"].as_array().unwrap().is_empty());
}

#[test]
fn a_drain_waits_for_a_connection_that_becomes_a_websocket_meanwhile() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (began, under_way) = channel::<()>();
    let began = Mutex::new(began);
    let at = server(move |mut stream| {
        let mut reading = BufReader::new(stream.try_clone().unwrap());
        let Some(_) = read_head(&mut reading) else { return };
        began.lock().unwrap().send(()).unwrap();
        wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n").unwrap();
        let mut word = [0; 5];
        reading.read_exact(&mut word).unwrap();
        stream.write_all(&word).unwrap();
    });
    let stage = Stage::before(at);
    let mut stream = stage.connect();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\nAccept: */*\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n").unwrap();
    under_way.recv_timeout(PATIENCE).unwrap();
    stage.handle.drain();
    let deadline = std::time::Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(stage.address).is_ok() {
        assert!(std::time::Instant::now() < deadline, "it still accepts");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    std::thread::sleep(std::time::Duration::from_millis(50));
    go.send(()).unwrap();
    let mut reading = BufReader::new(stream.try_clone().unwrap());
    assert!(read_head(&mut reading).unwrap().starts_with("HTTP/1.1 101"));
    stream.write_all(b"hello").unwrap();
    let mut word = [0; 5];
    reading.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"hello", "a tunnel that passes no byte");
    assert!(stage.is_running(), "the drain did not wait for the tunnel");
    drop((stream, reading));
    assert!(stage.end(), "something was cut off");
}

#[test]
fn a_drain_tells_of_a_tunnel_that_it_cut_off() {
    let at = server(|mut stream| {
        let mut reading = BufReader::new(stream.try_clone().unwrap());
        let Some(_) = read_head(&mut reading) else { return };
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n").unwrap();
        let _ = reading.read(&mut [0]);
    });
    let stage = Stage::new(&format!("{}[gateway.timeouts]\ndrain = \"100ms\"\n", site(at)));
    let mut stream = stage.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\nAccept: */*\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n").unwrap();
    let mut reading = BufReader::new(stream.try_clone().unwrap());
    assert!(read_head(&mut reading).unwrap().starts_with("HTTP/1.1 101"));
    stage.counted("smesec_connections_open", 1);
    assert!(!stage.end(), "the tunnel still stood");
}

#[test]
fn each_listener_serves_where_there_is_one_place() {
    let stage = Stage::new(&format!(
        "[gateway]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\nmax_connections = 1\n{}",
        host(echo())
    ));
    for address in [0, 1, 0, 1].map(|n| stage.addresses[n]) {
        let mut stream = connect(address);
        stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        write!(stream, "GET / HTTP/1.1\r\n{HEAD}\r\n").unwrap();
        assert_eq!(Answer::read(&mut stream).status, 200);
    }
    assert!(stage.end());
}

#[test]
fn a_log_that_cannot_be_opened_anew_goes_on_and_is_told() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("gateway-unopened");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let (access, rotated) = (folder.join("access.log"), folder.join("access.log.1"));
    let text = format!("{LISTEN}access_log = {access:?}\n{}", host(echo()));
    let stage = Stage::new(&text);
    std::fs::rename(&access, &rotated).unwrap();
    std::fs::create_dir(&access).unwrap();
    let unopened = stage.handle.reopen_logs();
    assert!(unopened.iter().any(|why| why.contains("access.log")), "{unopened:?}");
    stage.event(|event| event.message.contains("access.log"));
    assert_eq!(stage.get("/").status, 200);
    let deadline = std::time::Instant::now() + PATIENCE;
    while std::fs::read_to_string(&rotated).unwrap().lines().count() != 1 {
        assert!(std::time::Instant::now() < deadline, "the line is lost");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
