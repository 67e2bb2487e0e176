//! TLS: whom to believe, who the client is, tunnels.

use crate::stage::{PATIENCE, server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use smesec_core::client::{Network, Proxies, Resolver};
use smesec_core::runner::{ConnectionOptions, ExchangeError, Request, Target, Trust};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Here;

impl Resolver for Here {
    fn addresses(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(vec!["127.0.0.1".parse().unwrap()])
    }
}

/// An authority, a server's certificate for `shop.example` under it, and a client's.
pub(crate) struct Papers {
    pub(crate) folder: PathBuf,
    pub(crate) server: Arc<ServerConfig>,
}

pub(crate) fn papers(name: &str) -> Papers {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("client-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();

    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &authority).unwrap(), key)
    };
    let (certificate, key) = issue("ann.example");
    let both = format!("{}{}", certificate.pem(), key.serialize_pem());
    std::fs::write(folder.join("client.pem"), both).unwrap();

    let (certificate, key) = issue("shop.example");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    Papers { folder, server: Arc::new(server) }
}

/// Answers each request with whether the client showed a certificate; closes properly after `most`.
fn serve(config: &Arc<ServerConfig>, socket: TcpStream, most: usize) {
    let tls = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut stream = StreamOwned::new(tls, socket);
    for _ in 0..most {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut one = [0];
            if !matches!(stream.read(&mut one), Ok(1)) {
                return;
            }
            head.push(one[0]);
        }
        let known = if stream.conn.peer_certificates().is_some() { "known" } else { "nobody" };
        let length = known.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{known}").unwrap();
    }
    stream.conn.send_close_notify();
    stream.flush().unwrap();
}

fn start(papers: &Papers, most: usize) -> SocketAddr {
    let config = Arc::clone(&papers.server);
    server(move |_, socket| serve(&config, socket, most))
}

fn ask(method: &str, host: &str, port: u16, connection: ConnectionOptions) -> Request {
    let url = format!("https://{host}:{port}/");
    Request { method: method.into(), url, connection, ..Request::default() }
}

fn network() -> Network {
    Network::builder().allow_private_hosts().resolver(Arc::new(Here)).build()
}

#[test]
fn trust_is_what_the_request_says() {
    let papers = papers("trust");
    let port = start(&papers, 10).port();
    let ask = |host: &str, trust: Trust| {
        let options = ConnectionOptions { trust, ..ConnectionOptions::default() };
        network().session().exchange(&ask("GET", host, port, options), PATIENCE)
    };
    let ours = || Trust::File(papers.folder.join("ca.pem"));
    assert_eq!(ask("shop.example", ours()).unwrap().body, b"nobody");
    assert_eq!(ask("other.example", Trust::Anybody).unwrap().body, b"nobody");
    for refused in [ask("other.example", ours()), ask("shop.example", Trust::System)] {
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("certificate"), "{told}");
    }
    let told = ask("shop.example", Trust::File(papers.folder.join("none.pem"))).unwrap_err();
    assert!(matches!(told, ExchangeError::Request(_)), "{told}");
    assert!(told.to_string().contains("none.pem"), "{told}");
}

#[test]
fn a_client_shows_its_certificate_and_is_not_taken_for_another() {
    let papers = papers("client");
    let port = start(&papers, 10).port();
    let network = network();
    let mut session = network.session();
    let certificate = papers.folder.join("client.pem");
    for (certificate, known) in [
        (None, "nobody"),
        (Some((certificate.clone(), None)), "known"),
        (None, "nobody"),
        (Some((certificate.clone(), Some(certificate))), "known"),
    ] {
        let options = ConnectionOptions {
            trust: Trust::File(papers.folder.join("ca.pem")),
            client_certificate: certificate,
            ..ConnectionOptions::default()
        };
        let answer = session.exchange(&ask("GET", "shop.example", port, options), PATIENCE);
        assert_eq!(answer.unwrap().body, known.as_bytes());
    }
}

#[test]
fn a_connection_that_said_farewell_is_made_anew_whatever_the_method() {
    let papers = papers("stale");
    let port = start(&papers, 1).port();
    let network = network();
    let mut session = network.session();
    for method in ["POST", "POST", "DELETE"] {
        let options = ConnectionOptions { trust: Trust::Anybody, ..ConnectionOptions::default() };
        session.exchange(&ask(method, "shop.example", port, options), PATIENCE).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_that_never_shakes_hands_is_not_waited_for() {
    let silent = server(|_, socket| {
        std::thread::sleep(PATIENCE);
        drop(socket);
    });
    let options = ConnectionOptions {
        connect_deadline: Some(Duration::from_millis(200)),
        ..ConnectionOptions::default()
    };
    let request = ask("GET", "shop.example", silent.port(), options);
    let told = network().session().exchange(&request, PATIENCE).unwrap_err();
    assert_eq!(told, ExchangeError::Timeout(Duration::from_millis(200)));
    let plain = crate::stage::says("HTTP/1.1 400 Bad\r\n\r\n");
    let request = ask("GET", "shop.example", plain.port(), ConnectionOptions::default());
    let told = network().session().exchange(&request, PATIENCE).unwrap_err();
    assert!(told.to_string().contains("TLS with `shop.example`"), "{told}");
}

#[test]
fn tunnels_lead_through_a_proxy() {
    let papers = papers("tunnel");
    let target = start(&papers, 10);
    let proxy = server(move |n, mut socket| {
        let (head, _) = crate::stage::read_request(&socket).unwrap();
        let first = format!("CONNECT shop.example:{} HTTP/1.1", target.port());
        assert_eq!(head.lines().next().unwrap(), first);
        if n == 1 {
            socket.write_all(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n").unwrap();
            return;
        }
        assert!(head.contains("\r\nProxy-Authorization: Basic YTpi\r\n"), "{head}");
        socket.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
        let onward = TcpStream::connect(target).unwrap();
        let (mut from, mut to) = (socket.try_clone().unwrap(), onward.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut &onward, &mut socket);
    });
    let network = Network::builder()
        .allow_public_host("shop.example", None)
        .proxies(Proxies::all(&format!("http://a:b@{proxy}")).unwrap())
        .build();
    let options = ConnectionOptions {
        trust: Trust::File(papers.folder.join("ca.pem")),
        ..ConnectionOptions::default()
    };
    let request = ask("GET", "shop.example", target.port(), options);
    let mut session = network.session();
    for _ in 0..2 {
        assert_eq!(session.exchange(&request, PATIENCE).unwrap().body, b"nobody");
    }
    let told = network.session().exchange(&request, PATIENCE).unwrap_err().to_string();
    assert!(told.contains("407 Who are you"), "{told}");
}
