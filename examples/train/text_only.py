#!/usr/bin/env python3
"""How well the level of a caption is told without its image: by words, pairs of words and groups of letters.

    python3 examples/train/text_only.py --train captions-train.parquet --test captions-test-scenes.parquet

Chance is 0.25. What is above it is told by the wording, and a model may learn it instead of looking: --telling prints the words
and pairs that speak most for each level.
"""

import argparse
import collections

import numpy as np
import pyarrow.parquet as pq
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score


def read(path, limit):
    table = pq.read_table(path, columns=["text", "level", "changed"])
    if table.num_rows > limit:
        table = table.take(np.random.default_rng(0).permutation(table.num_rows)[:limit])
    return table["text"].to_pylist(), np.array(table["level"].to_pylist()), table["changed"].to_pylist()


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--train", required=True, help="samples of `tamis synth`")
    args.add_argument("--test", required=True, nargs="+", help="samples of other images")
    args.add_argument("--limit", type=int, default=60_000, help="captions that are learnt from")
    args.add_argument("--telling", type=int, default=0, help="print so many words that tell each level")
    args = args.parse_args()

    texts, levels, _ = read(args.train, args.limit)
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=4, sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]")
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=10, max_features=60_000, sublinear_tf=True)

    def features(texts, fits=False):
        made = [v.fit_transform(texts) if fits else v.transform(texts) for v in (words, letters)]
        lengths = np.array([[len(t) / 100, t.count(" ") / 20, t.count(".") / 4, t.count("\n") / 4] for t in texts])
        return hstack([*made, lengths]).tocsr()

    # saga and lbfgs give the same; the strength was chosen on a validation set, as whoever wants to cheat would.
    model = LogisticRegression(C=0.3, max_iter=200).fit(features(texts, True), levels)
    for path in args.test:
        texts, levels, changed = read(path, args.limit)
        chances = model.predict_proba(features(texts))
        told = chances.argmax(1)
        ends = np.isin(levels, (0, 3))
        area = roc_auc_score(levels[ends] == 3, chances[ends, 3] - chances[ends, 0])
        print(f"{path}: accuracy {np.mean(told == levels):.3f} of {len(levels)}, area under the curve of 3 against 0 {area:.3f}")
        for level in range(4):
            share = np.mean(told[levels == level] == level)
            length = np.mean([len(t) for t, l in zip(texts, levels) if l == level])
            print(f"  level {level}: {np.sum(levels == level)} captions of {length:.1f} letters, told {share:.3f}")
        counts = np.array([len(text.split()) for text in texts])
        parts = [(n, m, (counts >= n) & (counts <= m)) for n, m in ((1, 2), (3, 6), (7, 15), (16, 999))]
        right = told == levels
        print("  by words:", ", ".join(f"{n} to {m} {right[of].mean():.2f} of {of.sum()}" for n, m, of in parts if of.any()))
        kinds = collections.defaultdict(list)
        for kind, level, guess in zip(changed, levels, told):
            if level == 2:
                kinds[kind].append(guess == level)
        print("  level 2 by what is wrong:", ", ".join(f"{k} {np.mean(v):.2f} of {len(v)}" for k, v in sorted(kinds.items())))
    names = words.get_feature_names_out()
    for level in range(4) if args.telling else ():
        order = np.argsort(-model.coef_[level][: len(names)])[: args.telling]
        print(f"for level {level}:", ", ".join(f"{names[i]!r} {model.coef_[level][i]:.2f}" for i in order))


if __name__ == "__main__":
    main()
