//! What a reload changes: which checks are new, which have changed, which go on as they were.

use std::sync::Arc;

use super::Config;
use crate::base::name::CheckName;
use crate::model::index::{CheckIndex, CheckSet};
use crate::model::plan::{Definition, Origin};

/// The difference between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigDiff {
    /// For each check of the new plan, in its order, where it comes from.
    pub origins: Vec<Origin>,
    /// The positions in the old plan of the checks that are gone.
    pub removed: Vec<CheckIndex>,
    /// The addresses of `server.listen` have changed, which takes a restart.
    pub listen_changed: bool,
    /// `history.path` has changed, which takes a restart.
    pub history_path_changed: bool,
}

impl ConfigDiff {
    /// What `new` changes about `old`.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let origin = |position| {
            let Some(before) = position_before(old, new, position) else { return Origin::Added };
            if is_same((old, before), (new, position)) { Origin::Kept(before) } else { Origin::Changed(before) }
        };
        let origins: Vec<Origin> = new.plan.indices().map(origin).collect();
        let goes_on: CheckSet = origins.iter().filter_map(|origin| origin.before()).collect();
        Self {
            removed: old.plan.indices().filter(|position| !goes_on.contains(*position)).collect(),
            origins,
            listen_changed: !old.server.listens_where(&new.server),
            history_path_changed: old.history.path != new.history.path,
        }
    }

    /// Whether every check is kept and none is gone.
    #[must_use]
    pub fn keeps_every_check(&self) -> bool {
        self.removed.is_empty() && self.origins.iter().all(|origin| matches!(origin, Origin::Kept(_)))
    }
}

/// Where the check at `position` of `new` stands in `old`: by its name, or by the one that it had there.
fn position_before(old: &Config, new: &Config, position: CheckIndex) -> Option<CheckIndex> {
    let check = &new.plan.checks[position];
    let of_name = |name: &CheckName| old.plan.checks.position_near(name.as_str(), position);
    of_name(&check.name).or_else(|| of_name(new.plan.former_name(check)?))
}

/// Whether they are the same in everything that matters to a check's state: not what is said to people about it, and its
/// parents by name, wherever they stand in the file.
fn is_same((old, before): (&Config, CheckIndex), (new, position): (&Config, CheckIndex)) -> bool {
    old.targets[before].fingerprint == new.targets[position].fingerprint
        && is_declared_alike(&old.plan.checks[before], &new.plan.checks[position])
        && has_same_parents((old, before), (new, position))
}

fn has_same_parents((old, before): (&Config, CheckIndex), (new, position): (&Config, CheckIndex)) -> bool {
    let parents_of = |config: &Config, index: CheckIndex| config.plan.checks[index].depends_on.clone();
    let mut of_old: Vec<_> = parents_of(old, before).into_iter().map(Some).collect();
    let parents = parents_of(new, position).into_iter();
    let mut of_new: Vec<_> = parents.map(|parent| position_before(old, new, parent)).collect();
    of_old.sort_unstable();
    of_new.sort_unstable();
    of_old == of_new
}

fn is_declared_alike(one: &Arc<Definition>, other: &Arc<Definition>) -> bool {
    if Arc::ptr_eq(one, other) {
        return true;
    }
    // By name, so that who adds a key has to say here what it means to a reload.
    let Definition {
        name,
        kind,
        description: _,
        runbook: _,
        target: _,
        interval,
        timeout,
        initial_delay,
        thresholds,
        critical,
        gates,
        depends_on: _,
        degraded_above,
        stale_after,
        max_connection_age,
        max_age,
        beat_token,
        formerly: _,
        of_pod,
        // The counts go on as far as they can, and nothing else changes.
        duration_buckets: _,
    } = &**one;
    (name, kind, of_pod) == (&other.name, &other.kind, &other.of_pod)
        && (interval, timeout, initial_delay) == (&other.interval, &other.timeout, &other.initial_delay)
        && (thresholds, critical, gates) == (&other.thresholds, &other.critical, &other.gates)
        && (degraded_above, stale_after) == (&other.degraded_above, &other.stale_after)
        && (max_connection_age, max_age) == (&other.max_connection_age, &other.max_age)
        && *beat_token == other.beat_token
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Environment;
    use crate::config::{MAX_BYTES, read_after};
    use crate::model::plan::testing::indices;

    fn config(text: &str) -> Config {
        config_with(text, b"secret")
    }

    fn config_with(text: &str, secret: &'static [u8]) -> Config {
        let environment = Environment::of([("MESSAGE", "fine")]);
        let loaded = crate::config::read("test", text.as_bytes(), &environment, Box::new(|_| Ok(secret.to_vec())));
        loaded.config.unwrap_or_else(|| panic!("{}", loaded.report.text(false)))
    }

    fn kept(at: usize) -> Origin {
        Origin::Kept(CheckIndex::new(at))
    }

    fn changed(at: usize) -> Origin {
        Origin::Changed(CheckIndex::new(at))
    }

    fn changes(old: &str, new: &str) -> (Vec<Origin>, Vec<CheckIndex>) {
        let diff = ConfigDiff::between(&config(old), &config(new));
        (diff.origins, diff.removed)
    }

    const OLD: &str = "checks:
  - { name: a, simulated: { ok_message: fine } }
  - { name: b, depends_on: [a], simulated: {} }
  - { name: c, simulated: {} }
";

    #[test]
    fn checks_are_matched_by_name_wherever_they_stand() {
        let new = "checks:
  - { name: c, simulated: {} }
  - { name: d, simulated: {} }
  - { name: b, depends_on: [a], simulated: {} }
  - { name: a, simulated: { ok_message: fine } }
";
        use Origin::Added;
        assert_eq!(changes(OLD, new), (vec![kept(2), Added, kept(1), kept(0)], vec![]));
        assert!(ConfigDiff::between(&config(OLD), &config(OLD)).keeps_every_check());
    }

    #[test]
    fn a_check_has_changed_when_its_target_its_rules_or_its_parents_have() {
        let new = "checks:
  - { name: a, simulated: { ok_message: good } }
  - { name: b, depends_on: [c], simulated: {} }
  - { name: c, interval: 5s, simulated: {} }
";
        assert_eq!(changes(OLD, new), (vec![changed(0), changed(1), changed(2)], vec![]));
        let other_kind = "checks: [{ name: a, disk: { path: / } }]";
        assert_eq!(changes(OLD, other_kind), (vec![changed(0)], indices(&[1, 2])));
    }

    #[test]
    fn a_check_that_has_another_name_has_changed_and_what_depends_on_it_has_not() {
        let new = "checks:
  - { name: b, depends_on: [database], simulated: {} }
  - { name: database, formerly: a, simulated: { ok_message: fine } }
  - { name: d, formerly: c, simulated: {} }
  - { name: c, simulated: {} }
";
        use Origin::Added;
        assert_eq!(changes(OLD, new), (vec![kept(1), changed(0), Added, kept(2)], vec![]));
        let other = "checks: [{ name: x, formerly: never, simulated: {} }]";
        assert_eq!(changes(OLD, other), (vec![Added], indices(&[0, 1, 2])));
    }

    #[test]
    fn words_for_people_and_the_way_of_writing_change_nothing() {
        let new = "defaults: { interval: 10s }
checks:
  - { name: a, description: A, runbook: \"https://a/\", simulated: { ok_message: \"${MESSAGE}\" } }
  - { name: b, depends_on: [a], gates: [ready], simulated: { latency: 0s } }
  - { name: c, simulated: {}, formerly: x }
";
        assert_eq!(changes(OLD, new), (vec![kept(0), kept(1), kept(2)], vec![]));
    }

    #[test]
    fn keys_in_another_order_are_the_same_target() {
        let check = |keys: &str| format!("checks: [{{ name: a, http: {{ {keys} }} }}]");
        let (one, other) = (
            "url: \"http://a/\", method: HEAD, version: \"1.1\"",
            "version: \"1.1\", method: HEAD, url: \"http://a/\"",
        );
        assert_eq!(changes(&check(one), &check(other)), (vec![kept(0)], vec![]));
    }

    #[test]
    fn the_content_of_a_named_file_is_part_of_the_target() {
        let text = "checks:
  - { name: a, simulated: { ok_message: \"${file:/run/message}\" } }
  - { name: b, simulated: {} }
";
        let diff = ConfigDiff::between(&config_with(text, b"one"), &config_with(text, b"two"));
        assert_eq!(diff.origins, [changed(0), kept(1)]);
    }

    #[test]
    fn an_address_that_stands_elsewhere_in_the_list_or_answers_something_else_is_the_same() {
        let two =
            |first: &str, second: &str| config(&format!("{{ server: {{ listen: [{first}, {second}] }}, checks: [] }}"));
        let (one, other) = ("\":9000\"", "\"127.0.0.1:9001\"");
        let before = two(one, other);
        let changed = |after: &Config| ConfigDiff::between(&before, after).listen_changed;
        assert!(!changed(&two(other, "{ address: \":9000\", routes: probes }")));
        assert!(changed(&two(one, "\"127.0.0.1:9002\"")));
        assert!(changed(&config("{ server: { listen: \":9000\" }, checks: [] }")));
    }

    #[test]
    fn what_two_configurations_say_alike_is_there_once() {
        let new = "checks:
  - { name: new, simulated: {} }
  - { name: c, simulated: {} }
  - { name: a, description: A, simulated: { ok_message: fine } }
  - { name: b, depends_on: [a], simulated: {} }
";
        let (old, plain) = (config(OLD), config(new));
        let environment = Environment::of([("MESSAGE", "fine")]);
        let unread = Box::new(|_: &std::path::Path| Ok(b"secret".to_vec()));
        let shared = read_after(("test", new.as_bytes(), MAX_BYTES), &environment, unread, Some(&old)).config.unwrap();
        assert_eq!(
            (&*shared.plan, ConfigDiff::between(&old, &shared)),
            (&*plain.plan, ConfigDiff::between(&old, &plain))
        );
        let once = |name: &str| {
            let (one, other) = (old.plan.position(name).unwrap(), shared.plan.position(name).unwrap());
            Arc::ptr_eq(&old.plan.checks[one], &shared.plan.checks[other])
                && Arc::ptr_eq(&old.targets[one].spec, &shared.targets[other].spec)
        };
        // What `b` depends on stands elsewhere now, and of `a` something else is said.
        assert_eq!(["a", "b", "c"].map(once), [false, false, true]);
    }

    #[test]
    fn what_takes_a_restart_is_flagged() {
        let diff = |new: &str| {
            let diff = ConfigDiff::between(&config("checks: []"), &config(new));
            (diff.listen_changed, diff.history_path_changed)
        };
        assert_eq!(diff("{ server: { listen: \":10240\", drain: 1s }, checks: [] }"), (false, false));
        assert_eq!(diff("{ server: { listen: \":80\" }, history: { path: /a }, checks: [] }"), (true, true));
    }
}
