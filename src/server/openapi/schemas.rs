//! The bodies of the answers and of a beat, as JSON Schema.

use serde_json::{Map, Value, json};

use crate::model::beat::BeatStatus;

/// The verdicts.
pub(super) const STATUSES: [&str; 3] = ["ok", "degraded", "error"];
const STATES: [&str; 6] = ["ok", "degraded", "error", "skipped", "pending", "stale"];

/// The schemas, by the names that the routes refer to.
pub(super) fn all() -> Value {
    let text = || json!({ "type": "string" });
    let time = || json!({ "type": "string", "format": "date-time" });
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    let count = || json!({ "type": "integer", "minimum": 0 });
    let seconds = || json!({ "type": "integer" });
    let maybe = |what: &str| json!({ "type": [what, "null"] });
    let list = |name: &str| json!({ "type": "array", "items": { "$ref": format!("#/components/schemas/{name}") } });
    let map = |of: Value| json!({ "type": "object", "additionalProperties": of });
    let one = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let nothing = json!({});
    let step = object(
        &json!({ "name": text(), "state": { "enum": STATES }, "message": text(), "latency_ms": maybe("integer") }),
        &nothing,
    );
    let check = object(
        &json!({
            "name": text(), "status": { "enum": STATUSES }, "message": text(), "state": { "enum": STATES }, "kind": text(),
            "critical": { "enum": [true, false, "at_startup"] }, "latency_ms": maybe("integer"), "age_ms": maybe("integer"),
            "consecutive_failures": count(), "since": time(), "depends_on": texts(), "root_causes": texts()
        }),
        &json!({ "steps": list("Step"), "excluded": { "const": true } }),
    );
    let report = object(
        &json!({
            "status": { "enum": STATUSES }, "data": object(&json!({ "message": text() }), &nothing), "checks": list("Check"),
            "timestamp": time()
        }),
        &json!({
            "root_causes": texts(), "service": text(), "instance": text(), "version": maybe("string"), "labels": map(text()),
            "endpoints": { "type": "array", "items": { "type": "object" } }, "warnings": texts(),
            "disabled": { "type": "array", "items": object(
                &json!({ "name": text(), "kind": text(), "reason": text() }), &nothing
            ) }
        }),
    );
    let dependency = object(
        &json!({ "status": { "enum": ["UP", "DEGRADED", "DOWN"] }, "message": text() }),
        &json!({ "response_time_ms": count() }),
    );
    let updown = object(
        &json!({
            "status": { "enum": ["UP", "DEGRADED", "DOWN"] }, "message": text(), "timestamp": time(),
            "dependencies": map(dependency)
        }),
        &json!({ "version": text() }),
    );
    let observation = json!({ "type": "array", "items": { "type": "object" }, "minItems": 1, "maxItems": 1 });
    let health_json = object(
        &json!({ "status": { "enum": ["pass", "warn", "fail"] }, "checks": map(observation) }),
        &json!({ "version": text(), "serviceId": text(), "description": text(), "output": text() }),
    );
    let words = json!({ "enum": ["healthy", "degraded", "unhealthy"] });
    let health = object(
        &json!({ "status": words }),
        &json!({ "message": text(), "checks": map(object(&json!({ "state": words }), &json!({ "message": text() }))) }),
    );
    let event = object(
        &json!({
            "id": count(), "event": { "enum": ["uptime", "downtime", "unknown"] }, "date_started": seconds(),
            "date_ended": maybe("integer"), "created_at": seconds(), "updated_at": seconds()
        }),
        &nothing,
    );
    let tick = object(
        &json!({
            "id": count(), "created_at": seconds(), "outcome": text(), "response_time_ms": maybe("number"),
            "reason": maybe("string"), "message": text()
        }),
        &nothing,
    );
    let metric = object(
        &json!({
            "average_response_time_ms": maybe("number"), "down_count": count(), "tick_count": count(), "up_count": count(),
            "uptime_percent": maybe("number"), "coverage_percent": maybe("number")
        }),
        &nothing,
    );
    let data = |of: Value| object(&json!({ "data": of }), &json!({}));
    let record = object(
        &json!({
            "id": count(), "name": text(), "url": maybe("string"), "created_at": seconds(), "updated_at": seconds(),
            "current_status": one("Event"), "latest_event": data(one("Event")), "metric": data(metric)
        }),
        &json!({
            "definition": { "type": "object" }, "history": { "type": "object" }, "kept_since": seconds(),
            "transitions": { "type": "array", "items": object(
                &json!({
                    "at": { "type": "number" }, "from": { "enum": STATES }, "to": { "enum": STATES }, "lasted_ms": count(),
                    "message": text()
                }),
                &nothing,
            ) }
        }),
    );
    let envelope =
        |required: Value| object(&json!({ "status": count(), "status_desc": text(), "data": required }), &json!({}));
    let rows = |name: &str, of: &str| {
        envelope(object(
            &json!({ name: object(
                &json!({ "data": list(of), "next": maybe("string") }),
                &json!({ "kubelet": { "type": "array", "items": object(
                    &json!({ "endpoint": text(), "last_asked": { "type": "number" }, "period_ms": count() }), &nothing
                ) } }),
            ) }),
            &json!({}),
        ))
    };
    json!({
        "Report": report,
        "Check": check,
        "Step": step,
        "Updown": updown,
        "HealthJson": health_json,
        "Health": health,
        "Alive": object(&json!({ "alive": { "type": "boolean" } }), &nothing),
        "Ready": object(&json!({ "ready": { "type": "boolean" } }), &json!({ "reasons": texts() })),
        "Event": event,
        "Tick": tick,
        "Record": record,
        "Envelope": object(&json!({ "status": count(), "status_desc": text() }), &json!({ "data": { "type": "object" } })),
        "Services": rows("services", "Record"),
        "Service": envelope(object(&json!({ "service": data(one("Record")) }), &json!({}))),
        "Events": rows("events", "Event"),
        "Ticks": rows("ticks", "Tick"),
        "Description": { "type": "object" },
        "Beat": {
            "type": "object",
            "properties": { "status": { "enum": BeatStatus::WORDS }, "message": { "type": ["string", "null"] } },
            "additionalProperties": false
        }
    })
}

/// An object with these members, of which all but the optional ones are always there.
fn object(required: &Value, optional: &Value) -> Value {
    let members = |of: &Value| of.as_object().cloned().unwrap_or_default();
    let names: Vec<String> = members(required).into_iter().map(|(name, _)| name).collect();
    let properties: Map<String, Value> = members(required).into_iter().chain(members(optional)).collect();
    json!({ "type": "object", "properties": properties, "required": names })
}
