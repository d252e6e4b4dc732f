//! What can be wrong with the steps of a workflow, in words.

/// Something wrong with a step. Steps, needs and uses are given by their positions in the drafts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// There are no steps.
    NoSteps,
    /// There are more steps than are allowed.
    TooManySteps {
        /// How many.
        steps: usize,
        /// How many are allowed.
        most: usize,
    },
    /// The name is taken.
    DuplicateName {
        /// The later step.
        step: usize,
        /// The name.
        name: String,
        /// The step that has it first.
        first: usize,
    },
    /// A need that is no step.
    UnknownNeed {
        /// The step.
        step: usize,
        /// Which of its needs.
        need: usize,
        /// What it says.
        name: String,
        /// What it was probably meant to say.
        near: Option<String>,
    },
    /// Steps that need each other.
    Cycle {
        /// The first of them in the file.
        step: usize,
        /// Their names along the needs, from that one.
        names: Vec<String>,
    },
    /// A captured value of no known step.
    UnknownStep {
        /// The step.
        step: usize,
        /// Which of its uses.
        used: usize,
        /// The step that it names.
        of: String,
        /// The value that it names.
        name: String,
        /// The step that was probably meant.
        near: Option<String>,
    },
    /// A value that the step of that name does not capture.
    UnknownCapture {
        /// The step.
        step: usize,
        /// Which of its uses.
        used: usize,
        /// The step that it names.
        of: String,
        /// The value that it names.
        name: String,
        /// The value that was probably meant.
        near: Option<String>,
    },
    /// A value that the step itself captures.
    OwnCapture {
        /// The step.
        step: usize,
        /// Which of its uses.
        used: usize,
        /// The step's name.
        of: String,
        /// The value.
        name: String,
    },
    /// A value of a step that is not needed, directly or further up: it may not be there.
    NotNeeded {
        /// The step.
        step: usize,
        /// Which of its uses.
        used: usize,
        /// The step that it names.
        of: String,
        /// The value that it names.
        name: String,
    },
}

impl PlanError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoSteps => "no-steps",
            Self::TooManySteps { .. } => "too-many-steps",
            Self::DuplicateName { .. } => "duplicate-name",
            Self::UnknownNeed { .. } | Self::UnknownStep { .. } => "unknown-step",
            Self::Cycle { .. } => "needs-ring",
            Self::UnknownCapture { .. } => "unknown-capture",
            Self::OwnCapture { .. } => "own-capture",
            Self::NotNeeded { .. } => "step-not-needed",
        }
    }

    /// What was found, in one line.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::NoSteps => "a workflow without steps checks nothing".into(),
            Self::TooManySteps { steps, most } => format!("{steps} steps, at most {most} are allowed"),
            Self::DuplicateName { name, first, .. } => {
                format!("a step named `{name}` stands above (step {})", first + 1)
            }
            Self::UnknownNeed { name, .. } => format!("no step is named `{name}`"),
            Self::Cycle { names, .. } => cycle(names),
            Self::UnknownStep { of, name, .. } => format!("{}: no step is named `{of}`", reference(of, name)),
            Self::UnknownCapture { of, name, .. } => {
                format!("{}: the step `{of}` captures no `{name}`", reference(of, name))
            }
            Self::OwnCapture { of, name, .. } => {
                format!("{} is captured only after this step has run", reference(of, name))
            }
            Self::NotNeeded { of, name, .. } => {
                format!("{} is used by a step that does not need `{of}`", reference(of, name))
            }
        }
    }

    /// What to write instead, in one line.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NoSteps => "add at least one step".into(),
            Self::TooManySteps { .. } => "split the workflow into several checks".into(),
            Self::DuplicateName { .. } => "give each step a name of its own".into(),
            Self::UnknownNeed { near: Some(near), .. }
            | Self::UnknownStep { near: Some(near), .. }
            | Self::UnknownCapture { near: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::UnknownNeed { .. } | Self::UnknownStep { .. } => "name a step of this workflow".into(),
            Self::Cycle { .. } => {
                "a step without `needs` needs the one before it; write `needs: []` where it needs none".into()
            }
            Self::UnknownCapture { of, name, .. } => format!("add `{name}` to the `capture` of `{of}`"),
            Self::OwnCapture { of, .. } => format!("use it in a step that needs `{of}`"),
            Self::NotNeeded { of, .. } => format!("add `{of}` to its `needs`"),
        }
    }
}

fn reference(of: &str, name: &str) -> String {
    format!("`${{steps.{of}.{name}}}`")
}

fn cycle(names: &[String]) -> String {
    if let [only] = names {
        return format!("the step `{only}` needs itself");
    }
    let closed = names.iter().chain(names.first()).map(|name| format!("`{name}`"));
    format!("the needs form a ring: {}", closed.collect::<Vec<_>>().join(" needs "))
}
