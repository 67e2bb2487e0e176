//! Packets of MQTT 3.1.1 to bytes, and from bytes in any pieces.

use crate::runner::{ExchangeError, Message, MessageOptions};

/// Bytes of one packet that are taken. 1 MiB: meters send some hundred bytes, and the format would
/// allow 256 MiB.
pub const MAX_PACKET: usize = 1024 * 1024;

/// What a broker sends.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "the packets of 3.1.1 are complete")]
pub enum Packet {
    /// It answers a connection: the code, 0 for yes.
    ConnAck(u8),
    /// A message; with its number where its quality is above 0.
    Publish(Message, Option<u16>),
    /// It has a message of quality 1.
    PubAck(u16),
    /// It has a message of quality 2.
    PubRec(u16),
    /// It hands a message of quality 2 over for good.
    PubRel(u16),
    /// It is done with a message of quality 2.
    PubComp(u16),
    /// It answers a subscription: the quality granted for each filter, 128 for none.
    SubAck(u16, Vec<u8>),
    /// It answers the end of a subscription.
    UnsubAck(u16),
    /// It lives.
    PingResp,
}

/// Reads the packet that `bytes` begin with, and its length; `None` where it has not come whole.
///
/// ```
/// use smesec_core::client::mqtt::packet::{Packet, read};
/// assert_eq!(read(&[0x20, 2, 0, 0])?, Some((Packet::ConnAck(0), 4)));
/// assert_eq!(read(&[0x20, 2, 0])?, None);
/// # Ok::<(), smesec_core::runner::ExchangeError>(())
/// ```
///
/// # Errors
/// When they begin no packet that a broker may send, or one longer than [`MAX_PACKET`].
pub fn read(bytes: &[u8]) -> Result<Option<(Packet, usize)>, ExchangeError> {
    let Some(first) = bytes.first() else { return Ok(None) };
    let Some((length, start)) = remaining_length(bytes)? else { return Ok(None) };
    let end = start + length;
    let Some(content) = bytes.get(start..end) else { return Ok(None) };
    let (kind, flags) = (first >> 4, first & 15);
    let packet = content_of(kind, flags, content).ok_or_else(|| {
        let shown = bytes.get(..end.min(32)).unwrap_or_default().escape_ascii();
        ExchangeError::Malformed(format!("no packet that an MQTT broker sends: `{shown}`"))
    })?;
    Ok(Some((packet, end)))
}

/// The length behind a packet's first byte, and where its content begins.
fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, ExchangeError> {
    let mut length = 0;
    for at in 1..=4 {
        let Some(byte) = bytes.get(at) else { return Ok(None) };
        length |= usize::from(byte & 127) << (7 * (at - 1));
        if byte & 128 == 0 {
            if length > MAX_PACKET {
                return Err(ExchangeError::TooLarge(u64::try_from(MAX_PACKET).unwrap_or(u64::MAX)));
            }
            return Ok(Some((length, at + 1)));
        }
    }
    Err(ExchangeError::Malformed("an MQTT packet's length has more than four bytes".to_owned()))
}

fn content_of(kind: u8, flags: u8, content: &[u8]) -> Option<Packet> {
    // Whole contents only: what is left over is a packet read wrongly.
    let number = || match content {
        [high, low] => Some(u16::from_be_bytes([*high, *low])).filter(|number| *number > 0),
        _ => None,
    };
    Some(match (kind, flags) {
        (2, 0) => match content {
            [0 | 1, code] => Packet::ConnAck(*code),
            _ => return None,
        },
        (3, _) => return publish(flags, content),
        (4, 0) => Packet::PubAck(number()?),
        (5, 0) => Packet::PubRec(number()?),
        (6, 2) => Packet::PubRel(number()?),
        (7, 0) => Packet::PubComp(number()?),
        (9, 0) => {
            let (number, granted) = content.split_first_chunk()?;
            let known = |granted: &u8| matches!(granted, 0..=2 | 128);
            if granted.is_empty() || !granted.iter().all(known) {
                return None;
            }
            Packet::SubAck(u16::from_be_bytes(*number), granted.to_vec())
        }
        (11, 0) => Packet::UnsubAck(number()?),
        (13, 0) if content.is_empty() => Packet::PingResp,
        _ => return None,
    })
}

fn publish(flags: u8, content: &[u8]) -> Option<Packet> {
    let qos = (flags >> 1) & 3;
    let (length, rest) = content.split_first_chunk()?;
    let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let topic = std::str::from_utf8(topic).ok().filter(|topic| is_topic(topic))?;
    let (number, payload) = match qos {
        0 => (None, rest),
        1 | 2 => {
            let (number, payload) = rest.split_first_chunk()?;
            (Some(u16::from_be_bytes(*number)).filter(|number| *number > 0), payload)
        }
        _ => return None,
    };
    if qos > 0 && number.is_none() {
        return None;
    }
    let retain = flags & 1 == 1;
    let message = Message { topic: topic.to_owned(), payload: payload.to_vec(), qos, retain };
    Some(Packet::Publish(message, number))
}

/// Whether it names one topic (section 4.7): no wildcard, no NUL.
fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && u16::try_from(topic.len()).is_ok() && !topic.contains(['+', '#', '\0'])
}

/// Whether it is a filter of topics: `+` alone in its level, `#` alone and last.
fn is_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').rev().enumerate();
    !filter.is_empty()
        && u16::try_from(filter.len()).is_ok()
        && !filter.contains('\0')
        && levels.all(|(n, level)| match level {
            "+" => true,
            "#" => n == 0,
            level => !level.contains(['+', '#']),
        })
}

fn refuse(why: String) -> ExchangeError {
    ExchangeError::Request(why)
}

pub(super) fn connect(options: &MessageOptions) -> Result<Vec<u8>, ExchangeError> {
    let mut content = Vec::new();
    text(&mut content, "MQTT")?;
    let mut flags = u8::from(options.clean_session) << 1;
    if options.credentials.is_some() {
        flags |= 0b1100_0000;
    }
    if options.client_id.is_empty() && !options.clean_session {
        return Err(refuse("an MQTT session that is kept needs a `client_id`".to_owned()));
    }
    content.extend_from_slice(&[4, flags]);
    content.extend_from_slice(&options.keepalive.to_be_bytes());
    text(&mut content, &options.client_id)?;
    if let Some((user, password)) = &options.credentials {
        text(&mut content, user)?;
        text(&mut content, password)?;
    }
    packet(0x10, &content)
}

pub(super) fn subscribe(number: u16, filter: &str, qos: u8) -> Result<Vec<u8>, ExchangeError> {
    if !is_filter(filter) || qos > 2 {
        let filter = filter.escape_debug();
        return Err(refuse(format!("`{filter}` with quality {qos} is no MQTT subscription")));
    }
    let mut content = number.to_be_bytes().to_vec();
    text(&mut content, filter)?;
    content.push(qos);
    packet(0x82, &content)
}

pub(super) fn message(message: &Message, number: u16) -> Result<Vec<u8>, ExchangeError> {
    let Message { topic, payload, qos, retain } = message;
    if !is_topic(topic) || *qos > 2 {
        let topic = topic.escape_debug();
        return Err(refuse(format!("`{topic}` with quality {qos} is no MQTT topic to publish on")));
    }
    let mut content = Vec::with_capacity(topic.len() + payload.len() + 4);
    text(&mut content, topic)?;
    if *qos > 0 {
        content.extend_from_slice(&number.to_be_bytes());
    }
    content.extend_from_slice(payload);
    packet(0x30 | qos << 1 | u8::from(*retain), &content)
}

/// A packet of a number alone: 4 PUBACK, 5 PUBREC, 6 PUBREL, 7 PUBCOMP.
pub(super) fn numbered(kind: u8, number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [kind << 4 | if kind == 6 { 2 } else { 0 }, 2, high, low]
}

pub(super) const PING: [u8; 2] = [0xc0, 0];
pub(super) const DISCONNECT: [u8; 2] = [0xe0, 0];

fn text(content: &mut Vec<u8>, text: &str) -> Result<(), ExchangeError> {
    let length = u16::try_from(text.len())
        .map_err(|_| refuse("an MQTT text is longer than 65535 bytes".to_owned()))?;
    content.extend_from_slice(&length.to_be_bytes());
    content.extend_from_slice(text.as_bytes());
    Ok(())
}

fn packet(first: u8, content: &[u8]) -> Result<Vec<u8>, ExchangeError> {
    if content.len() > MAX_PACKET {
        return Err(refuse(format!("an MQTT message is longer than {MAX_PACKET} bytes")));
    }
    let mut bytes = vec![first];
    let mut length = content.len();
    loop {
        let low = u8::try_from(length & 127).unwrap_or_default();
        length >>= 7;
        bytes.push(if length > 0 { low | 128 } else { low });
        if length == 0 {
            break;
        }
    }
    bytes.extend_from_slice(content);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_went_however_cut() {
        for (length, qos) in [(0, 0), (1, 1), (127, 2), (128, 0), (20_000, 1)] {
            let sent = Message {
                topic: "meter/7/é".into(),
                payload: vec![7; length],
                qos,
                retain: length == 1,
            };
            let bytes = message(&sent, 9).unwrap();
            let number = (qos > 0).then_some(9);
            assert_eq!(read(&bytes).unwrap(), Some((Packet::Publish(sent, number), bytes.len())));
            for cut in (0..bytes.len()).step_by(bytes.len() / 100 + 1) {
                assert_eq!(read(bytes.get(..cut).unwrap()).unwrap(), None, "{cut}");
            }
        }
        assert_eq!(read(&numbered(6, 3)).unwrap(), Some((Packet::PubRel(3), 4)));
    }

    #[test]
    fn what_no_broker_sends_is_told() {
        for bytes in [
            &[0x10, 0][..],
            b"HTTP/1.1 400",
            &[0x20, 1, 0],
            &[0x20, 2, 2, 0],
            &[0x30, 2, 0, 9],
            &[0x30, 3, 0, 1, b'#'],
            &[0x30, 3, 0, 1, 0xff],
            &[0x36, 5, 0, 1, b'a', 0, 1],
            &[0x32, 5, 0, 1, b'a', 0, 0],
            &[0x40, 2, 0, 0],
            &[0x60, 2, 0, 1],
            &[0x90, 2, 0, 1],
            &[0x90, 3, 0, 1, 3],
            &[0xd0, 1, 0],
            &[0x30, 0xff, 0xff, 0xff, 0xff],
        ] {
            let told = read(bytes);
            // `HTTP…` claims a length; more of it has to come before it is no packet.
            let told = if told == Ok(None) { read(&[bytes, &[0; 200]].concat()) } else { told };
            assert!(matches!(told, Err(ExchangeError::Malformed(_))), "{bytes:?}: {told:?}");
        }
        assert!(matches!(read(&[0x30, 0xff, 0xff, 0xff, 1]), Err(ExchangeError::TooLarge(_))));
    }

    #[test]
    fn filters_and_topics_are_checked() {
        for fine in ["a", "+", "#", "a/+/b", "a/#", "/"] {
            subscribe(1, fine, 0).unwrap();
        }
        for wrong in ["", "a/#/b", "a#", "+a", "a\0"] {
            assert!(subscribe(1, wrong, 0).is_err(), "{wrong}");
        }
        assert!(subscribe(1, "a", 3).is_err());
        let on = |topic: &str| message(&Message { topic: topic.into(), ..Message::default() }, 1);
        assert!(on("a/b").is_ok() && on("a/+").is_err() && on("").is_err());
    }
}
