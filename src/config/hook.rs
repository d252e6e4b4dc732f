//! The list `hooks`: who is told of what.

use std::time::Duration;

use crate::base::secret::Secret;

/// An item of `hooks`. Its address and its headers are secrets: whoever knows them can speak in our name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookConfig {
    /// Where it is told; an `http` or `https` URL with a host.
    pub url: Secret,
    /// Of what.
    pub on: HookEvents,
    /// Headers that go along, with the names of the file.
    pub headers: Vec<(String, Secret)>,
    /// The limit on one try, connection and answer included.
    pub timeout: Duration,
}

/// What a hook can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookEvent {
    /// A check has become `error`.
    Error,
    /// A check has become `ok`.
    Ok,
    /// A check has become `degraded`.
    Degraded,
    /// `/readyz` has opened or closed.
    Readyz,
    /// `/livez` has opened or closed.
    Livez,
}

impl HookEvent {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Error, Self::Ok, Self::Degraded, Self::Readyz, Self::Livez];
    /// Their words in the file, in the same order.
    pub const WORDS: [&'static str; 5] = ["error", "ok", "degraded", "readyz", "livez"];

    /// Whether it is of an endpoint, not of a check.
    #[must_use]
    pub const fn is_of_an_endpoint(self) -> bool {
        matches!(self, Self::Readyz | Self::Livez)
    }
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookEvents([bool; HookEvent::ALL.len()]);

impl HookEvents {
    /// Those with these words.
    #[must_use]
    pub fn named(words: &[&str]) -> Self {
        Self(HookEvent::WORDS.map(|word| words.contains(&word)))
    }

    /// Whether `event` is one of them.
    #[must_use]
    pub const fn has(self, event: HookEvent) -> bool {
        self.0[event as usize]
    }
}
