//! The gateway: a reverse proxy that puts the firewall in front of one's sites.
//!
//! | file | what happens there |
//! | --- | --- |
//! | [`Config`] | `smesec.toml`, checked, each error with its place |
//! | `values` | each value in it: names, addresses, times |
//! | `words` | what the reader of TOML says, in plain words |
//! | `listener` | sockets: accepting, PROXY protocol, TLS, HTTP/1.1 and HTTP/2, draining |
//! | `patience` | how long a connection may stand still |
//! | `tls` | certificates by name, read anew at each reload |
//! | `origin` | who the client is: PROXY protocol, `X-Forwarded-For` from trusted hops |
//! | `site` | what a reload swaps: hosts, their filters and their upstreams |
//! | `exchange` | one request on its way: head, body, upstream, response |
//! | `inspect` | the filter's transaction, shared by the two directions of one exchange |
//! | `warm` | what a new firewall sees before it serves |
//! | `forward` | what goes on to the upstream and back: framing, hop-by-hop headers |
//! | `upstream` | the pool of connections to the site's servers |
//! | `upgrade` | WebSocket and other upgraded connections |
//! | `body` | bodies under way: held, watched, timed |
//! | `record` | the end of an exchange: event, access log, metrics |
//! | `page` | what a person sees instead of the site |
//! | [`AddressList`], [`RateLimit`] | two further filters |
//! | `journal` | lines to files, written by a thread of its own |
//! | `metrics` | counters in the Prometheus text form |
//! | [`Schedule`] | tests and audits that the host runs beside it |
//! | `server` | [`Gateway`] and [`Handle`]: start, reload, drain |
//!
//! ```
//! use smesec_core::gateway::{Config, Gateway};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! let config = Config::parse(
//!     "smesec.toml",
//!     r#"
//!     [gateway]
//!     listen = ["127.0.0.1:0"]
//!
//!     [[gateway.host]]
//!     names = ["shop.example"]
//!     upstream = "http://127.0.0.1:3000"
//!     "#,
//! )?;
//! let gateway = Gateway::bind(config).await?;
//! let handle = gateway.handle();
//! println!("listening on {:?}", gateway.addresses());
//! handle.drain();
//! gateway.run().await;
//! # Ok::<(), smesec_core::Error>(())
//! # }).unwrap();
//! ```

mod address;
mod body;
mod config;
mod exchange;
mod forward;
mod inspect;
mod journal;
mod listener;
mod metrics;
mod origin;
mod page;
mod patience;
mod rate;
mod record;
mod schedule;
mod server;
mod site;
mod tls;
mod upgrade;
mod upstream;
mod values;
pub(crate) mod warm;
mod words;

pub use address::{AddressList, Network};
pub use config::{Config, EXAMPLE};
pub use rate::{Rate, RateLimit};
pub use schedule::{Schedule, ScheduledWork};
pub use server::{Gateway, Handle};
