//! What holds for every answer of the resolver. The protocol itself is spoken by the system (`getaddrinfo`); what comes
//! out of it, addresses or an error, is ours.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use probelet::base::clock::Clock;
use probelet::config::source::Environment;
use probelet::config::{Config, read};
use probelet::model::outcome::{FailureKind, ProbeResult};
use probelet::probe::heartbeat::Beats;
use probelet::probe::net::Network;
use probelet::probe::{BoxFuture, BuildContext, RunContext};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::lines::{is_fit, is_message};

/// No dialling takes longer on a busy machine: nobody here keeps anybody waiting.
const PATIENCE: Duration = Duration::from_secs(30);
/// More addresses than this are not tried.
const MOST_ADDRESSES: usize = 16;

/// A server on 127.0.0.1, and a check that knows it by name.
pub struct World {
    runtime: Runtime,
    listener: TcpListener,
    config: Config,
    answer: Arc<Mutex<Answer>>,
    network: Arc<Network>,
}

/// What the resolver says next: addresses, or why there are none.
type Answer = Result<Vec<IpAddr>, String>;

impl World {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        let check = format!("checks: [{{ name: named, tcp: {{ address: 'target.test:{port}' }} }}]");
        let file = |_: &std::path::Path| Err(io::ErrorKind::NotFound.into());
        let loaded = read("config.yaml", check.as_bytes(), &Environment::default(), Box::new(file));
        let config = loaded.config.unwrap_or_else(|| panic!("{}", loaded.report.text(false)));
        let answer = Arc::new(Mutex::new(Ok(Vec::new())));
        let told = Arc::clone(&answer);
        let network = Network::resolving_with(move |_| -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            let answer = told.lock().expect("nobody panicked").clone();
            Box::pin(async move { answer.map_err(io::Error::other) })
        });
        Self { runtime, listener, config, answer, network: Arc::new(network) }
    }
}

/// The first byte says whether the resolver has an error, whose text the rest is, or addresses, one a byte.
pub fn any_addresses(world: &World, bytes: &[u8]) {
    let [has_error, rest @ ..] = bytes else { return };
    let answer: Answer = match has_error & 1 {
        0 => Ok(rest.iter().take(256).map(|byte| address(*byte)).collect()),
        _ => Err(String::from_utf8_lossy(rest).into_owned()),
    };
    *world.answer.lock().expect("nobody panicked") = answer.clone();
    let result = world.dial();
    match (&result, &answer) {
        (Ok(_), Ok(addresses)) => assert!(addresses.contains(&HERE), "it connects to nobody: {addresses:?}"),
        (Ok(_), Err(error)) => panic!("it connects in spite of {error:?}"),
        (Err(failure), Ok(addresses)) if !addresses.is_empty() => {
            assert_eq!(failure.kind, FailureKind::Connect, "{failure:?}");
            let is_first = addresses.iter().take(MOST_ADDRESSES / 2).any(|address| *address == HERE);
            assert!(!is_first, "{failure:?} although it is among the first of {addresses:?}");
        }
        (Err(failure), _) => assert_eq!(failure.kind, FailureKind::Resolve, "{failure:?}"),
    }
    match result {
        Ok(pass) => is_message(&pass.message.unwrap_or_default()),
        Err(failure) => is_fit(&failure, false),
    }
}

/// Where the server is.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Addresses of which none leads out of this machine: the server's, others that refuse at once, and some that are none
/// to connect to.
fn address(byte: u8) -> IpAddr {
    match byte {
        0..16 => HERE,
        16..96 => IpAddr::V4(Ipv4Addr::new(127, byte, 0, 1)),
        96..128 => IpAddr::V4(Ipv4Addr::BROADCAST),
        128..224 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        224.. => IpAddr::V6(Ipv4Addr::new(127, 0, 0, byte).to_ipv6_mapped()),
    }
}

impl World {
    fn dial(&self) -> ProbeResult {
        let context = BuildContext {
            check: self.config.plan.checks[0].name.clone(),
            network: Arc::clone(&self.network),
            clock: Clock::Machine,
            beats: Arc::new(Beats::default()),
        };
        let run = RunContext::default();
        let observe = async {
            let mut probe = self.config.targets[0].spec.build(&context);
            let mut observed = probe.observe(&run);
            loop {
                tokio::select! {
                    biased;
                    result = &mut observed => break result,
                    accepted = self.listener.accept() => drop(accepted),
                }
            }
        };
        let observe = async { tokio::time::timeout(PATIENCE, observe).await };
        let result = self.runtime.block_on(observe).expect("dialling ends");
        // Connections that nobody waited for are not the next input's.
        self.runtime.block_on(poll_fn(|context| {
            while let Poll::Ready(Ok(accepted)) = self.listener.poll_accept(context) {
                drop(accepted);
            }
            Poll::Ready(())
        }));
        result
    }
}
