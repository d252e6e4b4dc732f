//! A file that stands alone on the command line, where `--config` is meant.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Error};

use super::Arguments;

/// The `error` of clap about these `arguments`, with what to write where one of them is a configuration file.
pub(super) fn advised(mut error: Error, arguments: &[OsString]) -> Error {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return error };
    let command = arguments.get(1).and_then(|name| name.to_str()).unwrap_or_default();
    if error.kind() == ErrorKind::UnknownArgument && !word.starts_with('-') && takes_config(command) {
        let tip = format!("name the file with `--config`: `probelet {command} --config {}`", quoted(word));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn takes_config(command: &str) -> bool {
    let arguments = Arguments::command();
    let command = arguments.find_subcommand(command);
    command.is_some_and(|command| command.get_arguments().any(|argument| argument.get_id() == "config"))
}

/// `word` as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { "FILE".to_owned() }
}
