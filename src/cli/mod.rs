//! The command line: one file per command.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::manifest::is_manifest;
use crate::config::source::{Environment, Input};

mod ask;
mod client;
mod completions;
mod demo;
mod drain;
mod duration;
pub mod explain;
mod first;
mod frequent;
mod install;
mod misplaced_file;
mod once;
mod output;
mod run;
mod schema;
mod selection;
mod simulate;
mod terminal;
mod validate;
mod wait;
mod wait_daemon;

/// What a command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Fine = 0,
    /// Unhealthy, or not valid.
    Unhealthy = 1,
    /// Wrong usage, or a configuration that cannot be used.
    Usage = 2,
    /// Could not listen, or could not reach the daemon.
    Unreachable = 3,
    /// `wait` ran out of time.
    TimedOut = 124,
    /// Ended by SIGINT: 128 and its number.
    Interrupted = 130,
    /// Ended by SIGTERM: 128 and its number.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The health sidecar: probes on a schedule, one snapshot, five endpoints.
#[derive(Debug, Parser)]
#[command(name = "probelet", version = version(), propagate_version = false, max_term_width = 80)]
#[command(after_help = "Exit codes:
    0  fine
    1  unhealthy, or not valid
    2  wrong usage, or a configuration that cannot be used
    3  could not listen, or could not reach the daemon
  124  wait ran out of time")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Demo(demo::Demo),
    Validate(validate::Validate),
    Once(once::Once),
    Wait(wait::Wait),
    Ask(ask::Ask),
    Drain(drain::Drain),
    Install(install::Install),
    Explain(explain::Explain),
    Simulate(simulate::Simulate),
    Schema(schema::Schema),
    Completions(completions::Completions),
}

/// Which configuration file a command works on.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration file, or a manifest whose ConfigMap holds it; `-` is standard input [default:
    /// $PROBELET_CONFIG, else /etc/probelet/config.yaml]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    const DEFAULT: &str = "/etc/probelet/config.yaml";

    /// Where it is.
    ///
    /// # Errors
    /// The complaint about `$PROBELET_CONFIG`.
    fn path(&self, environment: &Environment) -> Result<PathBuf, String> {
        self.config.clone().map_or_else(|| Self::unnamed(environment), Ok)
    }

    /// The file where none is named.
    fn unnamed(environment: &Environment) -> Result<PathBuf, String> {
        Ok(variable(environment, "PROBELET_CONFIG")?.unwrap_or(Self::DEFAULT).into())
    }

    /// The file, read.
    fn input(&self, environment: &Environment) -> Result<Input, String> {
        Ok(Input::read_manifests(&self.path(environment)?))
    }
}

/// What the variable `name` is set to; to set it to nothing is not to set it.
///
/// # Errors
/// The complaint about a value that is no text.
fn variable<'e>(environment: &'e Environment, name: &str) -> Result<Option<&'e str>, String> {
    environment
        .text(name)
        .map_err(|_| format!("error: ${name} is not UTF-8 text\n  help: set it to text, or unset it\n"))
}

/// The manifests of the pod: the file that is `named`, or what the configuration came in, where that is a manifest.
fn pod_manifest(named: Option<&Path>, configuration: Input) -> Option<Input> {
    match named {
        // Standard input can be read once.
        Some(path) if path == configuration.path => Some(configuration),
        Some(path) => Some(Input::read_manifests(path)),
        None => configuration.content.as_ref().is_ok_and(|text| is_manifest(text)).then_some(configuration),
    }
}

/// Runs the command that `arguments` (the program's name first) ask for, and returns the exit code.
pub fn run<I: IntoIterator<Item = OsString>>(arguments: I) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = match frequent::command(&arguments) {
        Some(command) => Ok(command),
        None => Arguments::try_parse_from(&arguments).map(|parsed| parsed.command),
    };
    let command = match parsed {
        Ok(command) => command,
        // Help and version are no errors: they go to standard output with 0; clap knows.
        Err(error) => {
            let error = misplaced_file::advised(error, &arguments);
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    let environment = Environment::of_process();
    let exit = match command {
        // The daemon attends to signals itself.
        Command::Run(command) => command.execute(&environment),
        Command::Demo(command) => command.execute(&environment),
        command => first::guarded(move || execute(command, &environment)),
    };
    exit.into()
}

/// Runs a command that does one thing and ends.
fn execute(command: Command, environment: &Environment) -> Exit {
    match command {
        Command::Run(command) => command.execute(environment),
        Command::Demo(command) => command.execute(environment),
        Command::Validate(command) => command.execute(environment),
        Command::Once(command) => command.execute(environment),
        Command::Wait(command) => command.execute(environment),
        Command::Ask(command) => command.execute(environment),
        Command::Drain(command) => command.execute(environment),
        Command::Install(command) => command.execute(),
        Command::Explain(command) => command.execute(environment),
        Command::Simulate(command) => command.execute(environment),
        Command::Schema(command) => command.execute(),
        Command::Completions(command) => command.execute(),
    }
}

/// `0.1.0 (revision abc)`, or without a revision where the build was not told one.
fn version() -> String {
    match option_env!("PROBELET_REVISION").filter(|revision| !revision.is_empty()) {
        Some(revision) => format!("{} (revision {revision})", env!("CARGO_PKG_VERSION")),
        None => env!("CARGO_PKG_VERSION").into(),
    }
}

/// Writes `text` to standard output, which decides nothing: an exec probe tells by its exit code.
fn print(text: &str) {
    let _ = written(text);
}

/// Writes the answer of a command that is run for its output, and returns the `exit` that goes with it. A reader that
/// has gone away (`| head`) is no error; an answer that cannot be written (a full disk) is never fine.
fn answer(text: &str, exit: Exit) -> Exit {
    let (exit, complaint) = answered(written(text), exit);
    if let Some(complaint) = complaint {
        complain(&complaint);
    }
    exit
}

/// How a command ends whose answer was written like this, and what is to be said about that.
fn answered(written: io::Result<()>, exit: Exit) -> (Exit, Option<String>) {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let complaint = format!("error: cannot write to standard output: {error}\n");
            (if exit == Exit::Fine { Exit::Usage } else { exit }, Some(complaint))
        }
        _ => (exit, None),
    }
}

fn written(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Says what is wrong with how a command is used.
fn wrong_usage(complaint: &str) -> Exit {
    complain(complaint);
    Exit::Usage
}

/// Writes `text` to standard error.
fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Whether output to `stream` may be coloured.
fn coloured(stream: &impl IsTerminal, environment: &Environment) -> bool {
    is_able(stream, environment) && environment.get("NO_COLOR").is_none_or(str::is_empty)
}

/// Whether `stream` is a terminal that knows more than plain lines.
fn is_able(stream: &impl IsTerminal, environment: &Environment) -> bool {
    stream.is_terminal() && environment.get("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}
