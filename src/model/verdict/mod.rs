//! What a snapshot means when somebody asks: which endpoints are open, what keeps them closed, and why.
//!
//! Staleness is judged here, from the time of asking, so that a stuck scheduler cannot look healthy.

mod causes;
mod gates;
mod inherited;
mod judged;
mod message;
mod open;
mod stale;
#[cfg(test)]
pub(crate) mod testing;

pub use super::endpoint::Endpoint;
use super::index::CheckIndex;
use super::state::State;
pub use judged::Judged;
pub use message::said_of;
pub use open::OpenEndpoints;

/// The verdict on an endpoint or on the whole; also the three-valued status of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// All is well.
    Ok,
    /// It works, and something is wrong.
    Degraded,
    /// It does not work.
    Error,
}

impl Verdict {
    /// The word for it in answers.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Error => "error",
        }
    }
}

/// The state of a check when asked: its own, or that its result is too old to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JudgedState {
    /// The state that its runs led to.
    Fresh(State),
    /// Its last result is older than `stale_after`.
    Stale,
}

impl JudgedState {
    /// All of them, in the order of the metrics.
    pub const ALL: [Self; 6] = [
        Self::Fresh(State::Ok),
        Self::Fresh(State::Degraded),
        Self::Fresh(State::Error),
        Self::Fresh(State::Skipped),
        Self::Fresh(State::Pending),
        Self::Stale,
    ];

    /// The word for it in answers and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Fresh(state) => state.label(),
            Self::Stale => "stale",
        }
    }

    /// The same for clients that know three values.
    #[must_use]
    pub const fn status(self) -> Verdict {
        match self {
            Self::Fresh(State::Ok) => Verdict::Ok,
            Self::Fresh(State::Degraded) => Verdict::Degraded,
            Self::Fresh(State::Error | State::Skipped | State::Pending) | Self::Stale => Verdict::Error,
        }
    }
}

/// The judgement on one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Which.
    pub endpoint: Endpoint,
    /// Whether it answers 200.
    pub open: bool,
    /// Its verdict; `error` exactly when it is closed.
    pub verdict: Verdict,
    /// The checks that keep it closed, in the order of the file.
    pub closing: Vec<CheckIndex>,
    /// The failing checks from which the closure follows, in the order of the file; where nothing fails, those that
    /// are still to have a result. Empty when open.
    pub root_causes: Vec<CheckIndex>,
    /// It is closed by a drain.
    pub draining: bool,
}

/// A check's part in the judgement on an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointPart {
    /// The position of the check.
    pub check: CheckIndex,
    /// Whether it keeps the endpoint closed.
    pub closes: bool,
    /// Whether the request excluded it.
    pub excluded: bool,
}
