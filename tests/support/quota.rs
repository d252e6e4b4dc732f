//! A control group whose processes get little processor time; for root alone.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The group. Dropping it lets whoever is in it go where it came from, the root.
pub struct Quota {
    folder: PathBuf,
    root: PathBuf,
    is_second: bool,
}

impl Quota {
    /// A group without a limit yet; why not, where this machine or this user can have none.
    pub fn new() -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("probelet-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let first = ["cpu", "cpu,cpuacct"].map(|controllers| Path::new("/sys/fs/cgroup").join(controllers));
        let first = first.into_iter().find(|root| root.join("cpu.shares").exists() || root.join("tasks").exists());
        let (root, is_second) = first.map_or_else(|| (PathBuf::from("/sys/fs/cgroup"), true), |root| (root, false));
        let folder = root.join(name);
        std::fs::create_dir(&folder).map_err(|error| format!("no control group can be made: {error}"))?;
        let quota = Self { folder, root, is_second };
        if is_second {
            let _ = std::fs::write(quota.root.join("cgroup.subtree_control"), "+cpu");
        }
        let file = quota.folder.join(if is_second { "cpu.max" } else { "cpu.cfs_quota_us" });
        if file.exists() { Ok(quota) } else { Err("control groups have no limit of processor time here".into()) }
    }

    /// The process is in the group from now on.
    pub fn take(&self, pid: i32) {
        std::fs::write(self.folder.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    /// So many thousandths of one processor.
    pub fn limit(&self, thousandths: u32) {
        // The kernel gives no less than a millisecond at a time: of what is little, the period is longer.
        let period = if thousandths < 10 { 1_000_000 / thousandths } else { 100_000 };
        let micros = (period / 1000 * thousandths).max(1000);
        if self.is_second {
            std::fs::write(self.folder.join("cpu.max"), format!("{micros} {period}")).unwrap();
        } else {
            std::fs::write(self.folder.join("cpu.cfs_period_us"), period.to_string()).unwrap();
            std::fs::write(self.folder.join("cpu.cfs_quota_us"), micros.to_string()).unwrap();
        }
    }

    /// As much as there is.
    pub fn lift(&self) {
        let (file, all) = if self.is_second { ("cpu.max", "max") } else { ("cpu.cfs_quota_us", "-1") };
        let _ = std::fs::write(self.folder.join(file), all);
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        self.lift();
        let inside = std::fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        for pid in inside.lines() {
            let _ = std::fs::write(self.root.join("cgroup.procs"), pid);
        }
        let _ = std::fs::remove_dir(&self.folder);
    }
}
