//! The arguments of the commands that run in every pod, or every few seconds: these are read without the tables of all the
//! others, which were a tenth of what a start costs.

use std::ffi::OsString;

use clap::Args;

use super::Command;

/// The command of `arguments` (the program's name first), where it is a frequent one; nothing where it is another, or where
/// there is something to say about its arguments: that is said by the whole command line.
pub(super) fn command(arguments: &[OsString]) -> Option<Command> {
    let (_, words) = arguments.split_first()?;
    match words.first()?.to_str()? {
        "run" => alone(words).map(Command::Run),
        "ask" => alone(words).map(Command::Ask),
        _ => None,
    }
}

/// What `words`, the command's name first, say to one command.
fn alone<T: Args>(words: &[OsString]) -> Option<T> {
    let matches = T::augment_args(clap::Command::new("alone")).try_get_matches_from(words).ok()?;
    T::from_arg_matches(&matches).ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Arguments;

    #[test]
    fn a_frequent_command_is_read_as_the_whole_command_line_reads_it() {
        for (line, is_valid) in [
            ("run", true),
            ("run --config a.yaml --listen :1 --listen 127.0.0.1:2 --config-error serve --state /state", true),
            ("run -ca.yaml --listen=[::1]:80", true),
            ("ask", true),
            ("ask livez --timeout 1s --if-unreachable ok", true),
            ("ask -- -a", true),
            ("run --help", false),
            ("run -V", false),
            ("run a.yaml", false),
            ("run --listen nowhere", false),
            ("run --config", false),
            ("run help", false),
            ("ask a b", false),
            ("ask --timeout forever", false),
            ("validate", false),
            ("--version", false),
            ("", false),
        ] {
            let arguments: Vec<OsString> = format!("probelet {line}").split_whitespace().map(Into::into).collect();
            let command = command(&arguments).map(|command| format!("{command:?}"));
            assert_eq!(command.is_some(), is_valid, "{line}");
            if is_valid {
                let whole = Arguments::try_parse_from(&arguments).map(|parsed| format!("{:?}", parsed.command));
                assert_eq!(command, whole.ok(), "{line}");
            }
        }
    }
}
