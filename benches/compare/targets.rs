//! What is probed: an nginx, a PostgreSQL, a Redis and a RabbitMQ of our own, and the checks of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::client;
use crate::release::daemon;
use crate::support::certs::{Authority, Identity};
use crate::support::postgres::Postgres;
use crate::support::rabbitmq::Rabbit;
use crate::support::redis::Redis;
use crate::support::servers::{Account, Folder, Server, free_port, is_open, program, until};

/// The kinds of which one run is measured, and whether they have a connection that may be kept or fresh.
pub const KINDS: &[(&str, bool)] = &[
    ("http", true),
    ("https", true),
    ("tcp", false),
    ("postgres", true),
    ("redis", true),
    ("amqp", true),
    ("grpc", true),
    ("disk", false),
    ("heartbeat", false),
    ("workflow", false),
];

/// The running servers. Dropping them ends them.
pub struct Targets {
    nginx: Nginx,
    postgres: Postgres,
    redis: Redis,
    rabbit: Rabbit,
    health: Health,
}

impl Targets {
    /// Starts them all; what answers gRPC is a daemon of its own.
    pub fn start(probelet: &Path) -> Self {
        let authority = Authority::new("bench");
        let identity: Identity = authority.server(&["localhost", "127.0.0.1"]);
        let mut rabbit = Rabbit::launch(&identity, &authority);
        let nginx = Nginx::start(&identity, &authority);
        let postgres = Postgres::start(&identity, &authority);
        let redis = Redis::start(&identity, &authority, None);
        let health = Health::start(probelet);
        rabbit.until_ready();
        Self { nginx, postgres, redis, rabbit, health }
    }

    /// The page that HTTP probes ask for.
    pub fn page(&self) -> String {
        format!("http://127.0.0.1:{}/health", self.nginx.port)
    }

    /// The same page on several ports, for more probes than one port has connections for.
    pub fn pages(&self) -> Vec<String> {
        self.nginx.ports.iter().map(|port| format!("http://127.0.0.1:{port}/health")).collect()
    }

    /// The same for what others depend on: it fails while [`parents_fail`](Self::parents_fail).
    pub fn parent_pages(&self) -> Vec<String> {
        self.nginx.ports.iter().map(|port| format!("http://127.0.0.1:{port}/parent")).collect()
    }

    /// From now on the pages of parents fail, or pass again.
    pub fn parents_fail(&self, fail: bool) {
        let changed =
            if fail { std::fs::write(&self.nginx.outage, "") } else { std::fs::remove_file(&self.nginx.outage) };
        changed.expect("it is ours");
    }

    /// What TCP probes connect to.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.nginx.port)
    }

    /// The section of a check of this kind.
    pub fn section(&self, kind: &str) -> String {
        let at = |url: String| url.replace("localhost", "127.0.0.1");
        match kind {
            "http" => format!("http: {{ url: \"{}\" }}", self.page()),
            "https" => {
                let (port, ca) = (self.nginx.secure, self.nginx.ca.display());
                format!("http: {{ url: \"https://127.0.0.1:{port}/health\", tls: {{ ca_file: \"{ca}\" }} }}")
            }
            "heartbeat" => format!("heartbeat: {{ file: \"{}\", max_age: 1h }}", self.nginx.beat.display()),
            "tcp" => format!("tcp: {{ address: \"{}\" }}", self.address()),
            "postgres" => {
                format!("postgres: {{ url: \"{}\" }}", at(self.postgres.url("probe:hunter2", "sslmode=disable")))
            }
            "redis" => format!("redis: {{ url: \"{}\" }}", at(self.redis.url("probe:hunter3"))),
            "amqp" => format!("amqp: {{ url: \"{}\" }}", at(self.rabbit.url("probe:hunter2", ""))),
            "simulated" => "simulated: {}".into(),
            "grpc" => format!("grpc: {{ address: \"127.0.0.1:{}\" }}", self.health.port),
            "disk" => "disk: { path: /, min_free: 1KiB }".into(),
            "workflow" => format!(
                "workflow:
      steps:
        - name: login
          http: {{ url: \"http://{0}/login\", method: POST, body: '{{\"user\":\"probe\"}}' }}
          capture: {{ token: \"json:/access_token\" }}
        - name: order
          http: {{ url: \"http://{0}/orders\", headers: {{ Authorization: \"Bearer ${{steps.login.token}}\" }} }}",
                self.address()
            ),
            other => unreachable!("there is no section {other}"),
        }
    }

    /// One check of each of seven kinds, every 5 s.
    pub fn seven_checks(&self) -> String {
        let kinds = ["http", "tcp", "postgres", "redis", "amqp", "disk", "workflow"];
        let checks = kinds
            .map(|kind| format!("  - name: {kind}\n    interval: 5s\n    timeout: 2s\n    {}\n", self.section(kind)));
        format!("log: {{ level: warn }}\nchecks:\n{}", checks.concat())
    }

    /// So many checks of one kind, each with this interval in milliseconds, and with `more` in their section.
    pub fn checks(&self, count: usize, interval: usize, kind: &str, more: &str) -> String {
        let section = self.section(kind);
        let section = section.strip_suffix(" }").map_or_else(|| section.clone(), |open| format!("{open}{more} }}"));
        let checks = (0..count).map(|number| {
            format!("  - name: check-{number}\n    interval: {interval}ms\n    timeout: 2s\n    {section}\n")
        });
        format!("log: {{ level: warn }}\nchecks:\n{}", checks.collect::<String>())
    }

    /// A sign of life, as an app gives it.
    pub fn beat(&self) {
        let file = std::fs::File::options().write(true).open(&self.nginx.beat).expect("it is ours");
        file.set_modified(SystemTime::now()).expect("it is ours");
    }

    /// How often the nginx has been asked, this time not counted.
    pub fn asked(&self) -> Asked {
        let (_, text) = client::get(self.nginx.port, "/nginx").expect("nginx answers");
        // `server accepts handled requests`, and a line with their numbers.
        let numbers = text.lines().nth(2).unwrap_or_default();
        let mut numbers = numbers.split_whitespace().map(|number| number.parse().expect("nginx tells numbers"));
        let connections: u64 = numbers.next().expect("nginx tells its connections");
        let requests: u64 = numbers.nth(1).expect("nginx tells its requests");
        Asked { requests: requests - 1, connections: connections - 1 }
    }
}

/// What a server has counted.
#[derive(Clone, Copy)]
pub struct Asked {
    /// Requests.
    pub requests: u64,
    /// Connections.
    pub connections: u64,
}

/// A daemon without checks, which speaks gRPC's health protocol.
struct Health {
    port: u16,
    _server: Server,
    _folder: Folder,
}

impl Health {
    fn start(probelet: &Path) -> Self {
        let (folder, port) = (Folder::new("health"), free_port());
        let config = folder.write("config.yaml", "log: { level: warn }\nchecks: []\n", &Account::mine());
        let mut server = Server::start(daemon(probelet, &config, port), Account::mine(), &folder);
        until("the daemon that answers gRPC listens", || !server.has_ended() && is_open(port));
        Self { port, _server: server, _folder: folder }
    }
}

/// An nginx that answers without touching a file.
struct Nginx {
    port: u16,
    /// The port of TLS.
    secure: u16,
    /// Who vouches for it.
    ca: PathBuf,
    /// A heartbeat's file.
    beat: PathBuf,
    /// While this file is there, the pages of parents fail.
    outage: PathBuf,
    ports: [u16; 4],
    _server: Server,
    _folder: Folder,
}

impl Nginx {
    fn start(identity: &Identity, authority: &Authority) -> Self {
        let account = Account::of("www-data");
        let folder = Folder::new("nginx");
        account.own(folder.path());
        let ca = folder.write("ca.pem", &authority.pem(), &account);
        folder.write("server.pem", &identity.certificate, &account);
        folder.write("server.key", &identity.key, &account);
        let beat = folder.write("beat", "", &account);
        let secure = free_port();
        let ports = [(); 4].map(|()| free_port());
        let (port, path) = (ports[0], folder.path().display().to_string());
        let listen = ports.map(|port| format!("    listen 127.0.0.1:{port};\n")).concat();
        let settings = format!(
            "daemon off;
worker_processes 1;
pid {path}/pid;
error_log stderr error;
worker_rlimit_nofile 16384;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {path}/body;
  proxy_temp_path {path}/proxy;
  fastcgi_temp_path {path}/fastcgi;
  uwsgi_temp_path {path}/uwsgi;
  scgi_temp_path {path}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  default_type application/json;
  server {{
{listen}    listen 127.0.0.1:{secure} ssl;
    ssl_certificate {path}/server.pem;
    ssl_certificate_key {path}/server.key;
    location /nginx {{ stub_status; }}
    location /login {{ return 200 '{{\"access_token\": \"c2VjcmV0\"}}'; }}
    location /parent {{
      if (-f {path}/outage) {{ return 503; }}
      return 200 '{{\"status\": \"ok\"}}';
    }}
    location / {{ return 200 '{{\"status\": \"ok\"}}'; }}
  }}
}}
"
        );
        let settings = folder.write("nginx.conf", &settings, &account);
        let mut command = Command::new(program("nginx", "nginx-light"));
        command.arg("-p").arg(folder.path()).arg("-c").arg(settings).args(["-e", "stderr"]);
        let mut server = Server::start(command, account, &folder);
        let log = folder.path().join("output.log");
        until("nginx listens", || {
            assert!(!server.has_ended(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
            is_open(port)
        });
        let outage = folder.path().join("outage");
        Self { port, secure, ca, beat, outage, ports, _server: server, _folder: folder }
    }
}
