//! The configuration: every diagnostic code with its exact text, every example valid, and no input that breaks it.
#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use probelet::base::value::Severity;
use probelet::config::codes::CODES;
use probelet::config::source::Environment;
use probelet::config::{Loaded, load, read};
use probelet::probe::KINDS;

/// What the tests' files may expand.
fn environment() -> Environment {
    Environment::of([
        ("POD_NAME", "shop-0"),
        ("POD_IP", "10.1.2.3"),
        ("DATABASE_URL", "postgres://orders:hunter2@db:5432/orders"),
        ("REDIS_URL", "rediss://:hunter2@cache:6380/0"),
        ("QUOTED_URL", "\"postgres://orders:hunter2@db:5432/orders\""),
        ("DB_USER", "orders"),
        ("DB_PASSWORD", "hun@ter/2"),
        ("MQ_PASSWORD", "hun@ter/2"),
        ("API_TOKEN", "hunter2"),
        ("EMPTY", ""),
        ("INTERVAL", "5s"),
        ("THRESHOLD", "3"),
        ("WATCH", "false"),
    ])
}

fn loaded(file_name: &str, text: &[u8]) -> Loaded {
    let files = |path: &Path| match path.to_str() {
        Some("/run/secrets/db-password") => Ok(b"hun@ter/2\n".to_vec()),
        Some("/etc/hostname") => Ok(b"shop\n".to_vec()),
        Some("/etc/ca.pem") => fs::read(root().join("tests/golden/config/ca.pem")),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    read(file_name, text, &environment(), Box::new(files))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn golden() -> PathBuf {
    root().join("tests/golden/config")
}

/// The files of a folder that end like this, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == extension));
    found.sort();
    found
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// Compares with a file that is written anew by `UPDATE=1 cargo test --test config`.
fn assert_current(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(actual, expected, "{} is not current: run `UPDATE=1 cargo test --test config`", path.display());
}

/// The bad file of a code; those too big to keep are made here.
fn bad_file(code: &str) -> Vec<u8> {
    match code {
        "too-large" => vec![b'#'; (1 << 20) + 1],
        "too-many-steps" => {
            let step = |number| format!("        - {{ name: s{number}, simulated: {{}} }}\n");
            let steps: String = (0..=100).map(step).collect();
            format!("checks:\n  - name: path\n    workflow:\n      steps:\n{steps}").into_bytes()
        }
        "too-deep" => format!("checks: {}{}\n", "[".repeat(64), "]".repeat(64)).into_bytes(),
        _ => fs::read(golden().join(format!("{code}.yaml"))).unwrap(),
    }
}

#[test]
fn every_code_has_a_bad_file_that_is_reported_in_exactly_these_words() {
    for code in CODES {
        let report = loaded("config.yaml", &bad_file(code.name)).report;
        let found: BTreeSet<&str> = report.diagnostics().iter().map(|found| found.problem.code).collect();
        assert!(found.contains(code.name), "{}: {}", code.name, report.text(false));
        for diagnostic in report.diagnostics().iter().filter(|found| found.problem.code == code.name) {
            assert_eq!(diagnostic.problem.severity, code.severity, "{}", code.name);
        }
        assert_current(&golden().join(format!("{}.txt", code.name)), &report.text(false));
    }
}

#[test]
fn bad_files_of_a_kind_are_reported_in_exactly_these_words() {
    for path in files(&golden().join("kinds"), "yaml") {
        let report = loaded("config.yaml", &fs::read(&path).unwrap()).report;
        assert_current(&path.with_extension("txt"), &report.text(false));
    }
}

#[test]
fn the_likeliest_mistakes_are_reported_in_exactly_these_words() {
    for path in files(&golden().join("mistakes"), "yaml") {
        let report = loaded("config.yaml", &fs::read(&path).unwrap()).report;
        let text = report.text(false);
        assert!(!text.contains("hunter2") && !text.contains("ter2"), "{text}");
        assert_current(&path.with_extension("txt"), &text);
    }
}

#[test]
fn every_bad_file_belongs_to_a_code() {
    let known: BTreeSet<String> = CODES.iter().map(|code| code.name.to_owned()).collect();
    for path in files(&golden(), "yaml").iter().chain(&files(&golden(), "txt")) {
        assert!(known.contains(&stem(path)), "{} belongs to no code", path.display());
    }
}

#[test]
fn every_code_in_the_source_is_in_the_registry() {
    let known: BTreeSet<&str> = CODES.iter().map(|code| code.name).collect();
    assert_eq!(known.len(), CODES.len(), "a code is in the registry twice");
    let mut used = BTreeSet::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                used.extend(codes_in(&source));
                if path.ends_with("workflow/flaw.rs") {
                    used.extend(source.split("=> \"").skip(1).map(|after| after.split('"').next().unwrap().to_owned()));
                    used.retain(|word| is_code(word));
                }
            }
        }
    }
    let unknown: Vec<_> = used.iter().filter(|code| !known.contains(code.as_str())).collect();
    assert!(unknown.is_empty(), "codes without an entry in src/config/codes.rs: {unknown:?}");
}

/// The words like `unknown-key` that follow a call which reports a problem, tests left out.
fn codes_in(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let mut found = Vec::new();
    for call in [".error(", ".warning(", "report_at(", "report(", "problem(", "code: ", "error("] {
        for after in code.split(call).skip(1) {
            let arguments: String = after.chars().take(160).collect();
            let arguments = arguments.split(';').next().unwrap();
            found.extend(arguments.split('"').skip(1).step_by(2).filter(|word| is_code(word)).map(str::to_owned));
        }
    }
    found
}

fn is_code(word: &str) -> bool {
    word.contains('-')
        && word
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

#[test]
fn the_examples_of_every_code_show_it() {
    let not_to_be_written = ["too-large", "not-utf8", "invalid-character", "too-deep", "too-many-steps"];
    for code in CODES.iter().filter(|code| !not_to_be_written.contains(&code.name)) {
        let codes = |text: &str| -> Vec<&str> {
            let report = loaded("config.yaml", text.as_bytes()).report;
            report.diagnostics().iter().map(|found| found.problem.code).collect()
        };
        assert_eq!(codes(code.wrong), [code.name], "{}", code.wrong);
        assert_eq!(codes(code.right), [""; 0], "{}", code.right);
    }
}

#[test]
fn good_files_have_nothing_to_report() {
    for path in files(&golden().join("good"), "yaml") {
        let report = loaded(&stem(&path), &fs::read(&path).unwrap()).report;
        assert_eq!(report.text(false), format!("{} is valid\n", stem(&path)));
    }
}

#[test]
fn a_file_is_answered_to_machines_in_exactly_this_form() {
    let report = loaded("config.yaml", &bad_file("unknown-key")).report;
    let json = serde_json::to_string_pretty(&report.json()).unwrap() + "\n";
    assert_current(&golden().join("unknown-key.json"), &json);
    let valid = loaded("config.yaml", b"checks: []").report;
    assert_eq!(valid.json().to_string(), r#"{"valid":true,"diagnostics":[]}"#);
}

#[test]
fn every_example_is_valid() {
    let examples = root().join("config/examples");
    let kinds: BTreeSet<String> = KINDS.iter().map(|kind| kind.name.to_owned()).collect();
    let named: BTreeSet<String> = files(&examples, "yaml").iter().map(|path| stem(path)).collect();
    let beside = ["hooks", "metrics"].map(str::to_owned);
    assert_eq!(named, kinds.into_iter().chain(beside).collect(), "config/examples has one file for each kind");
    for path in files(&examples, "yaml").into_iter().chain([root().join("config/demo.yaml")]) {
        let name = stem(&path);
        let report = loaded(&name, &fs::read(&path).unwrap()).report;
        assert_eq!(report.text(false), format!("{name} is valid\n"));
    }
}

#[test]
fn the_schema_and_the_reference_are_current() {
    let schema = serde_json::to_string_pretty(&probelet::config::schema::schema()).unwrap() + "\n";
    assert_current(&root().join("config/schema.json"), &schema);
    let reference = probelet::config::reference::reference();
    assert_current(&root().join("config/reference.md"), &reference);
    for kind in KINDS {
        assert!(reference.contains(&format!("### `{}`", kind.name)));
    }
}

#[test]
fn the_catalogue_of_schemas_is_given_the_place_that_the_schema_names_as_its_own() {
    let read = |name| -> serde_json::Value { serde_json::from_slice(&fs::read(root().join(name)).unwrap()).unwrap() };
    assert_eq!(read("config/schemastore.json")["url"], read("config/schema.json")["$id"]);
}

#[test]
fn the_configurations_in_the_manifests_of_the_deployment_are_valid() {
    let files = || -> Box<probelet::base::value::ReadFile> {
        Box::new(|path| match path.to_str() {
            Some("/run/secrets/orders-db/password") => Ok(b"hun@ter/2\n".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        })
    };
    for name in ["kubernetes.yaml", "kubernetes-exec.yaml"] {
        let manifest = fs::read(root().join("deploy").join(name)).unwrap();
        let reports = probelet::config::manifest::judge(name, &manifest, &environment(), files);
        let text: String = reports.iter().map(|report| report.text(false)).collect();
        assert_eq!(text, format!("{name} (ConfigMap orders-probelet, data.config.yaml) is valid\n"));
    }
}

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("probelet-config-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_is_loaded_with_every_file_that_it_names() {
    let folder = Folder::new("load");
    let (path, secret, missing) = (folder.0.join("config.yaml"), folder.0.join("secret"), folder.0.join("missing"));
    fs::write(&secret, "hunter2\n").unwrap();
    let check =
        |file: &Path| format!("checks: [{{ name: a, simulated: {{ ok_message: \"${{file:{}}}\" }} }}]", file.display());
    fs::write(&path, check(&secret)).unwrap();
    let config = load(&path, &environment()).config.unwrap();
    let files: Vec<(&Path, &[u8])> =
        config.files.iter().map(|(path, content)| (path.as_path(), &content[..])).collect();
    assert_eq!(files, [(path.as_path(), check(&secret).as_bytes()), (secret.as_path(), b"hunter2\n".as_slice())]);
    assert!(!format!("{config:?}").contains("hunter2"));

    // A file that cannot be read is one to watch as well.
    fs::write(&path, check(&missing)).unwrap();
    let loaded = load(&path, &environment());
    assert!(loaded.config.is_none());
    assert_eq!(loaded.files.keys().map(PathBuf::as_path).collect::<Vec<_>>(), [path.as_path(), missing.as_path()]);
}

#[test]
fn a_missing_file_is_one_error_that_names_it() {
    let loaded = load(Path::new("/no/such/config.yaml"), &environment());
    assert!(loaded.config.is_none());
    assert_eq!(
        loaded.report.text(false),
        "error[unreadable-file]: cannot read the configuration file /no/such/config.yaml: no such file
  --> /no/such/config.yaml
  = help: check the path and that it is mounted into the sidecar

/no/such/config.yaml is not valid: 1 error
"
    );
}

#[test]
fn no_expansion_and_no_password_shows_in_any_report() {
    for code in CODES {
        let loaded = loaded("config.yaml", &bad_file(code.name));
        let shown = loaded.report.text(true) + &loaded.report.json().to_string() + &format!("{:?}", loaded.report);
        assert!(!shown.contains("hunter2") && !shown.contains("hun@ter"), "{}", loaded.report.text(false));
    }
}

#[test]
fn a_file_cut_off_anywhere_shows_no_part_of_a_password() {
    let text = bad_file("plain-secret");
    for end in 0..text.len() {
        let report = loaded("config.yaml", &text[..end]).report;
        let shown = report.text(false) + &report.json().to_string();
        assert!(!shown.contains("hunt"), "{shown}");
    }
}

#[test]
fn a_credential_with_a_quote_shows_no_part_of_itself() {
    for written in [
        r#""http://h/?token=x\"hunter2&b=c""#,
        r#""http://h/?token=x'hunter2&b=c""#,
        r#"'http://h/?token=x''hunter2,hunter2}#a'"#,
        r#""http://h/?t=\x26token=hunter2""#,
        r#""http://h/\x3ftoken\x3dhunter2""#,
        r#"http://h/?token=x"hunter2'hunter2"#,
        r#""http://u:x\"hunter2""#,
    ] {
        for tail in ["", ", timeot: 1s", ", : ["] {
            let text = format!("checks:\n  - {{ name: a, interval: 1s, http: {{ url: {written} }}{tail} }}\n");
            let report = loaded("config.yaml", text.as_bytes()).report;
            let shown = report.text(false) + &report.json().to_string();
            assert!(!shown.contains("hunter"), "{shown}");
            assert!(shown.contains("***"), "{shown}");
        }
    }
}

#[test]
fn a_config_is_there_exactly_when_there_are_no_errors() {
    for code in CODES {
        let loaded = loaded("config.yaml", &bad_file(code.name));
        assert_eq!(loaded.config.is_some(), code.severity == Severity::Warning, "{}", code.name);
    }
}

#[test]
fn the_help_is_for_the_mistake_that_was_made() {
    let simulated = |keys: &str| format!("checks: [{{ name: a, simulated: {{ {keys} }} }}]");
    let check = |keys: &str| format!("checks: [{{ name: a, {keys} }}]");
    let http = |keys: &str| check(&format!("http: {{ url: 'http://h/', {keys} }}"));
    let postgres = |keys: &str| check(&format!("postgres: {{ url: 'postgres://u@h/d?sslmode=require', {keys} }}"));
    let cases = [
        ("server: { token: hunter2hunter2 }\nchecks: []".to_owned(), "warning[plain-secret]"),
        ("server: { token: '${TOKEN:-hunter2}' }\nchecks: []".to_owned(), "warning[plain-secret]"),
        ("server: { token: 'a b' }\nchecks: []".to_owned(), "a line break at its end is dropped"),
        (http("expect: { body: ok }"), "did you mean `body_contains`?"),
        (http("expect: { regex: ok }"), "did you mean `body_matches`?"),
        (http("expect: { code: 200 }"), "did you mean `status`?"),
        (http("redirects: any"), "write `max_redirects: 5` as well"),
        (
            check("gates: [live], http: { url: 'http://localhost/', proxy: 'http://proxy:3128' }"),
            "warning[external-gate]",
        ),
        (check("tcp: { address: 'h:1', tls: true }"), "write `tls: {}`"),
        (postgres("require_auth: [scram-sha-256, md5]"), "`require_auth: scram-sha-256,md5`"),
        (postgres("require_auth: scram"), "did you mean `scram-sha-256`?"),
        (check("postgres: { host: h }"), "write it in `url`: `postgres://"),
        (check("redis: { password: x }"), "write it in `url`: `redis://:${PASSWORD}@"),
        (simulated("latency: 50..100"), "did you mean `50ms..100ms`?"),
        (simulated("error_rate: 10%"), "did you mean `0.1`?"),
        (check("disk: { path: /, min_free: 10 percent }"), "did you mean `10%`?"),
        (check("timeout: '2000', simulated: {}"), "did you mean `2s`, which is 2000 ms"),
        (http("expect: { body_matches: 'a(?=b)' }"), "without look-around"),
        (http("expect: { body_matches: '(a{1000}){1000}' }"), "write smaller numbers in `{…}`"),
        (http("expect: { body_matches: a\\q }"), "in single quotes"),
    ];
    for (text, expected) in cases {
        let report = loaded("config.yaml", text.as_bytes()).report.text(false);
        assert!(report.contains(expected), "{text}\n{report}");
    }
    let report = loaded("config.yaml", b"server: { token: '${API_TOKEN}' }\nchecks: []").report.text(false);
    assert!(!report.contains("plain-secret"), "{report}");
}

/// What is put in the place of secrets. It is not a word, as no secret should be.
const CANARY: &str = "hunter2Zq";

/// Keys whose values answers show anyway: what stands there is no secret.
const PUBLIC: [&str; 8] = ["name", "version", "description", "listen", "formerly", "depends_on", "needs", "service"];

/// Whether a report on `text`, in any of its forms, shows the canary.
fn leaks(text: &str) -> Option<String> {
    let loaded = loaded("config.yaml", text.as_bytes());
    let shown = loaded.report.text(false)
        + &loaded.report.text(true)
        + &loaded.report.json().to_string()
        + &loaded.report.first_error().unwrap_or_default()
        + &format!("{:?}", loaded.report);
    shown.contains("hunter2").then(|| loaded.report.text(false))
}

fn assert_hidden(text: &str) {
    if let Some(report) = leaks(text) {
        panic!("{text}\n----\n{report}");
    }
}

#[test]
fn nothing_that_may_be_a_secret_is_shown_wherever_it_stands_and_whatever_is_wrong() {
    let values = |secret: &str| {
        [
            secret.to_owned(),
            format!("\"{secret}\""),
            format!("'{secret}"),
            format!("\"{secret}"),
            format!("[{secret}]"),
            format!("{{ x: {secret} }}"),
            format!("{{ pasword: {secret} }}"),
            format!("host=h password={secret}"),
            format!("postgres://u:{secret}@h:x/y"),
            format!("https://{secret}@h:x/"),
            format!("AUTH {secret}"),
            format!("${{X:-{secret}}}"),
            format!("${{X:-{secret}}}s"),
            format!("${{X:{secret}}}"),
            format!("${{{secret}"),
            format!("!{secret} x"),
            format!("&{secret} x"),
            format!("*{secret}"),
            format!("@{secret}"),
            format!("{secret}: {secret}"),
            format!("5s {secret}"),
            format!("'{{\"password\": \"{secret}\"}}'"),
            format!("{{\"password\": \"{secret}\"}}"),
            format!("|\n      {secret}\n    {secret}\n"),
            format!(">-\n          {secret}\n   x: {secret}"),
            format!("5 # {secret}"),
        ]
    };
    let mut tried = 0;
    for seed in seeds() {
        let seed = String::from_utf8(seed).unwrap();
        let lines: Vec<&str> = seed.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let Some((key, _)) = line.split_once(": ") else { continue };
            let key = key.trim_start_matches([' ', '-', '{']);
            if PUBLIC.contains(&key) || key.starts_with('#') {
                continue;
            }
            let indent = &line[..line.len() - line.trim_start_matches([' ', '-']).len()];
            // Every key of the line as it is written, misspelt, and one that nobody knows.
            let keys = [key.to_owned(), key[..key.len() - 1].to_owned(), "pasword".into(), "Authorization".into()];
            for (at, value) in values(CANARY).iter().enumerate() {
                // All of them at one key would take too long: each value meets each key in some line.
                let key = &keys[(at + number) % keys.len()];
                if PUBLIC.contains(&key.as_str()) {
                    continue;
                }
                let damaged = format!("{indent}{key}: {value}");
                let before = lines[..number].join("\n");
                let behind = lines[number + 1..].join("\n");
                assert_hidden(&format!("{before}\n{damaged}\n{behind}\n"));
                tried += 1;
            }
        }
    }
    assert!(tried > 1000, "{tried}");
}

#[test]
fn a_secret_is_not_shown_beside_any_mistake() {
    // Each of these holds the mistakes of others on the line of the secret, or the secret is the mistake.
    for text in [
        "checks:\n- { name: a, redis: hunter2 }\n",
        "checks:\n- { name: a, redis: { url: hunter2, timeot: 5 } }\n",
        "checks:\n- { name: a, postgres: { url: 'host=h password=hunter2' } }\n",
        "checks:\n- { name: a, tcp: { address: 'h:1', send: AUTH hunter2, x: 1 } }\n",
        "checks:\n- { name: a, http: { url: 'http://h/', body: '{\"password\":\"hunter2\"}', x: 1 } }\n",
        "checks:\n- { name: a, http: { url: 'http://h/', body: {\"password\":\"hunter2\"} } }\n",
        "checks:\n- { name: a, http: { url: 'http://h/', headers: [Authorization, hunter2] } }\n",
        "checks:\n- { name: a, http: { url: 'http://h/', headers: { Authorization:hunter2 } } }\n",
        "checks:\n- { name: a, interval: '${X:-hunter2}', simulated: {} }\n",
        "checks:\n- { name: a, pasword: hunter2, simulated: {} }\n",
        "checks:\n- { name: a, http: { url: 'http://h/', tls: { ca_file: 'hunter2' } } }\n",
        "checks:\n- { name: a, http: { url: 'http://h/', tls: { key_file: \"-----BEGIN\\nhunter2\" } } }\n",
        "checks:\n- { name: a, simulated: { ok_message: '${file:hunter2}' } }\n",
        "checks:\n- { name: a, simulated: {}, allow: { hunter2: x } }\n",
        "checks:\n- { name: a, simulated: {}, timeout: $hunter2 }\n",
        "checks:\n- { name: a, simulated: {}, timeout: !hunter2 5s }\n",
        "checks:\n- { name: a, simulated: {}, hunter2: 1, hunter2: 2 }\n",
        "checks:\n- { name: a, password: x, password: hunter2, simulated: {} }\n",
        "checks:\n- { name: a, critical: hunter2, gates: [hunter2], simulated: {} }\n",
        "checks:\n- { name: a, simulated: {} } # hunter2\n  x: 1\n",
        "checks:\n- name: a\n  simulated: {}\n  x: &hunter2 1\n",
        "checks:\n- name: a\n  simulated: {}\n  x: &secret hunter2\n  timeout: *secret\n",
        "defaults: { timeout: &s hunter2 }\nchecks:\n- { name: a, http: { url: 'http://h/', body: *s } }\n",
        "server: hunter2\nchecks: hunter2\n",
        "hunter2\n",
        "- hunter2\n",
        "password=hunter2\n",
        "checks:\n- name: a\n  http: { url: 'http://h/?token=hunter2&key=hunter2x', x: 1 }\n",
        "checks:\n- name: a\n  http:\n    url: http://h/\n    body: |\n      hunter2\n     hunter2\n",
        "checks:\n- name: a\n  http:\n    url: http://h/\n    body: \"hunter2\n  b: hunter2\n",
        "checks:\n\t- hunter2\n",
        "checks: [ {{ .Values.hunter2 }} ]\n",
        "checks:\n- { name: a, simulated: { latency: 50..hunter2 } }\n",
        "checks:\n- { name: a, disk: { path: hunter2, min_free: hunter2 } }\n",
        "checks:\n- { name: a, workflow: { steps: [{ name: b, simulated: {}, capture: { token: hunter2 } }] } }\n",
        "checks:\n- { name: a, heartbeat: { push: true, file: hunter2 } }\n",
        "checks:\n- { name: a, http: { url: 'http://h/', headers: { X: [1], name: hunter2, path: /hunter2 } } }\n",
        "checks:\n- { name: a, http: { url: 'http://h/', headers: { name: [hunter2] }, x: 1 } }\n",
        "checks:\n- { name: a, http: { url: 'http://h/', x: 1, expect: { json: { name: hunter2, b: { name: hunter2 } } } } }\n",
        "apiVersion: v1\nkind: Secret\nstringData: { password: hunter2 }\n---\napiVersion: v1\nkind: ConfigMap\ndata: { x: 1, x: hunter2 }\n",
    ] {
        assert_hidden(text);
    }
}

#[test]
fn expansions_bring_in_a_bounded_amount_and_the_first_that_is_too_much_is_told_with_its_place() {
    let megabyte = || -> Box<probelet::base::value::ReadFile> { Box::new(|_| Ok(vec![b'x'; 1 << 20])) };
    let told = |text: &str| {
        let report = read("config.yaml", text.as_bytes(), &environment(), megabyte()).report;
        let line = |found: &probelet::config::diagnostic::Diagnostic| {
            let place = &found.problem.span;
            format!("{}:{} {} {}", place.line, place.column, found.problem.code, place.path)
        };
        report.diagnostics().iter().map(line).collect::<Vec<_>>()
    };
    let body = |times: usize| "${file:/m}".repeat(times);
    let check = |name: &str, body: &str| {
        format!("- {{ name: {name}, http: {{ url: 'http://h/', method: POST, body: '{body}' }} }}\n")
    };
    assert_eq!(told(&format!("checks:\n{}", check("a", &body(4)))), [""; 0]);
    let at = |line: usize, check: usize| vec![format!("{line}:60 too-large checks[{check}].http.body")];
    assert_eq!(told(&format!("checks:\n{}", check("a", &body(20)))), at(2, 0));
    assert_eq!(told(&format!("checks:\n{}", check("a", &body(100_000)))), at(2, 0));
    let many: String = (0..1000).map(|number| check(&format!("c{number:03}"), &body(1))).collect();
    assert_eq!(told(&format!("checks:\n{many}"))[0], "6:63 too-large checks[4].http.body");
    assert_eq!(told(&format!("checks:\n{many}")).len(), 1);
    // An alias brings in again what it names.
    let aliased = format!("service: {{ version: &big '{}' }}\nchecks:\n{}", body(2), check("a", "x").repeat(0));
    let aliases: String =
        (0..3).map(|number| format!("- {{ name: c{number}, simulated: {{ ok_message: *big }} }}\n")).collect();
    assert_eq!(told(&(aliased + &aliases)).len(), 1);
    // Files that are not expanded but named: each once, and all together.
    let named: String = (0..100)
        .map(|number| {
            format!("- {{ name: c{number}, http: {{ url: 'https://h/', tls: {{ ca_file: /ca{number} }} }} }}\n")
        })
        .collect();
    let codes = told(&format!("checks:\n{named}"));
    assert_eq!(codes.iter().filter(|line| line.contains("unreadable-file")).count(), 92, "{codes:?}");
    // A manifest with many configurations has no more than one.
    let maps: String =
        (0..20).map(|number| format!("  c{number}: |\n    checks:\n    {}", check("a", &body(1)))).collect();
    let manifest = format!("apiVersion: v1\nkind: ConfigMap\ndata:\n{maps}");
    let reports = probelet::config::manifest::judge("m.yaml", manifest.as_bytes(), &environment(), megabyte);
    assert_eq!(reports.iter().filter(|report| report.is_valid()).count(), 4);
}

/// Files that are valid.
fn seeds() -> Vec<Vec<u8>> {
    let folders = [root().join("config/examples"), golden().join("good"), root().join("config")];
    folders.iter().flat_map(|folder| files(folder, "yaml")).map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn a_file_cut_off_anywhere_is_reported_and_breaks_nothing() {
    for seed in seeds() {
        for end in 0..seed.len() {
            survive(&seed[..end]);
        }
    }
}

#[test]
fn a_file_with_any_bytes_in_it_is_reported_and_breaks_nothing() {
    let mut random = Random(7);
    let alphabet = b"{}[]:-,&*!|>'\"%@`#?<~ \n\t\r\0\xff\xc3\xa9ab01$.\\/";
    let seeds = seeds();
    for round in 0..4000 {
        let mut bytes = match round % 2 {
            0 => seeds[random.below(seeds.len())].clone(),
            _ => Vec::new(),
        };
        for _ in 0..random.below(12) {
            let place = random.below(bytes.len() + 1);
            let piece: Vec<u8> = (0..random.below(6)).map(|_| alphabet[random.below(alphabet.len())]).collect();
            let end = (place + random.below(4)).min(bytes.len());
            bytes.splice(place..end, piece);
        }
        survive(&bytes);
    }
}

#[test]
fn hostile_files_are_refused_in_no_time() {
    let many = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let bomb = (1..60).fold("a0: &a0 [x,x]\n".to_owned(), |text, level| {
        format!("{text}a{level}: &a{level} [*a{0},*a{0},*a{0},*a{0},*a{0},*a{0},*a{0},*a{0}]\n", level - 1)
    });
    let checks = |line: fn(usize) -> String| {
        let mut text = "checks:\n".to_owned();
        (0..)
            .map(line)
            .take_while(|line| {
                text += line;
                text.len() < 1_000_000
            })
            .for_each(drop);
        text
    };
    let files = [
        many("["),
        many("{"),
        many("- "),
        many("? "),
        many("a: "),
        many("a:\n"),
        many("!"),
        many("&a "),
        many("*a "),
        many("a"),
        many("\""),
        many("'"),
        many("#\n"),
        many("---\n"),
        many("- a\n"),
        many("a,"),
        many("|\n "),
        many("${"),
        many("%YAML 1.2\n"),
        many("\\"),
        many("-\t"),
        many("{}: "),
        many("é"),
        many("\n"),
        many("\r"),
        many("~: "),
        format!("[{}]", many("a,")[..1_000_000].trim_end_matches(',')),
        format!("checks: [{}]", many("{},")[..200_000].trim_end_matches(['{', ','])),
        format!(
            "checks: [{}]",
            many("{a: b, k: ${X:-y}},")[..1_000_000].rsplit_once(',').unwrap().0.trim_end_matches("{a: b")
        ),
        format!("a: \"{}\"", &many("${A}")[..1_000_000]),
        bomb,
        checks(|n| format!("- {{name: c{n}, depends_on: [c{}], simulated: {{}}}}\n", n + 1)),
        checks(|n| format!("- {{name: check_{n}, depends_on: [chekc_{n}, x], simulated: {{}}}}\n")),
        checks(|n| format!("- {{name: same, k{n}: 1, simulated: {{}}}}\n")),
    ];
    for file in files {
        let before = processor_time();
        survive(file.as_bytes());
        let start: String = file.chars().take(20).collect();
        let took = processor_time().saturating_sub(before);
        println!("{start:?}: {took:?}");
        assert!(took < Duration::from_secs(20), "{start}: {took:?}");
    }
}

/// What this thread has cost so far: however busy the machine is otherwise, it does not count.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Whatever the bytes: an answer, with a place for everything in it.
fn survive(bytes: &[u8]) {
    let loaded = loaded("config.yaml", bytes);
    assert_eq!(loaded.config.is_some(), loaded.report.is_valid());
    let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    for diagnostic in loaded.report.diagnostics() {
        let place = &diagnostic.problem.span;
        assert!(place.line >= 1 && place.column >= 1 && place.line as usize <= lines, "{:?}", diagnostic.problem);
    }
    assert!(loaded.report.text(true).len() < 4 << 20);
    drop(loaded.report.json());
}

/// A repeatable source of numbers (xorshift64, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}
