#!/usr/bin/env bash
# Everything that is to be known of a GPU, in one call: see run.py.
#   benches/gpu/run.sh TAMIS [options of run.py]      TAMIS: a release build of the command
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tamis=${1:?the tamis binary, built with --release}
shift
# CUDA's libraries, from wherever PyTorch's wheels put them.
libraries=$(python3 -c 'import glob, os, site
print(":".join(sorted({os.path.dirname(f) for s in site.getsitepackages() for f in glob.glob(f"{s}/nvidia/**/lib*.so*", recursive=True)})))')
export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
exec python3 "$here/run.py" --tamis "$tamis" "$@"
