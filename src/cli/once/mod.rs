//! `probelet once`: every check once, and what they found.

use std::io;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::chosen::{Chosen, rounds, until_interrupted};
use super::screen::{Paint, Progress, columns};
use super::{Exit, answer, complain};
use crate::base::clock::{Clock, Reading};
use crate::base::quantity::show_duration;
use crate::config::source::Environment;
use crate::model::snapshot::Snapshot;
use crate::model::verdict::{Endpoint, Judged, Verdict};
use crate::scheduler::rounds::{Place, Rounds, Seen, with_parents};
use crate::server::healthz_json;

mod debug;
mod junit;
mod table;

/// Run the checks once, and show what they found
///
/// Each check runs once, parents first, the others side by side. The first outcome counts: no thresholds, no
/// initial delay. Ends with 1 when something critical fails; degraded is healthy.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  probelet once --config config.yaml
  probelet once --check orders --verbose        why does it fail?
  probelet once --format junit > report.xml     in a pipeline")]
pub struct Once {
    #[command(flatten)]
    chosen: Chosen,
    /// How to show what was found; json is that of /healthz
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Show how each run went: its phases, and what it saw
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Junit,
}

/// What one round found.
struct Found {
    snapshot: Snapshot,
    /// The run of each check, in the order of the plan.
    seen: Vec<Option<Seen>>,
    reading: Reading,
    took: Duration,
}

impl Once {
    pub(super) fn execute(self, environment: &Environment) -> Exit {
        let (config, named) = match self.chosen.load(environment) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        let chosen = match self.chosen.names.is_empty() {
            true => (0..config.plan.checks.len()).collect(),
            false => with_parents(&config.plan, &named),
        };
        let rounds = rounds(&config, &chosen, self.verbose);
        let found = match until_interrupted(self.play(rounds, Progress::new(environment))) {
            Ok(found) => found,
            Err(exit) => return exit,
        };
        let judged = Judged::new(&found.snapshot, found.reading.moment);
        let shown = self.shown(&found, &judged, environment);
        match judged.endpoint(Endpoint::Healthz).verdict {
            Verdict::Ok | Verdict::Degraded => answer(&shown, Exit::Fine),
            Verdict::Error => answer(&shown, Exit::Unhealthy),
        }
    }

    async fn play(&self, mut rounds: Rounds, mut progress: Progress) -> Found {
        let mut seen: Vec<Option<Seen>> = std::iter::repeat_with(|| None).take(rounds.plan().checks.len()).collect();
        let begun = Clock::Machine.now();
        // What is meant for machines is not to be disturbed where both streams end in one file.
        let lines = !progress.is_live() && self.format == Format::Table;
        rounds.begin();
        loop {
            if let Some(status) = status(&rounds) {
                progress.status(&status);
            }
            let next = tokio::time::timeout(Duration::from_millis(100), rounds.next());
            let Ok(next) = next.await else { continue };
            let Some(next) = next else { break };
            if lines {
                progress.line(&line(&rounds, next.check));
            }
            let check = next.check;
            seen[check] = Some(next);
        }
        let reading = Clock::Machine.read();
        Found { snapshot: rounds.snapshot(), seen, reading, took: reading.moment.since(begun) }
    }

    fn shown(&self, found: &Found, judged: &Judged<'_>, environment: &Environment) -> String {
        let stdout = io::stdout();
        let table = |paint, width| table::table(found, judged, self.verbose, paint, width);
        if self.verbose && self.format == Format::Json {
            let stderr = io::stderr();
            complain(&table(Paint::on(&stderr, environment), columns(&stderr)));
        }
        match self.format {
            Format::Table => table(Paint::on(&stdout, environment), columns(&stdout)),
            Format::Json => {
                let json = healthz_json(&found.snapshot, found.reading);
                format!("{}\n", String::from_utf8_lossy(&json))
            }
            Format::Junit => junit::report(found, judged, self.verbose),
        }
    }
}

/// A check that is done, in a line.
fn line(rounds: &Rounds, check: usize) -> String {
    let snapshot = rounds.snapshot();
    let judged = Judged::new(&snapshot, snapshot.at);
    format!("{}: {}: {}", judged.definition(check).name, judged.state(check).label(), detail(&judged, check))
}

/// What to say of a check: its message, or what a skipped one waits for.
pub(super) fn detail(judged: &Judged<'_>, check: usize) -> String {
    if judged.state(check).label() != "skipped" {
        return judged.message(check).into_owned();
    }
    let names: Vec<&str> =
        judged.causes_of(check).into_iter().map(|cause| judged.definition(cause).name.as_str()).collect();
    format!("waits for {}", names.join(", "))
}

/// How far the round has come, in a line; nothing while no check runs.
fn status(rounds: &Rounds) -> Option<String> {
    let now = Clock::Machine.now();
    let done = rounds.places().iter().filter(|place| **place == Place::Done).count();
    let running = rounds.places().iter().zip(&rounds.plan().checks).filter_map(|(place, check)| match place {
        Place::Running(since) if now.since(*since) >= Duration::from_secs(1) => {
            Some(format!("{} ({})", check.name, show_duration(Duration::from_secs(now.since(*since).as_secs()))))
        }
        Place::Running(_) => Some(check.name.to_string()),
        Place::Waiting | Place::Done => None,
    });
    let running: Vec<String> = running.collect();
    (!running.is_empty()).then(|| format!("{done} of {} done; running: {}", rounds.places().len(), running.join(", ")))
}
