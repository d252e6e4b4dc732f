//! The proxy between the client library and the broker: our own connection and TLS session on one side, a pipe in
//! memory for the library on the other.
//!
//! The library lets a thread of its own work on a stream for as long as that lives. Handing it one end of a pipe makes
//! the end of its thread ours to decide: it comes with the end of the proxy.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lapin::AsyncTcpStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::frames::{BadFrame, Frames};
use super::runtime::LibraryStream;
use crate::model::outcome::{Failure, FailureKind};
use crate::probe::endpoint::Stream;
use crate::probe::net::failure::of_io;
use crate::probe::reuse::Activity;

/// As much as this is on its way to and fro between us and the library.
const PIPE: usize = 4096;

/// The lines of one probe.
#[derive(Default)]
pub struct Proxies {
    /// Held by every thread of the library for as long as it lives.
    threads: Arc<()>,
}

/// The library has this long for what it read before a line has ended.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A line. It ends when it is dropped.
#[must_use = "dropping it ends the line"]
pub struct Proxy {
    carrier: JoinHandle<()>,
    end: Arc<OnceLock<Failure>>,
    /// Closed once the line has ended.
    stands: watch::Receiver<()>,
    /// Shows that something comes.
    pub activity: Activity,
}

/// The library's end of a line.
pub struct ProxyEnd {
    stream: Mutex<Option<DuplexStream>>,
    _thread: Arc<()>,
}

impl Proxies {
    /// Threads end with their lines; should the library fail in that, there are no more of them than this.
    const MOST: usize = 8;

    /// A line to `server`, and the library's end of it.
    ///
    /// # Errors
    /// When the threads of earlier lines live on.
    pub fn open(&self, server: Box<dyn Stream>) -> Result<(Proxy, ProxyEnd), Failure> {
        if Arc::strong_count(&self.threads) > Self::MOST {
            return Err(Failure::new(FailureKind::Bug, "the connections of earlier runs do not end"));
        }
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let (end, activity) = (Arc::new(OnceLock::new()), Activity::default());
        let (standing, stands) = watch::channel(());
        let carried = carry(server, ours, Arc::clone(&end), activity.clone());
        // On a task of its own: heartbeats go to and fro between runs too. Its meter bounds what comes in all that
        // time.
        let carrier = tokio::spawn(async move {
            carried.await;
            drop(standing);
        });
        let stream = Mutex::new(Some(theirs));
        Ok((Proxy { carrier, end, stands, activity }, ProxyEnd { stream, _thread: Arc::clone(&self.threads) }))
    }
}

impl ProxyEnd {
    /// The stream, in the type that the library wants. It is there once: the library is told not to try again.
    pub fn take(&self) -> lapin::Result<AsyncTcpStream<LibraryStream>> {
        match self.stream.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(stream) => Ok(AsyncTcpStream::Plain(stream.compat())),
            None => Err(io::Error::from(io::ErrorKind::NotConnected).into()),
        }
    }
}

impl Proxy {
    /// Why the broker's side has ended, if it has.
    pub fn end(&self) -> Option<&Failure> {
        self.end.get()
    }

    /// What comes of `work` with the library; nothing when the line has ended and the library still waits. It does so
    /// for ever where a broker hangs up while it thinks of something else.
    pub async fn outlasting<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut stands = self.stands.clone();
        let ended = async {
            while stands.changed().await.is_ok() {}
            sleep(LAST_WORDS).await;
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = ended => None,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

/// Carries both ways until either side ends. The reason is set before the library can see the end.
async fn carry(server: Box<dyn Stream>, mut local: DuplexStream, end: Arc<OnceLock<Failure>>, activity: Activity) {
    let (mut from_server, mut to_server) = tokio::io::split(server);
    {
        let (mut from_library, mut to_library) = tokio::io::split(&mut local);
        tokio::select! {
            failure = downwards(&mut from_server, &mut to_library, &activity) => {
                let _ = end.set(failure);
            }
            () = upwards(&mut from_library, &mut to_server) => {}
        }
    }
    let _ = local.shutdown().await;
    let _ = to_server.shutdown().await;
}

async fn downwards(
    server: &mut (impl AsyncRead + Unpin),
    library: &mut (impl AsyncWrite + Unpin),
    activity: &Activity,
) -> Failure {
    let (mut buffer, mut frames) = ([0; 4096], Frames::default());
    loop {
        let read = match server.read(&mut buffer).await {
            Ok(0) => return Failure::new(FailureKind::Connect, "connection closed by the server"),
            Ok(read) => read,
            Err(error) => return of_io(&error),
        };
        activity.show();
        let mut passed = Vec::new();
        let followed = frames.follow(&buffer[..read], &mut passed);
        if let Err(error) = library.write_all(&passed).await {
            return of_io(&error);
        }
        match followed {
            Ok(()) => {}
            Err(BadFrame::NotAmqp) => return not_amqp(),
            Err(BadFrame::Unasked(what)) => return unasked(what),
        }
    }
}

/// Ends with the library. A server that takes nothing more may have said why, and that is still to be read.
async fn upwards(library: &mut (impl AsyncRead + Unpin), server: &mut (impl AsyncWrite + Unpin)) {
    let mut buffer = [0; 4096];
    let mut broken = false;
    while let Ok(read @ 1..) = library.read(&mut buffer).await {
        if !broken {
            broken = server.write_all(&buffer[..read]).await.is_err() || server.flush().await.is_err();
        }
    }
}

/// The broker sends what is not for a probe.
fn unasked(what: Option<(u16, u16)>) -> Failure {
    let failure = Failure::new(FailureKind::Protocol, "the broker sends what nobody has asked for");
    failure
        .with_detail(what.map_or_else(|| "a message".into(), |(class, method)| format!("the method {class}.{method}")))
}

/// What came is not AMQP.
pub fn not_amqp() -> Failure {
    Failure::new(FailureKind::Protocol, "the server does not speak AMQP 0-9-1")
}
