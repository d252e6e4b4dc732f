//! However a server misbehaves, runs leave no descriptor and no task behind, and between two runs little memory. Alone in
//! their process and one after the other, so that they can count.
#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

#[path = "support/certs.rs"]
mod certs;
#[path = "support/fake.rs"]
mod fake;
#[path = "support/section.rs"]
mod section;

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use probelet::probe::net::Network;
use probelet::probe::{Probe, http, tcp};

use certs::{Authority, Folder};
use fake::{Act, Fake};
use section::{SectionBuilder, observe};

/// What has been allocated and not freed.
#[global_allocator]
static ALLOCATED: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

/// Whoever counts holds it.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A server that keeps connections, and nothing of them in memory that is allocated.
fn keeping_server() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|length| length > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_kept_connection_costs_little_memory_between_runs() {
    const MANY: usize = 32;
    let _alone = ALONE.lock().await;
    let (port, network) = (keeping_server(), Arc::new(Network::default()));
    let probe =
        || SectionBuilder::new().text("url", format!("http://127.0.0.1:{port}/")).probe_on(&http::KIND, &network);
    let asked = async |count: usize| {
        let mut probes: Vec<_> = (0..count).map(|_| probe()).collect();
        for probe in &mut probes {
            assert!(observe(&mut **probe, Duration::from_secs(60)).await.unwrap().is_ok());
        }
        probes
    };
    // What is made once is there.
    drop(asked(2).await);
    let before = ALLOCATED.allocated();
    let probes = asked(MANY).await;
    let each = ALLOCATED.allocated().saturating_sub(before) / MANY;
    assert!(each < 12 << 10, "a probe with a kept connection has {each} bytes");
    drop(probes);
}

#[tokio::test]
async fn runs_leave_no_descriptor_and_no_task_behind() {
    let _alone = ALONE.lock().await;
    let (authority, folder) = (Authority::new("known"), Folder::new());
    let ca_file = folder.write("ca.pem", authority.pem());
    let server = authority.server(&["localhost"]).server();
    let network = Arc::new(Network::default());
    let fake = Fake::answers(fake::http(200, &[], "ok")).await;
    let probes = |scheme: &str| -> Vec<Box<dyn Probe>> {
        let (port, tls) = (fake.port(), || SectionBuilder::new().text("ca_file", &ca_file));
        let mut http = SectionBuilder::new().text("url", format!("{scheme}://localhost:{port}/"));
        let mut tcp = SectionBuilder::new().text("address", format!("localhost:{port}")).text("send", "PING\r\n");
        tcp = tcp.text("expect", "200");
        if scheme == "https" {
            (http, tcp) = (http.section("tls", tls()), tcp.section("tls", tls()));
        }
        vec![http.probe_on(&http::KIND, &network), tcp.probe_on(&tcp::KIND, &network)]
    };
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".to_vec();
    let acts = [
        Act::Refuse,
        Act::Silent,
        Act::ResetOnAccept,
        Act::ResetAfter(head.clone()),
        Act::CloseAfter(head.clone()),
        Act::garbage(),
        Act::Drip(head.clone(), vec![b'x'; 100], Duration::from_millis(20)),
        Act::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 4096]),
        Act::Answer(fake::http(200, &[], "ok")),
    ];
    let mut first = None;
    for round in 0..4 {
        for (scheme, tls) in [("http", None), ("https", Some(Arc::clone(&server)))] {
            fake.set_tls(tls);
            let mut probes = probes(scheme);
            for act in &acts {
                fake.act(act.clone()).await;
                for probe in &mut probes {
                    observe(&mut **probe, Duration::from_millis(40)).await;
                }
            }
        }
        fake.set_tls(None);
        fake.act(Act::Silent).await;
        let counts = settled().await;
        if round == 0 {
            first = Some(counts);
        }
        assert_eq!(Some(counts), first, "descriptors and tasks after round {round}");
    }
}

/// Descriptors and tasks once nothing changes any more.
async fn settled() -> (usize, usize) {
    let counts = || {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
        (descriptors, tokio::runtime::Handle::current().metrics().num_alive_tasks())
    };
    let (mut last, mut times) = (counts(), 0);
    while times < 10 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = counts();
        times = if now == last { times + 1 } else { 0 };
        last = now;
    }
    last
}
