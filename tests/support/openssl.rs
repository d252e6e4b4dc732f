//! OpenSSL: certificates of every kind, and its own server that presents them.
#![allow(dead_code, clippy::unwrap_used)] // each test file includes this one and uses its own part of it; it is a test

use std::process::Command;

use crate::servers::{Account, Folder, Server, free_port, is_open, program, until};

/// A folder of certificates made by `openssl`.
pub struct Workshop {
    folder: Folder,
    account: Account,
}

impl Workshop {
    /// An empty one.
    pub fn new() -> Self {
        let (folder, account) = (Folder::new("openssl"), Account::of("nobody"));
        account.own(folder.path());
        Self { folder, account }
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &str) {
        let mut command = Command::new(program("openssl", "openssl"));
        command.args(arguments.split_whitespace()).current_dir(self.folder.path());
        let output = self.account.run_as(&mut command).output().unwrap();
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes `NAME.key` and `NAME.pem`, a certificate for `localhost` that vouches for itself. `key` is as
    /// `openssl genpkey` takes it, `more` what `openssl req` may be told besides.
    pub fn self_signed(&self, name: &str, key: &str, more: &str) {
        self.key(name, key);
        let alternative = if more.contains("no-names") { "" } else { "-addext subjectAltName=DNS:localhost" };
        let more = more.replace("no-names", "");
        self.run(&format!(
            "req -x509 -new -key {name}.key -subj /CN=localhost -days 90 {alternative} {more} -out {name}.pem"
        ));
    }

    /// Makes `NAME.key` and `NAME.pem`, which `ISSUER.pem` vouches for. `more` is for `openssl x509`. With `extensions`
    /// it is of version 3.
    pub fn signed(&self, name: &str, key: &str, issuer: &str, extensions: &str, more: &str) {
        self.key(name, key);
        self.run(&format!("req -new -key {name}.key -subj /CN=localhost -out {name}.csr"));
        self.folder.write("extensions", extensions, &self.account);
        let extensions = if extensions.is_empty() { "" } else { "-extfile extensions" };
        self.run(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -days 90 {extensions} {more} \
             -out {name}.pem"
        ));
    }

    fn key(&self, name: &str, key: &str) {
        self.run(&format!("genpkey {key} -out {name}.key"));
    }

    /// A server that presents `NAME.pem` and answers HTTP. `more` is for `openssl s_server`.
    pub fn serve(&self, name: &str, more: &str) -> (u16, Server) {
        let port = free_port();
        let mut command = Command::new(program("openssl", "openssl"));
        command.args(["s_server", "-www", "-accept", &format!("127.0.0.1:{port}")]);
        command.args(["-cert", &self.path(&format!("{name}.pem")), "-key", &self.path(&format!("{name}.key"))]);
        command.args(more.split_whitespace());
        let mut server = Server::start(command, self.account, &self.folder);
        until("openssl s_server listens", || is_open(port) || server.has_ended());
        assert!(!server.has_ended(), "openssl s_server {more} has ended");
        (port, server)
    }
}
