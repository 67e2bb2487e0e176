//! A request's head as it goes over the wire.

use crate::client::url::Url;
use crate::runner::{ExchangeError, Request};

/// How the target is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::client) enum Form {
    /// Path and query.
    Origin,
    /// The whole URL, as proxies want it.
    Absolute,
}

/// A head ready to be sent.
#[derive(Debug)]
pub(in crate::client) struct RequestHead {
    pub(in crate::client) bytes: Vec<u8>,
    /// Whether the body waits for the server's word.
    pub(in crate::client) expects_continue: bool,
    /// Whether the connection may serve another request: not where the test frames the body itself
    /// in a way that does not fit it, or asks for the end.
    pub(in crate::client) keeps_alive: bool,
}

impl RequestHead {
    /// `extra` goes behind the headers of the test, for a proxy.
    pub(in crate::client) fn new(
        request: &Request,
        url: &Url,
        form: Form,
        extra: &[(&str, String)],
    ) -> Result<Self, ExchangeError> {
        checked(request)?;
        let mut bytes = Vec::with_capacity(256 + request.headers.len() * 40);
        bytes.extend_from_slice(request.method.as_bytes());
        bytes.push(b' ');
        match form {
            Form::Origin => bytes.extend_from_slice(url.target.as_bytes()),
            Form::Absolute => bytes.extend_from_slice(url.absolute().as_bytes()),
        }
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        let (mut host, mut framed, mut fits) = (false, false, true);
        let (mut expects_continue, mut close) = (false, false);
        for (name, value) in &request.headers {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("host") {
                host = true;
            } else if is("content-length") {
                // Twice is as wrong as another number.
                fits &= !framed && value == request.body.len().to_string().as_bytes();
                framed = true;
            } else if is("transfer-encoding") {
                (framed, fits) = (true, false);
            } else if is("expect") {
                expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
            } else if is("connection") {
                close |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"close"));
            }
        }
        if !host {
            line(&mut bytes, "Host", url.authority().as_bytes());
        }
        for (name, value) in &request.headers {
            line(&mut bytes, name, value);
        }
        let has_body = matches!(request.method.as_str(), "POST" | "PUT" | "PATCH");
        if !framed && (has_body || !request.body.is_empty()) {
            line(&mut bytes, "Content-Length", request.body.len().to_string().as_bytes());
        }
        for (name, value) in extra {
            line(&mut bytes, name, value.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        expects_continue &= !request.body.is_empty();
        Ok(Self { bytes, expects_continue, keeps_alive: fits && !close })
    }
}

impl RequestHead {
    /// A head without a body that was written by hand.
    pub(in crate::client) const fn of_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, expects_continue: false, keeps_alive: true }
    }
}

/// What would end a line early and so become a second request or header is refused.
fn checked(request: &Request) -> Result<(), ExchangeError> {
    let refuse = |why: String| Err(ExchangeError::Request(why));
    if !is_token(request.method.as_bytes()) {
        return refuse(format!("`{}` is no method", request.method.escape_debug()));
    }
    for (name, value) in &request.headers {
        if !is_token(name.as_bytes()) {
            return refuse(format!("`{}` is no header name", name.escape_debug()));
        }
        if value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return refuse(format!("the value of the header `{name}` holds a line break or NUL"));
        }
    }
    Ok(())
}

/// Whether it is a token (RFC 9110, section 5.6.2).
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// The parts of a list between commas.
pub(super) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

fn line(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, headers: &[(&str, &str)], body: &str) -> Request {
        Request {
            method: method.into(),
            url: "http://h:81/p?q".into(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
                .collect(),
            body: body.into(),
            ..Request::default()
        }
    }

    fn head(request: &Request, form: Form) -> Result<RequestHead, ExchangeError> {
        RequestHead::new(request, &Url::parse(&request.url)?, form, &[])
    }

    fn text(request: &Request) -> String {
        String::from_utf8(head(request, Form::Origin).unwrap().bytes).unwrap()
    }

    #[test]
    fn headers_keep_order_and_case_and_what_lacks_is_added() {
        let sent = text(&request("POST", &[("X-b", "1"), ("x-A", "2"), ("X-b", "3")], "hello"));
        let expected = "POST /p?q HTTP/1.1\r\nHost: h:81\r\nX-b: 1\r\nx-A: 2\r\nX-b: 3\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(sent, expected);
        assert_eq!(
            text(&request("GET", &[("hOst", "other")], "")),
            "GET /p?q HTTP/1.1\r\nhOst: other\r\n\r\n"
        );
        assert!(text(&request("PUT", &[], "")).contains("Content-Length: 0\r\n"));
        let absolute = head(&request("GET", &[], ""), Form::Absolute).unwrap().bytes;
        assert!(absolute.starts_with(b"GET http://h:81/p?q HTTP/1.1\r\nHost: h:81\r\n"));
    }

    #[test]
    fn own_framing_is_sent_as_given_and_ends_the_connection_where_it_lies() {
        let lying = request("POST", &[("Content-Length", "4")], "hello");
        assert!(text(&lying).contains("Content-Length: 4\r\n\r\n"));
        for (headers, kept) in [
            (&[("Content-Length", "5")][..], true),
            (&[("Content-Length", "4")], false),
            (&[("Content-Length", "5"), ("content-length", "5")], false),
            (&[("Transfer-Encoding", "chunked")], false),
            (&[("Connection", "x, Close")], false),
            (&[("Connection", "keep-alive")], true),
        ] {
            let head = head(&request("POST", headers, "hello"), Form::Origin).unwrap();
            assert_eq!(head.keeps_alive, kept, "{headers:?}");
        }
    }

    #[test]
    fn what_would_break_a_line_is_refused() {
        for (method, name, value) in
            [("GE T", "a", "b"), ("GET", "a:", "b"), ("GET", "", "b"), ("GET", "a", "b\r\nc: d")]
        {
            let why = head(&request(method, &[(name, value)], ""), Form::Origin).unwrap_err();
            assert!(matches!(why, ExchangeError::Request(_)), "{why}");
        }
    }
}
