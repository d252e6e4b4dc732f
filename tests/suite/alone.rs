//! A test alone in a process of its own, whose memory, threads and descriptors then tell of nothing else.

use std::process::Command;

/// Names the test that such a process runs.
const ALONE: &str = "PROBELET_TEST_ALONE";

/// Runs the test `name` of this binary in a process of its own, and returns what that said. Fails where the test fails or
/// does not run.
pub fn run(name: &str) -> String {
    let own = std::env::current_exe().expect("it runs");
    let mut child = Command::new(own);
    let output = child.args(["--exact", name, "--nocapture"]).env(ALONE, name).output();
    let output = output.expect("it can be started again");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains(&format!("{name} runs alone\n")), "{said}");
    said
}

/// Whether this process is the one that runs the test `name`, which does nothing in any other.
#[allow(clippy::print_stdout)] // says so to the process that has started it
pub fn is(name: &str) -> bool {
    let is_alone = std::env::var_os(ALONE).is_some_and(|alone| alone == name);
    if is_alone {
        println!("\n{name} runs alone");
    }
    is_alone
}
