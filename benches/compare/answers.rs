//! Health answers and scrapes under the load of wrk, and a health answer beside two hundred who scrape.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{self, Client};
use crate::contestants::Running;
use crate::sheet::{Sheet, p99};
use crate::standing::samples;
use crate::support::servers::program;
use crate::{loads, say};

const LASTS: Duration = Duration::from_secs(2);
/// From one question at the gate to the next.
const PAUSE: Duration = Duration::from_millis(5);

/// Lets wrk ask everybody in turn.
pub fn measure(sheet: &mut Sheet, running: &[Running], rounds: usize) {
    for round in 1..=rounds {
        say(&format!("answers: round {round} of {rounds}"));
        for one in running {
            let load = loads::ask(one.process(), one.port, one.maker.health(), 64, LASTS);
            sheet.add("answers", one.maker.column(), load.per_second);
            sheet.add("answer", one.maker.column(), load.cpu);
        }
        for one in running {
            let (column, load) = (one.maker.column(), loads::ask(one.process(), one.port, "/metrics", 16, LASTS));
            let (_, text) = client::get(one.port, "/metrics").expect("it answers");
            let samples = samples(&text) as f64;
            sheet.add("scrape", column, load.cpu);
            sheet.add("size", column, text.len() as f64);
            sheet.add("samples", column, samples);
            sheet.add("sample", column, load.cpu / samples);
        }
        for one in running {
            sheet.add("beside", one.maker.column(), p99(beside(one)));
        }
    }
}

/// How long the health answer took each time, in seconds, while wrk asked for `/metrics`.
fn beside(one: &Running) -> Vec<f64> {
    let mut wrk = Command::new(program("wrk", "wrk"));
    wrk.args(["-t1", "-c200", &format!("-d{}s", LASTS.as_secs()), "--timeout", "30s"]);
    wrk.arg(format!("http://127.0.0.1:{}/metrics", one.port));
    let mut wrk = wrk.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("wrk runs");
    let mut client = Client::new(one.port).expect("it listens");
    let mut times = Vec::new();
    while wrk.try_wait().expect("it is our child").is_none() {
        let begun = Instant::now();
        let (code, _) = client.get(one.maker.health()).expect("it answers");
        times.push(begun.elapsed().as_secs_f64());
        assert_eq!(code, 200, "{}", one.maker.name());
        std::thread::sleep(PAUSE);
    }
    times
}
