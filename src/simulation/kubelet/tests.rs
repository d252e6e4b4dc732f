//! What kubelet does to a pod, told in lines.

use std::time::Duration;

use super::request::ProbeRequest;
use super::*;
use crate::base::clock::Moment;
use crate::model::plan::testing::{check, plan};
use crate::model::plan::{Definition, Gates};
use crate::model::snapshot::Snapshot;
use crate::model::state::State;
use crate::scheduler::machine::Machine;
use crate::simulation::playback::reading;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// One check, `app`, that gates everything and is as `open` says.
fn snapshot(open: bool, at: Moment) -> Snapshot {
    let gates = Gates { live: true, ready: true, startup: true };
    let mut snapshot =
        Machine::new(plan(vec![Definition { gates, ..check("app") }]), "", reading(at)).snapshot(reading(at));
    let state = if open { State::Ok } else { State::Error };
    let app = std::sync::Arc::make_mut(&mut snapshot.checks[0]);
    (app.state, app.passed_once, app.fresh_at) = (state, true, Some(at));
    snapshot
}

/// What kubelet does in `end` seconds to containers with these probes, while every endpoint is closed in the spans
/// `closed`; as `second container deed`.
fn actions(containers: &[&[(Purpose, ProbeTiming)]], closed: &[(f64, f64)], end: f64) -> Vec<String> {
    let first = snapshot(true, Moment::default());
    let judged = Judged::new(&first, Moment::default());
    let asking = |(purpose, timing): &(Purpose, ProbeTiming)| SidecarProbe {
        purpose: *purpose,
        timing: *timing,
        request: ProbeRequest::of(purpose.path(), &judged),
        fails_open: false,
        grace: None,
    };
    let probed = |probes: &&[(Purpose, ProbeTiming)]| ProbedContainer {
        probes: probes.iter().map(asking).collect(),
        ..ProbedContainer::default()
    };
    let probed: Vec<_> = containers.iter().map(probed).collect();
    played(&probed, closed, &[], end)
}

/// The same, with containers that exit by themselves at a second.
fn played(containers: &[ProbedContainer], closed: &[(f64, f64)], exits: &[(usize, f64)], end: f64) -> Vec<String> {
    let mut kubelet = Kubelet::new(containers, Moment::default());
    let mut exits = exits.iter().rev().copied().collect::<Vec<_>>();
    let mut next = Some(Moment::default());
    let mut lines = Vec::new();
    while let Some(now) = next.filter(|now| now.since_boot() <= seconds(end)) {
        let second = now.since_boot().as_secs_f64();
        while let Some((container, _)) = exits.pop_if(|(_, at)| *at <= second) {
            kubelet.exits(container, now);
        }
        let open = !closed.iter().any(|(from, to)| (*from..*to).contains(&second));
        for action in kubelet.ask(&SidecarAnswer::Judged(&Judged::new(&snapshot(open, now), now)), now) {
            let effect = match action.effect {
                Effect::Start { again: false } => continue,
                Effect::Start { again: true } => "start".into(),
                Effect::Started => "started".into(),
                Effect::Ready => "ready".into(),
                Effect::NotReady => "not ready".into(),
                Effect::Exited { pause } => format!("exited, start after {pause:?}"),
                Effect::Restart { purpose, takes, pause } if takes.is_zero() => {
                    format!("restart by {} after {pause:?}", purpose.label())
                }
                Effect::Restart { purpose, takes, pause } => {
                    format!("restart by {} within {takes:?} after {pause:?}", purpose.label())
                }
            };
            let service = match action.in_service {
                Some(true) => ", in",
                Some(false) => ", out",
                None => "",
            };
            lines.push(format!("{second} {} {effect}{service}", action.container));
        }
        next = kubelet.next_wake().into_iter().chain(exits.last().map(|(_, at)| Moment::at(seconds(*at)))).min();
    }
    lines
}

fn every(period: f64, failures: u32) -> ProbeTiming {
    ProbeTiming { period: seconds(period), failures, ..ProbeTiming::default() }
}

#[test]
fn readiness_takes_the_pod_out_after_its_failures_and_back_after_its_passes() {
    let twice = ProbeTiming { successes: 2, ..ProbeTiming::default() };
    let lines = actions(&[&[(Purpose::Readiness, twice)]], &[(20.0, 60.0)], 100.0);
    assert_eq!(lines, ["11 0 ready, in", "41 0 not ready, out", "71 0 ready, in"]);
}

#[test]
fn fewer_failures_than_the_threshold_do_nothing() {
    let lines = actions(&[&[(Purpose::Readiness, every(10.0, 3))]], &[(20.0, 40.0)], 100.0);
    assert_eq!(lines, ["1 0 ready, in"]);
}

#[test]
fn a_startup_probe_holds_the_others_back_and_readiness_asks_at_once_after_it() {
    let probes =
        [(Purpose::Liveness, every(2.0, 1)), (Purpose::Readiness, every(10.0, 1)), (Purpose::Startup, every(5.0, 9))];
    let lines = actions(&[&probes], &[(0.0, 14.0)], 60.0);
    assert_eq!(lines, ["16 0 started", "16 0 ready, in"]);
}

#[test]
fn an_initial_delay_is_counted_from_the_start_of_the_container() {
    let late = ProbeTiming { initial_delay: seconds(15.0), ..every(10.0, 1) };
    assert_eq!(actions(&[&[(Purpose::Readiness, late)]], &[], 30.0), ["21 0 ready, in"]);
}

#[test]
fn liveness_restarts_the_container_and_pauses_longer_each_time() {
    let probes = [(Purpose::Liveness, every(10.0, 3)), (Purpose::Readiness, every(10.0, 1))];
    let lines = actions(&[&probes], &[(30.0, 120.0)], 200.0);
    assert_eq!(
        lines,
        [
            "1 0 ready, in",
            "31 0 not ready, out",
            "51 0 restart by liveness after 0ns",
            "51 0 start",
            "72 0 restart by liveness after 10s",
            "82 0 start",
            "103 0 restart by liveness after 20s",
            "123 0 start",
            "124 0 ready, in",
        ]
    );
}

#[test]
fn a_startup_probe_that_runs_out_restarts_the_container() {
    let lines = actions(&[&[(Purpose::Startup, every(10.0, 3))]], &[(0.0, 40.0)], 60.0);
    assert_eq!(lines, ["21 0 restart by startup after 0ns", "21 0 start", "42 0 started", "42 0 ready, in"]);
}

#[test]
fn the_pod_is_in_its_services_while_all_containers_are_ready() {
    let lines = actions(
        &[&[(Purpose::Readiness, every(10.0, 1))], &[(Purpose::Readiness, every(7.0, 1))]],
        &[(5.0, 30.0)],
        60.0,
    );
    assert_eq!(
        lines,
        ["1 0 ready", "1 1 ready, in", "8 1 not ready, out", "11 0 not ready", "31 0 ready", "36 1 ready, in",]
    );
}

#[test]
fn a_restart_without_a_readiness_probe_is_a_moment_out_of_the_services() {
    let lines = actions(&[&[(Purpose::Liveness, every(10.0, 1))]], &[(10.0, 12.0)], 60.0);
    assert_eq!(
        lines,
        ["0 0 ready, in", "11 0 restart by liveness after 0ns", "11 0 not ready, out", "11 0 start", "11 0 ready, in"]
    );
}

#[test]
fn a_pod_without_probes_is_ready_at_once_and_never_woken_for() {
    let first = snapshot(true, Moment::default());
    let mut kubelet = Kubelet::new(&[ProbedContainer::default()], Moment::default());
    kubelet.ask(&SidecarAnswer::Judged(&Judged::new(&first, Moment::default())), Moment::default());
    assert!(kubelet.in_service());
    assert_eq!(kubelet.next_wake(), None);
}

/// A native sidecar that is probelet, and an app behind it, with the purposes that each probes.
fn pod(sidecar: &[(Purpose, ProbeTiming)], app: &[(Purpose, ProbeTiming)]) -> [ProbedContainer; 2] {
    let first = snapshot(true, Moment::default());
    let judged = Judged::new(&first, Moment::default());
    let asks = |path: Option<&str>, (purpose, timing): &(Purpose, ProbeTiming)| SidecarProbe {
        purpose: *purpose,
        timing: *timing,
        request: ProbeRequest::of(path.unwrap_or_else(|| purpose.path()), &judged),
        fails_open: false,
        grace: None,
    };
    let sidecar = sidecar.iter().map(|probe| asks(Some("/-/healthy"), probe)).collect();
    let app = app.iter().map(|probe| asks(None, probe)).collect();
    [
        ProbedContainer {
            role: ContainerRole::Sidecar { keeps_state: false, drains: false },
            native: true,
            probes: sidecar,
            ..ProbedContainer::default()
        },
        ProbedContainer { role: ContainerRole::App, probes: app, ..ProbedContainer::default() },
    ]
}

#[test]
fn the_app_starts_once_the_native_sidecar_has_started() {
    let pod = pod(&[(Purpose::Startup, every(5.0, 9))], &[(Purpose::Readiness, every(10.0, 1))]);
    let lines = played(&pod, &[], &[], 20.0);
    assert_eq!(lines, ["1 0 started", "1 0 ready", "2 1 ready, in"]);
}

#[test]
fn a_container_that_exits_is_started_again_with_pauses_that_double_and_are_forgiven() {
    let pod = pod(&[], &[(Purpose::Readiness, every(1.0, 1))]);
    let lines = played(&pod, &[], &[(1, 20.0), (1, 30.0), (1, 700.0)], 720.0);
    assert_eq!(
        lines,
        [
            "0 0 ready",
            "1 1 ready, in",
            "21 1 exited, start after 0ns",
            "21 1 not ready, out",
            "21 1 start",
            "22 1 ready, in",
            "31 1 exited, start after 10s",
            "31 1 not ready, out",
            "40 1 start",
            "41 1 ready, in",
            "701 1 exited, start after 0ns",
            "701 1 not ready, out",
            "701 1 start",
            "702 1 ready, in",
        ]
    );
}

#[test]
fn a_native_sidecar_counts_for_the_readiness_of_the_pod() {
    let lines = played(&pod(&[], &[]), &[], &[(0, 20.0)], 60.0);
    assert_eq!(
        lines,
        [
            "0 0 ready",
            "0 1 ready, in",
            "21 0 exited, start after 0ns",
            "21 0 not ready, out",
            "21 0 start",
            "21 0 ready, in"
        ]
    );
}

/// What a sidecar that hangs from second 20 on does to the app, with its liveness probe and its time to end.
fn hanging(liveness: ProbeTiming, grace: Option<Duration>) -> Vec<String> {
    let mut pod = pod(&[(Purpose::Liveness, liveness)], &[(Purpose::Liveness, every(10.0, 3))]);
    pod[0].probes[0].grace = grace;
    pod[0].stop.hook = seconds(5.0);
    let mut kubelet = Kubelet::new(&pod, Moment::default());
    let (mut next, mut hangs, mut lines) = (Some(Moment::default()), true, Vec::new());
    while let Some(now) = next.filter(|now| now.since_boot() <= seconds(120.0)) {
        let well = snapshot(true, now);
        let judged = Judged::new(&well, now);
        let silent = hangs && now.since_boot() >= seconds(20.0);
        for action in kubelet.ask(&if silent { SidecarAnswer::Silence } else { SidecarAnswer::Judged(&judged) }, now) {
            hangs &= action != Action { container: 0, effect: Effect::Start { again: true }, in_service: None };
            if matches!(action.effect, Effect::Restart { .. }) {
                lines.push(format!("{} {}", now.since_boot().as_secs_f64(), action.container));
            }
        }
        next = kubelet.next_wake();
    }
    lines
}

#[test]
fn a_sidecar_that_hangs_takes_the_app_with_it_unless_it_ends_soon() {
    assert_eq!(hanging(every(10.0, 3), None), ["41 0", "73 1"], "it holds the pod worker, and the app is next");
    assert_eq!(hanging(every(5.0, 2), None), ["26 0", "58 1"]);
    assert_eq!(hanging(every(5.0, 2), Some(seconds(1.0))), ["26 0"]);
}

#[test]
fn what_fails_open_passes_while_nobody_answers() {
    let mut pod = pod(&[], &[(Purpose::Liveness, every(10.0, 1))]);
    pod[1].probes[0].fails_open = true;
    let mut kubelet = Kubelet::new(&pod, Moment::default());
    let mut next = Some(Moment::default());
    while let Some(now) = next.filter(|now| now.since_boot() <= seconds(60.0)) {
        let actions = kubelet.ask(&SidecarAnswer::Refusal, now);
        assert!(actions.iter().all(|action| !matches!(action.effect, Effect::Restart { .. })));
        next = kubelet.next_wake();
    }
}
