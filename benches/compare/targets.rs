//! What is probed: an nginx, a PostgreSQL, a Redis and a RabbitMQ of our own, and the checks of them.

use std::process::Command;

use crate::support::certs::{Authority, Identity};
use crate::support::postgres::Postgres;
use crate::support::rabbitmq::Rabbit;
use crate::support::redis::Redis;
use crate::support::servers::{Account, Folder, Server, free_port, is_open, program, until};

/// The running servers. Dropping them ends them.
pub struct Targets {
    nginx: Nginx,
    postgres: Postgres,
    redis: Redis,
    rabbit: Rabbit,
}

impl Targets {
    /// Starts them all.
    pub fn start() -> Self {
        let authority = Authority::new("bench");
        let identity: Identity = authority.server(&["localhost", "127.0.0.1"]);
        let mut rabbit = Rabbit::launch(&identity, &authority);
        let nginx = Nginx::start();
        let postgres = Postgres::start(&identity, &authority);
        let redis = Redis::start(&identity, &authority, None);
        rabbit.until_ready();
        Self { nginx, postgres, redis, rabbit }
    }

    /// The page that HTTP probes ask for.
    pub fn page(&self) -> String {
        format!("http://127.0.0.1:{}/health", self.nginx.port)
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
            "tcp" => format!("tcp: {{ address: \"{}\" }}", self.address()),
            "postgres" => {
                format!("postgres: {{ url: \"{}\" }}", at(self.postgres.url("probe:hunter2", "sslmode=disable")))
            }
            "redis" => format!("redis: {{ url: \"{}\" }}", at(self.redis.url("probe:hunter3"))),
            "amqp" => format!("amqp: {{ url: \"{}\" }}", at(self.rabbit.url("probe:hunter2", ""))),
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

    /// Checks of one kind that make so many runs a second together; with `more` in their section.
    pub fn checks_at(&self, rate: u32, kind: &str, more: &str) -> String {
        let section = self.section(kind).replace(" }", &format!("{more} }}"));
        let checks = (0..rate / 10)
            .map(|number| format!("  - name: check-{number}\n    interval: 100ms\n    timeout: 2s\n    {section}\n"));
        format!("log: {{ level: warn }}\nchecks:\n{}", checks.collect::<String>())
    }
}

/// An nginx that answers without touching a file.
struct Nginx {
    port: u16,
    _server: Server,
    _folder: Folder,
}

impl Nginx {
    fn start() -> Self {
        let account = Account::of("www-data");
        let folder = Folder::new("nginx");
        account.own(folder.path());
        let (port, path) = (free_port(), folder.path().display().to_string());
        let settings = format!(
            "daemon off;
worker_processes 1;
pid {path}/pid;
error_log stderr error;
events {{}}
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
    listen 127.0.0.1:{port};
    location /login {{ return 200 '{{\"access_token\": \"c2VjcmV0\"}}'; }}
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
        Self { port, _server: server, _folder: folder }
    }
}
