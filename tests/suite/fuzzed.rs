//! The inputs of the fuzzers under `tests/fuzz` that are kept, held against the same rules without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/properties/certificate.rs"]
mod certificate;
#[path = "../fuzz/properties/frames.rs"]
mod frames;
#[path = "../fuzz/properties/history.rs"]
mod history;
#[path = "../fuzz/properties/lines.rs"]
mod lines;
#[path = "../fuzz/properties/manifest.rs"]
mod manifest;
#[path = "../fuzz/properties/matchers.rs"]
mod matchers;
#[path = "../fuzz/properties/messages.rs"]
mod messages;
#[path = "../fuzz/properties/names.rs"]
mod names;
#[path = "../fuzz/properties/target.rs"]
mod target;
#[path = "../fuzz/properties/texts.rs"]
mod texts;

/// Other tests allocate beside these: what a run takes is counted by the fuzzers alone.
fn uncounted() -> usize {
    0
}

/// Holds `rule` against what a fuzzer has found, and against the inputs that it begins with.
#[allow(clippy::print_stdout)] // says which input it was that failed
fn hold(fuzzer: &str, mut rule: impl FnMut(&[u8])) {
    let mut count = 0;
    for kind in ["found", "corpus"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(kind).join(fuzzer);
        let entries = fs::read_dir(folder).into_iter().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            println!("{}", path.display());
            rule(&fs::read(path).unwrap());
            count += 1;
        }
    }
    assert!(count > 0, "nothing is kept of the fuzzer {fuzzer}");
}

#[test]
fn targets_that_speak_http() {
    let world = target::World::new(target::Kind::Http);
    hold("target_http", |bytes| target::any_answer(&world, bytes, uncounted));
}

#[test]
fn targets_that_speak_http2() {
    let world = target::World::new(target::Kind::Http2);
    hold("target_http2", |bytes| target::any_answer(&world, bytes, uncounted));
}

#[test]
fn targets_that_speak_grpc() {
    let world = target::World::new(target::Kind::Grpc);
    hold("target_grpc", |bytes| target::any_answer(&world, bytes, uncounted));
}

#[test]
fn targets_that_say_something() {
    let world = target::World::new(target::Kind::Tcp);
    hold("target_tcp", |bytes| target::any_answer(&world, bytes, uncounted));
}

#[test]
fn targets_that_speak_redis() {
    let world = target::World::new(target::Kind::Redis);
    hold("target_redis", |bytes| target::any_answer(&world, bytes, uncounted));
}

#[test]
fn targets_that_speak_postgres() {
    let world = target::World::new(target::Kind::Postgres);
    hold("target_postgres", |bytes| target::any_answer(&world, bytes, uncounted));
    hold("messages", messages::any_messages);
}

#[test]
fn targets_that_speak_amqp() {
    let world = target::World::new(target::Kind::Amqp);
    hold("target_amqp", |bytes| target::any_answer(&world, bytes, uncounted));
    hold("frames", frames::any_frames);
}

#[test]
fn certificates_of_servers() {
    let world = certificate::World::new();
    hold("certificate", |bytes| certificate::any_certificate(&world, bytes, uncounted));
}

#[test]
fn values_of_answers() {
    hold("matchers", matchers::any_match);
}

#[test]
fn answers_of_the_resolver() {
    let world = names::World::new();
    hold("names", |bytes| names::any_addresses(&world, bytes));
}

#[test]
fn history_files_after_an_accident() {
    let world = history::World::new();
    hold("history", |bytes| history::any_edits(&world, bytes, uncounted));
}

#[test]
fn manifests_and_texts() {
    hold("manifest", manifest::any_manifest);
    hold("texts", texts::any_text);
}
