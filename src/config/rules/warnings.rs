//! What is allowed and probably not what was meant.

use super::check::{CheckDraft, GENERAL_INTERVAL, KindSection};
use super::hosts::{is_external, is_own_host};
use super::top::Defaults;
use crate::base::quantity::{show_duration, show_size};
use crate::base::value::Section;
use crate::config::HistoryConfig;
use crate::config::source::Environment;
use crate::model::plan::Critical;
use crate::probe::KINDS;

/// Reports what is questionable about one check.
pub fn look_at(draft: &CheckDraft, defaults: &Defaults, environment: &Environment) {
    timeout_above_interval(draft, defaults);
    restart_for_another(draft, environment);
    live_without_effect(draft);
    bare_tcp(draft);
    password_in_clear(draft, environment);
}

/// It is said at the check where that says one of them, else once at the default from which it follows.
fn timeout_above_interval(CheckDraft { fields, timing, .. }: &CheckDraft, defaults: &Defaults) {
    // A timeout that the general interval has room for is not blamed where the app is looked at more often than that.
    let by_default = timing.interval_by_default && timing.timeout <= GENERAL_INTERVAL;
    if timing.timeout <= timing.interval || by_default {
        return;
    }
    let (timeout, interval) = (show_duration(timing.timeout), show_duration(timing.interval));
    let message = format!("`timeout` ({timeout}) is above `interval` ({interval}): a slow run makes the next one late");
    let (code, help) = ("timeout-above-interval", Some("lower `timeout` or raise `interval`".into()));
    let own = ["timeout", "interval"].into_iter().find(|key| fields.get(key).is_some());
    match (own, &defaults.timing) {
        (None, Some(span)) => fields.warning_at(span, code, message, help),
        (own, _) => fields.warning(own.unwrap_or("interval"), code, message, help),
    }
}

/// A restart of the app cannot mend what runs elsewhere.
fn restart_for_another(draft: &CheckDraft, environment: &Environment) {
    let asks_for_restart = draft.gates.live || draft.gates.startup;
    let is_external = |observed: &KindSection| is_external(&*observed.target.spec, environment);
    if !(draft.observed.as_ref().is_some_and(is_external) && asks_for_restart && draft.critical != Critical::No) {
        return;
    }
    let gate = if draft.gates.live { "live" } else { "startup" };
    let message = format!("an external dependency gates `{gate}`: a restart of the app cannot mend it");
    let help = "write `gates: [ready]`, with `critical: at_startup` if other pods need it as well";
    draft.fields.warning("gates", "external-gate", message, Some(help.into()));
}

fn live_without_effect(CheckDraft { fields, critical, gates, .. }: &CheckDraft) {
    if *critical == Critical::No && gates.live {
        let message = "`critical: false` never closes `/livez`, so `live` in `gates` does nothing but degrade it";
        let help = "take `live` out of `gates`, or write `critical: true`";
        fields.warning("critical", "uncritical-live", message, Some(help.into()));
    }
}

/// A connection without a word tells little about these servers, and disturbs them.
fn bare_tcp(CheckDraft { fields, .. }: &CheckDraft) {
    let Some(section) = fields.section("tcp").filter(|tcp| tcp.text("send").or(tcp.text("expect")).is_none()) else {
        return;
    };
    let address = section.text("address").and_then(crate::base::value::Text::fixed).unwrap_or_default();
    let port = address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    let known = KINDS.iter().filter_map(|kind| kind.bare_tcp.map(|(default, why)| (kind.name, default, why)));
    let Some((kind, _, why)) = known.into_iter().find(|(_, default, _)| Some(*default) == port) else { return };
    let message = format!("a bare TCP connection to the port of `{kind}`: {why}");
    section.warning("address", "bare-tcp", message, Some(format!("write `{kind}: …`, which asks the server itself")));
}

/// Without TLS, whatever answers at the address of the server may ask for the password and gets it.
fn password_in_clear(CheckDraft { fields, observed, .. }: &CheckDraft, environment: &Environment) {
    let Some(KindSection { kind, target }) = observed else { return };
    if target.spec.hosts_told_the_password().iter().all(|host| is_own_host(host, environment)) {
        return;
    }
    let message = "without TLS whoever answers at this address can ask for the password in clear, or as MD5";
    let help = "write `require_auth: scram-sha-256`, or `sslmode=require` or a stricter one in the URL";
    let section = fields.section(kind.name).unwrap_or(fields);
    let key = if section.get("url").is_some() { "url" } else { "steps" };
    section.warning(key, "password-in-clear", message, Some(help.into()));
}

/// A file that comes to its bound with next to nothing of the past of so many checks in it.
pub fn small_history(top: &Section, checks: usize) {
    let Some(history) = top.section("history") else { return };
    let least = HistoryConfig::least_max_size(checks);
    if let Some(size) = history.size("max_size").filter(|size| *size < least) {
        let message = format!("`max_size` ({}) leaves hardly any room for a past", show_size(size));
        let help = format!("write `{}KiB` or more: each check wants some of it", least / 1024);
        history.warning("max_size", "small-history", message, Some(help));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::read;
    use crate::config::source::Environment;

    /// Each warning with its place.
    fn warnings(text: &str) -> Vec<String> {
        let environment = Environment::of::<String, String>([]);
        let unread = Box::new(|_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into()));
        let report = read("test", text.as_bytes(), &environment, unread).report;
        let line = |found: &crate::config::diagnostic::Diagnostic| {
            let crate::base::value::Problem { span, message, .. } = &found.problem;
            format!("{}:{} {}: {}", span.line, span.column, span.path, message.split(':').next().unwrap_or_default())
        };
        report.diagnostics().iter().map(line).collect()
    }

    fn defaults(defaults: &str, checks: &[&str]) -> Vec<String> {
        let check = |(at, more): (usize, &&str)| format!("- {{ name: c{at}, simulated: {{}}{more} }}\n");
        let checks: String = checks.iter().enumerate().map(check).collect();
        warnings(&format!("defaults: {{ {defaults} }}\nchecks:\n{checks}"))
    }

    #[test]
    fn a_default_that_is_wrong_for_all_is_reported_once_and_where_it_stands() {
        let long = "`timeout` (20s) is above `interval` (10s)";
        let of_timeout = format!("1:22 defaults.timeout: {long}");
        for said in ["timeout: 20s", "timeout: 20s, interval: 10s"] {
            assert_eq!(defaults(said, &["", "", ""]), [of_timeout.as_str()], "{said}");
        }
        let quick = "1:23 defaults.interval: `timeout` (2s) is above `interval` (1s)";
        assert_eq!(defaults("interval: 1s", &["", ""]), [quick]);
    }

    #[test]
    fn a_check_that_says_one_of_them_is_told_at_its_own_key() {
        let own = |key: &str| format!("3:40 checks[0].{key}");
        let found = defaults("timeout: 20s", &[", interval: 15s", ", interval: 30s"]);
        assert_eq!(found, [own("interval") + ": `timeout` (20s) is above `interval` (15s)"]);
        let found = defaults("interval: 1s, timeout: 1s", &[", timeout: 3s", ""]);
        assert_eq!(found, ["3:39 checks[0].timeout: `timeout` (3s) is above `interval` (1s)"]);
    }

    #[test]
    fn a_history_without_room_is_told_what_to_write() {
        let with = |size: &str| warnings(&format!("history: {{ max_size: {size} }}\nchecks: []\n"));
        assert_eq!(with("127KiB"), ["1:22 history.max_size: `max_size` (127.0 KiB) leaves hardly any room for a past"]);
        assert_eq!((with("128KiB"), warnings("checks: []\n")), (vec![], vec![]));
    }

    #[test]
    fn one_check_allows_it_for_itself_alone() {
        let allow = ", allow: { timeout-above-interval: it is slow }";
        assert_eq!(defaults("timeout: 20s", &[allow, allow]), [""; 0]);
        assert_eq!(defaults("timeout: 20s", &[allow, ""]).len(), 1);
    }
}
