//! What goes on: framing is made anew on both sides, and what one hop says to the next stays with
//! it (RFC 9110, section 7.6.1; RFC 9112, section 6).

use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::http::uri::Scheme;
use hyper::{Method, Version};
use std::net::SocketAddr;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Why a request may not go on although the server could read it, with the status.
pub(super) fn fault(parts: &Parts) -> Option<(u16, &'static str)> {
    if parts.method == Method::CONNECT {
        return Some((405, "CONNECT asks for a forward proxy"));
    }
    let hosts = parts.headers.get_all(HOST).iter().count();
    if parts.version == Version::HTTP_11 && hosts != 1 {
        return Some((400, "a request of HTTP/1.1 needs one `Host` header"));
    }
    if hosts > 1 {
        return Some((400, "several `Host` headers"));
    }
    let given = parts.headers.get(HOST).map(HeaderValue::as_bytes);
    if given.is_some_and(|host| !names_a_host(host))
        || parts
            .uri
            .authority()
            .is_some_and(|authority| !names_a_host(authority.as_str().as_bytes()))
    {
        return Some((400, "a `Host` that is no name or address with a port at most"));
    }
    let encodings = parts.headers.get_all(TRANSFER_ENCODING).iter().count();
    if encodings > 0 {
        if parts.version != Version::HTTP_11 {
            return Some((400, "`Transfer-Encoding` outside of HTTP/1.1"));
        }
        if parts.headers.contains_key(CONTENT_LENGTH) {
            return Some((400, "`Transfer-Encoding` and `Content-Length` in one request"));
        }
        let plain = parts
            .headers
            .get(TRANSFER_ENCODING)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if encodings > 1 || !plain {
            return Some((400, "a `Transfer-Encoding` other than `chunked`"));
        }
    }
    None
}

/// Whether this is `host [ ":" port ]` (RFC 9110, section 7.2; the letters of RFC 3986, section
/// 3.2.2). An empty name is one; markup, another's user name or a path would reach the pages and
/// links of an application that trusts the header.
fn names_a_host(given: &[u8]) -> bool {
    let (name, rest) = match given.split_first() {
        Some((b'[', rest)) => match rest.iter().position(|b| *b == b']') {
            Some(end) => {
                let (address, rest) = rest.split_at(end);
                let is_literal = |b: &u8| b.is_ascii_alphanumeric() || b":.-_~".contains(b);
                if address.is_empty() || !address.iter().all(is_literal) {
                    return false;
                }
                (&[][..], rest.get(1..).unwrap_or_default())
            }
            None => return false,
        },
        _ => given.split_at(given.iter().position(|b| *b == b':').unwrap_or(given.len())),
    };
    let port = match rest {
        [] => rest,
        [b':', port @ ..] => port,
        _ => return false,
    };
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(b);
    name.iter().all(is_name) && port.iter().all(u8::is_ascii_digit)
}

/// The name that the client asks for: lower case, without the port.
pub(super) fn requested_host(parts: &Parts) -> String {
    let given = parts.uri.authority().map_or_else(
        || parts.headers.get(HOST).map_or("", |host| host.to_str().unwrap_or("")),
        |authority| authority.as_str(),
    );
    let without_port = match given.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => given,
    };
    without_port.trim_end_matches('.').to_ascii_lowercase()
}

/// Whether the client asks to turn the connection into a WebSocket (RFC 6455, section 4.1).
pub(super) fn asks_for_websocket(parts: &Parts) -> bool {
    parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && has_token(&parts.headers, &CONNECTION, "upgrade")
        && has_token(&parts.headers, &UPGRADE, "websocket")
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}

/// Takes away what belongs to one hop only.
pub(super) fn strip_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|word| word.trim().parse().ok())
        // A client that names these would have the next hop miss what this one inspected.
        .filter(|name: &HeaderName| *name != HOST && *name != COOKIE && *name != CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
    // Chunks override a length beside them, which must not go on (RFC 9112, section 6.3): the next hop would take
    // the first bytes for the whole body and the rest for another answer.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE]
    {
        headers.remove(name);
    }
}

/// What the filter and the upstream both see in one way only: several cookie lines (HTTP/2 sends
/// crumbs, RFC 9113, section 8.2.3) become one, `:authority` becomes `Host`.
pub(super) fn unify(parts: &mut Parts) {
    if parts.headers.get_all(COOKIE).iter().nth(1).is_some() {
        let crumbs: Vec<&[u8]> =
            parts.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
            parts.headers.insert(COOKIE, whole);
        }
    }
    if let Some(authority) = parts.uri.authority()
        && let Ok(value) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(HOST, value);
    }
}

/// Whom a request comes from, as the upstream shall hear it.
pub(super) struct Hop {
    pub(super) client: SocketAddr,
    /// The other end of the connection, which may be a proxy before us.
    pub(super) peer: SocketAddr,
    /// Whether what the peer says of those before it is believed.
    pub(super) trusted: bool,
    pub(super) scheme: Scheme,
}

/// What a request becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    Plain,
    /// The handshake's headers stay.
    WebSocket,
}

/// Makes the request's head fit for the upstream.
pub(super) fn onward(headers: &mut HeaderMap, hop: &Hop, onward: Onward) {
    strip_hop(headers);
    headers.remove(EXPECT);
    headers.remove(CONTENT_LENGTH);
    // Python and PHP read `X_Forwarded_For` as `X-Forwarded-For`: only we may say these.
    let doubles: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().contains('_'))
        .filter(|name| {
            let plain = name.as_str().replace('_', "-");
            plain.starts_with("x-forwarded-")
                || ["forwarded", "x-real-ip", "host", "content-length", "transfer-encoding"]
                    .contains(&plain.as_str())
        })
        .cloned()
        .collect();
    for name in doubles {
        headers.remove(name);
    }
    let address = |address: SocketAddr| HeaderValue::from_str(&address.ip().to_string()).ok();
    if hop.trusted {
        if let Some(peer) = address(hop.peer) {
            headers.append(FORWARDED_FOR, peer);
        }
    } else {
        for name in [FORWARDED, FORWARDED_HOST, FORWARDED_PORT] {
            headers.remove(name);
        }
        headers.remove(FORWARDED_PROTO);
        if let Some(client) = address(hop.client) {
            headers.insert(FORWARDED_FOR, client);
        }
    }
    if let Some(client) = address(hop.client) {
        headers.insert(REAL_IP, client);
    }
    if !headers.contains_key(FORWARDED_PROTO) {
        let scheme = if hop.scheme == Scheme::HTTPS { "https" } else { "http" };
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    if onward == Onward::WebSocket {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn parts(
        build: impl FnOnce(hyper::http::request::Builder) -> hyper::http::request::Builder,
    ) -> Parts {
        build(Request::builder().version(Version::HTTP_11)).body(()).unwrap().into_parts().0
    }

    #[test]
    fn requests_that_two_servers_would_read_differently_stay_here() {
        let status = |p: &Parts| fault(p).map(|(status, _)| status);
        assert_eq!(status(&parts(|b| b.header("host", "a"))), None);
        assert_eq!(status(&parts(|b| b)), Some(400));
        assert_eq!(status(&parts(|b| b.header("host", "a").header("host", "b"))), Some(400));
        assert_eq!(
            status(&parts(|b| b
                .header("host", "a")
                .header("transfer-encoding", "chunked")
                .header("content-length", "3"))),
            Some(400)
        );
        assert_eq!(
            status(&parts(|b| b.header("host", "a").header("transfer-encoding", "gzip, chunked"))),
            Some(400)
        );
        assert_eq!(status(&parts(|b| b.method("CONNECT").uri("a:80"))), Some(405));
        for host in
            ["", "shop.example:80", "shop.example.", "a_b.example", "[::1]:8443", "[fe80::1]", "a:"]
        {
            assert_eq!(status(&parts(|b| b.header("host", host))), None, "{host}");
        }
        for host in [
            "a\"><script>",
            "a b",
            "a/b",
            "a?b",
            "user@a",
            "a:80:90",
            "a:8o",
            "[::1",
            "[]",
            "[::1]80",
            "a\\b",
            "a#b",
            "[<b>]",
        ] {
            assert_eq!(status(&parts(|b| b.header("host", host))), Some(400), "{host}");
        }
    }

    #[test]
    fn one_hop_s_words_stay_with_it() {
        let mut p = parts(|b| {
            b.header("host", "a")
                .header("connection", "close, x-secret, cookie")
                .header("x-secret", "1")
                .header("cookie", "a=1")
                .header("te", "trailers")
                .header("x_forwarded_for", "1.1.1.1")
                .header("x-forwarded-for", "2.2.2.2")
                .header("x-forwarded-host", "evil")
        });
        let client = "192.0.2.1:5".parse().unwrap();
        let hop = Hop { client, peer: client, trusted: false, scheme: Scheme::HTTPS };
        onward(&mut p.headers, &hop, Onward::Plain);
        let mut told: Vec<_> =
            p.headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        told.sort_unstable();
        assert_eq!(
            told,
            [
                "cookie: a=1",
                "host: a",
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-proto: https",
                "x-real-ip: 192.0.2.1",
            ]
            .map(str::to_owned)
        );
    }

    #[test]
    fn cookie_crumbs_become_one_line() {
        let mut p = parts(|b| {
            b.uri("https://shop.example:8443/a").header("cookie", "a=1").header("cookie", "b=2")
        });
        unify(&mut p);
        assert_eq!(p.headers["cookie"], "a=1; b=2");
        assert_eq!(p.headers["host"], "shop.example:8443");
        assert_eq!(requested_host(&p), "shop.example");
    }

    #[test]
    fn names_of_hosts() {
        let named = |host: &str| requested_host(&parts(|b| b.header("host", host)));
        assert_eq!(named("Shop.Example:80"), "shop.example");
        assert_eq!(named("shop.example."), "shop.example");
        assert_eq!(named("[::1]:80"), "[::1]");
        assert_eq!(named("[::1]"), "[::1]");
    }
}
