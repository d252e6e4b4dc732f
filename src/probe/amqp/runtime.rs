//! The runtime that the client library works on: the one we are in. The library's own support for tokio would bring a
//! second scheduler with several threads, and with that the mathematics library, into every pod.

use std::future::Future;
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::Runtime;
use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::{DummyIO, DummyStream, Task, TaskImpl, simple_block_on};
use tokio::io::DuplexStream;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::compat::Compat;

/// What the library reads from and writes to.
pub type LibraryStream = Compat<DuplexStream>;

/// The runtime that this is called in, in the type that the library wants.
pub fn current() -> Runtime<Tokio> {
    Runtime::new(Tokio(Handle::current()))
}

/// A runtime of tokio, as far as the library uses one: it starts tasks and sleeps. The connection is made for it.
#[derive(Clone, Debug)]
pub struct Tokio(Handle);

impl RuntimeKit for Tokio {}

impl Executor for Tokio {
    type Task<T: Send + 'static> = Spawned<T>;

    /// Only the library's own thread blocks.
    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        simple_block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, future: F) -> Task<Spawned<T>> {
        Spawned(self.0.spawn(future)).into()
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(&self, work: F) -> Task<Spawned<T>> {
        Spawned(self.0.spawn_blocking(work)).into()
    }
}

#[expect(refining_impl_trait, reason = "what is never used needs no other type")]
impl Reactor for Tokio {
    type TcpStream = LibraryStream;
    type Sleep = tokio::time::Sleep;

    fn register<H: Read + Write + Send + 'static>(&self, _socket: H) -> io::Result<DummyIO> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, time: Duration) -> tokio::time::Sleep {
        let _entered = self.0.enter();
        tokio::time::sleep(time)
    }

    fn interval(&self, _period: Duration) -> DummyStream<Instant> {
        DummyStream(PhantomData)
    }

    fn tcp_connect_addr(&self, _address: SocketAddr) -> std::future::Ready<io::Result<LibraryStream>> {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

/// A task that the library has started.
#[derive(Debug)]
pub struct Spawned<T>(JoinHandle<T>);

impl<T: Send + 'static> TaskImpl for Spawned<T> {}

impl<T> Future for Spawned<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(context)) {
            Ok(value) => Poll::Ready(value),
            // It panicked, or the daemon ends: there is nobody left to tell.
            Err(_) => Poll::Pending,
        }
    }
}
