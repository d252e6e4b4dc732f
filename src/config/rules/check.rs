//! One check: its keys, what holds where they are left out, and the rules that need no other check.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::hosts::is_own_host;
use super::top::{Defaults, threshold};
use super::unread::Unread;
use super::{fingerprint, keys};
use crate::base::name::CheckName;
use crate::base::quantity::{parse_duration, show_duration};
use crate::base::value::{ParseSession, Section, Severity, SourceSpan, Value};
use crate::config::CheckTarget;
use crate::config::quote::shown;
use crate::config::read::{Reader, Scope};
use crate::config::source::Environment;
use crate::config::tree::Node;
use crate::model::plan::{Critical, Gates, Thresholds};
use crate::probe::{ProbeKind, Spec, heartbeat, kind};

/// A check as it was read, before it is looked at beside the others.
#[derive(Debug)]
pub struct CheckDraft {
    /// Its keys.
    pub fields: Section,
    /// Its name, if that follows the rule.
    pub name: Option<CheckName>,
    /// What it observes, if that could be read.
    pub observed: Option<KindSection>,
    /// Its times and thresholds, defaults filled in.
    pub timing: CheckTiming,
    /// Its target is on this pod.
    pub of_pod: bool,
    /// What a failure does.
    pub critical: Critical,
    /// Which gates it takes part in.
    pub gates: Gates,
    /// What it depends on.
    pub depends_on: Vec<DependsOnItem>,
    /// An earlier name.
    pub formerly: Option<CheckName>,
    /// Why it is switched off, where it is.
    pub disabled: Option<String>,
}

/// An item of `depends_on`.
#[derive(Debug)]
pub struct DependsOnItem {
    /// The name of the check.
    pub name: String,
    /// As it is written in the file.
    pub written: String,
    /// Where it stands.
    pub span: SourceSpan,
}

/// What a check observes.
#[derive(Debug)]
pub struct KindSection {
    /// The kind.
    pub kind: &'static ProbeKind,
    /// The target.
    pub target: CheckTarget,
}

/// When a check runs and what its results mean.
#[derive(Clone, Copy, Debug)]
pub struct CheckTiming {
    /// From start to start.
    pub interval: Duration,
    /// The file says no interval: this is the default.
    pub interval_by_default: bool,
    /// The hard limit of one run.
    pub timeout: Duration,
    /// When a streak changes the state.
    pub thresholds: Thresholds,
    /// A pass slower than this is degraded.
    pub degraded_above: Option<Duration>,
    /// A result older than this is stale.
    pub stale_after: Duration,
}

/// What holds for every kind that does not say otherwise.
const BUILT_IN: (&str, &str) = ("10s", "2s");

/// The first of them.
pub const GENERAL_INTERVAL: Duration = Duration::from_secs(10);

/// The app's own death and recovery are to be seen within seconds.
const INTERVAL_OF_THE_APP: &str = "2s";

/// A check that can have an app restarted is not to do so for one lost packet.
const LIVE_FAILURE_THRESHOLD: NonZeroU32 = NonZeroU32::new(3).expect("3 is not 0");

/// Reads the check at `node`; nothing when it is no mapping.
pub fn read(node: &Node, path: &str, reader: &Reader<'_>, defaults: &Defaults) -> Option<CheckDraft> {
    let scope = Scope { around: None, in_step: false };
    let fields = reader.section(node, &keys::CHECK, path, scope)?;
    Some(draft(fields, reader.session(), defaults, reader.environment()))
}

fn draft(fields: Section, session: &ParseSession, defaults: &Defaults, environment: &Environment) -> CheckDraft {
    let gates = gates(&fields);
    let observed = observed(&fields, session, gates, environment);
    let of_pod = observed.as_ref().is_some_and(|observed| observed.is_of_pod(environment));
    let cadence = observed.as_ref().and_then(|observed| observed.kind.cadence);
    let cadence = cadence.or((of_pod && (gates.live || gates.startup)).then_some((INTERVAL_OF_THE_APP, BUILT_IN.1)));
    let timing = timing(&fields, defaults, cadence, gates);
    let critical = critical(&fields, gates);
    CheckDraft {
        name: name(&fields, "name"),
        formerly: name(&fields, "formerly"),
        depends_on: depends_on(&fields),
        disabled: disabled(&fields),
        fields,
        observed,
        timing,
        of_pod,
        critical,
        gates,
    }
}

impl KindSection {
    /// Whether all that it observes is on this pod: the app's own beats, or targets on `localhost` and the like.
    fn is_of_pod(&self, environment: &Environment) -> bool {
        let hosts = self.target.spec.hosts();
        let all_own = !hosts.is_empty() && hosts.iter().all(|host| is_own_host(host, environment));
        self.kind.name == heartbeat::KIND.name || all_own
    }
}

fn name(fields: &Section, key: &str) -> Option<CheckName> {
    let text = fields.text(key)?;
    let name = text.fixed()?;
    match CheckName::new(&name) {
        Ok(name) => Some(name),
        Err(problem) => {
            let rule = "a name is a letter or digit, then letters, digits and `_./-`, at most 100 characters";
            let similar = similar_name(&name).filter(|_| !text.is_expanded());
            let help = similar.map_or_else(|| rule.to_owned(), |name| format!("did you mean `{name}`?"));
            let message = match (text.is_expanded(), name.as_str()) {
                (true, _) => format!("what `{}` stands for is not a name", shown(&text.written)),
                (false, "") => format!("the name {problem}"),
                (false, name) => format!("the name `{}` {problem}", shown(name)),
            };
            fields.error(key, "invalid-name", message, Some(help));
            None
        }
    }
}

/// `text` with `_` for what cannot stand in a name, if that makes one.
fn similar_name(text: &str) -> Option<CheckName> {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_./-".contains(c) { c } else { '_' };
    let similar: String = text.trim().chars().map(allowed).collect();
    CheckName::new(similar.trim_start_matches(['_', '.', '/', '-']))
        .ok()
        .filter(|_| text.is_ascii() && !text.contains("://"))
}

fn observed(fields: &Section, session: &ParseSession, gates: Gates, environment: &Environment) -> Option<KindSection> {
    // Where there are two, which is an error, it is the same one wherever they stand.
    let sections = fields.entries().filter_map(|(key, spanned)| match &spanned.value {
        Value::Section(section) => Some((kind(key)?, section)),
        _ => None,
    });
    let (kind, section) = sections.min_by_key(|(kind, _)| kind.name)?;
    let mut spec = match (kind.read)(section) {
        Some(spec) => spec,
        None if is_only_absent(session) => Box::new(Unread),
        None => {
            // Whatever a kind refuses must be seen as an error.
            if session.problems().iter().all(|problem| problem.severity == Severity::Warning) {
                let message = format!("this section `{}` cannot be used", kind.name);
                fields.error(kind.name, "invalid-value", message, None);
            }
            return None;
        }
    };
    // What can restart the app must see what a new client sees; and of reuse on this pod nobody has anything.
    let asks_for_restart = gates.live || gates.startup;
    let is_here = |hosts: &[&str]| hosts.iter().all(|host| is_own_host(host, environment));
    spec.prefer_fresh_connections(&|hosts| asks_for_restart || is_here(hosts));
    let spec: Arc<dyn Spec> = spec.into();
    let fingerprint = fingerprint::of(kind.name, section, session);
    Some(KindSection { kind, target: CheckTarget { spec, fingerprint } })
}

/// Whether a section could not be read for want of what the pod has, and for nothing else.
fn is_only_absent(session: &ParseSession) -> bool {
    let problems = session.problems();
    let is = |severity| problems.iter().any(|problem| problem.severity == severity);
    session.is_offline() && is(Severity::Note) && !is(Severity::Error)
}

fn gates(fields: &Section) -> Gates {
    let mut gates = Gates::default();
    for spanned in fields.list("gates") {
        let Value::Word(word) = spanned.value else { continue };
        let gate = match word {
            "live" => &mut gates.live,
            "ready" => &mut gates.ready,
            _ => &mut gates.startup,
        };
        if std::mem::replace(gate, true) {
            let message = format!("`{word}` is there twice");
            fields.report_at(&spanned.span, "repeated-item", message, Some("keep one of them".into()));
        }
    }
    gates
}

fn critical(fields: &Section, gates: Gates) -> Critical {
    match fields.get("critical").map(|spanned| &spanned.value) {
        Some(Value::Bool(false)) => Critical::No,
        Some(Value::Word(_)) => {
            if gates.live {
                let message = "`critical: at_startup` cannot gate `live`";
                let help = "take `live` out of `gates`: what holds back a new pod must not restart a running one";
                fields.error("critical", "at-startup-gates-live", message, Some(help.into()));
            }
            Critical::AtStartup
        }
        _ => Critical::Yes,
    }
}

/// Why it is switched off. A reason has to be given; `false` says, as charts do, that it is not.
fn disabled(fields: &Section) -> Option<String> {
    let reason = fields.text("disabled")?.fixed()?;
    let word = reason.trim().to_ascii_lowercase();
    if word == "false" {
        return None;
    }
    let help = match word.as_str() {
        "" | "true" | "yes" | "y" | "on" | "1" => "say why, as in `disabled: waits for the new cluster`",
        // Nobody means it as a reason, and a check that is meant to run must not be off for it.
        "no" | "n" | "off" | "0" | "null" | "none" => {
            "write `disabled: false`, or say why it is switched off, as in `disabled: waits for the new cluster`"
        }
        _ => return Some(reason),
    };
    fields.error("disabled", "empty-reason", "there is no reason why it is switched off", Some(help.to_owned()));
    Some(reason)
}

fn depends_on(fields: &Section) -> Vec<DependsOnItem> {
    let mut parents = Vec::new();
    let mut seen = HashSet::new();
    for spanned in fields.list("depends_on") {
        let Value::Text(text) = &spanned.value else { continue };
        let name = text.fixed().unwrap_or_default();
        if seen.insert(name.clone()) {
            parents.push(DependsOnItem { name, written: text.written.clone(), span: spanned.span.clone() });
        } else {
            let message = format!("`{}` is there twice", shown(&text.written));
            fields.report_at(&spanned.span, "repeated-item", message, Some("keep one of them".into()));
        }
    }
    parents
}

/// The check goes before `defaults`, these before the default of its kind or gate, that before what is built in.
fn timing(fields: &Section, defaults: &Defaults, cadence: Option<(&str, &str)>, gates: Gates) -> CheckTiming {
    let (interval, timeout) = cadence.unwrap_or(BUILT_IN);
    let built_in = |text| parse_duration(text).expect("the table of kinds holds durations");
    let written = fields.duration("interval").or(defaults.interval);
    let interval = written.unwrap_or_else(|| built_in(interval));
    let timeout = fields.duration("timeout").or(defaults.timeout).unwrap_or_else(|| built_in(timeout));
    let of_gate = if gates.live { LIVE_FAILURE_THRESHOLD } else { NonZeroU32::MIN };
    let degraded_above = fields.duration("degraded_above");
    if let Some(limit) = degraded_above.filter(|limit| *limit >= timeout) {
        let (limit, timeout) = (show_duration(limit), show_duration(timeout));
        let message = format!("`degraded_above` ({limit}) is not below `timeout` ({timeout})");
        let help = "no pass can be slower than the timeout: lower `degraded_above` or raise `timeout`";
        fields.error("degraded_above", "degraded-above-timeout", message, Some(help.into()));
    }
    CheckTiming {
        interval,
        interval_by_default: written.is_none(),
        timeout,
        thresholds: Thresholds {
            failure: threshold(fields, "failure_threshold").or(defaults.failure_threshold).unwrap_or(of_gate),
            success: threshold(fields, "success_threshold").or(defaults.success_threshold).unwrap_or(NonZeroU32::MIN),
        },
        degraded_above,
        stale_after: fields
            .duration("stale_after")
            .unwrap_or_else(|| interval.saturating_mul(3).saturating_add(timeout)),
    }
}
