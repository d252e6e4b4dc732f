//! `probelet validate`: what it says of a file and of a manifest, to whom, and how it ends.

use std::fs::File;

use crate::command::{Config, Run, assert_golden, run};

const EXTERNAL: &str = "
checks:
  - name: user
    http: { url: 'http://user.svc/health' }
    gates: [live]
";

/// What it wrote to standard output, with the file's folder left out, when it ended with `code`.
fn told(config: &Config, arguments: &[&str], code: i32) -> String {
    let told = config.runs("validate", arguments);
    assert_eq!((told.code, told.stderr.as_str()), (code, ""), "{}", told.stdout);
    told.stdout.replace(config.path(), "config.yaml")
}

#[test]
fn a_valid_file_is_told_in_a_line() {
    let config = Config::of("checks: []\n");
    assert_eq!(told(&config, &[], 0), "config.yaml is valid\n");
    assert_eq!(told(&config, &["--strict"], 0), "config.yaml is valid\n");
    assert_eq!(told(&config, &["--format", "json"], 0), "{\"valid\":true,\"diagnostics\":[]}\n");
}

#[test]
fn warnings_count_when_it_is_strict() {
    let config = Config::of(EXTERNAL);
    assert_golden("validate-warning.txt", &told(&config, &[], 0));
    assert_eq!(told(&config, &["--strict"], 1), told(&config, &[], 0));
}

#[test]
fn what_the_file_allows_does_not_count() {
    let at_the_check = format!("{EXTERNAL}    allow: {{ external-gate: its agent restarts it }}\n");
    let at_the_top = format!("allow: {{ external-gate: agents restart all of them }}\n{EXTERNAL}");
    for text in [at_the_check, at_the_top] {
        assert_eq!(told(&Config::of(&text), &["--strict"], 0), "config.yaml is valid\n", "{text}");
    }
    let nothing = Config::of("allow: { external-gate: there was one }\nchecks: []\n");
    assert_golden("validate-unused-allow.txt", &told(&nothing, &["--strict"], 1));
}

const MANIFESTS: &str = "apiVersion: v1
kind: ConfigMap
metadata: { name: shop }
data:
  config.yaml: |
    checks:
      - name: user
        http: { url: 'http://user.svc/health' }
        gates: [live]
---
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Service
    metadata: { name: till }
  - apiVersion: v1
    kind: ConfigMap
    metadata: { name: till }
    data:
      other.txt: nothing to see here
      probelet.yaml: |
        checks:
          - name: user
            timeot: 5s
            http: { url: 'http://user.svc/health' }
";

#[test]
fn the_configurations_of_a_manifest_are_shown_where_they_stand() {
    let config = Config::of(MANIFESTS);
    assert_golden("validate-manifest.txt", &told(&config, &[], 1));
    assert_golden("validate-manifest.json", &told(&config, &["--format", "json"], 1));
    let mended = Config::of(&MANIFESTS.replace("timeot", "timeout"));
    let summary = "config.yaml (ConfigMap shop, data.config.yaml) is valid, with 1 warning\n\
                   config.yaml (ConfigMap till, data.probelet.yaml) is valid\n";
    assert!(told(&mended, &[], 0).ends_with(summary));
    assert!(told(&mended, &["--strict"], 1).ends_with(summary));
}

const IN_THE_POD: &str = "service: { name: '${POD_NAME}' }
checks:
  - name: database
    postgres: { url: 'postgres://orders:${file:/no/such/password}@db:5432/orders' }
    interval: ${INTERVAL}
    timeout: 30s
  - name: api
    http: { url: 'https://api.svc/', tls: { ca_file: /no/such/ca.pem } }
    gates: [live]
  - name: other
    tcp: { address: 'other.svc:5000' }
    gates: [live]
  - name: alive
    heartbeat: { file: '${ALIVE}', max_age: 10s }
  - name: path
    workflow: { steps: [{ name: a, postgres: { url: '${DATABASE_URL}' } }, { name: b, tcp: { address: '${A}' } }] }
";

#[test]
fn what_only_the_pod_has_is_noted_offline_and_is_no_error() {
    let config = Config::of(IN_THE_POD);
    assert_golden("validate-offline.txt", &told(&config, &["--offline"], 0));
    assert_golden("validate-offline.json", &told(&config, &["--offline", "--format", "json"], 0));
    // Warnings are warnings, and what was not checked is none.
    assert_eq!(told(&config, &["--offline", "--strict"], 1), told(&config, &["--offline"], 0));
    let secrets = "checks: [{ name: a, simulated: { ok_message: '${SECRET} ${file:/no/such}' } }]\n";
    told(&Config::of(secrets), &["--offline", "--strict"], 0);
    told(&Config::of(secrets), &[], 1);
    // What is there is checked as ever.
    for wrong in ["'${SECRET'", "'${file:/}'", "'${file:/proc/self/exe}'", "[]"] {
        told(&Config::of(&secrets.replace("'${SECRET} ${file:/no/such}'", wrong)), &["--offline"], 1);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let config = Config::of("checks: []\n");
    let missing = config.path().replace("config.yaml", "missing.yaml");
    let told = run(crate::command::probelet(&["validate", "--config", &missing]));
    assert_eq!((told.code, told.stderr.as_str()), (1, ""));
    assert_golden("validate-missing.txt", &told.stdout.replace(&missing, "missing.yaml"));
}

#[test]
fn an_answer_that_cannot_be_written_is_not_fine() {
    for (text, code) in [("checks: []\n", 2), ("checks: 5\n", 1)] {
        let config = Config::of(text);
        let mut command = config.command("validate", &[]);
        command.stdout(File::create("/dev/full").expect("Linux has one"));
        command.stderr(std::process::Stdio::piped());
        let output = command.spawn().and_then(std::process::Child::wait_with_output).expect("it runs");
        let told = Run {
            code: output.status.code().expect("it ended"),
            stdout: String::new(),
            stderr: String::from_utf8(output.stderr).expect("it writes text"),
        };
        let stderr = "error: cannot write to standard output: No space left on device (os error 28)\n".to_owned();
        assert_eq!(told, Run { code, stdout: String::new(), stderr });
    }
}
