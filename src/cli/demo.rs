//! `probelet demo`: the daemon on its built-in configuration.

use std::net::SocketAddr;

use clap::Args;

use super::run::ended;
use super::{Exit, print};
use crate::config::Listen;
use crate::config::source::Environment;
use crate::daemon::{self, ConfigSource, Options};

/// Run the daemon on a built-in example: a small shop
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  probelet demo\n  curl localhost:10240/healthz")]
pub struct Demo {
    /// Listen here
    #[arg(long, value_name = "ADDR", default_value = ":10240")]
    listen: Listen,
}

impl Demo {
    pub(super) fn execute(self, environment: &Environment) -> Exit {
        let options =
            Options { source: ConfigSource::Demo, listen: Some(vec![self.listen]), serve_without: false, state: None };
        ended(daemon::run(&options, environment, |addresses| print(&welcome(addresses))), environment)
    }
}

/// Where to look.
fn welcome(addresses: &[SocketAddr]) -> String {
    let base = match addresses.first() {
        Some(address) if address.ip().is_unspecified() => format!("http://localhost:{}", address.port()),
        Some(address) => format!("http://{address}"),
        None => "http://localhost:10240".into(),
    };
    format!(
        "probelet demo: a small shop with make-believe dependencies that fail now and then.\n\
         \n\
         \x20 open {base} in a browser: the page, live\n\
         \n\
         \x20 curl {base}/healthz            every check, as a table (?format=json for more)\n\
         \x20 curl '{base}/readyz?verbose'   should it get traffic, and why not\n\
         \x20 curl '{base}/livez?verbose'    should it be restarted\n\
         \x20 curl {base}/metrics            for Prometheus\n\
         \n\
         Ctrl-C drains and ends it, a second one at once.\n\n"
    )
}
