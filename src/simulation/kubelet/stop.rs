//! How long a container takes to end.

use std::time::Duration;

/// After SIGTERM a container has this long, however little of its grace period is left.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// How a container ends when kubelet ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopTiming {
    /// How long its preStop hook takes.
    pub hook: Duration,
    /// How long all of it may take.
    pub grace: Duration,
}

impl Default for StopTiming {
    fn default() -> Self {
        Self { hook: Duration::ZERO, grace: Duration::from_secs(30) }
    }
}

impl StopTiming {
    /// How long it takes to end within `grace`: after the hook at once, but for one that hangs.
    pub(super) fn takes(self, grace: Duration, hangs: bool) -> Duration {
        if !hangs {
            self.hook.min(grace)
        } else if self.hook.is_zero() {
            grace.max(LEAST_GRACE)
        } else {
            // A hook that asks what hangs waits as well.
            grace + LEAST_GRACE
        }
    }
}
