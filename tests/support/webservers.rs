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
