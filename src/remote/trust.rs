//! Whose certificates are believed when this server dials another.
//!
//! Exists so that there is one TLS configuration for everything outbound: TLS 1.2 or newer, the
//! system's authorities and those that the configuration adds. Knows nothing of who is dialled.

use std::{sync::Arc, time::Duration};

use belfry_env::Clock;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, UnixTime, pem::PemObject as _},
    time_provider::TimeProvider,
};

/// Authorities in one file, at most.
pub const AUTHORITIES_MAX: usize = 1_000;

/// Why certificates cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Neither the system nor the configuration names an authority.
    #[error("no certificate authority is known: install the system's or configure some")]
    NoAuthority,
    /// Not PEM with certificates.
    #[error("not certificates in PEM form ({0}); convert the file")]
    NotPem(String),
    /// TLS itself is not set up.
    #[error("TLS cannot be used ({0}); report this bug")]
    Tls(#[from] rustls::Error),
}

/// Which authorities are believed.
#[derive(Debug, Clone, Default)]
pub struct Authorities {
    /// Those that the system knows.
    pub system: bool,
    /// Those of closed networks.
    pub extra: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Adds the certificates of a PEM file.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<(), TrustError> {
        for certificate in CertificateDer::pem_slice_iter(pem).take(AUTHORITIES_MAX) {
            let certificate = certificate.map_err(|error| TrustError::NotPem(error.to_string()))?;
            self.extra.push(certificate);
        }
        Ok(())
    }

    fn store(&self) -> Result<RootCertStore, TrustError> {
        let mut store = RootCertStore::empty();
        if self.system {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "some of the system's certificate authorities cannot be read");
            }
            store.add_parsable_certificates(found.certs);
        }
        for certificate in &self.extra {
            store.add(certificate.clone())?;
        }
        if store.is_empty() {
            return Err(TrustError::NoAuthority);
        }
        Ok(store)
    }
}

/// The TLS configuration of everything outbound. Validity is judged by the clock's wall time.
pub(crate) fn client_config(
    authorities: &Authorities,
    clock: Clock,
) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(WallTime(clock)))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities.store()?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Tells rustls what time it is.
#[derive(Debug)]
struct WallTime(Clock);

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(
            self.0.wall_ms(),
        )))
    }
}
