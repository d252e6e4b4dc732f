//! `probelet drain`: a running daemon closes `/readyz` ahead of its end.

use std::thread;
use std::time::Duration;

use clap::Args;

use super::client::{DaemonClient, DaemonUrl, Deadline};
use super::{Exit, complain, print};
use crate::base::quantity::{parse_duration, show_duration};
use crate::config::source::Environment;

/// Tell a running daemon to close /readyz, and wait for server.drain
///
/// For the preStop hook of the sidecar's container: kubelet runs it when termination begins, while SIGTERM reaches
/// a native sidecar only after the app is gone.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  probelet drain
  probelet drain --undo

  lifecycle: { preStop: { exec: { command: [/probelet, drain] } } }")]
pub struct Drain {
    #[command(flatten)]
    url: DaemonUrl,
    /// Open it again, and do not wait
    #[arg(long)]
    undo: bool,
}

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// A pod that takes longer to end is none that this is for.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl Drain {
    pub(super) fn execute(self, environment: &Environment) -> Exit {
        let deadline = Deadline::after(PATIENCE);
        let daemon = match self.url.daemon(environment, deadline) {
            Ok(daemon) => daemon,
            Err(exit) => return exit,
        };
        match tell(&daemon, self.undo, deadline) {
            Ok(None) => {
                print("not draining\n");
                Exit::Fine
            }
            Ok(Some(drain)) => {
                print(&format!("draining for {}\n", show_duration(drain)));
                thread::sleep(drain);
                Exit::Fine
            }
            Err((why, exit)) => {
                complain(&format!("error: {why}\n"));
                exit
            }
        }
    }
}

/// Begins the drain, or undoes it: how long it takes, or why it was refused.
fn tell(daemon: &DaemonClient, undo: bool, deadline: Deadline) -> Result<Option<Duration>, (String, Exit)> {
    let method = if undo { "DELETE" } else { "POST" };
    let reply = daemon.ask(method, "/-/drain", deadline);
    let reply = reply.map_err(|error| (error.why().to_owned(), error.exit()))?;
    match (reply.status, undo) {
        (200, true) if reply.body == "not draining\n" => Ok(None),
        (200, false) if duration_in(&reply.body).is_some() => Ok(duration_in(&reply.body)),
        (409, true) => Err((format!("{daemon} was asked to end, and drains until then"), Exit::Unhealthy)),
        (403, _) => Err((
            format!(
                "{daemon} refuses: a drain is taken from the same host alone\n  help: run this in the pod, \
                 with http://127.0.0.1 or http://localhost"
            ),
            Exit::Usage,
        )),
        (404, _) if reply.is_of_narrow_address() => Err((
            format!(
                "{daemon} takes no drain: that address has `routes: probes` or `metrics`\n  help: name an address of \
                 `server.listen` with `routes: all`"
            ),
            Exit::Usage,
        )),
        (404, _) => Err((
            format!("{daemon} knows no drain\n  help: write `server: {{ control: true }}` in its configuration"),
            Exit::Usage,
        )),
        _ => Err((format!("{daemon} does not answer as probelet does"), Exit::Unreachable)),
    }
}

/// The time in `draining for 5s`.
fn duration_in(body: &str) -> Option<Duration> {
    let text = body.strip_prefix("draining for ")?.strip_suffix('\n')?;
    parse_duration(text).ok().filter(|drain| *drain <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_says_how_long_to_wait() {
        for (body, expected) in [
            ("draining for 5s\n", Some(5_000)),
            ("draining for 0.7s\n", Some(700)),
            ("draining for 0s\n", Some(0)),
            ("draining for 90.5s\n", Some(90_500)),
            ("draining for 999999s\n", None),
            ("draining for ever\n", None),
            ("draining\n", None),
        ] {
            assert_eq!(duration_in(body), expected.map(Duration::from_millis), "{body}");
        }
    }
}
