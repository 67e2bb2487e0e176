//! Sessions over the network for tests: what [`crate::taas`] acts through.
//!
//! | file | what happens there |
//! | --- | --- |
//! | [`Network`] | the run's one door to the network: who may be asked, how often, how fast |
//! | `allowed` | hosts that may be asked, and the addresses they may lie at |
//! | `pace` | requests a second, shared by all sessions |
//! | `url` | absolute URLs, taken apart |
//! | `session` | one test's connections, kept alive and tried anew when stale |
//! | `connection` | a socket under a deadline, with or without TLS |
//! | [`Proxies`] | which requests go through a proxy |
//! | `tls` | whom to believe, and who the client is |
//! | [`http1`] | requests as bytes, and answers from bytes in any pieces |
//! | [`Http2`] | HTTP/2 for runs that ask for it, over hyper |
//! | [`mqtt`] | messages through a broker |
//!
//! HTTP/1.1 and MQTT are spoken synchronously, without a thread or a runtime.
//!
//! ```
//! use smesec_core::client::Network;
//! use smesec_core::runner::{ExchangeError, Request, Target};
//! use std::time::Duration;
//!
//! let network = Network::builder().allow_host("127.0.0.1", None).build();
//! let mut session = network.session();
//! let request = Request { method: "GET".into(), url: "http://shop.example/".into(), ..Request::default() };
//! let refused = session.exchange(&request, Duration::from_secs(1)).unwrap_err();
//! assert_eq!(refused, ExchangeError::NotAllowed("shop.example:80".into()));
//! ```

mod allowed;
mod connection;
pub mod http1;
mod http2;
pub mod mqtt;
mod network;
mod pace;
mod proxy;
mod session;
mod tls;
mod url;

pub use allowed::Resolver;
pub use http2::Http2;
pub use network::{Network, NetworkBuilder};
pub use proxy::Proxies;
