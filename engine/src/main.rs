//! The `tamis` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    tamis_engine::cli::main()
}
