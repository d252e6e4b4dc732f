//! A real RabbitMQ.
#![allow(dead_code)] // each test file includes this one and uses its own part of it

use std::process::Command;

use super::certs::{Authority, Identity};
use super::servers::{Account, Folder, Server, free_port, is_open, program, until};

/// A broker with the virtual hosts `/`, `shop/eu`, `/team` and `team`; the user `probe` (password `hunter2`) may use
/// all but the last, `outsider` and `limited` (password `hunter2`) none, `narrow` (password `hunter2`) enters `/` and may
/// touch nothing there.
pub struct Rabbit {
    /// The port without TLS, loopback only.
    pub port: u16,
    /// The port with TLS, loopback only. Client certificates are wanted there.
    pub tls_port: u16,
    broker: Option<Server>,
    /// Knows where the broker's node listens; the broker starts one that stays if it finds none.
    _epmd: Server,
    epmd_port: u16,
    node_port: u16,
    folder: Folder,
    account: Account,
}

impl Rabbit {
    /// A new broker that presents `identity` and accepts client certificates of `clients`. It is not ready yet.
    pub fn launch(identity: &Identity, clients: &Authority) -> Self {
        let account = Account::of("rabbitmq");
        let folder = Folder::new("rabbitmq");
        account.own(folder.path());
        folder.write("server.pem", &identity.certificate, &account);
        folder.write("server.key", &identity.key, &account);
        folder.write("clients.pem", &clients.pem(), &account);
        folder.write("plugins", "[].", &account);
        folder.write("environment", "", &account);
        folder.write(".erlang.cookie", &format!("probelet{}", std::process::id()), &account);
        let definitions = r#"{
            "vhosts": [{ "name": "/" }, { "name": "shop/eu" }, { "name": "/team" }, { "name": "team" }],
            "users": [
                { "name": "probe", "password": "hunter2", "tags": "" },
                { "name": "outsider", "password": "hunter2", "tags": "" },
                { "name": "limited", "password": "hunter2", "tags": "" },
                { "name": "narrow", "password": "hunter2", "tags": "" }
            ],
            "permissions": [
                { "user": "probe", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*" },
                { "user": "probe", "vhost": "shop/eu", "configure": ".*", "write": ".*", "read": ".*" },
                { "user": "probe", "vhost": "/team", "configure": ".*", "write": ".*", "read": ".*" },
                { "user": "narrow", "vhost": "/", "configure": "^$", "write": "^$", "read": "^$" }
            ]
        }"#;
        folder.write("definitions.json", definitions, &account);
        let [port, tls_port, epmd_port, node_port] = [(); 4].map(|()| free_port());
        let path = folder.path().display();
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nlisteners.ssl.1 = 127.0.0.1:{tls_port}\n\
             ssl_options.cacertfile = {path}/clients.pem\nssl_options.certfile = {path}/server.pem\n\
             ssl_options.keyfile = {path}/server.key\nssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = true\n\
             load_definitions = {path}/definitions.json\n\
             handshake_timeout = 120000\nssl_handshake_timeout = 120000\n\
             num_acceptors.tcp = 2\nnum_acceptors.ssl = 2\n\
             log.file = false\nlog.console = true\nlog.console.level = warning\n"
        );
        folder.write("rabbitmq.conf", &settings, &account);
        let mut epmd = Command::new(program("epmd", "rabbitmq-server"));
        epmd.args(["-port", &epmd_port.to_string(), "-address", "127.0.0.1"]);
        let epmd = Server::start(epmd, account, &folder);
        let mut rabbit = Self { port, tls_port, broker: None, _epmd: epmd, epmd_port, node_port, folder, account };
        rabbit.relaunch();
        rabbit
    }

    /// Starts it (again) on its ports.
    pub fn relaunch(&mut self) {
        self.broker = None;
        let at = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(program("rabbitmq-server", "rabbitmq-server"));
        command
            .arg("-noinput")
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .env("RABBITMQ_NODENAME", format!("probelet{}@localhost", self.port))
            .env("RABBITMQ_DIST_PORT", self.node_port.to_string())
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", at("environment"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins"))
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 +SDio 1 +A 1 +sbwt none +sbwtdcpu none +sbwtdio none")
            .env("HOME", self.folder.path());
        self.broker = Some(Server::start(command, self.account, &self.folder));
    }

    /// Runs `rabbitmqctl` with these arguments.
    pub fn control(&self, arguments: &[&str]) {
        let mut command = Command::new(program("rabbitmqctl", "rabbitmq-server"));
        let output = self
            .account
            .run_as(&mut command)
            .current_dir(self.folder.path())
            .args(["-n", &format!("probelet{}@localhost", self.port)])
            .args(arguments)
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", self.folder.path().join("environment"))
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Waits until it takes connections.
    pub fn until_ready(&mut self) {
        let (port, tls_port) = (self.port, self.tls_port);
        let log = self.folder.path().join("output.log");
        let broker = self.broker();
        until("RabbitMQ listens", || {
            assert!(!broker.has_ended(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
            is_open(port) && is_open(tls_port)
        });
    }

    /// The broker's processes.
    pub fn broker(&mut self) -> &mut Server {
        self.broker.as_mut().expect("it was started")
    }

    /// Where it writes its log.
    pub fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("output.log")
    }

    /// The URL without TLS for these credentials and this virtual host.
    pub fn url(&self, credentials: &str, path: &str) -> String {
        format!("amqp://{credentials}@localhost:{}{path}", self.port)
    }
}
