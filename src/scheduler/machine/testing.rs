//! Machines, worlds and clocks for the tests of this folder.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Machine;
use crate::base::clock::Moment;
use crate::model::index::CheckIndex;
use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};
use crate::model::plan::testing::{check, indices, plan};
use crate::model::plan::{Definition, Thresholds};
use crate::simulation::playback::{Playback, reading};

pub(super) const START: Moment = Moment::at(Duration::from_secs(1000));

pub(super) fn at(seconds: f64) -> Moment {
    START + Duration::from_secs_f64(seconds)
}

pub(super) fn child(name: &str, parents: &[usize]) -> Definition {
    Definition { depends_on: indices(parents), ..check(name) }
}

pub(super) fn thresholds(failure: u32, success: u32) -> Thresholds {
    Thresholds { failure: NonZeroU32::new(failure).unwrap(), success: NonZeroU32::new(success).unwrap() }
}

/// `outages[check]` are spans of seconds in which the check fails; a run takes 20 ms.
pub(super) fn outages(outages: Vec<Vec<(f64, f64)>>) -> impl FnMut(CheckIndex, Moment) -> (ProbeResult, Duration) {
    move |check, now| {
        let down = outages[check].iter().any(|(from, to)| (at(*from)..at(*to)).contains(&now));
        let failure = Failure::new(FailureKind::Connect, "connection refused");
        (if down { Err(failure) } else { Ok(Pass::default()) }, Duration::from_millis(20))
    }
}

pub(super) fn machine(checks: Vec<Definition>) -> Machine {
    Machine::new(plan(checks), "pod", reading(START))
}

/// The transitions of all checks until `end`, as `second check state`.
pub(super) fn played(checks: Vec<Definition>, world: Vec<Vec<(f64, f64)>>, end: f64) -> Vec<String> {
    let mut playback = Playback::new(machine(checks), outages(world), START);
    let mut lines = Vec::new();
    while playback.now() < at(end) {
        playback.play_until(playback.now() + Duration::from_millis(50), |_| {});
        for transition in playback.machine.take_transitions() {
            let second = playback.now().since(START).as_secs();
            let causes: Vec<_> = transition.root_causes.iter().map(|cause| format!(" for {cause}")).collect();
            lines.push(format!("{second} {} {}{}", transition.check, transition.to.label(), causes.concat()));
        }
    }
    lines
}
