//! The kind `disk`, on real folders.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use probelet::base::value::Value;
use probelet::probe::disk::KIND;

use crate::certs::Folder;
use crate::section::{SectionBuilder, observe};
use crate::{LONG, said};

fn at(folder: &Folder) -> SectionBuilder {
    SectionBuilder::new().text("path", folder.path().to_str().unwrap())
}

fn writing(folder: &Folder) -> SectionBuilder {
    at(folder).with("writable", Value::Bool(true))
}

fn entries(folder: &Folder) -> Vec<String> {
    fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn the_room_is_told() {
    let folder = Folder::new();
    let pass = observe(&mut *at(&folder).probe(&KIND), LONG).await.unwrap().unwrap();
    let space = pass.facts.disk.unwrap();
    assert!(space.free <= space.size && space.size > 0);
    let message = pass.message.unwrap();
    assert!(message.contains(" free (") && message.ends_with("%)"), "{message}");
}

#[tokio::test]
async fn too_little_room_is_a_failure_that_tells_the_room() {
    let folder = Folder::new();
    let section = at(&folder).with("min_free", Value::Size(1 << 60));
    let failure = observe(&mut *section.probe(&KIND), LONG).await.unwrap().unwrap_err();
    assert!(failure.message.ends_with("%), below 1 EiB"), "{failure:?}");
    assert!(failure.facts.disk.is_some());
}

#[tokio::test]
async fn a_file_is_written_and_nothing_is_left() {
    let folder = Folder::new();
    let mut probe = writing(&folder).probe(&KIND);
    for _ in 0..3 {
        assert!(said(&mut *probe, LONG).await.starts_with("pass: "));
        assert_eq!(entries(&folder), [""; 0]);
    }
}

#[tokio::test]
async fn what_a_crash_has_left_is_removed() {
    let folder = Folder::new();
    let mut probe = writing(&folder).probe(&KIND);
    let name = name_of_the_file(&folder, &mut *probe).await;
    let path = folder.path().join(&name);
    fs::write(&path, "half a li").unwrap();
    assert!(said(&mut *probe, LONG).await.starts_with("pass: "), "a young file may be another process's");
    assert_eq!(entries(&folder), std::slice::from_ref(&name));
    let long_ago = SystemTime::now() - Duration::from_secs(120);
    fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    assert!(said(&mut *probe, LONG).await.starts_with("pass: "));
    assert_eq!(entries(&folder), [""; 0]);
}

/// The name under which the probe writes, seen while it does so.
async fn name_of_the_file(folder: &Folder, probe: &mut dyn probelet::probe::Probe) -> String {
    use rustix::fs::inotify;
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&watch, folder.path(), inotify::WatchFlags::CREATE).unwrap();
    assert!(said(probe, LONG).await.starts_with("pass: "));
    let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
    let mut events = inotify::Reader::new(watch, &mut buffer);
    let event = events.next().unwrap();
    event.file_name().unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_trouble_has_its_name() {
    let folder = Folder::new();
    let missing = SectionBuilder::new().text("path", folder.path().join("missing").to_str().unwrap());
    let file = SectionBuilder::new().text("path", folder.write("file", "")).with("writable", Value::Bool(true));
    let read_only = SectionBuilder::new().text("path", "/proc").with("writable", Value::Bool(true));
    for (section, expected) in [
        (missing, "mismatch: the path does not exist: is the volume mounted?"),
        (file, "mismatch: cannot write: the path is not a folder"),
    ] {
        assert_eq!(said(&mut *section.probe(&KIND), LONG).await, expected);
    }
    let said = said(&mut *read_only.probe(&KIND), LONG).await;
    assert!(!said.starts_with("pass"), "{said}");
}

#[tokio::test]
async fn a_folder_without_permission_is_told_and_mended() {
    let folder = Folder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.path().join("root"), "").is_ok() {
        return; // root may write anywhere
    }
    let mut probe = writing(&folder).probe(&KIND);
    assert_eq!(said(&mut *probe, LONG).await, "mismatch: cannot write: no permission");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(said(&mut *probe, LONG).await.starts_with("pass: "));
}

#[test]
fn a_bound_that_can_never_be_reached_is_told() {
    let section = SectionBuilder::new().text("path", "/").with("min_free", Value::Share(0.2));
    let problems = section.with("degraded_below", Value::Share(0.1)).read(&KIND).unwrap_err();
    assert_eq!(
        problems,
        ["ineffective-key: `degraded_below` has no effect: it is not above `min_free`, below which the check fails"]
    );
}

#[test]
fn a_spec_shows_its_path_as_written_alone() {
    let spec = SectionBuilder::new().text("path", "/var/lib/data").read(&KIND).unwrap();
    assert_eq!(spec.target().as_deref(), Some("/var/lib/data"));
    assert_eq!(
        format!("{spec:?}"),
        "DiskSpec { target: \"/var/lib/data\", declared: DiskSection { min_free: None, .. } }"
    );
    assert!(spec.hosts().is_empty());
}
