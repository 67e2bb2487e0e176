//! The values of `smesec.toml`: from what is written to what it means, or to what to write instead.

use super::address::Network;
use crate::time::Timestamp;
use crate::waf::{Mode, check_target};
use hyper::http::uri::Authority;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is no address to listen on; write it as `0.0.0.0:8080` or `[::]:8080`")
    })
}

pub(super) fn exception_target(text: &str) -> Result<String, String> {
    check_target(text).map_err(|e| e.to_string())?;
    Ok(text.to_owned())
}

pub(super) fn network(text: &str) -> Result<Network, String> {
    text.parse()
}

pub(super) fn mode(text: &str) -> Result<Mode, String> {
    Ok(match text {
        "rules" => Mode::Rules,
        "block" => Mode::Block,
        "detect" => Mode::Detect,
        "off" => Mode::Off,
        _ => return Err(format!("`{text}` is no mode; write `rules`, `block`, `detect` or `off`")),
    })
}

pub(super) fn paranoia(level: &u8) -> Result<u8, String> {
    if (1..=4).contains(level) {
        Ok(*level)
    } else {
        Err(format!("`paranoia` of {level} is out of range; write 1 to 4"))
    }
}

pub(super) fn host_name(text: &str) -> Result<String, String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let write = |right: &str| Err(format!("`{text}` is no host name; write {right}"));
    if name == "*" {
        return Ok(name);
    }
    if name.parse::<Ipv6Addr>().is_ok() {
        return write(&format!("`[{name}]`"));
    }
    if let Some((host, port)) = name.rsplit_once(':')
        && !host.is_empty()
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        return write(&format!("`{host}`: a host serves all ports that the gateway listens on"));
    }
    if let Some(inner) = name.strip_prefix('[') {
        let inner = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        // The one form that clients send (RFC 5952).
        return inner
            .map_or_else(|| write("`[2001:db8::1]`"), |address| Ok(format!("[{address}]")));
    }
    if let Some(parent) = name.strip_prefix('.').filter(|parent| !parent.is_empty()) {
        return write(&format!("`*.{parent}` for all below it, `{parent}` for itself"));
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if name.strip_prefix("*.").unwrap_or(&name).split('.').all(is_label) {
        Ok(name)
    } else {
        write("`shop.example`, `*.shop.example` or `*`")
    }
}

pub(super) fn upstream(text: &str) -> Result<Authority, String> {
    let wrong = || format!("`{text}` is no upstream; write `http://127.0.0.1:3000`");
    if text.starts_with("https://") {
        return Err(format!(
            "`{text}`: upstreams over TLS are not supported yet; write `http://` and the address of a server on a trusted network"
        ));
    }
    let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
    let authority: Authority =
        rest.strip_suffix('/').unwrap_or(rest).parse().map_err(|_| wrong())?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(wrong());
    }
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(authority),
        Some(digits)
            if digits.bytes().all(|b| b.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|port| port > 0) =>
        {
            Ok(authority)
        }
        _ => Err(format!("`{text}`: `{port}` is no port; write `:1` to `:65535`")),
    }
}

/// `500ms`, `15s`, `5m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
    let scale = match unit.trim() {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    scale
        .zip(number.parse::<u64>().ok())
        .and_then(|(scale, number)| number.checked_mul(scale))
        .filter(|ms| (1..=86_400_000).contains(ms))
        .map(Duration::from_millis)
        .ok_or_else(|| {
            format!("`{text}` is no time; write `500ms`, `15s`, `5m` or `1h`, a day at most")
        })
}

/// `942100` or `942100-942999`.
pub(super) fn rule_range(text: &str) -> Result<(u64, u64), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
        _ => Err(format!("`{text}` names no rules; write `942100` or `942100-942999`")),
    }
}

pub(super) fn moment(at: &toml::value::Datetime) -> Result<Timestamp, String> {
    let wrong = || format!("`{at}` is no time; write a date such as 2030-01-31");
    let date = at.date.ok_or_else(wrong)?;
    let days = Timestamp::days_from_civil(date.year.into(), date.month.into(), date.day.into());
    let of_day = at.time.map_or(0, |t| {
        i64::from(t.hour) * 3_600 + i64::from(t.minute) * 60 + i64::from(t.second.unwrap_or(0))
    });
    let offset = match at.offset {
        Some(toml::value::Offset::Custom { minutes }) => i64::from(minutes) * 60,
        _ => 0,
    };
    Ok(Timestamp::from_unix_seconds(days * 86_400 + of_day - offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_reached_is_no_host_and_no_upstream() {
        let host = |name: &str| host_name(name);
        for (name, read) in [
            ("*", "*"),
            ("Shop.Example.", "shop.example"),
            ("*.shop_1.example", "*.shop_1.example"),
            ("192.0.2.7", "192.0.2.7"),
            ("[2001:DB8:0::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(host(name).unwrap(), read);
        }
        for (name, write) in [
            ("shop.example:8080", "write `shop.example`"),
            ("*.shop.example:8080", "write `*.shop.example`"),
            ("[::1]:80", "write `[::1]`"),
            ("::1", "write `[::1]`"),
            (".shop.example", "write `*.shop.example`"),
            ("[::x]", "write `[2001:db8::1]`"),
            ("shop..example", "write `shop.example`, `*"),
            ("", "write `shop.example`, `*"),
            (".", "write `shop.example`, `*"),
            ("http://shop.example", "write `shop.example`, `*"),
        ] {
            let why = host(name).unwrap_err();
            assert!(why.contains(&format!("is no host name; {write}")), "{why}");
        }
        for good in ["http://a", "http://a/", "http://a:1", "http://[::1]:65535/", "http://[::1]"] {
            upstream(good).unwrap();
        }
        for port in ["99999", "0", "65536", "", "+80"] {
            let why = upstream(&format!("http://127.0.0.1:{port}")).unwrap_err();
            assert!(why.ends_with("write `:1` to `:65535`") || port == "+80", "{why}");
        }
    }
}
