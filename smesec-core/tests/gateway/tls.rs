//! TLS with certificates by name, and HTTP/2.

use crate::stage::{PATIENCE, Stage, echo};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use smesec_core::gateway::Config;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpStream;

struct Authority(PathBuf);

impl Authority {
    /// A certificate that signs itself, written as PEM; its DER form.
    fn issue(&self, file: &str, name: &str) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        std::fs::write(self.0.join(format!("{file}.pem")), made.cert.pem()).unwrap();
        std::fs::write(self.0.join(format!("{file}.key")), made.signing_key.serialize_pem())
            .unwrap();
        made.cert.der().clone()
    }
}

async fn ask(
    address: std::net::SocketAddr,
    name: &str,
    roots: &[&CertificateDer<'static>],
    protocol: &[u8],
) -> Result<String, String> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add((*root).clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    client.alpn_protocols = vec![protocol.to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let server = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = connector.connect(server, stream).await.map_err(|e| e.to_string())?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    let request = Request::builder()
        .uri(format!("https://{name}/a?b=c"))
        .header("user-agent", "x/1")
        .header("accept", "*/*")
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    let io = TokioIo::new(stream);
    let answer = if protocol == b"h2" {
        let (mut send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        send.send_request(request.body(Full::new(Bytes::new())).unwrap()).await
    } else {
        let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let request = request.header("host", name).body(Full::new(Bytes::new())).unwrap();
        send.send_request(request).await
    };
    let body = answer.map_err(|e| e.to_string())?.into_body().collect().await.unwrap().to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

#[test]
fn certificates_by_name_both_protocols_and_a_renewal() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("gateway-tls");
    std::fs::create_dir_all(&folder).unwrap();
    let authority = Authority(folder.clone());
    let (first, second) =
        (authority.issue("first", "one.example"), authority.issue("second", "two.example"));
    let text = format!(
        "[gateway.tls]\nlisten = [\"127.0.0.1:0\"]\n[[gateway.tls.certificate]]\nchain = {:?}\nkey = {:?}\n\
[[gateway.tls.certificate]]\nnames = [\"two.example\"]\nchain = {:?}\nkey = {:?}\n\
[[gateway.host]]\nnames = [\"*\"]\nupstream = \"http://{}\"\n",
        folder.join("first.pem"),
        folder.join("first.key"),
        folder.join("second.pem"),
        folder.join("second.key"),
        echo()
    );
    let stage = Stage::new(&text);
    let address = stage.addresses[0];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let get = |name: &str, root: &CertificateDer<'static>, protocol: &[u8]| {
        runtime.block_on(async {
            tokio::time::timeout(PATIENCE, ask(address, name, &[root], protocol)).await.unwrap()
        })
    };
    for protocol in [&b"h2"[..], b"http/1.1"] {
        for (name, root) in [("one.example", &first), ("two.example", &second)] {
            let seen = get(name, root, protocol).unwrap();
            assert!(seen.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{seen}");
            assert!(seen.contains(&format!("\r\nhost: {name}\r\n")), "{seen}");
            assert!(seen.contains("cookie: a=1; b=2\r\n"), "crumbs are one line: {seen}");
            assert!(seen.contains("x-forwarded-proto: https\r\n"), "{seen}");
        }
    }
    assert!(get("two.example", &first, b"h2").is_err(), "the second name has its own certificate");

    let renewed = authority.issue("second", "two.example");
    let config = Config::parse("test.toml", &text).unwrap();
    stage.handle.reload(&config).unwrap();
    assert!(get("two.example", &second, b"h2").is_err(), "the old certificate is gone");
    get("two.example", &renewed, b"h2").unwrap();

    std::fs::write(folder.join("second.key"), "nonsense").unwrap();
    let why = stage.handle.reload(&config).unwrap_err().to_string();
    assert!(why.starts_with("test.toml:9:7: ") && why.contains("second.key"), "{why}");
    get("two.example", &renewed, b"h2").unwrap();
}

#[test]
fn http_2_without_tls_is_spoken_too() {
    let stage = Stage::before(echo());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let io = TokioIo::new(TcpStream::connect(stage.address).await.unwrap());
        let (mut send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        for (target, status) in [("/a", 200), ("/?q=%3Cscript%3E", 403), ("/b", 200)] {
            let request = Request::builder()
                .method("POST")
                .uri(format!("http://shop.example{target}"))
                .header("user-agent", "x/1")
                .header("accept", "*/*")
                .header("content-type", "text/plain")
                .body(Full::new(Bytes::from_static(b"body")))
                .unwrap();
            let answer = tokio::time::timeout(PATIENCE, send.send_request(request)).await.unwrap();
            assert_eq!(answer.unwrap().status(), status, "{target}");
        }
    });
}
