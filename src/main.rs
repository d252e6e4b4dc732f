//! The `probelet` command: parses arguments, runs one command, returns its exit code.

fn main() -> std::process::ExitCode {
    probelet::cli::run(std::env::args_os())
}
