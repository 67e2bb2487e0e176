//! The server that the public test files expect: std only, a thread a connection, keep-alive.
//!
//! Written from the contract beside the files. Two routes keep state, so each run starts its own.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The identifier that the pattern tests look for.
const TOKEN: &str = "c82bfa63-fd2a-419a-8c06-21cb283fd9f7";
/// The key of the signed tokens, from the test files.
const KEY: &[u8] = b"240c8c9c-39b9-426b-9503-3126f96c2eaf";

/// One running server. It ends with the process.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
}

#[derive(Default)]
struct State {
    polls: AtomicU64,
    loops: AtomicU64,
    uuids: AtomicU64,
    nonces: AtomicU64,
}

struct Asked {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

struct Said {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    chunked: bool,
}

impl Server {
    /// Starts on a port; 0 for any.
    pub fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let address = listener.local_addr().expect("it listens");
        std::thread::spawn(move || {
            let state = Arc::new(State::default());
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { address }
    }
}

fn serve(stream: &TcpStream, state: &State) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(asked) = read(&mut reader) {
        let said = answer(&asked, state);
        let head_only = asked.method == "HEAD";
        if write(&mut writer, &said, head_only).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: u64 = length.and_then(|(_, n)| n.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Asked { method, path: path.to_owned(), query: query.to_owned(), headers, body })
}

fn write(to: &mut &TcpStream, said: &Said, head_only: bool) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\n", said.status);
    for (name, value) in &said.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let mut out;
    if said.chunked {
        out = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for chunk in said.body.chunks(16) {
            out.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n\r\n");
    } else {
        out = format!("{head}Content-Length: {}\r\n\r\n", said.body.len()).into_bytes();
        if !head_only {
            out.extend_from_slice(&said.body);
        }
    }
    to.write_all(&out)
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    fn cookies(&self) -> HashMap<&str, &str> {
        let pairs = self.header("cookie").unwrap_or_default().split("; ");
        pairs.filter_map(|pair| pair.split_once('=')).collect()
    }

    fn query(&self) -> Vec<(String, String)> {
        pairs(&self.query)
    }
}

impl Said {
    fn json(status: u16, body: &Value) -> Self {
        Self::of(status, "application/json", body.to_string())
    }

    fn of(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
        Self { status, headers, body: body.into(), chunked: false }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    let each = text.split('&').filter_map(|pair| pair.split_once('='));
    each.map(|(name, value)| (unquoted(name), unquoted(value))).collect()
}

fn unquoted(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &after[2..];
                continue;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(*byte),
        }
        rest = after;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn answer(asked: &Asked, state: &State) -> Said {
    let ok = |body: Value| Said::json(200, &body);
    let fail = |status: u16, why: &str| Said::json(status, &json!({"error": why}));
    match (asked.method.as_str(), asked.path.as_str()) {
        // The next four are for our own questions.
        (_, "/json") => Said::of(200, "application/json", unquoted(&asked.query)),
        (_, "/text") => Said::of(200, "text/plain", "hello world"),
        (_, "/status") => Said::json(asked.query.parse().unwrap_or(400), &json!({})),
        (_, "/dump") => {
            let headers: Vec<_> = asked.headers.iter().collect();
            let body = String::from_utf8_lossy(&asked.body).into_owned();
            ok(json!({"method": asked.method, "path": asked.path, "headers": headers, "body": body}))
                .with("Server", "tests")
        }
        (_, "/magic-multi-method") => ok(json!({"method": asked.method})),
        ("GET", "/token") => Said::of(
            200,
            "text/html",
            format!("<div><a src=\"http://127.0.0.1:5003/verify?token={TOKEN}\">Verify</a></div>"),
        ),
        ("GET", "/verify") => {
            let right = asked.query().iter().any(|(name, value)| name == "token" && value == TOKEN);
            Said::of(if right { 200 } else { 401 }, "text/html", "")
        }
        ("GET", "/headers") => Said::of(200, "text/plain", "OK")
            .with("X-Integration-Value", "_HelloWorld1")
            .with("ATestHEader", "orange"),
        ("GET", "/get_thing_slow") => {
            std::thread::sleep(Duration::from_millis(250));
            ok(json!({"status": "OK"}))
        }
        ("GET", "/fake_dictionary") => ok(json!({
            "top": {"Thing": "value", "nested": {"doubly": {"inner": "value"}}},
            "an_integer": 123, "a_float": 1.23, "a_string": "abc", "a_bool": true,
        })),
        ("GET", "/fake_list") => ok(json!(["a", "b", "c", 1, 2, 3, -1.0, -2.0, -3.0])),
        ("GET", "/complicated_list") => ok(json!(["a", {"b": "c"}])),
        ("GET", "/nested_list") => ok(json!({"top": ["a", "b", {"key": "val"}]})),
        ("GET", "/nested/again") => ok(json!({"status": "OK"})),
        ("GET", "/pi") => ok(json!({"pi": std::f64::consts::PI})),
        ("GET", "/get_single_json_item") => ok(json!(TOKEN)),
        ("GET", "/uuid/v4") => {
            let n = state.uuids.fetch_add(1, Ordering::Relaxed);
            ok(json!({"uuid": format!("6b2d6b1e-2c3a-4f5b-8c6d-{n:012x}")}))
        }
        ("POST", "/echo") => ok(asked.json()),
        ("GET", "/echo_params") => {
            let each = asked.query().into_iter().map(|(name, value)| {
                let value = unquoted(&value);
                let parsed = serde_json::from_str(&value).unwrap_or(Value::String(value));
                (name, parsed)
            });
            ok(Value::Object(each.collect()))
        }
        ("POST", "/expect_dtype") => {
            let body = asked.json();
            let name = match &body["value"] {
                Value::Null => "NoneType",
                Value::Bool(_) => "bool",
                Value::Number(n) if n.is_f64() => "float",
                Value::Number(_) => "int",
                Value::String(_) => "str",
                Value::Array(_) => "list",
                Value::Object(_) => "dict",
            };
            let right = body["dtype"] == name && body["value"] == body["dvalue"];
            Said::json(if right { 200 } else { 400 }, &json!({}))
        }
        ("POST", "/status_code_return") => {
            let status = asked.json()["status_code"].as_u64().and_then(|n| u16::try_from(n).ok());
            Said::json(status.unwrap_or(400), &json!({}))
        }
        ("POST", "/expect_raw_data") => match asked.body.trim_ascii() {
            b"OK" => ok(json!({"status": "ok"})),
            b"DENIED" => Said::json(401, &json!({"status": "denied"})),
            other => {
                let text = String::from_utf8_lossy(other);
                Said::json(400, &json!({"status": format!("err: '{text}'")}))
            }
        },
        ("POST", "/expect_compressed_data") => compressed(asked),
        ("POST", "/form_data") => {
            let each = pairs(&String::from_utf8_lossy(&asked.body));
            ok(Value::Object(each.into_iter().map(|(k, v)| (k, Value::String(v))).collect()))
        }
        ("POST", "/fake_upload_file" | "/fake_upload_file_data" | "/files_expect_in_order") => {
            upload(asked)
        }
        ("GET", "/stream_file") => {
            let mut said = Said::of(200, "application/octet-stream", vec![b'x'; 1_000]);
            said.chunked = true;
            said
        }
        ("GET", "/poll") => {
            let n = state.polls.fetch_add(1, Ordering::Relaxed);
            ok(json!({"status": if n.is_multiple_of(2) { "processing" } else { "ready" }}))
        }
        ("POST", "/get_cookie") => {
            let body = asked.json();
            let name = body["cookie_name"].as_str().unwrap_or("tavern-cookie").to_owned();
            ok(json!({"status": "ok"})).with("Set-Cookie", format!("{name}=a-cookie-value; Path=/"))
        }
        ("GET", "/expect_cookie") => {
            let body = asked.json();
            let name = body["cookie_name"].as_str().unwrap_or("tavern-cookie").to_owned();
            if asked.cookies().contains_key(name.as_str()) {
                ok(json!({"status": "ok"}))
            } else {
                fail(400, &format!("No cookie named {name} in request"))
            }
        }
        ("GET", "/redirect/source") => Said::of(302, "text/html", "")
            .with("Location", "/redirect/destination?test_value=lorem%20ipsum%3F"),
        ("GET", "/redirect/loop") => {
            if state.loops.fetch_add(1, Ordering::Relaxed) < 50 {
                Said::of(302, "text/html", "").with("Location", "/redirect/loop")
            } else {
                ok(json!({"status": "successful redirect"}))
            }
        }
        ("GET", "/redirect/destination") => ok(json!({"status": "successful redirect"})),
        ("GET", "/authtest/basic") => match asked.header("authorization") {
            Some("Basic ZmFrZXVzZXI6ZmFrZXBhc3M=") => {
                ok(json!({"auth_type": "basic", "auth_user": "fakeuser", "auth_pass": "fakepass"}))
            }
            Some(_) => fail(401, "Wrong username/password"),
            None => fail(403, "No authorization"),
        },
        ("GET", "/authtest/digest") => digest(asked, state),
        ("GET", "/authtest/custom_header") => match asked.header("x-pizza") {
            Some(user) => ok(json!({"auth_type": "custom_header", "pizza_user": user})),
            None => fail(401, "No X-Pizza"),
        },
        ("GET", "/jmes/return_empty_paged") => ok(json!({"pages": 0, "data": []})),
        ("GET", "/jmes/with_dot") => ok(json!({"data.a": "a", "data.b": "b"})),
        ("GET", "/707-regression") => ok(json!({"a": 1, "b": {"first": 10, "second": 20}, "c": 2})),
        ("GET", "/606-regression-list") => ok(json!([])),
        ("GET", "/606-regression-dict") => ok(json!({})),
        ("POST", "/withsession/login") => {
            let body = asked.json();
            if body["username"] == "mark" && body["password"] == "password" {
                ok(json!({"status": "logged in"}))
                    .with("Set-Cookie", "session=a-session-value; Path=/; HttpOnly")
                    .with("Set-Cookie", "remember_token=a-remember-value; Path=/; Max-Age=2592000")
            } else {
                fail(401, "wrong name or password")
            }
        }
        ("GET", "/withsession/regular") => {
            let cookies = asked.cookies();
            let known = cookies.contains_key("session") || cookies.contains_key("remember_token");
            Said::json(if known { 200 } else { 401 }, &json!({}))
        }
        ("GET", "/withsession/protected") => {
            let known = asked.cookies().contains_key("session");
            Said::json(if known { 200 } else { 401 }, &json!({}))
        }
        ("POST", "/sub-path-query") => {
            let body = asked.json();
            let path = body["sub_path"].as_str().unwrap_or_default();
            let found = path.split('.').try_fold(&body, |at, key| at.get(key));
            ok(json!({"result": found}))
        }
        ("POST", "/get_jwt") => ok(json!({"jwt": jwt()})),
        ("GET", "/text_response") => Said::of(200, "text/plain", "Hello, World!"),
        ("GET", "/ascii_table") => Said::of(200, "text/plain", "+---+---+\n| a | b |\n+---+---+\n"),
        ("POST", "/expected_text") => Said::of(200, "text/plain", asked.body.clone()),
        (_, "/echo" | "/fake_dictionary" | "/fake_list") => fail(405, "method not allowed"),
        _ => fail(404, "not found"),
    }
}

fn compressed(asked: &Asked) -> Said {
    use smesec_core::decode::body::compress::{DecompressLimits, Decompressor, Encoding};
    let mut out = Vec::new();
    let mut gunzip = Decompressor::new(Encoding::Gzip, DecompressLimits::default());
    let whole = gunzip.feed(&asked.body, &mut out).and_then(|()| gunzip.finish()).is_ok();
    let right = whole
        && asked.header("content-type") == Some("application/json")
        && asked.header("content-encoding") == Some("gzip")
        && serde_json::from_slice::<Value>(&out).is_ok_and(|value| value == "OK");
    if right {
        Said::json(200, &json!({"status": "ok"}))
    } else {
        Said::json(400, &json!({"status": "no"}))
    }
}

/// The parts of a multipart body: field, file, type, coding, bytes.
fn upload(asked: &Asked) -> Said {
    let no = |why: &str| Said::json(400, &json!({"error": why}));
    let kind = asked.header("content-type").unwrap_or_default();
    let Some(boundary) = kind.strip_prefix("multipart/form-data; boundary=") else {
        return no("no multipart");
    };
    let text = String::from_utf8_lossy(&asked.body).into_owned();
    let mut parts = Vec::new();
    for part in text.split(&format!("--{boundary}\r\n")).skip(1) {
        let Some((head, body)) = part.split_once("\r\n\r\n") else { return no("no head") };
        let take = |name: &str| {
            let (_, rest) = head.split_once(&format!(" {name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        let body = body.trim_end_matches(&format!("--{boundary}--\r\n"));
        let body = body.strip_suffix("\r\n").unwrap_or(body).to_owned();
        parts.push((take("name").unwrap_or_default(), take("filename"), body));
    }
    let files: Vec<_> = parts.iter().filter(|(_, file, _)| file.is_some()).collect();
    match asked.path.as_str() {
        _ if files.is_empty() => no("no file"),
        "/fake_upload_file_data" if files.len() == parts.len() => no("no field"),
        "/files_expect_in_order" => {
            let names: Vec<_> =
                files.iter().map(|(field, file, _)| (field.as_str(), file.as_deref())).collect();
            let wanted = [
                ("group_1", Some("OK.txt")),
                ("group_1", Some("OK.json.gz")),
                ("group_2", Some("OK.txt")),
            ];
            if names == wanted { Said::json(200, &json!({})) } else { no("not in order") }
        }
        _ => Said::json(200, &json!({})),
    }
}

fn digest(asked: &Asked, state: &State) -> Said {
    let md5 = |text: String| {
        let mut raw = Vec::new();
        smesec_core::decode::transform::Transform::Md5.apply(text.as_bytes(), &mut raw);
        raw.iter().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    };
    let fields: HashMap<String, String> = asked
        .header("authorization")
        .and_then(|value| value.strip_prefix("Digest "))
        .unwrap_or_default()
        .split(", ")
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect();
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let secret = md5("fakeuser:tests:fakepass".to_owned());
    let target = md5(format!("{}:{}", asked.method, field("uri")));
    let wanted = md5(format!(
        "{secret}:{}:{}:{}:{}:{target}",
        field("nonce"),
        field("nc"),
        field("cnonce"),
        field("qop")
    ));
    if field("username") == "fakeuser" && field("response") == wanted && field("uri") == asked.path
    {
        return Said::json(
            200,
            &json!({"auth_type": "digest", "auth_user": "fakeuser", "auth_pass": "fakepass"}),
        );
    }
    let nonce = state.nonces.fetch_add(1, Ordering::Relaxed);
    Said::json(401, &json!({"error": "Wrong username/password"})).with(
        "WWW-Authenticate",
        format!("Digest realm=\"tests\", nonce=\"n{nonce}\", qop=\"auth\", algorithm=MD5"),
    )
}

fn jwt() -> String {
    let url = |bytes: &[u8]| {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut out = String::new();
        for chunk in bytes.chunks(3) {
            let bits = chunk.iter().fold(0_u32, |all, b| all << 8 | u32::from(*b));
            let bits = bits << (8 * (3 - chunk.len()));
            for n in 0..=chunk.len() {
                out.push(char::from(LETTERS[(bits >> (18 - 6 * n)) as usize & 63]));
            }
        }
        out
    };
    let head = url(br#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = json!({"sub": "test-user", "aud": "testserver", "exp": now() + 3_600});
    let signed = format!("{head}.{}", url(claims.to_string().as_bytes()));
    let signature = smesec_core::decode::digest::hmac_sha256(KEY, signed.as_bytes());
    format!("{signed}.{}", url(&signature))
}
