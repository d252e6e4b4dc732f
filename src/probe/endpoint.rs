//! Where a store listens, as its URL and its section `tls` say, and the way there.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;

use super::net::Network;
use super::net::family::AddressFamily;
use super::net::metered::Meter;
use super::net::tls::{self, TlsClient, TlsSpec};
use crate::base::clock::Timestamp;
use crate::base::field::{Field, ValueType};
use crate::base::trace::Trace;
use crate::base::value::Section;
use crate::model::outcome::{Failure, Pass};

/// The key `tls` of a kind whose URL says whether TLS is spoken.
pub const TLS: Field = Field::optional(
    "tls",
    ValueType::Section(tls::FIELDS),
    "How TLS is spoken, where the scheme of `url` asks for it.",
);

/// A stream to a server, plain or TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// Where a store listens.
#[derive(Clone, Debug)]
pub struct StoreEndpoint {
    /// Host name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    tls: Option<TlsSpec>,
    family: AddressFamily,
}

impl StoreEndpoint {
    /// Reads host and port out of `url`, and the section `tls` where the scheme is `secure`.
    ///
    /// `ports` are those of the plain and of the secure scheme.
    pub fn read(fields: &Section, url: &Url, secure: &str, ports: (u16, u16)) -> Option<Self> {
        let is_secure = url.scheme() == secure;
        let section = fields.section("tls");
        if section.is_some() && !is_secure {
            let message = format!("`tls` has no effect on a `{}://` URL", url.scheme());
            let help = format!("write `{secure}://` in `url`, or remove `tls`");
            fields.warning("tls", "ineffective-key", message, Some(help));
        }
        let tls = match section {
            _ if !is_secure => None,
            Some(section) => Some(TlsSpec::read(section)?),
            None => Some(TlsSpec::default()),
        };
        let host = url.host_str().and_then(decode).filter(|host| !host.is_empty());
        let port = url.port().unwrap_or(if is_secure { ports.1 } else { ports.0 });
        match host {
            Some(host) if port > 0 => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let family = AddressFamily::read(fields, Some(&host));
                Some(Self { host, port, tls, family })
            }
            _ => {
                fields.error("url", "invalid-url", "the URL names no host, or the port 0", None);
                None
            }
        }
    }

    /// The way there, for one probe.
    pub fn dialer(&self, network: &Arc<Network>) -> Dialer {
        let tls = self.tls.as_ref().map(|tls| tls.client(network));
        Dialer { host: self.host.clone(), port: self.port, tls, family: self.family, network: Arc::clone(network) }
    }
}

/// The way to a store.
pub struct Dialer {
    host: String,
    port: u16,
    tls: Option<TlsClient>,
    family: AddressFamily,
    network: Arc<Network>,
}

impl Dialer {
    /// A stream to the server.
    pub async fn open(&self, trace: &Trace) -> Result<Opened, Failure> {
        let stream = self.network.dial(&self.host, self.port, self.family, trace).await?;
        let meter = Arc::clone(stream.meter());
        let Some(tls) = &self.tls else { return Ok(Opened { stream: Box::new(stream), meter, not_after: None }) };
        let (stream, not_after) = tls.handshake(&self.host, stream, trace).await?;
        Ok(Opened { stream: Box::new(stream), meter, not_after })
    }

    /// A pass that says `message`, or one that worries about the server's certificate.
    pub fn pass(&self, message: &str) -> Pass {
        match self.tls.as_ref().and_then(TlsClient::warning) {
            Some(warning) => Pass { degraded: true, ..Pass::saying(warning) },
            None => Pass::saying(message),
        }
    }
}

/// A way that has been gone.
pub struct Opened {
    /// The stream.
    pub stream: Box<dyn Stream>,
    /// The meter on it.
    pub meter: Arc<Meter>,
    /// The end of validity of the server's certificate.
    pub not_after: Option<Timestamp>,
}

/// The URL under the key `url`. It is known at load: no captured value may stand in it.
pub fn url_of(fields: &Section, example: &str) -> Option<Url> {
    let text = fields.text("url")?;
    let problem = match text.fixed() {
        None => ("misplaced-capture", "a captured value cannot stand in the URL of a store"),
        Some(written) => match Url::parse(&written) {
            Ok(url) => return Some(url),
            Err(_) => ("invalid-url", "not a URL"),
        },
    };
    fields.error("url", problem.0, problem.1, Some(format!("write it as {example}")));
    None
}

/// Undoes percent-encoding. A zero byte is not accepted: it ends a string in many a protocol.
pub fn decode(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    (!decoded.contains('\0')).then(|| decoded.into_owned())
}

/// The parameters behind the question mark, decoded; nothing when one of them is no text.
pub fn parameters(url: &Url) -> Option<Vec<(String, String)>> {
    let pairs = url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}
