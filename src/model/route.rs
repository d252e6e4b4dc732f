//! The routes of the server: the pattern of each, which listeners have it, which methods it takes. The server, the
//! metrics, the simulation and the reference go by this one table.

use crate::base::grpc;

/// Which routes a listener has: each of these has those of the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteSet {
    /// What kubelet and load balancers ask, and no more said than the verdict.
    Probes,
    /// The same and `/metrics`.
    Metrics,
    /// Everything.
    #[default]
    All,
}

impl RouteSet {
    /// The words of the file, in order.
    pub const WORDS: [&str; 3] = ["probes", "metrics", "all"];

    /// The one called `word`.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Some(match word {
            "probes" => Self::Probes,
            "metrics" => Self::Metrics,
            "all" => Self::All,
            _ => return None,
        })
    }

    /// The word of the file.
    #[must_use]
    pub const fn label(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// The methods of everything that is only looked at.
pub const READ: &str = "GET, HEAD, OPTIONS";

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
    VersionedHealth,
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
    OpenApi,
    Badge,
    GrpcCheck,
    GrpcWatch,
    GrpcList,
    /// Whatever is not found.
    Unknown,
}

impl Route {
    /// All of them, in the order of the metrics.
    pub const ALL: [Self; 31] = [
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
        Self::VersionedHealth,
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
        Self::OpenApi,
        Self::Badge,
        Self::GrpcCheck,
        Self::GrpcWatch,
        Self::GrpcList,
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
            Self::VersionedHealth => "/v1/health",
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
            Self::OpenApi => "/v1/openapi.json",
            Self::Badge => "/badge/{check}.svg",
            Self::GrpcCheck => grpc::CHECK,
            Self::GrpcWatch => grpc::WATCH,
            Self::GrpcList => grpc::LIST,
            Self::Unknown => "unknown",
        }
    }

    /// The narrowest listener that has it. What a `probes` listener has is asked without `server.token`, too.
    #[must_use]
    pub const fn set(self) -> RouteSet {
        match self {
            Self::Livez
            | Self::LivezCheck
            | Self::Readyz
            | Self::ReadyzCheck
            | Self::Startupz
            | Self::StartupzCheck
            | Self::Alive
            | Self::Ready
            | Self::DaemonHealthy
            | Self::DaemonReady
            | Self::GrpcCheck
            | Self::GrpcWatch
            | Self::GrpcList => RouteSet::Probes,
            Self::Metrics => RouteSet::Metrics,
            _ => RouteSet::All,
        }
    }

    /// The methods that it takes, as in `Allow`.
    #[must_use]
    pub const fn methods(self) -> &'static str {
        match self {
            Self::DaemonDrain => "POST, DELETE",
            Self::Heartbeat => "PUT",
            Self::GrpcCheck | Self::GrpcWatch | Self::GrpcList => "POST",
            _ => READ,
        }
    }

    /// Whether it changes something: such a route is for whoever is in this pod.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::DaemonDrain | Self::Heartbeat)
    }

    /// Whether pages of `server.cors_origins` may read it: what is said of the checks, but not of the daemon.
    #[must_use]
    pub const fn is_for_pages(self) -> bool {
        !matches!(
            self,
            Self::DaemonHealthy
                | Self::DaemonReady
                | Self::DaemonDrain
                | Self::Heartbeat
                | Self::Metrics
                | Self::Badge
                | Self::GrpcCheck
                | Self::GrpcWatch
                | Self::GrpcList
                | Self::Unknown
        )
    }
}

/// The route of a request for `path`, and what follows its pattern, still encoded.
#[must_use]
pub fn find(path: &str) -> (Route, &str) {
    let exact = match path {
        "/livez" => Route::Livez,
        "/readyz" => Route::Readyz,
        "/startupz" => Route::Startupz,
        "/healthz" => Route::Healthz,
        "/health" => Route::Health,
        "/v1/health" => Route::VersionedHealth,
        "/health/$stream" | "/health/%24stream" => Route::HealthStream,
        "/alive" => Route::Alive,
        "/ready" => Route::Ready,
        "/" => Route::Root,
        "/-/healthy" => Route::DaemonHealthy,
        "/-/ready" => Route::DaemonReady,
        "/-/drain" => Route::DaemonDrain,
        "/metrics" => Route::Metrics,
        "/v1/services" => Route::Services,
        "/v1/_internal/health" => Route::InternalHealth,
        "/v1/stream" => Route::Stream,
        grpc::CHECK => Route::GrpcCheck,
        grpc::WATCH => Route::GrpcWatch,
        grpc::LIST => Route::GrpcList,
        "/v1/openapi.json" => Route::OpenApi,
        _ => return below(path),
    };
    (exact, "")
}

fn below(path: &str) -> (Route, &str) {
    let prefixes = [
        ("/livez/", Route::LivezCheck),
        ("/readyz/", Route::ReadyzCheck),
        ("/startupz/", Route::StartupzCheck),
        ("/healthz/", Route::HealthzCheck),
        ("/v1/heartbeats/", Route::Heartbeat),
    ];
    if let Some(rest) = path.strip_prefix("/v1/services/") {
        return service(rest);
    }
    if let Some(name) = path.strip_prefix("/badge/").and_then(|rest| rest.strip_suffix(".svg")) {
        return (Route::Badge, name);
    }
    let found = prefixes.into_iter().find_map(|(prefix, route)| Some((route, path.strip_prefix(prefix)?)));
    found.unwrap_or((Route::Unknown, ""))
}

/// A check, or one of its lists: a name that ends like one has its last `/` as `%2F`.
fn service(rest: &str) -> (Route, &str) {
    let lists = [("/events", Route::Events), ("/ticks", Route::Ticks)];
    let found = lists.into_iter().find_map(|(suffix, route)| Some((route, rest.strip_suffix(suffix)?)));
    found.unwrap_or((Route::Service, rest))
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

    #[test]
    fn each_pattern_is_found_by_its_own_path() {
        for route in Route::ALL.into_iter().filter(|route| *route != Route::Unknown) {
            let path = route.pattern().replace("{check}", "a/b%2Fc").replace("{id}", "a/b%2Fc");
            let name = if route.pattern().contains('{') { "a/b%2Fc" } else { "" };
            assert_eq!(find(&path), (route, name));
        }
    }

    #[test]
    fn anything_else_is_unknown() {
        for path in [
            "",
            "*",
            "/livezz",
            "/Livez",
            "//livez",
            "/health/",
            "/v1/heartbeats",
            "/-/",
            "/metrics/",
            "/v1",
            "/v1/",
            "/v1/stream/",
            "/badge",
            "/badge/",
            "/badge/db",
            "/badge.svg",
            "/badge/db.svg/",
        ] {
            assert_eq!(find(path), (Route::Unknown, ""), "{path}");
        }
        assert_eq!(find("/livez/"), (Route::LivezCheck, ""));
        assert_eq!(find("/v1/services/"), (Route::Service, ""));
        assert_eq!(find("/v1/services/events"), (Route::Service, "events"));
        assert_eq!(find("/v1/services/a%2Fevents"), (Route::Service, "a%2Fevents"));
        assert_eq!(find("/badge/.svg"), (Route::Badge, ""));
        assert_eq!(find("/badge/db.svg.svg"), (Route::Badge, "db.svg"));
    }
}
