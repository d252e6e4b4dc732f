//! How the gates stand, judged once for all who ask while nothing changes: after a publication, and when a result
//! becomes too old.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use hyper::StatusCode;

use super::answer::{Answer, TEXT};
use super::reply::gate_text;
use super::view::{View, down};
use super::warnings::Warnings;
use crate::base::clock::{Moment, Reading};
use crate::model::snapshot::Snapshot;
use crate::model::verdict::{Endpoint, Judged, Verdict};

/// The gates, in the order in which they are kept.
const GATES: [Endpoint; 3] = [Endpoint::Livez, Endpoint::Readyz, Endpoint::Startupz];

/// How they stood when they were judged last.
#[derive(Debug, Default)]
pub(super) struct GateCache(ArcSwapOption<CachedGates>);

#[derive(Debug)]
struct CachedGates {
    generation: u64,
    /// When the app's container started: a snapshot is answered from before it is published with that.
    start_up: Moment,
    /// Likewise with a drain.
    draining: bool,
    from: Moment,
    /// The last moment at which it is judged so.
    until: Moment,
    down: StatusCode,
    gates: [Gate; GATES.len()],
}

#[derive(Clone, Debug)]
struct Gate {
    verdict: Verdict,
    body: Bytes,
}

impl GateCache {
    /// The answer of a gate that is asked without a query; whether it was known without judging anew.
    pub(super) fn answer(&self, endpoint: Endpoint, snapshot: &Snapshot, reading: Reading) -> (Answer, bool) {
        let kept = self.0.load();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_of(snapshot, reading.moment)) {
            return (kept.answer(endpoint), true);
        }
        let standing = Arc::new(CachedGates::of(snapshot, reading));
        let answer = standing.answer(endpoint);
        self.0.store(Some(standing));
        (answer, false)
    }
}

impl CachedGates {
    fn of(snapshot: &Snapshot, reading: Reading) -> Self {
        let judged = Judged::new(snapshot, reading.moment);
        let gates = GATES.map(|endpoint| {
            let view = View::of(&judged, endpoint, reading);
            Gate { verdict: view.judgement.verdict, body: gate_text::body(&view, false, &Warnings::default()) }
        });
        Self {
            generation: snapshot.generation,
            start_up: snapshot.start_up.began,
            draining: snapshot.draining,
            from: reading.moment,
            until: judged.holds_until(),
            down: down(snapshot),
            gates,
        }
    }

    fn is_of(&self, snapshot: &Snapshot, now: Moment) -> bool {
        (self.generation, self.start_up, self.draining)
            == (snapshot.generation, snapshot.start_up.began, snapshot.draining)
            && (self.from..=self.until).contains(&now)
    }

    fn answer(&self, endpoint: Endpoint) -> Answer {
        let place = GATES.iter().position(|gate| *gate == endpoint).unwrap_or_default();
        let Gate { verdict, body } = self.gates[place].clone();
        Answer::health(verdict, self.down, TEXT, body)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::clock::Timestamp;
    use crate::metrics::testing::{error, ok, snapshot};
    use crate::model::plan::testing::check;

    fn at(seconds: u64) -> Reading {
        Reading { moment: Moment::at(Duration::from_secs(seconds)), wall: Timestamp::default() }
    }

    #[test]
    fn gates_are_judged_once_until_something_changes_or_a_result_becomes_too_old() {
        let gates = GateCache::default();
        let mut seen = ok("ok");
        seen.fresh_at = Some(at(1000).moment);
        let mut published = snapshot(vec![(check("db"), seen)]);
        let stale_after = published.plan.checks[0].stale_after.as_secs();
        let readyz = |published: &Snapshot, seconds| {
            let (answer, known) = gates.answer(Endpoint::Readyz, published, at(seconds));
            (answer.code.as_u16(), known)
        };
        assert_eq!(readyz(&published, 1000), (200, false));
        assert_eq!(readyz(&published, 1000), (200, true));
        assert_eq!(readyz(&published, 1000 + stale_after), (200, true));
        assert_eq!(readyz(&published, 1001 + stale_after), (503, false), "too old");
        assert_eq!(readyz(&published, 1001 + stale_after), (503, true), "too old for all who ask at once");
        assert_eq!(readyz(&published, 1002 + stale_after), (503, false), "it tells how old");
        published.generation += 1;
        published.checks = snapshot(vec![(check("db"), error("refused"))]).checks;
        assert_eq!(readyz(&published, 1000), (503, false), "a publication");
        assert_eq!(readyz(&published, 1000), (503, true));
        assert_eq!(readyz(&published, 999), (503, false), "a moment before it was judged");
        published.start_up.began = at(999).moment;
        assert!(!readyz(&published, 1000).1, "a start-up");
        published.draining = true;
        assert!(!readyz(&published, 1000).1, "a drain");
    }
}
