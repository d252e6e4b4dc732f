//! Why a server's certificate is not accepted, in words where rustls has none or misleading ones.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, OtherError};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use x509_cert::der::{self, Decode, Reader, SliceReader};

/// A sentence of ours inside an error of rustls.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// The same error, or one that says what is wrong with the certificates that were presented, the server's own first.
pub(super) fn explained(error: Error, presented: &[&CertificateDer<'_>]) -> Error {
    let reason = match &error {
        Error::InvalidCertificate(refused) => {
            let read: Vec<_> = presented.iter().filter_map(|one| Certificate::from_der(one).ok()).collect();
            reason(refused, &read)
        }
        _ => None,
    };
    reason.map_or(error, |words| Refusal(words).into())
}

fn reason(error: &CertificateError, presented: &[Certificate]) -> Option<String> {
    use CertificateError as Refused;
    let validity = || Some(presented.first()?.tbs_certificate().validity());
    let words = match error {
        Refused::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "certificate names its host in the common name alone: it needs a subject alternative name"
        }
        Refused::ExpiredContext { time, .. }
            if validity()?.not_after.to_unix_duration().as_secs() >= time.as_secs() =>
        {
            "the certificate of an issuer has expired"
        }
        Refused::NotValidYetContext { time, .. }
            if validity()?.not_before.to_unix_duration().as_secs() <= time.as_secs() =>
        {
            "the certificate of an issuer is not valid yet"
        }
        Refused::UnsupportedSignatureAlgorithmContext { signature_algorithm_id: id, .. } => {
            return Some(format!("certificate is signed with {}, which is not supported", name_of(id)));
        }
        Refused::UnsupportedSignatureAlgorithmForPublicKeyContext { public_key_algorithm_id: id, .. } => {
            return Some(format!("certificate is signed with a key of {}, which is not supported", name_of(id)));
        }
        Refused::BadSignature => {
            let bits = presented.iter().find_map(bits_of_short_signature)?;
            return Some(format!("certificate is signed with {}", too_short(bits)));
        }
        Refused::BadEncoding => "certificate cannot be read",
        // The library's own names, which it does not offer as a type.
        Refused::Other(OtherError(other)) => match other.to_string().as_str() {
            "UnsupportedCertVersion" if presented.first()?.tbs_certificate().version() == Version::V3 => {
                "the certificate of an issuer is of X.509 version 1: version 3 is needed"
            }
            "UnsupportedCertVersion" => "certificate is of X.509 version 1: version 3 is needed",
            "EndEntityUsedAsCa" => "the certificate of an issuer is not meant for a CA",
            "PathLenConstraintViolated" => "the chain of issuers is longer than one of them allows",
            "NameConstraintViolation" => "certificate is for a name that its issuer may not vouch for",
            "UnsupportedCriticalExtension" => "certificate has a critical extension that is not supported",
            _ => return None,
        },
        _ => return None,
    };
    Some(words.into())
}

/// Why the key of a server cannot be used in a handshake, if it cannot.
pub(super) fn unusable_key(certificate: &CertificateDer<'_>) -> Option<Refusal> {
    const RSA: &str = "1.2.840.113549.1.1.1";
    const USABLE: [&str; 4] = ["P-256", "P-384", "P-521", "Ed25519"];
    let certificate = Certificate::from_der(certificate).ok()?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    let oid = key.algorithm.oid;
    if oid.to_string() == RSA {
        let bits = bits_of_rsa_key(key.subject_public_key.raw_bytes()).ok()?;
        return (bits < LEAST_RSA).then(|| Refusal(format!("certificate has {}", too_short(bits))));
    }
    let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
    let name = name(&curve.unwrap_or(oid));
    let words = || format!("certificate has a key of {name}, which is not supported");
    (!USABLE.contains(&name.as_str())).then(|| Refusal(words()))
}

/// ring takes no shorter RSA key.
const LEAST_RSA: usize = 2048;

fn too_short(bits: usize) -> String {
    format!("an RSA key of {bits} bits: fewer than {LEAST_RSA} are not accepted")
}

/// The bits of the RSA key that signed a certificate, if they are too few: a signature is as long as its key.
fn bits_of_short_signature(certificate: &Certificate) -> Option<usize> {
    const RSA: &str = "1.2.840.113549.1.1.";
    let bits = certificate.signature().raw_bytes().len() * 8;
    (certificate.signature_algorithm().oid.to_string().starts_with(RSA) && bits < LEAST_RSA).then_some(bits)
}

/// The bits of the modulus (RFC 8017, appendix A.1.1).
fn bits_of_rsa_key(key: &[u8]) -> Result<usize, der::Error> {
    let modulus = SliceReader::new(key)?.sequence(|key| {
        let modulus = UintRef::decode(key)?;
        UintRef::decode(key)?;
        Ok::<_, der::Error>(modulus)
    })?;
    let modulus = modulus.as_bytes();
    let unused = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    Ok(modulus.len() * 8 - unused)
}

/// The name of an algorithm: of its curve, where the identifier has one. `identifier` is the inside of an
/// `AlgorithmIdentifier`.
fn name_of(identifier: &[u8]) -> String {
    let read = || {
        let mut reader = SliceReader::new(identifier)?;
        let algorithm = ObjectIdentifier::decode(&mut reader)?;
        let curve = Option::<AnyRef<'_>>::decode(&mut reader)?.and_then(|curve| curve.decode_as().ok());
        Ok::<_, der::Error>(curve.unwrap_or(algorithm))
    };
    read().map_or_else(|_| "an unknown algorithm".into(), |id| name(&id))
}

/// The name of an algorithm or a curve; its number where it has none here.
fn name(id: &ObjectIdentifier) -> String {
    let number = id.to_string();
    match NAMES.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("the algorithm {number}"),
    }
}

const NAMES: &[(&str, &str)] = &[
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("1.2.840.10045.3.1.1", "P-192"),
    ("1.3.132.0.33", "P-224"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1"),
    ("1.2.156.10197.1.301", "SM2"),
    ("1.2.156.10197.1.501", "SM2 with SM3"),
    ("1.2.840.10045.4.1", "ECDSA with SHA-1"),
    ("1.2.840.10045.4.3.1", "ECDSA with SHA-224"),
    ("1.2.840.10045.4.3.2", "ECDSA with SHA-256"),
    ("1.2.840.10045.4.3.3", "ECDSA with SHA-384"),
    ("1.2.840.10045.4.3.4", "ECDSA with SHA-512"),
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.113549.1.1.4", "RSA with MD5"),
    ("1.2.840.113549.1.1.5", "RSA with SHA-1"),
    ("1.2.840.113549.1.1.10", "RSA-PSS"),
    ("1.2.840.113549.1.1.14", "RSA with SHA-224"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.10040.4.3", "DSA with SHA-1"),
    ("2.16.840.1.101.3.4.3.2", "DSA with SHA-256"),
    ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
    ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
    ("2.16.840.1.101.3.4.3.19", "ML-DSA-87"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_has_a_name_or_its_number() {
        let cases: [(&[u8], &str); 4] = [
            // ecPublicKey with brainpoolP256r1; sha1WithRSAEncryption with NULL; a number of nobody's; nothing at all.
            (b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x07", "brainpoolP256r1"),
            (b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00", "RSA with SHA-1"),
            (b"\x06\x03\x2a\x03\x04", "the algorithm 1.2.3.4"),
            (b"", "an unknown algorithm"),
        ];
        for (identifier, expected) in cases {
            assert_eq!(name_of(identifier), expected);
        }
    }
}
