//! MQTT with a small broker written here.

use crate::stage::{PATIENCE, network, server};
use smesec_core::runner::{ExchangeError, Message, MessageOptions, Target, Trust};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A packet's first byte and content.
fn packet(socket: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut one = [0];
    socket.read_exact(&mut one).ok()?;
    let (first, mut length, mut shift) = (one[0], 0usize, 0);
    loop {
        socket.read_exact(&mut one).ok()?;
        length |= usize::from(one[0] & 127) << shift;
        shift += 7;
        if one[0] < 128 {
            break;
        }
    }
    let mut content = vec![0; length];
    socket.read_exact(&mut content).ok()?;
    Some((first, content))
}

fn broker(seen: Arc<Mutex<Vec<u8>>>) -> SocketAddr {
    server(move |_, socket| serve(socket, &seen))
}

/// Echoes what is published to its publisher, as subscribed; notes every packet's kind.
fn serve(mut socket: impl Read + Write, seen: &Mutex<Vec<u8>>) {
    let (mut granted, mut open) = (None, VecDeque::new());
    while let Some((first, content)) = packet(&mut socket) {
        seen.lock().unwrap().push(first >> 4);
        let mut say = |bytes: &[u8]| socket.write_all(bytes).unwrap();
        match first >> 4 {
            1 => {
                assert_eq!(&content[..7], b"\0\x04MQTT\x04");
                let wrong = content.windows(5).any(|part| part == b"wrong");
                say(&[0x20, 2, 0, if wrong { 4 } else { 0 }]);
            }
            3 => {
                let qos = first >> 1 & 3;
                let topic = 2 + usize::from(content[1]);
                // Without one at quality 0.
                let number = content.get(topic..topic + 2).unwrap_or(&[0, 0]);
                match qos {
                    1 => say(&[0x40, 2, number[0], number[1]]),
                    2 => say(&[0x50, 2, number[0], number[1]]),
                    _ => {}
                }
                open.push_back((first, content));
                if qos == 2 {
                    continue;
                }
            }
            5 => say(&[0x62, 2, content[0], content[1]]),
            6 => say(&[0x70, 2, content[0], content[1]]),
            8 => {
                let refused = content.ends_with(b"secret\x00");
                granted = Some(*content.last().unwrap());
                say(&[
                    0x90,
                    3,
                    content[0],
                    content[1],
                    if refused { 128 } else { granted.unwrap() },
                ]);
            }
            12 => say(&[0xd0, 0]),
            _ => {}
        }
        if granted.is_some() {
            for (first, content) in open.drain(..) {
                say(&[first, u8::try_from(content.len()).unwrap()]);
                // In two pieces, as networks cut.
                say(&content[..1]);
                say(&content[1..]);
            }
        }
    }
}

fn options(address: SocketAddr) -> MessageOptions {
    MessageOptions {
        host: "127.0.0.1".into(),
        port: address.port(),
        client_id: "meter".into(),
        clean_session: true,
        keepalive: 60,
        ..MessageOptions::default()
    }
}

#[test]
fn messages_go_and_come_at_every_quality() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let address = broker(Arc::clone(&seen));
    let network = network();
    let mut session = network.messages(&options(address), PATIENCE).unwrap();
    session.subscribe("meter/#", 2, PATIENCE).unwrap();
    for qos in 0..3 {
        let message =
            Message { topic: "meter/7".into(), payload: b"42 kWh".to_vec(), qos, retain: qos == 1 };
        session.publish(&message, PATIENCE).unwrap();
        assert_eq!(session.receive(PATIENCE).unwrap(), Some(message));
    }
    assert_eq!(session.receive(Duration::from_millis(50)).unwrap(), None);
    drop(session);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(seen.lock().unwrap().last(), Some(&14), "it says farewell");
    assert_eq!(network.sent(), 1);
}

#[test]
fn refusals_are_told() {
    let address = broker(Arc::default());
    let network = network();
    let wrong =
        MessageOptions { credentials: Some(("ann".into(), "wrong".into())), ..options(address) };
    let told = network.messages(&wrong, PATIENCE).err().unwrap().to_string();
    assert!(told.contains("user or password is wrong"), "{told}");
    let mut session = network.messages(&options(address), PATIENCE).unwrap();
    let told = session.subscribe("secret", 0, PATIENCE).unwrap_err().to_string();
    assert!(told.contains("refused the subscription to `secret`"), "{told}");
    let unnamed = MessageOptions { host: "203.0.113.7".into(), ..options(address) };
    let told = network.messages(&unnamed, PATIENCE).err().unwrap();
    assert!(matches!(told, ExchangeError::Public { .. }), "{told}");
}

#[test]
fn a_silent_or_broken_broker_is_not_waited_for() {
    let patience = Duration::from_millis(200);
    let silent = server(|_, socket| {
        std::thread::sleep(PATIENCE);
        drop(socket);
    });
    let told = network().messages(&options(silent), patience).err().unwrap();
    assert_eq!(told, ExchangeError::Timeout(patience));
    let http = server(|_, mut socket| {
        let _ = socket.write_all(&[b"HTTP/1.1 400 Bad\r\n\r\n".as_slice(), &[0; 200]].concat());
        std::thread::sleep(PATIENCE);
    });
    let told = network().messages(&options(http), PATIENCE).err().unwrap().to_string();
    assert!(told.contains("no packet that an MQTT broker sends"), "{told}");
}

#[test]
fn a_broker_that_floods_is_cut_off_by_bytes_too() {
    let flood = server(|_, mut socket| {
        let _ = packet(&mut socket);
        let _ = socket.write_all(&[0x20, 2, 0, 0]);
        // A topic of one letter and 100,000 bytes: 100,003 in all.
        let message = [&[0x30, 0xa3, 0x8d, 0x06, 0, 1, b'a'][..], &[0; 100_000]].concat();
        while socket.write_all(&message).is_ok() {}
    });
    let mut session = network().messages(&options(flood), PATIENCE).unwrap();
    let told = session.subscribe("a", 0, PATIENCE).unwrap_err().to_string();
    assert!(told.contains("more than 16777216 bytes unasked"), "{told}");
}

#[test]
fn silence_is_broken_by_pings() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let address = broker(Arc::clone(&seen));
    let options = MessageOptions { keepalive: 1, ..options(address) };
    let mut session = network().messages(&options, PATIENCE).unwrap();
    assert_eq!(session.receive(Duration::from_millis(1700)).unwrap(), None);
    assert_eq!(*seen.lock().unwrap(), [1, 12, 12]);
}

#[test]
fn brokers_are_reached_over_tls() {
    let papers = crate::tls::papers("mqtt");
    let config = Arc::clone(&papers.server);
    let address = server(move |_, socket| {
        let tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        serve(rustls::StreamOwned::new(tls, socket), &Mutex::default());
    });
    let network = smesec_core::client::Network::builder()
        .allow_host("shop.example", None)
        .resolver(Arc::new(crate::tls::Here))
        .build();
    let mut options = MessageOptions { host: "shop.example".into(), ..options(address) };
    options.tls = Some(Trust::File(papers.folder.join("ca.pem")));
    let mut session = network.messages(&options, PATIENCE).unwrap();
    session.subscribe("a", 0, PATIENCE).unwrap();
    let message = Message { topic: "a".into(), payload: b"b".to_vec(), ..Message::default() };
    session.publish(&message, PATIENCE).unwrap();
    assert_eq!(session.receive(PATIENCE).unwrap(), Some(message));
    options.tls = Some(Trust::System);
    let told = network.messages(&options, PATIENCE).err().unwrap().to_string();
    assert!(told.contains("certificate"), "{told}");
}
