//! Real load balancers in front of two apps, each of which has a sidecar that says whether it may be used.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::daemon::PATIENCE;
use super::servers::{Account, Folder, Server, free_port, program};

/// An app and the sidecar that speaks for it.
#[derive(Clone, Copy, Debug)]
pub struct Backend {
    /// Where the app listens.
    pub app: SocketAddr,
    /// Where its sidecar does.
    pub sidecar: SocketAddr,
}

/// HAProxy, with one port for each way of asking a sidecar.
pub struct Haproxy {
    /// The ports, in the order of the ways.
    pub ports: Vec<u16>,
    folder: Folder,
    _server: Server,
}

impl Haproxy {
    /// Starts it before `backends`, which are called `a`, `b` and so on. Each of `ways` is lines of a section that say
    /// how it asks.
    pub fn start(ways: &[&str], backends: &[Backend]) -> Self {
        let (folder, account) = (Folder::new("haproxy"), Account::of("haproxy"));
        account.own(folder.path());
        let ports: Vec<u16> = ways.iter().map(|_| free_port()).collect();
        let mut settings = "global\n  maxconn 200\n  stats socket unix@stats\n\
                            defaults\n  mode http\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n  \
                            timeout check 5s\n  default-server check inter 100ms fall 1 rise 1\n"
            .to_owned();
        for (place, (way, port)) in ways.iter().zip(&ports).enumerate() {
            settings += &format!("listen way-{place}\n  bind 127.0.0.1:{port}\n  balance roundrobin\n");
            settings.extend(way.lines().map(|line| format!("  {line}\n")));
            for (Backend { app, sidecar }, name) in backends.iter().zip('a'..) {
                settings += &format!("  server {name} {app} port {}\n", sidecar.port());
            }
        }
        folder.write("haproxy.cfg", &settings, &account);
        let mut command = Command::new(program("haproxy", "haproxy"));
        command.args(["-db", "-f", "haproxy.cfg"]);
        let server = Server::start(command, account, &folder);
        Self { ports, folder, _server: server }
    }

    /// What it thinks of the backend `name` in each section: `UP L7OK 200`, `DOWN L7STS 503`.
    async fn opinions(&self, name: &str) -> Option<Vec<String>> {
        let mut socket = UnixStream::connect(self.folder.path().join("stats")).await.ok()?;
        socket.write_all(b"show stat\n").await.ok()?;
        let mut table = String::new();
        socket.read_to_string(&mut table).await.ok()?;
        let mut lines = table.trim_start_matches("# ").lines();
        let columns: Vec<&str> = lines.next()?.split(',').collect();
        let place = |wanted| columns.iter().position(|column| *column == wanted);
        let (server, wanted) = (place("svname")?, [place("status")?, place("check_status")?, place("check_code")?]);
        let rows = lines.map(|line| line.split(',').collect::<Vec<_>>());
        let of_server = rows.filter(|row| row.get(server) == Some(&name));
        Some(of_server.map(|row| wanted.map(|column| row[column].trim_start_matches("* ")).join(" ")).collect())
    }

    /// Waits until every section thinks so of the backend `name`, whatever else it thinks.
    pub async fn until_all_think(&self, name: &str, opinion: &str) {
        let mut last = None;
        let wait = async {
            loop {
                last = self.opinions(name).await;
                if last
                    .as_ref()
                    .is_some_and(|all| all.len() == self.ports.len() && all.iter().all(|it| it.starts_with(opinion)))
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let log = std::fs::read_to_string(self.folder.path().join("output.log")).unwrap_or_default();
            panic!("HAProxy does not think {opinion} of {name}: {last:#?}\n{log}");
        }
    }
}

/// nginx. Of itself it checks nothing: it learns from answers.
pub struct Nginx {
    /// Asks the sidecars themselves and passes a closed one over; `X-Upstream` says whom it asked.
    pub passing_over: u16,
    /// Asks the first sidecar before each request whether the first app may have it; else the second app gets it.
    pub asking_first: u16,
    _server: Server,
    _folder: Folder,
}

impl Nginx {
    /// Starts it before two apps; the sidecars are asked for `path`. Whoever failed is left alone for two
    /// seconds.
    pub fn start([first, second]: [Backend; 2], path: &str) -> Self {
        let (folder, account) = (Folder::new("nginx"), Account::of("www-data"));
        account.own(folder.path());
        let (passing_over, asking_first) = (free_port(), free_port());
        let inside: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("  {kind}_temp_path {kind};\n"))
            .concat();
        let settings = format!(
            "daemon off;\nworker_processes 1;\npid nginx.pid;\nevents {{ worker_connections 100; }}\n\
             http {{\n  access_log off;\n{inside}\
             \x20 upstream sidecars {{\n    server {} max_fails=1 fail_timeout=2s;\n    server {} max_fails=1 fail_timeout=2s;\n    \
             keepalive 4;\n  }}\n\
             \x20 proxy_http_version 1.1;\n  proxy_set_header Connection \"\";\n\
             \x20 server {{\n    listen 127.0.0.1:{passing_over};\n    location / {{\n      proxy_pass http://sidecars{path};\n      \
             proxy_next_upstream error timeout http_503;\n      add_header X-Upstream $upstream_addr always;\n    }}\n  }}\n\
             \x20 server {{\n    listen 127.0.0.1:{asking_first};\n    location / {{\n      auth_request /may-it;\n      \
             error_page 500 = @second;\n      proxy_pass http://{};\n    }}\n\
             \x20   location = /may-it {{\n      internal;\n      proxy_pass http://{}{path};\n      proxy_pass_request_body off;\n      \
             proxy_set_header Content-Length \"\";\n    }}\n\
             \x20   location @second {{ proxy_pass http://{}; }}\n  }}\n}}\n",
            first.sidecar, second.sidecar, first.app, first.sidecar, second.app
        );
        folder.write("nginx.conf", &settings, &account);
        let mut command = Command::new(program("nginx", "nginx-light"));
        command.arg("-p").arg(folder.path()).args(["-e", "stderr", "-c", "nginx.conf"]);
        let server = Server::start(command, account, &folder);
        Self { passing_over, asking_first, _server: server, _folder: folder }
    }
}

/// nginx as it is shipped, with `proxy_pass` and nothing else, at the root and under a path prefix.
pub struct StockNginx {
    /// Where it listens.
    pub address: u16,
    _server: Server,
    _folder: Folder,
}

impl StockNginx {
    /// Starts it before a sidecar, which is also at `/health/of/shop/`.
    pub fn start(sidecar: SocketAddr) -> Self {
        Self::start_with(sidecar, "")
    }

    /// The same with one more setting.
    pub fn start_with(sidecar: SocketAddr, context: &str) -> Self {
        let (folder, account) = (Folder::new("nginx"), Account::of("www-data"));
        account.own(folder.path());
        let address = free_port();
        let inside: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("  {kind}_temp_path {kind};\n"))
            .concat();
        let settings = format!(
            "daemon off;\npid nginx.pid;\nevents {{ }}\nhttp {{\n  access_log off;\n{inside}  {context}\n  server {{\n    \
             listen 127.0.0.1:{address};\n    location / {{ proxy_pass http://{sidecar}; }}\n    \
             location /health/of/shop/ {{ proxy_pass http://{sidecar}/; }}\n  }}\n}}\n"
        );
        folder.write("nginx.conf", &settings, &account);
        let mut command = Command::new(program("nginx", "nginx-light"));
        command.arg("-p").arg(folder.path()).args(["-e", "stderr", "-c", "nginx.conf"]);
        let server = Server::start(command, account, &folder);
        Self { address, _server: server, _folder: folder }
    }
}
