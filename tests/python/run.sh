#!/bin/sh
# Runs the tests of the server with the Python clients that people use. Arguments go to pytest.
#
#   TAMIS            the binary (default: target/debug/tamis)
#   TAMIS_TEST_VENV  where the Python environment is kept (default: ~/.cache/tamis-ci/python)
#   TAMIS_LARGE=1    reads a result of 1 GB instead of 300 MB
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$(dirname -- "$here")")
. "$here/../venv.sh"
TAMIS=${TAMIS:-$root/target/debug/tamis}
if ! [ -x "$TAMIS" ]; then
    echo "there is no $TAMIS: cargo build --workspace makes it, or TAMIS names another" >&2
    exit 2
fi
TAMIS=$(realpath -- "$TAMIS")
export TAMIS

venv=${TAMIS_TEST_VENV:-$HOME/.cache/tamis-ci/python}
# shellcheck disable=SC2046  # several packages
venv "$venv" $(grep -v '^#' -- "$here/requirements.txt")

cd -- "$root"
exec "$venv/bin/python" -B -m pytest -p no:cacheprovider --rootdir "$here" "$here" "$@"
