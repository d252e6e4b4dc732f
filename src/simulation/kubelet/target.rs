//! Where a probe goes: to probelet, or elsewhere; and why it can never pass.

use crate::config::Config;
use crate::model::route::{self, Route, RouteSet};

/// The ports that probelet listens on, and what is answered at each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenedPorts(Vec<(u16, RouteSet)>);

impl ListenedPorts {
    /// Those of `config`. Where several addresses have one port, the most that is answered there counts.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self(config.server.listen.iter().map(|listener| (listener.address.port(), listener.routes)).collect())
    }

    /// One port that answers everything.
    #[cfg(test)]
    pub fn one(port: u16) -> Self {
        Self(vec![(port, RouteSet::All)])
    }

    /// Whether `port` is one of them.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|(known, _)| *known == port)
    }

    /// Where a question for `path` at `port` goes; by default at the port that answers most.
    #[must_use]
    pub fn target(&self, path: String, port: Option<u16>) -> ProbeTarget {
        let asked = self.0.iter().filter(|(known, _)| port.is_none_or(|port| *known == port));
        // The first of those that answer as much, as `probelet ask` has it.
        let widest = asked.rev().max_by_key(|(_, routes)| *routes);
        let (found, _) = route::find(path.split('?').next().unwrap_or_default());
        match widest {
            Some((port, routes)) if found != Route::Unknown && found.set() > *routes => {
                let (port, routes) = (*port, routes.label());
                ProbeTarget::Misconfigured(Misconfiguration::NotAnswered { path, port, routes })
            }
            _ => ProbeTarget::Probelet(path),
        }
    }
}

/// Where a probe's question goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeTarget {
    /// To probelet: this path and query.
    Probelet(String),
    /// To probelet, and then it passes whatever the answer says.
    AnswerIgnored(String),
    /// To the port of probelet, without a request: it passes while probelet runs.
    BarePort,
    /// To probelet, in a way that can never pass.
    Misconfigured(Misconfiguration),
    /// Somewhere else, or in a way that is not known here.
    Elsewhere,
}

/// Why a probe that is meant for probelet never passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misconfiguration {
    /// It wants TLS.
    Tls,
    /// It asks a path that is not answered at that port.
    NotAnswered {
        /// The path.
        path: String,
        /// The port.
        port: u16,
        /// Its `routes`.
        routes: &'static str,
    },
    /// It names a port that only another container declares; kubelet looks for names in the probe's own.
    PortOfAnother {
        /// The name.
        name: String,
        /// The number behind it.
        number: u16,
    },
}
