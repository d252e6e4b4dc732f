//! `probelet install`: a binary that others can run, or nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::command::{Run, probelet, run, runs};
use crate::support::certs::Folder;

#[test]
fn the_binary_is_copied_in_one_step_for_everybody() {
    let folder = Folder::new();
    let target = folder.path().join("probelet");
    fs::write(&target, "an older one").unwrap();
    let directory = folder.path().to_str().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$0\" install \"$1\"", env!("CARGO_BIN_EXE_probelet"), directory]);
    let installed = run(command);
    assert_eq!(installed, Run { code: 0, stdout: format!("installed {}\n", target.display()), stderr: String::new() });
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read(&target).unwrap(), fs::read(env!("CARGO_BIN_EXE_probelet")).unwrap());
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["probelet"]);
    let mut copy = Command::new(&target);
    copy.arg("--version");
    assert_eq!(run(copy), runs(&["--version"]));
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let folder = Folder::new();
    let missing = folder.path().join("missing").display().to_string();
    let expected = format!(
        "error: cannot install into {missing}: there is no such directory\n  help: mount a volume there (an emptyDir) \
         that the app's container mounts too\n"
    );
    assert_eq!(runs(&["install", &missing]), Run { code: 2, stdout: String::new(), stderr: expected });
    let file = folder.write("file", "");
    let expected = format!("error: cannot install into {file}: it is not a directory\n");
    assert_eq!(runs(&["install", &file]), Run { code: 2, stdout: String::new(), stderr: expected });
    assert_eq!(run(probelet(&["install"])).code, 2);
}

#[test]
fn a_volume_without_room_is_left_as_it_was() {
    let folder = Folder::new();
    let directory = folder.path().to_str().unwrap();
    let script = "mount -t tmpfs -o size=64k none \"$1\" && echo old > \"$1\"/probelet || exit 99
        \"$0\" install \"$1\"; code=$?; ls -A \"$1\"; cat \"$1\"/probelet; exit $code";
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        env!("CARGO_BIN_EXE_probelet"),
        directory,
    ]);
    let full = run(command);
    let expected = format!(
        "error: cannot install into {directory}: there is no room for the binary\n  help: raise the `sizeLimit` of the \
         volume\n"
    );
    assert_eq!(full, Run { code: 2, stdout: "probelet\nold\n".into(), stderr: expected });
}
