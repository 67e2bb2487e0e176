//! A small API with meters and bills: sound, or with exactly the flaws that are switched on.

use crate::{rsa, sql};
use serde_json::{Value, json};
use smesec_core::decode::digest::{hmac_sha256, sha256};
use smesec_core::decode::transform::Transform;
use smesec_core::time::Timestamp;
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How the token travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token {
    /// A session's id in a cookie.
    Cookie,
    /// A JSON Web Token in a header, signed with a secret.
    Hs256,
    /// A JSON Web Token in a header, signed with a private key.
    Rs256,
}

pub const PASSWORDS: [(&str, &str, &str); 3] = [
    ("alice", "user", "correct-horse-alice"),
    ("bob", "user", "battery-staple-bob"),
    ("root", "admin", "tr0ub4dor-and-root"),
];

/// Wrong passwords in a row that lock an account.
const LOCK: u32 = 8;
/// Failing sign-ins in a row, whatever the names, that throttle the client.
const THROTTLE: u32 = 20;
/// What sets the throttle back.
const FORGET: Duration = Duration::from_secs(2);
/// Rounds of the password hash: about two milliseconds.
const ROUNDS: u32 = 4_000;

const STRONG: &str = "6f1c0b9d7a4e4b1f9c3d2e8a5b7c0d1e2f3a4b5c";

pub struct Api {
    pub port: u16,
    stop: Arc<AtomicBool>,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Api {
    pub fn start(token: Token, flaws: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let shop = Arc::new(Shop {
            token,
            flaws: flaws.iter().copied().collect(),
            origin: format!("http://127.0.0.1:{port}"),
            state: Mutex::new(State::new()),
        });
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), shop) = (stream, Arc::clone(&shop)) else { continue };
                std::thread::spawn(move || shop.serve(stream));
            }
        });
        Self { port, stop }
    }
}

struct Shop {
    token: Token,
    flaws: HashSet<&'static str>,
    origin: String,
    state: Mutex<State>,
}

struct State {
    sessions: HashMap<String, String>,
    ended: HashSet<String>,
    fails: HashMap<String, u32>,
    failing: u32,
    failed_last: Instant,
    profiles: HashMap<String, Value>,
    meters: HashMap<String, (String, Value)>,
    counter: u64,
}

impl State {
    fn new() -> Self {
        let profile = |(name, role, _): &(&str, &str, &str)| {
            ((*name).to_owned(), json!({"name": name, "role": role, "display": name}))
        };
        let meter = |id: &str, owner: &str| {
            (
                id.to_owned(),
                (owner.to_owned(), json!({"id": id, "owner": owner, "label": "cellar", "kwh": 17})),
            )
        };
        Self {
            sessions: HashMap::new(),
            ended: HashSet::new(),
            fails: HashMap::new(),
            failing: 0,
            failed_last: Instant::now(),
            profiles: PASSWORDS.iter().map(profile).collect(),
            meters: [meter("1001", "alice"), meter("1002", "bob")].into(),
            counter: 0,
        }
    }
}

#[derive(Default)]
struct Ask {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    fn cookie(&self, name: &str) -> Option<&str> {
        let mut pairs =
            self.header("cookie")?.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

fn answer(status: u16, body: Value) -> Answer {
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    Answer { status, headers, body: body.to_string() }
}

fn refuse(status: u16) -> Answer {
    answer(status, json!({"error": "refused"}))
}

impl Answer {
    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

impl Shop {
    fn has(&self, flaw: &str) -> bool {
        self.flaws.contains(flaw)
    }

    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut socket = BufReader::new(stream);
        while let Some(ask) = read(&mut socket) {
            let given = self.answer(&ask);
            let mut out =
                format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", given.status, given.body.len());
            for (name, value) in &given.headers {
                out += &format!("{name}: {value}\r\n");
            }
            out += "\r\n";
            if ask.method != "HEAD" {
                out += &given.body;
            }
            if socket.get_mut().write_all(out.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, ask: &Ask) -> Answer {
        let given = self.route(ask);
        match ask.header("origin") {
            Some(origin) if self.has("cors-credentials") || origin == self.origin => given
                .with("Access-Control-Allow-Origin", origin)
                .with("Access-Control-Allow-Credentials", "true"),
            _ => given,
        }
    }

    fn route(&self, ask: &Ask) -> Answer {
        let who = self.who(ask);
        let role = |name: &str| {
            PASSWORDS.iter().find(|(n, _, _)| *n == name).map_or("user", |(_, r, _)| *r)
        };
        let parts: Vec<&str> = ask.path.trim_start_matches('/').split('/').collect();
        // A guard for GET alone lets other methods through to the same page.
        let tampered = self.has("bfla-method-tamper") && ask.method != "GET";
        let method = match ask.method.as_str() {
            "HEAD" => "GET",
            _ if tampered && !matches!(ask.method.as_str(), "POST" | "PATCH" | "DELETE") => "GET",
            method => method,
        };
        match (method, parts.as_slice()) {
            ("GET", ["api", "health"]) => answer(200, json!({"ok": true})),
            ("GET", ["api", "jwks.json"]) if self.token == Token::Rs256 => answer(
                200,
                json!({"keys": [{"kty": "RSA", "alg": "RS256", "n": rsa::N_URL, "e": "AQAB"}]}),
            ),
            ("POST", ["api", "signin"]) => self.sign_in(ask),
            ("GET", ["go"]) => self.go(ask),
            ("GET", ["api", "bills"]) if self.has("bfla-anonymous") => answer(200, json!([12, 17])),
            (_, ["api", ..]) if who.is_none() => refuse(401),
            _ if self.forged(ask) => refuse(403),
            ("POST", ["api", "signout"]) => self.sign_out(ask),
            ("GET", ["api", "profile"]) => self.profile(&who.unwrap_or_default()),
            ("PATCH", ["api", "profile"]) => self.change(ask, &who.unwrap_or_default()),
            ("GET", ["api", "bills"]) => answer(200, json!([12, 17])),
            ("GET", ["api", "users"]) => {
                let may = who.is_some_and(|who| role(&who) == "admin");
                if may || self.has("bfla-read") || tampered {
                    answer(200, json!(["alice", "bob", "root"]))
                } else {
                    refuse(403)
                }
            }
            ("DELETE", ["api", "reports", "1"]) => {
                let may = who.is_some_and(|who| role(&who) == "admin");
                if may || self.has("bfla-method") {
                    answer(200, json!({"deleted": 1}))
                } else {
                    refuse(403)
                }
            }
            ("POST", ["api", "search"]) => match serde_json::from_slice::<Value>(&ask.body) {
                Ok(_) => answer(200, json!({"hits": []})),
                Err(_) => refuse(400),
            },
            (method, ["api", "meters", id]) => {
                self.meter(ask, method, id, &who.unwrap_or_default())
            }
            _ => refuse(404),
        }
    }

    /// Whether another site made the browser send it.
    fn forged(&self, ask: &Ask) -> bool {
        if self.token != Token::Cookie
            || matches!(ask.method.as_str(), "GET" | "HEAD")
            || self.has("csrf-missing")
        {
            return false;
        }
        let foreign = ask.header("origin").is_some_and(|origin| origin != self.origin);
        let json = ask.body.is_empty() || ask.header("content-type") == Some("application/json");
        foreign || !json
    }

    fn sign_in(&self, ask: &Ask) -> Answer {
        let Ok(sent) = serde_json::from_slice::<Value>(&ask.body) else {
            if self.has("verbose-error") {
                let trace = "SyntaxError: Unexpected end of JSON input\n    at JSON.parse (<anonymous>)\n    at parse (/srv/app/node_modules/body-parser/lib/types/json.js:92:19)";
                return answer(500, json!({"error": trace}));
            }
            return refuse(400);
        };
        let throttled = {
            let mut state = self.state.lock().unwrap();
            if state.failed_last.elapsed() > FORGET {
                state.failing = 0;
            }
            state.failing >= THROTTLE && !self.has("no-rate-limit")
        };
        if throttled {
            return refuse(429).with("Retry-After", "3");
        }
        let (Some(name), Some(password)) = (sent.get("username"), sent.get("password")) else {
            return refuse(400);
        };
        let found = match (name.as_str(), password.as_str()) {
            (Some(name), Some(password)) => self.find(name, password),
            _ if self.has("nosql-login") => Ok(find_by_operators(name, password)),
            _ => return refuse(400),
        };
        let name = name.as_str().unwrap_or("");
        match found {
            Err(()) => refuse(500),
            Ok(Some(user)) => {
                let mut state = self.state.lock().unwrap();
                if state.fails.get(&user).is_some_and(|fails| *fails >= LOCK)
                    && !self.has("no-lockout")
                {
                    return refuse(423);
                }
                state.fails.remove(&user);
                state.failing = 0;
                drop(state);
                self.let_in(ask, &user)
            }
            Ok(None) => {
                let known = PASSWORDS.iter().any(|(n, _, _)| *n == name);
                let mut state = self.state.lock().unwrap();
                state.failing += 1;
                state.failed_last = Instant::now();
                let fails = state.fails.entry(name.to_owned()).or_default();
                *fails += 1;
                if *fails > LOCK && !self.has("no-lockout") {
                    return refuse(423);
                }
                let status = if self.has("enum-status") && !known { 404 } else { 401 };
                let text = match known {
                    _ if !self.has("enum-message") => "wrong name or password",
                    true => "wrong password",
                    false => "no such user",
                };
                answer(status, json!({"error": text, "name": name}))
            }
        }
    }

    fn find(&self, name: &str, password: &str) -> Result<Option<String>, ()> {
        let known = PASSWORDS.iter().find(|(n, _, _)| *n == name);
        if known.is_some() || !self.has("enum-timing") {
            // The hash of a password that is not there costs the same.
            hash(password);
        }
        if self.has("sqli-login") {
            let clause = format!("name = '{name}' AND password = '{password}'");
            for (name, _, password) in PASSWORDS {
                if sql::selects(&clause, name, password).map_err(|_| ())? {
                    return Ok(Some(name.to_owned()));
                }
            }
            return Ok(None);
        }
        Ok(known.filter(|(_, _, p)| *p == password).map(|(n, _, _)| (*n).to_owned()))
    }

    fn let_in(&self, ask: &Ask, user: &str) -> Answer {
        let mut state = self.state.lock().unwrap();
        state.counter += 1;
        let fresh = hex(&hmac_sha256(STRONG.as_bytes(), &state.counter.to_be_bytes()));
        let given = if self.token == Token::Cookie {
            let kept = ask.cookie("session").filter(|_| self.has("session-fixation"));
            let id = kept.map_or(fresh, str::to_owned);
            state.sessions.insert(id.clone(), user.to_owned());
            let mut cookie = format!("session={id}; Path=/");
            for (flag, flaw) in [
                ("HttpOnly", "cookie-no-httponly"),
                ("Secure", "cookie-no-secure"),
                ("SameSite=Lax", "cookie-no-samesite"),
            ] {
                if !self.has(flaw) {
                    cookie += &format!("; {flag}");
                }
            }
            answer(200, json!({"welcome": user})).with("Set-Cookie", cookie)
        } else {
            let now = Timestamp::from_system_clock().unix_seconds();
            let claims = json!({"sub": user, "iat": now, "exp": now + 3_600, "jti": fresh});
            answer(200, json!({"data": {"token": self.make_token(&claims)}}))
        };
        if self.has("token-cacheable") { given } else { given.with("Cache-Control", "no-store") }
    }

    fn secret(&self) -> &'static str {
        if self.has("jwt-weak-secret") { "changeme" } else { STRONG }
    }

    fn make_token(&self, claims: &Value) -> String {
        let algorithm = if self.token == Token::Rs256 { "RS256" } else { "HS256" };
        let header = json!({"alg": algorithm, "typ": "JWT"});
        let body = format!(
            "{}.{}",
            url64(header.to_string().as_bytes()),
            url64(claims.to_string().as_bytes())
        );
        let signature = match self.token {
            Token::Rs256 => rsa::sign(body.as_bytes()),
            _ => hmac_sha256(self.secret().as_bytes(), body.as_bytes()).to_vec(),
        };
        format!("{body}.{}", url64(&signature))
    }

    /// The user of a request, if what proves it is right.
    fn who(&self, ask: &Ask) -> Option<String> {
        if self.token == Token::Cookie {
            let id = ask.cookie("session")?;
            return self.state.lock().unwrap().sessions.get(id).cloned();
        }
        let token = ask.header("authorization")?.strip_prefix("Bearer ")?;
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else { return None };
        let read = |part: &str| serde_json::from_slice::<Value>(&from_url64(part)).ok();
        let (header_json, claims_json) = (read(header)?, read(claims)?);
        let body = format!("{header}.{claims}");
        let signature = from_url64(signature);
        let hmac = |key: &str| hmac_sha256(key.as_bytes(), body.as_bytes()).to_vec() == signature;
        let genuine = match (header_json["alg"].as_str()?, self.token) {
            ("none", _) => self.has("jwt-alg-none"),
            ("HS256", Token::Hs256) => self.has("jwt-signature-unchecked") || hmac(self.secret()),
            ("RS256", Token::Rs256) => rsa::verify(body.as_bytes(), &signature),
            ("HS256", Token::Rs256) => self.has("jwt-key-confusion") && hmac(rsa::PEM),
            _ => false,
        };
        let now = Timestamp::from_system_clock().unix_seconds();
        let ended = claims_json["exp"].as_i64()? < now && !self.has("jwt-expired-accepted");
        let signed_out = self.state.lock().unwrap().ended.contains(claims_json["jti"].as_str()?);
        (genuine && !ended && !signed_out)
            .then(|| claims_json["sub"].as_str().map(str::to_owned))?
    }

    fn sign_out(&self, ask: &Ask) -> Answer {
        if !self.has("signout-keeps-token") {
            let mut state = self.state.lock().unwrap();
            if let Some(id) = ask.cookie("session") {
                state.sessions.remove(id);
            }
            let claims = ask.header("authorization").and_then(|value| value.split('.').nth(1));
            let claims =
                claims.and_then(|part| serde_json::from_slice::<Value>(&from_url64(part)).ok());
            if let Some(id) = claims.as_ref().and_then(|claims| claims["jti"].as_str()) {
                state.ended.insert(id.to_owned());
            }
        }
        answer(200, json!({"bye": true})).with("Set-Cookie", "session=; Max-Age=0; Path=/")
    }

    fn profile(&self, who: &str) -> Answer {
        let mut profile = self.state.lock().unwrap().profiles.get(who).cloned().unwrap_or_default();
        if self.has("secret-in-response") {
            profile["password_hash"] = json!(hex(&sha256(who.as_bytes())));
        }
        answer(200, profile)
    }

    fn change(&self, ask: &Ask, who: &str) -> Answer {
        let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(&ask.body) else {
            return refuse(400);
        };
        let mut state = self.state.lock().unwrap();
        let profile = state.profiles.entry(who.to_owned()).or_default();
        for (name, value) in fields {
            if name == "display" || self.has("mass-assignment") {
                profile[name] = value;
            }
        }
        answer(200, profile.clone())
    }

    fn meter(&self, ask: &Ask, method: &str, id: &str, who: &str) -> Answer {
        let mut state = self.state.lock().unwrap();
        let Some((owner, meter)) = state.meters.get_mut(id) else { return refuse(404) };
        let may = owner == who || who == "root";
        match method {
            "GET" if may || self.has("idor-read") => answer(200, meter.clone()),
            "PATCH" if may || self.has("idor-write") => {
                let Ok(sent) = serde_json::from_slice::<Value>(&ask.body) else {
                    return refuse(400);
                };
                meter["label"] = sent["label"].clone();
                answer(200, meter.clone())
            }
            "GET" | "PATCH" => refuse(404),
            _ => refuse(405),
        }
    }

    fn go(&self, ask: &Ask) -> Answer {
        let mut next = Vec::new();
        let value = ask.query.strip_prefix("next=").unwrap_or("/");
        if !Transform::UrlDecode.apply(value.as_bytes(), &mut next) {
            next = value.as_bytes().to_vec();
        }
        let next = String::from_utf8_lossy(&next).into_owned();
        let inside = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
        if inside || self.has("open-redirect") {
            return answer(302, json!({})).with("Location", next);
        }
        refuse(400)
    }
}

/// What a document store makes of operators in place of values.
fn find_by_operators(name: &Value, password: &Value) -> Option<String> {
    let matches = |asked: &Value, value: &str| match asked {
        Value::String(text) => text == value,
        Value::Object(operators) => {
            operators.iter().all(|(operator, operand)| match operator.as_str() {
                "$ne" => operand.as_str() != Some(value),
                "$gt" => operand.as_str().is_some_and(|operand| value > operand),
                "$regex" => operand == ".*",
                _ => false,
            })
        }
        _ => false,
    };
    let mut users = PASSWORDS.iter();
    users
        .find(|(n, _, p)| matches(name, n) && matches(password, p))
        .map(|(n, _, _)| (*n).to_owned())
}

fn hash(password: &str) -> [u8; 32] {
    (0..ROUNDS).fold(sha256(password.as_bytes()), |digest, _| sha256(&digest))
}

fn hex(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    Transform::HexEncode.apply(bytes, &mut out);
    String::from_utf8(out).unwrap()
}

fn url64(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    Transform::Base64Encode.apply(bytes, &mut out);
    String::from_utf8(out).unwrap().trim_end_matches('=').replace('+', "-").replace('/', "_")
}

fn from_url64(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    Transform::Base64DecodeExt.apply(text.as_bytes(), &mut out);
    out
}

fn read(socket: &mut BufReader<TcpStream>) -> Option<Ask> {
    let mut line = String::new();
    socket.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut ask = Ask { method, path: path.to_owned(), query: query.to_owned(), ..Ask::default() };
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        ask.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = ask.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    ask.body.resize(length, 0);
    socket.read_exact(&mut ask.body).ok()?;
    Some(ask)
}
