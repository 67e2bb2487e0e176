//! Absolute URLs of requests, taken apart.
//!
//! Paths stay as they are written, `..` and `%2e` included, since a test may be about them; only
//! bytes that a request line cannot carry are percent-encoded.

use crate::runner::ExchangeError;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

/// Longer ones are no URLs: servers take 8 KiB to 64 KiB.
const MAX_LENGTH: usize = 64 * 1024;

/// An `http` or `https` URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Url {
    pub(super) tls: bool,
    /// Lower case; an IPv6 address without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query, beginning with `/`.
    pub(super) target: String,
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, ExchangeError> {
        let refuse = |why: &str| Err(ExchangeError::Request(format!("`{}` {why}", shown(text))));
        if text.len() > MAX_LENGTH {
            return refuse("is longer than 65536 bytes");
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return refuse("is no absolute URL; write `http://host/path`");
        };
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return refuse("is neither `http` nor `https`"),
        };
        // `\` ends the authority for browsers and not for others; `host` below refuses it.
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if let Some((_, host)) = authority.rsplit_once('@') {
            // The text is left out: it holds a password.
            return Err(ExchangeError::Request(format!(
                "the URL for `{}` carries a user and a password; give them as `auth` instead",
                shown(host)
            )));
        }
        let (host, port) = match split_port(authority) {
            Ok(parts) => parts,
            Err(why) => return refuse(why),
        };
        let port = match port {
            None | Some("") => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(digits) => match digits.parse::<u16>() {
                Ok(port) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => port,
                _ => return refuse("has a port that is no number from 1 to 65535"),
            },
        };
        let host = match checked_host(host) {
            Ok(host) => host,
            Err(why) => return refuse(why),
        };
        Ok(Self { tls, host, port, target: target(rest) })
    }

    /// The host and, where it is not the scheme's own, the port: as the `Host` header has it.
    pub(super) fn authority(&self) -> String {
        let host = bracketed(&self.host);
        if self.port == if self.tls { 443 } else { 80 } {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// The host and always the port.
    pub(super) fn host_and_port(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }

    /// The whole, as a proxy wants it.
    pub(super) fn absolute(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.target)
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else {
            return Err("has a `[` without its `]`");
        };
        if !address.contains(':') {
            return Err("has brackets around what is no IPv6 address");
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((address, Some(port))),
            None if after.is_empty() => Ok((address, None)),
            None => Err("has something between `]` and the path"),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err("has an IPv6 address without brackets; write `http://[::1]/`")
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

fn checked_host(host: &str) -> Result<String, &'static str> {
    if host.is_empty() {
        return Err("names no host");
    }
    if host.contains(':') {
        let address: Ipv6Addr = host.parse().map_err(|_| "has an address that is no IPv6")?;
        return Ok(address.to_string());
    }
    if !host.is_ascii() {
        return Err("has a host that is not ASCII; write its `xn--` form");
    }
    if host.len() > 253
        || !host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    {
        return Err("has a host that is no name; allowed are letters, digits, `-`, `_` and `.`");
    }
    Ok(host.to_ascii_lowercase())
}

/// The literal address a host is, if it is one.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.parse().ok()
}

fn target(rest: &str) -> String {
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let mut out = String::with_capacity(rest.len() + 1);
    if !rest.starts_with('/') {
        out.push('/');
    }
    for byte in rest.bytes() {
        match byte {
            0..=b' ' | 0x7f.. | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                // Writing into a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// The head of a text for an error.
fn shown(text: &str) -> String {
    let mut head: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        head.push('…');
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (bool, String, u16, String) {
        let url = Url::parse(text).unwrap();
        (url.tls, url.host, url.port, url.target)
    }

    #[test]
    fn urls_come_apart() {
        for (text, tls, host, port, target) in [
            ("http://shop.example", false, "shop.example", 80, "/"),
            ("HTTPS://Shop.Example/a?b=c#d", true, "shop.example", 443, "/a?b=c"),
            ("http://shop.example?q=1", false, "shop.example", 80, "/?q=1"),
            ("http://[::1]:8080/x", false, "::1", 8080, "/x"),
            ("http://[0:0:0:0:0:0:0:1]/", false, "::1", 80, "/"),
            ("http://127.0.0.1:5003/a/../b//c", false, "127.0.0.1", 5003, "/a/../b//c"),
            (
                "http://h/ü \r\nX: y?a={b}%20[c]",
                false,
                "h",
                80,
                "/%C3%BC%20%0D%0AX:%20y?a=%7Bb%7D%20[c]",
            ),
            ("http://h:/", false, "h", 80, "/"),
        ] {
            assert_eq!(parts(text), (tls, host.to_owned(), port, target.to_owned()), "{text}");
        }
        assert_eq!(Url::parse("https://[::1]:443/").unwrap().authority(), "[::1]");
        assert_eq!(Url::parse("http://a:81/x").unwrap().absolute(), "http://a:81/x");
    }

    #[test]
    fn what_is_no_url_is_refused_with_the_reason() {
        for (text, why) in [
            ("/path", "no absolute URL"),
            ("ftp://h/", "neither `http` nor `https`"),
            ("http:///x", "names no host"),
            ("http://h:0/", "port"),
            ("http://h:+80/", "port"),
            ("http://h:65536/", "port"),
            ("http://::1/", "without brackets"),
            ("http://[::1/", "without its `]`"),
            ("http://[::1]x/", "between"),
            ("http://[v1.x]/", "no IPv6"),
            ("http://[127.0.0.1]/", "no IPv6"),
            ("http://[fe80::1%25eth0]/", "no IPv6"),
            ("http://münchen.example/", "xn--"),
            ("http://a b/", "no name"),
            ("http://h\\@evil/", "carries a user"),
            ("http://h\\x/", "no name"),
        ] {
            let told = Url::parse(text).unwrap_err().to_string();
            assert!(told.contains(why), "{text}: {told}");
        }
        let told = Url::parse("http://ann:geheim@h/").unwrap_err().to_string();
        assert!(told.contains("`auth`") && !told.contains("geheim"), "{told}");
    }
}
