//! The HTTP client of one probe: reqwest with our TLS and our name resolution, and its one kept connection.

use std::sync::Arc;
use std::time::Duration;

use super::Declared;
use super::watch::{Names, Watch, Watching};
use crate::model::outcome::{Failure, FailureKind};
use crate::probe::net::Network;
use crate::probe::net::tls::TlsClient;

/// A client with the connection that it keeps. Dropping it closes the connection.
pub(super) struct Client {
    client: reqwest::Client,
    tls: TlsClient,
    watch: Arc<Watch>,
}

impl Client {
    /// A client without a connection yet.
    pub(super) fn new(declared: &Declared, network: &Arc<Network>) -> Result<Self, Failure> {
        let tls = declared.tls.client(network);
        let mut config = (*tls.config()).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let watch = Arc::new(Watch::default());
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            // What a run sends more than once is for the probe to say.
            .retry(reqwest::retry::never().max_retries_per_request(0))
            .user_agent(concat!("probelet/", env!("CARGO_PKG_VERSION")))
            .pool_idle_timeout(None)
            .pool_max_idle_per_host(usize::from(!declared.max_connection_age.is_zero()))
            .dns_resolver(Names::new(Arc::clone(network), Arc::clone(&watch)))
            .connector_layer(Watching::new(Arc::clone(&watch)))
            .build()
            .map_err(|_| Failure::new(FailureKind::Bug, "the HTTP client cannot be built"))?;
        Ok(Self { client, tls, watch })
    }

    pub(super) const fn http(&self) -> &reqwest::Client {
        &self.client
    }

    pub(super) const fn tls(&self) -> &TlsClient {
        &self.tls
    }

    pub(super) const fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Whether the last request went over a connection from an earlier one.
    pub(super) fn is_reused(&self) -> bool {
        !self.watch.has_dialled()
    }

    /// Whether a connection of this client has been open for `age`. Without connections to keep, age does not matter.
    pub(super) fn is_older_than(&self, age: Duration) -> bool {
        !age.is_zero() && self.watch.oldest().is_some_and(|since| since.elapsed() >= age)
    }
}
