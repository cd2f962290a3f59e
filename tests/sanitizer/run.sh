#!/bin/sh
# The kernels' tests under the address sanitizer: a load or a store beyond a slice ends them. Names select other tests of the
# models crate: `run.sh kernels resize`. x86-64 Linux. What inline assembly reads (AMX) is not seen; Miri knows none of these instructions.
#
#   TAMIS_SANITIZER_TARGET  where it builds (default: target/sanitizer)
set -eu

cd -- "$(dirname -- "$0")/../.."
unset RUSTC_WORKSPACE_WRAPPER
# The stable compiler ships the sanitizer's runtime and hides its flag.
export RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Zsanitizer=address'
# The dev profile leaves the models unchecked (docs/adr/0012): here assertions and overflows are looked for as well.
export CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=true CARGO_PROFILE_DEV_OVERFLOW_CHECKS=true
export CARGO_TARGET_DIR="${TAMIS_SANITIZER_TARGET:-target/sanitizer}"
# The target is named, so that build scripts and procedural macros are built without it. How fast the kernels are, the sanitizer
# does not tell.
cargo test --locked --package tamis-models --features cuda --lib --target x86_64-unknown-linux-gnu -- --skip ratio "${@:-kernels}"
