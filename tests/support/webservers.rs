//! Real web servers and programs of others that answer HTTP, as children of a test.
#![allow(dead_code, clippy::unwrap_used)] // each test file includes this one and uses its own part of it; it is a test

use std::process::Command;

use super::servers::{Account, Folder, Server, free_port, is_open, program, until};

/// A server that listens on one or more ports of its own.
pub struct WebServer {
    /// Where it listens, in the order of its settings.
    pub ports: Vec<u16>,
    /// Where its settings, files and logs are.
    pub folder: Folder,
    /// The process.
    pub server: Server,
}

impl WebServer {
    fn start(command: Command, account: Account, folder: Folder, ports: Vec<u16>) -> Self {
        let mut server = Server::start(command, account, &folder);
        until("the server listens", || {
            let log = || std::fs::read_to_string(folder.path().join("output.log")).unwrap_or_default();
            assert!(!server.has_ended(), "it has ended: {}", log());
            ports.iter().all(|port| is_open(*port))
        });
        Self { ports, folder, server }
    }

    /// nginx with these settings of the block `http`, in which `PORT0`, `PORT1` and so on stand for ports. `files` are
    /// in its folder, from where paths in the settings begin.
    pub fn nginx(settings: &str, files: &[(&str, &str)]) -> Self {
        let (folder, account) = (Folder::new("nginx"), Account::of("www-data"));
        account.own(folder.path());
        for (name, content) in files {
            folder.write(name, content, &account);
        }
        let (settings, ports) = with_ports(settings);
        let inside: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("  {kind}_temp_path {kind};\n"))
            .concat();
        let settings = format!(
            "daemon off;\nworker_processes 1;\npid nginx.pid;\nevents {{ worker_connections 100; }}\n\
             http {{\n  access_log off;\n{inside}{settings}\n}}\n"
        );
        folder.write("nginx.conf", &settings, &account);
        let mut command = Command::new(program("nginx", "nginx-light"));
        command.arg("-p").arg(folder.path()).args(["-e", "stderr", "-c", "nginx.conf"]);
        Self::start(command, account, folder, ports)
    }

    /// A program for Node, in which `PORT0`, `PORT1` and so on stand for ports.
    pub fn node(script: &str, files: &[(&str, &str)]) -> Self {
        let (folder, account) = (Folder::new("node"), Account::of("nobody"));
        account.own(folder.path());
        for (name, content) in files {
            folder.write(name, content, &account);
        }
        let (script, ports) = with_ports(script);
        folder.write("server.js", &script, &account);
        let mut command = Command::new(program("node", "nodejs"));
        command.arg("server.js");
        Self::start(command, account, folder, ports)
    }

    /// HAProxy with these sections.
    pub fn haproxy(settings: &str, files: &[(&str, &str)]) -> Self {
        let (folder, account) = (Folder::new("haproxy"), Account::of("haproxy"));
        account.own(folder.path());
        for (name, content) in files {
            folder.write(name, content, &account);
        }
        let (settings, ports) = with_ports(settings);
        let times = "  mode http\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n";
        folder.write("haproxy.cfg", &format!("global\n  maxconn 100\ndefaults\n{times}{settings}\n"), &account);
        let mut command = Command::new(program("haproxy", "haproxy"));
        command.args(["-db", "-f", "haproxy.cfg"]);
        Self::start(command, account, folder, ports)
    }

    /// Squid, which lets the user `probe` with the password `p@ss/word` through, but not to `forbidden.test`, and keeps
    /// answers in memory as it does without a setting.
    pub fn squid() -> Self {
        let (folder, account) = (Folder::new("squid"), Account::of("proxy"));
        account.own(folder.path());
        let hash = Command::new(program("openssl", "openssl")).args(["passwd", "-apr1", "p@ss/word"]).output().unwrap();
        folder.write("passwd", &format!("probe:{}", String::from_utf8(hash.stdout).unwrap()), &account);
        let place = folder.path().display().to_string();
        let (settings, ports) = with_ports(&format!(
            "http_port 127.0.0.1:PORT0\npid_filename none\ncache_mem 1 MB\naccess_log none\ncache_store_log none\n\
             cache_log {place}/cache.log\nnetdb_filename none\npinger_enable off\nmemory_cache_shared off\n\
             shutdown_lifetime 0 seconds\ncoredump_dir none\nmax_filedescriptors 256\nhosts_file {place}/hosts\n\
             auth_param basic program /usr/lib/squid/basic_ncsa_auth {place}/passwd\n\
             auth_param basic children 1 startup=0 idle=1\nacl known proxy_auth REQUIRED\n\
             acl forbidden dstdomain forbidden.test\nhttp_access deny forbidden\nhttp_access allow known\n\
             http_access deny all\n"
        ));
        folder.write("hosts", "127.0.0.1 app.test forbidden.test\n", &account);
        folder.write("squid.conf", &settings, &account);
        let mut command = Command::new(program("squid", "squid"));
        // A name of its own, so that servers of several tests do not take each other for themselves.
        command.args(["-N", "-f", "squid.conf", "-n", &format!("probelet{}", ports[0])]);
        Self::start(command, account, folder, ports)
    }

    /// tinyproxy, which lets the user `probe` with the password `secret` through: it takes no signs in one.
    pub fn tinyproxy() -> Self {
        let (folder, account) = (Folder::new("tinyproxy"), Account::of("nobody"));
        account.own(folder.path());
        let settings = "Port PORT0\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nBasicAuth probe secret\n";
        let (settings, ports) = with_ports(settings);
        folder.write("tinyproxy.conf", &settings, &account);
        let mut command = Command::new(program("tinyproxy", "tinyproxy-bin"));
        command.args(["-d", "-c", "tinyproxy.conf"]);
        Self::start(command, account, folder, ports)
    }
}

/// `text` with a free port in each place of `PORT0`, `PORT1` and so on, and these ports.
fn with_ports(text: &str) -> (String, Vec<u16>) {
    let (mut text, mut ports) = (text.to_owned(), Vec::new());
    loop {
        let place = format!("PORT{}", ports.len());
        if !text.contains(&place) {
            return (text, ports);
        }
        ports.push(free_port());
        text = text.replace(&place, &ports[ports.len() - 1].to_string());
    }
}
