//! What the kernel says about a process: its memory and its CPU time.

use std::collections::HashMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often the CPU time is looked at while it is measured. What a thread uses after the last look is lost when it
/// ends.
const LOOK: Duration = Duration::from_millis(50);

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// All of it.
    pub resident: u64,
    /// Heap and stacks.
    pub anonymous: u64,
}

impl Memory {
    /// What the process holds now.
    pub fn of(process: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let kilobytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("Linux says it");
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
        };
        let [resident, anonymous] = ["VmRSS", "RssAnon"].map(|key| kilobytes(key) * 1024);
        Self { resident, anonymous }
    }
}

/// What the kernel has counted of threads since they began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time in seconds.
    pub seconds: f64,
    /// How often one went to sleep, and so was woken.
    pub wakes: u64,
}

impl Usage {
    /// Of all threads that the process has now.
    pub fn of(process: u32) -> Self {
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
        let threads = tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok());
        threads.map(|thread| Self::of_thread(process, thread)).fold(Self::default(), |sum, usage| Self {
            seconds: sum.seconds + usage.seconds,
            wakes: sum.wakes + usage.wakes,
        })
    }

    /// Of one thread; nothing of one that has ended.
    pub fn of_thread(process: u32, thread: u32) -> Self {
        let read = |file| std::fs::read_to_string(format!("/proc/{process}/task/{thread}/{file}")).unwrap_or_default();
        let nanoseconds = read("schedstat").split(' ').next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        let status = read("status");
        let wakes = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        Self { seconds: nanoseconds / 1e9, wakes: wakes.and_then(|count| count.trim().parse().ok()).unwrap_or(0) }
    }
}

/// The CPU time that the process uses while `work` is done, in seconds. All its threads count, those that end
/// meanwhile too.
pub fn cpu_during<T>(process: u32, work: impl FnOnce() -> T + Send) -> (f64, T)
where
    T: Send,
{
    let mut threads = Threads { process, nanoseconds: HashMap::new() };
    threads.look();
    let before = threads.total();
    std::thread::scope(|scope| {
        let work = scope.spawn(work);
        while !work.is_finished() {
            sleep(LOOK);
            threads.look();
        }
        let result = work.join().expect("what is measured succeeds");
        threads.look();
        ((threads.total() - before) as f64 / 1e9, result)
    })
}

/// The CPU time of each thread that has been seen.
struct Threads {
    process: u32,
    nanoseconds: HashMap<u32, u64>,
}

impl Threads {
    fn look(&mut self) {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process)).expect("it runs");
        for task in tasks.flatten() {
            // A thread that ends meanwhile keeps the time that was last seen.
            let Ok(text) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
            let Some(Ok(nanoseconds)) = text.split(' ').next().map(str::parse) else { continue };
            let Some(Ok(thread)) = task.file_name().to_str().map(str::parse) else { continue };
            self.nanoseconds.insert(thread, nanoseconds);
        }
    }

    fn total(&self) -> u64 {
        self.nanoseconds.values().sum()
    }
}

/// Does `work` at a steady `period` for as long as `span`, and says how often.
pub fn steadily(period: Duration, span: Duration, mut work: impl FnMut()) -> u32 {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < span {
        work();
        count += 1;
        sleep((period * count).saturating_sub(start.elapsed()));
    }
    count
}
