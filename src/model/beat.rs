//! What the app says of itself with a beat.

/// A beat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// How the app is.
    pub status: BeatStatus,
    /// What it says about that, in one line.
    pub message: Option<String>,
}

/// How the app is, in its own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BeatStatus {
    /// Well: a beat without a body says no more.
    #[default]
    Ok,
    /// It works, with something to worry about.
    Degraded,
    /// It does not work.
    Error,
}

impl BeatStatus {
    /// The words for them, in order.
    pub const WORDS: [&str; 3] = ["ok", "degraded", "error"];

    /// The one called `word`.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "ok" => Some(Self::Ok),
            "degraded" => Some(Self::Degraded),
            "error" => Some(Self::Error),
            _ => None,
        }
    }

    /// Its word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}
