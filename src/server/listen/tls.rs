//! Certificates of the HTTPS listeners, taken anew when their files change.
//!
//! Exists so that a renewed certificate needs no restart. A file that cannot be used leaves the
//! one before in use, with a warning in the log. Knows nothing of who asks for certificates and
//! renews them.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use belfry_env::Env;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

use crate::message::Message;

/// How often the files are looked at.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_mins(1);
/// Longest file, in bytes.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Certificates in one chain.
const CHAIN_MAX: usize = 20;

/// Where a certificate and its key are, both in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// The certificate, then those above it.
    pub(crate) certificate: PathBuf,
    /// Its secret key.
    pub(crate) key: PathBuf,
}

/// The bytes of both files.
type Texts = (Vec<u8>, Vec<u8>);

/// The certificate that is shown at the moment.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&shown))
    }
}

/// A certificate that follows its files.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Files,
    texts: Texts,
    shown: Arc<Shown>,
    provider: Arc<CryptoProvider>,
}

impl Certificate {
    /// Reads the files.
    pub(crate) fn load(files: Files) -> Result<Self, Message> {
        let provider = Arc::new(ring::default_provider());
        let refused = |cause: String| {
            Message::new("tls-unusable")
                .with("certificate", files.certificate.as_path())
                .with("key", files.key.as_path())
                .with("cause", cause)
        };
        let texts = read(&files).map_err(|error| refused(error.to_string()))?;
        let key = certified(&provider, &texts).map_err(refused)?;
        Ok(Self {
            files,
            texts,
            shown: Arc::new(Shown(RwLock::new(Arc::new(key)))),
            provider,
        })
    }

    /// What listeners speak TLS by: version 1.2 or newer, HTTP/1.1 and HTTP/2.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, Message> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Message::new("start-failed").with_text("cause", &error))?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&self.shown) as _;
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Takes the files anew if they have changed; whether it did.
    pub(crate) fn look(&mut self) -> Result<bool, String> {
        let texts = read(&self.files).map_err(|error| error.to_string())?;
        if texts == self.texts {
            return Ok(false);
        }
        let key = certified(&self.provider, &texts)?;
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
        self.texts = texts;
        Ok(true)
    }

    /// Looks now and then until the server stops.
    pub(crate) async fn follow(mut self, env: Env) {
        let wait = || env.shutdown.unless(env.clock.sleep(LOOK_INTERVAL));
        while wait().await.is_some() {
            match self.look() {
                Ok(false) => {}
                Ok(true) => tracing::info!("a renewed certificate is in use"),
                Err(cause) => tracing::warn!(
                    cause,
                    "the certificate's files changed and cannot be used; the one before stays"
                ),
            }
        }
    }
}

fn read(files: &Files) -> io::Result<Texts> {
    let bounded = |file: &PathBuf| {
        let text = fs::read(file)?;
        if text.len() > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large"));
        }
        Ok(text)
    };
    Ok((bounded(&files.certificate)?, bounded(&files.key)?))
}

/// The key with its chain, if they belong together.
fn certified(provider: &CryptoProvider, (chain, key): &Texts) -> Result<CertifiedKey, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain)
        .take(CHAIN_MAX)
        .collect();
    let chain = chain.map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| error.to_string())?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;

    fn write(folder: &TempDir, name: &str) -> Files {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let files = Files {
            certificate: folder.path().join("certificate.pem"),
            key: folder.path().join("key.pem"),
        };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn shown(certificate: &Certificate) -> Vec<u8> {
        certificate.shown.0.read().unwrap().cert[0].to_vec()
    }

    #[test]
    fn a_renewed_certificate_is_taken_without_a_restart() {
        let folder = TempDir::new().unwrap();
        let mut certificate = Certificate::load(write(&folder, "a.example")).unwrap();
        certificate.acceptor().unwrap();
        let first = shown(&certificate);
        assert_eq!(certificate.look(), Ok(false));
        write(&folder, "a.example");
        assert_eq!(certificate.look(), Ok(true));
        assert_ne!(shown(&certificate), first);
    }

    #[test]
    fn files_that_cannot_be_used_leave_the_one_before() {
        let folder = TempDir::new().unwrap();
        let files = write(&folder, "a.example");
        let mut certificate = Certificate::load(files.clone()).unwrap();
        let first = shown(&certificate);
        let other = TempDir::new().unwrap();
        let stranger = write(&other, "a.example");
        for broken in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            fs::write(&files.certificate, broken).unwrap();
            certificate.look().unwrap_err();
        }
        fs::copy(&stranger.certificate, &files.certificate).unwrap();
        certificate.look().unwrap_err();
        fs::remove_file(&files.key).unwrap();
        certificate.look().unwrap_err();
        assert_eq!(shown(&certificate), first);
        fs::copy(&stranger.key, &files.key).unwrap();
        assert_eq!(certificate.look(), Ok(true));
    }

    #[test]
    fn a_start_without_usable_files_is_refused() {
        let folder = TempDir::new().unwrap();
        let files = write(&folder, "a.example");
        fs::write(&files.key, "nothing").unwrap();
        Certificate::load(files).unwrap_err();
    }
}
