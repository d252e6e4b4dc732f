//! Bounds how many signatures are verified for one chain of certificates: a server may present issuers that look as if
//! each could have issued each, and trying them all holds up every other probe. webpki tries a hundred.

use std::cell::Cell;
use std::fmt;

use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

/// A chain has a handful; some servers present issuers that none of it needs, or several of one name.
pub(super) const MOST: u32 = 16;

thread_local! {
    /// A chain is verified in one go, on one thread.
    static LEFT: Cell<u32> = const { Cell::new(MOST) };
}

/// The verification of a chain begins.
pub(super) fn begin() {
    LEFT.set(MOST);
}

/// Whether the chain would have taken more than [`MOST`].
pub(super) fn were_too_many() -> bool {
    LEFT.get() == 0
}

/// An algorithm that refuses when a chain takes too many signatures.
pub(super) struct CountedAlgorithm(pub(super) &'static dyn SignatureVerificationAlgorithm);

impl fmt::Debug for CountedAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CountedAlgorithm").field(&self.0).finish()
    }
}

impl SignatureVerificationAlgorithm for CountedAlgorithm {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let left = LEFT.get().checked_sub(1).ok_or(InvalidSignature)?;
        LEFT.set(left);
        self.0.verify_signature(key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}
