//! Envoy, Caddy and Traefik with what `deploy/proxies.md` says of them, looking ten times a second.

use std::process::Command;
use std::time::Duration;

use super::daemon::{PATIENCE, exchange};
use super::proxies::Backend;
use super::servers::{Account, Folder, Server, free_port, program, until};

/// The first block of a section of `deploy/proxies.md`.
fn snippet(heading: &str) -> String {
    let text = include_str!("../../deploy/proxies.md");
    let section = text.split_once(&format!("\n## {heading}\n")).expect("the section").1;
    let block = section.split_once("\n```").expect("a block").1;
    let (_, block) = block.split_once('\n').expect("its first line");
    block.split_once("\n```").expect("its end").0.to_owned() + "\n"
}

/// Replaces what is written once.
fn put(text: &str, written: &str, instead: &str) -> String {
    assert_eq!(text.matches(written).count(), 1, "{written} in\n{text}");
    text.replace(written, instead)
}

/// Envoy before two apps; it asks their sidecars over HTTP, or over gRPC.
pub struct Envoy {
    /// Where it takes requests for the apps.
    pub port: u16,
    admin: u16,
    _server: Server,
    _folder: Folder,
}

impl Envoy {
    /// Asks as the page says.
    pub fn over_http(backends: [Backend; 2]) -> Self {
        Self::start(&snippet("Envoy"), backends)
    }

    /// Asks as the page says of a cluster that speaks HTTP/2.
    pub fn over_grpc(backends: [Backend; 2]) -> Self {
        let text = include_str!("../../deploy/proxies.md");
        assert!(text.contains("`grpc_health_check: { service_name: readiness }`"), "the page says so");
        let asking = "grpc_health_check: { service_name: readiness }";
        let cluster = put(&snippet("Envoy"), "http_health_check: { path: /readyz }", asking);
        let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        let http2 = format!(
            "    typed_extension_protocol_options:\n      {options}:\n        \
             \"@type\": type.googleapis.com/{options}\n        explicit_http_config: {{ http2_protocol_options: {{}} }}\n"
        );
        Self::start(&(cluster + &http2), backends)
    }

    fn start(cluster: &str, backends: [Backend; 2]) -> Self {
        let (folder, account) = (Folder::new("envoy"), Account::mine());
        let (port, admin) = (free_port(), free_port());
        let mut cluster = cluster.replace("interval: 2s", "interval: 0.1s");
        for (Backend { app, sidecar }, address) in backends.iter().zip(["10.0.0.1", "10.0.0.2"]) {
            let (from, to) = (
                format!("address: {address}, port_value: 8080"),
                format!("address: 127.0.0.1, port_value: {}", app.port()),
            );
            cluster = put(&cluster, &from, &to);
            cluster = cluster.replacen("port_value: 10240", &format!("port_value: {}", sidecar.port()), 1);
        }
        // One of two is half of them: nothing is left of them below which traffic goes to all.
        cluster += "    common_lb_config: { healthy_panic_threshold: { value: 0 } }\n";
        let manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
        let router = "envoy.extensions.filters.http.router.v3.Router";
        let indented: String = cluster.lines().map(|line| format!("  {line}\n")).collect();
        let settings = format!(
            "admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {admin} }} }} }}\n\
             static_resources:\n  listeners:\n    - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}\n      \
             filter_chains:\n        - filters:\n            - name: http\n              typed_config:\n                \
             \"@type\": type.googleapis.com/{manager}\n                stat_prefix: http\n                \
             route_config: {{ virtual_hosts: [{{ name: all, domains: [\"*\"], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: orders }} }}] }}] }}\n                \
             http_filters: [{{ name: router, typed_config: {{ \"@type\": type.googleapis.com/{router} }} }}]\n{indented}"
        );
        folder.write("envoy.yaml", &settings, &account);
        let mut command = Command::new(program("envoy", "no package"));
        command.args(["-c", "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]);
        let server = Server::start(command, account, &folder);
        Self { port, admin, _server: server, _folder: folder }
    }

    /// Waits until it thinks so of a backend: `healthy`, `/failed_active_hc`, `/degraded_active_hc`.
    pub async fn until_it_thinks(&self, backend: &Backend, opinion: &str) {
        let wanted = format!("orders::{}::health_flags::{opinion}", backend.app);
        let mut last = String::new();
        let wait = async {
            loop {
                if super::servers::is_open(self.admin) {
                    let request = b"GET /clusters HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n";
                    last = exchange(([127, 0, 0, 1], self.admin).into(), request).await.body;
                }
                if last.lines().any(|line| line == wanted) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "Envoy does not think {opinion}: {last}");
    }
}

/// A balancer with a site for each backend alone: a sidecar that says no leaves nobody to answer there.
pub trait Sites {
    /// The sites, in the order of the backends.
    fn ports(&self) -> [u16; 2];
}

/// Caddy, a site for each.
pub struct Caddy {
    ports: [u16; 2],
    _server: Server,
    _folder: Folder,
}

impl Caddy {
    /// Starts it with what the page says, once `caddy validate` has nothing to say.
    pub fn start(backends: [Backend; 2]) -> Self {
        let (folder, account) = (Folder::new("caddy"), Account::of("www-data"));
        account.own(folder.path());
        let ports = [free_port(), free_port()];
        let mut settings = "{\n\tadmin off\n\tauto_https off\n}\n".to_owned();
        for (Backend { app, sidecar }, port) in backends.iter().zip(ports) {
            let site = put(&snippet("Caddy"), "10.0.0.1:8080 10.0.0.2:8080", &app.to_string());
            let site = put(&site, "health_port 10240", &format!("health_port {}", sidecar.port()));
            let site = put(&site, "health_interval 2s", "health_interval 100ms");
            settings += &format!("http://:{port} {{\n\tbind 127.0.0.1\n{site}}}\n");
        }
        folder.write("Caddyfile", &settings, &account);
        let caddy = |command: &str| {
            let mut caddy = Command::new(program("caddy", "caddy"));
            caddy.args([command, "--config", "Caddyfile"]);
            caddy.env("HOME", folder.path()).env("XDG_DATA_HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
            caddy
        };
        let valid = account.run_as(&mut caddy("validate")).current_dir(folder.path()).output().unwrap();
        assert!(valid.status.success(), "{}", String::from_utf8_lossy(&valid.stderr));
        let server = Server::start(caddy("run"), account, &folder);
        until("Caddy listens", || ports.iter().all(|port| super::servers::is_open(*port)));
        Self { ports, _server: server, _folder: folder }
    }
}

impl Sites for Caddy {
    fn ports(&self) -> [u16; 2] {
        self.ports
    }
}

/// Traefik, a site for each.
pub struct Traefik {
    ports: [u16; 2],
    _server: Server,
    _folder: Folder,
}

impl Traefik {
    /// Starts it with what the page says in its file provider.
    pub fn start(backends: [Backend; 2]) -> Self {
        let (folder, account) = (Folder::new("traefik"), Account::mine());
        let ports = [free_port(), free_port()];
        let (mut entries, mut routers, mut services) = (String::new(), String::new(), String::new());
        for ((Backend { app, sidecar }, port), site) in backends.iter().zip(ports).zip(["a", "b"]) {
            let service = put(&snippet("Traefik"), "http:\n  services:\n    orders:\n", &format!("    {site}:\n"));
            let both = r#"{ url: "http://10.0.0.1:8080" }, { url: "http://10.0.0.2:8080" }"#;
            let service = put(&service, both, &format!("{{ url: \"http://{app}\" }}"));
            let service = put(&service, "port: 10240", &format!("port: {}", sidecar.port()));
            services += &put(&service, "interval: 2s", "interval: 100ms");
            routers +=
                &format!("    {site}: {{ entryPoints: [{site}], rule: \"PathPrefix(`/`)\", service: {site} }}\n");
            entries += &format!("  {site}: {{ address: \"127.0.0.1:{port}\" }}\n");
        }
        folder.write("sites.yaml", &format!("http:\n  routers:\n{routers}  services:\n{services}"), &account);
        let settings = format!(
            "global: {{ checkNewVersion: false, sendAnonymousUsage: false }}\nentryPoints:\n{entries}\
             providers: {{ file: {{ filename: sites.yaml }} }}\n"
        );
        folder.write("traefik.yaml", &settings, &account);
        let mut command = Command::new(program("traefik", "no package"));
        command.arg("--configFile=traefik.yaml");
        let server = Server::start(command, account, &folder);
        until("Traefik listens", || ports.iter().all(|port| super::servers::is_open(*port)));
        Self { ports, _server: server, _folder: folder }
    }
}

impl Sites for Traefik {
    fn ports(&self) -> [u16; 2] {
        self.ports
    }
}
