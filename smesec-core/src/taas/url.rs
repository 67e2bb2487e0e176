//! Absolute URLs, as far as a test needs them: parts, references to them, and encoding.

use crate::decode::body::form::{percent_decode, url_decode};
use std::fmt::{self, Write as _};

/// The parts of an absolute `http` or `https` URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Url {
    pub(super) scheme: String,
    /// Host and port, without user information.
    pub(super) authority: String,
    /// The path, at least `/`.
    pub(super) path: String,
    pub(super) query: Option<String>,
    /// The user and the password before the host, decoded; no text of the URL has them.
    pub(super) user: Option<(String, String)>,
}

impl Url {
    /// Takes an absolute URL apart; blanks and what is not ASCII are encoded.
    ///
    /// # Errors
    /// Says what is missing.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| format!("`{text}` is no absolute URL; write `http://host/path`"))?;
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err(format!(
                "`{scheme}` is no scheme that is offered; write `http` or `https`"
            ));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let user = user.filter(|user| !user.is_empty()).map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            (percent_decoded(name), percent_decoded(password))
        });
        if authority.is_empty() || authority.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err(format!("`{text}` names no host; write `http://host/path`"));
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self {
            scheme,
            authority: authority.to_ascii_lowercase(),
            path: quoted(path),
            query: query.map(quoted),
            user,
        })
    }

    /// What `reference` means in a document at this URL (RFC 3986, section 5.2).
    ///
    /// # Errors
    /// As [`Url::parse`].
    pub(super) fn join(&self, reference: &str) -> Result<Self, String> {
        let reference = reference.trim();
        let is_scheme = |s: &str| {
            s.starts_with(|c: char| c.is_ascii_alphabetic())
                && s.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        if reference.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme)) {
            return Self::parse(reference);
        }
        if let Some(rest) = reference.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme));
        }
        let reference = reference.split('#').next().unwrap_or_default();
        let (path, query) = match reference.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (reference, None),
        };
        let mut url = self.clone();
        // Whoever asked asks again; see `Act::send`.
        url.user = None;
        if path.is_empty() {
            if query.is_some() {
                url.query = query.map(quoted);
            }
            return Ok(url);
        }
        url.query = query.map(quoted);
        let merged = if path.starts_with('/') {
            path.to_owned()
        } else {
            let folder = self.path.rfind('/').and_then(|at| self.path.get(..=at)).unwrap_or("/");
            format!("{folder}{path}")
        };
        url.path = quoted(&without_dots(&merged));
        Ok(url)
    }

    /// The host without its port.
    pub(super) fn host(&self) -> &str {
        if let Some(end) = self.authority.strip_prefix('[').and_then(|rest| rest.find(']')) {
            return self.authority.get(..end + 2).unwrap_or_default();
        }
        self.authority.split(':').next().unwrap_or_default()
    }

    /// The host and the port: the scheme's own where none is written.
    pub(super) fn place(&self) -> Option<(String, Option<u16>)> {
        let host = self.host();
        let usual = if self.scheme == "https" { 443 } else { 80 };
        let port = self.authority.get(host.len()..)?.strip_prefix(':');
        let port = port.filter(|port| !port.is_empty());
        Some((host.to_owned(), Some(port.map_or(Some(usual), |port| port.parse().ok())?)))
    }

    /// The path and the query, as a request line and a digest have them.
    pub(super) fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// Adds parameters behind those that are there.
    pub(super) fn add_query(&mut self, encoded: &str) {
        if encoded.is_empty() {
            return;
        }
        let query = match self.query.take() {
            Some(query) if !query.is_empty() => format!("{query}&{encoded}"),
            _ => encoded.to_owned(),
        };
        self.query = Some(query);
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.target())
    }
}

/// `.` and `..` resolved (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            ".." => {
                out.pop();
                if last {
                    out.push("");
                }
            }
            "." if last => out.push(""),
            "." => {}
            part => out.push(part),
        }
    }
    format!("/{}", out.join("/"))
}

/// What may not stand in a URL, encoded; what is encoded already stays.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let hex = |n: usize| bytes.get(at + n).is_some_and(u8::is_ascii_hexdigit);
        let keep = byte.is_ascii_alphanumeric()
            || b"-._~!#$&'()*+,/:;=?@[]".contains(byte)
            || (*byte == b'%' && hex(1) && hex(2));
        if keep {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// One name or value of a form: blanks as `+`, the rest encoded (`quote_plus`).
pub(super) fn form_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else if byte == b' ' {
            out.push('+');
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A form's pairs, decoded; a name without a value is left out, as Python's `parse_qs` does.
pub(super) fn form_pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (form_decoded(name), form_decoded(value)))
        .collect()
}

/// `%40` as `@`; a `+` stays one outside forms.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    percent_decode(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn form_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    url_decode(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_resolve_as_rfc_3986_says() {
        let base = Url::parse("http://a:81/b/c/d?q").unwrap();
        for (reference, gives) in [
            ("g", "http://a:81/b/c/g"),
            ("./g/", "http://a:81/b/c/g/"),
            ("/g", "http://a:81/g"),
            ("//g", "http://g/"),
            ("?y", "http://a:81/b/c/d?y"),
            ("g?y#s", "http://a:81/b/c/g?y"),
            ("..", "http://a:81/b/"),
            ("../../../g", "http://a:81/g"),
            ("https://x/y", "https://x/y"),
            ("", "http://a:81/b/c/d?q"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), gives, "{reference}");
        }
        assert!(base.join("ftp://x").is_err() && base.join("http://").is_err());
    }

    #[test]
    fn parts_and_encoding() {
        let url = Url::parse("HTTP://me:pw@Host:5003?a=b c&d=é%20%").unwrap();
        assert_eq!(url.to_string(), "http://host:5003/?a=b%20c&d=%C3%A9%20%25");
        assert_eq!(url.host(), "host");
        assert_eq!(url.user, Some(("me".to_owned(), "pw".to_owned())));
        let url = Url::parse("https://a%40b:p+%2F@host").unwrap();
        assert_eq!(url.user, Some(("a@b".to_owned(), "p+/".to_owned())));
        assert_eq!(url.place(), Some(("host".to_owned(), Some(443))));
        let url = Url::parse("http://[::1]:8080").unwrap();
        assert_eq!(url.place(), Some(("[::1]".to_owned(), Some(8080))));
        let url = Url::parse("https://[::1]/").unwrap();
        assert_eq!(url.host(), "[::1]");
        assert_eq!(form_encoded("a b&é"), "a+b%26%C3%A9");
        assert_eq!(
            form_pairs("a=1&b=&c&d=x+y%3F"),
            [("a".to_owned(), "1".to_owned()), ("d".to_owned(), "x y?".to_owned())]
        );
        assert!(Url::parse("localhost/x").is_err());
    }
}
