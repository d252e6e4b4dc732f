//! Redirects: where they may lead, and what goes along.

use std::net::IpAddr;

use bytes::Bytes;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, HOST, HeaderMap, LOCATION,
};
use hyper::{Method, StatusCode};
use url::Url;

use super::request::{Address, Prepared, Unusable};
use crate::model::outcome::{Failure, FailureKind};
use crate::probe::net::reach::Reach;
use crate::probe::net::{Network, literal};

/// Where an answer redirects to, if it does (RFC 9110, section 15.4).
pub(super) fn target_of(status: StatusCode, headers: &HeaderMap, from: &Url) -> Option<Result<Address, Failure>> {
    use StatusCode as Code;
    let redirects =
        [Code::MOVED_PERMANENTLY, Code::FOUND, Code::SEE_OTHER, Code::TEMPORARY_REDIRECT, Code::PERMANENT_REDIRECT];
    if !redirects.contains(&status) {
        return None;
    }
    Some(address_at(headers.get(LOCATION)?.as_bytes(), from))
}

fn address_at(location: &[u8], from: &Url) -> Result<Address, Failure> {
    let wrong = |message| Failure::new(FailureKind::Protocol, message);
    let location = std::str::from_utf8(location).map_err(|_| wrong("the `Location` of a redirect is not UTF-8"))?;
    let url = from.join(location).map_err(|_| wrong("the `Location` of a redirect is not a URL"))?;
    // What a server writes for user and password is not ours to send.
    Address::new(url).map_err(|Unusable| wrong("redirected to something that is not http or https"))
}

/// The request that follows a redirect: what was a POST becomes a GET where browsers do so (RFC 9110, sections 15.4.2
/// to 15.4.4), and what may be a secret stays with the origin that it was meant for.
///
/// # Errors
/// When the body would have to go to another origin, and may be a secret: without it another request would be sent than
/// the one that was meant.
pub(super) fn following(request: &Prepared, target: Address, status: StatusCode) -> Result<Prepared, Failure> {
    let becomes_get = match status {
        StatusCode::SEE_OTHER => request.method != Method::HEAD,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => request.method == Method::POST,
        _ => false,
    };
    let mut request = request.clone();
    if becomes_get {
        request.method = Method::GET;
        request.body = Bytes::new();
        for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_LENGTH] {
            request.headers.remove(name);
        }
    }
    if target.origin != request.address.origin {
        if !request.body.is_empty() {
            let holds = match (request.body_is_expanded, names_a_credential(&request.body)) {
                (true, _) => Some("an expansion or a captured value"),
                (false, true) => Some("a credential"),
                (false, false) => None,
            };
            if let Some(what) = holds {
                return Err(mismatch(&format!("redirected to another origin, to which no body with {what} is sent")));
            }
        }
        let stays = |name: &str, is_sensitive| is_sensitive || names_a_credential(name.as_bytes());
        let secret = request.headers.iter().filter(|(name, value)| stays(name.as_str(), value.is_sensitive()));
        for name in secret.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            request.headers.remove(name);
        }
        request.headers.insert(HOST, target.host.clone());
    }
    request.address = target;
    Ok(request)
}

/// Words of which one stands in the names of nearly all credentials, in headers as well as in forms and JSON.
const WORDS_OF_CREDENTIALS: [&str; 11] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "cookie",
    "session",
    "signature",
    "key",
    "jwt",
];

/// Whether a text, in whatever case, holds a word for a credential.
fn names_a_credential(text: &[u8]) -> bool {
    let text = text.to_ascii_lowercase();
    let holds = |word: &str| text.windows(word.len()).any(|window| window == word.as_bytes());
    // `Authorization`, `X-Auth`, `Authentication-Info`, but not `Author`.
    WORDS_OF_CREDENTIALS.into_iter().any(holds) || holds("authoriz") || holds("authent") || text.ends_with(b"auth")
}

/// Whether both are names of one host, of which one may be written as a name that is complete: `app.`.
pub(super) fn is_same_host(one: &str, other: &str) -> bool {
    one.trim_end_matches('.') == other.trim_end_matches('.')
}

/// Whether a redirect may lead from a server to one on the host `to`, of a check whose own host is `own`.
///
/// # Errors
/// When it may not.
pub(super) fn check_host(own: &str, to: &str, to_any_host: bool) -> Result<(), Failure> {
    if to_any_host || is_same_host(own, to) {
        return Ok(());
    }
    Err(mismatch("redirected to another host: only `redirects: any` follows there")
        .with_detail(format!("redirected to the host {to}")))
}

/// Decides which addresses may be dialled: for a redirect not all of them, by whatever name they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// The file names the address.
    Declared,
    /// A server with such an address does.
    RedirectFrom(Reach),
}

impl Guard {
    /// # Errors
    /// When `address` may not be dialled.
    pub(super) fn admits(self, network: &Network, address: IpAddr, port: u16) -> Result<(), Failure> {
        if self != Self::Declared && network.is_own(address, port) {
            return Err(mismatch("redirected to probelet itself, which is never followed"));
        }
        self.reaches(Reach::of(address))
    }

    /// The same, where the address is not ours to know: as far as the host itself tells.
    ///
    /// # Errors
    /// When `host` may not be asked for.
    pub(super) fn admits_host(self, network: &Network, host: &str, port: u16) -> Result<(), Failure> {
        match literal(host) {
            Some(address) => self.admits(network, address, port),
            None => self.reaches(Reach::of_host(host)),
        }
    }

    fn reaches(self, reach: Reach) -> Result<(), Failure> {
        let Self::RedirectFrom(from) = self else { return Ok(()) };
        match reach {
            Reach::Elsewhere => Ok(()),
            near if near == from => Ok(()),
            Reach::Loopback => {
                Err(mismatch("redirected from elsewhere to a loopback address, which is never followed"))
            }
            Reach::LinkLocal => {
                Err(mismatch("redirected from elsewhere to a link-local address, which is never followed"))
            }
        }
    }
}

fn mismatch(message: &str) -> Failure {
    Failure::new(FailureKind::Mismatch, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_by_their_names() {
        for name in [
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "X-Api-Key",
            "X-Auth-Token",
            "X-Auth",
            "apikey",
            "X-Amz-Security-Token",
            "X-Vault-Token",
            "PRIVATE-TOKEN",
            "X-Hub-Signature-256",
            "X-Session-Id",
            "X-Client-Secret",
            "X-JWT-Assertion",
            "{\"user\":\"probe\",\"password\":\"x\"}",
        ] {
            assert!(names_a_credential(name.as_bytes()), "{name}");
        }
        for name in ["Accept", "User-Agent", "X-Tenant", "X-Author", "Content-Type", "X-Request-Id", "{\"id\":1}", ""] {
            assert!(!names_a_credential(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn another_host_is_named_in_the_log_alone() {
        assert_eq!(check_host("db", "db", false), Ok(()));
        assert_eq!(check_host("db.example.", "db.example", false), Ok(()));
        assert!(is_same_host("db.example", "db.example.") && !is_same_host("db.example", "db"));
        assert_eq!(check_host("db", "other", true), Ok(()));
        let failure = check_host("db", "other.example", false).unwrap_err();
        assert_eq!(failure.message, "redirected to another host: only `redirects: any` follows there");
        assert_eq!(failure.detail.as_deref(), Some("redirected to the host other.example"));
    }
}
