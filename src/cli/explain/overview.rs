//! What `probelet explain` can do, where nothing is named.

use super::code;
use super::wrap::wrapped;
use crate::cli::ConfigFile;

const WAYS: [(&str, &str); 4] = [
    (
        "probelet explain --config config.yaml",
        "which failure closes which endpoint, and how long an outage takes to be seen",
    ),
    (
        "probelet explain --config config.yaml --pod deployment.yaml",
        "the same with kubelet's own periods and thresholds, and what is wrong with the pod's probes",
    ),
    ("helm template … | probelet explain --config -", "the same for a chart: configuration and pod come in one stream"),
    ("probelet explain unknown-key", "what a code of a diagnostic means, with a wrong and a right example"),
];

/// The ways to ask, and every code there is.
pub fn overview() -> String {
    let mut text = format!("No configuration is named, and there is none at {}.\n", ConfigFile::DEFAULT);
    for (command, does) in WAYS {
        text += &format!("\n  {command}\n{}", wrapped("      ", does, 6));
    }
    for (title, names) in code::names() {
        text += &format!("\n{title}:\n{}", wrapped("  ", &names.join(", "), 2));
    }
    text
}
