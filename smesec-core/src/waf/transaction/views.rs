//! Decoded views: what hides inside values, shown to the rules on `ARGS` as further arguments
//! (`SmesecDecodedViews`).
//!
//! A view is called after its argument: `ARGS:note|base64` is what the Base64 in `note` says, and an
//! exclusion of `ARGS:note` covers it. Headers and path segments come as `ARGS:header.x-name` and
//! `ARGS:path.2`.

use super::State;
use super::store::Slice;
use crate::decode::body::form::url_decode;
use crate::decode::body::graphql::{GraphqlLimits, GraphqlPart, parse_graphql};
use crate::decode::body::json::{Json, JsonLimits};
use crate::decode::transform::Transform;
use crate::waf::compile::program::{Program, Views};
use crate::waf::variable::{Storage as S, StorageId};

/// Views of one transaction; a form of as many arguments is refused by most servers.
const MAX_VIEWS: usize = 4_096;
/// Bytes of all views; rules look at each of them, so this bounds the time.
const MAX_BYTES: usize = 2 << 20;
/// Views of views: Base64 of JSON is common, a third layer is not.
const MAX_DEPTH: u32 = 2;
/// Characters of Base64 that are worth decoding; six bytes hold no attack.
const MIN_BASE64: usize = 8;

/// What a transaction made so far.
#[derive(Debug, Default)]
pub(super) struct Made {
    bytes: usize,
    /// For each member of the storage, how much of its name is the argument's.
    bases: Vec<usize>,
    over: bool,
}

impl Made {
    pub(super) fn reset(&mut self) {
        self.bytes = 0;
        self.bases.clear();
        self.over = false;
    }
}

impl State {
    /// The views of a request's head.
    pub(super) fn head_views(&mut self, program: &Program) {
        let views = program.settings.views;
        if views == Views::default() {
            return;
        }
        if views.headers {
            for n in 0..self.store.members(S::RequestHeaders.id()).len() {
                let Some(header) = self.store.members(S::RequestHeaders.id()).get(n).copied()
                else {
                    break;
                };
                let name = self.store.bytes(header.name).to_ascii_lowercase();
                if !is_usual(&name) {
                    self.root_view(views, [b"header.", name.as_slice()].concat(), header.value);
                }
            }
        }
        if views.path {
            let uri = self.store.scalar(S::RequestUri);
            let path = uri.split(|b| matches!(b, b'?' | b'#')).next().unwrap_or_default().to_vec();
            let mut decoded = Vec::new();
            for (n, segment) in path.split(|b| *b == b'/').filter(|s| !s.is_empty()).enumerate() {
                decoded.clear();
                let value = if url_decode(segment, &mut decoded) { &decoded } else { segment };
                let value = self.store.put(value);
                self.root_view(views, format!("path.{}", n + 1).into_bytes(), value);
            }
        }
        self.views_of(views, S::ArgsGet);
    }

    /// The views of a request's body.
    pub(super) fn body_views(&mut self, program: &Program, body: &[u8]) {
        let views = program.settings.views;
        if views == Views::default() {
            return;
        }
        if views.graphql {
            let kind = self.store.named(S::RequestHeaders.id(), b"content-type");
            let kind = kind.map_or(&[][..], |kind| self.store.bytes(kind));
            let kind = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
            if kind.eq_ignore_ascii_case(b"application/graphql") {
                let mut found = Vec::new();
                graphql(body, &mut found);
                for (suffix, value) in found {
                    self.add_view(suffix.clone(), suffix.len(), &value);
                }
            }
        }
        self.views_of(views, S::ArgsPost);
    }

    /// How much of a name an exclusion is compared with: a view goes by its argument's.
    pub(super) fn excluded_name(&self, place: Option<(StorageId, usize)>, name: Slice) -> &[u8] {
        let name = self.store.bytes(name);
        match place {
            Some((storage, n)) if storage == S::ArgsDecoded.id() => {
                self.views.bases.get(n).and_then(|base| name.get(..*base)).unwrap_or(name)
            }
            _ => name,
        }
    }

    fn views_of(&mut self, views: Views, storage: S) {
        for n in 0..self.store.members(storage.id()).len() {
            let Some(member) = self.store.members(storage.id()).get(n).copied() else { break };
            let mut found = Vec::new();
            if !derive(views, self.store.bytes(member.value), &mut found) {
                self.too_many_views();
            }
            if !found.is_empty() {
                let name = self.store.bytes(member.name).to_vec();
                let base = name.len();
                self.add_derived(views, &name, base, found, 1);
            }
            if self.views.over {
                break;
            }
        }
    }

    /// A value that is no argument becomes one, with the views of it.
    fn root_view(&mut self, views: Views, name: Vec<u8>, value: Slice) {
        let value = self.store.bytes(value).to_vec();
        let base = name.len();
        if self.add_view(name.clone(), base, &value) {
            let mut found = Vec::new();
            if !derive(views, &value, &mut found) {
                self.too_many_views();
            }
            self.add_derived(views, &name, base, found, 1);
        }
    }

    /// Recursion ends at [`MAX_DEPTH`].
    fn add_derived(&mut self, views: Views, name: &[u8], base: usize, found: Found, depth: u32) {
        for (suffix, value) in found {
            let name = [name, b"|", &suffix].concat();
            if !self.add_view(name.clone(), base, &value) {
                return;
            }
            if depth < MAX_DEPTH {
                let mut more = Vec::new();
                if !derive(views, &value, &mut more) {
                    self.too_many_views();
                }
                self.add_derived(views, &name, base, more, depth + 1);
            }
        }
    }

    fn too_many_views(&mut self) {
        if !self.views.over {
            self.views.over = true;
            let why = "the values hold more encoded data than `SmesecDecodedViews` looks into";
            self.limit(why, 403, self.on_limit);
        }
    }

    /// False when the bounds are reached, which is told once.
    fn add_view(&mut self, name: Vec<u8>, base: usize, value: &[u8]) -> bool {
        let bytes = self.views.bytes + name.len() + value.len();
        if self.views.bases.len() >= MAX_VIEWS || bytes > MAX_BYTES {
            self.too_many_views();
            return false;
        }
        self.views.bytes = bytes;
        self.views.bases.push(base);
        let (name, value) = (self.store.put(&name), self.store.put(value));
        self.store.add(S::ArgsDecoded.id(), name, value);
        true
    }
}

/// What follows the name, and the value.
type Found = Vec<(Vec<u8>, Vec<u8>)>;

/// False when a value holds more than is looked into.
fn derive(views: Views, value: &[u8], found: &mut Found) -> bool {
    let mut whole = true;
    if views.url2 && has_url_escape(value) {
        let mut out = Vec::new();
        if url_decode(value, &mut out) {
            found.push((b"url2".to_vec(), out));
        }
    }
    let trimmed = value.trim_ascii();
    if views.json && matches!(trimmed.first(), Some(b'{' | b'[')) {
        whole = json(trimmed, found);
    }
    if views.graphql && is_graphql(trimmed) {
        graphql(trimmed, found);
    }
    if views.base64
        && let Some(text) = base64(trimmed)
    {
        found.push((b"base64".to_vec(), text));
    }
    whole
}

fn has_url_escape(value: &[u8]) -> bool {
    memchr::memchr_iter(b'%', value).any(|at| {
        value.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The text that a value in Base64 or Base64url stands for.
fn base64(value: &[u8]) -> Option<Vec<u8>> {
    if value.len() < MIN_BASE64 {
        return None;
    }
    let mut packed = Vec::with_capacity(value.len());
    let body = value.strip_suffix(b"=").unwrap_or(value);
    let body = body.strip_suffix(b"=").unwrap_or(body);
    for byte in body {
        match byte {
            // A form turns the plus into a blank.
            b' ' => packed.push(b'+'),
            b'\r' | b'\n' | b'\t' => {}
            b'-' => packed.push(b'+'),
            b'_' => packed.push(b'/'),
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/') => {
                packed.push(*byte);
            }
            _ => return None,
        }
    }
    if packed.len() < MIN_BASE64 - 2 || packed.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::new();
    Transform::from_name("base64Decode")?.apply(&packed, &mut out);
    is_text(&out).then_some(out)
}

/// Whether rules on text have something to look at. Most of random bytes are not printable.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let control = |b: u8| (b < 0x20 && !matches!(b, b'\t' | b'\r' | b'\n')) || b == 0x7f;
    let odd = bytes.iter().filter(|b| control(**b)).count();
    if odd == 0 && std::str::from_utf8(bytes).is_ok() {
        return true;
    }
    let beyond = bytes.iter().filter(|b| !b.is_ascii()).count();
    (odd + beyond) * 10 <= bytes.len() * 3
}

/// False when the document goes beyond the limits.
fn json(document: &[u8], found: &mut Found) -> bool {
    let limits = JsonLimits {
        depth: 64,
        arguments: MAX_VIEWS + 1,
        string_bytes: MAX_BYTES,
        total_path_bytes: MAX_BYTES,
        ..JsonLimits::default()
    };
    let mut own = Vec::new();
    let mut each = |path: &[u8], value: &[u8]| own.push((path.to_vec(), value.to_vec()));
    let mut json = Json::new(limits);
    let read = json.feed(document, &mut each).and_then(|()| json.finish(&mut each));
    // What only begins like JSON is no document; one beyond the limits is, as far as it was read.
    let over = read.is_err_and(|error| error.what.is_limit());
    if read.is_ok() || over {
        found.append(&mut own);
    }
    !over
}

fn is_graphql(value: &[u8]) -> bool {
    value.ends_with(b"}")
        && [&b"{"[..], b"query", b"mutation", b"subscription", b"fragment"]
            .iter()
            .any(|start| value.starts_with(start))
}

/// The strings that a document hands to the server, under the names of their arguments.
fn graphql(document: &[u8], found: &mut Found) {
    let mut own = Vec::new();
    let mut argument: Vec<u8> = Vec::new();
    let read = parse_graphql(document, GraphqlLimits::default(), &mut |part| match part {
        GraphqlPart::Argument(name) => argument = name.to_vec(),
        GraphqlPart::String(text) if own.len() < MAX_VIEWS => {
            own.push(([b"graphql.", argument.as_slice()].concat(), text.to_vec()));
        }
        _ => {}
    });
    if read.is_ok() {
        found.append(&mut own);
    }
}

/// Headers that clients and proxies write by themselves in forms that rules for arguments misread, and
/// those that have variables of their own.
fn is_usual(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "host",
        "user-agent",
        "referer",
        "origin",
        "cookie",
        "authorization",
        "proxy-authorization",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "via",
        "forwarded",
        "date",
        "dnt",
        "range",
        "expect",
        "pragma",
        "cache-control",
        "priority",
        "upgrade-insecure-requests",
        "from",
        "max-forwards",
        "save-data",
        "x-requested-with",
        "traceparent",
        "tracestate",
        "baggage",
    ];
    const BEGINNINGS: &[&str] =
        &["accept", "content-", "if-", "sec-", "access-control-", "transfer-"];
    NAMES.iter().any(|known| known.as_bytes() == name)
        || BEGINNINGS.iter().any(|begin| name.starts_with(begin.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Views =
        Views { base64: true, url2: true, json: true, graphql: true, headers: true, path: true };

    fn seen(value: &[u8]) -> Vec<(String, String)> {
        let mut found = Vec::new();
        derive(ALL, value, &mut found);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        found.into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn hidden_values_are_found() {
        for (value, name, inside) in [
            (&b"PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="[..], "base64", "<script>alert(1)</script>"),
            (b"Pz8_Pj4-PDw8", "base64", "???>>><<<"),
            (b"Pz8/Pj4 PDw8", "base64", "???>>><<<"),
            (b"%27%20or%201", "url2", "' or 1"),
            (br#"{"a":["x"]}"#, "json.a.array_0", "x"),
            (b"query { user(name: \"o'hara\") { id } }", "graphql.name", "o'hara"),
        ] {
            assert_eq!(seen(value), [(name.to_owned(), inside.to_owned())]);
        }
        for value in [
            &b"username"[..],
            b"0123456789abcdef0123456789abcdef",
            b"100% sure",
            b"{x",
            b"[not json",
        ] {
            assert_eq!(seen(value), [], "{}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn usual_headers_stay_headers() {
        assert!(is_usual(b"accept-language") && is_usual(b"sec-ch-ua") && is_usual(b"host"));
        assert!(!is_usual(b"x-api-version") && !is_usual(b"x-forwarded-for"));
    }
}
