//! The kind `disk`: how much room a file system has, and whether it can be written to.

mod measure;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use self::measure::{Measured, Measurement};
use super::blocking::Blocking;
use super::{BoxFuture, BuildContext, Probe, ProbeKind, RunContext, Spec};
use crate::base::field::{Field, ValueType};
use crate::base::quantity::show_size;
use crate::base::redact;
use crate::base::trace::Phase;
use crate::base::value::{Section, Value};
use crate::model::outcome::{DiskSpace, Failure, FailureKind, Pass, ProbeResult};

/// The kind.
pub static KIND: ProbeKind = ProbeKind {
    name: "disk",
    doc: "The room on a file system, and whether it can be written to.",
    fields: FIELDS,
    read,
    component_type: "system",
    bare_tcp: None,
    cadence: None,
};

const FIELDS: &[Field] = &[
    Field::required(
        "path",
        ValueType::Text,
        "A path on the file system, as the sidecar sees it: mount the app's volume into it.",
    ),
    Field::optional(
        "min_free",
        ValueType::SizeOrShare,
        "With less room than this the check fails: `10%` or `5GiB`. A share fails where the file system reports no size.",
    ),
    Field::optional(
        "min_free_inodes",
        ValueType::Share,
        "With a smaller share of free inodes the check fails. File systems that do not count them pass.",
    ),
    Field::optional("degraded_below", ValueType::SizeOrShare, "With less room than this a pass is degraded."),
    Field::with_default(
        "writable",
        ValueType::Bool,
        "false",
        "Creates a small file in the folder `path`, writes, syncs, reads it back and removes it.",
    ),
];

/// A bound on free room.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Size(u64),
    Share(f64),
}

impl Bound {
    fn read(fields: &Section, key: &str) -> Option<Self> {
        match fields.get(key)?.value {
            Value::Size(size) => Some(Self::Size(size)),
            Value::Share(share) => Some(Self::Share(share)),
            _ => None,
        }
    }

    #[allow(clippy::cast_precision_loss)] // a share need not be exact to the byte
    fn is_above(self, space: DiskSpace) -> bool {
        match self {
            Self::Size(size) => space.free < size,
            Self::Share(share) => (space.free as f64) < share * space.size as f64,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => f.write_str(&show_size(*size).replace(".0 ", " ")),
            Self::Share(share) => f.write_str(&show_share(*share)),
        }
    }
}

/// `10%`, `2.5%`
fn show_share(share: f64) -> String {
    format!("{}%", (share * 10_000.0).round() / 100.0)
}

#[derive(Debug)]
struct DiskSpec {
    target: String,
    declared: DiskSection,
}

#[derive(Clone)]
struct DiskSection {
    path: PathBuf,
    min_free: Option<Bound>,
    min_free_inodes: Option<f64>,
    degraded_below: Option<Bound>,
    writable: bool,
}

/// Without the path: an expansion may have brought it in.
impl fmt::Debug for DiskSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskSection").field("min_free", &self.min_free).finish_non_exhaustive()
    }
}

fn read(fields: &Section) -> Option<Box<dyn Spec>> {
    let path = fields.text("path")?;
    let declared = DiskSection {
        path: PathBuf::from(path.fixed()?),
        min_free: Bound::read(fields, "min_free"),
        min_free_inodes: match fields.get("min_free_inodes").map(|located| &located.value) {
            Some(Value::Share(share)) => Some(*share),
            _ => None,
        },
        degraded_below: Bound::read(fields, "degraded_below"),
        writable: fields.flag("writable").unwrap_or(false),
    };
    if declared.path.as_os_str().is_empty() {
        fields.error("path", "invalid-value", "the path is empty", Some("write it as `/var/lib/data`".into()));
        return None;
    }
    let never_degrades = match (declared.min_free, declared.degraded_below) {
        (Some(Bound::Size(min)), Some(Bound::Size(below))) => below <= min,
        (Some(Bound::Share(min)), Some(Bound::Share(below))) => below <= min,
        _ => false,
    };
    if never_degrades {
        let message = "`degraded_below` has no effect: it is not above `min_free`, below which the check fails";
        fields.warning("degraded_below", "ineffective-key", message, Some("raise it, or remove it".into()));
    }
    Some(Box::new(DiskSpec { target: redact::target(&path.written), declared }))
}

impl Spec for DiskSpec {
    fn target(&self) -> Option<String> {
        Some(self.target.clone())
    }

    fn build(&self, context: &BuildContext) -> Box<dyn Probe> {
        let DiskSection { path, writable, .. } = self.declared.clone();
        let measurement = Measurement::new(path, writable.then(|| context.check.to_string()));
        let measure: Arc<Measure> = Arc::new(move || measurement.take());
        Box::new(DiskProbe { declared: self.declared.clone(), measure, measuring: Blocking::default() })
    }
}

/// Asks the file system, for as long as it takes.
type Measure = dyn Fn() -> Result<Measured, Failure> + Send + Sync;

struct DiskProbe {
    declared: DiskSection,
    measure: Arc<Measure>,
    measuring: Blocking<Result<Measured, Failure>>,
}

impl Probe for DiskProbe {
    fn observe<'a>(&'a mut self, run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
        Box::pin(async move {
            run.trace.enter(Phase::Disk);
            let measure = Arc::clone(&self.measure);
            let measured = self.measuring.call("disk", move || measure()).await??;
            judge(&self.declared, &measured)
        })
    }
}

fn judge(declared: &DiskSection, measured: &Measured) -> ProbeResult {
    let space = measured.space;
    let failure = |message: String| {
        let mut failure = Failure::new(FailureKind::Mismatch, message);
        failure.facts.disk = Some(space);
        failure
    };
    if let (0, Some(Bound::Share(share))) = (space.size, declared.min_free) {
        let share = show_share(share);
        return Err(failure(format!("the file system reports no size, of which {share} could be free")));
    }
    let free = match space.size {
        0 if space.free == 0 => "the file system reports no size".to_owned(),
        size => format!("{} free ({})", show_size(space.free), show_whole_share(space.free, size)),
    };
    if let Some(bound) = declared.min_free.filter(|bound| bound.is_above(space)) {
        return Err(failure(format!("{free}, below {bound}")));
    }
    if let (Some(least), Some((inodes_free, inodes))) = (declared.min_free_inodes, measured.inodes)
        && Bound::Share(least).is_above(DiskSpace { free: inodes_free, size: inodes })
    {
        let share = show_whole_share(inodes_free, inodes);
        return Err(failure(format!("{share} of inodes free, below {}", show_share(least))));
    }
    if let Some(unwritable) = &measured.unwritable {
        let mut unwritable = unwritable.clone();
        unwritable.facts.disk = Some(space);
        return Err(unwritable);
    }
    // Of no size every share is missing.
    let is_missing = |bound: &Bound| bound.is_above(space) || (space.size == 0 && matches!(bound, Bound::Share(_)));
    let below = declared.degraded_below.filter(is_missing);
    let message = below.map_or(free.clone(), |bound| format!("{free}, below {bound}"));
    let mut pass = Pass { degraded: below.is_some(), ..Pass::saying(message) };
    pass.facts.disk = Some(space);
    Ok(pass)
}

/// A share in whole percent, rounded down, so that what is below a bound never looks like it.
fn show_whole_share(part: u64, whole: u64) -> String {
    match u128::from(whole) {
        0 => "0%".to_owned(),
        whole => format!("{}%", u128::from(part) * 100 / whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const GIB: u64 = 1 << 30;

    fn declared() -> DiskSection {
        DiskSection { path: "/".into(), min_free: None, min_free_inodes: None, degraded_below: None, writable: false }
    }

    fn measured(free: u64, size: u64) -> Measured {
        Measured { space: DiskSpace { free, size }, inodes: Some((50, 1000)), unwritable: None }
    }

    fn said(result: ProbeResult) -> String {
        match result {
            Ok(pass) => format!("{} {}", if pass.degraded { "degraded" } else { "pass" }, pass.message.unwrap()),
            Err(failure) => format!("{} {}", failure.kind.label(), failure.message),
        }
    }

    #[tokio::test]
    async fn a_file_system_that_hangs_holds_one_thread_and_is_measured_anew_afterwards() {
        let calls = Arc::new(AtomicUsize::new(0));
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let (counted, gate) = (Arc::clone(&calls), std::sync::Mutex::new(gate));
        let measure: Arc<Measure> = Arc::new(move || {
            let call = counted.fetch_add(1, Ordering::SeqCst) as u64;
            gate.lock().unwrap().recv().unwrap();
            Ok(measured(call * GIB, 4 * GIB))
        });
        let mut probe = DiskProbe { declared: declared(), measure, measuring: Blocking::default() };
        let run = RunContext::default();
        for _ in 0..3 {
            let limit = std::time::Duration::from_millis(20);
            assert!(tokio::time::timeout(limit, probe.observe(&run)).await.is_err());
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        release.send(()).unwrap();
        release.send(()).unwrap();
        assert_eq!(said(probe.observe(&run).await), "pass 1.0 GiB free (25%)", "not what the hanging call brought");
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn room_is_judged_by_size_or_share() {
        let space = measured(6 * GIB, 40 * GIB);
        let share = |share| Some(Bound::Share(share));
        let size = |gib| Some(Bound::Size(gib * GIB));
        let cases = [
            (None, None, "pass 6.0 GiB free (15%)"),
            (share(0.1), share(0.15), "pass 6.0 GiB free (15%)"),
            (share(0.1), share(0.2), "degraded 6.0 GiB free (15%), below 20%"),
            (share(0.1525), None, "mismatch 6.0 GiB free (15%), below 15.25%"),
            (size(6), size(10), "degraded 6.0 GiB free (15%), below 10 GiB"),
            (size(7), size(10), "mismatch 6.0 GiB free (15%), below 7 GiB"),
        ];
        for (min_free, degraded_below, expected) in cases {
            let declared = DiskSection { min_free, degraded_below, ..declared() };
            assert_eq!(said(judge(&declared, &space)), expected);
        }
    }

    #[test]
    fn inodes_are_judged_where_they_are_counted() {
        let declared = DiskSection { min_free_inodes: Some(0.1), ..declared() };
        let mut space = measured(GIB, 2 * GIB);
        assert_eq!(said(judge(&declared, &space)), "mismatch 5% of inodes free, below 10%");
        space.inodes = None;
        assert_eq!(said(judge(&declared, &space)), "pass 1.0 GiB free (50%)");
    }

    #[test]
    fn a_share_of_a_file_system_without_a_size_is_no_pass() {
        let share = |min_free, degraded_below| DiskSection { min_free, degraded_below, ..declared() };
        let tenth = Some(Bound::Share(0.1));
        let cases = [
            (share(tenth, None), "mismatch the file system reports no size, of which 10% could be free"),
            (share(Some(Bound::Size(GIB)), None), "mismatch the file system reports no size, below 1 GiB"),
            (share(None, tenth), "degraded the file system reports no size, below 10%"),
            (share(None, None), "pass the file system reports no size"),
        ];
        for (declared, expected) in cases {
            assert_eq!(said(judge(&declared, &measured(0, 0))), expected);
        }
    }

    #[tokio::test]
    async fn a_share_of_proc_is_no_pass() {
        let declared = DiskSection { path: "/proc".into(), min_free: Some(Bound::Share(0.1)), ..declared() };
        let check = crate::base::name::CheckName::new("proc").unwrap();
        let clock = crate::base::clock::Clock::Machine;
        let context = BuildContext { check, network: Arc::default(), clock, beats: Arc::default() };
        let mut probe = DiskSpec { target: "/proc".into(), declared }.build(&context);
        let said = said(probe.observe(&RunContext::default()).await);
        assert_eq!(said, "mismatch the file system reports no size, of which 10% could be free");
    }
}
