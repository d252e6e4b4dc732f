//! `tests/history/faults.c` as a library to be loaded before libc: it fails, or hangs, the n-th call on a history's files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The library, built once for each process of tests.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (built, library) = (folder.join(format!("faults-{}.so", std::process::id())), folder.join("faults.so"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/history/faults.c");
        let status =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&built, &source]).arg("-ldl").status();
        assert!(status.expect("cc is missing: install the Debian package `gcc`").success());
        // Another process may have it loaded.
        std::fs::rename(&built, &library).expect("it can be put in its place");
        library
    })
}
