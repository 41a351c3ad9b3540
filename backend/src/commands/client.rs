//! How commands speak to a running backend.

use std::path::{Path, PathBuf};

use reqwest::{Client, ClientBuilder, Response};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use thiserror::Error;

use crate::outgoing::Roots;

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// A file with certificates cannot be used.
    #[error("reading certificates from {path}: {reason}")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// TLS.
    #[error("preparing TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// A client that believes the system's roots and the certificates of `ca_file`, goes through no proxy, and calls itself
/// by the name of its command.
///
/// # Errors
/// See [`ClientError`].
pub fn builder(command: &str, ca_file: Option<&Path>) -> Result<ClientBuilder, ClientError> {
    let mut roots = Roots::of_system();
    if let Some(path) = ca_file {
        let wrong = |reason: String| ClientError::Certificates {
            path: path.to_owned(),
            reason,
        };
        let found =
            CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
        for certificate in found {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| wrong(error.to_string()))?;
        }
    }
    Ok(Client::builder()
        .tls_backend_preconfigured(roots.client_config()?)
        .no_proxy()
        .user_agent(format!(
            "infra-watch-{command}/{}",
            env!("CARGO_PKG_VERSION")
        )))
}

/// The address of a call.
pub fn url(server: &str, path: &str) -> String {
    format!("{}/api/v1{path}", server.trim_end_matches('/'))
}

/// What a backend says when it refuses.
pub async fn detail(answer: Response) -> String {
    let status = answer.status();
    let problem: serde_json::Value = answer.json().await.unwrap_or_default();
    let detail = problem.get("detail").and_then(serde_json::Value::as_str);
    detail.map_or_else(|| status.to_string(), str::to_owned)
}
