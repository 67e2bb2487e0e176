//! How a run gets to what it tests: its cap and rate, a proxy, HTTP/2.

use crate::cli::text;
use crate::client::{Http2, NetworkBuilder, Proxies};

/// What was asked for beyond the network's own bounds.
#[derive(Default)]
pub(super) struct Way {
    requests: Option<u64>,
    per_second: Option<u32>,
    proxies: Option<Proxies>,
    http2: bool,
}

impl Way {
    /// Takes an option that is about the way; false for another.
    pub(super) fn take(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<bool, String> {
        let mut value = || text(parser.value().map_err(|e| format!("`--{name}`: {e}"))?);
        let number = |text: &str| format!("`--{name} {text}`: write a whole number, 1 at least");
        match name {
            "requests" => {
                let text = value()?;
                let most = text.parse().ok().filter(|n| *n > 0);
                self.requests = Some(most.ok_or_else(|| number(&text))?);
            }
            "per-second" => {
                let text = value()?;
                let rate = text.parse().ok().filter(|n| *n > 0);
                self.per_second = Some(rate.ok_or_else(|| number(&text))?);
            }
            // It may hold a password: the error shows none of it.
            "proxy" => {
                let proxies = Proxies::all(&value()?);
                self.proxies = Some(proxies.map_err(|e| format!("`--proxy`: {e}"))?);
            }
            "http2" => self.http2 = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether the cap or the rate was asked for: an audit has them in its file.
    pub(super) const fn bounds(&self) -> bool {
        self.requests.is_some() || self.per_second.is_some()
    }

    pub(super) fn over(&self, mut builder: NetworkBuilder) -> NetworkBuilder {
        if let Some(requests) = self.requests {
            builder = builder.at_most(requests);
        }
        if let Some(rate) = self.per_second {
            builder = builder.per_second(rate);
        }
        if let Some(proxies) = &self.proxies {
            builder = builder.proxies(proxies.clone());
        }
        if self.http2 {
            // As asked for: a server that does not speak it is told of.
            builder = builder.http2(Http2::Always);
        }
        builder
    }
}
