//! `/v1/openapi.json`: every route, with its methods, codes, headers and bodies, from the table that the server goes by.

mod schemas;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::model::plan::Details;
use crate::model::route::{Route, RouteSet};
use crate::model::snapshot::Snapshot;
use crate::server::answer::{Answer, EVENTS, JSON};
use crate::server::negotiate::AnswerFormat;
use crate::server::request::IncomingRequest;

/// `/v1/openapi.json`.
pub(super) fn reply(incoming: &IncomingRequest<'_>, snapshot: &Snapshot) -> Answer {
    match snapshot.plan.answers.details {
        Details::None => Answer::not_found(incoming.routes, Details::None),
        Details::Full | Details::Names => Answer::new(StatusCode::OK, JSON, document().to_string()),
    }
}

/// The description of the server in `OpenAPI` 3.1.
#[must_use]
pub fn document() -> Value {
    let routes = Route::ALL.into_iter().filter(|route| is_described(*route));
    let paths: Map<String, Value> = routes.map(|route| (route.pattern().to_owned(), path_item(route))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "probelet",
            "summary": "The health sidecar",
            "description": "Every answer is a view of one published snapshot; no request runs a check. Members are only ever \
                            added to the JSON under /v1. The same port answers grpc.health.v1.Health.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" }
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "`server.token`, where it is set" },
                "basic": { "type": "http", "scheme": "basic", "description": "any user, `server.token` as the password" },
                "beat": { "type": "http", "scheme": "bearer", "description": "the `token` of the heartbeat" }
            }
        }
    })
}

/// What is asked by HTTP; gRPC has a description of its own.
const fn is_described(route: Route) -> bool {
    !matches!(route, Route::GrpcCheck | Route::GrpcWatch | Route::GrpcList | Route::Unknown)
}

fn path_item(route: Route) -> Value {
    let methods = route.methods().split(", ").map(str::to_ascii_lowercase);
    let mut item: Map<String, Value> = methods.map(|method| (method.clone(), operation(route, &method))).collect();
    let name = if route.pattern().contains("{check}") { "check" } else { "id" };
    if route.pattern().contains('{') {
        let description = match name {
            "check" => "the name of a check; a `/` in it as `%2F`",
            _ => "the number of a check, or its name; a `/` in it as `%2F`",
        };
        let parameter = json!({
            "name": name, "in": "path", "required": true, "description": description,
            "schema": { "type": "string", "minLength": 1 }
        });
        item.insert("parameters".into(), json!([parameter]));
    }
    item.into()
}

fn operation(route: Route, method: &str) -> Value {
    let mut operation = json!({
        "operationId": format!("{method}{route:?}"),
        "summary": summary(route),
        "tags": [tag(route)],
        "responses": responses(route, method)
    });
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    // None, or one of these: what is set in the configuration decides.
    let security = match route {
        _ if route.set() == RouteSet::Probes => None,
        Route::Heartbeat => Some(json!([{}, { "bearer": [] }, { "basic": [] }, { "beat": [] }])),
        _ => Some(json!([{}, { "bearer": [] }, { "basic": [] }])),
    };
    if let Some(security) = security {
        operation["security"] = security;
    }
    if route == Route::Heartbeat {
        let schema = json!({ "$ref": "#/components/schemas/Beat" });
        operation["requestBody"] = json!({
            "required": false,
            "description": "how the app is, in at most 1 KiB; nothing is `ok`",
            "content": { "application/json": { "schema": schema } }
        });
    }
    operation
}

const fn tag(route: Route) -> &'static str {
    match route {
        Route::DaemonHealthy | Route::DaemonReady | Route::Metrics | Route::OpenApi => "daemon",
        Route::DaemonDrain | Route::Heartbeat => "control",
        Route::Services | Route::Service | Route::Events | Route::Ticks | Route::InternalHealth | Route::Badge => {
            "history"
        }
        _ => "health",
    }
}

const fn summary(route: Route) -> &'static str {
    match route {
        Route::Root => "the dashboard for browsers, /readyz for others",
        Route::Livez => "whether the app should be left running",
        Route::LivezCheck => "one check's part in /livez",
        Route::Readyz => "whether the app should get traffic",
        Route::ReadyzCheck => "one check's part in /readyz",
        Route::Startupz => "whether the start-up of the app is over",
        Route::StartupzCheck => "one check's part in /startupz",
        Route::Healthz => "every check",
        Route::HealthzCheck => "one check, gated or not",
        Route::Health => "every check, in healthy, degraded and unhealthy",
        Route::VersionedHealth => "the json of /healthz",
        Route::HealthStream => "/health again and again",
        Route::Alive => "whether the app has started and lives",
        Route::Ready => "/readyz as JSON",
        Route::DaemonHealthy => "whether the sidecar itself works",
        Route::DaemonReady => "whether the sidecar has a valid configuration",
        Route::DaemonDrain => "begin a drain, or undo it",
        Route::Metrics => "Prometheus text, or OpenMetrics",
        Route::Heartbeat => "a beat of the app",
        Route::Services => "the history of every check",
        Route::Service => "the history of one check",
        Route::Events => "its ups and downs, newest first",
        Route::Ticks => "its runs, newest first",
        Route::InternalHealth => "whether the history answers",
        Route::Stream => "what happens, as it happens",
        Route::OpenApi => "this description",
        Route::Badge => "how a check stands, as a picture",
        Route::GrpcCheck | Route::GrpcWatch | Route::GrpcList | Route::Unknown => "",
    }
}

/// The endpoint's own kind of answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RouteBody {
    /// Text, or one of the formats.
    Formats,
    /// JSON of this schema.
    Json(&'static str),
    /// That, or one of the formats.
    JsonOrFormats(&'static str),
    /// Text.
    Text,
    /// Something else, of this type.
    Other(&'static str),
}

const fn body(route: Route) -> RouteBody {
    match route {
        Route::Livez
        | Route::LivezCheck
        | Route::Readyz
        | Route::ReadyzCheck
        | Route::Startupz
        | Route::StartupzCheck
        | Route::Healthz
        | Route::HealthzCheck => RouteBody::Formats,
        Route::Health => RouteBody::JsonOrFormats("Health"),
        Route::VersionedHealth => RouteBody::Json("Report"),
        Route::Alive => RouteBody::Json("Alive"),
        Route::Ready => RouteBody::Json("Ready"),
        Route::Services => RouteBody::Json("Services"),
        Route::Service => RouteBody::Json("Service"),
        Route::Events => RouteBody::Json("Events"),
        Route::Ticks => RouteBody::Json("Ticks"),
        Route::InternalHealth => RouteBody::Json("Envelope"),
        Route::OpenApi => RouteBody::Json("Description"),
        Route::HealthStream | Route::Stream => RouteBody::Other(EVENTS),
        Route::Badge => RouteBody::Other("image/svg+xml"),
        Route::Root
        | Route::DaemonHealthy
        | Route::DaemonReady
        | Route::DaemonDrain
        | Route::Metrics
        | Route::Heartbeat
        | Route::GrpcCheck
        | Route::GrpcWatch
        | Route::GrpcList
        | Route::Unknown => RouteBody::Text,
    }
}

fn content(route: Route) -> Value {
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let text = json!({ "schema": { "type": "string" } });
    let formats = |own: Option<&str>| {
        let json: Vec<Value> = own.into_iter().chain(["Report", "Updown"]).map(reference).collect();
        json!({
            "text/plain": text,
            "application/json": { "schema": { "anyOf": json } },
            "application/health+json": { "schema": reference("HealthJson") }
        })
    };
    match (route, body(route)) {
        (Route::Root, _) => json!({ "text/plain": text, "text/html": text }),
        (Route::Metrics, _) => json!({ "text/plain": text, "application/openmetrics-text": text }),
        (_, RouteBody::Formats) => formats(None),
        (_, RouteBody::JsonOrFormats(own)) => formats(Some(own)),
        (_, RouteBody::Json(schema)) => json!({ "application/json": { "schema": reference(schema) } }),
        (_, RouteBody::Text) => json!({ "text/plain": text }),
        (_, RouteBody::Other(content_type)) => json!({ content_type: text }),
    }
}

/// Whether the answer is about health: its code is the verdict's, and a header says it.
const fn is_about_health(route: Route) -> bool {
    matches!(
        route,
        Route::Root
            | Route::Livez
            | Route::LivezCheck
            | Route::Readyz
            | Route::ReadyzCheck
            | Route::Startupz
            | Route::StartupzCheck
            | Route::Healthz
            | Route::HealthzCheck
            | Route::Health
            | Route::VersionedHealth
            | Route::Alive
            | Route::Ready
            | Route::DaemonHealthy
            | Route::DaemonReady
    )
}

/// The codes beside 200 and those of a closed endpoint, with what they mean.
fn refusals(route: Route) -> Vec<(u16, &'static str)> {
    let mut codes = Vec::new();
    let mut add = |applies: bool, code: u16, why: &'static str| codes.extend(applies.then_some((code, why)));
    let has_format =
        matches!(route, Route::Readyz | Route::ReadyzCheck | Route::Healthz | Route::HealthzCheck | Route::Health);
    let has_page = matches!(route, Route::Services | Route::Events | Route::Ticks);
    let is_beat = route == Route::Heartbeat;
    add(has_format, 400, "an unknown format; the body names those that there are");
    add(has_page, 400, "no page of the list");
    add(route == Route::HealthStream, 400, "no interval");
    add(is_beat, 400, "the body is no beat");
    add(route == Route::Badge, 400, "nothing that a badge shows");
    add(route.set() != RouteSet::Probes, 401, "`server.token` is set, and this is not it");
    add(route.is_control(), 403, "not from this pod, or through a proxy or a page");
    let is_always_there = matches!(route, Route::Livez | Route::LivezCheck | Route::Startupz | Route::StartupzCheck)
        || (route.set() == RouteSet::Probes && route != Route::ReadyzCheck);
    add(!is_always_there, 404, "not there: no such check, or turned off where it was asked");
    add(is_beat, 408, "the body did not come in time");
    add(is_beat, 413, "the body has more than 1 KiB");
    add(is_beat, 415, "the body is compressed");
    codes
}

fn responses(route: Route, method: &str) -> Value {
    let mut responses = Map::new();
    let has_body = method != "head";
    let mut add = |code: u16, description: &str, content: Option<Value>, headers: Value| {
        let mut response = json!({ "description": description, "headers": headers });
        if let Some(content) = content.filter(|_| has_body) {
            response["content"] = content;
        }
        responses.insert(code.to_string(), response);
    };
    // A stream ends after the head for those who only look at it.
    let is_stream = matches!(route, Route::HealthStream | Route::Stream);
    if route == Route::Heartbeat {
        add(204, "the beat was taken", None, common_headers());
    } else {
        let content = (!is_stream || method == "get").then(|| content(route));
        add(200, "the answer", content, if is_about_health(route) { health_headers() } else { common_headers() });
    }
    if is_about_health(route) {
        add(503, "closed", Some(content(route)), health_headers());
        add(500, "closed, with `server.down_status: 500`", Some(content(route)), health_headers());
    } else if !route.is_control() {
        add(503, "too many long answers are being made; ask again in a second", None, common_headers());
    }
    let is_undone = route == Route::DaemonDrain && method == "delete";
    let conflict = is_undone.then_some((409, "the sidecar was asked to end: its drain is not undone"));
    for (code, why) in refusals(route).into_iter().chain(conflict) {
        let in_envelope =
            matches!(body(route), RouteBody::Json("Services" | "Service" | "Events" | "Ticks" | "Envelope"));
        let mut content = json!({ "text/plain": { "schema": { "type": "string" } } });
        if in_envelope && matches!(code, 400 | 404) {
            content["application/json"] = json!({ "schema": { "$ref": "#/components/schemas/Envelope" } });
        }
        if route == Route::Badge && matches!(code, 400 | 404) {
            content["image/svg+xml"] = json!({ "schema": { "type": "string" } });
        }
        let mut headers = common_headers();
        if code == 401 {
            headers["WWW-Authenticate"] = json!({ "required": true, "schema": { "type": "string" } });
        }
        add(code, why, Some(content), headers);
    }
    responses.into()
}

fn common_headers() -> Value {
    json!({
        "Cache-Control": { "required": true, "schema": { "const": "no-store" } },
        "X-Content-Type-Options": { "required": true, "schema": { "const": "nosniff" } }
    })
}

fn health_headers() -> Value {
    let mut headers = common_headers();
    headers["X-Health-Status"] = json!({ "required": true, "schema": { "enum": schemas::STATUSES } });
    headers
}

fn parameters(route: Route) -> Vec<Value> {
    let query = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema });
    let is_gate = matches!(
        route,
        Route::Livez | Route::LivezCheck | Route::Readyz | Route::ReadyzCheck | Route::Startupz | Route::StartupzCheck
    );
    let mut parameters = Vec::new();
    if is_gate {
        parameters.push(query("verbose", "a line for each check, also when open", json!({ "type": "string" })));
    }
    if is_gate || route == Route::Ready {
        let names = json!({ "type": "array", "items": { "type": "string" } });
        parameters.push(query("exclude", "a check that is to count as ok; may be repeated", names));
    }
    if is_gate || matches!(route, Route::Healthz | Route::HealthzCheck | Route::Health) {
        let names: Vec<&str> = AnswerFormat::NAMES.split(", ").collect();
        parameters.push(query("format", "the format of the body", json!({ "enum": names })));
    }
    if route == Route::HealthStream {
        let seconds = json!({ "type": "number", "minimum": 0.1, "maximum": 3600 });
        parameters.push(query("poll_interval", "seconds from one event to the next; 1 by default", seconds));
    }
    if matches!(route, Route::Services | Route::Events | Route::Ticks) {
        let limit = json!({ "type": "integer", "minimum": 1, "maximum": 1000 });
        parameters.push(query("limit", "entries of a page; 100 by default", limit));
        let before = json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX });
        parameters.push(query("before", "what follows the entry with this number", before));
    }
    if matches!(route, Route::Services | Route::Service) {
        let history = json!({ "const": "history" });
        parameters.push(query("include", "the definition and the last intervals too", history));
    }
    if route == Route::Badge {
        parameters.push(query("label", "the text on the left", json!({ "type": "string" })));
        parameters.push(query("metric", "the uptime of the last 24 hours", json!({ "const": "uptime" })));
        parameters.push(query("of", "a check that is itself called `overall`", json!({ "const": "check" })));
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_with_every_method_that_it_takes() {
        let document = document();
        for route in Route::ALL.into_iter().filter(|route| is_described(*route)) {
            let item = &document["paths"][route.pattern()];
            for method in route.methods().split(", ") {
                let operation = &item[method.to_lowercase()];
                assert!(!operation["summary"].as_str().unwrap().is_empty(), "{route:?}");
                let about_health = operation["responses"]["503"]["headers"]["X-Health-Status"].is_object();
                assert_eq!(about_health, is_about_health(route), "{method} {route:?}");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        for name in text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
