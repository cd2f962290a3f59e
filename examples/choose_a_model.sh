#!/bin/sh
# Which of two models agrees better with the levels that people gave, and do the rows tell? From the repository's root:
#
#     TAMIS="cargo run --" examples/choose_a_model.sh
#     examples/choose_a_model.sh labelled.parquet /models/old /models/new report
#
# Prints the report, and writes it to a folder with pictures. Without arguments it compares two tiny models with random weights.
set -eu
data=${1:-examples/corpus/captions.parquet}
old=${2:-models/assets/tiny-qwen3}
new=${3:-models/tests/golden/tiny-qwen2}
report=${4:-${TMPDIR:-/tmp}/report}
${TAMIS:-tamis} eval --data "$data" --model old="$old" --model new="$new" -o "$report"
