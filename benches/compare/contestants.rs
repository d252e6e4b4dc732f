//! Who is measured: probelet as it is released, and those beside it, each with the same work in its own words.

use std::path::PathBuf;
use std::process::Command;

use crate::client::{self, Client};
use crate::release::daemon;
use crate::support::servers::{Account, Folder, Server, free_port, until};
use crate::targets::Targets;

/// Who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    Probelet,
    Goss,
    Gatus,
    Blackbox,
    Cloudprober,
}

/// A program that is measured.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// Who it is.
    pub maker: Maker,
    /// Its binary.
    pub binary: PathBuf,
    /// Its version, for people.
    pub version: String,
}

/// What it has to do.
#[derive(Clone, Debug)]
pub enum Job {
    /// Nothing.
    Idle,
    /// Five HTTP and two TCP checks every 5 s.
    Seven,
    /// A check of each of seven kinds every 5 s; probelet alone has them.
    Kinds,
    /// HTTP checks, ten times a second each, with their connections kept or fresh.
    Http {
        /// How many.
        count: usize,
        /// Whether successive probes share a connection.
        is_kept: bool,
    },
    /// A configuration of probelet.
    Written(String),
}

/// From one look of a check to the next with [`Job::Http`], in milliseconds.
pub const HTTP_INTERVAL: usize = 100;

impl Maker {
    /// All of them, as columns of a table.
    pub const ALL: [Self; 5] = [Self::Probelet, Self::Goss, Self::Gatus, Self::Blackbox, Self::Cloudprober];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Probelet => "probelet",
            Self::Goss => "goss",
            Self::Gatus => "Gatus",
            Self::Blackbox => "blackbox_exporter",
            Self::Cloudprober => "cloudprober",
        }
    }

    /// The column that it has.
    pub fn column(self) -> usize {
        Self::ALL.iter().position(|maker| *maker == self).unwrap_or_default()
    }

    /// The folder of its Go module below `benches/peers`, and the environment variable that names another binary.
    pub fn peer(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Probelet => None,
            Self::Goss => Some(("goss", "GOSS")),
            Self::Gatus => Some(("gatus", "GATUS")),
            Self::Blackbox => Some(("blackbox_exporter", "BLACKBOX_EXPORTER")),
            Self::Cloudprober => Some(("cloudprober", "CLOUDPROBER")),
        }
    }

    /// Where it says that it is well, without looking at anything.
    pub fn health(self) -> &'static str {
        match self {
            Self::Probelet => "/readyz",
            Self::Goss => "/healthz",
            Self::Gatus | Self::Cloudprober => "/health",
            Self::Blackbox => "/-/healthy",
        }
    }

    /// Whether it looks only when it is asked to.
    fn is_asked(self) -> bool {
        matches!(self, Self::Goss | Self::Blackbox)
    }

    /// Whether it can do this.
    pub fn can(self, job: &Job) -> bool {
        match job {
            Job::Idle | Job::Seven => true,
            Job::Http { is_kept, .. } => !is_kept || matches!(self, Self::Probelet | Self::Cloudprober),
            Job::Kinds | Job::Written(_) => self == Self::Probelet,
        }
    }
}

/// A running contestant. Dropping it ends it.
pub struct Running {
    server: Server,
    /// Where it listens on loopback.
    pub port: u16,
    /// Who it is.
    pub maker: Maker,
    /// What is asked for to have it look; nothing where it has a schedule.
    looks: Vec<String>,
    _folder: Folder,
}

impl Contestant {
    /// Starts it, and waits until it answers well.
    pub fn start(&self, job: &Job, targets: &Targets) -> Running {
        let (folder, port) = (Folder::new("contestant"), free_port());
        let command = self.command(job, targets, &folder, port);
        let server = Server::start(command, Account::mine(), &folder);
        let log = folder.path().join("output.log");
        let looks = if self.maker.is_asked() { looks(self.maker, job, targets) } else { Vec::new() };
        let mut running = Running { server, port, maker: self.maker, looks, _folder: folder };
        until("it answers well", || {
            targets.beat();
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(!running.server.has_ended(), "{} has ended: {}", self.maker.name(), said());
            client::get(port, self.maker.health()).is_some_and(|(code, _)| code == 200)
        });
        running
    }

    /// The command that starts it with this job, and with its file in `folder`.
    pub fn command(&self, job: &Job, targets: &Targets, folder: &Folder, port: u16) -> Command {
        let write = |name, text: &str| folder.write(name, text, &Account::mine());
        let mut command = Command::new(&self.binary);
        match self.maker {
            Maker::Probelet => {
                let config = write("config.yaml", &probelet(job, targets));
                command = daemon(&self.binary, &config, port);
            }
            Maker::Blackbox => {
                let config = write("blackbox.yml", BLACKBOX);
                command.arg(format!("--config.file={}", config.display()));
                command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--log.level=error");
            }
            Maker::Gatus => {
                let config = write("config.yaml", &gatus(job, targets, port));
                command.env("GATUS_CONFIG_PATH", config).env("GATUS_LOG_LEVEL", "ERROR");
            }
            Maker::Goss => {
                let config = write("goss.yaml", &goss(job, targets));
                let cache = if matches!(job, Job::Http { .. }) { "1ms" } else { "4s" };
                command.arg("--log-level=ERROR").arg("--gossfile").arg(config).args(["serve", "--cache", cache]);
                command.args(["--format", "silent", "--listen-addr", &format!("127.0.0.1:{port}")]);
            }
            Maker::Cloudprober => {
                let config = write("cloudprober.cfg", &cloudprober(job, targets, port));
                // Nothing is asked beyond this machine.
                command.arg("--config_file").arg(config).args(["--cloud_metadata=none", "--disable_sys_metrics"]);
            }
        }
        command
    }
}

impl Running {
    /// Its process.
    pub fn process(&self) -> u32 {
        self.server.child.id()
    }

    /// Whether it looks only when it is asked to.
    pub fn is_asked(&self) -> bool {
        !self.looks.is_empty()
    }

    /// Has it look once at each of its targets, where it has no schedule of its own.
    pub fn look(&self, client: &mut Client) {
        for path in &self.looks {
            let (code, body) = client.get(path).expect("it answers");
            assert!(code == 200 && !body.contains("probe_success 0"), "{path}: {code}\n{body}");
        }
    }

    /// How many runs have passed so far. None may have failed.
    pub fn passes(&self) -> u64 {
        let (_, metrics) = client::get(self.port, "/metrics").expect("it answers");
        let runs = |outcome: &str| {
            let of_outcome = format!("outcome=\"{outcome}\"");
            let lines = metrics.lines().filter(|line| line.starts_with("healthcheck_runs_total{"));
            let counts = lines.filter(|line| line.contains(&of_outcome)).filter_map(|line| line.rsplit(' ').next());
            counts.map(|count| count.parse::<u64>().expect("a count")).sum::<u64>()
        };
        assert_eq!(runs("fail"), 0, "no check fails");
        runs("pass")
    }
}

/// What is looked at: pages and addresses.
fn seen(job: &Job, targets: &Targets) -> (Vec<String>, Vec<String>) {
    let pages = |count| (0..count).map(|number| format!("{}?n={number}", targets.page())).collect();
    match job {
        Job::Seven => (pages(5), vec![targets.address(); 2]),
        Job::Http { count, .. } => (pages(*count), Vec::new()),
        Job::Idle | Job::Kinds | Job::Written(_) => (Vec::new(), Vec::new()),
    }
}

fn looks(maker: Maker, job: &Job, targets: &Targets) -> Vec<String> {
    let (pages, addresses) = seen(job, targets);
    match maker {
        Maker::Goss if pages.is_empty() => Vec::new(),
        Maker::Goss => vec![maker.health().into()],
        _ => {
            let http = pages.iter().map(|page| format!("/probe?module=http_2xx&target={page}"));
            http.chain(addresses.iter().map(|address| format!("/probe?module=tcp_connect&target={address}"))).collect()
        }
    }
}

const BLACKBOX: &str = "modules:
  http_2xx: { prober: http, timeout: 2s }
  tcp_connect: { prober: tcp, timeout: 2s }
";

fn probelet(job: &Job, targets: &Targets) -> String {
    let (pages, addresses) = seen(job, targets);
    let (interval, more) = match job {
        Job::Http { is_kept: true, .. } => (format!("{HTTP_INTERVAL}ms"), ", max_connection_age: 1m"),
        Job::Http { is_kept: false, .. } => (format!("{HTTP_INTERVAL}ms"), ", max_connection_age: 0s"),
        Job::Kinds => return targets.seven_checks(),
        Job::Written(config) => return config.clone(),
        Job::Idle | Job::Seven => ("5s".into(), ""),
    };
    let mut text = String::from("log: { level: warn }\nchecks:");
    let sections = pages.iter().map(|page| format!("http: {{ url: \"{page}\"{more} }}"));
    let sections = sections.chain(addresses.iter().map(|address| format!("tcp: {{ address: \"{address}\" }}")));
    for (number, section) in sections.enumerate() {
        text += &format!("\n  - name: check-{number}\n    interval: {interval}\n    timeout: 2s\n    {section}");
    }
    if text.ends_with(':') { text + " []\n" } else { text + "\n" }
}

fn gatus(job: &Job, targets: &Targets, port: u16) -> String {
    let (mut pages, addresses) = seen(job, targets);
    let interval = if matches!(job, Job::Http { .. }) { format!("{HTTP_INTERVAL}ms") } else { "5s".into() };
    if pages.is_empty() {
        // It does not start with nothing to look at.
        pages.push(targets.page());
    }
    let interval = if matches!(job, Job::Idle) { "1h".into() } else { interval };
    let mut text = format!("web: {{ address: 127.0.0.1, port: {port} }}\nmetrics: true\nendpoints:\n");
    for (number, page) in pages.iter().enumerate() {
        text += &format!(
            "  - {{ name: http-{number}, url: \"{page}\", interval: {interval}, conditions: [\"[STATUS] == 200\"] }}\n"
        );
    }
    for (number, address) in addresses.iter().enumerate() {
        text += &format!(
            "  - {{ name: tcp-{number}, url: \"tcp://{address}\", interval: {interval}, conditions: [\"[CONNECTED] == true\"] }}\n"
        );
    }
    text
}

fn goss(job: &Job, targets: &Targets) -> String {
    let (pages, addresses) = seen(job, targets);
    let mut text = String::from("http:\n");
    for page in &pages {
        text += &format!("  \"{page}\": {{ status: 200, timeout: 2000 }}\n");
    }
    if !addresses.is_empty() {
        text += "addr:\n";
    }
    for (number, address) in addresses.iter().enumerate() {
        text += &format!("  tcp-{number}: {{ address: \"tcp://{address}\", reachable: true, timeout: 2000 }}\n");
    }
    if pages.is_empty() { "file:\n  /: { exists: true }\n".into() } else { text }
}

fn cloudprober(job: &Job, targets: &Targets, port: u16) -> String {
    let (pages, addresses) = seen(job, targets);
    let (interval, is_kept) = match job {
        Job::Http { is_kept, .. } => (HTTP_INTERVAL, *is_kept),
        _ => (5000, false),
    };
    let timeout = interval.min(2000);
    let mut text = format!("host: \"127.0.0.1\"\nport: {port}\nsurfacer {{ type: PROMETHEUS }}\n");
    let begin = |name: &str, kind: &str| {
        format!(
            "probe {{ name: \"{name}\" type: {kind} targets {{ host_names: \"127.0.0.1\" }} interval_msec: {interval} \
             timeout_msec: {timeout} "
        )
    };
    for (number, page) in pages.iter().enumerate() {
        let (_, rest) = page.rsplit_once(':').expect("it has a port");
        let (at, path) = rest.split_once('/').expect("it has a path");
        text += &begin(&format!("http-{number}"), "HTTP");
        text += &format!("http_probe {{ port: {at} relative_url: \"/{path}\" keep_alive: {is_kept} }} }}\n");
    }
    for (number, address) in addresses.iter().enumerate() {
        let (_, at) = address.rsplit_once(':').expect("it has a port");
        text += &begin(&format!("tcp-{number}"), "TCP");
        text += &format!("tcp_probe {{ port: {at} }} }}\n");
    }
    text
}
