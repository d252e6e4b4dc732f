//! What `make bench` and `make instructions` write is there, and lacks no kind of probe.

use std::path::Path;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_readme_has_the_marks_that_make_bench_writes_between() {
    let (readme, writer) = (read("README.md"), read("benches/compare/readme.rs"));
    let marks = ["BEGIN", "END"].map(|name| {
        let line = writer.lines().find_map(|line| line.strip_prefix(&format!("const {name}: &str = \""))).unwrap();
        line.trim_end_matches("\\n\";").to_owned()
    });
    let places = marks.each_ref().map(|mark| readme.match_indices(mark.as_str()).collect::<Vec<_>>());
    assert!(places.iter().all(|places| places.len() == 1), "each once: {marks:?} {places:?}");
    assert!(places[0][0].0 < places[1][0].0, "the first before the second");
}

#[test]
fn the_instructions_of_a_run_are_counted_for_every_kind() {
    let counts = read("benches/instructions.md");
    for kind in probelet::probe::KINDS.iter().map(|kind| kind.name).filter(|kind| *kind != "simulated") {
        let of_kind = |line: &&str| line.starts_with(&format!("| run: {kind}"));
        assert!(counts.lines().any(|line| of_kind(&line)), "no line of {kind}: `make instructions`");
    }
}

#[test]
fn each_program_that_is_measured_beside_it_has_a_module_with_the_hashes_of_what_it_is_built_from() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
    let peers: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!peers.is_empty());
    for peer in peers {
        let module = std::fs::read_to_string(peer.join("go.mod")).unwrap();
        let tool = module.lines().find_map(|line| line.strip_prefix("tool ")).unwrap();
        let is_asked = module.lines().any(|line| {
            line.trim().trim_start_matches("require ").split(' ').next().is_some_and(|name| {
                tool.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        });
        assert!(is_asked, "{}: {tool} is of no module that it asks for", peer.display());
        assert!(peer.join("go.sum").is_file(), "{}", peer.display());
    }
}
