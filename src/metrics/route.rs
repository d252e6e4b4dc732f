//! The routes of the server as patterns: the label `route`.

/// A route, whatever names stand in its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // named after the patterns
pub enum Route {
    Root,
    Livez,
    LivezCheck,
    Readyz,
    ReadyzCheck,
    Startupz,
    StartupzCheck,
    Healthz,
    HealthzCheck,
    Health,
    HealthStream,
    Alive,
    Ready,
    DaemonHealthy,
    DaemonReady,
    DaemonDrain,
    Metrics,
    Heartbeat,
    Services,
    Service,
    Events,
    Ticks,
    InternalHealth,
    Stream,
    Badge,
    /// Whatever is not found.
    Unknown,
}

impl Route {
    /// All of them, in the order of the metrics.
    pub const ALL: [Self; 26] = [
        Self::Root,
        Self::Livez,
        Self::LivezCheck,
        Self::Readyz,
        Self::ReadyzCheck,
        Self::Startupz,
        Self::StartupzCheck,
        Self::Healthz,
        Self::HealthzCheck,
        Self::Health,
        Self::HealthStream,
        Self::Alive,
        Self::Ready,
        Self::DaemonHealthy,
        Self::DaemonReady,
        Self::DaemonDrain,
        Self::Metrics,
        Self::Heartbeat,
        Self::Services,
        Self::Service,
        Self::Events,
        Self::Ticks,
        Self::InternalHealth,
        Self::Stream,
        Self::Badge,
        Self::Unknown,
    ];

    /// The pattern.
    #[must_use]
    pub const fn pattern(self) -> &'static str {
        match self {
            Self::Root => "/",
            Self::Livez => "/livez",
            Self::LivezCheck => "/livez/{check}",
            Self::Readyz => "/readyz",
            Self::ReadyzCheck => "/readyz/{check}",
            Self::Startupz => "/startupz",
            Self::StartupzCheck => "/startupz/{check}",
            Self::Healthz => "/healthz",
            Self::HealthzCheck => "/healthz/{check}",
            Self::Health => "/health",
            Self::HealthStream => "/health/$stream",
            Self::Alive => "/alive",
            Self::Ready => "/ready",
            Self::DaemonHealthy => "/-/healthy",
            Self::DaemonReady => "/-/ready",
            Self::DaemonDrain => "/-/drain",
            Self::Metrics => "/metrics",
            Self::Heartbeat => "/v1/heartbeats/{check}",
            Self::Services => "/v1/services",
            Self::Service => "/v1/services/{id}",
            Self::Events => "/v1/services/{id}/events",
            Self::Ticks => "/v1/services/{id}/ticks",
            Self::InternalHealth => "/v1/_internal/health",
            Self::Stream => "/v1/stream",
            Self::Badge => "/badge/{check}.svg",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_its_place_and_its_own_pattern() {
        for (place, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, place);
            assert_eq!(Route::ALL.iter().filter(|other| other.pattern() == route.pattern()).count(), 1);
        }
    }
}
