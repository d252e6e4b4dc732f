//! Measures how long a lane is held in one go: the most that a thread does between two turns of a task that is always
//! ready, counted in work and not in time.
//!
//! What counts is the processor time of the thread, which is the same however busy the machine is, in units of a piece
//! of work that is done on the same thread beside it: to look at each byte of a KiB. So nothing that is measured has to
//! tell of its work, and what forgets to yield or to count is found as well.
#![allow(dead_code, clippy::unwrap_used)] // each test file includes this one and uses its own part of it; it is a test

use std::future::Future;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// No lane may be held for more than this at a time: to look at each byte of 8 MiB.
pub const MOST: f64 = 8192.0;

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// The most work that was done in one go, in KiB looked at.
    pub most: f64,
}

impl Held {
    fn or_less(self, other: Self) -> Self {
        if other.most < self.most { other } else { self }
    }

    /// Asserts that others never had to wait for more than [`MOST`].
    #[track_caller]
    pub fn is_little(self, beside: &str) {
        assert!(self.most < MOST, "held for the work of {:.0} KiB in one go beside {beside}", self.most);
    }
}

/// Does `work` on a lane, as the daemon has them.
pub fn on_a_lane<T>(work: impl Future<Output = T>) -> T {
    probelet::base::lane::runtime().unwrap().block_on(work)
}

/// Does `work` on this runtime, which is a lane, and measures how long that thread is held in one go by it and by
/// everything that it has spawned there.
pub async fn held<T>(work: impl Future<Output = T>) -> (T, Held) {
    let unit = unit();
    let most = Arc::new(AtomicU64::new(0));
    let longest = Arc::clone(&most);
    let ticking = tokio::spawn(async move {
        let mut last = used();
        loop {
            tokio::task::yield_now().await;
            let now = used();
            longest.fetch_max((now - last).as_nanos() as u64, Ordering::Relaxed);
            last = now;
        }
    });
    // The first turn is the measure's own.
    tokio::task::yield_now().await;
    let result = work.await;
    // What has been done last counts too.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    ticking.abort();
    let most = most.load(Ordering::Relaxed) as f64 / unit.as_nanos() as f64;
    (result, Held { most })
}

/// So often something is measured until it is little. What the kernel does meanwhile counts as the thread's own, now
/// and then; what the code does counts each time.
const ATTEMPTS: usize = 5;

/// The least of some measures, of which the first that is little is enough.
pub fn least_of(mut measure: impl FnMut() -> Held) -> Held {
    let mut least = measure();
    for _ in 1..ATTEMPTS {
        if least.most >= MOST {
            least = least.or_less(measure());
        }
    }
    least
}

/// The least of what is measured beside `work`, each time that it is done.
pub async fn least_held(mut work: impl AsyncFnMut()) -> Held {
    let mut least = held(work()).await.1;
    for _ in 1..ATTEMPTS {
        if least.most >= MOST {
            least = least.or_less(held(work()).await.1);
        }
    }
    least
}

/// The processor time that this thread has used.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What it takes here to look at each byte of a KiB.
fn unit() -> Duration {
    let bytes = vec![b'x'; 64 * 1024];
    let look = || {
        let before = used();
        let mut sum = 0_u64;
        for byte in black_box(&bytes) {
            sum = sum.wrapping_add(u64::from(*byte));
        }
        black_box(sum);
        used() - before
    };
    (0..20).map(|_| look()).min().unwrap() / 64
}

/// A server on a free loopback port that does `talk` with each connection, on threads of its own, until it errs.
pub fn hostile(talk: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let talk = Arc::new(talk);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let talk = Arc::clone(&talk);
            thread::spawn(move || {
                let _ = stream.set_nodelay(true);
                let _ = talk(stream);
            });
        }
    });
    address
}

/// Says `head` to whoever has said something, then `rest` again and again for as long as somebody listens.
pub fn endless(head: impl Into<Vec<u8>>, rest: &[u8]) -> SocketAddr {
    let (head, many) = (head.into(), rest.repeat(64 * 1024 / rest.len() + 1));
    hostile(move |mut stream| {
        let _ = stream.read(&mut [0; 4096])?;
        stream.write_all(&head)?;
        loop {
            stream.write_all(&many)?;
        }
    })
}
