//! A new container of the app: what was seen of the one before counts for nothing.

use std::sync::Arc;

use super::Machine;
use crate::base::clock::{Moment, Reading};
use crate::model::index::CheckIndex;
use crate::model::outcome::{Observation, Outcome};
use crate::model::start_up::{PAUSE, StartUp};
use crate::model::state::{CheckState, State};
use crate::model::verdict::Judged;

impl Machine {
    /// The app's container has started anew, as kubelet's question at `at` tells. What was seen of the one before
    /// counts for nothing: the checks that count for the start-up are pending, run at once and every second until they
    /// pass.
    pub fn begin_start_up(&mut self, at: Moment, now: Reading) {
        self.start_anew(StartUp { began: at, ..StartUp::default() }, now);
    }

    /// Perhaps the app's container is not the one any more that was seen to start, as kubelet's question at `at` makes
    /// one think. Where the app does not pass, it is another, and starting; else what watches the app looks at once,
    /// and a failure shows the same.
    pub fn doubt_start(&mut self, at: Moment, now: Reading) {
        if !self.start_up.opened || self.doubt.is_some() {
            return;
        }
        let plan = Arc::clone(&self.plan);
        let of_the_app = || plan.checks.gating_the_app().iter();
        let watching = || of_the_app().filter(|index| plan.checks[*index].watches_the_app());
        if watching().any(|index| !self.checks[index].state.is_up() || self.checks[index].failures > 0) {
            self.start_anew(StartUp { began: at, opened: false }, now);
            return;
        }
        for index in watching() {
            self.doubt = Some(at);
            if self.schedules[index].is_idle() {
                self.schedules.touch(index).beat = now.moment;
            }
        }
    }

    /// Whether this run shows that a doubted container is a new one. Once everything that watches the app has passed,
    /// it is the one that was seen, or as good.
    pub(super) fn dispels_or_confirms_doubt(
        &mut self,
        index: CheckIndex,
        observation: &Observation,
    ) -> Option<StartUp> {
        let began = self.doubt?;
        if observation.ended > began + PAUSE {
            // Too long ago to tell anything: from here on a question is news by itself.
            self.doubt = None;
            return None;
        }
        if observation.began < began || !self.definition(index).watches_the_app() {
            return None;
        }
        match &observation.outcome {
            Outcome::Fail(_) => return Some(StartUp { began, opened: false }),
            Outcome::Pass(pass) if pass.as_of.is_none_or(|as_of| as_of >= began) => {
                let passed =
                    |at: CheckIndex| self.schedules[at].last_run.is_some_and(|ran| ran.passed && ran.began >= began);
                let of_the_app = self.plan.checks.gating_the_app().iter();
                let mut watching = of_the_app.filter(|at| self.definition(*at).watches_the_app());
                if watching.all(|at| at == index || passed(at)) {
                    self.doubt = None;
                }
            }
            Outcome::Pass(_) | Outcome::Skip | Outcome::Void(_) => {}
        }
        None
    }

    pub(super) fn start_anew(&mut self, start_up: StartUp, now: Reading) {
        // Late news: another start-up has begun since.
        if start_up.began <= self.start_up.began {
            return;
        }
        self.doubt = None;
        // Judged while the checks stand as before: the new start-up ends skips.
        let kept_closed = Judged::new(&self.as_it_stands(now), now.moment).closed_by_skips();
        (self.start_up, self.started_anew) = (start_up, true);
        self.latched += 1;
        for index in self.plan.indices() {
            if !self.definition(index).counts_for_start_up() {
                continue;
            }
            // What is shared is not asked by a whole fleet every second.
            let steady = self.definition(index).of_pod;
            // A failure of the container before is counted, and confirmed by nobody.
            if let Some(unconfirmed) = self.schedules.touch(index).start_anew(steady, now.moment) {
                self.count_run(index, &unconfirmed.failed);
            }
            let from = self.checks[index].state;
            Arc::make_mut(&mut self.checks[index]).start_anew(now);
            if from != State::Pending {
                self.push_transition(index, from, None);
            }
        }
        self.propagate(now, &kept_closed);
        // What is skipped is excused by a failure seen in this start-up: its causes are looked at now.
        let excused = |check: &CheckState| check.unproven && check.state == State::Skipped;
        let excused = self.plan.indices().filter(|index| excused(&self.checks[*index])).collect();
        for cause in self.all_causes_of(excused) {
            self.schedules.touch(cause).extra.requested = true;
        }
    }
}
