//! What the kernel says of the processor time that this thread wanted and did not get. It tells a process that is starved
//! from one that was stopped: who is stopped waits for nothing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::clock;

/// The place where the kernel accounts for this thread.
#[derive(Debug)]
pub struct Processor {
    /// Kept open: it is read every second.
    thread: Option<File>,
}

/// What a thread has had, and what it has not, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessorAccount {
    /// How long it has run.
    pub ran: Duration,
    /// How long it was ready to run, and others ran or its group was throttled; nothing where the kernel does not say.
    pub waited: Option<Duration>,
}

impl ProcessorAccount {
    /// How long the thread has run or waited for the processor since `before`, as far as the kernel says.
    #[must_use]
    pub fn wanted_since(&self, before: &Self) -> Duration {
        let waited = self.waited.unwrap_or_default().saturating_sub(before.waited.unwrap_or_default());
        self.ran.saturating_sub(before.ran) + waited
    }
}

impl Processor {
    /// Of the thread that asks.
    #[must_use]
    pub fn of_this_thread() -> Self {
        Self { thread: File::open("/proc/thread-self/schedstat").ok() }
    }

    /// The account now. `self` has to be of the thread that asks.
    #[must_use]
    pub fn account(&self) -> ProcessorAccount {
        let mut line = [0; 96];
        let read = self.thread.as_ref().and_then(|file| file.read_at(&mut line, 0).ok());
        let waited = read.and_then(|length| waited_of(line.get(..length)?));
        ProcessorAccount { ran: clock::thread_cpu_time(), waited }
    }
}

/// How long the limit of the process's control group has kept it from running, since the group was made; nothing where
/// it has none, or cannot see it.
#[must_use]
pub fn throttled() -> Option<Duration> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    places_of_group(&groups).iter().find_map(|place| throttled_of(&std::fs::read_to_string(place).ok()?))
}

/// The second number of a line of `schedstat`: how many nanoseconds the thread has waited on a run queue.
fn waited_of(line: &[u8]) -> Option<Duration> {
    let mut numbers = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(str::parse);
    let (ran, waited) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    // A kernel that does not count says so with nothing but zeros.
    let counts = ran > 0 || waited > 0;
    counts.then(|| Duration::from_nanos(waited))
}

/// Where the account of the group may be, by `/proc/self/cgroup`: in a container the group itself is often mounted as
/// the root.
fn places_of_group(groups: &str) -> Vec<PathBuf> {
    let mut places = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let root = match controllers {
            "" => Path::new("/sys/fs/cgroup").to_owned(),
            _ if controllers.split(',').any(|name| name == "cpu") => Path::new("/sys/fs/cgroup").join(controllers),
            _ => continue,
        };
        let own = root.join(path.trim_start_matches('/'));
        places.extend([own, root].map(|folder| folder.join("cpu.stat")));
    }
    places
}

fn throttled_of(stat: &str) -> Option<Duration> {
    let value = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value("throttled_usec ").map(Duration::from_micros).or_else(|| value("throttled_time ").map(Duration::from_nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_accounts_for_this_thread() {
        let processor = Processor::of_this_thread();
        let before = processor.account();
        let mut work = 0u64;
        while processor.account().ran < before.ran + Duration::from_millis(2) {
            work = std::hint::black_box(work.wrapping_add(1));
        }
        let after = processor.account();
        assert!(after.waited >= before.waited && work > 0);
    }

    #[test]
    fn a_line_of_schedstat_says_how_long_the_thread_has_waited() {
        assert_eq!(waited_of(b"266134 9550 2\n"), Some(Duration::from_nanos(9550)));
        assert_eq!(waited_of(b"266134 0 2\n"), Some(Duration::ZERO));
        for nothing in ["0 0 0\n", "", "1", "a b c\n", "1 -2 3"] {
            assert_eq!(waited_of(nothing.as_bytes()), None, "{nothing:?}");
        }
    }

    #[test]
    fn the_group_is_looked_for_where_it_may_be_mounted() {
        let places =
            |groups| places_of_group(groups).iter().map(|place| place.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            places("0::/kubepods/pod7/app\n"),
            ["/sys/fs/cgroup/kubepods/pod7/app/cpu.stat", "/sys/fs/cgroup/cpu.stat"]
        );
        assert_eq!(
            places("9:name=systemd:/\n4:memory:/a\n2:cpu,cpuacct:/a:b\nnonsense\n"),
            ["/sys/fs/cgroup/cpu,cpuacct/a:b/cpu.stat", "/sys/fs/cgroup/cpu,cpuacct/cpu.stat"]
        );
    }

    #[test]
    fn both_generations_of_control_groups_say_how_long_they_were_throttled() {
        let second = "usage_usec 5\nnr_periods 9\nnr_throttled 3\nthrottled_usec 1500\n";
        assert_eq!(throttled_of(second), Some(Duration::from_micros(1500)));
        assert_eq!(
            throttled_of("nr_periods 9\nnr_throttled 3\nthrottled_time 1500\n"),
            Some(Duration::from_nanos(1500))
        );
        assert_eq!(throttled_of("usage_usec 5\n"), None);
    }
}
