//! smesec: security engines that run inside the host's own process.
pub mod decode;
#[cfg(feature = "waf")]
pub mod waf;
