//! The checks that a command runs by itself: chosen by name from a configuration, run until done or interrupted.

use std::future::Future;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::output::Output;
use super::{ConfigFile, Exit, coloured, complain, wrong_usage};
use crate::base::clock::Clock;
use crate::base::lane;
use crate::base::thread::why_refused;
use crate::config::document::nearest;
use crate::config::source::Environment;
use crate::config::{self, Config, Listen};
use crate::model::index::CheckIndex;
use crate::model::plan::DisabledCheck;
use crate::probe::{Evidence, Spec, farewell};
use crate::scheduler::one_shot::OneShot;

/// Which checks of which configuration.
#[derive(Debug, Args)]
pub(super) struct CheckSelection {
    #[command(flatten)]
    pub(super) config: ConfigFile,
    /// Only this check and what it depends on; may be repeated
    #[arg(long = "check", value_name = "NAME")]
    pub(super) names: Vec<String>,
}

impl CheckSelection {
    /// The configuration and the positions of the checks named, each once, which can be judged by what the command `has`;
    /// why there are none has been said.
    pub(super) fn load(&self, has: Evidence, environment: &Environment) -> Result<(Config, Vec<CheckIndex>), Exit> {
        let loaded = config::load_input(
            &self.config.input(environment).map_err(|complaint| wrong_usage(&complaint))?,
            environment,
        );
        let Some(config) = loaded.config else {
            complain(&loaded.report.text(coloured(&std::io::stderr(), environment)));
            return Err(Exit::Usage);
        };
        let known: Vec<&str> = config.plan.checks.iter().map(|check| check.name.as_str()).collect();
        let mut positions = Vec::new();
        let mut unknown = String::new();
        for name in &self.names {
            match config.plan.position(name) {
                Some(position) => match why_unjudged(&config, position, has) {
                    None => positions.push(position),
                    Some(why) => unknown += &format!("error: the check `{name}` cannot be judged like this: {why}\n"),
                },
                None => {
                    unknown += &match config.plan.disabled(name) {
                        Some(off) => format!("error: the check `{name}` is switched off: {}\n", off.reason),
                        None => no_check(name, &known, loaded.report.file()),
                    };
                }
            }
        }
        if !unknown.is_empty() {
            complain(&unknown);
            return Err(Exit::Usage);
        }
        positions.sort_unstable();
        positions.dedup();
        Ok((config, positions))
    }
}

/// Of the checks of `config` at the positions `chosen` those that can be judged by what the command `has`, and the others,
/// each with the reason.
pub(super) fn judgeable(
    config: &Config,
    chosen: Vec<CheckIndex>,
    has: Evidence,
) -> (Vec<CheckIndex>, Vec<DisabledCheck>) {
    let mut unjudged = Vec::new();
    let is_judged = |position: &CheckIndex| {
        let Some(why) = why_unjudged(config, *position, has) else { return true };
        let check = &config.plan.checks[*position];
        unjudged.push(DisabledCheck { name: check.name.clone(), kind: check.kind, reason: why.into() });
        false
    };
    let judged = chosen.into_iter().filter(is_judged).collect();
    (judged, unjudged)
}

/// Why a check cannot be judged by what a command `has`, if it cannot.
fn why_unjudged(config: &Config, position: CheckIndex, has: Evidence) -> Option<&'static str> {
    match config.targets[position].spec.verdict_takes() {
        takes if takes <= has => None,
        Evidence::Daemon => Some("its beats are pushed to a running daemon, which `ask` and `wait --url` ask"),
        Evidence::OneRun | Evidence::SeveralRuns => {
            Some("it waits for a change of a file, which one look cannot see: `wait --check` looks again")
        }
    }
}

/// That there is no check `name` `among` those known, and which was probably meant.
pub(super) fn no_check(name: &str, known: &[&str], among: &str) -> String {
    const MOST: usize = 8;
    let help = match (nearest(name, known.iter().copied()), known.len()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, 0) => "it has no checks".into(),
        (None, 1..=MOST) => format!("it has {}", known.join(", ")),
        (None, count) => format!("it has {}, … and {} more", known[..MOST].join(", "), count - MOST),
    };
    let name = crate::model::outcome::one_line(name);
    format!("error: there is no check `{name}` in {among}\n  help: {help}\n")
}

/// Rounds of the checks of `config` at the positions `chosen`.
pub(super) fn one_shot(config: &Config, chosen: &[CheckIndex], noting: bool) -> OneShot {
    let specs: Vec<Arc<dyn Spec>> = config.targets.iter().map(|target| Arc::clone(&target.spec)).collect();
    let daemon: Vec<SocketAddr> = config.server.listen.iter().map(|listener| socket_of(listener.address)).collect();
    OneShot::new(&config.plan, &specs, chosen, Clock::Machine, noting).beside(&daemon)
}

fn socket_of(listen: Listen) -> SocketAddr {
    match listen {
        Listen::All(port) => (Ipv6Addr::UNSPECIFIED, port).into(),
        Listen::One(address) => address,
    }
}

/// Does `work`, which speaks through `output`, until it is done, or until the process is told to end: an interrupted
/// command is no success.
pub(super) fn until_interrupted(output: &Output, work: impl Future<Output = Exit>) -> Exit {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        complain(&format!("a panic at {place}: this is a defect of probelet, please report it\n"));
    }));
    let attended = async {
        // As the first process of a container the default action would be to ignore them.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let exit = tokio::select! {
            biased;
            _ = interrupt.recv() => Exit::Interrupted,
            _ = terminate.recv() => Exit::Terminated,
            done = work => done,
        };
        tokio::join!(farewell::all_said(), output.last_words());
        Ok(exit)
    };
    let result = lane::runtime().and_then(|runtime| {
        let result = runtime.block_on(attended);
        // A name resolution that hangs must not hold up the end.
        runtime.shutdown_background();
        result
    });
    result.unwrap_or_else(|error| {
        complain(&format!("error: the system refuses {}\n", why_refused(&error)));
        Exit::Unreachable
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_unknown_finds_the_one_that_was_meant() {
        assert_eq!(
            no_check("databse", &["database", "cache"], "config.yaml"),
            "error: there is no check `databse` in config.yaml\n  help: did you mean `database`?\n"
        );
        assert_eq!(
            no_check("x", &["database", "cache"], "config.yaml"),
            "error: there is no check `x` in config.yaml\n  help: it has database, cache\n"
        );
        let many: Vec<String> = (0..10).map(|index| format!("check-{index}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(
            no_check("x", &many, "config.yaml").lines().last(),
            Some("  help: it has check-0, check-1, check-2, check-3, check-4, check-5, check-6, check-7, … and 2 more")
        );
    }
}
