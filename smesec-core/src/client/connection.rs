//! A socket under a deadline, with or without TLS, and one HTTP/1.1 exchange over it.

use super::http1::{Limits, RequestHead, ResponseParser};
use crate::runner::{ExchangeError, Response};
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What is read at a time: one answer of an API mostly.
const BUFFER: usize = 16 * 1024;
/// A body up to this goes with its head in one write, so in one packet where it fits.
const TOGETHER: usize = 16 * 1024;
/// How long a server may take to say 100 before the body is sent all the same (RFC 9110, section
/// 10.1.1, asks not to wait for ever; curl waits as long).
const CONTINUE: Duration = Duration::from_secs(1);

/// The moment by which an exchange has to be done, and what was asked for in the test's words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Option<Instant>,
    patience: Duration,
}

impl Deadline {
    /// `patience` from now; one too long for the clock is none.
    pub(super) fn after(patience: Duration) -> Self {
        Self { at: Instant::now().checked_add(patience), patience }
    }

    /// The earlier of this one and `patience` from now.
    pub(super) fn within(self, patience: Duration) -> Self {
        let other = Self::after(patience);
        match (self.at, other.at) {
            (Some(this), Some(that)) if this <= that => self,
            (Some(_), None) => self,
            _ => other,
        }
    }

    /// What is left, at least a millisecond; `None` where it has passed.
    pub(super) fn left(self) -> Option<Duration> {
        const LONGEST: Duration = Duration::from_hours(24);
        let Some(at) = self.at else { return Some(LONGEST) };
        let left = at.checked_duration_since(Instant::now())?;
        (!left.is_zero()).then(|| left.clamp(Duration::from_millis(1), LONGEST))
    }

    pub(super) const fn passed(self) -> ExchangeError {
        ExchangeError::Timeout(self.patience)
    }

    /// The error of an exchange that the system cut off.
    pub(super) fn failed(self, what: &str, error: &io::Error) -> ExchangeError {
        match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => self.passed(),
            _ => ExchangeError::Connection(format!("{what}: {error}")),
        }
    }
}

/// A socket whose reads and writes end at a deadline, however slowly bytes drip.
#[derive(Debug)]
pub(super) struct Timed {
    socket: TcpStream,
    deadline: Deadline,
    /// What the system was last told to wait at most, for reads and for writes.
    granted: [Duration; 2],
}

#[derive(Clone, Copy)]
enum Side {
    Read = 0,
    Write = 1,
}

impl Timed {
    pub(super) fn connect(address: SocketAddr, deadline: Deadline) -> io::Result<Self> {
        let left = deadline.left().ok_or(ErrorKind::TimedOut)?;
        let socket = TcpStream::connect_timeout(&address, left)?;
        Self::over(socket, deadline)
    }

    pub(super) fn over(socket: TcpStream, deadline: Deadline) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        Ok(Self { socket, deadline, granted: [Duration::ZERO; 2] })
    }

    pub(super) fn into_socket(self) -> TcpStream {
        self.socket
    }

    pub(super) const fn until(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    /// Tells the system to wait no longer than is left. It is told three quarters of that, and only
    /// when what it was told before no longer fits: so exchanges with the same patience cost no call.
    fn grant(&mut self, side: Side) -> io::Result<()> {
        let left = self.deadline.left().ok_or(ErrorKind::TimedOut)?;
        let [read, write] = &mut self.granted;
        let granted = match side {
            Side::Read => read,
            Side::Write => write,
        };
        if *granted > left || *granted < left / 4 {
            let wait = (left * 3 / 4).max(Duration::from_millis(1));
            match side {
                Side::Read => self.socket.set_read_timeout(Some(wait))?,
                Side::Write => self.socket.set_write_timeout(Some(wait))?,
            }
            *granted = wait;
        }
        Ok(())
    }
}

/// Runs `act` until it succeeds, fails or the deadline has passed.
fn patiently<T>(
    timed: &mut Timed,
    side: Side,
    mut act: impl FnMut(&mut TcpStream) -> io::Result<T>,
) -> io::Result<T> {
    loop {
        timed.grant(side)?;
        match act(&mut timed.socket) {
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            done => return done,
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        patiently(self, Side::Read, |socket| socket.read(buffer))
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        patiently(self, Side::Write, |socket| socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// What bytes go through.
#[derive(Debug)]
pub(super) enum Wire {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Wire {
    pub(super) fn until(&mut self, deadline: Deadline) {
        match self {
            Self::Plain(timed) => timed.until(deadline),
            Self::Tls(stream) => stream.sock.until(deadline),
        }
    }

    /// Whether the other side has hung up, or says something it was not asked for, while the
    /// connection rested. Asked before reuse, so that a request that may not be repeated is not lost.
    pub(super) fn is_stale(&mut self) -> bool {
        match self {
            Self::Plain(timed) => {
                without_waiting(&timed.socket, |mut socket| socket.read(&mut [0]).is_ok())
            }
            // Tickets of the session may lie there, and are taken in.
            Self::Tls(stream) => {
                let tls = &mut stream.conn;
                without_waiting(&stream.sock.socket, |mut socket| {
                    loop {
                        // What came with the last answer counts as well.
                        let Ok(state) = tls.process_new_packets() else { return true };
                        if state.peer_has_closed() || state.plaintext_bytes_to_read() > 0 {
                            return true;
                        }
                        match tls.read_tls(&mut socket) {
                            Err(e) if e.kind() == ErrorKind::WouldBlock => return false,
                            Ok(1..) => {}
                            _ => return true,
                        }
                    }
                })
            }
        }
    }
}

/// Looks at a socket without waiting; true also where the system does not let us.
fn without_waiting(socket: &TcpStream, look: impl FnOnce(&TcpStream) -> bool) -> bool {
    if socket.set_nonblocking(true).is_err() {
        return true;
    }
    let seen = look(socket);
    socket.set_nonblocking(false).is_err() || seen
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(timed) => timed.read(buffer),
            Self::Tls(stream) => match stream.read(buffer) {
                // Without its farewell, as many servers end; a body that should be longer is told
                // by its framing.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(0),
                read => read,
            },
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(timed) => timed.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(timed) => timed.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A connection that speaks HTTP/1.1, one exchange after another.
#[derive(Debug)]
pub(super) struct Connection {
    wire: Wire,
    buffer: Box<[u8]>,
}

/// What is sent, and what the answer may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) head: &'a RequestHead,
    pub(super) body: &'a [u8],
    pub(super) method: &'a str,
    pub(super) limits: Limits,
}

/// An answer, and whether the connection can be asked again.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) reusable: bool,
    /// Whether nothing came behind it.
    pub(super) clean: bool,
}

/// An exchange that failed, and whether the server had begun to answer.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) error: ExchangeError,
    pub(super) answered: bool,
    /// Whether no byte of the request has left.
    pub(super) unsent: bool,
}

impl Connection {
    pub(super) fn new(wire: Wire) -> Self {
        Self { wire, buffer: vec![0; BUFFER].into_boxed_slice() }
    }

    pub(super) fn into_wire(self) -> Wire {
        self.wire
    }

    pub(super) fn is_stale(&mut self) -> bool {
        self.wire.is_stale()
    }

    /// Sends a request and reads its answer.
    pub(super) fn exchange(&mut self, ask: Ask<'_>, deadline: Deadline) -> Result<Answer, Broken> {
        self.wire.until(deadline);
        let mut parser = ResponseParser::new(ask.method, ask.limits);
        match self.talk(ask, &mut parser, deadline) {
            Ok(clean) => Ok(Answer {
                clean,
                reusable: clean && ask.head.keeps_alive && parser.keeps_alive(),
                response: parser.into_response(),
            }),
            Err(error) => Err(Broken { error, answered: parser.has_begun(), unsent: false }),
        }
    }

    /// Whether the connection is clean after it: the request went out whole, and nothing came behind
    /// the answer.
    fn talk(
        &mut self,
        ask: Ask<'_>,
        parser: &mut ResponseParser,
        deadline: Deadline,
    ) -> Result<bool, ExchangeError> {
        let mut clean = true;
        let sent = if ask.head.expects_continue {
            match self.send(&ask.head.bytes, &[]) {
                Ok(()) => {
                    // An answer instead of the 100 means that the body is not wanted any more.
                    clean = self.is_told_to_continue(parser, deadline)?;
                    if clean { self.send(ask.body, &[]) } else { Ok(()) }
                }
                failed => failed,
            }
        } else {
            self.send(&ask.head.bytes, ask.body)
        };
        let unsent = match sent {
            Ok(()) => None,
            // A server that refuses a large body answers and hangs up before it has read it: the
            // answer counts, not that the rest could not be sent.
            Err(e) if matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Some(deadline.failed("the request could not be sent", &e))
            }
            Err(e) => return Err(deadline.failed("the request could not be sent", &e)),
        };
        match (self.read(parser, deadline, |parser| !parser.is_complete()), unsent) {
            (Ok(alone), unsent) => Ok(clean && alone && unsent.is_none()),
            (Err(_), Some(unsent)) if !parser.has_begun() => Err(unsent),
            (Err(error), _) => Err(error),
        }
    }

    fn send(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        if body.is_empty() {
            self.wire.write_all(head)?;
        } else if body.len() <= TOGETHER {
            self.wire.write_all(&[head, body].concat())?;
        } else {
            self.wire.write_all(head)?;
            self.wire.write_all(body)?;
        }
        self.wire.flush()
    }

    /// Whether the body is to be sent: the server said so, or nothing for a while.
    fn is_told_to_continue(
        &mut self,
        parser: &mut ResponseParser,
        deadline: Deadline,
    ) -> Result<bool, ExchangeError> {
        self.wire.until(deadline.within(CONTINUE));
        let waits = |parser: &ResponseParser| !parser.is_past_interim() && !parser.has_head();
        let told = self.read(parser, deadline, waits);
        self.wire.until(deadline);
        match told {
            Ok(_) | Err(ExchangeError::Timeout(_)) => Ok(!parser.has_head()),
            Err(error) => Err(error),
        }
    }

    /// Reads while `more` says so; whether all that came belongs to the answer.
    fn read(
        &mut self,
        parser: &mut ResponseParser,
        deadline: Deadline,
        more: impl Fn(&ResponseParser) -> bool,
    ) -> Result<bool, ExchangeError> {
        let mut alone = true;
        while more(parser) {
            let read = self.wire.read(&mut self.buffer);
            let read = read.map_err(|e| deadline.failed("the connection broke", &e))?;
            let bytes = self.buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                parser.end()?;
            } else {
                alone = parser.push(bytes)? == bytes.len();
            }
        }
        Ok(alone)
    }
}
