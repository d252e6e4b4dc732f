//! Runs of the kinds `postgres`, `redis` and `amqp` leave nothing behind: no descriptor, no thread, no task, no memory.
//!
//! A test binary of its own with a single test, because it counts what the whole process holds.
#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

#[path = "support"]
mod support {
    pub mod certs;
    pub mod fake;
    pub mod rabbitmq;
    pub mod section;
    #[expect(dead_code)] // other tests use more of it
    pub mod servers;
}

use std::time::Duration;

use probelet::base::value::Value;
use probelet::probe::{ProbeKind, amqp, postgres, redis};

use support::certs::Authority;
use support::fake::{Act, Fake};
use support::rabbitmq::Rabbit;
use support::section::{SectionBuilder, observe};

/// Counts what the process has allocated: what is resident depends on the machine too.
#[global_allocator]
static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

/// What the process holds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Held {
    descriptors: usize,
    threads: usize,
    tasks: usize,
}

impl Held {
    fn now() -> Self {
        let count = |folder: &str| std::fs::read_dir(folder).unwrap().count();
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        Self { descriptors: count("/proc/self/fd"), threads: count("/proc/self/task"), tasks }
    }

    /// What the process holds once that does not change any more.
    async fn settled() -> Self {
        let (mut last, mut times) = (Self::now(), 0);
        while times < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now = Self::now();
            times = if now == last { times + 1 } else { 0 };
            last = now;
        }
        last
    }

    /// Waits until the process holds no more than this.
    async fn is_reached_again(self, when: &str) {
        for _ in 0..500 {
            let now = Self::now();
            if now.descriptors <= self.descriptors && now.threads <= self.threads && now.tasks <= self.tasks {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{when}: {:?} where there were {self:?}", Self::now());
    }
}

#[tokio::test]
async fn runs_leave_nothing_behind() {
    let stores: [(&'static ProbeKind, &str, &[u8]); 3] = [
        (&postgres::KIND, "postgres://u:p@", b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"),
        (&redis::KIND, "redis://:p@", b"+OK\r\n"),
        (&amqp::KIND, "amqp://u:p@", b"\x01\0\0\0\0\0\x0e\0\x0a\0\x0a"),
    ];
    for (kind, scheme, beginning) in stores {
        let acts = [
            ("a silent server", Act::Silent),
            ("a server that begins and goes silent", Act::Greet(beginning.into())),
            ("a server that hangs up", Act::CloseAfter(beginning.into())),
            ("a server that resets", Act::ResetAfter(beginning.into())),
            ("garbage", Act::garbage()),
            ("an endless answer", Act::Endless(beginning.into(), vec![0; 65_536])),
            ("an endless row", Act::Endless([beginning, b"D\0\x0f\xff\xff"].concat(), vec![b'x'; 65_536])),
            ("a huge length", Act::Answer([beginning, b"D\x7f\xff\xff\xff"].concat())),
            ("a huge string", Act::Endless(b"$2000000000\r\n".into(), vec![b'x'; 65_536])),
            ("a huge list", Act::Endless(b"*2000000000\r\n".into(), b"+a\r\n".repeat(16_384))),
            ("a huge frame", Act::Endless(b"\x01\0\0\x7f\xff\xff\xff".into(), vec![b'x'; 65_536])),
        ];
        for (what, act) in acts {
            let when = format!("{} and {what}", kind.name);
            let fake = Fake::start(act).await;
            let section = || SectionBuilder::new().text("url", format!("{scheme}{}/?sslmode=disable", fake.address()));
            // The first run may load what stays for good.
            let _ = observe(&mut *section().probe(kind), Duration::from_millis(60)).await;
            fake.until(|seen| seen.open == 0).await;
            let before = Held::settled().await;
            let mut kept = section().probe(kind);
            for _ in 0..5 {
                let outcome = observe(&mut *kept, Duration::from_millis(60)).await;
                assert!(!matches!(outcome, Some(Ok(_))), "{when}: {outcome:?}");
            }
            drop(kept);
            fake.until(|seen| seen.open == 0).await;
            before.is_reached_again(&when).await;
        }
    }
    let most = ALLOCATOR.max_allocated();
    assert!(most < 16 << 20, "{most} bytes were allocated at a time");
    connections_to_a_real_broker_end_with_their_threads().await;
}

/// The client library of AMQP has a thread for each connection.
async fn connections_to_a_real_broker_end_with_their_threads() {
    let own = Authority::new("own");
    let mut rabbit = Rabbit::launch(&own.server(&["localhost"]), &own);
    rabbit.until_ready();
    let before = Held::settled().await;
    let probe = |age: Duration| {
        let section = SectionBuilder::new().text("url", format!("amqp://probe:hunter2@127.0.0.1:{}", rabbit.port));
        section.with("max_connection_age", Value::Duration(age)).probe(&amqp::KIND)
    };
    let (mut kept, mut fresh) = (probe(Duration::from_secs(300)), probe(Duration::ZERO));
    for _ in 0..5 {
        assert!(observe(&mut *kept, Duration::from_secs(10)).await.unwrap().is_ok());
        assert!(observe(&mut *fresh, Duration::from_secs(10)).await.unwrap().is_ok());
    }
    rabbit.broker().freeze();
    for _ in 0..5 {
        assert_eq!(observe(&mut *kept, Duration::from_millis(100)).await, None);
        assert_eq!(observe(&mut *fresh, Duration::from_millis(100)).await, None);
    }
    rabbit.broker().thaw();
    assert!(observe(&mut *kept, Duration::from_secs(10)).await.unwrap().is_ok());
    rabbit.broker().kill();
    assert!(observe(&mut *kept, Duration::from_secs(10)).await.unwrap().is_err());
    drop((kept, fresh));
    // Of each connection that was logged in a task remains that looks up when the next heartbeat would be due.
    let held = Held { tasks: before.tasks + 7, ..before };
    held.is_reached_again("a real broker").await;
}
