//! A TLS session over a connection, which knows what the server's alerts mean.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::CertificateDer;
use rustls::{Error, ProtocolVersion};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::failure::find;
use super::metered::{Meter, MeteredStream};
use super::pass_on::passes_writes_on;
use super::presented::Presented;
use super::socket::DialedSocket;

/// The session. In TLS 1.3 a server judges the client's certificate when the client has long begun to send.
#[derive(Debug)]
pub struct Secured {
    stream: TlsStream<MeteredStream>,
    presented: Arc<Presented>,
}

impl Secured {
    pub(super) const fn new(stream: TlsStream<MeteredStream>, presented: Arc<Presented>) -> Self {
        Self { stream, presented }
    }

    /// The connection below.
    #[must_use]
    pub fn socket(&self) -> &DialedSocket {
        self.stream.get_ref().0.socket()
    }

    /// The meter of that connection.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        self.stream.get_ref().0.meter()
    }

    /// The protocol that the server chose of those that it was asked for (RFC 7301), if it chose one.
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        self.stream.get_ref().1.alpn_protocol()
    }

    /// Whether the server has asked for a certificate of ours, and may not have judged yet what it got: in TLS 1.3 the
    /// handshake is over here before (RFC 8446, section 2).
    #[must_use]
    pub fn may_be_refused(&self) -> bool {
        self.presented.was_asked() && self.stream.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// The server's own certificate.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.stream.get_ref().1.peer_certificates()?.first()
    }
}

/// The same error, with an alert for what it means after all that was presented.
pub(super) fn understood(error: io::Error, presented: &Presented) -> io::Error {
    match find::<Error>(&error) {
        Some(Error::AlertReceived(alert)) => {
            io::Error::new(error.kind(), Error::AlertReceived(presented.meaning(*alert)))
        }
        _ => error,
    }
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        read.map_err(|error| understood(error, &self.presented))
    }
}

passes_writes_on!([] Secured, |this, written| written.map_err(|error| understood(error, &this.presented)));
