//! `probelet run`: the daemon.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ConfigFile, Exit, coloured, complain, variable, wrong_usage};
use crate::config::Listen;
use crate::config::source::Environment;
use crate::daemon::{self, ConfigSource, Options, StartError};

/// Run the daemon
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  probelet run --config-error serve --state /state")]
pub struct Run {
    #[command(flatten)]
    config: ConfigFile,
    /// Listen here instead of where the configuration says: `:10240`, `127.0.0.1:0`, `[::1]:80`; may be repeated
    #[arg(long, value_name = "ADDR")]
    listen: Vec<Listen>,
    /// What to do without a valid configuration: exit, or serve what can be said without one until there is one
    #[arg(long, value_enum, default_value_t = OnError::Exit)]
    config_error: OnError,
    /// Keep here what must outlive the container: history.db (the default of history.path) and the last good
    /// configuration, which --config-error serve falls back to [default: $PROBELET_STATE]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnError {
    Exit,
    Serve,
}

impl Run {
    pub(super) fn execute(self, environment: &Environment) -> Exit {
        match self.options(environment) {
            Ok(options) => ended(daemon::run(&options, environment, |_| {}), environment),
            Err(complaint) => wrong_usage(&complaint),
        }
    }

    fn options(self, environment: &Environment) -> Result<Options, String> {
        let state = match self.state {
            Some(directory) => Some(directory),
            None => variable(environment, "PROBELET_STATE")?.map(PathBuf::from),
        };
        Ok(Options {
            source: ConfigSource::File(self.config.path(environment)?),
            listen: (!self.listen.is_empty()).then_some(self.listen),
            serve_without: self.config_error == OnError::Serve,
            state,
        })
    }
}

/// The exit of a daemon that ended, after saying why it did not start.
pub(super) fn ended(result: Result<(), StartError>, environment: &Environment) -> Exit {
    match result {
        Ok(()) => Exit::Fine,
        Err(StartError::Configuration(report)) => {
            complain(&report.text(coloured(&std::io::stderr(), environment)));
            Exit::Usage
        }
        Err(stop @ (StartError::Listen(_) | StartError::System(_))) => {
            complain(&format!("error: {stop}\n"));
            Exit::Unreachable
        }
    }
}
