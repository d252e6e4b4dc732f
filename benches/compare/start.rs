//! From the start of the process to its first good answer.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::client;
use crate::contestants::{Contestant, Job, Maker};
use crate::process::Usage;
use crate::say;
use crate::sheet::Sheet;
use crate::support::servers::{Folder, free_port};
use crate::targets::Targets;

const PATIENCE: Duration = Duration::from_secs(20);

/// Starts everybody in turn, with seven checks.
pub fn measure(sheet: &mut Sheet, all: &[Contestant], targets: &Targets, starts: usize) {
    say(&format!("start: {starts} times"));
    for _ in 0..starts {
        for one in all {
            let (wall, cpu) = first_answer(one, targets);
            sheet.add("start", one.maker.column(), wall);
            sheet.add("start_cpu", one.maker.column(), cpu);
        }
    }
}

/// How long it takes, and how much CPU time, in seconds. It asks without a pause: a pause would be part of the figure.
fn first_answer(one: &Contestant, targets: &Targets) -> (f64, f64) {
    let (folder, port) = (Folder::new("start"), free_port());
    // Our gate for a process that has just started; those of others say nothing about their checks.
    let path = if one.maker == Maker::Probelet { "/livez" } else { one.maker.health() };
    let mut command = one.command(&Job::Seven, targets, &folder, port);
    command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let process = Process(command.spawn().expect("it starts"));
    while client::get(port, path).is_none_or(|(code, _)| code != 200) {
        assert!(start.elapsed() < PATIENCE, "{}: no answer within {PATIENCE:?}", one.maker.name());
    }
    (start.elapsed().as_secs_f64(), Usage::of(process.0.id()).seconds)
}

/// A process that ends when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
