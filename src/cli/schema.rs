//! `probelet schema`: the JSON Schema of the configuration.

use clap::Args;

use super::{Exit, answer};
use crate::config::schema::schema;

/// Print the JSON Schema of the configuration, for editors
#[derive(Debug, Args)]
#[command(after_help = "Example:
  probelet schema > schema.json

  # yaml-language-server: $schema=./schema.json")]
pub struct Schema {}

impl Schema {
    pub(super) fn execute(self) -> Exit {
        answer(&format!("{:#}\n", schema()), Exit::Fine)
    }
}
