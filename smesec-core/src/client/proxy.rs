//! Proxies: plain HTTP is asked of them, TLS goes through a tunnel.

use super::connection::{Ask, Connection, Deadline, Timed, Wire};
use super::http1::{Limits, RequestHead};
use super::url::Url;
use crate::decode::transform::Transform;
use crate::error::ConfigError;
use crate::runner::ExchangeError;
use std::fmt;
use std::net::IpAddr;

/// Which requests go through a proxy. Nothing does unless this is handed to the
/// [`NetworkBuilder`](super::NetworkBuilder).
///
/// A proxy sees the target's address alone, so hosts asked through it have to be allowed as public
/// ones.
///
/// ```
/// use smesec_core::client::Proxies;
/// let proxies = Proxies::all("http://proxy.example:3128")?.except("localhost, .plant.example");
/// assert!(Proxies::all("https://proxy.example").is_err(), "proxies are spoken to without TLS");
/// # Ok::<(), smesec_core::error::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    /// Lower case, without the leading dot; `*` is all.
    except: Vec<String>,
}

/// One proxy.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of `Proxy-Authorization`.
    credentials: Option<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port)
    }
}

impl Proxies {
    /// One proxy for everything: `http://host:port`, or `http://user:password@host:port`.
    ///
    /// # Errors
    /// When it is no such URL.
    pub fn all(url: &str) -> Result<Self, ConfigError> {
        let proxy = Proxy::parse(url)?;
        Ok(Self { http: Some(proxy.clone()), https: Some(proxy), except: Vec::new() })
    }

    /// What `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` say. `HTTP_PROXY` is left unread: a
    /// web server may set it from a client's header.
    ///
    /// # Errors
    /// When one of them is no URL of a proxy.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let said = |names: &[&str]| {
            names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        };
        let proxy = |names: &[&str]| said(names).map(|url| Proxy::parse(&url)).transpose();
        let all = ["all_proxy", "ALL_PROXY"];
        let made = Self {
            http: proxy(&["http_proxy", all[0], all[1]])?,
            https: proxy(&["https_proxy", "HTTPS_PROXY", all[0], all[1]])?,
            except: Vec::new(),
        };
        Ok(made.except(&said(&["no_proxy", "NO_PROXY"]).unwrap_or_default()))
    }

    /// Hosts asked directly, between commas: `host` with all below it, an address, or `*`.
    pub fn except(mut self, hosts: &str) -> Self {
        let hosts = hosts.split(',').map(|host| host.trim().trim_start_matches('.'));
        self.except.extend(hosts.filter(|host| !host.is_empty()).map(str::to_ascii_lowercase));
        self
    }

    pub(super) fn of(&self, url: &Url) -> Option<&Proxy> {
        let proxy = if url.tls { self.https.as_ref() } else { self.http.as_ref() };
        let host = url.host.as_str();
        let is_address = host.parse::<IpAddr>().is_ok();
        let spared = self.except.iter().any(|except| {
            except == "*"
                || except == host
                || (!is_address
                    && host.strip_suffix(except.as_str()).is_some_and(|left| left.ends_with('.')))
        });
        proxy.filter(|_| !spared)
    }
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        // The text may hold a password, so errors leave it out.
        let (start, userinfo, rest) = match text.rsplit_once('@') {
            Some((before, rest)) => {
                let (scheme, userinfo) = before.split_once("://").unwrap_or(("http", before));
                (format!("{scheme}://"), Some(userinfo), rest)
            }
            None if text.contains("://") => (String::new(), None, text),
            None => ("http://".to_owned(), None, text),
        };
        let url = Url::parse(&format!("{start}{rest}"))
            .map_err(|e| ConfigError::new(format!("no proxy: {e}")))?;
        if url.tls {
            return Err(ConfigError::new(format!(
                "the proxy `{}` is named with https; proxies are spoken to over http",
                url.host_and_port()
            )));
        }
        let credentials = userinfo.map(|userinfo| {
            let (mut plain, mut coded) = (Vec::new(), Vec::new());
            // A `+` is no blank here, as it is in forms.
            let userinfo = userinfo.replace('+', "%2B");
            if !Transform::UrlDecode.apply(userinfo.as_bytes(), &mut plain) {
                plain = userinfo.into_bytes();
            }
            Transform::Base64Encode.apply(&plain, &mut coded);
            format!("Basic {}", String::from_utf8_lossy(&coded))
        });
        Ok(Self { host: url.host, port: url.port, credentials })
    }

    /// The headers that a plain request to the proxy carries besides its own.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        self.credentials.iter().map(|value| ("Proxy-Authorization", value.clone())).collect()
    }

    /// A tunnel to the URL's host through a connection to the proxy.
    pub(super) fn tunnel(
        &self,
        timed: Timed,
        url: &Url,
        deadline: Deadline,
    ) -> Result<Timed, ExchangeError> {
        let to = url.host_and_port();
        let mut bytes = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        for (name, value) in self.headers() {
            bytes.extend([name, ": ", &value, "\r\n"]);
        }
        bytes.push_str("\r\n");
        let early =
            || ExchangeError::Malformed("the proxy spoke before the tunnel began".to_owned());
        let head = RequestHead::of_bytes(bytes.into_bytes());
        let mut connection = Connection::new(Wire::Plain(timed));
        let ask = Ask { head: &head, body: &[], method: "CONNECT", limits: Limits::default() };
        let answer = connection.exchange(ask, deadline).map_err(|broken| broken.error)?;
        let status = answer.response.status;
        if !(200..300).contains(&status) {
            return Err(ExchangeError::Connection(format!(
                "the proxy `{}:{}` refused a tunnel to `{to}` with {status} {}",
                self.host, self.port, answer.response.reason
            )));
        }
        match connection.into_wire() {
            Wire::Plain(timed) if answer.clean => Ok(timed),
            _ => Err(early()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_chosen_by_scheme_and_host() {
        let proxies = Proxies::all("http://ann:p%40ss@proxy.example:3128").unwrap();
        let proxies = proxies.except("localhost, .plant.example,10.0.0.1");
        let of = |url: &str| proxies.of(&Url::parse(url).unwrap()).cloned();
        let found = of("http://shop.example/").unwrap();
        assert_eq!((found.host.as_str(), found.port), ("proxy.example", 3128));
        assert_eq!(found.headers(), [("Proxy-Authorization", "Basic YW5uOnBAc3M=".to_owned())]);
        assert!(!format!("{found:?}").contains("p@ss"));
        for direct in [
            "http://localhost/",
            "https://a.plant.example/",
            "http://plant.example/",
            "http://10.0.0.1/",
        ] {
            assert_eq!(of(direct), None, "{direct}");
        }
        for proxied in ["http://xlocalhost/", "http://xplant.example/", "http://110.0.0.1/"] {
            assert!(of(proxied).is_some(), "{proxied}");
        }
        assert_eq!(Proxies::all("proxy:1").unwrap().http.unwrap().port, 1);
        let told = Proxies::all("https://ann:geheim@h").unwrap_err().to_string();
        assert!(!told.contains("geheim"), "{told}");
        let told = Proxies::all("http://ann:geheim@h:x").unwrap_err().to_string();
        assert!(!told.contains("geheim"), "{told}");
    }
}
