//! The key exchange over P-521, which ring does not have. A server that has a certificate of this curve wants a client
//! in TLS 1.2 to know it (RFC 8422, section 5.1).

use p521::{PublicKey, Sec1Point, SecretKey, ecdh};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved};

/// The group; offered behind those of ring.
#[derive(Debug)]
pub(super) struct Secp521r1;

/// One exchange under way.
struct KeyExchange {
    secret: SecretKey,
    public: Box<[u8]>,
}

impl SupportedKxGroup for Secp521r1 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = random_key()?;
        let public = Sec1Point::from(secret.public_key()).as_bytes().into();
        Ok(Box::new(KeyExchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

impl ActiveKeyExchange for KeyExchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = PublicKey::from_sec1_bytes(peer).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), peer.as_affine());
        Ok(SharedSecret::from(shared.raw_secret_bytes().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

/// A number of 521 random bits that is a key, as nearly each of them is.
fn random_key() -> Result<SecretKey, Error> {
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        let mut number = [0; 66];
        SystemRandom::new().fill(&mut number).map_err(|_| Error::FailedToGetRandomBytes)?;
        number[0] &= 1;
        if let Ok(key) = SecretKey::from_slice(&number) {
            return Ok(key);
        }
    }
    Err(Error::FailedToGetRandomBytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_come_to_the_same_secret() {
        let (one, other) = (Secp521r1.start().unwrap(), Secp521r1.start().unwrap());
        let (first, second) = (one.pub_key().to_vec(), other.pub_key().to_vec());
        assert_eq!((first.len(), first[0]), (133, 4), "a point that is not compressed");
        let (one, other) = (one.complete(&second).unwrap(), other.complete(&first).unwrap());
        assert_eq!(one.secret_bytes(), other.secret_bytes());
        assert!(Secp521r1.start().unwrap().complete(&first[1..]).is_err());
    }
}
