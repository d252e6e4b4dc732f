//! README.md: its configurations are valid, its commands are there, and what it shows is what probelet writes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::command::{Config, probelet, run, runs};
use crate::support::certs::Folder;
use crate::support::daemon::Daemon;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The blocks that begin with this line, without their fences.
fn blocks<'a>(text: &'a str, fence: &str) -> Vec<&'a str> {
    let start = format!("\n```{fence}\n");
    text.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn its_configurations_are_valid() {
    let readme = readme();
    let whole = blocks(&readme, "yaml probelet");
    assert!(!whole.is_empty());
    let parts = blocks(&readme, "yaml").into_iter().filter(|block| block.starts_with("  - name:"));
    let parts = parts.map(|part| format!("checks:\n  - {{ name: network, simulated: {{}} }}\n{part}"));
    for configuration in whole.into_iter().map(str::to_owned).chain(parts) {
        let ended = Config::of(&configuration).runs("validate", &["--strict", "--offline"]);
        assert_eq!(ended.code, 0, "{}", ended.stdout);
    }
}

#[test]
fn its_scenario_can_be_played() {
    let readme = readme();
    let scenario = readme.split("# outage.yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = Folder::new();
    let scenario = folder.write("outage.yaml", scenario);
    let config = Config::of(blocks(&readme, "yaml probelet")[0]);
    let mut command = config.command("simulate", &["--scenario", &scenario]);
    command.env("DATABASE_URL", "postgres://shop:secret@db/shop");
    let ended = run(command);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("app        skipped: waits for database"), "{}", ended.stdout);
    assert!(ended.stdout.contains("/livez     open all the time"), "{}", ended.stdout);
}

#[test]
fn mistakes_are_told_in_its_words() {
    let folder = Folder::new();
    let file = folder.write(
        "typo.yaml",
        "checks:\n  - name: app\n    http: { url: \"http://localhost:8080/ready\" }\n    timeot: 5\n    \
         depends_on: [databse]\n  - name: database\n    postgres: { url: \"${DATABASE_URL}\" }\n",
    );
    let mut command = probelet(&["validate", "--config", "typo.yaml"]);
    command.current_dir(Path::new(&file).parent().unwrap());
    let shown = format!("$ probelet validate --config typo.yaml\n{}", run(command).stdout);
    assert!(readme().contains(&shown), "README.md does not show:\n{shown}");
}

#[tokio::test]
async fn answers_are_those_that_it_shows() {
    let readme = readme();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let configuration = blocks(&readme, "yaml probelet")[0]
        .replace(r#"postgres: { url: "${DATABASE_URL}" }"#, "simulated: { ok_message: Database is connected }")
        .replace("localhost:8080", &nobody.to_string());
    let daemon = Daemon::start(&configuration).await;
    daemon.until_state("app", "error").await;
    for path in ["/readyz", "/healthz"] {
        let shown = format!("$ curl localhost:10240{path}\n{}", daemon.get(path).await.body);
        assert!(readme.contains(&shown), "README.md does not show:\n{shown}");
    }
    let url = format!("http://{}", daemon.address);
    let asked = tokio::task::spawn_blocking(move || runs(&["ask", "--url", &url])).await.unwrap();
    let shown = format!("$ probelet ask\n{}", asked.stdout);
    assert!(readme.contains(&shown), "README.md does not show:\n{shown}");
}

#[test]
fn its_commands_and_their_options_are_there_and_none_is_missing() {
    let readme = readme();
    let help = runs(&["--help"]).stdout;
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands = commands.lines().filter_map(|line| line.trim_start().split(' ').next());
    let commands: BTreeSet<&str> = commands.filter(|name| !name.is_empty() && *name != "help").collect();
    let mut told = BTreeSet::new();
    for row in readme.lines().filter(|line| line.starts_with("| `probelet ")) {
        let usage = row.split('`').nth(1).unwrap();
        let name = usage.split(' ').nth(1).unwrap();
        assert!(commands.contains(name), "there is no command {name}");
        told.insert(name);
        let help = runs(&[name, "--help"]).stdout;
        for option in usage.split([' ', '[', ']', '|']).filter(|word| word.starts_with("--")) {
            assert!(help.split_whitespace().any(|word| word == option), "`probelet {name}` has no option {option}");
        }
    }
    assert_eq!(told, commands, "the table has a row for each command");
}

#[test]
fn its_links_to_itself_and_its_make_targets_lead_somewhere() {
    let readme = readme();
    let heading = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
    };
    let headings: BTreeSet<String> = readme.lines().filter(|line| line.starts_with('#')).map(heading).collect();
    for target in readme.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(headings.contains(target), "README.md links to #{target}, which is not there");
    }
    let makefile = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Makefile")).unwrap();
    let quoted = readme.split("`make ").skip(1).map(|rest| rest.split(['`', ' ']).next().unwrap());
    let listed =
        readme.lines().filter_map(|line| line.strip_prefix("make ")).map(|rest| rest.split(' ').next().unwrap());
    for target in quoted.chain(listed) {
        assert!(makefile.contains(&format!("\n{target}:")), "README.md names `make {target}`, which is not there");
    }
}
