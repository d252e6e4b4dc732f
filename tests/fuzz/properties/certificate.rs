//! What holds for every certificate that a server presents, whatever its bytes: each is shown to a real probe in a real
//! handshake.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use probelet::base::clock::Clock;
use probelet::config::source::Environment;
use probelet::config::{Config, read};
use probelet::model::outcome::{Failure, FailureKind};
use probelet::probe::heartbeat::Beats;
use probelet::probe::net::{Network, tls};
use probelet::probe::{BuildContext, RunContext};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::lines::{is_fit, is_message};

/// Made with `certificate/make`: the server's own certificate and key, its issuer, and one that signed itself.
const GENUINE: &[u8] = include_bytes!("certificate/server.der");
const KEY: &[u8] = include_bytes!("certificate/server.key.der");
const ISSUER: &[u8] = include_bytes!("certificate/issuer.der");
const PINNED: &str = include_str!("certificate/pinned.pem");

/// What two handshakes may allocate, in bytes.
const MOST_ALLOCATED: usize = 24 << 20;
/// No handshake takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that presents what it is told to, and the checks that look at it.
pub struct World {
    runtime: Runtime,
    listener: TcpListener,
    presented: Arc<Presented>,
    acceptors: [TlsAcceptor; 2],
    config: Config,
    network: Arc<Network>,
}

/// The certificates of the next handshake.
#[derive(Debug, Default)]
struct Presented(Mutex<Vec<CertificateDer<'static>>>);

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(KEY));
        let key = tls::provider().key_provider.load_private_key(key).expect("it is a key");
        let chain = self.0.lock().expect("nobody panicked").clone();
        Some(Arc::new(CertifiedKey::new(chain, key)))
    }
}

impl World {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("it listens").port().to_string();
        let file = |path: &Path| match path.to_str() {
            Some("/pinned.pem") => Ok(PINNED.as_bytes().to_vec()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        let checks = include_str!("certificate/checks.yaml").replace("PORT", &port);
        let loaded = read("config.yaml", checks.as_bytes(), &Environment::default(), Box::new(file));
        let config = loaded.config.unwrap_or_else(|| panic!("{}", loaded.report.text(false)));
        let presented = Arc::new(Presented::default());
        let acceptors = [&TLS13, &TLS12].map(|version| acceptor(version, &presented));
        let network = Arc::new(Network::trusting(vec![CertificateDer::from(ISSUER)]));
        Self { runtime, listener, presented, acceptors, config, network }
    }
}

fn acceptor(version: &'static SupportedProtocolVersion, presented: &Arc<Presented>) -> TlsAcceptor {
    let builder = ServerConfig::builder_with_provider(tls::provider()).with_protocol_versions(&[version]);
    let config = builder.expect("ring speaks it").with_no_client_auth().with_cert_resolver(Arc::clone(presented) as _);
    TlsAcceptor::from(Arc::new(config))
}

/// The first byte chooses the check, and TLS 1.3 or 1.2 by its highest bit; the rest is the chain that the server
/// presents, one certificate behind the other. `allocated` counts the bytes that were ever allocated.
pub fn any_certificate(world: &World, bytes: &[u8], allocated: fn() -> usize) {
    let [choice, chain @ ..] = bytes else { return };
    let (check, version) = (usize::from(choice & 0x7f) % world.config.targets.len(), usize::from(choice >> 7));
    let chain = certificates(chain);
    let before = allocated();
    let results = [0, 1].map(|_| world.handshake(check, version, &chain));
    let taken = allocated() - before;
    assert!(taken <= MOST_ALLOCATED, "{taken} bytes allocated");
    let [first, again] = results;
    assert_eq!(first, again, "the same certificates are judged in two ways");

    let name = world.config.plan.checks[check].name.as_str();
    match first {
        Ok(()) if name == "anybody" => {}
        Ok(()) if name == "pinned" => assert!(is_pinned(&chain[0]), "another certificate than the pinned one passes"),
        Ok(()) => assert_eq!(&*chain[0], GENUINE, "a certificate passes that nobody has issued"),
        Err(failure) => {
            // An empty list, or one that does not fit into a message, is no chain.
            let is_whole = !chain.is_empty() && chain.iter().map(|one| one.len()).sum::<usize>() < 16 << 10;
            assert!(name != "anybody" || !is_whole, "{failure:?}: it was to accept anybody");
            assert_eq!(failure.kind, FailureKind::Tls, "{failure:?}");
        }
    }
}

/// What `bytes` hold one behind the other (DER, X.690, section 8.1.3), and the rest that is none.
fn certificates(mut bytes: &[u8]) -> Vec<CertificateDer<'static>> {
    const MOST: usize = 16;
    let mut chain = Vec::new();
    while chain.len() < MOST && !bytes.is_empty() {
        let length = match *bytes {
            [0x30, 0x82, high, low, ..] => 4 + (usize::from(high) << 8 | usize::from(low)),
            [0x30, 0x81, length, ..] => 3 + usize::from(length),
            _ => bytes.len(),
        };
        let (one, rest) = bytes.split_at(length.min(bytes.len()));
        chain.push(CertificateDer::from(one.to_vec()));
        bytes = rest;
    }
    chain
}

fn is_pinned(certificate: &CertificateDer<'_>) -> bool {
    tls::certificates_of(PINNED.as_bytes()).is_ok_and(|pinned| pinned.contains(&certificate.clone().into_owned()))
        || &**certificate == GENUINE
}

impl World {
    fn handshake(&self, check: usize, version: usize, chain: &[CertificateDer<'static>]) -> Result<(), Failure> {
        *self.presented.0.lock().expect("nobody panicked") = chain.to_vec();
        let context = BuildContext {
            check: self.config.plan.checks[check].name.clone(),
            network: Arc::clone(&self.network),
            clock: Clock::Machine,
            beats: Arc::new(Beats::default()),
        };
        let serve = async {
            let (stream, _) = self.listener.accept().await.expect("it listens");
            if let Ok(mut stream) = self.acceptors[version].accept(stream).await {
                let _ = stream.read_u8().await;
            }
        };
        let run = RunContext::default();
        let observe = async {
            let mut probe = self.config.targets[check].spec.build(&context);
            probe.observe(&run).await
        };
        let both = async { tokio::join!(serve, observe).1 };
        let both = async { tokio::time::timeout(PATIENCE, both).await };
        let result = self.runtime.block_on(both).expect("a handshake ends");
        match result {
            Ok(pass) => {
                is_message(&pass.message.unwrap_or_default());
                Ok(())
            }
            Err(failure) => {
                is_fit(&failure, true);
                Err(failure)
            }
        }
    }
}
