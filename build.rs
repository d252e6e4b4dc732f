//! Lays the functions that a daemon runs next to each other in the binary, so that no others come into its memory with
//! them.
//!
//! The kernel maps sixteen pages around each one that is touched: where functions lie as the compiler left them, those
//! few that run bring in nearly all. `src/functions.txt` lists those that run; `make layout` writes it. They lie in the
//! order of the list: what a wake comes to in turn is fetched ahead, and on few pages. A linker that cannot do this, or a
//! list that is out of date, costs memory and time and nothing else.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which functions run, one a line: the section that the compiler gives each, without the hash at the end of its name;
/// where others have the same name, the hashes follow of those that run.
const LIST: &str = "src/functions.txt";

/// Addresses that the loader has to move, in a bit each where they took 24 bytes.
const COMPACT_RELOCATIONS: &str = "-Wl,-z,pack-relative-relocs";

/// What the linker finds in place of the library that unwinds panics: the same as a part of the binary. So the loader has one
/// library less to open, map and move, at each start.
const UNWINDER: (&str, &str) = ("libgcc_s.so", "INPUT(-lgcc_eh -lgcc)\n");

/// The program that every argument is tried with: it unwinds a panic.
const TRIAL: &str = "fn main() { assert!(std::panic::catch_unwind(|| panic!()).is_err()) }";

fn main() -> Result<(), Box<dyn Error>> {
    let mut orders = vec![format!("rerun-if-changed={LIST}"), "rerun-if-changed=build.rs".to_owned()];
    // Nobody weighs what is built to be debugged.
    if variable("PROFILE") == "release" && variable("CARGO_CFG_TARGET_OS") == "linux" {
        let folder = PathBuf::from(variable("OUT_DIR"));
        let script = folder.join("functions.ld");
        fs::write(&script, linker_script(&fs::read_to_string(LIST)?)?)?;
        let mut arguments = vec![COMPACT_RELOCATIONS.to_owned(), format!("-Wl,-T,{}", script.display())];
        if variable("CARGO_CFG_TARGET_ENV") == "gnu" {
            let unwinder = folder.join("unwinder");
            fs::create_dir_all(&unwinder)?;
            fs::write(unwinder.join(UNWINDER.0), UNWINDER.1)?;
            arguments.push(format!("-L{}", unwinder.display()));
        }
        let taken = arguments.into_iter().filter(|argument| is_taken(&folder, argument));
        orders.extend(taken.map(|argument| format!("rustc-link-arg-bins={argument}")));
    }
    let orders = orders.iter().map(|order| format!("cargo:{order}\n")).collect::<String>();
    Ok(io::stdout().write_all(orders.as_bytes())?)
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// What puts the functions of `list` into a section of their own, in that order, before all others. It is added to what the linker does
/// by itself.
fn linker_script(list: &str) -> Result<String, std::fmt::Error> {
    let (mut certain, mut likely) = (String::new(), String::new());
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let Some(name) = words.next() else { continue };
        let hashes: Vec<_> = words.collect();
        for hash in &hashes {
            writeln!(certain, "    *({name}17h{hash}E*)")?;
        }
        // Of several with this name, those whose hash is known come first. All have another hash with another compiler.
        let others = if hashes.is_empty() { &mut certain } else { &mut likely };
        let end = if name.contains("._ZN") { "17h*" } else { "" };
        writeln!(others, "    *({name}{end})")?;
    }
    Ok(format!("SECTIONS\n{{\n  .text.run : {{\n{certain}{likely}  }}\n}}\nINSERT BEFORE .text;\n"))
}

/// Whether a program is made with this argument for the linker, and works, where it can be run here.
fn is_taken(folder: &Path, argument: &str) -> bool {
    let (source, program) = (folder.join("trial.rs"), folder.join("trial"));
    if fs::write(&source, TRIAL).is_err() {
        return false;
    }
    let mut compiler = Command::new(variable("RUSTC"));
    compiler.arg(&source).arg("-o").arg(&program).args(["--target", &variable("TARGET")]);
    compiler.args(variable("CARGO_ENCODED_RUSTFLAGS").split('\x1f').filter(|flag| !flag.is_empty()));
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        compiler.arg(format!("-Clinker={linker}"));
    }
    compiler.arg(format!("-Clink-arg={argument}")).stdout(Stdio::null()).stderr(Stdio::null());
    if !compiler.status().is_ok_and(|status| status.success()) {
        return false;
    }
    let ran = Command::new(&program).stdout(Stdio::null()).stderr(Stdio::null()).status();
    // For another machine it is not run.
    ran.map_or(true, |status| status.success())
}
