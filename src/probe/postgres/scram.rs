//! The login by SCRAM-SHA-256 (RFC 5802, RFC 7677) as libpq does it, with channel binding (RFC 5929) and without.
//!
//! The codec has one too, which works out up to 100,000 rounds of hashes in one go: a tenth of a second in which nothing
//! else on this thread gets its turn.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::messages::WireFault;

/// Whether a login is bound to the TLS session it goes through, so that nobody in between can pass it on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// Never.
    Disabled,
    /// Where there is TLS and the server offers it.
    #[default]
    Preferred,
    /// Always: who cannot is refused.
    Required,
}

/// With a binding and without.
const BOUND: &str = "SCRAM-SHA-256-PLUS";
const UNBOUND: &str = "SCRAM-SHA-256";

/// More rounds than this are not worked through (PostgreSQL asks for 4096 unless told otherwise).
pub const MOST_ROUNDS: u32 = 100_000;

/// A login under way.
pub struct Scram {
    password: Vec<u8>,
    /// Whether and what is bound, as the last message repeats it.
    header: Vec<u8>,
    first: String,
    /// What the server will say if it knows the password, too.
    expected: Vec<u8>,
}

impl Scram {
    /// Begins a login: the name of the mechanism, and the first message. `offered` are the server's mechanisms,
    /// `certificate` is its own where there is TLS.
    ///
    /// # Errors
    /// When the server offers none of ours, or a binding is required and the server or the connection has none.
    pub fn begin(
        password: &str,
        offered: &[&str],
        binding: Binding,
        certificate: Option<&[u8]>,
    ) -> Result<(Self, &'static str, Vec<u8>), WireFault> {
        let mut nonce = [0; 18];
        SystemRandom::new().fill(&mut nonce).map_err(|_| WireFault::Garbage)?;
        Self::begin_with(password, offered, binding, certificate, &BASE64_STANDARD.encode(nonce))
    }

    fn begin_with(
        password: &str,
        offered: &[&str],
        binding: Binding,
        certificate: Option<&[u8]>,
        nonce: &str,
    ) -> Result<(Self, &'static str, Vec<u8>), WireFault> {
        if !offered.iter().any(|name| [BOUND, UNBOUND].contains(name)) {
            return Err(WireFault::UnknownMethod);
        }
        let offers_binding = offered.contains(&BOUND);
        let certificate = certificate.filter(|_| binding != Binding::Disabled);
        let bound = certificate.filter(|_| offers_binding).and_then(end_point);
        let (mechanism, flags) = match &bound {
            Some(_) => (BOUND, "p=tls-server-end-point,,"),
            None if binding == Binding::Required => return Err(WireFault::Unbound),
            // A server that does offer a binding learns from this that somebody has hidden it.
            None if certificate.is_some() && !offers_binding => (UNBOUND, "y,,"),
            None => (UNBOUND, "n,,"),
        };
        let header = [flags.as_bytes(), &bound.unwrap_or_default()].concat();
        // The user is the one of the startup message.
        let first = format!("n=,r={nonce}");
        let message = [flags, &first].concat().into_bytes();
        // Where SASLprep refuses a password, its bytes are taken as they are, by the server as well.
        let prepared = stringprep::saslprep(password).ok().filter(|prepared| !prepared.is_empty());
        let password = prepared.map_or_else(|| password.as_bytes().to_vec(), |prepared| prepared.as_bytes().to_vec());
        Ok((Self { password, header, first, expected: Vec::new() }, mechanism, message))
    }

    /// The proof that answers the server's first message. Others get their turn while it is worked out.
    ///
    /// # Errors
    /// When the message is not one of SCRAM's.
    pub async fn prove(&mut self, challenge: &[u8]) -> Result<Vec<u8>, WireFault> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| WireFault::Garbage)?;
        let part = |key: &str| challenge.split(',').find_map(|part| part.strip_prefix(key)).ok_or(WireFault::Garbage);
        let (nonce, salt, rounds) = (part("r=")?, part("s=")?, part("i=")?);
        let own_nonce = self.first.split_once("r=").map_or("", |(_, nonce)| nonce);
        if !nonce.starts_with(own_nonce) || nonce.len() == own_nonce.len() {
            return Err(WireFault::Garbage);
        }
        let salt = BASE64_STANDARD.decode(salt).map_err(|_| WireFault::Garbage)?;
        let rounds = match rounds.parse::<u32>() {
            Ok(rounds @ 1..=MOST_ROUNDS) => rounds,
            Ok(0) | Err(_) => return Err(WireFault::Garbage),
            Ok(_) => return Err(WireFault::TooManyRounds),
        };
        let salted = salted(&self.password, &salt, rounds).await;
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let last = format!("c={},r={nonce}", BASE64_STANDARD.encode(&self.header));
        let all = format!("{},{challenge},{last}", self.first);
        let signature = sign(stored_key.as_ref(), all.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(one, other)| one ^ other).collect();
        let server_key = sign(&salted, b"Server Key");
        self.expected = sign(server_key.as_ref(), all.as_bytes()).as_ref().to_vec();
        Ok(format!("{last},p={}", BASE64_STANDARD.encode(proof)).into_bytes())
    }

    /// Whether the server has proven that it knows the password, too.
    ///
    /// # Errors
    /// When it has not.
    pub fn verify(&self, last: &[u8]) -> Result<(), WireFault> {
        let verifier = last.strip_prefix(b"v=").and_then(|rest| rest.split(|byte| *byte == b',').next());
        let verifier =
            verifier.and_then(|verifier| BASE64_STANDARD.decode(verifier).ok()).ok_or(WireFault::Unproven)?;
        // No secret of ours depends on how long this comparison takes.
        (!self.expected.is_empty() && verifier == self.expected).then_some(()).ok_or(WireFault::Unproven)
    }
}

fn sign(key: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message)
}

/// `Hi` of RFC 5802, section 2.2.
async fn salted(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    /// About a tenth of a millisecond.
    const AT_ONCE: u32 = 128;
    let key = hmac::Key::new(hmac::HMAC_SHA256, password);
    let mut last = hmac::sign(&key, &[salt, &1u32.to_be_bytes()].concat());
    let mut sum = [0; 32];
    sum.copy_from_slice(last.as_ref());
    for round in 1..rounds {
        last = hmac::sign(&key, last.as_ref());
        sum.iter_mut().zip(last.as_ref()).for_each(|(sum, byte)| *sum ^= byte);
        if round % AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
    }
    sum
}

/// The hash of a certificate that stands for the end point of a TLS session (RFC 5929, section 4.1): by the hash of its
/// signature, and by SHA-256 in the place of MD5 and SHA-1. A signature without one, such as Ed25519's, has none.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let read = Certificate::from_der(certificate).ok()?;
    let hash = match read.signature_algorithm().oid.to_string().as_str() {
        // RSA and ECDSA with MD5, SHA-1 or SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => &digest::SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &digest::SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERED: &[&str] = &[BOUND, UNBOUND];

    #[tokio::test]
    async fn a_login_goes_as_in_the_rfc() {
        // RFC 7677, section 3, with an empty user name as libpq sends it; computed with Python's hashlib.
        let begun = Scram::begin_with("pencil", OFFERED, Binding::Preferred, None, "rOprNGfwEbeRWgbNEkqO");
        let (mut scram, mechanism, message) = begun.unwrap();
        assert_eq!((mechanism, message.as_slice()), (UNBOUND, b"n,,n=,r=rOprNGfwEbeRWgbNEkqO".as_slice()));
        let challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proof = String::from_utf8(scram.prove(challenge).await.unwrap()).unwrap();
        assert_eq!(
            proof,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=qvT2SWdEH5Q06albL+hjSYuUhCG7VndFyzIb7CK4n9k="
        );
        assert_eq!(scram.verify(b"v=3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg="), Ok(()));
        for wrong in [b"v=AAAA".as_slice(), b"v=", b"e=other-error", b""] {
            assert_eq!(scram.verify(wrong), Err(WireFault::Unproven));
        }
    }

    #[tokio::test]
    async fn a_server_that_makes_up_the_nonce_is_refused() {
        let (mut scram, _, _) = Scram::begin_with("pencil", OFFERED, Binding::Disabled, None, "abc").unwrap();
        assert_eq!(scram.verify(b"v="), Err(WireFault::Unproven));
        for challenge in
            ["r=abc,s=YQ==,i=1", "r=xyz,s=YQ==,i=1", "r=abcd,s=%,i=1", "r=abcd,s=YQ==,i=many", "r=abcd,i=1", "", ",,"]
        {
            assert_eq!(scram.prove(challenge.as_bytes()).await, Err(WireFault::Garbage), "{challenge}");
        }
    }

    #[tokio::test]
    async fn rounds_are_bounded() {
        let (mut scram, _, _) = Scram::begin_with("pencil", OFFERED, Binding::Disabled, None, "abc").unwrap();
        for (rounds, fault) in [
            ("0", WireFault::Garbage),
            ("99999999999", WireFault::Garbage),
            ("100001", WireFault::TooManyRounds),
            ("4294967295", WireFault::TooManyRounds),
        ] {
            let challenge = format!("r=abcd,s=YQ==,i={rounds}");
            assert_eq!(scram.prove(challenge.as_bytes()).await, Err(fault), "{rounds}");
        }
    }

    #[test]
    fn what_saslprep_refuses_is_taken_as_it_is() {
        let password =
            |text: &str| Scram::begin_with(text, OFFERED, Binding::Disabled, None, "abc").unwrap().0.password;
        assert_eq!(password("caf\u{65}\u{301}"), "caf\u{e9}".as_bytes());
        assert_eq!(password("\u{1f511} key"), "\u{1f511} key".as_bytes());
        assert_eq!(password("a\u{7}b"), b"a\x07b");
        assert_eq!(password("\u{ad}"), "\u{ad}".as_bytes(), "nothing would be left of it");
    }

    #[test]
    fn a_binding_that_is_required_and_not_there_is_refused() {
        let begin = |offered: &[&str], binding, certificate| {
            let begun = Scram::begin_with("pencil", offered, binding, certificate, "abc");
            begun.map(|(_, mechanism, message)| (mechanism, message[..2].to_vec()))
        };
        let no_binding = &[UNBOUND];
        let certificate = Some(b"not one that has an end point".as_slice());
        assert_eq!(begin(OFFERED, Binding::Required, None), Err(WireFault::Unbound));
        assert_eq!(begin(no_binding, Binding::Required, certificate), Err(WireFault::Unbound));
        assert_eq!(begin(no_binding, Binding::Preferred, certificate), Ok((UNBOUND, b"y,".to_vec())));
        assert_eq!(begin(no_binding, Binding::Disabled, certificate), Ok((UNBOUND, b"n,".to_vec())));
        assert_eq!(begin(OFFERED, Binding::Preferred, certificate), Ok((UNBOUND, b"n,".to_vec())));
        for other in [&["OAUTHBEARER"] as &[&str], &["SCRAM-SHA-256-OTHER"], &[]] {
            assert_eq!(begin(other, Binding::Preferred, certificate), Err(WireFault::UnknownMethod), "{other:?}");
        }
    }
}
