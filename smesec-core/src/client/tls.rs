//! Whom to believe over TLS, and who the client is.

use crate::runner::{ConnectionOptions, ExchangeError, Trust};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Where systems keep the authorities they trust: Debian and its kin, Fedora and its kin, `OpenSUSE`,
/// Alpine and the BSDs.
const SYSTEM: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The settings of one trust and one client; made once a run, because reading the system's
/// authorities costs more than a handshake.
#[derive(Debug)]
struct Made {
    trust: Trust,
    certificate: Option<(PathBuf, Option<PathBuf>)>,
    config: Arc<ClientConfig>,
}

/// The settings of a run.
#[derive(Debug)]
pub(super) struct Settings {
    protocols: Vec<Vec<u8>>,
    made: Mutex<Vec<Made>>,
}

impl Settings {
    /// `protocols` are offered in this order.
    pub(super) fn new(protocols: &[&[u8]]) -> Self {
        let protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Self { protocols, made: Mutex::default() }
    }

    pub(super) fn of(
        &self,
        options: &ConnectionOptions,
    ) -> Result<Arc<ClientConfig>, ExchangeError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |made: &&Made| {
            made.trust == options.trust && made.certificate == options.client_certificate
        };
        if let Some(found) = made.iter().find(fits) {
            return Ok(Arc::clone(&found.config));
        }
        let config = Arc::new(self.make(options)?);
        made.push(Made {
            trust: options.trust.clone(),
            certificate: options.client_certificate.clone(),
            config: Arc::clone(&config),
        });
        Ok(config)
    }

    fn make(&self, options: &ConnectionOptions) -> Result<ClientConfig, ExchangeError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| ExchangeError::Request(format!("TLS: {e}")))?;
        let builder = match &options.trust {
            Trust::System => builder.with_root_certificates(system()?),
            Trust::File(path) => builder.with_root_certificates(authorities(path)?),
            Trust::Anybody => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody { provider }))
            }
        };
        let mut config = match &options.client_certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let path = key.as_ref().unwrap_or(certificate);
                let key = PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|e| {
                    refused(path, &format!("holds no private key in PEM form ({e})"))
                })?;
                builder.with_client_auth_cert(chain, key).map_err(|e| {
                    refused(path, &format!("and `{}` do not fit: {e}", certificate.display()))
                })?
            }
        };
        config.alpn_protocols.clone_from(&self.protocols);
        Ok(config)
    }
}

fn refused(path: &Path, why: &str) -> ExchangeError {
    ExchangeError::Request(format!("`{}` {why}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, ExchangeError> {
    std::fs::read(path).map_err(|e| refused(path, &format!("could not be read: {e}")))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ExchangeError> {
    let chain = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(refused(path, "holds no certificate in PEM form")),
        Err(e) => Err(refused(path, &format!("is no PEM file: {e}"))),
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, ExchangeError> {
    let mut store = RootCertStore::empty();
    // Old authorities that this library cannot read are no reason to trust none of the others.
    let (added, _) = store.add_parsable_certificates(certificates(path)?);
    if added == 0 {
        return Err(refused(path, "holds no certificate of an authority that could be read"));
    }
    Ok(store)
}

fn system() -> Result<RootCertStore, ExchangeError> {
    match SYSTEM.iter().map(Path::new).find(|path| path.is_file()) {
        Some(path) => authorities(path),
        None => Err(ExchangeError::Request(
            "the system's certificate authorities were not found; name a PEM file (`verify: path`)"
                .to_owned(),
        )),
    }
}

/// Believes everybody, as a test that says `verify: false` asks.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // A certificate too old to be read is one of those a test may want to get past.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
