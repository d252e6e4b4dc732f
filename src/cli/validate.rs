//! `probelet validate`: every problem of a configuration, also of one inside a ConfigMap's manifest.

use clap::{Args, ValueEnum};

use super::{ConfigFile, Exit, answer, coloured, wrong_usage};
use crate::config::diagnostic::Report;
use crate::config::manifest;
use crate::config::source::Environment;

/// Show every problem of a configuration
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  probelet validate --config config.yaml --strict\n  helm template … | probelet validate --offline --config -"
)]
pub struct Validate {
    #[command(flatten)]
    config: ConfigFile,
    /// How to show the problems
    #[arg(long, value_enum, default_value_t = ValidateFormat::Text)]
    format: ValidateFormat,
    /// Make warnings count as errors
    #[arg(long)]
    strict: bool,
    /// Let unset variables and unreadable secret files be: a pipeline has none. What was not checked is noted
    #[arg(long)]
    offline: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ValidateFormat {
    Text,
    Json,
}

impl Validate {
    pub(super) fn execute(self, environment: &Environment) -> Exit {
        let input = match self.config.input(environment) {
            Ok(input) => input,
            Err(complaint) => return wrong_usage(&complaint),
        };
        let reports = if self.offline {
            manifest::validate(&input, &environment.offline())
        } else {
            manifest::validate(&input, environment)
        };
        let text = |report: &Report| report.text(coloured(&std::io::stdout(), environment));
        let shown = match self.format {
            ValidateFormat::Text => reports.iter().map(text).collect(),
            ValidateFormat::Json => format!("{}\n", Report::json_of(&reports)),
        };
        let is_fine = |report: &Report| report.is_valid() && !(self.strict && report.warnings() > 0);
        let valid = reports.iter().all(is_fine);
        answer(&shown, if valid { Exit::Fine } else { Exit::Unhealthy })
    }
}
