#!/usr/bin/env bash
# Builds the Python wheel, installs it where nothing else is, runs the README's first query from there, and removes it.
#
# The wheel is a debug build's, in cargo's target folder: what `cargo build --workspace --all-targets` or the tests have
# compiled there, with the same variables set, is not compiled again.
#
#   TAMIS_TEST_VENV  where maturin is kept (default: ~/.cache/tamis-ci/wheel)
set -euo pipefail

cd -- "$(dirname -- "$0")/../.."
root=$PWD
. tests/venv.sh

fail() { echo "error: $1" >&2; exit 1; }

# The version that people build with.
maturin=$(sed -n 's/^requires = \["\(maturin==.*\)"\]$/\1/p' pyproject.toml)
[ -n "$maturin" ] || fail 'pyproject.toml names no version of maturin'
venv=${TAMIS_TEST_VENV:-$HOME/.cache/tamis-ci/wheel}
# That pip is the first which looks after other environments.
venv "$venv" 'pip>=22.3' "$maturin"

# Where cargo builds: a debug program is too large for a /tmp that lies in memory.
target=${CARGO_TARGET_DIR:-$root/target}
mkdir -p -- "$target"
scratch=$(mktemp -d -- "$target/wheel-XXXXXX")
trap 'rm -rf -- "$scratch"' EXIT

echo '== building the wheel'
# Stored, not compressed: it is unpacked again at once.
"$venv/bin/maturin" build --profile dev --locked --compression-method stored --out "$scratch/wheels"
wheels=("$scratch"/wheels/*)
wheel=${wheels[0]##*/}
[ "${#wheels[@]}" -eq 1 ] || fail "expected one wheel: ${wheels[*]}"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
# Any Python 3, but this system and this CPU alone.
case $wheel in
    tamis-"$version"-py3-none-any.whl) fail "$wheel says that it runs anywhere" ;;
    tamis-"$version"-py3-none-*_"$(uname -m)".whl) echo "$wheel" ;;
    *) fail "$wheel is not named as it should be" ;;
esac

echo '== installing it'
# Without a pip of its own, which would take longer than all the rest; maturin's neighbour looks after it.
python3 -m venv --without-pip "$scratch/fresh"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --python "$scratch/fresh/bin/python" "$@"; }
pip install --quiet --no-index --no-deps "${wheels[0]}"
packaging/try.py "$scratch/fresh/bin/tamis"

echo '== removing it'
pip uninstall --quiet --yes tamis
left=$(find "$scratch/fresh" -iname '*tamis*')
[ -z "$left" ] || fail "removing it left $left"
