//! TLS for the listener: certificate and key from files, read again when they change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// Why a certificate and key cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not PEM, or holds nothing of use.
    #[error("{path} holds no usable PEM: {reason}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate and key do not make a server.
    #[error("the certificate and key cannot be used together")]
    Use(#[from] rustls::Error),
}

/// A certificate chain and its key, in PEM files.
pub struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<(Stamp, TlsAcceptor)>,
}

type Stamp = [Option<SystemTime>; 2];

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let stamp = stamp(certificate, key);
        let acceptor = read(certificate, key)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            current: Mutex::new((stamp, acceptor)),
        })
    }

    /// The acceptor for the next handshake: of the files as they are now. While they are broken, the last good one
    /// stays in use.
    pub fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock();
        let now = stamp(&self.certificate, &self.key);
        if now != current.0 {
            current.0 = now;
            match read(&self.certificate, &self.key) {
                Ok(acceptor) => {
                    tracing::info!("certificate and key were read again");
                    current.1 = acceptor;
                }
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "keeping the old certificate"
                ),
            }
        }
        current.1.clone()
    }
}

fn stamp(certificate: &Path, key: &Path) -> Stamp {
    [certificate, key].map(|path| {
        path.metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
    })
}

fn read(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let bytes = |path: &Path| {
        std::fs::read(path).map_err(|source| TlsError::Read {
            path: path.to_owned(),
            source,
        })
    };
    let pem = |path: &Path, reason: String| TlsError::Pem {
        path: path.to_owned(),
        reason,
    };
    let chain = CertificateDer::pem_slice_iter(&bytes(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| pem(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(pem(certificate, "no certificate".to_owned()));
    }
    let private =
        PrivateKeyDer::from_pem_slice(&bytes(key)?).map_err(|error| pem(key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
