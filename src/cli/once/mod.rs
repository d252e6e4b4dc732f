//! `probelet once`: every check once, and what they found.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Exit;
use super::output::Output;
use super::selection::{CheckSelection, judgeable, one_shot, until_interrupted};
use super::terminal::{Colours, ProgressLine, columns};
use crate::base::clock::{Clock, Moment, Reading};
use crate::base::quantity::show_duration;
use crate::config::source::Environment;
use crate::model::causes::Causes;
use crate::model::index::CheckIndex;
use crate::model::plan::DisabledCheck;
use crate::model::snapshot::Snapshot;
use crate::model::state::State;
use crate::model::verdict::{Endpoint, Judged, Verdict, said_of};
use crate::probe::Evidence;
use crate::scheduler::one_shot::{CheckRun, OneShot, RunStatus, with_ancestors};
use crate::server::healthz_json;

mod debug;
mod junit;
mod table;

/// Run the checks once, and show what they found
///
/// Each check runs once, parents first, the others side by side. The first outcome counts: no thresholds, no
/// initial delay. Ends with 1 when something critical fails; degraded is healthy. One look comes to no verdict on a
/// heartbeat: it is shown as not judged.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  probelet once --config config.yaml
  probelet once --check orders --verbose        why does it fail?
  probelet once --format junit > report.xml     in a pipeline")]
pub struct Once {
    #[command(flatten)]
    chosen: CheckSelection,
    /// How to show what was found; json is that of /healthz
    #[arg(long, value_enum, default_value_t = OnceFormat::Table)]
    format: OnceFormat,
    /// Show how each run went: its phases, and what it saw
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnceFormat {
    Table,
    Json,
    Junit,
}

/// How often the line is rewritten that says how far it has come.
const REDRAWN: Duration = Duration::from_millis(100);

/// What one round found.
struct OnceResult {
    snapshot: Snapshot,
    /// The run of each check, in the order of the plan.
    seen: Vec<Option<CheckRun>>,
    /// The checks on which one round comes to no verdict, and why.
    unjudged: Vec<DisabledCheck>,
    reading: Reading,
    took: Duration,
}

impl OnceResult {
    /// The checks that were not run: with what they are called instead of a state, and why.
    fn not_run(&self) -> impl Iterator<Item = (&'static str, &DisabledCheck)> {
        let disabled = self.snapshot.plan.disabled.iter().map(|check| ("disabled", check));
        disabled.chain(self.unjudged.iter().map(|check| (NOT_JUDGED, check)))
    }

    /// What is there, as `/healthz` would say it: there is no other place for what was not judged than among the disabled.
    fn json(&self) -> Vec<u8> {
        let mut snapshot = self.snapshot.clone();
        let unjudged = self.unjudged.iter().map(|check| {
            let reason = format!("{NOT_JUDGED}: {}", check.reason);
            DisabledCheck { reason, ..check.clone() }
        });
        Arc::make_mut(&mut snapshot.plan).disabled.extend(unjudged);
        healthz_json(&snapshot, self.reading)
    }
}

/// What a check is called that was not judged.
const NOT_JUDGED: &str = "not judged";

impl Once {
    pub(super) fn execute(self, environment: &Environment) -> Exit {
        let (config, named) = match self.chosen.load(Evidence::OneRun, environment) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        let chosen = if self.chosen.names.is_empty() {
            config.plan.indices().collect()
        } else {
            with_ancestors(&config.plan, &named)
        };
        let (chosen, unjudged) = judgeable(&config, chosen, Evidence::OneRun);
        let one_shot = one_shot(&config, &chosen, self.verbose);
        let output = Output::start();
        until_interrupted(&output, async {
            let found =
                OnceResult { unjudged, ..self.play(one_shot, ProgressLine::new(output.clone(), environment)).await };
            let judged = Judged::new(&found.snapshot, found.reading.moment);
            let shown = self.shown(&found, &judged, &output, environment);
            let exit = match judged.endpoint(Endpoint::Healthz).verdict {
                Verdict::Ok | Verdict::Degraded => Exit::Fine,
                Verdict::Error => Exit::Unhealthy,
            };
            output.answer(shown, exit).await
        })
    }

    async fn play(&self, mut one_shot: OneShot, mut progress: ProgressLine) -> OnceResult {
        let mut seen: Vec<Option<CheckRun>> =
            std::iter::repeat_with(|| None).take(one_shot.plan().checks.len()).collect();
        let begun = Clock::Machine.now();
        // What is meant for machines is not to be disturbed where both streams end in one file.
        let lines = !progress.is_live() && self.format == OnceFormat::Table;
        one_shot.begin();
        let mut causes = Causes::of(seen.len());
        let mut redrawn: Option<Moment> = None;
        loop {
            let now = Clock::Machine.now();
            // It looks at every check: so often, however many end meanwhile.
            if progress.is_live() && redrawn.is_none_or(|last| now.since(last) >= REDRAWN) {
                redrawn = Some(now);
                if let Some(status) = status(&one_shot) {
                    progress.status(&status);
                }
            }
            let next = tokio::time::timeout(REDRAWN, one_shot.next());
            let Ok(next) = next.await else { continue };
            let Some(next) = next else { break };
            if lines {
                progress.finding(&line(&one_shot, next.check, &mut causes));
            }
            let check = next.check;
            seen[check] = Some(next);
        }
        let reading = Clock::Machine.read();
        let took = reading.moment.since(begun);
        OnceResult { snapshot: one_shot.snapshot(), seen, unjudged: Vec::new(), reading, took }
    }

    fn shown(&self, found: &OnceResult, judged: &Judged<'_>, output: &Output, environment: &Environment) -> String {
        let stdout = io::stdout();
        let table = |paint, width| table::table(found, judged, self.verbose, paint, width);
        if self.verbose && self.format == OnceFormat::Json {
            let stderr = io::stderr();
            output.complain(table(Colours::on(&stderr, environment), columns(&stderr)));
        }
        match self.format {
            OnceFormat::Table => table(Colours::on(&stdout, environment), columns(&stdout)),
            OnceFormat::Json => {
                format!("{}\n", String::from_utf8_lossy(&found.json()))
            }
            OnceFormat::Junit => junit::report(found, judged, self.verbose),
        }
    }
}

/// A check that is done, in a line; `causes` are those of others that are done in this round.
fn line(one_shot: &OneShot, check: CheckIndex, causes: &mut Causes) -> String {
    let (name, state) = (&one_shot.plan().checks[check].name, one_shot.checks()[check].state);
    format!("{name}: {}: {}", state.label(), detail_now(one_shot, check, causes))
}

/// What to say of a check as it stands, without looking at others than those that it waits for; their `causes` are known
/// for as long as they stand as they do.
pub(super) fn detail_now(one_shot: &OneShot, check: CheckIndex, causes: &mut Causes) -> String {
    let (definition, state) = (&one_shot.plan().checks[check], &one_shot.checks()[check]);
    if state.state != State::Skipped {
        return said_of(state, definition).into_owned();
    }
    let causes = one_shot.causes_of(check, causes);
    waits_for(causes.iter().map(|cause| one_shot.plan().checks[*cause].name.as_str()))
}

/// What to say of a check: its message, or what a skipped one waits for.
fn detail(judged: &Judged<'_>, check: CheckIndex) -> String {
    if judged.state(check).label() != "skipped" {
        return judged.message(check).into_owned();
    }
    waits_for(judged.causes_of(check).into_iter().map(|cause| judged.definition(cause).name.as_str()))
}

fn waits_for<'a>(causes: impl Iterator<Item = &'a str>) -> String {
    format!("waits for {}", causes.collect::<Vec<_>>().join(", "))
}

/// How far the round has come, in a line; nothing while no check runs.
fn status(one_shot: &OneShot) -> Option<String> {
    let now = Clock::Machine.now();
    let done = one_shot.statuses().iter().filter(|place| **place == RunStatus::Done).count();
    let running = one_shot.statuses().iter().zip(&one_shot.plan().checks).filter_map(|(place, check)| match place {
        RunStatus::Running(since) if now.since(*since) >= Duration::from_secs(1) => {
            Some(format!("{} ({})", check.name, show_duration(Duration::from_secs(now.since(*since).as_secs()))))
        }
        RunStatus::Running(_) => Some(check.name.to_string()),
        RunStatus::Waiting | RunStatus::Done => None,
    });
    let running: Vec<String> = running.collect();
    (!running.is_empty())
        .then(|| format!("{done} of {} done; running: {}", one_shot.statuses().len(), running.join(", ")))
}
