//! Unix sockets as targets: servers that listen at a path, which the sidecar has mounted.

use std::fmt;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::failure;
use super::metered::MeteredStream;
use super::socket::DialedSocket;
use crate::base::trace::{Phase, Trace};
use crate::base::value::Section;
use crate::model::outcome::{Failure, FailureKind};
use crate::probe::blocking::Blocking;

/// The path of a socket is no longer than this, in bytes (`sun_path` in unix(7), without the zero at its end).
const LONGEST_PATH: usize = 107;

/// A Unix socket, by its path. Its clones dial one at a time: a path on a mount that hangs, or a server whose queue of
/// connections is full, holds one thread and nothing else.
#[derive(Clone)]
pub struct UnixSocket {
    path: PathBuf,
    dialing: Arc<Mutex<Blocking<Dialing>>>,
}

/// What came of dialling, or why nothing did.
type Dialing = Result<BlockingStream, Refused>;

impl fmt::Debug for UnixSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnixSocket").field(&self.path).finish()
    }
}

impl UnixSocket {
    /// The socket at this path.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), dialing: Arc::default() }
    }

    /// Reads the path under `key`; what is wrong with it is reported there.
    pub fn read(fields: &Section, key: &str) -> Option<Self> {
        let text = fields.text(key)?;
        let problem = match text.fixed() {
            None => ("misplaced-capture", "a captured value cannot stand in the path of a socket"),
            Some(path) if !path.starts_with('/') => ("invalid-value", "not an absolute path"),
            Some(path) if path.contains('\0') => ("invalid-value", "not a path: there is a zero byte in it"),
            Some(path) if path.len() > LONGEST_PATH => {
                ("invalid-value", "longer than 107 bytes, the longest path that a socket can have")
            }
            Some(path) => return Some(Self::at(path)),
        };
        let help = "write it as the sidecar sees it: `/run/app.sock`, with the app's volume mounted";
        fields.error(key, problem.0, problem.1, Some(help.into()));
        None
    }

    /// A connection, with a meter on what comes.
    ///
    /// # Errors
    /// A failure of the kind `connect` that says what is wrong with the socket.
    pub async fn dial(&self, trace: &Trace) -> Result<MeteredStream, Failure> {
        trace.enter(Phase::Connect);
        let path = self.path.clone();
        let dialed = self.dialing.lock().await.call("unix socket", move || dial(&path)).await?;
        let stream = dialed.map_err(|refused| refused.failure())?;
        let stream = UnixStream::from_std(stream).map_err(|error| failure::of_io(&error))?;
        Ok(MeteredStream::new(DialedSocket::Unix(stream)))
    }
}

/// Why no connection came about.
enum Refused {
    /// There is something else at the path.
    NoSocket,
    Error(io::Error),
}

fn dial(path: &Path) -> Dialing {
    let dialed = BlockingStream::connect(path).and_then(|stream| stream.set_nonblocking(true).map(|()| stream));
    dialed.map_err(|error| match error.kind() {
        // The system says the same of a socket that nobody listens on, and of a file that is none.
        io::ErrorKind::ConnectionRefused if !is_socket(path) => Refused::NoSocket,
        _ => Refused::Error(error),
    })
}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

impl Refused {
    fn failure(&self) -> Failure {
        let Self::Error(error) = self else {
            return Failure::new(FailureKind::Connect, "the file at the socket's path is not a socket");
        };
        let message = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "there is no socket at its path",
            io::ErrorKind::PermissionDenied => "no permission to connect to the socket",
            io::ErrorKind::ConnectionRefused => "connection refused: nobody listens on the socket",
            _ if error.raw_os_error() == Some(rustix::io::Errno::PROTOTYPE.raw_os_error()) => {
                "the socket is not one for connections"
            }
            _ => return failure::of_io(error),
        };
        Failure::new(FailureKind::Connect, message).with_detail(error.to_string())
    }
}
