//! From the start of the process to its first good answer.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client;
use crate::contestants::{Exporter, Sidecar};
use crate::support::servers::{Account, Folder, free_port};
use crate::table::{Goal, Table};
use crate::targets::Targets;
use crate::{median, say};

const STARTS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts both in turn.
pub fn compare(table: &mut Table, binary: &Path, exporter: &Path, targets: &Targets) {
    say(&format!("start: {STARTS} times"));
    let folder = Folder::new("start");
    let config = folder.write("config.yaml", &targets.seven_checks(), &Account::of("root"));
    let modules = Exporter::config(&folder);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let port = free_port();
        ours.push(first_answer(Sidecar::command(binary, &config, port), port, "/livez"));
        let port = free_port();
        theirs.push(first_answer(Exporter::command(exporter, &modules, port), port, "/-/healthy"));
    }
    table.heading("from the start of the process to the first 200");
    table.time("/livez, exporter: /-/healthy", median(ours), Some(median(theirs)), Goal::Below(5e-3));
}

/// How long it takes in seconds. It asks without a pause: a pause would be part of the figure.
fn first_answer(mut command: Command, port: u16, path: &str) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let _process = Process(command.spawn().expect("it starts"));
    while client::get(port, path).is_none_or(|(code, _)| code != 200) {
        assert!(start.elapsed() < PATIENCE, "no answer within {PATIENCE:?}");
    }
    start.elapsed().as_secs_f64()
}

/// A process that ends when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
