//! TLS for the endpoint: certificate and key from files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use super::reloaded::Reloaded;

/// Why a certificate and its key cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not PEM, or holds nothing of use.
    #[error("{} holds no {what} in PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The two do not make a server.
    #[error("the certificate and the key cannot be used together")]
    Use(#[from] rustls::Error),
}

/// A certificate chain and its key.
pub struct Tls(Reloaded<TlsAcceptor, TlsError, 2>);

impl Tls {
    /// Those in these files.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Reloaded::new([certificate.to_owned(), key.to_owned()], read).map(Self)
    }

    /// What accepts the next connection, with the files as they are now.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.0.get()
    }
}

fn read([certificate, key]: &[PathBuf; 2]) -> Result<TlsAcceptor, TlsError> {
    let bytes = |path: &Path| {
        std::fs::read(path).map_err(|source| TlsError::Read {
            path: path.to_owned(),
            source,
        })
    };
    let nothing = |path: &Path, what| TlsError::Pem {
        path: path.to_owned(),
        what,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&bytes(certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|_| nothing(certificate, "certificate"))?;
    if chain.is_empty() {
        return Err(nothing(certificate, "certificate"));
    }
    let private =
        PrivateKeyDer::from_pem_slice(&bytes(key)?).map_err(|_| nothing(key, "private key"))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
