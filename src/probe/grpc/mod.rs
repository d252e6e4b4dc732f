//! The kind `grpc`: asks a server of gRPC for the health of a service (`grpc.health.v1.Health/Check`).

mod answer;
mod connection;
mod section;

use std::time::Duration;

use tokio::time::Instant;

use self::connection::{GrpcServer, GrpcSession, HealthQuery};
use self::section::GrpcSection;
use super::net::age::MAX_CONNECTION_AGE;
use super::net::family::ADDRESS_FAMILY;
use super::net::tls;
use super::reuse::Reused;
use super::{BoxFuture, BuildContext, Probe, ProbeKind, RunContext, Spec};
use crate::base::field::{Field, ValueType};
use crate::base::value::Section;
use crate::model::outcome::{Pass, ProbeResult};

/// The kind.
pub static KIND: ProbeKind = ProbeKind {
    name: "grpc",
    doc: "Asks a server of gRPC for the health of a service, by `grpc.health.v1.Health/Check`.",
    fields: FIELDS,
    read,
    component_type: "component",
    bare_tcp: None,
    cadence: None,
};

const FIELDS: &[Field] = &[
    Field::required(
        "address",
        ValueType::Text,
        "Host and port, without a scheme: `orders.svc:9090` or `[::1]:9090`; or `unix:/run/app.sock`.",
    ),
    Field::optional(
        "service",
        ValueType::Template,
        "The service that must be `SERVING`, as the server registers it: `orders.v1.Orders`. Default: the server as a whole.",
    ),
    Field::optional(
        "metadata",
        ValueType::Map(&ValueType::Template),
        "Metadata of the call, by name. The value of a name that ends in `-bin` is written in base64.",
    ),
    Field::optional(
        "authority",
        ValueType::Text,
        "What the call is addressed to (`:authority`). Default: the host of `address`.",
    ),
    Field::optional("tls", ValueType::Section(tls::FIELDS), "Speaks TLS, in this way. Default: plain HTTP/2."),
    ADDRESS_FAMILY,
    MAX_CONNECTION_AGE,
];

fn read(fields: &Section) -> Option<Box<dyn Spec>> {
    Some(Box::new(GrpcSection::read(fields)?))
}

impl Spec for GrpcSection {
    fn target(&self) -> Option<String> {
        Some(self.shown.clone())
    }

    fn hosts(&self) -> Vec<&str> {
        self.host().into_iter().collect()
    }

    fn max_connection_age(&self) -> Duration {
        self.max_age.effective()
    }

    fn prefer_fresh_connections(&mut self, where_to: &dyn Fn(&[&str]) -> bool) {
        if where_to(&self.hosts()) {
            self.max_age.prefer_fresh();
        }
    }

    fn build(&self, context: &BuildContext) -> Box<dyn Probe> {
        let server = GrpcServer::new(self, &context.network);
        let reused = Reused::new(self.max_age.effective());
        Box::new(GrpcProbe { section: self.clone(), server, reused })
    }
}

struct GrpcProbe {
    section: GrpcSection,
    server: GrpcServer,
    reused: Reused<GrpcSession>,
}

impl Probe for GrpcProbe {
    fn observe<'a>(&'a mut self, run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
        Box::pin(async move {
            let call = self.section.call(&run.captured)?;
            // Where there is no deadline of the run, it is the workflow's.
            let deadline = Instant::now().checked_add(run.budget);
            let query = HealthQuery { call, deadline };
            let mut pass = self.reused.run(&self.server, &query, run).await?;
            let facts = std::mem::take(&mut pass.facts);
            let warning = self.server.warning();
            Ok(Pass { facts, degraded: warning.is_some(), message: warning, ..pass })
        })
    }
}
