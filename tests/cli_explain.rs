//! `probelet explain`: codes, the decision matrix, the time budgets, and what is said about a pod's probes.

#[path = "golden/cli/golden.rs"]
mod golden;

use golden::Golden;
use probelet::config::CODES;
use probelet::simulation::pitfalls::PITFALLS;

const EXPLAIN: Golden = Golden { folder: "explain" };

#[test]
fn a_code_is_explained_with_a_wrong_and_a_right_example() {
    EXPLAIN.expect("code.txt", 0, "explain unknown-key");
}

#[test]
fn every_code_is_explained() {
    let names = CODES.iter().map(|code| code.name).chain(PITFALLS.iter().map(|pitfall| pitfall.name));
    let explained = names.map(|name| EXPLAIN.output(0, &format!("explain {name}"), false));
    EXPLAIN.compare("codes.txt", &explained.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_code_may_be_copied_with_its_brackets() {
    EXPLAIN.expect("code.txt", 0, "explain error[unknown-key]");
}

#[test]
fn an_unknown_code_gets_all_there_are() {
    EXPLAIN.expect("banana.err", 2, "explain banana");
}

#[test]
fn alone_it_says_what_it_can_do() {
    EXPLAIN.expect("alone.txt", 0, "explain");
}

#[test]
fn a_file_in_place_of_a_code_is_told_its_option() {
    EXPLAIN.expect("file.err", 2, "explain config.yaml");
}

#[test]
fn the_worst_time_of_a_heartbeat_is_its_age_and_an_interval() {
    EXPLAIN.expect("heartbeat.txt", 0, "explain --config heartbeat.yaml");
}

#[test]
fn a_missing_configuration_is_named() {
    EXPLAIN.expect("missing.err", 2, "explain --config missing.yaml");
}

#[test]
fn a_broken_manifest_is_shown_where_it_is_broken() {
    EXPLAIN.expect("broken.err", 2, "explain --config shop.yaml --pod broken.yaml");
}

#[test]
fn what_details_none_turns_off_is_told_of_probes_that_ask_for_it() {
    EXPLAIN.expect("silent.txt", 0, "explain --config silent.yaml --pod silent-pod.yaml");
}

#[test]
fn a_probe_without_the_token_is_told_that_it_never_passes() {
    EXPLAIN.expect("token.txt", 0, "explain --config token.yaml --pod token-pod.yaml");
}

#[test]
fn a_misspelt_code_finds_the_one_that_was_meant() {
    EXPLAIN.expect("code.err", 2, "explain unknwn-key");
}

#[test]
fn a_configuration_is_explained_by_what_each_failure_closes_and_how_soon() {
    EXPLAIN.expect("shop.txt", 0, "explain --config shop.yaml");
}

#[test]
fn a_pod_adds_what_kubelet_does_and_when() {
    EXPLAIN.expect("deployment.txt", 0, "explain --config shop.yaml --pod deployment.yaml");
}

#[test]
fn the_pod_is_found_in_the_manifest_that_holds_the_configuration() {
    EXPLAIN.expect("chart.txt", 0, "explain --config chart.yaml");
}

#[test]
fn a_manifest_with_several_configurations_is_not_guessed_at() {
    EXPLAIN.expect("charts.err", 2, "explain --config charts.yaml");
}

#[test]
fn probes_that_cannot_work_are_named_with_what_to_write() {
    EXPLAIN.expect("amiss.txt", 0, "explain --config shop.yaml --pod amiss.yaml");
}

#[test]
fn starts_and_outages_that_take_too_long_are_named() {
    EXPLAIN.expect("hasty.txt", 0, "explain --config patient.yaml --pod hasty.yaml");
}

#[test]
fn a_pod_that_asks_nothing_of_probelet_is_told_what_to_write() {
    EXPLAIN.expect("elsewhere.txt", 0, "explain --config shop.yaml --pod elsewhere.yaml");
}

#[test]
fn a_manifest_without_a_pod_is_refused() {
    EXPLAIN.expect("no-pod.err", 2, "explain --config shop.yaml --pod shop.yaml");
}

#[test]
fn a_code_and_a_configuration_are_not_explained_together() {
    EXPLAIN.expect("both.err", 2, "explain unknown-key --config shop.yaml");
}

#[test]
fn a_configuration_with_mistakes_is_refused() {
    EXPLAIN.expect("configuration.err", 2, "explain --config deployment.yaml");
}

#[test]
fn probes_that_ask_for_something_else_are_told_what_follows() {
    EXPLAIN.expect("confused.txt", 0, "explain --config shop.yaml --pod confused.yaml");
}

#[test]
fn a_sidecar_that_waits_for_the_app_is_a_deadlock() {
    EXPLAIN.expect("deadlock.txt", 0, "explain --config local.yaml --pod deadlock.yaml");
}

#[test]
fn commands_that_ask_probelet_are_read_as_probes_of_it() {
    EXPLAIN.expect("commands.txt", 0, "explain --config local.yaml --pod commands.yaml");
}

#[test]
fn guards_that_a_manifest_lacks_are_named_with_what_to_write() {
    EXPLAIN.expect("guards.txt", 0, "explain --config local.yaml --pod guards.yaml");
}

#[test]
fn a_manifest_with_every_guard_is_told_nothing() {
    EXPLAIN.expect("guarded.txt", 0, "explain --config local.yaml --pod guarded.yaml");
}

#[test]
fn a_liveness_probe_on_readiness_is_named_with_a_database_that_only_holds_back_new_pods() {
    EXPLAIN.expect("wide.txt", 0, "explain --config local.yaml --pod wide.yaml");
}

#[test]
fn what_only_the_pod_has_may_be_missing() {
    // The manifest that we ship names a secret, which no pipeline has.
    EXPLAIN.expect("shipped.txt", 0, "explain --config ../../../../deploy/kubernetes.yaml");
}
