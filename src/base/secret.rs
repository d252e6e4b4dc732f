//! Text that cannot be formatted: the only way to its content is [`Secret::expose`], which is easy to search for.

use std::fmt;
use std::sync::Arc;

/// A value that must never reach an answer, a log, a metric or an error. Its clones share the text: it may be a file of a
/// MiB, which a check sends and looks for in what comes back.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes `text` out of reach of formatting.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The content, to be handed to what needs it: a server, a TLS library.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// Shows `***`, so that structs which hold a secret can still derive `Debug`.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_when_formatted() {
        assert_eq!(format!("{:?} {:#?}", Secret::new("hunter2"), Secret::new("hunter2")), "*** ***");
        assert_eq!(Secret::new("hunter2").expose(), "hunter2");
    }
}
