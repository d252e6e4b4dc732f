//! A proxy between probe and server: asked for a tunnel where TLS is spoken (`CONNECT`, RFC 9110, section 9.3.6), and
//! for the URL otherwise. What it says of itself is told as the proxy's, not as the server's.

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue, PROXY_AUTHENTICATE, SERVER};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

use super::origin::{HttpOrigin, bare, credentials_of};
use crate::base::trace::{Phase, Trace};
use crate::base::value::Section;
use crate::model::outcome::{Failure, FailureKind};
use crate::probe::net::family::AddressFamily;
use crate::probe::net::metered::{MeteredStream, UNTIL_TOLD};
use crate::probe::net::{Network, failure};

/// A proxy, and what it is told to let us through.
pub(super) struct HttpProxy {
    host: String,
    port: u16,
    credentials: Option<HeaderValue>,
}

impl HttpProxy {
    /// Reads the URL under `proxy`; what is wrong with it is reported there.
    pub(super) fn read(fields: &Section) -> Option<Self> {
        let problem = match fields.text("proxy")?.fixed().map(|text| Url::parse(&text)) {
            None => ("misplaced-capture", "a captured value cannot stand in the URL of a proxy"),
            Some(Ok(url)) if !matches!(url.path(), "" | "/") || url.query().is_some() => {
                ("invalid-value", "the URL of a proxy has neither path nor query")
            }
            Some(Ok(url)) => match (url.host_str(), url.port_or_known_default()) {
                (Some(host), Some(port)) if port > 0 => {
                    return Some(Self { host: bare(host).to_owned(), port, credentials: credentials_of(&url) });
                }
                _ => ("invalid-value", "the URL names no host, or the port 0"),
            },
            Some(Err(_)) => ("invalid-value", "not a URL with a host"),
        };
        fields.error("proxy", problem.0, problem.1, Some("write it as `http://user:password@proxy:3128`".into()));
        None
    }

    /// Where it listens.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// What it wants to know of whoever asks it for a URL (RFC 9110, section 11.7.2).
    pub(super) const fn credentials(&self) -> Option<&HeaderValue> {
        self.credentials.as_ref()
    }

    /// A stream over which the server at `origin` is spoken to: with TLS through a tunnel, else to the proxy itself.
    pub(super) async fn open(
        &self,
        origin: &HttpOrigin,
        network: &Network,
        family: AddressFamily,
        trace: &Trace,
    ) -> Result<MeteredStream, Failure> {
        trace.enter(Phase::Proxy);
        // How far the way to the proxy has come is not told: the phases are those of the way to the server.
        let mut stream = network.dial(&self.host, self.port, family, &Trace::default()).await.map_err(of_proxy)?;
        if origin.is_secure {
            self.connect(origin, &mut stream).await.map_err(of_proxy)?;
        }
        stream.meter().allow("the answer", UNTIL_TOLD);
        Ok(stream)
    }

    /// Asks for a tunnel to the server.
    async fn connect(&self, origin: &HttpOrigin, stream: &mut MeteredStream) -> Result<(), Failure> {
        let host = if origin.host.contains(':') { format!("[{}]", origin.host) } else { origin.host.clone() };
        let target = format!("{host}:{}", origin.port);
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        request.extend_from_slice(concat!("User-Agent: probelet/", env!("CARGO_PKG_VERSION"), "\r\n").as_bytes());
        if let Some(credentials) = &self.credentials {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(credentials.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.meter().allow("its answer", LONGEST_HEAD);
        stream.write_all(&request).await.map_err(|error| failure::of_io(&error))?;
        match read_status(stream).await? {
            200..=299 => Ok(()),
            status @ (401 | 407) => Err(self.unauthorised(status)),
            status @ 403 => Err(Failure::new(FailureKind::Auth, format!("it refuses the tunnel (status {status})"))),
            status @ 500..=504 => {
                Err(Failure::new(FailureKind::Connect, format!("it cannot reach the server (status {status})")))
            }
            status => Err(Failure::new(FailureKind::Protocol, format!("it opens no tunnel (status {status})"))),
        }
    }

    /// The proxy wants to know who asks; tinyproxy says 401 where the password is wrong.
    fn unauthorised(&self, status: u16) -> Failure {
        let what = match self.credentials {
            Some(_) => "rejects the user or the password",
            None => "wants a user and a password",
        };
        Failure::new(FailureKind::Auth, format!("it {what} (status {status})"))
    }

    /// What an answer means that the proxy gives itself, where it would pass on the server's; nothing where it may be the
    /// server's.
    pub(super) fn own_answer(&self, status: StatusCode, headers: &HeaderMap) -> Option<Failure> {
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED && headers.contains_key(PROXY_AUTHENTICATE) {
            return Some(of_proxy(self.unauthorised(407)));
        }
        let is_server =
            |name: &str| headers.get(SERVER).is_some_and(|server| server.as_bytes().starts_with(name.as_bytes()));
        // Squid marks what it makes itself; tinyproxy has no servers' names but its own in what it makes.
        let is_own = headers.contains_key("x-squid-error") || is_server("tinyproxy/");
        if !is_own || !(status.is_client_error() || status.is_server_error()) {
            return None;
        }
        let status = status.as_u16();
        Some(of_proxy(match status {
            401 => self.unauthorised(status),
            403 => Failure::new(FailureKind::Auth, format!("it refuses the request (status {status})")),
            500..=504 => Failure::new(FailureKind::Connect, format!("it cannot reach the server (status {status})")),
            _ => Failure::new(FailureKind::Protocol, format!("it does not pass the request on (status {status})")),
        }))
    }
}

/// The head of an answer to `CONNECT` is no longer than this.
const LONGEST_HEAD: usize = 16 << 10;

/// More interim answers than this do not come.
const MOST_INTERIM: usize = 5;

/// The same failure, told as that of the proxy.
fn of_proxy(failure: Failure) -> Failure {
    let message = Failure::new(failure.kind, format!("proxy: {}", failure.message)).message;
    Failure { message, ..failure }
}

/// The status of the answer to `CONNECT`. After one that opens the tunnel nothing comes until we have spoken: TLS begins
/// with the client.
async fn read_status(stream: &mut MeteredStream) -> Result<u16, Failure> {
    let protocol = |message: &str| Failure::new(FailureKind::Protocol, message);
    let mut heard = Vec::with_capacity(1024);
    let mut interim = 0;
    loop {
        while let Some(end) = end_of_head(&heard) {
            let status = status_of(&heard).ok_or_else(|| protocol("the answer has no valid status code"))?;
            heard.drain(..end);
            match status {
                100..=199 if interim == MOST_INTERIM => {
                    return Err(protocol("more than 5 interim answers (1xx) come before the answer"));
                }
                100..=199 => interim += 1,
                200..=299 if !heard.is_empty() => {
                    return Err(protocol("something comes over the tunnel before TLS begins"));
                }
                status => return Ok(status),
            }
        }
        if !heard.starts_with(&PREFIX[..heard.len().min(PREFIX.len())]) {
            return Err(protocol("the answer is not HTTP"));
        }
        match stream.read_buf(&mut heard).await {
            Ok(0) => {
                return Err(Failure::new(FailureKind::Connect, "connection closed before the answer was complete"));
            }
            Ok(_) => {}
            Err(error) => return Err(failure::of_io(&error)),
        }
    }
}

/// Where a head ends, with the empty line.
fn end_of_head(heard: &[u8]) -> Option<usize> {
    let ends = |end: &[u8]| heard.windows(end.len()).position(|window| window == end).map(|at| at + end.len());
    ends(b"\r\n\r\n").or_else(|| ends(b"\n\n"))
}

const PREFIX: &[u8] = b"HTTP/1.";

/// The code of a status line (RFC 9112, section 4): `HTTP/1.1 200 Connection established`.
fn status_of(head: &[u8]) -> Option<u16> {
    let [minor, b' ', code @ ..] = head.strip_prefix(PREFIX)? else { return None };
    let (code, rest) = code.split_at_checked(3)?;
    let is_code = minor.is_ascii_digit()
        && code.iter().all(u8::is_ascii_digit)
        && rest.first().is_none_or(u8::is_ascii_whitespace);
    is_code.then(|| str::from_utf8(code).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read_as_proxies_write_it() {
        for (line, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
            ("HTTP/1.0 200\r\n\r\n", Some(200)),
            ("HTTP/1.1 407 \r\n\r\n", Some(407)),
            ("HTTP/1.1 20x OK\r\n\r\n", None),
            ("HTTP/1.1 2000 OK\r\n\r\n", None),
            ("HTTP/1.1200 OK\r\n\r\n", None),
            ("HTTP/1.1 20", None),
        ] {
            assert_eq!(status_of(line.as_bytes()), expected, "{line:?}");
        }
    }
}
