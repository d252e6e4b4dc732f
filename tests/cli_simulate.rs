//! `probelet simulate`: every form of its output, and what it says about a scenario that cannot be played.

#[path = "golden/cli/golden.rs"]
mod golden;

use golden::Golden;

const SIMULATE: Golden = Golden { folder: "simulate" };

#[test]
fn an_outage_is_shown_as_text() {
    SIMULATE.expect("outage.txt", 0, "simulate --config shop.yaml --scenario outage.yaml");
}

#[test]
fn an_outage_is_shown_as_json() {
    SIMULATE.expect("outage.json", 0, "simulate --config shop.yaml --scenario outage.yaml --format json");
}

#[test]
fn an_outage_is_shown_as_svg() {
    SIMULATE.expect("outage.svg", 0, "simulate --config shop.yaml --scenario outage.yaml --format svg");
}

#[test]
fn a_scenario_without_a_pod_is_played_without_kubelet() {
    SIMULATE.expect("two-faults.txt", 0, "simulate --config shop.yaml --scenario two-faults.yaml");
}

#[test]
fn a_manifest_brings_the_probes_of_kubelet() {
    SIMULATE.expect(
        "deployment.txt",
        0,
        "simulate --config shop.yaml --scenario two-faults.yaml --pod deployment.yaml",
    );
}

#[test]
fn a_scenario_with_mistakes_is_refused_with_their_places() {
    SIMULATE.expect("wrong.err", 2, "simulate --config shop.yaml --scenario wrong.yaml");
}

#[test]
fn a_configuration_with_mistakes_is_refused() {
    SIMULATE.expect("configuration.err", 2, "simulate --config wrong.yaml --scenario outage.yaml");
}

#[test]
fn a_scenario_that_is_not_there_is_named() {
    SIMULATE.expect("missing.err", 2, "simulate --config shop.yaml --scenario missing.yaml");
}

#[test]
fn a_pod_that_asks_nothing_of_probelet_is_refused() {
    SIMULATE.expect("elsewhere.err", 2, "simulate --config shop.yaml --scenario outage.yaml --pod elsewhere.yaml");
}

#[test]
fn an_app_that_crashes_and_starts_slowly_is_left_to_start_and_gets_no_traffic_before() {
    SIMULATE.expect("crash.txt", 0, "simulate --config orders.yaml --scenario crash.yaml --pod pod.yaml");
    SIMULATE.expect(
        "crash.json",
        0,
        "simulate --config orders.yaml --scenario crash.yaml --pod pod.yaml --format json",
    );
}

#[test]
fn a_sidecar_that_is_frozen_ends_soon_and_leaves_the_app_alone() {
    SIMULATE.expect("frozen.txt", 0, "simulate --config orders.yaml --scenario frozen.yaml --pod pod.yaml");
    SIMULATE.expect(
        "frozen.svg",
        0,
        "simulate --config orders.yaml --scenario frozen.yaml --pod pod.yaml --format svg",
    );
}

#[test]
fn without_its_own_grace_period_a_frozen_sidecar_has_the_app_restarted() {
    SIMULATE.expect("frozen-plain.txt", 0, "simulate --config orders.yaml --scenario frozen.yaml --pod plain.yaml");
}

#[test]
fn processes_are_struck_without_a_manifest_too() {
    SIMULATE.expect("struck.txt", 0, "simulate --config orders.yaml --scenario struck.yaml");
}

#[test]
fn mistakes_about_processes_are_told_with_what_to_write() {
    SIMULATE.expect("wrong-processes.err", 2, "simulate --config orders.yaml --scenario wrong-processes.yaml");
}
