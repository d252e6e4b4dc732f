//! Runs the binary in a folder of golden files, and compares what it writes with one of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The golden files of one command, in `tests/golden/cli`, beside the files that it is given.
pub struct Golden {
    /// The folder.
    pub folder: &'static str,
}

impl Golden {
    /// Runs `probelet` with `arguments` in the folder. What it writes (to standard error for a file that ends in
    /// `.err`, to standard output for any other) is compared with `file`, which `UPDATE=1 cargo test` writes anew. The
    /// other stream stays empty.
    pub fn expect(&self, file: &str, code: i32, arguments: &str) {
        let actual = self.output(code, arguments, file.ends_with(".err"));
        self.compare(file, &actual);
    }

    /// What `probelet` writes to one stream. The other one stays empty.
    pub fn output(&self, code: i32, arguments: &str, to_stderr: bool) -> String {
        let folder = self.path();
        let output = Command::new(env!("CARGO_BIN_EXE_probelet"))
            .args(arguments.split(' '))
            .current_dir(&folder)
            .env_clear()
            .output()
            .expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        let (actual, other) = if to_stderr { (stderr, stdout) } else { (stdout, stderr) };
        assert_eq!(other, "", "the other stream of `probelet {arguments}`");
        assert_eq!(output.status.code(), Some(code), "the exit code of `probelet {arguments}`");
        actual
    }

    /// Compares what was written with `file`.
    pub fn compare(&self, file: &str, actual: &str) {
        let path = self.path().join(file);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, actual).expect("the golden file can be written");
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(actual, expected, "{file} is not current: run `UPDATE=1 cargo test --test cli_{}`", self.folder);
        if file.ends_with(".txt") && file != "help.txt" {
            let widest = actual.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(widest <= 80, "{file} is {widest} columns wide");
        }
    }

    fn path(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cli").join(self.folder)
    }
}
