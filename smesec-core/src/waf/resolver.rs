//! Names looked up on the network, by the host.

use std::net::IpAddr;

/// Looks host names up for `@rbl`. The library opens no socket of its own: a host that wants block lists
/// hands a resolver to [`WafBuilder::resolver`](super::WafBuilder::resolver).
///
/// The call is made on the thread that runs the transaction, up to 32 times in one, so it should answer
/// from a cache or within milliseconds.
///
/// ```
/// use smesec_core::waf::Resolver;
/// use std::net::IpAddr;
///
/// struct Listed(Vec<String>);
///
/// impl Resolver for Listed {
///     fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
///         let listed = self.0.iter().any(|known| known == name);
///         Some(if listed { vec![IpAddr::from([127, 0, 0, 2])] } else { Vec::new() })
///     }
/// }
///
/// let lists = Listed(vec!["1.2.0.192.bl.example".to_owned()]);
/// assert_eq!(lists.resolve("1.2.0.192.bl.example").unwrap().len(), 1);
/// ```
pub trait Resolver: Send + Sync {
    /// The addresses of a name: none when it does not exist, `None` when that could not be found
    /// out. What could not be found out matches no rule and is counted in the event.
    fn resolve(&self, name: &str) -> Option<Vec<IpAddr>>;
}
