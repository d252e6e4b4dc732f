//! Whom a URL names: the server, and the user who asks it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::HeaderValue;
use percent_encoding::percent_decode;
use url::Url;

/// A server as a URL names it (RFC 6454): requests to the same one may share a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpOrigin {
    pub(super) is_secure: bool,
    /// Name or address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// Basic authentication (RFC 7617) with the user and the password of a URL.
pub(super) fn credentials_of(url: &Url) -> Option<HeaderValue> {
    let (user, password) = (url.username(), url.password());
    if user.is_empty() && password.is_none() {
        return None;
    }
    let mut credentials: Vec<u8> = percent_decode(user.as_bytes()).collect();
    credentials.push(b':');
    credentials.extend(percent_decode(password.unwrap_or_default().as_bytes()));
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(credentials))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A host without the brackets of an IPv6 address.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}
