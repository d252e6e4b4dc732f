//! What cannot work, or hardly as it is meant, in a pod.

use std::sync::Arc;
use std::time::Duration;

use super::budget::{closes_readiness_first, until_error};
use super::guards;
use super::impact::Impact;
use super::inspection::Inspection;
use super::kubelet::{Action, Effect, ProbedContainer};
use super::matrix::{Matrix, MatrixPhase};
use super::pitfalls::{self, Advice};
use super::pod::{Pod, Purpose};
use super::scenario::{Fault, FaultKind, work};
use super::timeline::{Occurrence, play};
use crate::base::quantity::show_duration;
use crate::config::Config;
use crate::model::plan::{Critical, Definition, Gates, Plan};

/// An outage that takes longer to be acted upon is worth a word.
const LONG: Duration = Duration::from_secs(120);
/// How long a start is played.
const START: Duration = Duration::from_secs(900);
/// A start that takes more work than this is not played: about a second of it.
const MOST_WORK: u128 = 5_000_000;

/// Everything there is to say about `pod`, of whose containers `containers` ask probelet: what cannot work first.
pub fn advice(config: &Config, pod: &Pod, containers: &[ProbedContainer]) -> Vec<Advice> {
    let plan = &config.plan;
    let mut found = Vec::new();
    for container in &pod.containers {
        for (purpose, probe) in container.probes() {
            found.extend(Inspection { config, pod, container, purpose, probe, containers }.advice());
        }
    }
    found.extend(unasked(plan, containers));
    found.extend(long_outages(plan, containers));
    // A pod that never starts has no start to be played.
    if !found.iter().any(|advice| std::ptr::eq(advice.pitfall, &pitfalls::STARTUP_DEADLOCK)) {
        found.extend(starts(plan, containers));
    }
    for guard in guards::missing(config, pod, containers) {
        // One that was missed in a play has been told, with figures.
        if !found.iter().any(|advice| advice.says(&guard)) {
            found.push(guard);
        }
    }
    found.sort_by_key(|advice| advice.pitfall.level);
    found
}

/// Gates that checks close and that no probe asks.
fn unasked(plan: &Arc<Plan>, containers: &[ProbedContainer]) -> Vec<Advice> {
    let mut found = Vec::new();
    if containers.is_empty() {
        return found;
    }
    let has =
        |purpose| containers.iter().flat_map(|container| &container.probes).any(|asking| asking.purpose == purpose);
    let closes = |gates: fn(&Gates) -> bool| {
        plan.checks.iter().find(|check| gates(&check.gates) && check.critical != Critical::No)
    };
    let mut note = |check: &Definition, purpose: Purpose, effect: &str| {
        let message =
            format!("{} closes {}, and no {} probe asks it: {effect}", check.name, purpose.path(), purpose.label());
        let help =
            format!("add a {}Probe with `path: {}` to the container of the app", purpose.label(), purpose.path());
        found.push(Advice { pitfall: &pitfalls::GATE_NOT_ASKED, message, help });
    };
    if let Some(check) = closes(|gates| gates.ready).filter(|_| !has(Purpose::Readiness)) {
        note(check, Purpose::Readiness, "the pod gets traffic all the same");
    }
    if let Some(check) = closes(|gates| gates.live).filter(|_| !has(Purpose::Liveness)) {
        note(check, Purpose::Liveness, "nothing restarts the app");
    }
    found
}

/// Thresholds on both sides that make an outage last for minutes before anything happens.
fn long_outages(plan: &Arc<Plan>, containers: &[ProbedContainer]) -> Vec<Advice> {
    let mut found = Vec::new();
    let matrix = Matrix::new(plan, MatrixPhase::Service);
    let impact = Impact::new(&matrix, plan, containers);
    for (check, definition) in plan.entries() {
        // What thresholds do not add is not theirs to mend.
        let unseen = until_error(plan, check).unseen;
        for (container, asking, after) in impact.of(check) {
            let after = after.saturating_sub(unseen);
            let (ours, theirs) = (definition.thresholds.failure.get(), asking.timing.failures);
            let at_first = closes_readiness_first(definition);
            if asking.purpose != Purpose::Readiness || ours == 1 || at_first || theirs == 1 || after < LONG {
                continue;
            }
            let message = format!(
                "an outage of {} cuts {} off only after {}: probelet waits for {ours} failures, and then kubelet for {theirs} more",
                definition.name,
                container.name,
                show_duration(after)
            );
            let help = format!(
                "write `failure_threshold: 1` for {}: kubelet's own threshold keeps blips out",
                definition.name
            );
            found.push(Advice { pitfall: &pitfalls::SLOW_CUT_OFF, message, help });
        }
    }
    found
}

/// Starts that kubelet does not wait for, found by playing one.
fn starts(plan: &Arc<Plan>, containers: &[ProbedContainer]) -> Option<Advice> {
    if work(plan, START) > MOST_WORK {
        return None;
    }
    // Why a probe can never pass is said elsewhere; here it is taken to pass.
    let mut containers = containers.to_vec();
    for container in &mut containers {
        container.probes.retain(|asking| !asking.request.never_passes());
    }
    if let Some((at, container, purpose)) = first_restart(plan, &[], &containers) {
        let (name, at, purpose) = (&containers[container].name, show_duration(at), purpose.label());
        let message = format!(
            "the {purpose} probe of {name} restarts it {at} after its start although all is well: what it waits for has \
             not passed by then"
        );
        let help = "raise its `failureThreshold`, or lower `initial_delay` and `success_threshold` of the checks";
        return Some(Advice { pitfall: &pitfalls::STARTUP_TOO_SHORT, message, help: help.into() });
    }
    let live = plan.entries().filter(|(_, check)| check.gates.live && check.critical != Critical::No);
    let down = |(check, _)| Fault { check, from: Duration::ZERO, to: START, outcome: FaultKind::Fail };
    match first_restart(plan, &live.map(down).collect::<Vec<_>>(), &containers)? {
        (at, container, Purpose::Liveness) => {
            let (name, at) = (&containers[container].name, show_duration(at));
            let message = format!("{name} is restarted over and over when it takes longer than {at} to start");
            let help = "add a startupProbe with `path: /startupz`: until it has passed, the liveness probe waits";
            Some(Advice { pitfall: &pitfalls::NO_STARTUP_PROBE, message, help: help.into() })
        }
        _ => None,
    }
}

/// The first restart in the story of a start: when, of which container, and by which probe.
fn first_restart(
    plan: &Arc<Plan>,
    faults: &[Fault],
    containers: &[ProbedContainer],
) -> Option<(Duration, usize, Purpose)> {
    let story = play(plan, START, faults, containers);
    story.events.iter().find_map(|event| match event.what {
        Occurrence::Kubelet(Action { container, effect: Effect::Restart { purpose, .. }, .. }) => {
            Some((event.at, container, purpose))
        }
        _ => None,
    })
}
