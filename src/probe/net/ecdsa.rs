//! Signatures that ring does not verify: ECDSA with the curve P-521, and with SHA-512 over the smaller curves.

use std::fmt;
use std::sync::LazyLock;

use ring::digest::{self, Algorithm, SHA256, SHA384, SHA512};
use rustls::SignatureScheme;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring as provider};
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};

use super::signatures::CountedAlgorithm;

type Supported = &'static dyn SignatureVerificationAlgorithm;

/// All that ring verifies, and what is verified here. Those of a chain are counted.
pub(super) fn supported() -> WebPkiSupportedAlgorithms {
    static ALL: LazyLock<Vec<Supported>> = LazyLock::new(|| {
        let mut all = provider::default_provider().signature_verification_algorithms.all.to_vec();
        all.extend(P521.iter().chain(SMALLER).map(|ours| ours as Supported));
        all.into_iter().map(|one| Box::leak(Box::new(CountedAlgorithm(one))) as Supported).collect()
    });
    static MAPPING: LazyLock<Vec<(SignatureScheme, &[Supported])>> = LazyLock::new(|| {
        let mut mapping = provider::default_provider().signature_verification_algorithms.mapping.to_vec();
        for (scheme, algorithms) in &mut mapping {
            // In TLS 1.2 a scheme fixes the hash and not the curve; in TLS 1.3 the first one alone counts.
            let ours = match scheme {
                SignatureScheme::ECDSA_NISTP256_SHA256 => &P521[2],
                SignatureScheme::ECDSA_NISTP384_SHA384 => &P521[1],
                _ => continue,
            };
            *algorithms = [*algorithms, &[ours as Supported]].concat().leak();
        }
        mapping.push((SignatureScheme::ECDSA_NISTP521_SHA512, WITH_SHA512));
        mapping
    });
    WebPkiSupportedAlgorithms { all: &ALL, mapping: &MAPPING }
}

static P521: &[Ecdsa] = &[
    Ecdsa::new(alg_id::ECDSA_P521, alg_id::ECDSA_SHA512, &SHA512, by_p521),
    Ecdsa::new(alg_id::ECDSA_P521, alg_id::ECDSA_SHA384, &SHA384, by_p521),
    Ecdsa::new(alg_id::ECDSA_P521, alg_id::ECDSA_SHA256, &SHA256, by_p521),
];

static SMALLER: &[Ecdsa] = &[
    Ecdsa::new(alg_id::ECDSA_P256, alg_id::ECDSA_SHA512, &SHA512, by_p256),
    Ecdsa::new(alg_id::ECDSA_P384, alg_id::ECDSA_SHA512, &SHA512, by_p384),
];

static WITH_SHA512: &[Supported] = &[&P521[0], &SMALLER[0], &SMALLER[1]];

/// Whether a signature (DER) over a hash is that of the key (SEC 1).
type Verify = fn(key: &[u8], hash: &[u8], signature: &[u8]) -> bool;

/// One pair of a curve and a hash.
struct Ecdsa {
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    hash: &'static Algorithm,
    verify: Verify,
}

impl Ecdsa {
    const fn new(
        key: AlgorithmIdentifier,
        signature: AlgorithmIdentifier,
        hash: &'static Algorithm,
        verify: Verify,
    ) -> Self {
        Self { key, signature, hash, verify }
    }
}

impl fmt::Debug for Ecdsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ecdsa").field("hash", self.hash).finish_non_exhaustive()
    }
}

impl SignatureVerificationAlgorithm for Ecdsa {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let hash = digest::digest(self.hash, message);
        (self.verify)(key, hash.as_ref(), signature).then_some(()).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

macro_rules! verify_by {
    ($curve:ident, $key:expr, $hash:expr, $signature:expr) => {{
        use $curve::ecdsa::signature::hazmat::PrehashVerifier;
        use $curve::ecdsa::{DerSignature, Signature, VerifyingKey};
        let key = VerifyingKey::from_sec1_bytes($key);
        let signature = DerSignature::try_from($signature).and_then(Signature::try_from);
        matches!((key, signature), (Ok(key), Ok(signature)) if key.verify_prehash($hash, &signature).is_ok())
    }};
}

fn by_p521(key: &[u8], hash: &[u8], signature: &[u8]) -> bool {
    // The crate refuses a hash of less than half the curve's size, which SHA-256 has, with `openssl req` for example. A
    // hash is a number: zeros before it change nothing.
    let mut number = [0; 64];
    let Some(start) = number.len().checked_sub(hash.len()) else { return false };
    number[start..].copy_from_slice(hash);
    verify_by!(p521, key, &number, signature)
}

fn by_p384(key: &[u8], hash: &[u8], signature: &[u8]) -> bool {
    verify_by!(p384, key, hash, signature)
}

fn by_p256(key: &[u8], hash: &[u8], signature: &[u8]) -> bool {
    verify_by!(p256, key, hash, signature)
}
