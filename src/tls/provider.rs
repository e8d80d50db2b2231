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
