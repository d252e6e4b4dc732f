//! The kind `tcp`: a connection, and what is said and heard over it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::net::family::{ADDRESS_FAMILY, AddressFamily};
use super::net::metered::{Meter, MeteredStream};
use super::net::secured::Secured;
use super::net::socket::DialedSocket;
use super::net::tls::{self, TlsClient, TlsSpec};
use super::net::{Network, ZONE, failure, has_zone};
use super::{BoxFuture, BuildContext, Probe, ProbeKind, RunContext, Spec};
use crate::base::field::{Field, ValueType};
use crate::base::quantity::show_size;
use crate::base::redact;
use crate::base::trace::Phase;
use crate::base::value::{Section, Text};
use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
use crate::workflow::captures::FillError;

/// The kind.
pub static KIND: ProbeKind = ProbeKind {
    name: "tcp",
    doc: "A TCP connection, with or without TLS, and what is said and heard over it.",
    fields: FIELDS,
    read,
    component_type: "component",
    bare_tcp: None,
    cadence: None,
};

const FIELDS: &[Field] = &[
    Field::required("address", ValueType::Text, "Host and port: `db:5000` or `[::1]:5000`."),
    Field::optional(
        "send",
        ValueType::Template,
        "What is sent once the connection stands; `\\r\\n` and the like in double quotes. A captured value with a line break \
         or another control character is a failure.",
    ),
    Field::optional(
        "expect",
        ValueType::Template,
        "What the server must say. It is read until this is seen. Without it, a server that asks for a client certificate \
         in TLS 1.3 has 250 ms, and no more than an eighth of the timeout, to refuse what it got: what comes later is not \
         heard. That time is no part of the run's duration.",
    ),
    Field::optional("tls", ValueType::Section(tls::FIELDS), "Speaks TLS, in this way. Default: no TLS."),
    ADDRESS_FAMILY,
];

/// No more than this is read of what the server says.
const MOST_READ: usize = 64 << 10;

/// How long a server that asks for a client certificate may take to refuse what it got: more than a round trip.
const REFUSAL: Duration = Duration::from_millis(250);

/// No more than this comes over the network for it: TLS puts more around each word than a short word has.
const MOST_CARRIED: usize = 16 * MOST_READ;

#[derive(Clone)]
struct TcpSection {
    host: String,
    port: u16,
    send: Option<Text>,
    expect: Option<Text>,
    tls: Option<TlsSpec>,
    family: AddressFamily,
}

struct TcpSpec {
    target: String,
    declared: TcpSection,
}

fn read(fields: &Section) -> Option<Box<dyn Spec>> {
    let tls = fields.section("tls").map(TlsSpec::read);
    let address = fields.text("address")?;
    let Some((host, port)) = address.fixed().as_deref().and_then(host_and_port) else {
        let help = if address.written.replace("${", "").contains('$') {
            "write a variable as `${NAME}`"
        } else {
            "write it as `host:5000` or `[::1]:5000`"
        };
        fields.error("address", "invalid-value", "not a host with a port", Some(help.into()));
        return None;
    };
    if has_zone(&host) {
        fields.error("address", "invalid-value", ZONE.0, Some(ZONE.1.into()));
        return None;
    }
    let tls = match tls {
        Some(None) => return None,
        Some(Some(tls)) => Some(tls),
        None => None,
    };
    let (send, expect) = (fields.text("send").cloned(), fields.text("expect").cloned());
    let family = AddressFamily::read(fields, Some(&host));
    let declared = TcpSection { host, port, send, expect, tls, family };
    Some(Box::new(TcpSpec { target: redact::target(&address.written), declared }))
}

/// Splits `host:5000` or `[::1]:5000`.
fn host_and_port(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0 && !address.ends_with(char::is_whitespace))?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|bare| bare.contains(':'))?,
        None => host,
    };
    let is_host = !host.is_empty()
        && !host.contains(|c: char| c.is_whitespace() || c.is_control() || "/@?#[]$".contains(c))
        && (address.starts_with('[') || !host.contains(':'));
    is_host.then(|| (host.to_owned(), port))
}

impl fmt::Debug for TcpSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TcpSpec").field(&self.target).finish()
    }
}

impl Spec for TcpSpec {
    fn target(&self) -> Option<String> {
        Some(self.target.clone())
    }

    fn hosts(&self) -> Vec<&str> {
        vec![&self.declared.host]
    }

    fn build(&self, context: &BuildContext) -> Box<dyn Probe> {
        let network = Arc::clone(&context.network);
        let tls = self.declared.tls.as_ref().map(|tls| tls.client(&network));
        Box::new(TcpProbe { declared: self.declared.clone(), tls, network })
    }
}

struct TcpProbe {
    declared: TcpSection,
    tls: Option<TlsClient>,
    network: Arc<Network>,
}

impl Probe for TcpProbe {
    fn observe<'a>(&'a mut self, run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
        Box::pin(async move {
            let TcpSection { host, port, family, .. } = &self.declared;
            let stream = self.network.dial(host, *port, *family, &run.trace).await?;
            let Some(tls) = &self.tls else { return self.converse(stream, run).await.map(|()| Pass::default()) };
            let (stream, tls_not_after) = tls.handshake(host, stream, &run.trace).await?;
            let outcome = self.converse(stream, run).await.map(|()| {
                let warning = tls.warning();
                Pass { degraded: warning.is_some(), message: warning, ..Pass::default() }
            });
            match outcome {
                Ok(mut pass) => {
                    pass.facts.tls_not_after = tls_not_after;
                    Ok(pass)
                }
                Err(mut failure) => {
                    failure.facts.tls_not_after = tls_not_after;
                    Err(failure)
                }
            }
        })
    }
}

impl TcpProbe {
    async fn converse(&self, mut stream: impl DialedStreamLike, run: &RunContext) -> Result<(), Failure> {
        stream.meter().allow("the answer", MOST_CARRIED);
        let unfilled = |FillError(why)| Failure::new(FailureKind::Mismatch, why);
        let fill = |text: &Text| run.captured.fill(text).map_err(unfilled);
        // An expansion or a captured value may be empty: then there is nothing to wait for.
        let expected = self.declared.expect.as_ref().map(fill).transpose()?.filter(|expected| !expected.is_empty());
        if expected.is_none() && stream.may_be_refused() {
            let began = Instant::now();
            hear_refusal(&mut stream, REFUSAL.min(run.budget / 8)).await?;
            run.trace.heard_nothing(began.elapsed());
        }
        if let Some(text) = &self.declared.send {
            run.trace.enter(Phase::Answer);
            // It may be a command of its own.
            let text = run.captured.fill_lines(text).map_err(unfilled)?;
            stream.write_all(text.as_bytes()).await.map_err(|error| failure::of_io(&error))?;
            stream.flush().await.map_err(|error| failure::of_io(&error))?;
        }
        if let Some(expected) = expected {
            run.trace.enter(Phase::Answer);
            let mut heard = Vec::new();
            let found = listen(&mut stream, expected.as_bytes(), &mut heard, run).await;
            run.trace.note(|| format!("{} of answer", show_size(heard.len() as u64)));
            found?;
        }
        part(stream).await;
        Ok(())
    }
}

/// Waits a while for a server to refuse the client's certificate, or that there is none, by an alert or by hanging up.
/// Who says nothing, or something else, does not refuse.
async fn hear_refusal(stream: &mut (impl AsyncRead + Unpin), limit: Duration) -> Result<(), Failure> {
    let hung_up = || {
        let message = "connection closed after the TLS handshake, in which the server asked for a client certificate";
        Err(Failure::new(FailureKind::Tls, message))
    };
    match timeout(limit, stream.read(&mut [0])).await {
        Err(_) | Ok(Ok(1..)) => Ok(()),
        Ok(Ok(0)) => hung_up(),
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => hung_up(),
        Ok(Err(error)) => Err(failure::of_io(&error)),
    }
}

/// Reads into `heard` until `expected` has been seen.
async fn listen(
    stream: &mut (impl AsyncRead + Unpin),
    expected: &[u8],
    heard: &mut Vec<u8>,
    run: &RunContext,
) -> Result<(), Failure> {
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.map_err(|error| failure::of_io(&error))?;
        if read == 0 && heard.is_empty() {
            return Err(Failure::new(FailureKind::Connect, "connection closed before an answer"));
        }
        if read == 0 {
            let message = "the server closed the connection without the expected text";
            return Err(Failure::new(FailureKind::Mismatch, message));
        }
        run.trace.enter(Phase::Body);
        // What was searched before need not be searched again, but for a beginning of the text at its end.
        let unsearched = heard.len().saturating_sub(expected.len());
        heard.extend_from_slice(&buffer[..read.min(MOST_READ - heard.len())]);
        if heard[unsearched..].windows(expected.len()).any(|window| window == expected) {
            return Ok(());
        }
        if heard.len() == MOST_READ {
            return Err(Failure::new(FailureKind::Mismatch, "the expected text is not in the first 64 KiB"));
        }
    }
}

/// Ends the conversation in good order and without waiting: what has come in is read, so that the system does not
/// answer it with a reset.
async fn part(mut stream: impl DialedStreamLike) {
    // A limit of zero still polls once; the goodbye goes into the socket's buffer or not at all.
    let _ = timeout(Duration::ZERO, stream.shutdown()).await;
    let mut left = [0; 4096];
    for _ in 0..MOST_READ / left.len() {
        match stream.socket().try_read(&mut left) {
            Ok(read) if read > 0 => {}
            _ => return,
        }
    }
}

/// A stream, with or without TLS.
trait DialedStreamLike: AsyncRead + AsyncWrite + Unpin + Send {
    /// The connection below.
    fn socket(&self) -> &DialedSocket;

    /// The meter on it.
    fn meter(&self) -> &Meter;

    /// Whether the server may still refuse the client's certificate, or that there is none.
    fn may_be_refused(&self) -> bool;
}

impl DialedStreamLike for MeteredStream {
    fn socket(&self) -> &DialedSocket {
        Self::socket(self)
    }

    fn meter(&self) -> &Meter {
        Self::meter(self)
    }

    fn may_be_refused(&self) -> bool {
        false
    }
}

impl DialedStreamLike for Secured {
    fn socket(&self) -> &DialedSocket {
        Self::socket(self)
    }

    fn meter(&self) -> &Meter {
        Self::meter(self)
    }

    fn may_be_refused(&self) -> bool {
        Self::may_be_refused(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tokio::io::ReadBuf;

    #[test]
    fn an_address_is_a_host_with_a_port() {
        let cases = [
            ("db:5000", Some(("db", 5000))),
            ("127.0.0.1:1", Some(("127.0.0.1", 1))),
            ("[::1]:5000", Some(("::1", 5000))),
            ("::1:5000", None),
            ("[db]:5000", None),
            ("[::1:5000", None),
            ("db", None),
            ("db:", None),
            (":5000", None),
            ("db:0", None),
            ("db:65536", None),
            ("tcp://db:5000", None),
            ("$HOST:5000", None),
            ("user@db:5000", None),
            ("a b:5000", None),
        ];
        for (address, expected) in cases {
            let split = host_and_port(address);
            assert_eq!(split.as_ref().map(|(host, port)| (host.as_str(), *port)), expected, "{address}");
        }
    }

    #[tokio::test]
    async fn a_text_is_heard_across_reads() {
        let run = RunContext::default();
        let mut stream = hearing(&[b"+PO", b"N", b"G\r\n"]);
        assert_eq!(listen(&mut stream, b"PONG", &mut Vec::new(), &run).await, Ok(()));
        let mut stream = hearing(&[b"+PO", b"NK"]);
        let failure = listen(&mut stream, b"PONG", &mut Vec::new(), &run).await.unwrap_err();
        assert_eq!(
            (failure.kind, failure.message.as_str()),
            (FailureKind::Mismatch, "the server closed the connection without the expected text")
        );
    }

    /// A stream that gives one piece per read.
    fn hearing(pieces: &[&'static [u8]]) -> impl AsyncRead + Unpin {
        struct Pieces(VecDeque<&'static [u8]>);
        impl AsyncRead for Pieces {
            fn poll_read(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                if let Some(piece) = self.0.pop_front() {
                    buffer.put_slice(piece);
                }
                Poll::Ready(Ok(()))
            }
        }
        Pieces(pieces.iter().copied().collect())
    }
}
