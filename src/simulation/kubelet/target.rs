//! Where a probe goes: to probelet, or elsewhere; and why it can never pass.

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
    /// It wants gRPC.
    Grpc,
    /// It names a port that only another container declares; kubelet looks for names in the probe's own.
    PortOfAnother {
        /// The name.
        name: String,
        /// The number behind it.
        number: u16,
    },
}
