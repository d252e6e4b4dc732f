//! Servers in a thread each, on free loopback ports, that do as they are told to whoever connects.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A server that ends when dropped.
pub struct Fake {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// A server that does this with each connection, one after another, once a request has come.
    pub fn doing(act: impl Fn(&mut TcpStream, &AtomicBool) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let ending = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&ending);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                if has_asked(&mut stream) {
                    act(&mut stream, &ends);
                }
            }
        });
        Self { address, ending, thread: Some(thread) }
    }

    /// Answers each request with these bytes and closes.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::doing(move |stream, _| drop(stream.write_all(&answer)))
    }

    /// Answers each request with this JSON, as probelet would.
    pub fn saying(status: &str, health: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.0 {status}\r\nX-Health-Status: {health}\r\nContent-Length: {length}\r\n\r\n");
        Self::answering(head + body)
    }

    /// Accepts, and never answers.
    pub fn silent() -> Self {
        Self::doing(|stream, _| drop(stream.read(&mut [0])))
    }

    /// Sends `piece` again and again, with a pause between, until nobody listens.
    pub fn endless(head: &'static str, piece: &'static [u8], pause: Duration) -> Self {
        Self::doing(move |stream, ends| {
            let mut going = stream.write_all(head.as_bytes()).is_ok();
            while going && !ends.load(Ordering::SeqCst) {
                going = stream.write_all(piece).is_ok();
                thread::sleep(pause);
            }
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // Wakes the thread, if it waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads the head of a request.
fn has_asked(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// A port of 127.0.0.1 on which nobody listens: it stays bound, so that no other test is given it, and it never was
/// listened on, because a process that another test is just starting may hold a copy of a listener that was closed.
pub fn free_port() -> u16 {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
    static BOUND: Mutex<Vec<TcpListener>> = Mutex::new(Vec::new());
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket");
    // Whoever listens on it later may.
    sockopt::set_socket_reuseaddr(&socket, true).expect("a socket has the option");
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback has free ports");
    let socket = TcpListener::from(socket);
    let port = socket.local_addr().expect("it is bound").port();
    BOUND.lock().expect("nobody panicked").push(socket);
    port
}
