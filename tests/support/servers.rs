//! Real servers as the test's own children: found, started on free loopback ports, frozen, killed and removed.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A folder of its own, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// A new folder below the system's one for temporary files, open to the account that servers run as.
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("probelet-{name}-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it, readable by its owner alone (servers insist on that for keys), and returns its path.
    pub fn write(&self, name: &str, content: &str, account: &Account) -> PathBuf {
        let path = self.0.join(name);
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
        account.own(&path);
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The account that a server runs as: another one when the tests run as root, which servers refuse or had better not
/// be; else the one of the tests.
#[derive(Clone, Copy, Debug)]
pub struct Account(Option<(u32, u32)>);

impl Account {
    /// The account `name`, or `nobody` where there is none of that name.
    pub fn of(name: &str) -> Self {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let find = |name: &str| {
            let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        Self(is_root.then(|| find(name).or_else(|| find("nobody")).unwrap_or((65534, 65534))))
    }

    /// Whoever runs the tests: for a program that only they can reach.
    pub fn mine() -> Self {
        Self(None)
    }

    /// Gives it a file or a folder.
    pub fn own(&self, path: &Path) {
        if let Some((uid, gid)) = self.0 {
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    /// Lets `command` run as this account.
    pub fn run_as<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// A server process with everything it starts. Dropping it ends them all and waits for them; should the test process
/// die without that, a shell that waits for its end does it instead.
pub struct Server {
    /// The process that was started.
    pub child: Child,
    undertaker: Child,
    stopped: bool,
}

impl Server {
    /// Starts `command` in `folder` (removed by the undertaker when the tests die) as `account`.
    pub fn start(mut command: Command, account: Account, folder: &Folder) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(folder.path().join("output.log")).unwrap();
        account
            .run_as(&mut command)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {:?}: {error}", command.get_program()));
        let script = format!("cat > /dev/null; kill -9 {}; rm -rf '{}'", child.id(), folder.path().display());
        let undertaker = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        Self { child, undertaker, stopped: false }
    }

    /// Stops every process of the server where it stands: the kernel still accepts connections for it.
    pub fn freeze(&mut self) {
        // A process that forks while it is being stopped leaves a child behind, so look until nothing is new.
        let mut stopped = BTreeSet::new();
        loop {
            let tree = self.processes();
            if tree.is_subset(&stopped) {
                break;
            }
            signal("STOP", &tree);
            stopped.extend(tree);
        }
        stopped.into_iter().for_each(until_stopped);
    }

    /// Lets it go on.
    pub fn thaw(&mut self) {
        signal("CONT", &self.processes());
    }

    /// Ends it at once and waits for its end.
    pub fn kill(&mut self) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        let _ = self.undertaker.kill();
        let _ = self.undertaker.wait();
        let tree = self.processes();
        let _ = self.child.kill();
        signal("KILL", &tree);
        let _ = self.child.wait();
        for process in tree {
            let gone = || !Path::new(&format!("/proc/{process}/exe")).exists();
            until("the server's processes are gone", gone);
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The server's process and all that descend from it.
    fn processes(&self) -> BTreeSet<u32> {
        let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|process: u32| {
                let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
                // The name in parentheses may hold anything; the parent is the second field after it.
                let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
                Some((process, parent))
            })
            .collect();
        let mut tree = BTreeSet::from([self.child.id()]);
        loop {
            let before = tree.len();
            tree.extend(
                parents.iter().filter(|(_, parent)| tree.contains(parent)).map(|(child, _)| *child).collect::<Vec<_>>(),
            );
            if tree.len() == before {
                return tree;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to processes; those that are gone already do not matter.
fn signal(name: &str, processes: &BTreeSet<u32>) {
    let list = processes.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    let _ = Command::new("sh")
        .args(["-c", &format!("for p in {list}; do kill -{name} $p; done")])
        .stderr(Stdio::null())
        .status();
}

/// Waits until none of the threads of a process that was stopped runs: the signal reaches each when the kernel comes to it.
pub fn until_stopped(process: u32) {
    let is_stopped = |task: &fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // A thread that has ended meanwhile has no state.
        stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" T") || rest.starts_with(" Z"))
    };
    let tasks = PathBuf::from(format!("/proc/{process}/task"));
    while !fs::read_dir(&tasks).into_iter().flatten().flatten().all(|task| is_stopped(&task)) {
        std::thread::yield_now();
    }
}

/// The program `name`, in `$PATH` or in one of the places where packages put what is not for everyone's `$PATH`.
pub fn program(name: &str, package: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> = Vec::new();
    for parent in ["/usr/lib/postgresql", "/usr/lib/rabbitmq/lib"] {
        let mut versions: Vec<PathBuf> =
            fs::read_dir(parent).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
        versions.sort();
        folders.extend(versions.iter().rev().flat_map(|version| [version.join("bin"), version.join("sbin")]));
    }
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    // What `make servers` brings.
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers/bin"));
    folders.extend(["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/local/pgsql/bin"].map(PathBuf::from));
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("these tests start a real {name}: install it (`make packages servers`; in Debian it is in {package})")
    })
}

/// A loopback port that nobody listens on, never given out twice, to another process of tests neither: the server that
/// is to have it takes its time to start. It lies below the ports that the kernel gives to outgoing connections.
pub fn free_port() -> u16 {
    /// The ports given out, each with the name that says so to other processes for as long as this one lives.
    static GIVEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let take = |port: u16| {
        let name = std::os::unix::net::SocketAddr::from_abstract_name(format!("probelet-test-port-{port}")).ok()?;
        let taken = UnixListener::bind_addr(&name).ok()?;
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(taken)
    };
    // Test processes that run side by side start looking at different places.
    let start = std::process::id().wrapping_mul(2_654_435_761) >> 8;
    let ports = (0..20_000).map(|step| u16::try_from(12_000 + (start + step * 7) % 20_000).unwrap());
    let (port, taken) = ports.filter_map(|port| Some((port, take(port)?))).next().expect("a machine has a free port");
    GIVEN.lock().unwrap().push(taken);
    port
}

/// Waits until `condition` holds; fails the test after four minutes (a broker takes its time to start where others want
/// the processor too).
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(240), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether somebody accepts connections on this loopback port.
pub fn is_open(port: u16) -> bool {
    TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_millis(500)).is_ok()
}
