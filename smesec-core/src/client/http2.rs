//! HTTP/2, where a run asks for it: hyper over a runtime that runs only during an exchange.

use super::connection::{Answer, Ask, Broken, Deadline, Timed, Wire};
use super::url::Url;
use crate::runner::{ExchangeError, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::StreamOwned;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

/// Whether a run speaks HTTP/2. Header names are lower case then, and order is kept only among those
/// of one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Http2 {
    /// HTTP/1.1 alone: what tests on raw headers want.
    #[default]
    Never,
    /// Over TLS, where the server chooses it.
    Offered,
    /// Always, without asking where there is no TLS.
    Always,
}

impl Http2 {
    pub(super) const fn protocols(self) -> &'static [&'static [u8]] {
        match self {
            Self::Never => &[b"http/1.1"],
            Self::Offered => &[b"h2", b"http/1.1"],
            Self::Always => &[b"h2"],
        }
    }
}

/// A connection that speaks HTTP/2, one exchange after another.
#[derive(Debug)]
pub(super) struct Connection {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
}

/// What the server chose.
#[derive(Debug)]
pub(super) enum Chosen {
    Http2(Connection),
    Http1(Wire),
}

/// Shakes hands over TLS, if any, and begins HTTP/2 where the server agrees.
pub(super) fn begin(
    timed: Timed,
    tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
    max_head: usize,
    deadline: Deadline,
) -> Result<Chosen, ExchangeError> {
    let failed = |e: &io::Error| deadline.failed("HTTP/2", e);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| failed(&e))?;
    let socket = timed.into_socket();
    socket.set_nonblocking(true).map_err(|e| failed(&e))?;
    let left = deadline.left().ok_or_else(|| deadline.passed())?;
    let begun = runtime.block_on(async {
        tokio::time::timeout(left, async {
            let socket = TcpStream::from_std(socket).map_err(|e| failed(&e))?;
            let Some((config, name)) = tls else {
                return hello(socket, max_head).await.map(Ok);
            };
            let host = name.to_str().into_owned();
            let stream = TlsConnector::from(config).connect(name, socket).await;
            let stream = stream.map_err(|e| deadline.failed(&format!("TLS with `{host}`"), &e))?;
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                return hello(stream, max_head).await.map(Ok);
            }
            let (socket, tls) = stream.into_inner();
            Ok(Err((socket.into_std().map_err(|e| failed(&e))?, tls)))
        })
        .await
    });
    match begun.map_err(|_| deadline.passed())?? {
        Ok(sender) => Ok(Chosen::Http2(Connection { runtime, sender })),
        Err((socket, tls)) => {
            socket.set_nonblocking(false).map_err(|e| failed(&e))?;
            let timed = Timed::over(socket, deadline).map_err(|e| failed(&e))?;
            Ok(Chosen::Http1(Wire::Tls(Box::new(StreamOwned::new(tls, timed)))))
        }
    }
}

async fn hello<S>(stream: S, max_head: usize) -> Result<SendRequest<Full<Bytes>>, ExchangeError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| told(&e))?;
    // It runs while an exchange waits, and ends with the runtime.
    tokio::spawn(connection);
    Ok(sender)
}

impl Connection {
    pub(super) fn is_stale(&self) -> bool {
        self.sender.is_closed()
    }

    pub(super) fn exchange(
        &mut self,
        url: &Url,
        request: &Request,
        ask: Ask<'_>,
        deadline: Deadline,
    ) -> Result<Answer, Broken> {
        let before = |error| Broken { error, answered: false, unsent: true };
        let request = as_hyper(url, request).map_err(before)?;
        let left = deadline.left().ok_or_else(|| before(deadline.passed()))?;
        let Self { runtime, sender } = self;
        let done = runtime.block_on(async {
            tokio::time::timeout(left, async {
                let answer = sender.try_send_request(request).await.map_err(|mut e| Broken {
                    unsent: e.take_message().is_some(),
                    error: told(e.error()),
                    answered: false,
                })?;
                let whole = read(answer, ask.limits.body).await;
                whole.map_err(|error| Broken { error, answered: true, unsent: false })
            })
            .await
        });
        let timed_out = |_| Broken { error: deadline.passed(), answered: false, unsent: false };
        let response = done.map_err(timed_out)??;
        Ok(Answer { response, reusable: !self.sender.is_closed(), clean: true })
    }
}

fn as_hyper(url: &Url, request: &Request) -> Result<hyper::Request<Full<Bytes>>, ExchangeError> {
    /// What HTTP/2 has other means for (RFC 9113, section 8.2.2); the authority is in the URL.
    const OF_HTTP_1: &[&str] =
        &["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "expect"];
    let mut out = hyper::Request::builder().method(request.method.as_str()).uri(url.absolute());
    for (name, value) in &request.headers {
        if !OF_HTTP_1.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            out = out.header(name.as_str(), value.as_slice());
        }
    }
    out.body(Full::new(Bytes::copy_from_slice(&request.body)))
        .map_err(|e| ExchangeError::Request(e.to_string()))
}

async fn read(
    answer: hyper::Response<hyper::body::Incoming>,
    most: usize,
) -> Result<Response, ExchangeError> {
    let (head, mut body) = answer.into_parts();
    let headers = head.headers.iter();
    let mut response = Response {
        status: head.status.as_u16(),
        headers: headers
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect(),
        ..Response::default()
    };
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|e| told(&e))?.into_data() else { continue };
        if data.len() > most.saturating_sub(response.body.len()) {
            return Err(ExchangeError::TooLarge(u64::try_from(most).unwrap_or(u64::MAX)));
        }
        response.body.extend_from_slice(&data);
    }
    Ok(response)
}

/// The error with what lies beneath it, which is what says something.
fn told(error: &hyper::Error) -> ExchangeError {
    let mut text = format!("HTTP/2: {error}");
    let mut beneath = std::error::Error::source(error);
    while let Some(error) = beneath {
        text.push_str(": ");
        text.push_str(&error.to_string());
        beneath = error.source();
    }
    if error.is_parse() { ExchangeError::Malformed(text) } else { ExchangeError::Connection(text) }
}
