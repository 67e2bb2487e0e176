//! HTTP/2 against hyper's server.

use crate::stage::PATIENCE;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use smesec_core::client::http1::Limits;
use smesec_core::client::{Http2, Network};
use smesec_core::runner::{ConnectionOptions, ExchangeError, Request, Target, Trust};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

async fn echo(
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/slow" {
        tokio::time::sleep(PATIENCE).await;
    }
    let mut seen = format!("{:?} {} {}\n", request.version(), request.method(), request.uri());
    for (name, value) in request.headers() {
        seen.extend([name.as_str(), ": ", value.to_str().unwrap(), "\n"]);
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    seen.push_str(&String::from_utf8_lossy(&body));
    let answer = hyper::Response::builder().header("set-cookie", "a=1").header("set-cookie", "b=2");
    Ok(answer.body(Full::new(seen.into())).unwrap())
}

/// A server over TLS, or plain; `protocols` are what it takes.
fn server(tls: Option<&[&[u8]]>) -> SocketAddr {
    let acceptor = tls.map(|protocols| {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let serve = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let echo = hyper::service::service_fn(echo);
                    let _ = match acceptor {
                        None => serve.serve_connection(TokioIo::new(socket), echo).await,
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(socket).await else { return };
                            serve.serve_connection(TokioIo::new(stream), echo).await
                        }
                    };
                });
            }
        });
    });
    address
}

fn network(http2: Http2) -> Network {
    let limits = Limits { body: 100_000, ..Limits::default() };
    Network::builder().allow_private_hosts().http2(http2).limits(limits).build()
}

fn request(scheme: &str, address: SocketAddr, path: &str, body: &str) -> Request {
    Request {
        method: "POST".into(),
        url: format!("{scheme}://{address}{path}"),
        headers: vec![
            ("X-Odd".into(), b"1".to_vec()),
            ("Connection".into(), b"keep-alive".to_vec()),
        ],
        body: body.as_bytes().to_vec(),
        connection: ConnectionOptions { trust: Trust::Anybody, ..ConnectionOptions::default() },
    }
}

#[test]
fn http_2_is_spoken_where_both_want_it() {
    for (tls, wanted, version) in [
        (None, Http2::Always, "HTTP/2.0"),
        (None, Http2::Offered, "HTTP/1.1"),
        (Some(&[b"h2".as_slice(), b"http/1.1"][..]), Http2::Offered, "HTTP/2.0"),
        (Some(&[b"h2".as_slice(), b"http/1.1"][..]), Http2::Always, "HTTP/2.0"),
        (Some(&[b"h2".as_slice(), b"http/1.1"][..]), Http2::Never, "HTTP/1.1"),
        (Some(&[b"http/1.1".as_slice()][..]), Http2::Offered, "HTTP/1.1"),
    ] {
        let address = server(tls);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let network = network(wanted);
        let mut session = network.session();
        for _ in 0..3 {
            let answer = session.exchange(&request(scheme, address, "/a?b", "body"), PATIENCE);
            let answer = answer.unwrap();
            let seen = String::from_utf8(answer.body.clone()).unwrap();
            assert!(seen.starts_with(&format!("{version} POST ")), "{wanted:?}: {seen}");
            assert!(seen.contains("/a?b\n") && seen.contains("x-odd: 1\n"), "{seen}");
            assert!(seen.contains("content-length: 4\n") && seen.ends_with("body"), "{seen}");
            let cookies =
                answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
            assert_eq!(cookies.count(), 2);
        }
    }
}

#[test]
fn what_goes_wrong_over_http_2_is_told() {
    let address = server(Some(&[b"h2"]));
    let network = network(Http2::Always);
    let mut session = network.session();
    let patience = Duration::from_millis(300);
    let told = session.exchange(&request("https", address, "/slow", ""), patience);
    assert_eq!(told, Err(ExchangeError::Timeout(patience)));
    let large = "x".repeat(200_000);
    let told = session.exchange(&request("https", address, "/", &large), PATIENCE);
    assert_eq!(told, Err(ExchangeError::TooLarge(100_000)));
    session.exchange(&request("https", address, "/", "fine"), PATIENCE).unwrap();

    let old = server(Some(&[b"http/1.1"]));
    let told = session.exchange(&request("https", old, "/", ""), PATIENCE).unwrap_err();
    assert!(matches!(told, ExchangeError::Connection(_)), "{told}");
    let plain = crate::stage::says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let told = session.exchange(&request("http", plain, "/", ""), PATIENCE).unwrap_err();
    assert!(told.to_string().contains("HTTP/2"), "{told}");
}
