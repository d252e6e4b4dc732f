//! One check as it is declared.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::durations::DurationBuckets;
use super::index::CheckIndex;
use crate::base::name::CheckName;
use crate::base::token::Token;

/// One check as it is declared, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Its unique name.
    pub name: CheckName,
    /// The kind of probe: `http`, `postgres`, …
    pub kind: &'static str,
    /// For people.
    pub description: Option<String>,
    /// A link for people.
    pub runbook: Option<String>,
    /// The target as written in the file, expansions unexpanded, without user, password and query.
    pub target: Option<String>,
    /// From start to start.
    pub interval: Duration,
    /// The hard limit of one run.
    pub timeout: Duration,
    /// Before the first run.
    pub initial_delay: Duration,
    /// When a streak changes the state.
    pub thresholds: Thresholds,
    /// What a failure does.
    pub critical: Critical,
    /// Which gates it closes.
    pub gates: Gates,
    /// The positions of its parents in [`Plan::checks`](super::plan::Plan::checks), in ascending order.
    pub depends_on: Vec<CheckIndex>,
    /// A pass slower than this is degraded.
    pub degraded_above: Option<Duration>,
    /// A result older than this is stale.
    pub stale_after: Duration,
    /// How long one connection may serve successive runs: what only new connections see goes unseen for that long. Zero
    /// where every run has its own, and where there is none.
    pub max_connection_age: Duration,
    /// How old the beat of a heartbeat may be; zero for every other kind.
    pub max_age: Duration,
    /// With what a beat is taken from anywhere.
    pub beat_token: Option<Token>,
    /// An earlier name, whose history it continues.
    pub formerly: Option<CheckName>,
    /// Its target is on this pod: on `localhost`, a loopback address, `$POD_IP` or a Unix socket, or the app itself,
    /// which beats.
    pub of_pod: bool,
    /// How the durations of its runs are counted.
    pub duration_buckets: Arc<DurationBuckets>,
}

impl Definition {
    /// A check of nothing, with the default of every key: critical, gating `ready`, every 10 s with a timeout of 2 s.
    #[must_use]
    pub fn simulated(name: CheckName) -> Self {
        Self {
            name,
            kind: "simulated",
            description: None,
            runbook: None,
            target: None,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            initial_delay: Duration::ZERO,
            thresholds: Thresholds::default(),
            critical: Critical::Yes,
            gates: Gates { ready: true, ..Gates::default() },
            depends_on: Vec::new(),
            degraded_above: None,
            stale_after: Duration::from_secs(32),
            max_connection_age: Duration::ZERO,
            max_age: Duration::ZERO,
            beat_token: None,
            formerly: None,
            of_pod: false,
            duration_buckets: DurationBuckets::usual(),
        }
    }

    /// Whether what it saw of the app's last container tells nothing of a new one: it gates the start-up or the life
    /// of the app, or its traffic from within the pod.
    #[must_use]
    pub const fn counts_for_start_up(&self) -> bool {
        self.gates.live || self.gates.startup || (self.gates.ready && self.of_pod)
    }

    /// Whether it watches the app itself closely: the app's death and recovery are to be seen within seconds.
    #[must_use]
    pub const fn watches_the_app(&self) -> bool {
        self.of_pod && (self.gates.live || self.gates.startup)
    }
}

/// How many outcomes in a row change a check's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Failures that make it `error`.
    pub failure: NonZeroU32,
    /// Passes that make it `ok`.
    pub success: NonZeroU32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { failure: NonZeroU32::MIN, success: NonZeroU32::MIN }
    }
}

/// What a failing check does to the endpoints it gates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Critical {
    /// It closes them.
    #[default]
    Yes,
    /// It only degrades.
    No,
    /// It closes them until `/readyz` has been open once, then it only degrades.
    AtStartup,
}

impl Critical {
    /// The word of the file and of answers.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Yes => "true",
            Self::No => "false",
            Self::AtStartup => "at_startup",
        }
    }
}

/// The gates that a check takes part in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// `/livez`
    pub live: bool,
    /// `/readyz`
    pub ready: bool,
    /// `/startupz`
    pub startup: bool,
}

impl Gates {
    /// The words of the file for those it takes part in.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let all = [(self.live, "live"), (self.ready, "ready"), (self.startup, "startup")];
        all.into_iter().filter_map(|(gates, name)| gates.then_some(name)).collect()
    }

    /// Whether it takes part in any.
    #[must_use]
    pub const fn any(self) -> bool {
        self.live || self.ready || self.startup
    }
}
