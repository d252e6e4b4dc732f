//! `probelet ask`: what a running daemon says, in a line.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::client::{ClientError, ClientResponse, DaemonClient, DaemonUrl, Deadline};
use super::duration::duration;
use super::selection::no_check;
use super::{Exit, complain, print};
use crate::config::source::Environment;
use crate::model::outcome::one_line;
use crate::model::verdict::Endpoint;

/// Ask a running daemon, for exec probes and HEALTHCHECK
///
/// Prints one line with the root cause, and ends with 0 when the endpoint is open or the check passes (degraded
/// counts as healthy), with 1 when not, and with 3 when the daemon does not answer in time: then nothing is known of
/// the app, and --if-unreachable ok ends with 0.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  probelet ask                                  should it get traffic?
  probelet ask livez --if-unreachable ok        in a liveness probe
  probelet ask daemon                           the sidecar's own health
  probelet ask internal_api/user                a single check")]
pub struct Ask {
    /// livez, readyz, startupz, healthz, daemon for the sidecar's own health, or the name of a check
    #[arg(value_name = "ENDPOINT|CHECK", default_value = "readyz")]
    about: String,
    #[command(flatten)]
    url: DaemonUrl,
    /// How long all of it may take
    #[arg(long, value_name = "DURATION", default_value = "800ms", value_parser = duration, allow_hyphen_values = true)]
    timeout: Duration,
    /// What it means when the daemon does not answer
    #[arg(long, value_name = "WORD", value_enum, default_value_t = Unreachable::Fail)]
    if_unreachable: Unreachable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Unreachable {
    Fail,
    Ok,
}

/// What is taken from the json of an endpoint.
#[derive(Deserialize)]
struct EndpointReport {
    status: String,
    data: EndpointData,
    checks: Vec<EndpointCheck>,
    #[serde(default)]
    disabled: Vec<EndpointDisabled>,
    #[serde(default)]
    root_causes: Vec<String>,
}

#[derive(Deserialize)]
struct EndpointDisabled {
    name: String,
    reason: String,
}

#[derive(Deserialize)]
struct EndpointData {
    message: String,
}

#[derive(Deserialize)]
struct EndpointCheck {
    name: String,
    status: String,
    message: String,
    state: String,
    #[serde(default)]
    root_causes: Vec<String>,
}

impl Ask {
    pub(super) fn execute(self, environment: &Environment) -> Exit {
        let deadline = Deadline::after(self.timeout);
        let daemon = match self.url.daemon(environment, deadline) {
            Ok(daemon) => daemon,
            Err(exit) => return exit,
        };
        match about(&daemon, &self.about, deadline) {
            Ok(AskResult::Line(line, exit)) => {
                print(&format!("{line}\n"));
                exit
            }
            Ok(AskResult::UnknownCheck(complaint)) => {
                complain(&complaint);
                Exit::Usage
            }
            Err(ClientError::Unreachable(why)) if self.if_unreachable == Unreachable::Ok => {
                print(&format!("{} is not known, taken as ok: {why}\n", one_line(&self.about)));
                Exit::Fine
            }
            Err(error) => {
                complain(&format!("error: {}\n", error.why()));
                error.exit()
            }
        }
    }
}

/// What there is to tell.
#[derive(Debug)]
pub(super) enum AskResult {
    /// How it stands, in a line.
    Line(String, Exit),
    /// There is no such check, and what there is; or it is switched off, and why.
    UnknownCheck(String),
}

/// What `daemon` says about an endpoint, itself (`daemon`), or else a check of that name.
pub(super) fn about(daemon: &DaemonClient, subject: &str, deadline: Deadline) -> Result<AskResult, ClientError> {
    match Endpoint::ALL.into_iter().find(|endpoint| endpoint.label() == subject) {
        Some(endpoint) => about_endpoint(daemon, endpoint, deadline),
        None if subject == "daemon" => about_daemon(daemon, deadline),
        None => about_check(daemon, subject, deadline),
    }
}

fn about_endpoint(daemon: &DaemonClient, endpoint: Endpoint, deadline: Deadline) -> Result<AskResult, ClientError> {
    let name = endpoint.label();
    let (report, exit) = report(daemon, name, &format!("for {name}"), deadline)?;
    let mut line = format!("{name} {}", report.status);
    if report.status != "ok" && !why(&report).is_empty() {
        line += &format!(": {}", why(&report).join("; "));
    }
    Ok(AskResult::Line(line, exit))
}

/// The daemon's own health: whether its scheduler makes progress.
fn about_daemon(daemon: &DaemonClient, deadline: Deadline) -> Result<AskResult, ClientError> {
    let ClientResponse { status, health, body } = daemon.ask("GET", "/-/healthy", deadline)?;
    match (status, health.as_deref()) {
        (200, Some("ok")) => Ok(AskResult::Line("daemon ok".into(), Exit::Fine)),
        (503, Some("error")) => Ok(AskResult::Line(format!("daemon error: {}", one_line(&body)), Exit::Unhealthy)),
        _ => Err(ClientError::Unreachable(format!("{daemon} does not answer as probelet does"))),
    }
}

/// The state of one check, by the json of `/healthz`, which has all of them.
fn about_check(daemon: &DaemonClient, name: &str, deadline: Deadline) -> Result<AskResult, ClientError> {
    let (report, _) = report(daemon, "healthz", "for a single check", deadline)?;
    let Some(check) = report.checks.iter().find(|check| check.name == name) else {
        if let Some(off) = report.disabled.iter().find(|off| off.name == name) {
            let reason = one_line(&off.reason);
            return Ok(AskResult::UnknownCheck(format!("error: the check `{name}` is switched off: {reason}\n")));
        }
        if report.checks.is_empty() {
            return about_nameless(daemon, name, deadline);
        }
        let known: Vec<&str> = report.checks.iter().map(|check| check.name.as_str()).collect();
        return Ok(AskResult::UnknownCheck(no_check(name, &known, "the daemon's configuration")));
    };
    let exit = if check.status == "error" { Exit::Unhealthy } else { Exit::Fine };
    let state = one_line(&check.state);
    let why = match (state.as_str(), check.root_causes.is_empty()) {
        ("ok", _) => String::new(),
        ("skipped", false) => format!(": root cause {}", causes(&report, &check.root_causes)),
        _ => said(&check.message),
    };
    Ok(AskResult::Line(format!("{name} {state}{why}"), exit))
}

/// Where the daemon names no checks (`server.details: none`, or there are none), its code still tells about one.
fn about_nameless(daemon: &DaemonClient, name: &str, deadline: Deadline) -> Result<AskResult, ClientError> {
    let ClientResponse { status, health, .. } = daemon.ask("GET", &format!("/healthz/{}", encoded(name)), deadline)?;
    match (status, health.as_deref()) {
        (200, Some(state @ ("ok" | "degraded"))) => Ok(AskResult::Line(format!("{name} {state}"), Exit::Fine)),
        (500 | 503, Some("error")) => Ok(AskResult::Line(format!("{name} error"), Exit::Unhealthy)),
        (404, _) => Ok(AskResult::UnknownCheck(format!(
            "error: there is no check `{}` in the daemon's configuration\n",
            one_line(name)
        ))),
        _ => Err(ClientError::Unreachable(format!("{daemon} does not answer as probelet does"))),
    }
}

/// The name of a check as it stands in a path: everything but RFC 3986's unreserved characters is encoded.
fn encoded(name: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(name, RESERVED).to_string()
}

/// The report on an endpoint, and what it means; `what` it is asked for. An answer whose words and code do not agree is
/// none.
fn report(
    daemon: &DaemonClient,
    endpoint: &str,
    what: &str,
    deadline: Deadline,
) -> Result<(EndpointReport, Exit), ClientError> {
    let stranger = || ClientError::Unreachable(format!("{daemon} does not answer as probelet does"));
    let reply = daemon.ask("GET", &format!("/{endpoint}?format=json"), deadline)?;
    if reply.is_of_narrow_address() {
        return Err(daemon.narrow(what));
    }
    let report: EndpointReport = serde_json::from_str(&reply.body).map_err(|_| stranger())?;
    let exit = match (reply.status, report.status.as_str()) {
        (200, "ok" | "degraded") => Exit::Fine,
        (500 | 503, "error") => Exit::Unhealthy,
        _ => return Err(stranger()),
    };
    if reply.health.as_deref() != Some(&report.status) {
        return Err(stranger());
    }
    Ok((report, exit))
}

/// Why an endpoint is not `ok`: what it says of itself (it drains, it has no configuration), and its root causes, or
/// whatever is wrong with its checks.
fn why(report: &EndpointReport) -> Vec<String> {
    let mut reasons = Vec::new();
    match report.data.message.as_str() {
        "Some checks are degraded" | "Some checks failed" | WITHHELD => {}
        "Draining" => reasons.push("draining".to_owned()),
        message => reasons.push(one_line(message)),
    }
    let worries = report.checks.iter().filter(|check| check.status != "ok").map(|check| check.name.clone());
    let worries: Vec<String> = worries.collect();
    if !report.root_causes.is_empty() {
        reasons.push(format!("root cause {}", causes(report, &report.root_causes)));
    } else if reasons.is_empty() && !worries.is_empty() {
        reasons.push(causes(report, &worries));
    }
    reasons
}

/// What stands in place of a message that the daemon is not to tell.
const WITHHELD: &str = "withheld";

/// The first of these checks, each with its message.
fn causes(report: &EndpointReport, names: &[String]) -> String {
    const MOST: usize = 3;
    let shown = names.iter().take(MOST).map(|name| {
        let check = report.checks.iter().find(|check| check.name == *name);
        one_line(name) + &check.map(|check| said(&check.message)).unwrap_or_default()
    });
    let mut shown = shown.collect::<Vec<_>>().join("; ");
    if names.len() > MOST {
        shown += &format!("; … and {} more", names.len() - MOST);
    }
    shown
}

/// A message, unless the daemon does not tell.
fn said(message: &str) -> String {
    if message == WITHHELD { String::new() } else { format!(": {}", one_line(message)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_of_a_path() {
        assert_eq!(encoded("internal_api/user-1.x"), "internal_api%2Fuser-1.x");
        assert_eq!(encoded("a b?c"), "a%20b%3Fc");
    }

    #[test]
    fn many_causes_are_cut_short() {
        let check = |name: &str, message: &str| EndpointCheck {
            name: name.into(),
            status: "error".into(),
            message: message.into(),
            state: "error".into(),
            root_causes: Vec::new(),
        };
        let report = EndpointReport {
            status: "error".into(),
            data: EndpointData { message: "Some checks failed".into() },
            disabled: Vec::new(),
            checks: vec![check("a", "connection\nrefused"), check("b", "withheld")],
            root_causes: Vec::new(),
        };
        let names: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        assert_eq!(causes(&report, &names), "a: connection refused; b; c; … and 2 more");
        assert_eq!(why(&report), ["a: connection refused; b"]);
        let draining = EndpointReport {
            data: EndpointData { message: "Draining".into() },
            root_causes: vec!["a".into()],
            ..report
        };
        assert_eq!(why(&draining), ["draining", "root cause a: connection refused"]);
    }
}
