//! Certificates made on the spot: an authority, what it issues, and the TLS servers that present it.
#![allow(dead_code, clippy::unwrap_used)] // each test file includes this one and uses its own part of it; it is a test

use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

/// Seconds of one day.
pub const DAY: i64 = 86_400;

/// A certificate authority of the test's own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority, valid for ten years.
    pub fn new(name: &str) -> Self {
        let mut params = valid(CertificateParams::default(), -DAY..3650 * DAY);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// An authority that this one vouches for between these seconds from now.
    pub fn intermediate(&self, name: &str, seconds_from_now: Range<i64>) -> Self {
        let mut params = valid(CertificateParams::default(), seconds_from_now);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self { issuer: CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.issuer).unwrap() }
    }

    /// The authority's certificate, as it stands in a `ca_file`.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server's certificate for these host names and addresses, valid from yesterday for 90 days.
    pub fn server(&self, names: &[&str]) -> Identity {
        self.server_valid(names, -DAY..90 * DAY)
    }

    /// A server's certificate that is valid between these seconds from now.
    pub fn server_valid(&self, names: &[&str], seconds_from_now: Range<i64>) -> Identity {
        self.issue(names, seconds_from_now, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's certificate.
    pub fn client(&self, name: &str) -> Identity {
        self.issue(&[name], -DAY..90 * DAY, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, names: &[&str], seconds_from_now: Range<i64>, purpose: ExtendedKeyUsagePurpose) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = valid(named(names), seconds_from_now);
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A certificate with its private key, both as PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Identity {
    /// A certificate that vouches for itself; with `authority` it also claims to be a CA, as `openssl req -x509` makes.
    pub fn self_signed(names: &[&str], authority: bool) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = valid(named(names), -DAY..90 * DAY);
        if authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The same with the certificate of its issuer behind it, as a server presents both.
    pub fn behind(self, issuer: &Authority) -> Self {
        Self { certificate: self.certificate + &issuer.pem(), key: self.key }
    }

    /// A server that presents this certificate.
    pub fn server(&self) -> Arc<ServerConfig> {
        let builder = server_builder().with_no_client_auth();
        Arc::new(builder.with_single_cert(self.chain(), self.private_key()).unwrap())
    }

    /// A server that presents this certificate and wants one from its clients that `clients` has issued.
    pub fn server_for_clients_of(&self, clients: &Authority) -> Arc<ServerConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(clients.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let builder = server_builder().with_client_cert_verifier(verifier);
        Arc::new(builder.with_single_cert(self.chain(), self.private_key()).unwrap())
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.certificate.as_bytes()).map(Result::unwrap).collect()
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

fn server_builder() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap()
}

fn named(names: &[&str]) -> CertificateParams {
    // rcgen tells addresses from names by itself.
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    let name = names.iter().find(|name| name.parse::<IpAddr>().is_err()).unwrap_or(&"test");
    params.distinguished_name.push(DnType::CommonName, *name);
    params
}

fn valid(mut params: CertificateParams, seconds_from_now: Range<i64>) -> CertificateParams {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let at = |seconds: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(now + seconds).unwrap());
    params.not_before = at(seconds_from_now.start);
    params.not_after = at(seconds_from_now.end);
    params
}

/// A folder of its own under the system's temporary one, removed when the test is over, however it ends.
pub struct Folder(PathBuf);

impl Folder {
    /// A new, empty folder.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("probelet-test-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
