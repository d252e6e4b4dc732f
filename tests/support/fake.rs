//! A server that misbehaves on purpose, on a free loopback port, and can be mended while the test runs.
//!
//! `Fake::silent().await` and its siblings start one; `fake.act(…).await` changes what it does (open connections are
//! cut), `fake.mend(…).await` makes it answer. It ends with the value.
#![allow(dead_code, clippy::unwrap_used)] // each test file includes this one and uses its own part of it; it is a test

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// Makes an answer of the number and the text of a request; `None` closes the connection.
pub type Answering = dyn Fn(usize, &str) -> Option<Vec<u8>> + Send + Sync;

/// What the server does with a connection. Where it answers, it has read a request first: an HTTP request whole, or
/// whatever comes first in another protocol.
#[derive(Clone)]
pub enum Act {
    /// Nobody listens; the port stays reserved.
    Refuse,
    /// Accepts, reads, and never says a word.
    Silent,
    /// Accepts and resets at once.
    ResetOnAccept,
    /// Says this without being asked, then stays.
    Greet(Vec<u8>),
    /// Answers each request with this.
    Answer(Vec<u8>),
    /// Answers each request with what the function makes of it; its number on this connection counts from 0.
    Serve(Arc<Answering>),
    /// Sends this much of an answer, then resets the connection.
    ResetAfter(Vec<u8>),
    /// Sends this much of an answer, then closes the connection in good order.
    CloseAfter(Vec<u8>),
    /// Sends the first part at once, then one byte of the second each time the span has passed.
    Drip(Vec<u8>, Vec<u8>, Duration),
    /// Sends the first part, then the second again and again for as long as somebody reads.
    Endless(Vec<u8>, Vec<u8>),
}

impl Act {
    /// Answers each request through a function, as [`Act::Serve`].
    pub fn serve(answer: impl Fn(usize, &str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::Serve(Arc::new(answer))
    }

    /// Bytes that are no protocol at all.
    pub fn garbage() -> Self {
        Self::Answer((0..1024u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect())
    }
}

/// An HTTP answer with a correct length that leaves the connection open.
pub fn http(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    answer.push_str("\r\n");
    answer.push_str(body);
    answer.into_bytes()
}

/// The server. Its address stays the same whatever it does.
pub struct Fake {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// The bound port while nobody listens on it.
    reserved: Mutex<Option<TcpSocket>>,
    listening: Mutex<Option<Listening>>,
}

/// The task that accepts connections, and its listener.
struct Listening {
    task: JoinHandle<()>,
    listener: OwnedFd,
}

impl Listening {
    fn on(listener: TcpListener, shared: &Arc<Shared>) -> Self {
        let also = listener.as_fd().try_clone_to_owned().unwrap();
        Self { task: tokio::spawn(serve(listener, Arc::clone(shared))), listener: also }
    }

    /// Ends it. Closing the listener is not enough: a process that another test is just starting may hold a copy of it
    /// until it has become another program, and the kernel would go on giving connections to that.
    fn end(&self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        self.task.abort();
    }
}

struct Shared {
    act: Mutex<Act>,
    tls: Mutex<Option<Arc<ServerConfig>>>,
    seen: watch::Sender<Seen>,
}

/// What the server has seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Connections accepted.
    pub accepted: usize,
    /// Connections open now.
    pub open: usize,
    /// Requests read, as text, in order.
    pub requests: Vec<String>,
}

impl Fake {
    /// A server on a free IPv4 port that does as `act` says.
    pub async fn start(act: Act) -> Self {
        Self::start_on("127.0.0.1:0".parse().unwrap(), act).await
    }

    /// A server on that address.
    pub async fn start_on(address: SocketAddr, act: Act) -> Self {
        let socket = bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        let shared = Shared { act: Mutex::new(act.clone()), tls: Mutex::default(), seen: watch::Sender::default() };
        let fake =
            Self { address, shared: Arc::new(shared), reserved: Mutex::new(Some(socket)), listening: Mutex::default() };
        fake.act(act).await;
        fake
    }

    /// Nobody listens.
    pub async fn refuses() -> Self {
        Self::start(Act::Refuse).await
    }

    /// Accepts and never speaks.
    pub async fn silent() -> Self {
        Self::start(Act::Silent).await
    }

    /// Answers each request with these bytes.
    pub async fn answers(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(Act::Answer(answer.into())).await
    }

    /// Sends this much of an answer, then resets.
    pub async fn resets_after(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(Act::ResetAfter(answer.into())).await
    }

    /// Answers with bytes that are no protocol.
    pub async fn garbage() -> Self {
        Self::start(Act::garbage()).await
    }

    /// Sends `head` at once and `rest` byte by byte, one each `every`.
    pub async fn drips(head: impl Into<Vec<u8>>, rest: impl Into<Vec<u8>>, every: Duration) -> Self {
        Self::start(Act::Drip(head.into(), rest.into(), every)).await
    }

    /// Sends `head`, then `chunk` without end.
    pub async fn endless(head: impl Into<Vec<u8>>, chunk: impl Into<Vec<u8>>) -> Self {
        Self::start(Act::Endless(head.into(), chunk.into())).await
    }

    /// Speaks TLS with this configuration from now on.
    #[must_use]
    pub fn with_tls(self, tls: Arc<ServerConfig>) -> Self {
        self.set_tls(Some(tls));
        self
    }

    /// Speaks TLS with this configuration, or plain, on connections accepted from now on.
    pub fn set_tls(&self, tls: Option<Arc<ServerConfig>>) {
        *self.shared.tls.lock().unwrap() = tls;
    }

    /// The address, for dialling.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Does something else from now on. Open connections are cut.
    pub async fn act(&self, act: Act) {
        let refuse = matches!(act, Act::Refuse);
        *self.shared.act.lock().unwrap() = act;
        // The port is bound anew before it is given up, so that nobody else can take it in between.
        let reserved = self.reserved.lock().unwrap().take();
        let socket = reserved.unwrap_or_else(|| bind(self.address).unwrap());
        let listening = self.listening.lock().unwrap().take();
        if let Some(listening) = listening {
            listening.end();
            let _ = listening.task.await;
        }
        if refuse {
            *self.reserved.lock().unwrap() = Some(socket);
        } else {
            let listener = socket.listen(64).unwrap();
            *self.listening.lock().unwrap() = Some(Listening::on(listener, &self.shared));
        }
    }

    /// Answers each request with these bytes from now on.
    pub async fn mend(&self, answer: impl Into<Vec<u8>>) {
        self.act(Act::Answer(answer.into())).await;
    }

    /// Does something else with the next request of each connection, open ones included.
    pub fn act_without_cutting(&self, act: Act) {
        assert!(!matches!(act, Act::Refuse), "a listener is only closed by `act`");
        *self.shared.act.lock().unwrap() = act;
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        self.shared.seen.borrow().clone()
    }

    /// Waits until what it has seen is as `wanted` says.
    ///
    /// # Panics
    /// After a minute.
    pub async fn until(&self, wanted: impl Fn(&Seen) -> bool) {
        let mut seen = self.shared.seen.subscribe();
        let outcome = tokio::time::timeout(Duration::from_secs(60), seen.wait_for(|seen| wanted(seen))).await;
        assert!(outcome.is_ok(), "not seen in a minute: {:?}", self.seen());
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(listening) = self.listening.lock().unwrap().take() {
            listening.end();
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(stream, Open::new(Arc::clone(&shared))));
    }
}

/// Counts an open connection for as long as it lives.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.seen.send_modify(|seen| {
            seen.accepted += 1;
            seen.open += 1;
        });
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.seen.send_modify(|seen| seen.open -= 1);
    }
}

async fn connection(stream: TcpStream, open: Open) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    if matches!(*open.0.act.lock().unwrap(), Act::ResetOnAccept) {
        return stream.set_zero_linger();
    }
    let tls = open.0.tls.lock().unwrap().clone();
    match tls {
        None => {
            let mut stream = stream;
            if converse(&mut stream, &open.0).await? == End::Reset {
                stream.set_zero_linger()?;
            }
        }
        Some(tls) => {
            let mut stream = match TlsAcceptor::from(tls).accept(stream).into_fallible().await {
                Ok(stream) => stream,
                Err((_, refused)) => return hang_up(refused).await,
            };
            match converse(&mut stream, &open.0).await? {
                End::Reset => stream.get_ref().0.set_zero_linger()?,
                End::Close => stream.shutdown().await?,
            }
        }
    }
    Ok(())
}

/// Closes in good order: what the peer has sent is read, so that no reset overtakes what it was told.
async fn hang_up(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}

#[derive(PartialEq)]
enum End {
    Close,
    Reset,
}

async fn converse(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), shared: &Shared) -> io::Result<End> {
    let greeting = match &*shared.act.lock().unwrap() {
        Act::Greet(greeting) => Some(greeting.clone()),
        _ => None,
    };
    if let Some(greeting) = greeting {
        stream.write_all(&greeting).await?;
    }
    for number in 0.. {
        let Some(request) = read_request(stream).await? else { return Ok(End::Close) };
        shared.seen.send_modify(|seen| seen.requests.push(request.clone()));
        let act = shared.act.lock().unwrap().clone();
        match act {
            Act::Refuse | Act::ResetOnAccept | Act::Silent | Act::Greet(_) => {}
            Act::Answer(answer) => stream.write_all(&answer).await?,
            Act::Serve(answer) => match answer(number, &request) {
                Some(answer) => stream.write_all(&answer).await?,
                None => return Ok(End::Close),
            },
            Act::ResetAfter(part) => {
                stream.write_all(&part).await?;
                stream.flush().await?;
                return Ok(End::Reset);
            }
            Act::CloseAfter(part) => {
                stream.write_all(&part).await?;
                return Ok(End::Close);
            }
            Act::Drip(head, rest, every) => {
                stream.write_all(&head).await?;
                for byte in rest {
                    stream.flush().await?;
                    tokio::time::sleep(every).await;
                    stream.write_all(&[byte]).await?;
                }
            }
            Act::Endless(head, chunk) => {
                stream.write_all(&head).await?;
                loop {
                    stream.write_all(&chunk).await?;
                    tokio::task::yield_now().await;
                }
            }
        }
        stream.flush().await?;
    }
    Ok(End::Close)
}

/// One request as text: HTTP with head and body, anything else as it comes. Nothing when the peer has closed.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<String>> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(None);
        }
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        let first_line = text.lines().next().unwrap_or_default();
        if !first_line.contains(" HTTP/1.") || is_whole(&text) {
            return Ok(Some(text.into_owned()));
        }
    }
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    body.len() >= length.unwrap_or(0)
}

/// Runs something under a limit, as the scheduler does: `None` when the time was up.
pub async fn within<T>(limit: Duration, run: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, run).await.ok()
}
