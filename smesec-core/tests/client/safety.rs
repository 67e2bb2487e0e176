//! Where a run may go, how much it may send, and how fast.

use crate::stage::{PATIENCE, get, request, says};
use smesec_core::client::{Network, Proxies, Resolver};
use smesec_core::runner::{ExchangeError, Request, Target};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const FINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

struct Pointing(&'static str);

impl Resolver for Pointing {
    fn addresses(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(vec![self.0.parse().unwrap()])
    }
}

#[test]
fn hosts_that_were_not_named_are_not_asked() {
    let address = says(FINE);
    let network = Network::builder().allow_host("127.0.0.1", Some(1)).build();
    let told = get(&mut *network.session(), address);
    assert_eq!(told, Err(ExchangeError::NotAllowed(address.to_string())));
    assert_eq!(network.sent(), 0);
}

#[test]
fn a_name_is_connected_to_where_it_was_checked() {
    let address = says(FINE);
    let network = Network::builder()
        .allow_host("meter.example", None)
        .resolver(Arc::new(Pointing("127.0.0.1")))
        .build();
    let url = format!("http://meter.example:{}/", address.port());
    let request = Request { method: "GET".into(), url, ..Request::default() };
    assert_eq!(network.session().exchange(&request, PATIENCE).unwrap().status, 200);

    let network = Network::builder()
        .allow_host("meter.example", None)
        .resolver(Arc::new(Pointing("203.0.113.7")))
        .build();
    let told = network.session().exchange(&request, PATIENCE).unwrap_err();
    assert!(matches!(told, ExchangeError::Public { .. }), "{told}");
}

#[test]
fn the_cap_holds_over_all_sessions() {
    let address = says(FINE);
    let network = Network::builder().allow_private_hosts().at_most(10).build();
    let fine: usize = std::thread::scope(|scope| {
        let ask = || {
            let mut session = network.session();
            (0..5).filter(|_| get(&mut *session, address).is_ok()).count()
        };
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).sum()
    });
    assert_eq!((fine, network.sent()), (10, 10));
    assert_eq!(get(&mut *network.session(), address), Err(ExchangeError::Spent(10)));
}

#[test]
fn the_rate_is_shared() {
    let address = says(FINE);
    let network = Network::builder().allow_private_hosts().per_second(20).build();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut session = network.session();
                (0..15).for_each(|_| drop(get(&mut *session, address).unwrap()));
            });
        }
    });
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
}

#[test]
fn a_dry_run_notes_and_sends_nothing() {
    let network = Network::builder().allow_private_hosts().dry_run(true).build();
    let nobody = "127.0.0.1:9".parse().unwrap();
    let mut session = network.session();
    for path in ["/a", "/b"] {
        let told = session.exchange(&request("DELETE", nobody, path), PATIENCE);
        assert_eq!(told, Err(ExchangeError::NotSent));
    }
    let urls: Vec<_> = network.noted().into_iter().map(|request| request.url).collect();
    assert_eq!(urls, ["http://127.0.0.1:9/a", "http://127.0.0.1:9/b"]);
}

#[test]
fn plain_requests_go_to_the_proxy_whole() {
    let proxy = crate::stage::server(|_, mut socket| {
        while let Some((head, _)) = crate::stage::read_request(&socket) {
            use std::io::Write;
            let length = head.len();
            write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{head}").unwrap();
        }
    });
    let proxies = Proxies::all(&format!("http://ann:p%40ss@{proxy}")).unwrap();
    let network = Network::builder()
        .allow_public_host("shop.example", None)
        .allow_host("meter.example", None)
        .proxies(proxies)
        .build();
    let ask = |host: &str| {
        let url = format!("http://{host}/a?b");
        let request = Request { method: "GET".into(), url, ..Request::default() };
        network.session().exchange(&request, PATIENCE)
    };
    let seen = String::from_utf8(ask("shop.example").unwrap().body).unwrap();
    assert_eq!(
        seen,
        "GET http://shop.example/a?b HTTP/1.1\r\nHost: shop.example\r\nProxy-Authorization: Basic YW5uOnBAc3M=\r\n\r\n"
    );
    let told = ask("meter.example").unwrap_err().to_string();
    assert!(told.contains("through a proxy"), "{told}");
}
