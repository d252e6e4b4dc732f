//! The one provider of cryptography: ring's, with what it lacks.

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;

use super::ecdsa;
use super::key_exchange::Secp521r1;

/// The one provider of cryptography.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| {
        let signature_verification_algorithms = ecdsa::supported();
        let mut provider = rustls::crypto::ring::default_provider();
        provider.kx_groups.push(&Secp521r1);
        Arc::new(CryptoProvider { signature_verification_algorithms, ..provider })
    }))
}
