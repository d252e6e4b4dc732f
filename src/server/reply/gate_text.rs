//! A gate as text, in the way of the Kubernetes API server.

use bytes::Bytes;

use crate::model::outcome::one_line;
use crate::model::plan::Details;
use crate::model::state::State;
use crate::model::verdict::{EndpointPart, JudgedState};
use crate::server::view::{View, WITHHELD};
use crate::server::warnings::Warnings;

/// The body of an open gate.
pub(in crate::server) const OPEN: &[u8] = b"ok";
/// Kubelet cuts at 10 KiB. Bodies that nobody asked to be verbose stay below.
const LIMIT: usize = 10_000;
/// The line of a check with a name of one letter that is well.
const SHORTEST_LINE: usize = "[+]x ok\n".len();
/// What the names of root causes may take of it.
const CAUSES_LIMIT: usize = 2_000;

/// The body of a gate: `ok`, or one line for each check and a verdict.
pub(in crate::server) fn body(view: &View<'_>, verbose: bool, warnings: &Warnings) -> Bytes {
    if view.judgement.open && !verbose {
        if warnings.is_empty() {
            return Bytes::from_static(OPEN);
        }
        return format!("ok\n{}", warnings.lines()).into();
    }
    let tail = format!("{}{}", warnings.lines(), verdict(view, verbose));
    let mut body = if verbose { all(view) } else { as_fits(view, LIMIT - tail.len()) };
    body += &tail;
    body.into()
}

/// The body for one check: `ok` or its line.
pub(in crate::server) fn single(view: &View<'_>, verbose: bool, warnings: &Warnings) -> Bytes {
    match view.parts() {
        [part] if verbose || !view.judgement.open => format!("{}{}", line(view, *part), warnings.lines()).into(),
        _ => body(view, verbose, warnings),
    }
}

fn all(view: &View<'_>) -> String {
    let mut lines = preamble(view);
    lines.extend(view.parts().iter().map(|part| line(view, *part)));
    lines.concat()
}

/// The lines in the order of the file if they fit; else the root causes, then what else keeps the gate closed, then
/// the rest, as far as there is room.
fn as_fits(view: &View<'_>, room: usize) -> String {
    let parts = view.parts();
    let preamble = preamble(view).concat();
    let may_fit = preamble.len() + parts.len() * SHORTEST_LINE <= room;
    if may_fit && let (whole, 0) = fill(view, &preamble, parts.iter().copied(), parts.len(), room) {
        return whole;
    }
    let of_rank = |(wanted, closes)| {
        let mut causes = view.judgement.root_causes.iter().peekable();
        // Both are in the order of the file.
        let mut is_cause = move |part: &EndpointPart| {
            while causes.next_if(|cause| **cause < part.check).is_some() {}
            causes.next_if_eq(&&part.check).is_some()
        };
        parts.iter().copied().filter(move |part| is_cause(part) == wanted && part.closes == closes)
    };
    let ranked = [(true, true), (true, false), (false, true), (false, false)].into_iter().flat_map(of_rank);
    let more = "… and 18446744073709551615 more\n".len();
    let (text, left) = fill(view, &preamble, ranked, parts.len(), room.saturating_sub(more));
    format!("{text}… and {left} more\n")
}

/// `text` with the lines of `parts`, of which there are so many, as far as there is room; and how many are left out.
fn fill(
    view: &View<'_>,
    text: &str,
    parts: impl Iterator<Item = EndpointPart>,
    count: usize,
    room: usize,
) -> (String, usize) {
    let (mut text, mut left) = (text.to_owned(), count);
    for part in parts {
        let line = line(view, part);
        if text.len() + line.len() > room {
            break;
        }
        text += &line;
        left -= 1;
    }
    (text, left)
}

/// What keeps a gate closed beside its checks.
fn preamble(view: &View<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    match view.details() {
        Details::None => {}
        details => {
            if view.judgement.draining {
                lines.push("[-]draining\n".to_owned());
            }
            if let Some(reason) = view.missing() {
                let reason = if details == Details::Full { one_line(reason) } else { WITHHELD.into() };
                lines.push(format!("[-]configuration failed: {reason}\n"));
            }
        }
    }
    lines
}

/// The line of a check.
fn line(view: &View<'_>, part: EndpointPart) -> String {
    let name = view.name(part.check);
    if part.excluded {
        return format!("[+]{name} excluded: ok\n");
    }
    let mark = if part.closes { '-' } else { '+' };
    let check = view.judged.check(part.check);
    let word = match view.judged.state(part.check) {
        JudgedState::Fresh(State::Ok | State::Degraded) if part.closes && check.failures > 0 => "failed",
        JudgedState::Fresh(State::Ok) if part.closes => return format!("[-]{name} pending: not passed yet\n"),
        JudgedState::Fresh(State::Ok) => return format!("[+]{name} ok\n"),
        JudgedState::Fresh(State::Error) => "failed",
        JudgedState::Fresh(State::Pending) if check.awaits_the_new_container() => "starting",
        other => other.label(),
    };
    format!("[{mark}]{name} {word}: {}\n", view.reason(part.check))
}

/// The last line.
fn verdict(view: &View<'_>, verbose: bool) -> String {
    let endpoint = view.judgement.endpoint.label();
    if view.judgement.open {
        return format!("{endpoint} check passed\n");
    }
    let causes = &view.judgement.root_causes;
    let names = || causes.iter().map(|cause| view.name(*cause));
    let Some(first) = names().next().filter(|_| view.details() != Details::None) else {
        return format!("{endpoint} check failed\n");
    };
    let mut shown = first.to_owned();
    for (place, cause) in names().enumerate().skip(1) {
        if !verbose && shown.len() + cause.len() > CAUSES_LIMIT {
            shown += &format!(", … and {} more", causes.len() - place);
            break;
        }
        shown += ", ";
        shown += cause;
    }
    format!("{endpoint} check failed: root cause {shown}\n")
}
