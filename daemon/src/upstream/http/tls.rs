//! Whom TLS believes: the certificate authorities of the system, and those given besides.

use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::upstream::StartError;

/// The settings for all connections. A host without any authorities is refused only when the list needs them: inside
/// a container with a plain http proxy there often are none.
pub(super) fn config(extra_roots: &[Vec<u8>], needs_tls: bool) -> Result<ClientConfig, StartError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "some certificate authorities of the system cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    for pem in extra_roots {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| StartError::Root(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| StartError::Root(error.to_string()))?;
        }
    }
    if needs_tls && roots.is_empty() {
        return Err(StartError::NoRoots);
    }
    Ok(
        ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| StartError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}
