//! `probelet wait`: checks are repeated until they pass.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::client::DaemonUrl;
use super::duration::duration;
use super::once::detail_now;
use super::output::Output;
use super::selection::{CheckSelection, judgeable, one_shot, until_interrupted};
use super::terminal::{Colours, ProgressLine};
use super::{Exit, complain, print, wait_daemon};
use crate::base::clock::{Clock, Moment};
use crate::base::quantity::show_duration;
use crate::config::source::Environment;
use crate::config::{Config, is_external, is_own_host};
use crate::model::causes::Causes;
use crate::model::index::CheckIndex;
use crate::model::verdict::Endpoint;
use crate::probe::Evidence;
use crate::scheduler::one_shot::{OneShot, with_ancestors};

/// Wait until checks pass
///
/// Repeats the checks every second until they pass, at least degraded. Without --check it waits for the external
/// ones, workflows with a step that leaves the pod included: in an init container the app itself cannot be there yet.
/// Ends with 124 when the time is up.
///
/// With --url it asks a running daemon instead, for pipelines and canaries: until the endpoint is open (readyz, unless
/// another or a check is named), then it must stay open for --hold. Ends with 124 when --timeout is over before it has
/// opened; while it must stay open, with 1 at once when it closes, and with 3 when the daemon does not answer three times
/// in a row.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  probelet wait --config config.yaml            in an init container
  probelet wait --check database --timeout 30s
  probelet wait --url http://orders:10240 --timeout 2m --hold 5m")]
pub struct Wait {
    /// With --url: readyz, livez, startupz, healthz, or the name of a check [default: readyz]
    #[arg(value_name = "ENDPOINT|CHECK", requires = "url")]
    about: Option<String>,
    #[command(flatten)]
    chosen: CheckSelection,
    /// Ask the daemon that listens there
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "names"])]
    url: Option<String>,
    /// A file with the token that the daemon wants [default: $PROBELET_TOKEN]
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// With --url: how long it must stay open, once it is
    #[arg(long, value_name = "DURATION", requires = "url", value_parser = duration, allow_hyphen_values = true)]
    hold: Option<Duration>,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration, allow_hyphen_values = true)]
    timeout: Duration,
}

/// It looks again and again, and nobody can push anything to it.
const HAS: Evidence = Evidence::SeveralRuns;

/// From the start of one round to that of the next, as for the daemon's first runs.
const PACE: Duration = Duration::from_secs(1);
/// Where nothing can be rewritten, what is missing is said anew this often.
const REMINDER: Duration = Duration::from_secs(10);

impl Wait {
    pub(super) fn execute(self, environment: &Environment) -> Exit {
        if let Some(url) = self.url {
            let subject = self.about.unwrap_or_else(|| Endpoint::Readyz.label().to_owned());
            let url = DaemonUrl::new(url, self.token_file);
            let (timeout, hold) = (self.timeout, self.hold.unwrap_or_default());
            return wait_daemon::wait(&url, subject, timeout, hold, environment);
        }
        let (config, named) = match self.chosen.load(HAS, environment) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        // An external check is looked at without its parents: one of them may be the app.
        let (wanted, chosen) = if self.chosen.names.is_empty() {
            let external = external(&config, environment);
            (external.clone(), external)
        } else {
            // Nobody brings a parent its beats here.
            (named.clone(), judgeable(&config, with_ancestors(&config.plan, &named), HAS).0)
        };
        if wanted.is_empty() {
            print("nothing to wait for: no check is of an external dependency\n");
            return Exit::Fine;
        }
        let wanted = wanted.iter().filter_map(|check| chosen.binary_search(check).ok().map(CheckIndex::new)).collect();
        let output = Output::start();
        let progress = ProgressLine::new(output.clone(), environment);
        let waiter = Waiter::new(one_shot(&config, &chosen, false), wanted, self.timeout, progress, environment);
        until_interrupted(&output, waiter.hold(&output))
    }
}

/// The external checks. Of a workflow that needs this pod as well it is said that it cannot pass before the app is
/// there.
fn external(config: &Config, environment: &Environment) -> Vec<CheckIndex> {
    let specs = config.plan.indices().zip(config.targets.iter().map(|target| &*target.spec));
    let external: Vec<_> = specs.filter(|(_, spec)| is_external(*spec, environment)).collect();
    for (check, spec) in &external {
        if spec.hosts().iter().any(|host| is_own_host(host, environment)) {
            let name = &config.plan.checks[*check].name;
            complain(&format!(
                "{name} needs this pod's own app too: in an init container name what to wait for with --check\n"
            ));
        }
    }
    external.into_iter().map(|(check, _)| check).collect()
}

/// The wait for some checks.
struct Waiter {
    one_shot: OneShot,
    /// The checks that must pass; the others are their parents.
    wanted: Vec<CheckIndex>,
    /// What was last told of each check: whether it passes.
    told: Vec<Option<bool>>,
    /// Since when each check has not been passing.
    missing_since: Vec<Moment>,
    begun: Moment,
    timeout: Duration,
    reminded: Moment,
    progress: ProgressLine,
    paint: Colours,
}

impl Waiter {
    fn new(
        one_shot: OneShot,
        wanted: Vec<CheckIndex>,
        timeout: Duration,
        progress: ProgressLine,
        environment: &Environment,
    ) -> Self {
        let (now, count) = (Clock::Machine.now(), one_shot.plan().checks.len());
        Self {
            one_shot,
            wanted,
            told: vec![None; count],
            missing_since: vec![now; count],
            begun: now,
            timeout,
            reminded: now,
            progress,
            paint: Colours::on(&io::stderr(), environment),
        }
    }

    async fn hold(mut self, output: &Output) -> Exit {
        let timeout = self.timeout;
        if !self.progress.is_live() {
            let names = self.names(&self.wanted);
            self.progress.line(&format!("waiting for {names} (at most {})", show_duration(timeout)));
        }
        if tokio::time::timeout(timeout, self.all_pass()).await.is_ok() {
            let names = self.names(&self.wanted);
            let took = show_duration(Clock::Machine.now().since(self.begun));
            drop(self.progress);
            let pass = if self.wanted.len() == 1 { "passes" } else { "pass" };
            output.print_until(format!("{names} {pass} after {took}\n"), self.begun + timeout).await;
            return Exit::Fine;
        }
        let missing: String = self.lacks().iter().map(|lack| format!("  {lack}\n")).collect();
        drop(self.progress);
        output.complain(format!("error: timed out after {}; still failing:\n{missing}", show_duration(timeout)));
        Exit::TimedOut
    }

    /// Repeats the rounds until one ends in which everything passed.
    async fn all_pass(&mut self) {
        loop {
            let next = Clock::Machine.now() + PACE;
            self.one_shot.begin();
            let mut causes = Causes::of(self.told.len());
            while let Some(check) = self.next().await {
                self.tell(check, &mut causes);
            }
            if self.missing().is_empty() {
                return;
            }
            loop {
                let rest = next.since(Clock::Machine.now());
                if rest.is_zero() {
                    break;
                }
                self.show();
                tokio::time::sleep(rest.min(Self::TICK)).await;
            }
        }
    }

    const TICK: Duration = Duration::from_millis(100);

    /// The next check whose run has ended in this round.
    async fn next(&mut self) -> Option<CheckIndex> {
        loop {
            self.show();
            if let Ok(seen) = tokio::time::timeout(Self::TICK, self.one_shot.next()).await {
                return seen.map(|seen| seen.check);
            }
        }
    }

    /// Says in a line that stays when a check begins to pass, or ceases to.
    fn tell(&mut self, check: CheckIndex, causes: &mut Causes) {
        let passes = self.passes(check);
        if self.told[check] == Some(passes) {
            return;
        }
        if self.told[check] == Some(true) {
            self.missing_since[check] = Clock::Machine.now();
        }
        self.told[check] = Some(passes);
        let (name, state) = (&self.one_shot.plan().checks[check].name, self.one_shot.checks()[check].state.label());
        let line = format!("{name}: {}: {}", self.paint.state(state, state), detail_now(&self.one_shot, check, causes));
        self.progress.line(&line);
    }

    /// Shows what is missing: in the line that is rewritten, or now and then in one that stays.
    fn show(&mut self) {
        let now = Clock::Machine.now();
        // It looks at every check: so often, however many end meanwhile.
        if now.since(self.reminded) < if self.progress.is_live() { Self::TICK } else { REMINDER } {
            return;
        }
        let missing = self.lacks();
        let passed = Duration::from_secs(now.since(self.begun).as_secs());
        let line =
            format!("{} of {}; missing: {}", show_duration(passed), show_duration(self.timeout), missing.join("; "));
        if self.progress.is_live() {
            self.progress.status(&line);
        } else {
            self.progress.line(&line);
        }
        self.reminded = now;
    }

    /// What is known of the checks that do not pass yet, a line each.
    fn lacks(&self) -> Vec<String> {
        let mut causes = Causes::of(self.told.len());
        let lack = |check: CheckIndex| {
            let name = &self.one_shot.plan().checks[check].name;
            let since = Clock::Machine.now().since(self.missing_since[check]);
            let since = show_duration(if since > PACE { Duration::from_secs(since.as_secs()) } else { since });
            format!("{name}: {} (for {since})", detail_now(&self.one_shot, check, &mut causes))
        };
        self.missing().into_iter().map(lack).collect()
    }

    /// The checks that do not pass, those first that others wait for.
    fn missing(&self) -> Vec<CheckIndex> {
        let mut missing: Vec<CheckIndex> =
            CheckIndex::first(self.told.len()).filter(|check| !self.passes(*check)).collect();
        missing.sort_by_key(|check| self.one_shot.checks()[*check].state.label() == "skipped");
        missing
    }

    fn passes(&self, check: CheckIndex) -> bool {
        self.one_shot.checks()[check].state.is_up()
    }

    fn names(&self, checks: &[CheckIndex]) -> String {
        let checks = checks.iter().map(|check| self.one_shot.plan().checks[*check].name.as_str());
        checks.collect::<Vec<_>>().join(", ")
    }
}
