//! `/ready`: yes, or no with the reasons.

use crate::model::index::CheckIndex;
use crate::model::plan::Details;
use crate::server::view::View;

/// The body of the answer, root causes first.
pub(in crate::server) fn ready(view: &View<'_>) -> String {
    if view.judgement.open {
        r#"{"ready": true}"#.to_owned()
    } else {
        let reasons: Vec<String> =
            reasons(view).into_iter().map(|reason| serde_json::Value::from(reason).to_string()).collect();
        format!(r#"{{"ready": false, "reasons": [{}]}}"#, reasons.join(", "))
    }
}

fn reasons(view: &View<'_>) -> Vec<String> {
    if view.details() == Details::None {
        return Vec::new();
    }
    let reason = |check: CheckIndex| format!("{}: {}", view.name(check), view.told(check));
    let causes = &view.judgement.root_causes;
    let mut reasons: Vec<String> = causes.iter().map(|check| reason(*check)).collect();
    if view.judgement.draining {
        reasons.push("draining".into());
    }
    if view.missing().is_some() {
        reasons.push(format!("configuration: {}", view.summary()));
    }
    let others = view.judgement.closing.iter().filter(|check| causes.binary_search(check).is_err());
    reasons.extend(others.map(|check| reason(*check)));
    reasons
}
