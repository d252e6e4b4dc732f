//! The five states that a check can be in.

/// The state of a check. Whether a result is too old is decided when asked, see
/// [`verdict`](super::verdict).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// It passes.
    Ok,
    /// It passes, with something to worry about.
    Degraded,
    /// It fails.
    Error,
    /// It is not run, because a parent fails.
    Skipped,
    /// No verdict yet.
    #[default]
    Pending,
}

impl State {
    /// All of them, in the order of the metrics.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Degraded, Self::Error, Self::Skipped, Self::Pending];

    /// The word for it in answers and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Error => "error",
            Self::Skipped => "skipped",
            Self::Pending => "pending",
        }
    }

    /// Whether it passes, with or without a worry.
    #[must_use]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Ok | Self::Degraded)
    }

    /// Whether children are skipped: it fails, or is skipped itself.
    #[must_use]
    pub const fn blocks_children(self) -> bool {
        matches!(self, Self::Error | Self::Skipped)
    }
}
