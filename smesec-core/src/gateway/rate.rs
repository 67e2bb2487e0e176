//! A filter that bounds how often one address may ask.

use super::address::{Decided, Signature};
use crate::error::ConfigError;
use crate::filter::{Filter, Transaction};
use crate::http::Connection;
use crate::intake::Intake;
use crate::time::Timestamp;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// How often a client may ask: a bucket of `burst` tokens that fills again at `per_second`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate {
    per_second: f64,
    burst: f64,
}

impl Rate {
    /// A rate; the burst is four seconds' worth by default (a page with its pictures), at least 1.
    ///
    /// # Errors
    /// For a burst of 0, and for a rate that is none or outside of what makes sense: one request in a
    /// thousand seconds, a million in one.
    pub fn new(per_second: f64, burst: Option<u32>) -> Result<Self, ConfigError> {
        if burst == Some(0) {
            return Err(ConfigError::new("`burst` of 0 lets nothing pass; write at least 1"));
        }
        if !(0.001..=1e6).contains(&per_second) {
            return Err(ConfigError::new(format!(
                "`requests_per_second` of {per_second} is out of range; write 0.001 to 1000000"
            )));
        }
        let burst = burst.map_or((per_second * 4.0).ceil().max(1.0), f64::from);
        Ok(Self { per_second, burst })
    }
}

const SHARDS: usize = 16;
/// Clients remembered in each shard: a million in all would be 40 MB; 65,536 is 3 MB, and who falls
/// out begins with a full bucket.
const CLIENTS: usize = 4_096;

struct Bucket {
    tokens: f64,
    at: Timestamp,
}

/// A [`Filter`] that answers 429 to who asks too often. One address is one client; of IPv6 it is the
/// network of 64 bits, since one visitor has a whole one.
pub struct RateLimit {
    rate: Rate,
    shards: Vec<Mutex<HashMap<u128, Bucket>>>,
    hasher: RandomState,
    signature: Arc<Signature>,
}

impl std::fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimit").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl RateLimit {
    /// A limit with its own memory of clients.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            shards: (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect(),
            hasher: RandomState::new(),
            signature: Signature::new("smesec-rate-limit", "rate limit"),
        }
    }

    /// The rate that it enforces.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes one token from the client's bucket; false when it is empty.
    ///
    /// ```
    /// use smesec_core::gateway::{Rate, RateLimit};
    /// use smesec_core::time::Timestamp;
    /// let limit = RateLimit::new(Rate::new(1.0, Some(2))?);
    /// let client = "192.0.2.1".parse().unwrap();
    /// let now = Timestamp::from_unix_seconds(0);
    /// assert!(limit.admits(client, now) && limit.admits(client, now));
    /// assert!(!limit.admits(client, now), "the burst is spent");
    /// assert!(limit.admits(client, now.plus_seconds(1)));
    /// # Ok::<(), smesec_core::error::ConfigError>(())
    /// ```
    pub fn admits(&self, client: IpAddr, now: Timestamp) -> bool {
        let key = match client {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6
                .to_ipv4_mapped()
                .map_or(v6.to_bits() & !u128::from(u64::MAX), |v4| v4.to_ipv6_mapped().to_bits()),
        };
        let shard = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        let Some(shard) = self.shards.get(shard) else { return true };
        let mut clients = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS && !clients.contains_key(&key) {
            self.forget(&mut clients, now);
        }
        let full = Bucket { tokens: self.rate.burst, at: now };
        let bucket = clients.entry(key).or_insert(full);
        let elapsed = now.unix_nanos().saturating_sub(bucket.at.unix_nanos()).max(0) as f64 / 1e9;
        bucket.tokens = (bucket.tokens + elapsed * self.rate.per_second).min(self.rate.burst);
        bucket.at = bucket.at.max(now);
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    /// Drops the buckets that are full again; where none is, the fuller half.
    fn forget(&self, clients: &mut HashMap<u128, Bucket>, now: Timestamp) {
        let level = |bucket: &Bucket| {
            let elapsed =
                now.unix_nanos().saturating_sub(bucket.at.unix_nanos()).max(0) as f64 / 1e9;
            bucket.tokens + elapsed * self.rate.per_second
        };
        clients.retain(|_, bucket| level(bucket) < self.rate.burst);
        if clients.len() >= CLIENTS {
            let mut levels: Vec<f64> = clients.values().map(level).collect();
            let middle = levels.len() / 2;
            let (_, median, _) = levels.select_nth_unstable_by(middle, f64::total_cmp);
            let median = *median;
            clients.retain(|_, bucket| level(bucket) < median);
            if clients.len() >= CLIENTS {
                clients.clear();
            }
        }
    }
}

impl Filter for RateLimit {
    fn begin(&self, connection: &Connection, _: Option<Box<dyn Intake>>) -> Box<dyn Transaction> {
        let address = connection.client.ip();
        Box::new(if self.admits(address, connection.now) {
            Decided::pass(connection)
        } else {
            let why =
                format!("{address} asks more often than {} times a second", self.rate.per_second);
            Decided::against(connection, 429, &self.signature, why)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    #[test]
    fn memory_of_clients_is_bounded() {
        let limit = RateLimit::new(Rate::new(0.001, Some(1)).unwrap());
        let now = Timestamp::from_unix_seconds(0);
        for n in 0..400_000u32 {
            assert!(limit.admits(IpAddr::V4(n.into()), now));
        }
        let held: usize = limit.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(held <= SHARDS * CLIENTS, "{held}");
    }

    #[test]
    fn a_visitor_of_ipv6_is_a_network() {
        let limit = RateLimit::new(Rate::new(0.001, Some(1)).unwrap());
        let now = Timestamp::from_unix_seconds(0);
        let client = |text: &str| limit.admits(IpAddr::V6(text.parse::<Ipv6Addr>().unwrap()), now);
        assert!(client("2001:db8::1"));
        assert!(!client("2001:db8::2"), "the same network");
        assert!(client("2001:db8:0:1::1"), "another");
        assert!(limit.admits("192.0.2.1".parse().unwrap(), now));
        assert!(!client("::ffff:192.0.2.1"), "the same client, mapped");
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let limit = RateLimit::new(Rate::new(1.0, Some(1)).unwrap());
        let client = "192.0.2.1".parse().unwrap();
        assert!(limit.admits(client, Timestamp::from_unix_seconds(100)));
        assert!(!limit.admits(client, Timestamp::from_unix_seconds(50)));
        assert!(!limit.admits(client, Timestamp::from_unix_seconds(100)));
        assert!(limit.admits(client, Timestamp::from_unix_seconds(101)));
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        let bad = [f64::NAN, f64::INFINITY, -1.0, 0.0, 0.000_9, 1_000_001.0];
        for per_second in bad {
            let why = Rate::new(per_second, None).unwrap_err().to_string();
            assert!(why.contains("requests_per_second"), "{why}");
        }
        assert!(Rate::new(1.0, Some(0)).unwrap_err().to_string().contains("burst"));
        assert_eq!(Rate::new(0.01, None), Rate::new(0.01, Some(1)));
        assert_eq!(Rate::new(2.5, None), Rate::new(2.5, Some(10)));
    }
}
