//! TLS for mail, with the roots that everything else believes too.

use lettre::transport::smtp;
use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};

use crate::outgoing::Roots;

/// Root certificates as a mail client takes them, for a server whose certificate must name `host`.
///
/// # Errors
/// When they cannot be used.
pub fn parameters(roots: &Roots, host: &str) -> Result<TlsParameters, smtp::Error> {
    let builder = TlsParameters::builder(host.to_owned());
    if roots.certificates().is_empty() {
        return builder
            .certificate_store(CertificateStore::WebpkiRoots)
            .build();
    }
    roots
        .certificates()
        .iter()
        .try_fold(
            builder.certificate_store(CertificateStore::None),
            |builder, root| Ok(builder.add_root_certificate(Certificate::from_der(root.to_vec())?)),
        )?
        .build()
}
