//! Configuration values as the reader hands them to a section: typed, with their place in the file, and with a way to
//! report a problem that only the section can see.

mod problem;
mod section;
mod session;
mod text;
mod unreadable;
mod yaml_path;

pub use problem::{Problem, Severity, SourceSpan};
pub use section::{Section, Spanned, SpareRoom, Value};
pub use session::{ParseSession, ReadFile, TooMuch};
pub use text::{Text, TextPart};
pub use unreadable::{help_with_unreadable, is_absent, why_unreadable};
pub use yaml_path::YamlPath;
