//! What is declared: the checks as the state machine and the verdicts see them, without their targets' details.

use std::sync::Arc;
use std::time::Duration;

pub use super::declared::DeclaredChecks;
pub use super::definition::{Critical, Definition, Gates, Thresholds};
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
    pub checks: DeclaredChecks,
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
        self.indices().zip(&*self.checks)
    }

    /// The position of the check `name`.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<CheckIndex> {
        self.checks.position(name)
    }

    /// The name that `check` had and that no check has any more: it goes on where that one stopped.
    #[must_use]
    pub fn former_name<'c>(&self, check: &'c Definition) -> Option<&'c CheckName> {
        check.formerly.as_ref().filter(|former| self.position(former.as_str()).is_none())
    }

    /// The check `name` that is switched off.
    #[must_use]
    pub fn disabled(&self, name: &str) -> Option<&DisabledCheck> {
        self.disabled.iter().find(|check| check.name.as_str() == name)
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

/// Where a check of a new plan comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is new.
    Added,
    /// It has, or had, the name of the check at this position of the old plan, and another definition.
    Changed(CheckIndex),
    /// It is the check at this position of the old plan.
    Kept(CheckIndex),
}

impl Origin {
    /// Its position in the old plan.
    #[must_use]
    pub const fn before(self) -> Option<CheckIndex> {
        match self {
            Self::Added => None,
            Self::Changed(old) | Self::Kept(old) => Some(old),
        }
    }
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
