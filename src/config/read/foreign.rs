//! What other tools call a kind, a word or a whole file, and what to write here instead.

use crate::config::quote::alternatives;
use crate::config::tree::{MappingEntry, Node, NodeContent};

/// A kind that is known elsewhere, or to come, and not in this build.
#[derive(Clone, Copy, Debug)]
pub struct ForeignKind {
    names: &'static [&'static str],
    /// What sees some of it, as it stands in a check.
    instead: &'static str,
    /// What that sees.
    sees: &'static str,
}

const ACCEPTS: &str = "sees whether it accepts connections";
const GREETS: &str = "sees its greeting";
const HEALTH: &str = "asks for its own health";
const TURNS: &str = "passes as long as it touches that file when all is well";

const FOREIGN_KINDS: &[ForeignKind] = &[
    foreign(&["kafka"], r#"tcp: { address: "kafka:9092" }"#, ACCEPTS),
    foreign(&["mysql", "mariadb"], r#"tcp: { address: "db:3306" }"#, ACCEPTS),
    foreign(&["mongodb", "mongo"], r#"tcp: { address: "mongo:27017" }"#, ACCEPTS),
    foreign(&["oracle", "oracledb"], r#"tcp: { address: "db:1521" }"#, ACCEPTS),
    foreign(&["mssql", "sqlserver"], r#"tcp: { address: "db:1433" }"#, ACCEPTS),
    foreign(&["cassandra", "scylla"], r#"tcp: { address: "db:9042" }"#, ACCEPTS),
    foreign(&["ldap", "ldaps"], r#"tcp: { address: "ldap:389" }"#, ACCEPTS),
    foreign(&["mqtt"], r#"tcp: { address: "mqtt:1883" }"#, ACCEPTS),
    foreign(&["icmp", "ping"], r#"tcp: { address: "gateway:443" }"#, "sees whether the host accepts connections"),
    foreign(&["udp"], r#"tcp: { address: "host:53" }"#, "sees whether the host accepts connections"),
    foreign(&["dns"], r#"tcp: { address: "shop.example.com:443" }"#, "resolves the name in each run"),
    foreign(
        &["memcached", "memcache"],
        r#"tcp: { address: "cache:11211", send: "version\r\n", expect: "VERSION" }"#,
        "hears its answer",
    ),
    foreign(&["zookeeper"], r#"tcp: { address: "zookeeper:2181", send: "ruok", expect: "imok" }"#, HEALTH),
    foreign(&["nats"], r#"tcp: { address: "nats:4222", expect: "INFO " }"#, GREETS),
    foreign(&["smtp", "mail", "starttls"], r#"tcp: { address: "mail:25", expect: "220 " }"#, GREETS),
    foreign(&["imap"], r#"tcp: { address: "mail:143", expect: "* OK" }"#, GREETS),
    foreign(&["ftp"], r#"tcp: { address: "files:21", expect: "220" }"#, GREETS),
    foreign(&["ssh", "sftp"], r#"tcp: { address: "host:22", expect: "SSH-2.0-" }"#, GREETS),
    foreign(
        &["elasticsearch", "opensearch", "elastic"],
        r#"http: { url: "http://search:9200/_cluster/health", expect: { json: { /status: { not: red } } } }"#,
        HEALTH,
    ),
    foreign(&["clickhouse"], r#"http: { url: "http://clickhouse:8123/ping" }"#, HEALTH),
    foreign(&["etcd"], r#"http: { url: "http://etcd:2379/health" }"#, HEALTH),
    foreign(&["consul"], r#"http: { url: "http://consul:8500/v1/status/leader" }"#, "asks for its leader"),
    foreign(&["vault"], r#"http: { url: "http://vault:8200/v1/sys/health" }"#, HEALTH),
    foreign(&["s3", "minio"], r#"http: { url: "http://minio:9000/minio/health/live" }"#, HEALTH),
    foreign(
        &["graphql"],
        r#"http: { url: "http://api/graphql", method: POST, headers: { content-type: application/json }, body: '{"query":"{__typename}"}' }"#,
        "asks a question that changes nothing",
    ),
    foreign(
        &["tls", "ssl", "cert", "certificate"],
        r#"tcp: { address: "shop.example.com:443", tls: { min_validity: 14d } }"#,
        "looks at the certificate, as `http` does for a URL with `https://`",
    ),
    foreign(&["websocket", "ws", "wss"], r#"http: { url: "http://host:8080/" }"#, "asks the server on the same port"),
    foreign(&["exec", "command", "cmd", "script", "shell"], "heartbeat: { file: /run/app/alive, max_age: 2m }", TURNS),
    foreign(&["httpGet"], r#"http: { url: "http://localhost:8080/health" }"#, "asks the same"),
    foreign(&["tcpSocket"], r#"tcp: { address: "localhost:5432" }"#, "does the same"),
    foreign(&["ttl"], "heartbeat: { push: true, max_age: 2m }", "passes as long as its beats arrive in time"),
    foreign(
        &["test"],
        r#"http: { url: "http://localhost:8080/health" }"#,
        "asks what `curl -f` asks; what else a command does, a `heartbeat` says",
    ),
    foreign(
        &["conditions"],
        r#"http: { url: "http://localhost:8080/health", expect: { status: 200 } }"#,
        "has all conditions in `expect`",
    ),
    foreign(&["process", "pid", "systemd", "cron"], "heartbeat: { file: /run/app/alive, max_age: 2m }", TURNS),
    foreign(
        &["file"],
        "heartbeat: { file: /run/app/alive, max_age: 2m }",
        "sees whether the file is written again and again",
    ),
];

const fn foreign(names: &'static [&'static str], instead: &'static str, sees: &'static str) -> ForeignKind {
    ForeignKind { names, instead, sees }
}

/// The kind that others, or later versions, call `name`.
pub fn kind(name: &str) -> Option<&'static ForeignKind> {
    FOREIGN_KINDS.iter().find(|kind| kind.names.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

impl ForeignKind {
    /// What to write instead.
    pub fn help(&self) -> String {
        format!("there is no such kind: write `{}`, which {}", self.instead, self.sees)
    }
}

/// Words that others write, each with the words that stand for it here, of which one at most is known in a place.
const OTHER_WORDS: &[(&[&str], &[&str])] = &[
    (&["readiness", "readinessprobe", "readyz"], &["ready"]),
    (&["liveness", "livenessprobe", "livez", "alive"], &["live"]),
    (&["startupprobe", "startupz", "started"], &["startup"]),
    (&["startup", "start", "start_up"], &["at_startup"]),
    (&["yes", "y", "on", "always", "required", "hard"], &["true"]),
    (&["no", "n", "off", "never", "optional", "soft"], &["false"]),
    (&["master", "leader", "writer", "read-write"], &["primary"]),
    (&["slave", "standby", "follower", "secondary", "reader", "read-only"], &["replica"]),
    (&["warning"], &["warn"]),
    (&["err", "critical", "fatal"], &["error"]),
    (&["plain", "logfmt", "console", "pretty"], &["text"]),
    (&["4", "v4", "ip4", "inet"], &["ipv4"]),
    (&["6", "v6", "ip6", "inet6"], &["ipv6"]),
];

/// The one of `known` that others write as `word`.
pub fn word<'a>(word: &str, mut known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let meant = OTHER_WORDS.iter().filter(|(others, _)| others.iter().any(|other| other.eq_ignore_ascii_case(word)));
    let meant: Vec<_> = meant.flat_map(|(_, ours)| *ours).collect();
    known.find(|known| meant.contains(&known))
}

/// The file of another tool, by a key at its top and a key somewhere below that.
const FILES: &[(&str, &[&str], &str)] = &[
    ("endpoints", &["conditions", "url"], "Gatus"),
    ("external-endpoints", &["token", "heartbeat"], "Gatus"),
    ("modules", &["prober"], "blackbox_exporter"),
    ("probe", &["type", "targets"], "cloudprober"),
    ("scrape_configs", &["job_name"], "Prometheus"),
    ("services", &["image", "build", "healthcheck"], "Docker Compose"),
    ("healthcheck", &["test"], "Docker Compose"),
    ("livenessProbe", &["httpGet", "tcpSocket", "exec", "grpc"], "Kubernetes"),
    ("readinessProbe", &["httpGet", "tcpSocket", "exec", "grpc"], "Kubernetes"),
    ("startupProbe", &["httpGet", "tcpSocket", "exec", "grpc"], "Kubernetes"),
    ("port", &["listening"], "goss"),
    ("addr", &["reachable"], "goss"),
    ("process", &["running"], "goss"),
    ("management", &["endpoint", "endpoints", "health"], "Spring Boot"),
];

/// The other tool whose file this is, with the key that tells.
pub fn file<'n, 't>(root: &'n Node<'t>) -> Option<(&'n MappingEntry<'t>, &'static str)> {
    let NodeContent::Map(entries) = &root.content else { return None };
    if entries.iter().any(|entry| entry.key == "checks") {
        return None;
    }
    entries.iter().find_map(|entry| {
        let (_, _, tool) = FILES.iter().find(|(key, below, _)| entry.key == *key && has_key(&entry.value, below, 2))?;
        Some((entry, *tool))
    })
}

/// What to do with the file of another tool.
pub fn help_with_file(tool: &str) -> String {
    let kinds = ["Gatus", "blackbox_exporter", "Spring Boot", "Docker Compose"];
    if kinds.contains(&tool) {
        return format!("deploy/migrating.md says what to write for what a file of {tool} says");
    }
    format!("a file of probelet begins with {}: see config/reference.md", alternatives(["checks:"]))
}

/// Whether one of `keys` stands in `node`, or at most `depth` levels further down.
fn has_key(node: &Node, keys: &[&str], depth: u8) -> bool {
    let below = |node: &Node| depth > 0 && has_key(node, keys, depth - 1);
    match &node.content {
        NodeContent::Map(entries) => entries.iter().any(|entry| keys.contains(&&*entry.key) || below(&entry.value)),
        NodeContent::List(items) => items.iter().any(|item| below(item)),
        NodeContent::Scalar(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read as read_file;
    use crate::config::source::Environment;
    use crate::probe::KINDS;

    #[test]
    fn what_is_advised_instead_of_a_kind_is_valid() {
        for kind in FOREIGN_KINDS {
            let text = format!("checks: [{{ name: a, interval: 40s, {} }}]", kind.instead);
            let environment = Environment::of([("POD_NAME", "shop-0")]);
            let files = Box::new(|_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into()));
            let report = read_file("test", text.as_bytes(), &environment, files).report;
            assert!(report.is_valid(), "{}", report.text(false));
        }
    }

    #[test]
    fn no_kind_that_is_built_in_is_called_foreign() {
        assert!(KINDS.iter().all(|known| kind(known.name).is_none()));
    }
}
