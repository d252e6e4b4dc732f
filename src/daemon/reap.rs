//! Orphans: as the first process of a container the daemon inherits every process whose parent has ended, and the
//! system keeps each of them, dead, until it is waited for.

use rustix::process::{WaitOptions, getpid, wait};
use tokio::signal::unix::{SignalKind, signal};

/// Waits for orphans from now on, where the daemon is the first process. It starts no process of its own: whoever
/// lets it do so has to tell those from orphans here.
///
/// # Errors
/// When the signal cannot be attended to.
pub(super) fn start() -> std::io::Result<()> {
    if !getpid().is_init() {
        return Ok(());
    }
    let mut ended = signal(SignalKind::child())?;
    tokio::spawn(async move {
        loop {
            // One signal may stand for several, and one that came earlier for none.
            while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
            if ended.recv().await.is_none() {
                return;
            }
        }
    });
    Ok(())
}
