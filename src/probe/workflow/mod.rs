//! The kind `workflow`: an end-to-end path through the service, each step a probe of another kind.
//!
//! Which step comes next is decided in [`crate::workflow`]; here the section is read (`section`) and the steps are
//! run (`run`). A new kind of probe is a kind of step without a line here.

use std::time::Duration;

use super::{KINDS, ProbeKind};
use crate::base::field::{Field, ValueType};

mod reports;
mod run;
mod section;
mod step;

/// The kind.
pub static KIND: ProbeKind = ProbeKind {
    name: "workflow",
    doc: "An end-to-end path through the service: steps of other kinds, run one after another, with values captured \
          from the answers of earlier steps.",
    fields: &FIELDS,
    read: section::read,
    component_type: "component",
    bare_tcp: None,
    cadence: Some(("60s", "30s")),
};

static FIELDS: [Field; 1] = [Field::required(
    "steps",
    ValueType::List(&STEP),
    "The steps. They run one after another, in the order of the file where their needs allow it; the workflow's \
     `timeout` covers them all.",
)];

static STEP: ValueType = ValueType::Choice { fields: STEP_FIELDS, one_of: &STEP_KINDS };

const STEP_FIELDS: &[Field] = &[
    Field::required(
        "name",
        ValueType::Text,
        "The name of the step, unique in the workflow: letters, digits, `_` and `-`.",
    ),
    Field::optional(
        "needs",
        ValueType::OneOrMany(&ValueType::Text),
        "The steps that must have passed before. Default: the step before; `[]` for none. Otherwise the step is \
         skipped.",
    ),
    Field::with_default(
        "always",
        ValueType::Bool,
        "false",
        "Run it whatever happened before, if what it uses was captured; from an answer that failed its step, too. One that \
         was refused (409 …) may name what somebody else owns: capture for a clean-up what only the answer to its own \
         request has. The last fifth of the workflow's time is kept for such steps. A run that is cut off does not come to \
         them: once a reload changes the check, or the daemon ends, a run has one second, and `once` ends at once at a \
         signal. Where what a run has begun must not stay, let it expire, too.",
    ),
    Field::optional(
        "retry",
        ValueType::Section(RETRY_FIELDS),
        "Try it again until it passes, the attempts are used up, or the workflow's time is.",
    ),
    Field::optional(
        "capture",
        ValueType::Map(&ValueType::Text),
        "Values to keep from the answer, by name: `json:<pointer>`, `header:<name>`, `cookie:<name>`, \
         `regex:<one group>` or `status`. A number in JSON is kept as the answer has it, an exponent with its sign: `1.50`, \
         and `1e+3` where it has `1e3`. Of an answer longer than `max_body`, `json:` finds nothing, and neither does a \
         pattern whose match reaches the end of what was read. \
         Later steps use them as `${steps.<step>.<name>}`. From then on no message shows one, or a word such as \
         `pending` where it stands by itself; a status, `ok`, `true` and the like, and numbers of up to five digits are no \
         secret.",
    ),
];

const RETRY_FIELDS: &[Field] = &[
    Field::required(
        "attempts",
        ValueType::Integer { min: 1, max: 1000 },
        "How many attempts are made at most, the first one included.",
    ),
    Field::with_default(
        "delay",
        ValueType::Duration { min: Duration::from_millis(10) },
        "1s",
        "From the end of one attempt to the start of the next.",
    ),
];

/// One section for each kind but this one.
static STEP_KINDS: [Field; KINDS.len() - 1] = step_kinds();

const fn step_kinds() -> [Field; KINDS.len() - 1] {
    let mut fields = [const { Field::optional("", ValueType::Bool, "") }; KINDS.len() - 1];
    let (mut kind, mut field) = (0, 0);
    while kind < KINDS.len() {
        if !matches!(KINDS[kind].name.as_bytes(), b"workflow") {
            fields[field] = Field::required(KINDS[kind].name, ValueType::Section(KINDS[kind].fields), KINDS[kind].doc);
            field += 1;
        }
        kind += 1;
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_takes_every_kind_but_workflow() {
        let mut kinds: Vec<&str> = STEP_KINDS.iter().map(|field| field.name).collect();
        kinds.push("workflow");
        kinds.sort_unstable();
        let mut all: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        all.sort_unstable();
        assert_eq!(kinds, all);
    }

    #[test]
    fn no_kind_is_named_like_a_key_that_every_step_has() {
        for field in STEP_FIELDS {
            assert!(STEP_KINDS.iter().all(|kind| kind.name != field.name), "{}", field.name);
        }
    }
}
