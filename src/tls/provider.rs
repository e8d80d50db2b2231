//! The cryptography of TLS: that of the application if it has installed one, otherwise ring.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

/// Returns the cryptography for connections that the library opens itself.
pub(super) fn provider() -> Arc<CryptoProvider> {
    match CryptoProvider::get_default() {
        Some(installed) => Arc::clone(installed),
        None => Arc::new(ring::default_provider()),
    }
}

/// Installs ring for the process, unless the application has installed a provider. The driver of MySQL takes that of the
/// process. Without one, it panics if the crates of the program bring several.
#[cfg(feature = "mysql")]
pub(crate) fn install() {
    if CryptoProvider::get_default().is_none() {
        // Fails if another thread was faster, whose provider is as good.
        let _ = ring::default_provider().install_default();
    }
}
