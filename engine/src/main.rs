//! The `tamis` command.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// An image takes megabytes that are given back a moment later. The system's allocator asks the kernel for them each time: page
/// faults were a third of decoding and resizing (`benches/pillow`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    tamis_engine::cli::main()
}
