//! Who the client is: the PROXY protocol and `X-Forwarded-For`, believed from trusted hops only.

use super::address::Network;
use hyper::HeaderMap;
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// An IPv4 address as one, also where it came in the form for IPv6 (a listener on `[::]`, a hop's word): rules,
/// lists, logs and upstreams would take it for another client.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

/// The client as trusted hops tell it: `X-Forwarded-For` read from the right, each hop trusted
/// until the first that is not.
pub(super) fn client(peer: SocketAddr, headers: &HeaderMap, trusted: &[Network]) -> SocketAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if trusted.is_empty() || !is_trusted(peer.ip()) {
        return peer;
    }
    let mut client = peer;
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops {
        let Some(address) = std::str::from_utf8(hop).ok().and_then(|hop| address(hop.trim()))
        else {
            break;
        };
        client = address;
        if !is_trusted(address.ip()) {
            break;
        }
    }
    client
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)).or_else(|_| text.parse());
    address.ok().map(canonical)
}

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest first line of version 1 (PROXY protocol, section 2.1).
const V1_LONGEST: usize = 107;

/// Reads the PROXY header (version 1 or 2) that stands before everything else. `None` where the hop
/// speaks for itself (LOCAL, UNKNOWN).
///
/// # Errors
/// Where there is no such header: a trusted hop that is to send one speaks for no client without it. Other
/// peers are not asked for it.
pub(super) async fn proxy_header(stream: &mut TcpStream) -> std::io::Result<Option<SocketAddr>> {
    let bad = |why: &str| Error::new(ErrorKind::InvalidData, why.to_owned());
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    if head == V2 {
        let mut fixed = [0; 4];
        stream.read_exact(&mut fixed).await?;
        let [version, family, high, low] = fixed;
        let mut rest = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        stream.read_exact(&mut rest).await?;
        return match (version, family >> 4) {
            (0x20, _) | (0x21, 0 | 3) => Ok(None),
            (0x21, 1) => {
                v2_v4(&rest).map(Some).ok_or_else(|| bad("a PROXY header that is too short"))
            }
            (0x21, 2) => {
                v2_v6(&rest).map(Some).ok_or_else(|| bad("a PROXY header that is too short"))
            }
            _ => Err(bad("a PROXY header of an unknown version")),
        };
    }
    if !head.starts_with(b"PROXY ") {
        return Err(bad("no PROXY header"));
    }
    let mut line = head.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= V1_LONGEST {
            return Err(bad("a PROXY header without an end"));
        }
        line.push(stream.read_u8().await?);
    }
    let text = std::str::from_utf8(&line).map_err(|_| bad("a PROXY header that is no text"))?;
    v1(text.trim_end()).map_err(|()| bad("a PROXY header that names no address"))
}

/// `PROXY TCP4 source destination port port`; `None` where the hop speaks for itself.
fn v1(line: &str) -> Result<Option<SocketAddr>, ()> {
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    match words.as_slice() {
        ["UNKNOWN", ..] => Ok(None),
        [family @ ("TCP4" | "TCP6"), source, destination, source_port, port] => {
            let source: IpAddr = source.parse().map_err(drop)?;
            let _destination: IpAddr = destination.parse().map_err(drop)?;
            let source_port = source_port.parse().map_err(drop)?;
            let _port: u16 = port.parse().map_err(drop)?;
            let fits = source.is_ipv4() == (*family == "TCP4");
            if fits { Ok(Some(SocketAddr::new(source, source_port))) } else { Err(()) }
        }
        _ => Err(()),
    }
}

fn v2_v4(rest: &[u8]) -> Option<SocketAddr> {
    let (source, rest) = rest.split_first_chunk::<4>()?;
    let (_, rest) = rest.split_first_chunk::<4>()?;
    let (port, _) = rest.split_first_chunk::<2>()?;
    Some(SocketAddr::new(Ipv4Addr::from(*source).into(), u16::from_be_bytes(*port)))
}

fn v2_v6(rest: &[u8]) -> Option<SocketAddr> {
    let (source, rest) = rest.split_first_chunk::<16>()?;
    let (_, rest) = rest.split_first_chunk::<16>()?;
    let (port, _) = rest.split_first_chunk::<2>()?;
    Some(SocketAddr::new(Ipv6Addr::from(*source).into(), u16::from_be_bytes(*port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        client(peer.parse().unwrap(), &headers, &trusted).ip().to_string()
    }

    #[test]
    fn only_trusted_hops_are_believed() {
        assert_eq!(forwarded("192.0.2.9:1", &["203.0.113.1"]), "192.0.2.9", "a stranger's word");
        assert_eq!(forwarded("10.0.0.1:1", &["203.0.113.1"]), "203.0.113.1");
        assert_eq!(
            forwarded("10.0.0.1:1", &["198.51.100.1, 203.0.113.1, 10.0.0.2"]),
            "203.0.113.1",
            "what stands before the last untrusted hop is that hop's word"
        );
        assert_eq!(
            forwarded("10.0.0.1:1", &["1.1.1.1", "203.0.113.1"]),
            "203.0.113.1",
            "two lines"
        );
        assert_eq!(forwarded("10.0.0.1:1", &["203.0.113.1, nonsense"]), "10.0.0.1");
        assert_eq!(forwarded("10.0.0.1:1", &[]), "10.0.0.1");
        assert_eq!(forwarded("[::1]:1", &["[2001:db8::1]:4711"]), "2001:db8::1");
    }

    #[test]
    fn first_lines_of_version_1() {
        let read = |line: &str| v1(line).map(|a| a.map(|a| a.to_string()).unwrap_or_default());
        assert_eq!(read("PROXY TCP4 192.0.2.1 192.0.2.2 4711 80").unwrap(), "192.0.2.1:4711");
        assert_eq!(read("PROXY TCP6 2001:db8::1 ::1 4711 80").unwrap(), "[2001:db8::1]:4711");
        assert_eq!(read("PROXY UNKNOWN").unwrap(), "");
        for bad in [
            "PROXY",
            "PROXY TCP4",
            "PROXY TCP4 ::1 ::1 1 2",
            "PROXY TCP4 192.0.2.1 192.0.2.2 99999 80",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 80 x",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 80",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
