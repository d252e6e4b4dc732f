//! What is declared: the checks as the state machine and the verdicts see them, without their targets' details.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::index::CheckIndex;
use crate::base::name::CheckName;
use crate::base::token::Token;

/// Everything that a snapshot is judged by, and that answers say about the service.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The service that the sidecar reports on.
    pub service: Service,
    /// How the server answers.
    pub answers: Answers,
    /// The checks, in the order of the file.
    pub checks: Vec<Arc<Definition>>,
    /// The checks that are switched off, in the order of the file: nothing is judged by them.
    pub disabled: Vec<DisabledCheck>,
    /// The first 16 hexadecimal digits of the SHA-256 of the file as it is written; nothing where there is none.
    pub hash: Option<Box<str>>,
}

impl Plan {
    /// The positions of all checks, in the order of the file.
    pub fn indices(&self) -> impl DoubleEndedIterator<Item = CheckIndex> + ExactSizeIterator + Clone + use<> {
        CheckIndex::first(self.checks.len())
    }

    /// All checks with their positions, in the order of the file.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = (CheckIndex, &Arc<Definition>)> + ExactSizeIterator {
        self.indices().zip(&self.checks)
    }

    /// The position of the check `name`.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<CheckIndex> {
        self.indices().find(|index| self.checks[*index].name.as_str() == name)
    }

    /// The check `name` that is switched off.
    #[must_use]
    pub fn disabled(&self, name: &str) -> Option<&DisabledCheck> {
        self.disabled.iter().find(|check| check.name.as_str() == name)
    }

    /// For each check the positions of those that depend on it directly.
    #[must_use]
    pub fn children(&self) -> Vec<Vec<CheckIndex>> {
        let mut children = vec![Vec::new(); self.checks.len()];
        for (child, check) in self.entries() {
            for parent in &check.depends_on {
                children[*parent].push(child);
            }
        }
        children
    }
}

/// A check that is switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisabledCheck {
    /// Its name.
    pub name: CheckName,
    /// The kind of probe that it would be.
    pub kind: &'static str,
    /// Why, in one line.
    pub reason: String,
}

/// The application beside which the sidecar runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Which of its instances this is: the pod, else the host.
    pub instance: String,
    /// Its version, where it is told.
    pub version: Option<String>,
    /// What else tells it apart (a team, a region), in the order of the file.
    pub labels: Vec<(String, String)>,
}

/// What answers say, and with which code a closed endpoint answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// How much a body may say.
    pub details: Details,
    /// The status code of a closed endpoint, 503 or 500.
    pub down_status: u16,
    /// Whether the routes that change something exist.
    pub control: bool,
    /// What has to be presented for everything but the gates and the like.
    pub token: Option<Token>,
    /// The origins whose pages may read what is said of the checks.
    pub cors_origins: Arc<[String]>,
    /// How much `/metrics` tells of each check.
    pub metrics: MetricsLevel,
    /// How long the process goes on after the first sign of termination: the answer to a drain request says it.
    pub drain: Duration,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            details: Details::Full,
            down_status: 503,
            control: true,
            token: None,
            cors_origins: Arc::default(),
            metrics: MetricsLevel::Full,
            drain: Duration::from_secs(5),
        }
    }
}

/// How much `/metrics` tells of each check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsLevel {
    /// Everything.
    #[default]
    Full,
    /// At most 12 series: no buckets, and no series by reason or transition.
    Lean,
}

/// How much the body of an answer may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Details {
    /// Everything.
    #[default]
    Full,
    /// Names and states, no messages.
    Names,
    /// The verdict alone.
    None,
}

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
    /// The positions of its parents in [`Plan::checks`], in ascending order.
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

/// Where a check of a new plan comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is new.
    Added,
    /// It has the name of the check at this position of the old plan, and another definition.
    Changed(CheckIndex),
    /// It is the check at this position of the old plan.
    Kept(CheckIndex),
}

#[cfg(test)]
pub(crate) mod testing {
    //! Plans for the tests of the floors above.

    use super::*;

    /// A critical check that gates `ready`, every 10 s with a timeout of 2 s.
    pub(crate) fn check(name: &str) -> Definition {
        Definition::simulated(CheckName::new(name).unwrap())
    }

    /// The checks at these positions.
    pub(crate) fn indices(positions: &[usize]) -> Vec<CheckIndex> {
        positions.iter().copied().map(CheckIndex::new).collect()
    }

    /// A plan of these checks for the service `shop`, version `1.2.3`.
    pub(crate) fn plan(checks: Vec<Definition>) -> Arc<Plan> {
        Arc::new(Plan {
            service: Service {
                name: "shop".into(),
                instance: "shop-0".into(),
                version: Some("1.2.3".into()),
                labels: Vec::new(),
            },
            answers: Answers::default(),
            checks: checks.into_iter().map(Arc::new).collect(),
            disabled: Vec::new(),
            hash: Some("0123456789abcdef".into()),
        })
    }
}
