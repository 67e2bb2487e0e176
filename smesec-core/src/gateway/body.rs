//! Bodies under way.

use super::patience::Guard;
use super::record::Record;
use bytes::{Buf, Bytes};
use http_body_util::channel::Channel;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the sender paused for too long")]
    Paused,
    #[error("the sender is slower than {SLOWEST} bytes a second")]
    Slow,
    #[error("a filter stopped the body")]
    Stopped,
    /// What came is no body, in the words of who read it.
    #[error("{0}")]
    Malformed(String),
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl Fault {
    /// Whether what came is no body, such as a chunk without a length, rather than a connection that ended.
    pub(super) fn is_malformed(&self) -> bool {
        use std::error::Error;
        use std::io::{self, ErrorKind};
        let error = match self {
            Self::Malformed(_) => return true,
            Self::Broken(error) => error,
            _ => return false,
        };
        let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        io.is_some_and(|e| matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData))
    }
}

/// Bytes a second below which a request's body counts as an attack on the server's patience. The
/// slowest mobile links give ten times that.
pub(super) const SLOWEST: u64 = 1_000;
/// The pause that every body has before its rate counts.
const GRACE: Duration = Duration::from_secs(10);

/// How far a request's body has come, for who waits on the upstream.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bytes: AtomicU64,
    /// Whether the client's next piece is what everyone waits for.
    on_client: AtomicBool,
}

impl Progress {
    /// Bytes that have come, and whether the client is waited for.
    pub(super) fn look(&self) -> (u64, bool) {
        (self.bytes.load(Ordering::Relaxed), self.on_client.load(Ordering::Relaxed))
    }
}

/// How fast a sender is. What counts is the time in which somebody waited for it: while an upstream takes
/// its time nobody asks the client, which is not to blame then.
#[derive(Debug, Default)]
struct Pace {
    bytes: u64,
    waited: Duration,
    since: Option<Instant>,
}

impl Pace {
    fn waits(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// The sender is waited for no longer.
    fn came(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes as u64;
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
    }

    fn is_slow(&self) -> bool {
        self.waited > GRACE + Duration::from_millis(self.bytes.saturating_mul(1_000) / SLOWEST)
    }
}

/// A body from the network whose sender may not dawdle.
pub(super) struct Timed {
    incoming: Incoming,
    pause: Duration,
    /// Whether the rate counts besides the pauses (requests only: an event stream is slow by design).
    rated: bool,
    pace: Pace,
    sleep: Option<Pin<Box<Sleep>>>,
    progress: Arc<Progress>,
}

impl Timed {
    pub(super) fn new(incoming: Incoming, pause: Duration, rated: bool) -> Self {
        Self {
            incoming,
            pause,
            rated,
            pace: Pace::default(),
            sleep: None,
            progress: Arc::default(),
        }
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.incoming).poll_frame(cx);
        this.progress.on_client.store(polled.is_pending(), Ordering::Relaxed);
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.sleep = None;
                this.pace.came(frame.data_ref().map_or(0, Bytes::len), Instant::now());
                this.progress.bytes.store(this.pace.bytes, Ordering::Relaxed);
                if this.rated && this.pace.is_slow() {
                    return Poll::Ready(Some(Err(Fault::Slow)));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                this.pace.waits(Instant::now());
                let pause = this.pause;
                let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
                match sleep.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(Fault::Paused))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Where a body's bytes come from.
pub(super) enum Source {
    Whole(Bytes),
    Stream(Timed),
    /// From a task that shows each piece to a filter first.
    Pumped(Channel<Bytes, Fault>),
}

impl Source {
    pub(super) const fn empty() -> Self {
        Self::Whole(Bytes::new())
    }

    /// A second one for another try, where that is possible.
    pub(super) fn again(&self) -> Option<Self> {
        match self {
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            _ => None,
        }
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(stream) => Pin::new(stream).poll_frame(cx),
            Self::Pumped(channel) => Pin::new(channel).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.is_end_stream(),
            Self::Pumped(channel) => channel.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.remaining() as u64),
            Self::Stream(stream) => stream.size_hint(),
            Self::Pumped(channel) => channel.size_hint(),
        }
    }
}

/// A response's body with the record of its exchange, which is closed when the last byte has gone or
/// the client has.
pub(super) struct Outward {
    source: Source,
    record: Option<Box<Record>>,
    /// The announced size. The network asks no further once it has that much, and a task that feeds the
    /// body may not have said by then that it was the last piece.
    length: Option<u64>,
    under_way: Option<Guard>,
}

impl Outward {
    pub(super) const fn whole(bytes: Bytes) -> Self {
        Self::new(Source::Whole(bytes))
    }

    pub(super) const fn new(source: Source) -> Self {
        Self { source, record: None, length: None, under_way: None }
    }

    /// Counts as under way until the last byte has gone.
    pub(super) fn keep(&mut self, under_way: Guard) {
        self.under_way = Some(under_way);
    }

    /// Closes `record` with this body of `length` bytes, where that was announced.
    pub(super) fn recorded(&mut self, mut record: Box<Record>, length: Option<u64>) {
        self.length = length;
        if self.source.is_end_stream() {
            record.complete = true;
        }
        self.record = Some(record);
    }
}

impl Body for Outward {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let length = self.length;
        let polled = Pin::new(&mut self.source).poll_frame(cx);
        let ended = match &polled {
            Poll::Ready(Some(Ok(_))) => self.source.is_end_stream(),
            Poll::Ready(None) => true,
            _ => false,
        };
        if let Some(record) = &mut self.record {
            if let Poll::Ready(Some(Ok(frame))) = &polled {
                record.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            record.complete |= ended || length == Some(record.bytes);
            if let Poll::Ready(Some(Err(fault))) = &polled {
                record.broke_off(fault);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_pays_for_its_own_pauses_alone() {
        let second = Duration::from_secs(1);
        let mut now = Instant::now();
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.waits(now);
            pace.waits(now + second / 20);
            now += second / 10;
            pace.came(10, now);
            // The upstream takes its time.
            now += 10 * second;
        }
        assert!(!pace.is_slow(), "it was waited for two seconds: {pace:?}");
        for _ in 0..20 {
            pace.waits(now);
            now += second;
            pace.came(10, now);
        }
        assert!(pace.is_slow(), "{pace:?}");
    }
}
