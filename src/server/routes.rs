//! Which route a path is, and what name stands in it.

use crate::metrics::Route;

/// The route of `path`, and what follows its pattern, still encoded.
pub(super) fn find(path: &str) -> (Route, &str) {
    let exact = match path {
        "/livez" => Route::Livez,
        "/readyz" => Route::Readyz,
        "/startupz" => Route::Startupz,
        "/healthz" => Route::Healthz,
        "/health" => Route::Health,
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
