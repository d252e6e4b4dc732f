//! What happens in a timeline, in the words that every form of it uses.

use std::time::Duration;

use crate::base::quantity::show_duration;
use crate::model::state::State;
use crate::model::verdict::{Endpoint, JudgedState, Verdict};
use crate::simulation::kubelet::{Action, Effect};
use crate::simulation::scenario::ProcessFault;
use crate::simulation::timeline::{AppState, Occurrence, Openness, SidecarState, Timeline, TimelineEvent};

/// A point in time for people: `38.4s`, `1m38.4s`, `2h05m`; no parts that are zero at its end.
pub fn time(at: Duration) -> String {
    let tenths = (at.as_millis() + 50) / 100;
    let (seconds, tenth) = (tenths / 10, tenths % 10);
    let fraction = if tenth == 0 { String::new() } else { format!(".{tenth}") };
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, second) => format!("{second}{fraction}s"),
        (0, minute, 0) if tenth == 0 => format!("{minute}m"),
        (0, minute, second) => format!("{minute}m{second:02}{fraction}s"),
        (hour, 0, 0) if tenth == 0 => format!("{hour}h"),
        (hour, minute, 0) if tenth == 0 => format!("{hour}h{minute:02}m"),
        (hour, minute, second) => format!("{hour}h{minute:02}m{second:02}{fraction}s"),
    }
}

/// Who or what an event is about.
pub fn subject(timeline: &Timeline, event: &TimelineEvent) -> String {
    match &event.what {
        Occurrence::FaultBegins(fault) | Occurrence::FaultEnds(fault) => timeline.name(fault.check).to_owned(),
        Occurrence::Check { check, .. } => timeline.name(*check).to_owned(),
        Occurrence::Endpoint { endpoint, .. } => format!("/{}", endpoint.label()),
        Occurrence::Kubelet(_) => "kubelet".to_owned(),
        Occurrence::ProcessFault(ProcessFault::AppExits) | Occurrence::Serves => timeline.app_name().to_owned(),
        Occurrence::ProcessFault(_) => "probelet".to_owned(),
        Occurrence::Traffic { .. } => "traffic".to_owned(),
    }
}

/// What happens to it.
pub fn sentence(timeline: &Timeline, event: &TimelineEvent) -> String {
    match &event.what {
        Occurrence::FaultBegins(fault) if fault.to >= timeline.length => {
            format!("(scenario) {} until the end", fault.outcome.words())
        }
        Occurrence::FaultBegins(fault) => format!("(scenario) {} until {}", fault.outcome.words(), time(fault.to)),
        Occurrence::FaultEnds(_) => "(scenario) is well again".to_owned(),
        Occurrence::Check { to, message, root_causes, .. } => match to {
            JudgedState::Fresh(State::Ok | State::Pending) => to.label().to_owned(),
            JudgedState::Fresh(State::Skipped) => {
                format!("skipped: waits for {}", timeline.names(root_causes).join(", "))
            }
            _ => format!("{}: {message}", to.label()),
        },
        Occurrence::Endpoint { from, to, root_causes, .. } => endpoint(*from, *to, &timeline.names(root_causes)),
        Occurrence::Kubelet(action) => kubelet(timeline, action),
        Occurrence::ProcessFault(ProcessFault::AppExits) => "(scenario) exits".to_owned(),
        Occurrence::ProcessFault(ProcessFault::Killed) => "(scenario) is killed".to_owned(),
        Occurrence::ProcessFault(ProcessFault::Freezes) => "(scenario) is frozen: it answers nobody".to_owned(),
        Occurrence::ProcessFault(ProcessFault::Thaws) => "(scenario) goes on".to_owned(),
        Occurrence::Serves => "serves".to_owned(),
        Occurrence::Traffic { refused: true } => "is refused: the pod gets it, and the app does not serve".to_owned(),
        Occurrence::Traffic { refused: false } => "is refused no more".to_owned(),
    }
}

fn endpoint(from: Verdict, to: Verdict, root_causes: &[&str]) -> String {
    match (from, to) {
        (_, Verdict::Error) if root_causes.is_empty() => "closes".into(),
        (_, Verdict::Error) => format!("closes: root cause {}", root_causes.join(", ")),
        (Verdict::Error, Verdict::Degraded) => "opens, degraded".into(),
        (_, Verdict::Degraded) => "degraded".into(),
        (Verdict::Error, Verdict::Ok) => "opens".into(),
        (_, Verdict::Ok) => "ok".into(),
    }
}

fn kubelet(timeline: &Timeline, action: &Action) -> String {
    let container = &timeline.containers[action.container];
    let happens = match action.effect {
        Effect::Started => format!("{container} has started"),
        Effect::Ready => format!("{container} is ready"),
        Effect::NotReady => format!("{container} is not ready"),
        Effect::Start { again: false } => format!("starts {container}"),
        Effect::Start { again: true } => format!("starts {container} again"),
        Effect::Exited { pause } => format!("sees that {container} has exited{}", after(pause)),
        Effect::Restart { purpose, takes, pause } => {
            let ends =
                if takes.is_zero() { String::new() } else { format!(", which takes {} to end", show_duration(takes)) };
            format!("restarts {container} ({} probe){ends}{}", purpose.label(), after(pause))
        }
    };
    match action.in_service {
        Some(true) => format!("{happens}: the pod gets traffic"),
        Some(false) => format!("{happens}: the pod gets no traffic"),
        None => happens,
    }
}

fn after(pause: Duration) -> String {
    if pause.is_zero() { String::new() } else { format!(", after a pause of {}", show_duration(pause)) }
}

/// How the app's process stands, in a word.
pub const fn app(app: AppState) -> &'static str {
    match app {
        AppState::Serves => "serves",
        AppState::Starts => "starts",
        AppState::Gone => "gone",
    }
}

/// How the sidecar's process stands, in a word.
pub const fn daemon(daemon: SidecarState) -> &'static str {
    match daemon {
        SidecarState::Answers => "answers",
        SidecarState::Frozen => "frozen",
        SidecarState::Gone => "gone",
    }
}

/// How things went, as pairs of a subject and a sentence.
pub fn summary(timeline: &Timeline) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (endpoint, track) in Endpoint::ALL.into_iter().zip(&timeline.endpoints) {
        let openness = Openness::of(track, timeline.length, |verdict| verdict != Verdict::Error);
        lines.push((format!("/{}", endpoint.label()), opened(openness, "open", "closed")));
    }
    if !timeline.containers.is_empty() {
        let openness = Openness::of(&timeline.in_service, timeline.length, |in_service| in_service);
        lines.push(("pod".into(), opened(openness, "gets traffic", "cut off")));
        let restarts = match timeline.restarts() {
            0 => "none".to_owned(),
            times => {
                let named =
                    timeline.containers.iter().enumerate().map(|(place, name)| (name, timeline.restarts_of(place)));
                let named: Vec<_> =
                    named.filter(|(_, times)| *times > 0).map(|(name, times)| format!("{name} {times}")).collect();
                if named.len() < 2 && timeline.containers.len() < 2 { times.to_string() } else { named.join(", ") }
            }
        };
        lines.push(("restarts".into(), restarts));
        let silent: Duration = timeline
            .spans(&timeline.daemon, |daemon| daemon != SidecarState::Answers)
            .map(|(from, to)| to - from)
            .sum();
        if !silent.is_zero() {
            lines.push(("probelet".into(), format!("does not answer for {}", exact(silent))));
        }
        let refused: Duration = timeline.spans(&timeline.refused, |refused| refused).map(|(from, to)| to - from).sum();
        if !refused.is_zero() {
            lines.push((
                "refused".into(),
                format!("traffic for {}: the pod gets it, and the app does not serve", exact(refused)),
            ));
        }
    }
    lines
}

fn opened(openness: Openness, open: &str, closed: &str) -> String {
    let Some(opens) = openness.opens else { return format!("never {open}") };
    let closed_for = exact(openness.closed);
    let but = match openness.closures {
        0 if opens.is_zero() => return format!("{open} all the time"),
        0 => String::new(),
        1 => format!(", but {closed} once, for {closed_for}"),
        times => format!(", but {closed} {times} times, for {closed_for} in all"),
    };
    let since = if opens.is_zero() { "from the start".to_owned() } else { format!("from {} on", exact(opens)) };
    format!("{open} {since}{but}")
}

/// A time span as [`time`] has it, and in milliseconds where it is shorter than a tenth of a second.
fn exact(span: Duration) -> String {
    if span < Duration::from_millis(100) { show_duration(span) } else { time(span) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_have_tenths_where_there_are_some() {
        let cases = [
            (0, "0s"),
            (10, "0s"),
            (38_351, "38.4s"),
            (59_960, "1m"),
            (60_100, "1m00.1s"),
            (98_400, "1m38.4s"),
            (3_600_000, "1h"),
            (3_605_000, "1h00m05s"),
            (7_500_000, "2h05m"),
        ];
        for (millis, shown) in cases {
            assert_eq!(time(Duration::from_millis(millis)), shown);
        }
    }
}
