#!/usr/bin/env bash
# Prints what CHANGELOG.md says of a version, the text of its release. No such version is an error.
#
#   notes.sh VERSION
set -euo pipefail

awk -v heading="## [$1]" '
    /^## / || /^\[/ { inside = 0 }
    inside { print; if (NF) found = 1 }
    index($0, heading) == 1 { inside = 1 }
    END { exit !found }
' "$(dirname -- "$0")/../CHANGELOG.md" || { echo "CHANGELOG.md says nothing of $1" >&2; exit 1; }
