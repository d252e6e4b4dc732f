//! However a server misbehaves, runs leave no descriptor and no task behind. Alone in its process, so that it can
//! count.
#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

#[path = "support/certs.rs"]
mod certs;
#[path = "support/fake.rs"]
mod fake;
#[path = "support/section.rs"]
mod section;

use std::sync::Arc;
use std::time::Duration;

use probelet::probe::net::Network;
use probelet::probe::{Probe, http, tcp};

use certs::{Authority, Folder};
use fake::{Act, Fake};
use section::{SectionBuilder, observe};

#[tokio::test]
async fn runs_leave_no_descriptor_and_no_task_behind() {
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
