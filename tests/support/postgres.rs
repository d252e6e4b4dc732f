//! A real PostgreSQL, and PgBouncer in front of one.
#![allow(dead_code)] // each test file includes this one and uses its own part of it

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::certs::{Authority, Identity};
use super::servers::{Account, Folder, Server, free_port, is_open, program, until};

/// The superuser's password.
pub const ADMIN: &str = "admin:4dm1n-s3cret";

const ROLES: &str = "CREATE DATABASE orders
CREATE ROLE probe LOGIN PASSWORD 'hunter2'
CREATE ROLE sealed LOGIN PASSWORD 'hunter2'
CREATE ROLE unsealed LOGIN PASSWORD 'hunter2'
CREATE ROLE carded LOGIN
CREATE ROLE plain LOGIN PASSWORD 'hunter2'
CREATE ROLE merry LOGIN PASSWORD '\u{1f511} hunter2'
CREATE ROLE single LOGIN PASSWORD 'hunter2' CONNECTION LIMIT 1
CREATE ROLE timid LOGIN PASSWORD 'hunter2'
ALTER ROLE timid SET default_transaction_read_only = on
SET password_encryption = md5
CREATE ROLE hashed LOGIN PASSWORD 'hunter2'
";

const TABLES: &str = "CREATE TYPE mood AS ENUM ('sad', 'happy')
CREATE TABLE orders (id bigint PRIMARY KEY, state text, paid boolean, feeling mood)
INSERT INTO orders VALUES (1, 'done', true, 'happy'), (2, NULL, false, 'sad')
GRANT SELECT, INSERT ON orders TO probe
CREATE TABLE vault (secret text)
";

/// A cluster with the databases `orders` and `postgres`, SCRAM, TLS on, and the users `admin` (a superuser, who says the
/// password as it is), `probe` (password `hunter2`), `sealed` (TLS only), `unsealed` (no TLS), `carded` (a client
/// certificate only), `plain` and `hashed` (older ways of authentication), `merry` (a password that SASLprep refuses), `single` (one connection at
/// a time, and the password as it is) and `timid` (whose transactions only read).
pub struct Postgres {
    server: Option<Server>,
    /// The port it listens on, loopback only.
    pub port: u16,
    /// Where its files are.
    pub folder: Folder,
    account: Account,
}

impl Postgres {
    /// A new cluster that presents `identity` and accepts client certificates of `clients`.
    pub fn start(identity: &Identity, clients: &Authority) -> Self {
        let mut postgres = Self::new(identity, clients);
        postgres.restart();
        postgres
    }

    /// The same as a standby whose primary is not to be found; with `hot` it may be asked.
    pub fn standby(identity: &Identity, clients: &Authority, hot: bool) -> Self {
        let mut postgres = Self::new(identity, clients);
        postgres.folder.write("data/standby.signal", "", &postgres.account);
        let (hot, ready) = if hot {
            ("hot_standby=on", "ready to accept read-only connections")
        } else {
            ("hot_standby=off", "entering standby mode")
        };
        postgres.restart_with(&["wal_level=replica", "max_connections=100", "max_wal_senders=10", hot], ready);
        postgres
    }

    fn new(identity: &Identity, clients: &Authority) -> Self {
        let account = Account::of("postgres");
        let folder = Folder::new("postgres");
        account.own(folder.path());
        folder.write("server.pem", &identity.certificate, &account);
        folder.write("server.key", &identity.key, &account);
        folder.write("clients.pem", &clients.pem(), &account);
        let (_, password) = ADMIN.split_once(':').unwrap();
        let password = folder.write("password", password, &account);
        let mut initdb = Command::new(program("initdb", "postgresql"));
        account
            .run_as(&mut initdb)
            .current_dir(folder.path())
            .args(["--pgdata=data", "--username=admin", "--auth=scram-sha-256", "--no-sync", "--no-instructions"])
            .args(["--encoding=UTF8", "--no-locale"])
            .arg(format!("--pwfile={}", password.display()));
        let output = initdb.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let hba = "hostssl all sealed 127.0.0.1/32 scram-sha-256\n\
                   host all sealed 127.0.0.1/32 reject\n\
                   hostnossl all unsealed 127.0.0.1/32 scram-sha-256\n\
                   host all unsealed 127.0.0.1/32 reject\n\
                   hostssl all carded 127.0.0.1/32 cert\n\
                   host all plain 127.0.0.1/32 password\n\
                   host all hashed 127.0.0.1/32 md5\n\
                   host all admin,single 127.0.0.1/32 password\n\
                   host all all 127.0.0.1/32 scram-sha-256\n";
        folder.write("data/pg_hba.conf", hba, &account);
        let postgres = Self { server: None, port: free_port(), folder, account };
        postgres.set_up("postgres", ROLES);
        postgres.set_up("orders", TABLES);
        postgres
    }

    /// Runs statements, one a line, before the server runs.
    fn set_up(&self, database: &str, statements: &str) {
        let mut single = Command::new(program("postgres", "postgresql"));
        let mut single = self
            .account
            .run_as(&mut single)
            .current_dir(self.folder.path())
            .args(["--single", "-D", "data", "-F", database])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        single.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
        let output = single.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !errors.contains("ERROR"), "{errors}");
    }

    /// Starts it (again) on its port.
    pub fn restart(&mut self) {
        self.restart_with(&["wal_level=minimal"], "database system is ready to accept connections");
    }

    /// Starts it (again) with more settings, and waits until its log says that it is `ready`.
    fn restart_with(&mut self, settings: &[&str], ready: &str) {
        self.server = None;
        let _ = std::fs::remove_file(self.folder.path().join("data/postmaster.pid"));
        let mut command = Command::new(program("postgres", "postgresql"));
        command.args(["-D", "data", "-p", &self.port.to_string()]);
        for context in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "shared_buffers=16MB",
            "max_connections=60",
            "max_wal_senders=0",
            "autovacuum=off",
            "timezone=America/New_York",
            "ssl=on",
            "ssl_cert_file=../server.pem",
            "ssl_key_file=../server.key",
            "ssl_ca_file=../clients.pem",
        ]
        .iter()
        .chain(settings)
        {
            command.args(["-c", context]);
        }
        let mut server = Server::start(command, self.account, &self.folder);
        // The log says when it takes logins; a connection is accepted before that.
        let log = self.folder.path().join("output.log");
        let wanted = std::fs::read_to_string(&log).unwrap_or_default().matches(ready).count() + 1;
        until("PostgreSQL is ready", || {
            let content = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(!server.has_ended(), "{content}");
            content.matches(ready).count() >= wanted
        });
        self.server = Some(server);
    }

    /// The running server.
    pub fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("it was started")
    }

    /// Lets it start no process any more.
    pub fn forbid_processes(&mut self) {
        let process = self.server().child.id().to_string();
        let mut command = Command::new("prlimit");
        let status = self.account.run_as(&mut command).args(["--pid", &process, "--nproc=1:"]).status();
        assert!(status.unwrap().success());
    }

    /// The URL of the database `orders` for these credentials, with these parameters.
    pub fn url(&self, credentials: &str, parameters: &str) -> String {
        format!("postgres://{credentials}@localhost:{}/orders?{parameters}", self.port)
    }
}

/// PgBouncer in transaction mode with one server connection per pool.
pub struct Pooler {
    /// The running pooler.
    pub server: Server,
    /// The port it listens on, loopback only.
    pub port: u16,
    folder: Folder,
}

impl Pooler {
    /// A pooler in front of `postgres` with this `auth_type`; whoever is listed in `users` as `name` and `password` may
    /// come in.
    pub fn start(postgres: &Postgres, authentication: &str, users: &[(&str, &str)]) -> Self {
        Self::start_with(postgres, authentication, users, "")
    }

    /// The same with more settings.
    pub fn start_with(postgres: &Postgres, authentication: &str, users: &[(&str, &str)], settings: &str) -> Self {
        let account = Account::of("postgres");
        let folder = Folder::new("pgbouncer");
        account.own(folder.path());
        let port = free_port();
        let list: String = users.iter().map(|(name, password)| format!("\"{name}\" \"{password}\"\n")).collect();
        folder.write("users.txt", &list, &account);
        let file = format!(
            "[databases]\norders = host=127.0.0.1 port={} dbname=orders\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = {authentication}\nauth_file = users.txt\n\
             pool_mode = transaction\ndefault_pool_size = 1\nmin_pool_size = 0\n{settings}",
            postgres.port
        );
        folder.write("pgbouncer.ini", &file, &account);
        let mut command = Command::new(program("pgbouncer", "pgbouncer"));
        command.arg("pgbouncer.ini");
        let mut server = Server::start(command, account, &folder);
        until("PgBouncer listens", || {
            assert!(!server.has_ended(), "PgBouncer does not start");
            is_open(port)
        });
        Self { server, port, folder }
    }

    /// Where it writes its log.
    pub fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("output.log")
    }

    /// Runs a command on its console, as the user `probe`, who must be one of its `admin_users`.
    pub fn command(&self, command: &str) {
        let console = format!("postgres://probe:hunter2@127.0.0.1:{}/pgbouncer", self.port);
        let output = Command::new(program("psql", "postgresql")).args([&console, "-c", command]).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Says why it has ended, if it has.
    pub fn assert_runs(&mut self) {
        let log = std::fs::read_to_string(self.folder.path().join("output.log")).unwrap_or_default();
        assert!(!self.server.has_ended(), "PgBouncer has ended: {log}");
    }
}
