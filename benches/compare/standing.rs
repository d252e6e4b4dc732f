//! What everybody holds and uses with seven checks every 5 s, scraped every 15 s, all in the same minutes.

use std::time::{Duration, Instant};

use crate::client::{self, Client};
use crate::contestants::{Contestant, Job, Running};
use crate::process::{Memory, Usage};
use crate::say;
use crate::sheet::Sheet;
use crate::targets::Targets;

/// From one look of each check to the next.
const LOOK: Duration = Duration::from_secs(5);
/// From one scrape to the next, in looks.
const SCRAPE: u32 = 3;

/// Lets all work beside each other for so many scrapes, after one that does not count.
pub fn measure(sheet: &mut Sheet, running: &[Running], scrapes: u32) {
    let mut clients: Vec<Client> = running.iter().map(|one| Client::new(one.port).expect("it listens")).collect();
    let start = Instant::now();
    for scrape in 0..=scrapes {
        say(&format!("standing: {scrape} of {scrapes} times 15 s"));
        let before = usages(running);
        let samples: Vec<usize> =
            running.iter().map(|one| samples(&client::get(one.port, "/metrics").expect("it answers").1)).collect();
        // What a scrape sets off is over.
        std::thread::sleep(Duration::from_millis(50));
        let scraped = usages(running);
        for look in 1..=SCRAPE {
            for (one, client) in running.iter().zip(&mut clients) {
                one.look(client);
            }
            std::thread::sleep((LOOK * (scrape * SCRAPE + look)).saturating_sub(start.elapsed()));
        }
        if scrape == 0 {
            continue;
        }
        let span = (LOOK * SCRAPE).as_secs_f64();
        for (index, (one, after)) in running.iter().zip(usages(running)).enumerate() {
            let column = one.maker.column();
            let memory = Memory::of(one.process());
            sheet.add("rss", column, memory.resident as f64);
            sheet.add("private", column, memory.anonymous as f64);
            let alone = scraped[index].seconds - before[index].seconds;
            sheet.add("alone", column, alone);
            sheet.add("alone_sample", column, alone / samples[index] as f64);
            sheet.add("cpu", column, (after.seconds - before[index].seconds) * 60.0 / span);
            if !one.is_asked() {
                sheet.add("wakes", column, (after.wakes - scraped[index].wakes) as f64 / span);
            }
        }
    }
}

/// What we hold with a check of each of seven kinds instead: no other has them.
pub fn kinds(sheet: &mut Sheet, probelet: &Contestant, targets: &Targets, scrapes: u32) {
    say("standing: seven kinds");
    let running = probelet.start(&Job::Kinds, targets);
    let mut client = Client::new(running.port).expect("it listens");
    for _ in 0..=scrapes.min(2) {
        client.get("/metrics").expect("it answers");
        let before = Usage::of(running.process());
        std::thread::sleep(LOOK * SCRAPE);
        let (after, memory) = (Usage::of(running.process()), Memory::of(running.process()));
        sheet.add("kinds_rss", 0, memory.resident as f64);
        sheet.add("kinds_private", 0, memory.anonymous as f64);
        sheet.add("kinds_cpu", 0, (after.seconds - before.seconds) * 60.0 / (LOOK * SCRAPE).as_secs_f64());
    }
    running.passes();
}

/// How many samples this text of metrics has.
pub fn samples(metrics: &str) -> usize {
    metrics.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count()
}

fn usages(running: &[Running]) -> Vec<Usage> {
    running.iter().map(|one| Usage::of(one.process())).collect()
}
