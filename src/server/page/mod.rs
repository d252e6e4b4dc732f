//! The dashboard: one page that asks nobody but the daemon it came from.
//!
//! Its parts are files of their own beside this one, put together when probelet is built; there is no build step and
//! no framework. The script reads `v1/stream` and `v1/services?include=history`, by paths relative to the page, so
//! that it works behind a proxy's path prefix. It shows what it is told as text and never as HTML, and the policy that
//! goes out with it lets nothing else run, load or connect.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use ring::digest::{SHA256, digest};

use super::access::Sight;
use super::answer::Answer;
use super::health;
use super::negotiate::wants_html;
use super::request::IncomingRequest;
use super::view::down;
use crate::model::plan::Details;
use crate::model::snapshot::Snapshot;
use crate::model::verdict::{Endpoint, Judged};

/// The page as it is sent. The scripts share one scope; the order is that of their floors.
static PAGE: &str = concat!(
    include_str!("head.html"),
    "<style>",
    include_str!("page.css"),
    include_str!("check.css"),
    "</style>\n",
    include_str!("body.html"),
    "<script type=\"module\">",
    include_str!("words.js"),
    include_str!("dom.js"),
    include_str!("store.js"),
    include_str!("stream.js"),
    include_str!("chart.js"),
    include_str!("verdict.js"),
    include_str!("list.js"),
    include_str!("graph.js"),
    include_str!("timeline.js"),
    include_str!("check.js"),
    include_str!("main.js"),
    "</script>\n</body>\n</html>\n"
);

/// What a browser may do with the page: run its own script and style, which are known by their hashes, and ask where
/// it came from.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let (script, style) = (hash_within("<script type=\"module\">", "</script>"), hash_within("<style>", "</style>"));
    let policy = format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
    );
    HeaderValue::try_from(policy).expect("base64 and words are visible ASCII")
});

/// The hash of what stands between two marks of the page.
fn hash_within(begin: &str, end: &str) -> String {
    let inside = PAGE.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).map_or("", |(inside, _)| inside);
    format!("sha256-{}", STANDARD.encode(digest(&SHA256, inside.as_bytes())))
}

/// Whether the page is asked for.
pub(super) fn is_wanted(incoming: &IncomingRequest<'_>) -> bool {
    wants_html(incoming.headers) && !incoming.query.has("format")
}

/// `/`: the page for a client that accepts HTML, else as `/readyz`; in both cases with the code of `/readyz`.
pub(super) fn root(incoming: &IncomingRequest<'_>, snapshot: &Snapshot) -> Answer {
    if !is_wanted(incoming) {
        return health::gate(incoming, snapshot, Endpoint::Readyz, None, Sight::Full);
    }
    if snapshot.plan.answers.details == Details::None {
        return Answer::not_found(incoming.routes, snapshot.plan.answers.details);
    }
    // A monitor that asks like a browser is told by the code whether the app is well.
    let verdict = Judged::new(snapshot, incoming.reading.moment).endpoint(Endpoint::Readyz).verdict;
    let page = Answer::health(verdict, down(snapshot), "text/html; charset=utf-8", PAGE);
    Answer { policy: Some(POLICY.clone()), ..page }
}
