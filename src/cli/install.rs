//! `probelet install`: its own binary, where the app's container can run it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, answer, complain};
use crate::base::clock::Clock;

/// Copy this binary into a directory, for exec probes
///
/// For an init container: with a volume that both containers mount, the app's container can run `probelet ask` in its
/// probes, and kubelet's events then show the root cause.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  probelet install /probelet-bin

  livenessProbe:
    exec:
      command: [/probelet-bin/probelet, ask, livez, --if-unreachable, ok]")]
pub struct Install {
    /// The directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Install {
    pub(super) fn execute(self) -> Exit {
        let target = self.directory.join("probelet");
        match install(&self.directory, &target) {
            Ok(()) => answer(&format!("installed {}\n", target.display()), Exit::Fine),
            Err(error) => {
                let (why, help) = words(&error);
                let help = help.map(|help| format!("  help: {help}\n")).unwrap_or_default();
                complain(&format!("error: cannot install into {}: {why}\n{help}", self.directory.display()));
                Exit::Usage
            }
        }
    }
}

/// Copies to a name of its own first: whoever looks for the binary finds the whole of one or none, also while an older
/// one is being run.
fn install(directory: &Path, target: &Path) -> io::Result<()> {
    let mut own = File::open("/proc/self/exe")?;
    let unique = format!(".probelet-{}-{}", std::process::id(), Clock::Machine.now().since_boot().as_nanos());
    let fresh = directory.join(unique);
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o700).open(&fresh)?;
    let done = io::copy(&mut own, &mut copy)
        // Whatever the umask: the app's container has another user.
        .and_then(|_| copy.set_permissions(Permissions::from_mode(0o755)))
        // A disk may find out that it is full only now.
        .and_then(|()| copy.sync_all())
        .and_then(|()| fs::rename(&fresh, target));
    if done.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    done
}

fn words(error: &io::Error) -> (String, Option<&'static str>) {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => {
            let help = "mount a volume there (an emptyDir) that the app's container mounts too";
            ("there is no such directory".into(), Some(help))
        }
        Kind::NotADirectory => ("it is not a directory".into(), None),
        Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => {
            ("there is no room for the binary".into(), Some("raise the `sizeLimit` of the volume"))
        }
        Kind::PermissionDenied => {
            let help = "let this container's user write there: an emptyDir can be written by all";
            ("permission denied".into(), Some(help))
        }
        Kind::ReadOnlyFilesystem => {
            ("it cannot be written".into(), Some("mount a volume there (an emptyDir), not `readOnly`"))
        }
        _ => (error.to_string(), None),
    }
}
