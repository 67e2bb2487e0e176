//! A test's cookies (RFC 6265): which answers set, which a request carries.

use crate::taas::url::Url;
use crate::time::Timestamp;

/// Cookies of one test; browsers keep 3,000 for all sites.
const MOST: usize = 1_000;

/// One cookie.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cookie {
    pub(super) name: String,
    pub(super) value: String,
    domain: String,
    /// Whether it goes to that host alone, not to those below it.
    host_only: bool,
    path: String,
    secure: bool,
    /// When it ends; `None` with the session.
    expires: Option<Timestamp>,
}

/// The cookies of a test.
#[derive(Debug, Default)]
pub(super) struct Jar {
    cookies: Vec<Cookie>,
}

impl Jar {
    /// Takes in a `Set-Cookie`, and returns the name of the cookie that it sets; `None` where it sets none
    /// or ends one.
    pub(super) fn store(&mut self, header: &[u8], url: &Url, now: Timestamp) -> Option<String> {
        let text = String::from_utf8_lossy(header);
        let cookie = parse(&text, url, now)?;
        self.cookies.retain(|known| {
            known.name != cookie.name || known.domain != cookie.domain || known.path != cookie.path
        });
        if cookie.expires.is_some_and(|end| end <= now) || self.cookies.len() >= MOST {
            return None;
        }
        let name = cookie.name.clone();
        self.cookies.push(cookie);
        Some(name)
    }

    /// The cookies that a request to `url` carries, those of longer paths first.
    pub(super) fn for_url(&self, url: &Url, now: Timestamp) -> Vec<&Cookie> {
        let host = url.host();
        let fits = |cookie: &&Cookie| {
            let domain =
                if cookie.host_only { host == cookie.domain } else { within(host, &cookie.domain) };
            domain
                && under(&url.path, &cookie.path)
                && (!cookie.secure || url.scheme == "https")
                && cookie.expires.is_none_or(|end| end > now)
        };
        let mut found: Vec<&Cookie> = self.cookies.iter().filter(fits).collect();
        found.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        found
    }

    /// The newest cookie of a name, wherever it is from.
    pub(super) fn named(&self, name: &str) -> Option<&Cookie> {
        self.cookies.iter().rev().find(|cookie| cookie.name == name)
    }

    /// Drops those that end with the session.
    pub(super) fn end_session(&mut self) {
        self.cookies.retain(|cookie| cookie.expires.is_some());
    }
}

fn parse(text: &str, url: &Url, now: Timestamp) -> Option<Cookie> {
    let mut parts = text.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() {
        return None;
    }
    let mut cookie = Cookie {
        name: name.to_owned(),
        value: value.to_owned(),
        domain: url.host().to_owned(),
        host_only: true,
        path: default_path(&url.path).to_owned(),
        secure: false,
        expires: None,
    };
    let mut lasts = None;
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
        match key.as_str() {
            "domain" if !value.is_empty() => {
                let domain = value.trim_start_matches('.').to_ascii_lowercase();
                if !within(url.host(), &domain) {
                    return None;
                }
                cookie.host_only = false;
                cookie.domain = domain;
            }
            "path" if value.starts_with('/') => value.clone_into(&mut cookie.path),
            "secure" => cookie.secure = true,
            "expires" => cookie.expires = date(value).or(cookie.expires),
            "max-age" => lasts = value.parse::<i64>().ok(),
            _ => {}
        }
    }
    if let Some(seconds) = lasts {
        cookie.expires = Some(if seconds <= 0 { now } else { now.plus_seconds(seconds) });
    }
    Some(cookie)
}

fn within(host: &str, domain: &str) -> bool {
    host == domain
        || host.strip_suffix(domain).is_some_and(|rest| {
            rest.ends_with('.') && !host.bytes().all(|c| c.is_ascii_digit() || c == b'.')
        })
}

fn under(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || folder.ends_with('/') || rest.starts_with('/'))
}

fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => path.get(..at).unwrap_or("/"),
    }
}

/// A cookie's date (RFC 6265, section 5.1.1): its parts in any order.
pub(in crate::taas) fn date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let (mut clock, mut day, mut month, mut year) = (None, None, None, None);
    for word in
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').filter(|w| !w.is_empty())
    {
        let mut parts = word.split(':').map(|part| part.parse::<i64>().ok());
        if word.contains(':') {
            if let (Some(Some(h)), Some(Some(m)), Some(Some(s))) =
                (parts.next(), parts.next(), parts.next())
                && h < 24
                && m < 60
                && s < 60
            {
                clock = clock.or(Some(h * 3_600 + m * 60 + s));
            }
        } else if let Ok(number) = word.parse::<i64>() {
            if day.is_none() && word.len() <= 2 && (1..=31).contains(&number) {
                day = Some(number);
            } else if year.is_none() && (word.len() == 2 || word.len() == 4) {
                year = Some(match number {
                    70..=99 => number + 1_900,
                    0..=69 => number + 2_000,
                    number => number,
                });
            }
        } else {
            let head = word.get(..3).unwrap_or_default().to_ascii_lowercase();
            let at = MONTHS.iter().position(|name| *name == head);
            month = month.or(at.and_then(|at| i64::try_from(at + 1).ok()));
        }
    }
    let days = Timestamp::days_from_civil(year.filter(|y| *y >= 1_601)?, month?, day?);
    Some(Timestamp::from_unix_seconds(days.checked_mul(86_400)?.checked_add(clock?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

    fn carried(jar: &Jar, url: &str) -> String {
        let url = Url::parse(url).unwrap();
        let pairs = jar.for_url(&url, NOW);
        pairs.iter().map(|c| format!("{}={}", c.name, c.value)).collect::<Vec<_>>().join("; ")
    }

    fn jar(headers: &[&str], url: &str) -> Jar {
        let mut jar = Jar::default();
        for header in headers {
            jar.store(header.as_bytes(), &Url::parse(url).unwrap(), NOW);
        }
        jar
    }

    #[test]
    fn hosts_paths_and_tls_decide_what_is_carried() {
        let jar = jar(
            &[
                "a=1",
                "b=2; Path=/x",
                "c=3; Domain=shop.test; Path=/",
                "d=4; Secure; Path=/",
                "e=5; Domain=evil.test",
            ],
            "http://www.shop.test/x/y",
        );
        assert_eq!(carried(&jar, "http://www.shop.test/x/z"), "a=1; b=2; c=3");
        assert_eq!(carried(&jar, "https://www.shop.test/"), "c=3; d=4");
        assert_eq!(carried(&jar, "http://api.shop.test/x/"), "c=3");
        assert_eq!(carried(&jar, "http://www.shop.test/xx"), "c=3");
        assert_eq!(carried(&jar, "http://notshop.test/"), "");
    }

    #[test]
    fn cookies_end_when_they_say() {
        let url = "http://h/";
        let mut jar =
            jar(&["a=1; Max-Age=60", "b=2", "c=3; Expires=Wed, 01 Jan 2031 00:00:00 GMT"], url);
        assert_eq!(carried(&jar, url), "a=1; b=2; c=3");
        let parsed = Url::parse(url).unwrap();
        assert_eq!(jar.store(b"b=; Expires=Thu, 01-Jan-1970 00:00:00 GMT", &parsed, NOW), None);
        assert_eq!(carried(&jar, url), "a=1; c=3");
        assert_eq!(jar.for_url(&parsed, NOW.plus_seconds(61)).len(), 1);
        jar.store(b"s=9", &parsed, NOW);
        jar.end_session();
        assert!(jar.named("s").is_none() && jar.named("a").is_some());
    }

    #[test]
    fn what_is_no_cookie_sets_none() {
        let mut jar = Jar::default();
        let url = Url::parse("http://10.0.0.1/").unwrap();
        for header in ["", "=x", "novalue", "a=b; Domain=0.0.1", "a=b; Domain=com"] {
            assert_eq!(jar.store(header.as_bytes(), &url, NOW), None, "{header}");
        }
        assert_eq!(date("soon"), None);
    }
}
