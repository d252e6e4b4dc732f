//! `probelet completions`: scripts by which shells complete the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, Exit, answer};

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  probelet completions bash > /etc/bash_completion.d/probelet
  probelet completions zsh > \"${fpath[1]}/_probelet\"
  probelet completions fish > ~/.config/fish/completions/probelet.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(self) -> Exit {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "probelet", &mut script);
        answer(&String::from_utf8_lossy(&script), Exit::Fine)
    }
}
