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
