//! Certificates by name.

use super::config;
use crate::error::{ConfigError, Error};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

/// The first certificate serves every name that has none of its own.
#[derive(Debug)]
struct ByName {
    names: HashMap<String, Arc<CertifiedKey>>,
    first: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello.server_name().and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wider =
                || name.split_once('.').and_then(|(_, rest)| self.names.get(&format!("*.{rest}")));
            self.names.get(&name).or_else(wider)
        });
        Some(Arc::clone(found.unwrap_or(&self.first)))
    }
}

/// TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1 on offer.
pub(super) fn server_config(origin: &str, tls: &config::Tls) -> Result<Arc<ServerConfig>, Error> {
    let mut names = HashMap::new();
    let mut first = None;
    for certificate in &tls.certificates {
        let key = Arc::new(certified(origin, certificate)?);
        for name in &certificate.names {
            names.insert(name.clone(), Arc::clone(&key));
        }
        first.get_or_insert(key);
    }
    let first = first.ok_or_else(|| {
        ConfigError::new(format!(
            "{origin}: `[gateway.tls]` without a `[[gateway.tls.certificate]]`"
        ))
    })?;
    let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| ConfigError::new(format!("{origin}: {e}")))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName { names, first }));
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(server))
}

fn certified(origin: &str, certificate: &config::Certificate) -> Result<CertifiedKey, Error> {
    let config::Certificate { chain, key, chain_at, key_at, .. } = certificate;
    let read = |path: &std::path::Path, at: &config::Place| {
        std::fs::read(path).map_err(|e| {
            let why = format!("`{}`: {e}; check that it exists and may be read", path.display());
            at.wrong(origin, why)
        })
    };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&read(chain, chain_at)?)
        .collect::<Result<_, _>>()
        .map_err(|e| {
            let why = format!("`{}` is no PEM certificate: {e}", chain.display());
            chain_at.wrong(origin, why)
        })?;
    if certificates.is_empty() {
        let why = format!(
            "`{}` holds no certificate; it must begin with -----BEGIN CERTIFICATE-----",
            chain.display()
        );
        return Err(chain_at.wrong(origin, why));
    }
    let private = PrivateKeyDer::from_pem_slice(&read(key, key_at)?).map_err(|e| {
        key_at.wrong(origin, format!("`{}` is no PEM private key: {e}", key.display()))
    })?;
    CertifiedKey::from_der(certificates, private, &ring::default_provider()).map_err(|e| {
        let why = format!("`{}` and `{}` do not go together: {e}", chain.display(), key.display());
        key_at.wrong(origin, why)
    })
}
