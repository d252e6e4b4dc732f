//! `probelet schema`: the JSON Schema of the configuration.

use clap::Args;

use super::{Exit, answer};
use crate::config::schema::schema;
use crate::server::openapi::document;

/// Print the JSON Schema of the configuration, for editors
#[derive(Debug, Args)]
#[command(after_help = "Example:
  probelet schema > schema.json

  # yaml-language-server: $schema=./schema.json")]
pub struct Schema {
    /// The OpenAPI description of what the daemon answers over HTTP instead, as at /v1/openapi.json
    #[arg(long)]
    api: bool,
}

impl Schema {
    pub(super) fn execute(self) -> Exit {
        let schema = if self.api { document() } else { schema() };
        answer(&format!("{schema:#}\n"), Exit::Fine)
    }
}
