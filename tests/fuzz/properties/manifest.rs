//! What holds for every manifest of Kubernetes, whatever its bytes.

use std::io;
use std::path::Path;

use probelet::base::value::ReadFile;
use probelet::config::codes::CODES;
use probelet::config::diagnostic::Report;
use probelet::config::manifest;
use probelet::config::source::Environment;
use probelet::simulation::pod_manifest;

use super::lines::SECRET;

/// The most pods of a file, and the most containers of a pod.
const MOST: usize = 100;

/// Pods and configurations in it are read the same way twice, every problem has a known code and lies in the file, and
/// no secret that an expansion brings in is shown.
pub fn any_manifest(bytes: &[u8]) {
    let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    let (pods, report) = pod_manifest::read("pod.yaml", bytes);
    fits(&report, lines);
    let (again, same) = pod_manifest::read("pod.yaml", bytes);
    assert_eq!((format!("{pods:?}"), report.text(true)), (format!("{again:?}"), same.text(true)));
    assert!(pods.len() <= MOST, "{} pods", pods.len());
    assert!(report.is_valid() || !report.diagnostics().is_empty());

    let environment = Environment::of([("SECRET", SECRET), ("NUMBER", "3")]);
    let nothing = || -> Box<ReadFile> { Box::new(|_: &Path| Err(io::ErrorKind::NotFound.into())) };
    let reports = manifest::judge("map.yaml", bytes, &environment, nothing);
    assert!(!reports.is_empty(), "nothing is said of it");
    let again = manifest::judge("map.yaml", bytes, &environment, nothing);
    assert_eq!(reports.len(), again.len());
    for (report, again) in reports.iter().zip(&again) {
        fits(report, lines);
        assert_eq!(report.text(true), again.text(true));
    }
    assert!(reports.len() == 1 || manifest::is_manifest(bytes), "several configurations in no manifest");
}

fn fits(report: &Report, lines: usize) {
    for diagnostic in report.diagnostics() {
        let problem = &diagnostic.problem;
        assert!(CODES.iter().any(|code| code.name == problem.code), "{problem:?}");
        let place = &problem.span;
        assert!(place.line >= 1 && place.column >= 1 && place.line as usize <= lines, "{problem:?}");
        assert!(!problem.message.contains('\n'), "{problem:?}");
    }
    let text = report.text(false);
    assert!(text.len() < 4 << 20, "{} bytes of report", text.len());
    drop((text, report.json().to_string(), report.first_error()));
}
