//! The usual metrics of the process, as the kernel tells them: one file, one look at a folder and two calls.

use std::fs::{self, File};
use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;

use crate::base::clock::{Moment, cpu_time};
use crate::base::descriptors;

/// What the process uses. What the system does not tell is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ProcessFigures {
    /// CPU time in user and system mode.
    pub(super) cpu: Duration,
    /// Open file descriptors.
    pub(super) open_descriptors: Option<u64>,
    /// How many there may be; nothing where there is no limit.
    pub(super) most_descriptors: Option<u64>,
    /// What `/proc/self/stat` says.
    pub(super) stat: Option<ProcessStat>,
}

/// What the kernel keeps of a process in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProcessStat {
    /// Threads.
    pub(super) threads: u64,
    /// When it started, on the boot clock, to a hundredth of a second.
    pub(super) started: Moment,
    /// Virtual memory in bytes.
    pub(super) virtual_bytes: u64,
    /// Resident memory in bytes.
    pub(super) resident_bytes: u64,
}

impl ProcessFigures {
    /// Those of this process, now.
    pub(super) fn read() -> Self {
        Self {
            cpu: cpu_time(),
            open_descriptors: open_descriptors(),
            most_descriptors: u64::try_from(descriptors::limit()).ok().filter(|limit| *limit < u64::MAX),
            stat: stat(),
        }
    }
}

/// Linux 6.2 and later tell the number as the size of the folder; before, that is 0, and the entries are counted.
fn open_descriptors() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    match fs::metadata(FOLDER).ok()?.len() {
        // The folder is open itself while it is read.
        0 => Some((fs::read_dir(FOLDER).ok()?.count() as u64).saturating_sub(1)),
        count => Some(count),
    }
}

fn stat() -> Option<ProcessStat> {
    // The longest line that there can be: 52 numbers of 20 digits, and a name of 64 bytes.
    let mut line = [0; 1280];
    let length = File::open("/proc/self/stat").ok()?.read(&mut line).ok()?;
    ProcessStat::parse(&line[..length], KernelUnits::of_this_machine())
}

/// In what the kernel tells times and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KernelUnits {
    ticks_per_second: u64,
    /// Bytes.
    page: u64,
}

impl KernelUnits {
    fn of_this_machine() -> Self {
        static KNOWN: OnceLock<KernelUnits> = OnceLock::new();
        *KNOWN.get_or_init(|| Self::parse(&fs::read("/proc/self/auxv").unwrap_or_default()))
    }

    /// From what the kernel hands every process at its start: pairs of words. Where it does not tell, what nearly every
    /// machine has.
    fn parse(auxiliary: &[u8]) -> Self {
        const WORD: usize = size_of::<usize>();
        let (words, _) = auxiliary.as_chunks::<WORD>();
        let (pairs, _) = words.as_chunks::<2>();
        let told = |key: usize| {
            let [_, value] = pairs.iter().find(|[name, _]| usize::from_ne_bytes(*name) == key)?;
            u64::try_from(usize::from_ne_bytes(*value)).ok().filter(|value| *value > 0)
        };
        // AT_CLKTCK and AT_PAGESZ of getauxval(3).
        Self { ticks_per_second: told(17).unwrap_or(100), page: told(6).unwrap_or(4096) }
    }
}

impl ProcessStat {
    fn parse(line: &[u8], units: KernelUnits) -> Option<Self> {
        // The name is in parentheses, and may hold parentheses, spaces and line feeds.
        let behind_name = line.iter().rposition(|byte| *byte == b')')? + 1;
        let mut fields = std::str::from_utf8(&line[behind_name..]).ok()?.split_ascii_whitespace();
        // By the numbers of proc(5), in which the state behind the name is field 3.
        let threads = fields.nth(20 - 3)?.parse().ok()?;
        let start: u64 = fields.nth(22 - 21)?.parse().ok()?;
        let virtual_bytes = fields.next()?.parse().ok()?;
        let resident: u64 = fields.next()?.parse().ok()?;
        let nanos = u128::from(start) * 1_000_000_000 / u128::from(units.ticks_per_second);
        Some(Self {
            threads,
            started: Moment::at(Duration::from_nanos(u64::try_from(nanos).ok()?)),
            virtual_bytes,
            resident_bytes: resident.saturating_mul(units.page),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, Timestamp};

    const USUAL: KernelUnits = KernelUnits { ticks_per_second: 100, page: 4096 };

    #[test]
    fn the_units_are_those_of_the_machine_and_the_usual_ones_where_it_says_nothing() {
        let words = |words: &[usize]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        let units = KernelUnits { ticks_per_second: 1024, page: 65_536 };
        assert_eq!(KernelUnits::parse(&words(&[33, 7, 6, 65_536, 17, 1024, 0, 0])), units);
        for silent in [vec![], words(&[33, 7, 0, 0]), words(&[17, 0, 6, 0]), words(&[33, 6]), vec![6; 17]] {
            assert_eq!(KernelUnits::parse(&silent), USUAL, "{silent:?}");
        }
        let told = std::process::Command::new("getconf").arg("PAGESIZE").output().unwrap().stdout;
        assert_eq!(KernelUnits::of_this_machine().page.to_string(), String::from_utf8_lossy(&told).trim());
    }

    #[test]
    fn a_line_of_the_kernel_is_read_by_its_fields_whatever_the_name() {
        let numbers =
            "S 1 4242 4242 0 -1 4194560 1310 0 2 0 12 7 0 0 20 0 5 0 360012 8769536 1684 18446744073709551615 1";
        let expected = ProcessStat {
            threads: 5,
            started: Moment::at(Duration::from_millis(3_600_120)),
            virtual_bytes: 8_769_536,
            resident_bytes: 1684 * 4096,
        };
        for name in ["probelet", "a b", ") 1 (", "(()\n) S 9"] {
            let line = format!("4242 ({name}) {numbers}\n");
            assert_eq!(ProcessStat::parse(line.as_bytes(), USUAL), Some(expected), "{name}");
        }
        for broken in ["", "1 (a)", "1 (a) S 1 2", "1 (a", &format!("1 (a) {}", numbers.replace('5', "x"))] {
            assert_eq!(ProcessStat::parse(broken.as_bytes(), USUAL), None, "{broken}");
        }
    }

    /// The number behind `label` in a file of the kernel.
    fn told(file: &str, label: &str) -> u64 {
        let text = fs::read_to_string(file).unwrap();
        let rest = text.lines().find_map(|line| line.strip_prefix(label)).unwrap();
        rest.split_ascii_whitespace().next().unwrap().parse().unwrap()
    }

    #[test]
    fn figures_are_those_that_the_kernel_tells_elsewhere() {
        let figures = ProcessFigures::read();
        let stat = figures.stat.unwrap();
        // Other tests run beside this one: what moves is compared with what it can be.
        assert!(stat.threads > 0 && figures.open_descriptors.unwrap() > 2);
        assert!(stat.resident_bytes.is_multiple_of(KernelUnits::of_this_machine().page));
        assert!(stat.virtual_bytes > stat.resident_bytes && stat.resident_bytes > 1024 * 1024);
        assert!(stat.resident_bytes <= told("/proc/self/status", "VmHWM:") * 1024 + 64 * 1024 * 1024);
        assert_eq!(figures.most_descriptors, Some(told("/proc/self/limits", "Max open files")));
        assert!(figures.cpu > Duration::ZERO);
        // The usual way to the start: from the start of the machine on, which is told in whole seconds.
        let ticks = stat.started.since_boot().as_secs();
        let usual = Timestamp::from_unix_seconds((told("/proc/stat", "btime") + ticks).cast_signed());
        let ours = Clock::Machine.read().wall_at(stat.started);
        assert!(ours.since(usual).max(usual.since(ours)) <= Duration::from_secs(2), "{ours:?} {usual:?}");
    }
}
