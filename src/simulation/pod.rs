//! What Kubernetes is told of a pod, as far as probes go: containers, ports, and what kubelet asks them when.

use std::time::Duration;

/// A pod, or the template of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Kind and name, for people: `Deployment shop`.
    pub name: String,
    /// How long its containers may take to end.
    pub grace: Duration,
    /// It shares the network of its node.
    pub host_network: bool,
    /// The containers that go on running: native sidecars (`initContainers` with `restartPolicy: Always`) first.
    pub containers: Vec<Container>,
}

impl Default for Pod {
    /// A pod without containers, with the defaults of Kubernetes.
    fn default() -> Self {
        Self { name: String::new(), grace: Duration::from_secs(30), host_network: false, containers: Vec::new() }
    }
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The image, where one is named.
    pub image: String,
    /// A native sidecar: an init container that goes on, started before the app and ended after it.
    pub native: bool,
    /// What it runs: `command` and `args`, as far as the image does not say.
    pub runs: Vec<String>,
    /// Its environment variables, with their values where the manifest has them.
    pub env: Vec<(String, Option<String>)>,
    /// Where volumes are mounted that it can write to.
    pub writable: Vec<String>,
    /// What is done before it gets SIGTERM.
    pub pre_stop: Option<Hook>,
    /// The ports that it declares, with their names.
    pub ports: Vec<(Option<String>, u16)>,
    /// Until it passes, the other two wait; when it fails, the container is restarted.
    pub startup: Option<PodProbe>,
    /// While it fails, the pod is out of its Services.
    pub readiness: Option<PodProbe>,
    /// When it fails, the container is restarted.
    pub liveness: Option<PodProbe>,
}

impl Container {
    /// The probes that it has, in the order in which kubelet minds them.
    pub fn probes(&self) -> impl Iterator<Item = (Purpose, &PodProbe)> {
        Purpose::ALL.into_iter().filter_map(|purpose| Some((purpose, self.probe(purpose)?)))
    }

    /// Its probe for `purpose`.
    #[must_use]
    pub const fn probe(&self, purpose: Purpose) -> Option<&PodProbe> {
        match purpose {
            Purpose::Startup => self.startup.as_ref(),
            Purpose::Readiness => self.readiness.as_ref(),
            Purpose::Liveness => self.liveness.as_ref(),
        }
    }

    /// The number of the port that it calls `name`.
    #[must_use]
    pub fn port_named(&self, name: &str) -> Option<u16> {
        self.ports.iter().find(|(known, _)| known.as_deref() == Some(name)).map(|(_, port)| *port)
    }
}

/// What a hook does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// It waits.
    Sleep(Duration),
    /// It runs a command in the container.
    Exec(Vec<String>),
    /// Something else.
    Other,
}

/// What kubelet does with the answer to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// `startupProbe`
    Startup,
    /// `readinessProbe`
    Readiness,
    /// `livenessProbe`
    Liveness,
}

impl Purpose {
    /// All of them, in the order in which kubelet minds them.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    /// The word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
        }
    }

    /// The path that is meant for it.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Startup => "/startupz",
            Self::Readiness => "/readyz",
            Self::Liveness => "/livez",
        }
    }
}

/// A probe of a container, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodProbe {
    /// How it asks.
    pub asks: Handler,
    /// When it asks, and how often it believes.
    pub timing: ProbeTiming,
    /// How long the container may take to end when this probe restarts it, where that is not the pod's own time.
    pub grace: Option<Duration>,
}

/// How a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// `httpGet`
    Http {
        /// Path and query.
        path: String,
        /// A number or a name.
        port: Port,
        /// `scheme: HTTPS`
        tls: bool,
        /// The address, where it is not the pod's.
        host: Option<String>,
        /// Whether it has the header `Authorization`.
        authorized: bool,
    },
    /// `tcpSocket`
    Tcp(Port),
    /// `grpc`
    Grpc {
        /// The number.
        port: u16,
        /// `service`, empty where there is none.
        service: String,
    },
    /// `exec`
    Exec(Vec<String>),
    /// None that is known.
    Unknown,
}

/// A port of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// By its number.
    Number(u16),
    /// By the name that the same container gives it.
    Name(String),
}

/// When a probe asks, and how many answers in a row it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeTiming {
    /// From the start of the container to the first question.
    pub initial_delay: Duration,
    /// From question to question.
    pub period: Duration,
    /// An answer that takes longer is a failure.
    pub timeout: Duration,
    /// This many failures in a row make it act.
    pub failures: u32,
    /// This many passes in a row make it believe.
    pub successes: u32,
}

impl Default for ProbeTiming {
    /// The defaults of Kubernetes.
    fn default() -> Self {
        let (period, timeout) = (Duration::from_secs(10), Duration::from_secs(1));
        Self { initial_delay: Duration::ZERO, period, timeout, failures: 3, successes: 1 }
    }
}

impl ProbeTiming {
    /// How long it takes at most from the closing of an endpoint until kubelet acts.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.period.saturating_mul(self.failures)
    }
}
