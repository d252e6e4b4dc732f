//! Which requests are kubelet's: its own HTTP probes, and `probelet ask` where an exec probe of it runs that.

use hyper::header::{HeaderMap, USER_AGENT};

use crate::model::route::Route;
use crate::model::verdict::Endpoint;

/// How kubelet's HTTP probes call themselves.
const PROBE: &str = "kube-probe/";
/// How `probelet ask` calls itself.
const COMMAND: &str = "probelet-ask/";

/// Whether kubelet asks, by its `User-Agent`.
pub(super) fn is_kubelet(headers: &HeaderMap) -> bool {
    calls_itself(headers, PROBE) || is_command(headers)
}

/// Whether `probelet ask` does.
pub(super) fn is_command(headers: &HeaderMap) -> bool {
    calls_itself(headers, COMMAND)
}

fn calls_itself(headers: &HeaderMap, name: &str) -> bool {
    headers.get(USER_AGENT).is_some_and(|value| value.as_bytes().starts_with(name.as_bytes()))
}

/// The endpoint whose verdict a probe on `route` goes by.
pub(super) const fn probed(route: Route) -> Option<Endpoint> {
    match route {
        Route::Livez | Route::LivezCheck | Route::Alive => Some(Endpoint::Livez),
        Route::Readyz | Route::ReadyzCheck | Route::Ready | Route::Root => Some(Endpoint::Readyz),
        Route::Startupz | Route::StartupzCheck => Some(Endpoint::Startupz),
        Route::Healthz | Route::Health | Route::VersionedHealth => Some(Endpoint::Healthz),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn kubelet_is_known_by_its_name() {
        for (name, is_its) in [
            ("kube-probe/1.37", true),
            ("kube-probe/", true),
            ("probelet-ask/0.1.0", true),
            ("probelet/0.1.0", false),
            ("curl/8.5.0 kube-probe/1.37", false),
            ("Kube-Probe/1.37", false),
            ("kube-probe", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(name))]);
            assert_eq!(is_kubelet(&headers), is_its, "{name}");
        }
        assert!(!is_kubelet(&HeaderMap::new()));
    }
}
