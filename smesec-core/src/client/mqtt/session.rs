//! One client's connection to a broker.

use super::packet::{self, Packet};
use crate::client::connection::{Deadline, Wire};
use crate::runner::{ExchangeError, Message, MessageOptions, MessageSession};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Messages kept for [`MessageSession::receive`]; a broker that floods is cut off there.
const MAX_KEPT: usize = 10_000;
/// Bytes of them. 16 MiB, as of one answer over HTTP.
const MAX_KEPT_BYTES: usize = 16 * 1024 * 1024;
/// Messages of quality 2 of which the broker has not said that they are done.
const MAX_OPEN: usize = 10_000;

/// A connection to a broker. It acts only when it is asked: between two calls nothing is answered, so a
/// test that rests for longer than `keepalive` may be cut off.
#[derive(Debug)]
pub(in crate::client) struct MqttSession {
    wire: Wire,
    /// What has come and is no whole packet yet.
    pending: Vec<u8>,
    kept: VecDeque<Message>,
    kept_bytes: usize,
    /// Numbers of messages of quality 2 that were kept already: the broker sends those again.
    open: Vec<u16>,
    number: u16,
    keepalive: Duration,
    last_sent: Instant,
}

impl MqttSession {
    /// Introduces the client over a connection just made.
    pub(in crate::client) fn begin(
        wire: Wire,
        options: &MessageOptions,
        deadline: Deadline,
    ) -> Result<Self, ExchangeError> {
        let hello = packet::connect(options)?;
        let mut session = Self {
            wire,
            pending: Vec::new(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            open: Vec::new(),
            number: 0,
            keepalive: Duration::from_secs(u64::from(options.keepalive)),
            last_sent: Instant::now(),
        };
        session.send(&hello, deadline)?;
        let code = session.until(deadline, |packet| match packet {
            Packet::ConnAck(code) => Some(*code),
            _ => None,
        })?;
        let why = match code {
            0 => return Ok(session),
            1 => "it does not speak MQTT 3.1.1",
            2 => "it does not take this client id",
            3 => "it is not available",
            4 => "user or password is wrong",
            5 => "this client is not authorised",
            _ => "it gives a code that MQTT 3.1.1 does not have",
        };
        Err(ExchangeError::Connection(format!("the broker refused with {code}: {why}")))
    }

    fn send(&mut self, bytes: &[u8], deadline: Deadline) -> Result<(), ExchangeError> {
        self.wire.until(deadline);
        let sent = self.wire.write_all(bytes).and_then(|()| self.wire.flush());
        sent.map_err(|e| deadline.failed("the broker's connection broke", &e))?;
        self.last_sent = Instant::now();
        Ok(())
    }

    /// Takes packets in until `wanted` finds its own.
    fn until<T>(
        &mut self,
        deadline: Deadline,
        wanted: impl Fn(&Packet) -> Option<T>,
    ) -> Result<T, ExchangeError> {
        loop {
            let packet = self.next(deadline)?;
            if let Some(found) = wanted(&packet) {
                return Ok(found);
            }
            self.take(packet, deadline)?;
        }
    }

    /// The next packet.
    fn next(&mut self, deadline: Deadline) -> Result<Packet, ExchangeError> {
        let mut buffer = [0; 4096];
        loop {
            if let Some((packet, end)) = packet::read(&self.pending)? {
                self.pending.drain(..end.min(self.pending.len()));
                return Ok(packet);
            }
            let read = self.read(&mut buffer, deadline)?;
            self.pending.extend_from_slice(buffer.get(..read).unwrap_or_default());
        }
    }

    /// Reads some bytes, and pings where the silence grows too long meanwhile.
    fn read(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize, ExchangeError> {
        loop {
            let mut until = deadline;
            if !self.keepalive.is_zero() {
                // Well before the broker, which waits for one and a half times as long, loses patience.
                let due = (self.keepalive * 3 / 4).saturating_sub(self.last_sent.elapsed());
                if due.is_zero() {
                    self.send(&packet::PING, deadline)?;
                    continue;
                }
                until = deadline.within(due);
            }
            self.wire.until(until);
            match self.wire.read(buffer) {
                Ok(0) => {
                    let why = "the broker closed the connection".to_owned();
                    return Err(ExchangeError::Connection(why));
                }
                Ok(read) => return Ok(read),
                Err(e) if matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
                    if deadline.left().is_none() {
                        return Err(deadline.passed());
                    }
                }
                Err(e) => return Err(deadline.failed("the broker's connection broke", &e)),
            }
        }
    }

    /// Keeps a message and does what its quality asks; other packets that nobody waits for are late
    /// answers, and passed over.
    fn take(&mut self, packet: Packet, deadline: Deadline) -> Result<(), ExchangeError> {
        match packet {
            Packet::Publish(message, number) => {
                let again = number.is_some_and(|n| message.qos == 2 && self.open.contains(&n));
                let answer =
                    number.map(|n| packet::numbered(if message.qos == 2 { 5 } else { 4 }, n));
                if let (2, Some(number), false) = (message.qos, number, again) {
                    self.open.push(number);
                }
                if !again {
                    self.kept_bytes += size(&message);
                    self.kept.push_back(message);
                }
                if self.kept_bytes > MAX_KEPT_BYTES {
                    let told = format!("the broker sent more than {MAX_KEPT_BYTES} bytes unasked");
                    return Err(ExchangeError::Connection(told));
                }
                if self.kept.len() > MAX_KEPT || self.open.len() > MAX_OPEN {
                    let told = format!("the broker sent more than {MAX_KEPT} messages unasked");
                    return Err(ExchangeError::Connection(told));
                }
                answer.map_or(Ok(()), |answer| self.send(&answer, deadline))
            }
            Packet::PubRel(number) => {
                self.open.retain(|open| *open != number);
                self.send(&packet::numbered(7, number), deadline)
            }
            _ => Ok(()),
        }
    }

    /// Numbers of one client's packets are never 0.
    const fn next_number(&mut self) -> u16 {
        self.number = match self.number.checked_add(1) {
            Some(next) => next,
            None => 1,
        };
        self.number
    }
}

fn size(message: &Message) -> usize {
    message.topic.len() + message.payload.len()
}

impl MessageSession for MqttSession {
    fn subscribe(
        &mut self,
        filter: &str,
        qos: u8,
        deadline: Duration,
    ) -> Result<(), ExchangeError> {
        let number = self.next_number();
        let bytes = packet::subscribe(number, filter, qos)?;
        let deadline = Deadline::after(deadline);
        self.send(&bytes, deadline)?;
        let granted = self.until(deadline, |packet| match packet {
            Packet::SubAck(n, granted) if *n == number => granted.first().copied(),
            _ => None,
        })?;
        if granted == 128 {
            let told = format!("the broker refused the subscription to `{filter}`");
            return Err(ExchangeError::Connection(told));
        }
        Ok(())
    }

    fn publish(&mut self, message: &Message, deadline: Duration) -> Result<(), ExchangeError> {
        let number = self.next_number();
        let bytes = packet::message(message, number)?;
        let deadline = Deadline::after(deadline);
        self.send(&bytes, deadline)?;
        match message.qos {
            0 => Ok(()),
            1 => self.until(deadline, |p| (*p == Packet::PubAck(number)).then_some(())),
            _ => {
                self.until(deadline, |p| (*p == Packet::PubRec(number)).then_some(()))?;
                self.send(&packet::numbered(6, number), deadline)?;
                self.until(deadline, |p| (*p == Packet::PubComp(number)).then_some(()))
            }
        }
    }

    fn receive(&mut self, deadline: Duration) -> Result<Option<Message>, ExchangeError> {
        let deadline = Deadline::after(deadline);
        loop {
            if let Some(message) = self.kept.pop_front() {
                self.kept_bytes = self.kept_bytes.saturating_sub(size(&message));
                return Ok(Some(message));
            }
            match self.next(deadline) {
                Ok(packet) => self.take(packet, deadline)?,
                Err(ExchangeError::Timeout(_)) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for MqttSession {
    /// Says farewell, so that the broker does not take it for an accident; it may be gone already.
    fn drop(&mut self) {
        let _ = self.send(&packet::DISCONNECT, Deadline::after(Duration::from_secs(1)));
    }
}
