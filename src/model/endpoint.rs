//! The endpoints that open and close, and the set of them that a check keeps closed.

/// An endpoint that opens and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/livez`: closed means that the app should be restarted.
    Livez,
    /// `/readyz`: closed means that the pod should get no traffic.
    Readyz,
    /// `/startupz`: closed means that the app is still starting.
    Startupz,
    /// `/healthz`: closed means that something critical is wrong.
    Healthz,
}

impl Endpoint {
    /// All of them, in the order of the metrics.
    pub const ALL: [Self; 4] = [Self::Livez, Self::Readyz, Self::Startupz, Self::Healthz];

    /// Its path without the slash, which is also its label in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Livez => "livez",
            Self::Readyz => "readyz",
            Self::Startupz => "startupz",
            Self::Healthz => "healthz",
        }
    }
}

/// The endpoints that a check kept closed when its definition was changed, or while it was skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // named after the endpoints
pub struct Closed {
    pub livez: bool,
    pub readyz: bool,
    pub startupz: bool,
    pub healthz: bool,
}

impl Closed {
    /// What both keep closed.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            livez: self.livez && other.livez,
            readyz: self.readyz && other.readyz,
            startupz: self.startupz && other.startupz,
            healthz: self.healthz && other.healthz,
        }
    }

    /// What `closes` says of each endpoint.
    #[must_use]
    pub fn by(closes: impl Fn(Endpoint) -> bool) -> Self {
        Self {
            livez: closes(Endpoint::Livez),
            readyz: closes(Endpoint::Readyz),
            startupz: closes(Endpoint::Startupz),
            healthz: closes(Endpoint::Healthz),
        }
    }

    /// Whether it closes `endpoint`.
    #[must_use]
    pub const fn has(self, endpoint: Endpoint) -> bool {
        match endpoint {
            Endpoint::Livez => self.livez,
            Endpoint::Readyz => self.readyz,
            Endpoint::Startupz => self.startupz,
            Endpoint::Healthz => self.healthz,
        }
    }
}
