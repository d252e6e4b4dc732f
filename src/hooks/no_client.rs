//! In place of the client, in a build without hooks: the configuration has none.

use std::convert::Infallible;
use std::sync::Arc;

use super::outbox::{Deliver, Delivery};
use crate::config::hook::HookConfig;
use crate::probe::BoxFuture;
use crate::probe::net::Network;

/// There is none.
pub(super) struct NoHookClient(Infallible);

pub(super) fn connect(_hook: &HookConfig, _network: &Arc<Network>) -> Result<NoHookClient, String> {
    Err("built without hooks".into())
}

impl Deliver for NoHookClient {
    fn send(&self, _body: &Arc<[u8]>) -> BoxFuture<'_, Delivery> {
        match self.0 {}
    }
}
