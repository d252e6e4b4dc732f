//! A real Redis.
#![allow(dead_code)] // each test file includes this one and uses its own part of it

use std::process::Command;

use super::certs::{Authority, Identity};
use super::servers::{Account, Folder, Server, free_port, is_open, program, until};

/// A server with the password `hunter2` and the users `probe` (password `hunter3`, all commands), `narrow` (password
/// `hunter4`, `PING` and `INFO` alone), `barred` (password `hunter5`, nothing) and `open` (no password).
pub struct Redis {
    server: Option<Server>,
    /// The port without TLS, loopback only.
    pub port: u16,
    /// The port with TLS, loopback only. Client certificates are wanted there.
    pub tls_port: u16,
    folder: Folder,
    account: Account,
}

impl Redis {
    /// A new server that presents `identity` and accepts client certificates of `clients`, and follows the one on
    /// `primary` if that is given.
    pub fn start(identity: &Identity, clients: &Authority, primary: Option<u16>) -> Self {
        Self::start_with(identity, clients, primary, "")
    }

    /// The same with more settings.
    pub fn start_with(identity: &Identity, clients: &Authority, primary: Option<u16>, more: &str) -> Self {
        let account = Account::of("redis");
        let folder = Folder::new("redis");
        account.own(folder.path());
        folder.write("server.pem", &identity.certificate, &account);
        folder.write("server.key", &identity.key, &account);
        folder.write("clients.pem", &clients.pem(), &account);
        let (port, tls_port) = (free_port(), free_port());
        let mut settings = format!(
            "bind 127.0.0.1\nport {port}\ntls-port {tls_port}\n\
             tls-cert-file server.pem\ntls-key-file server.key\ntls-ca-cert-file clients.pem\n\
             loglevel verbose\nsave \"\"\nappendonly no\nrequirepass hunter2\nmasterauth hunter2\nrepl-diskless-sync-delay 0\n\
             user probe on >hunter3 allkeys allcommands\n\
             user open on nopass allkeys allcommands\n\
             user narrow on >hunter4 nocommands +ping +info +select\nuser barred on >hunter5 nocommands\n"
        );
        if let Some(primary) = primary {
            settings.push_str(&format!("replicaof 127.0.0.1 {primary}\nreplica-serve-stale-data no\n"));
        }
        settings.push_str(more);
        folder.write("redis.conf", &settings, &account);
        let mut redis = Self { server: None, port, tls_port, folder, account };
        redis.restart();
        redis
    }

    /// Starts it (again) on its ports.
    pub fn restart(&mut self) {
        self.server = None;
        let mut command = Command::new(program("redis-server", "redis-server"));
        command.arg("redis.conf");
        let mut server = Server::start(command, self.account, &self.folder);
        until("Redis listens", || {
            assert!(!server.has_ended(), "Redis does not start");
            is_open(self.port) && is_open(self.tls_port)
        });
        self.server = Some(server);
    }

    /// The running server.
    pub fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("it was started")
    }

    /// Where it writes its log.
    pub fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("output.log")
    }

    /// The URL without TLS for these credentials.
    pub fn url(&self, credentials: &str) -> String {
        format!("redis://{credentials}@localhost:{}", self.port)
    }
}
