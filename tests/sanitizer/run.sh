#!/bin/sh
# The tests of what is unsafe (kernels, resizing, the tiny models through them) under the address sanitizer: a load or a store
# beyond a slice ends them. x86-64 Linux. What inline assembly reads (AMX) is not seen; Miri knows none of these instructions.
#
#   TAMIS_SANITIZER_TARGET  where it builds (default: target/sanitizer)
set -eu

cd -- "$(dirname -- "$0")/../.."
unset RUSTC_WORKSPACE_WRAPPER
# The stable compiler ships the sanitizer's runtime and hides its flag.
export RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Zsanitizer=address'
export CARGO_TARGET_DIR="${TAMIS_SANITIZER_TARGET:-target/sanitizer}"
# Named, so that build scripts and procedural macros are built without it.
cargo test --locked --package tamis-models --lib --target x86_64-unknown-linux-gnu -- "${@:-kernels}"
