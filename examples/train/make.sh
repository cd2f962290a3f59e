#!/usr/bin/env bash
# Makes the small UniFilter from an empty folder: drawings, pictures, captions, a tokenizer, two stages of training, figures.
#
#     examples/train/make.sh                     # all of it, into /tmp/tamis-train
#     SCALE=small examples/train/make.sh         # a trial of every step in minutes; its model is good for nothing
#
# WORK: the folder. TAMIS: the program. PYTHON: a Python with requirements.txt; else one is made in WORK. What is there already is not
# made again: to begin a step anew, remove what it made.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
scale=${SCALE:-full}
work=${WORK:-/tmp/tamis-train$([ "$scale" = full ] || echo "-$scale")}
mkdir -p "$work"
cd "$here/../.."

case $scale in
    full) scenes=40000 tests=500 variants=3 papers=4000 stage_1=(--epochs 2) stage_2=(--epochs 2) ;;
    small) scenes=300 tests=40 variants=1 papers=40 stage_1=(--steps 4) stage_2=(--steps 4) ;;
    *) echo "SCALE is $scale; expected full or small" >&2; exit 2 ;;
esac

if [ -z "${TAMIS:-}" ]; then
    cargo build --release -p tamis-cli
    TAMIS=target/release/tamis
fi
if [ -z "${PYTHON:-}" ]; then
    PYTHON=$work/venv/bin/python
    [ -x "$PYTHON" ] || python3 -m venv "$work/venv"
    "$PYTHON" -m pip install --quiet -r "$here/requirements.txt"
fi

# A step and what it makes.
step() {
    local made=$1
    shift
    [ -e "$made" ] && return
    echo "== $made" >&2
    "$@"
}

# 1. Drawings: the only step that needs the network. The packages may lie elsewhere, for several runs.
packages=${PACKAGES:-$work/packages}
"$PYTHON" "$here/fetch.py" --to "$packages"

# 2. Pictures, and what is known of them.
step "$work/test-wording.parquet" \
    "$PYTHON" "$here/pictures.py" --packages "$packages" --to "$work" --scenes "$scenes" --tests "$tests" --seed 1

# 3. Captions of four levels by rules, with another seed for each table; and documents.
captions() {
    step "$work/captions-$1.parquet" "$TAMIS" synth --data "$work/$1.parquet" -o "$work/captions-$1.unfinished.parquet" \
        --provider rules --seed "$2" --variants "$3"
    [ -e "$work/captions-$1.parquet" ] || mv "$work/captions-$1.unfinished.parquet" "$work/captions-$1.parquet"
}
documents() {
    step "$work/documents-$1.parquet" "$TAMIS" synth --data "SELECT * FROM '$work/$1.parquet' LIMIT $3" \
        -o "$work/documents-$1.unfinished.parquet" --provider rules --seed "$2" --documents 3
    [ -e "$work/documents-$1.parquet" ] || mv "$work/documents-$1.unfinished.parquet" "$work/documents-$1.parquet"
}
captions train 11 "$variants"
captions validation 12 1
captions test-scenes 13 1
captions test-style 14 1
captions test-objects 15 1
documents train 16 "$papers"
documents validation 17 "$tests"
documents test-scenes 18 "$tests"

# 4. What the levels are told by without an image: chance is 0.25.
step "$work/text-only.txt" sh -c "'$PYTHON' '$here/text_only.py' --train '$work/captions-train.parquet' \
    --test '$work/captions-test-scenes.parquet' '$work/captions-test-style.parquet' > '$work/text-only.unfinished.txt' \
    && mv '$work/text-only.unfinished.txt' '$work/text-only.txt'"
cat "$work/text-only.txt"

# 5. A tokenizer, and the configuration of a model without weights.
step "$work/begin/preprocessor_config.json" \
    "$PYTHON" "$here/tokenizer.py" --texts "$work/captions-train.parquet" --to "$work/begin"

# How both stages learn: Muon for the matrices of blocks, in batches of eight to thirty-two pictures with all of their captions.
learns=(--optimizer muon --muon-rate 4 --weight-decay 0.05 --vision-rate 0.5 --shift 4 --evaluate-every 500)

# 6. Stage 1: all parts from scratch learn to write the true captions, so that the tower sees what words speak of.
step "$work/stage-1/report/report.md" "$TAMIS" train --stage 1 --model "$work/begin" --from-scratch --output "$work/stage-1" \
    --unfreeze vision,language --cache "$work/cache" --resume "${learns[@]}" --batch-size 96 --learning-rate 1e-3 "${stage_1[@]}" ${STAGE_1:-} \
    --data "SELECT image, text, uid FROM '$work/captions-train.parquet' WHERE level = 3" \
    --validation "SELECT image, text, uid FROM '$work/captions-validation.parquet' WHERE level = 3"

# 7. Stage 2: all parts learn the levels.
step "$work/stage-2/report/report.md" "$TAMIS" train --stage 2 --model "$work/stage-1" --output "$work/stage-2" \
    --unfreeze vision --cache "$work/cache" --resume --save-dtype bf16 "${learns[@]}" --batch-size 192 \
    --learning-rate 8e-4 --next-token 0.5 "${stage_2[@]}" ${STAGE_2:-} \
    --data "SELECT image, text, level, uid FROM '$work/captions-train.parquet'" \
    --data "SELECT images, texts, level, uid FROM '$work/documents-train.parquet'" \
    --validation "SELECT image, text, level, uid FROM '$work/captions-validation.parquet'"

# 8. Figures, on what was kept back.
for table in captions-test-scenes captions-test-style captions-test-objects test-wording documents-test-scenes; do
    by=$([ "$table" = test-wording ] && echo "--by wording" || true)
    step "$work/eval/$table" "$TAMIS" eval --data "$work/$table.parquet" --model "default=$work/stage-2" \
        --output "$work/eval/$table" $by
done
echo "the model: $work/stage-2; its figures: $work/eval" >&2
