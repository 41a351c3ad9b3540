//! Whose certificates are believed: the system's roots, and Mozilla's where the system has none, as in an image
//! without anything beside the binary.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// Root certificates.
pub struct Roots(Vec<CertificateDer<'static>>);

impl Roots {
    /// Those of the system, read once.
    pub fn of_system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "reading the system's root certificates");
        }
        let mut roots = Self(Vec::new());
        for certificate in found.certs {
            // One that cannot be read must not spoil the others.
            drop(roots.add(certificate));
        }
        roots
    }

    /// Believes one more.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn add(&mut self, certificate: CertificateDer<'static>) -> Result<(), rustls::Error> {
        RootCertStore::empty().add(certificate.clone())?;
        self.0.push(certificate);
        Ok(())
    }

    /// As an HTTP client takes them.
    ///
    /// # Errors
    /// When there is no version of TLS to speak.
    pub fn client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let mut store = RootCertStore::empty();
        if self.0.is_empty() {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        } else {
            store.add_parsable_certificates(self.0.iter().cloned());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth())
    }

    /// The certificates themselves; empty when Mozilla's count.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}
