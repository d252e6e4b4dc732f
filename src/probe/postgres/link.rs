//! The way from the driver to the server: our own connection and TLS session on one side, a local socket to the
//! driver on the other, and everything that passes checked in between.
//!
//! The driver would resolve, dial and trust by rules of its own and knows no way to be handed a stream. It does accept
//! the path of a Unix socket, so it gets one in the abstract namespace, which needs no file system; only this process
//! may connect to it.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::require_auth::AllowedMethods;
use super::scram::{Binding, Refused, Scram};
use super::wire::{FromDriver, FromServer, WireFault, WireSummary, message, startup};
use crate::probe::endpoint::Stream;
use crate::probe::farewell;
use crate::probe::reuse::Activity;

/// Why a link is of no more use.
#[derive(Debug)]
pub enum Break {
    /// The server closed it.
    Closed,
    /// The connection failed.
    Io(io::Error),
    /// What came is not to be passed on.
    Fault(WireFault),
}

/// Who logs in, and how.
pub struct Login<'a> {
    /// Those of the startup message, user and database included.
    pub parameters: &'a [(&'a str, &'a str)],
    /// The password; empty without one.
    pub password: &'a str,
    /// Whether the login is bound to the TLS session.
    pub binding: Binding,
    /// The server's certificate, where there is TLS.
    pub certificate: Option<&'a [u8]>,
    /// What the server may ask for.
    pub methods: AllowedMethods,
}

/// A logged-in connection: the driver's end and what connects it to the server.
pub struct Link {
    /// The driver's connection. Nothing moves on it but under [`ProtocolPump::carry`].
    pub driver: PgConnection,
    /// Everything between it and the server.
    pub wires: ProtocolPump,
}

/// Both ends of the way and what is under way on it.
pub struct ProtocolPump {
    server: Box<dyn Stream>,
    local: UnixStream,
    up: FromDriver,
    down: FromServer,
    /// Translated and not yet written, to the server and to the driver.
    pending: (Vec<u8>, Vec<u8>),
    broken: Option<Break>,
    /// Where the server is, for a request to cancel.
    address: Option<SocketAddr>,
}

impl Link {
    /// Logs in over `server`.
    ///
    /// # Errors
    /// What the driver says, with the wires, which know more about it.
    pub async fn open(
        server: Box<dyn Stream>,
        address: Option<SocketAddr>,
        login: &Login<'_>,
        options: PgConnectOptions,
    ) -> io::Result<Result<Self, (sqlx::Error, ProtocolPump)>> {
        let name = format!("\0probelet-{}-{:016x}", std::process::id(), RandomState::new().hash_one(address));
        let options = options.socket(&name);
        let listener = UnixListener::bind(format!("{name}/.s.PGSQL.{}", options.get_port()))?;
        let mut connecting = Box::pin(options.connect());
        let local = tokio::select! {
            biased;
            accepted = accept_own(&listener) => accepted?,
            early = &mut connecting => match early {
                Err(sqlx::Error::Io(error)) => return Err(error),
                _ => return Err(io::ErrorKind::ConnectionAborted.into()),
            },
        };
        drop(listener);
        let (up, down) = (FromDriver::new(), FromServer::new(login.methods));
        let pending = (Vec::new(), Vec::new());
        let mut wires = ProtocolPump { server, local, up, down, pending, broken: None, address };
        if let Err(reason) = wires.log_in(login).await {
            // The driver is told by the end of its stream.
            wires.broken = Some(reason);
            let _ = wires.local.shutdown().await;
        }
        let connected = wires.carry(connecting.as_mut()).await;
        drop(connecting);
        Ok(match connected {
            Ok(driver) => Ok(Self { driver, wires }),
            Err(error) => Err((error, wires)),
        })
    }

    /// Takes leave of the server, and waits until it has hung up: then there is room for another connection.
    pub async fn close(self) {
        self.wires.close().await;
    }
}

/// The next connection that comes from this very process.
async fn accept_own(listener: &UnixListener) -> io::Result<UnixStream> {
    loop {
        let (stream, _) = listener.accept().await?;
        let own = i32::try_from(std::process::id()).ok();
        if stream.peer_cred().is_ok_and(|peer| peer.pid().is_some() && peer.pid() == own) {
            return Ok(stream);
        }
    }
}

impl ProtocolPump {
    /// A run begins.
    pub fn begin(&mut self) {
        self.down.begin();
    }

    /// Where it shows that the server is there.
    pub fn activity(&self) -> &Activity {
        &self.down.activity
    }

    /// What the server has shown.
    pub fn seen(&self) -> &WireSummary {
        &self.down.seen
    }

    /// Why nothing more comes, if that is so.
    pub fn broken(&self) -> Option<&Break> {
        self.broken.as_ref()
    }

    async fn close(mut self) {
        const TERMINATE: &[u8] = b"X\0\0\0\x04";
        // Half a message would not end where this begins.
        if self.pending.0.is_empty() {
            let _ = self.server.write_all(TERMINATE).await;
        }
        let _ = self.server.shutdown().await;
        let mut rest = [0; 4096];
        while let Ok(1..) = self.server.read(&mut rest).await {}
    }

    /// Asks the server, beside everything else, to give up what it is doing for this connection. A server that waits
    /// for a lock does not notice that nobody waits for it any more: without this every run whose time is up would
    /// leave one more busy connection behind.
    ///
    /// It is the server who hangs up, once it has passed the request on: `PgBouncer` since 1.18 ends with `bad client
    /// state: 0` where the client does so first while the server behind it is slow (its issue 801). It also needs the
    /// old connection for as long. Where many requests wait already, the connection is only closed.
    pub fn cancel(self) {
        const CODE: [u8; 8] = [0, 0, 0, 16, 4, 210, 22, 46];
        // PgBouncer itself gives up after `cancel_wait_timeout`, or `server_connect_timeout`: 10 and 15 s.
        const PATIENCE: Duration = Duration::from_secs(60);
        static PLACES: Semaphore = Semaphore::const_new(16);
        let (Some(address), Some(key), Ok(place)) = (self.address, self.down.seen.key, PLACES.try_acquire()) else {
            return;
        };
        let cancelling = tokio::spawn(async move {
            let request = async {
                let mut stream = TcpStream::connect(address).await?;
                stream.write_all(&[CODE, key].concat()).await?;
                stream.read_u8().await
            };
            let _ = timeout(PATIENCE, async {
                let _ = request.await;
                self.close().await;
            })
            .await;
            drop(place);
        });
        // Who ends the process waits for it too, though not for as long.
        drop(farewell::say(async { drop(cancelling.await) }));
    }

    /// Begins a login and goes through SCRAM, of which the driver learns nothing. Whatever else the server wants, or
    /// says, is left to the driver.
    async fn log_in(&mut self, login: &Login<'_>) -> Result<(), Break> {
        const SASL: u32 = 10;
        const CONTINUE: u32 = 11;
        const FINAL: u32 = 12;
        self.say(&startup(login.parameters)).await?;
        let Some(offered) = self.hear(SASL).await? else {
            return match login.binding {
                Binding::Required if self.down.seen.error.is_none() => Err(Break::Fault(WireFault::Unbound)),
                _ => Ok(()),
            };
        };
        let begun = Scram::begin(login.password, &offered, login.binding, login.certificate);
        let (mut scram, mechanism, first) = begun.map_err(refused)?;
        let length = u32::try_from(first.len()).map_err(|_| refused(Refused::Garbage))?;
        self.say(&message(b'p', &[mechanism.as_bytes(), &[0], &length.to_be_bytes(), &first].concat())).await?;
        let Some(challenge) = self.hear(CONTINUE).await? else { return Ok(()) };
        self.say(&message(b'p', &scram.prove(&challenge).await.map_err(refused)?)).await?;
        let Some(last) = self.hear(FINAL).await? else { return Ok(()) };
        scram.verify(&last).map_err(|_| Break::Fault(WireFault::Unproven))
    }

    async fn say(&mut self, message: &[u8]) -> Result<(), Break> {
        self.server.write_all(message).await.map_err(Break::Io)?;
        self.server.flush().await.map_err(Break::Io)
    }

    /// What the server's next message says, if it is one of authentication of this sort. Any other stays for the
    /// driver.
    async fn hear(&mut self, sort: u32) -> Result<Option<Vec<u8>>, Break> {
        let mut buffer = [0; 4096];
        // What is passed on are whole messages.
        while self.pending.1.is_empty() {
            match self.server.read(&mut buffer).await.map_err(Break::Io)? {
                0 => return Err(Break::Closed),
                read => self.down.translate(&buffer[..read], &mut self.pending.1).map_err(Break::Fault)?,
            }
        }
        let start = [b"R".as_slice(), &self.pending.1[1..5], &sort.to_be_bytes()].concat();
        if !self.pending.1.starts_with(&start) {
            return Ok(None);
        }
        let length = self.pending.1[1..5].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let message: Vec<u8> = self.pending.1.drain(..=length).collect();
        Ok(Some(message[start.len()..].to_vec()))
    }

    /// Lets the driver do something while what it writes and reads is carried over.
    pub async fn carry<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = self.pump() => match never {},
        }
    }

    /// Carries both ways. When the server's side ends, the driver is told by the end of its stream, once it has read
    /// what came before; it is the driver who ends the work.
    async fn pump(&mut self) -> Infallible {
        if self.broken.is_none() {
            let (mut from_server, mut to_server) = tokio::io::split(&mut self.server);
            let (mut from_driver, mut to_driver) = self.local.split();
            let reason = tokio::select! {
                reason = downwards(&mut from_server, &mut to_driver, &mut self.down, &mut self.pending.1) => reason,
                never = upwards(&mut from_driver, &mut to_server, &mut self.up, &mut self.pending.0) => match never {},
            };
            self.broken = Some(reason);
            let _ = self.local.shutdown().await;
        }
        std::future::pending().await
    }
}

fn refused(refused: Refused) -> Break {
    Break::Fault(match refused {
        Refused::Garbage => WireFault::Garbage,
        Refused::Unbound => WireFault::Unbound,
    })
}

async fn downwards(
    server: &mut (impl AsyncRead + Unpin),
    driver: &mut (impl AsyncWrite + Unpin),
    wire: &mut FromServer,
    pending: &mut Vec<u8>,
) -> Break {
    let mut buffer = [0; 4096];
    loop {
        if let Err(error) = write(driver, pending).await {
            return Break::Io(error);
        }
        let read = match server.read(&mut buffer).await {
            Ok(0) => return Break::Closed,
            Ok(read) => read,
            Err(error) => return Break::Io(error),
        };
        if let Err(fault) = wire.translate(&buffer[..read], pending) {
            let _ = write(driver, pending).await;
            return Break::Fault(fault);
        }
    }
}

/// Never says that the server takes nothing more: the server may have said why, and that is still to be read.
async fn upwards(
    driver: &mut (impl AsyncRead + Unpin),
    server: &mut (impl AsyncWrite + Unpin),
    wire: &mut FromDriver,
    pending: &mut Vec<u8>,
) -> Infallible {
    let mut buffer = [0; 4096];
    while write(server, pending).await.is_ok() {
        let Ok(read @ 1..) = driver.read(&mut buffer).await else { break };
        wire.translate(&buffer[..read], pending);
    }
    std::future::pending().await
}

/// Writes what is pending. Dropped in the middle, it leaves exactly the rest.
async fn write(to: &mut (impl AsyncWrite + Unpin), pending: &mut Vec<u8>) -> io::Result<()> {
    while !pending.is_empty() {
        let written = to.write(pending).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        pending.drain(..written);
    }
    to.flush().await
}
