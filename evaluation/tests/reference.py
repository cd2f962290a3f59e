"""Writes reference.json: labels and scores with the figures that scikit-learn, SciPy and NumPy give for them.

    python3 -m venv /tmp/reference && /tmp/reference/bin/pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
    /tmp/reference/bin/python evaluation/tests/reference.py
"""

import json
import math
import pathlib
import platform
import warnings

import numpy as np
import scipy
import sklearn
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    mean_squared_error,
    precision_recall_fscore_support,
    roc_auc_score,
)

LEVELS = [0, 1, 2, 3]
RESAMPLES = 4000


def predictions(scores):
    """Python's own round, of the score held between 0 and 3."""
    return np.array([round(min(max(float(score), 0.0), 3.0)) for score in scores])


def defined(value):
    return None if math.isnan(value) else float(value)


def auc(labels, scores, negatives):
    rows = np.isin(labels, [3, *negatives])
    is_best = labels[rows] == 3
    return float(roc_auc_score(is_best, scores[rows])) if 0 < is_best.sum() < len(is_best) else None


def figures(labels, scores):
    predicted = predictions(scores)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "mse": float(mean_squared_error(labels, scores)),
        "spearman": defined(spearmanr(scores, labels).statistic),
        "kendall": defined(kendalltau(scores, labels, variant="b").statistic),
        "auc_3_vs_rest": auc(labels, scores, [0, 1, 2]),
        "auc_3_vs_0": auc(labels, scores, [0]),
    }


def calibration_error(labels, scores):
    edges = np.arange(1, 12) * 0.25
    bins = np.digitize(scores, edges)
    error = 0.0
    for bin in np.unique(bins):
        rows = bins == bin
        error += rows.mean() * abs(scores[rows].mean() - labels[rows].mean())
    return float(error)


def curve(labels, scores):
    points = []
    for threshold in sorted(set(scores.tolist()), reverse=True):
        kept = labels[scores >= threshold]
        points.append([threshold, len(kept) / len(labels), float((kept >= 2).mean()), float((kept == 3).mean())])
    return points


def intervals(labels, scores, other, random):
    """Percentile intervals of some figures, and of their differences to those of other scores of the same rows."""
    names = ["accuracy", "spearman", "auc_3_vs_rest", "auc_3_vs_0"]
    own, differences = {name: [] for name in names}, {name: [] for name in names}
    for _ in range(RESAMPLES):
        rows = random.integers(0, len(labels), len(labels))
        a, b = figures(labels[rows], scores[rows]), figures(labels[rows], other[rows])
        for name in names:
            own[name].append(a[name])
            differences[name].append(b[name] - a[name])
    both = lambda values: {name: np.percentile(values[name], [2.5, 97.5]).tolist() for name in names}
    return both(own), both(differences)


def cases(random):
    labels = random.integers(0, 4, 300)
    noisy = labels + random.normal(0, 1, 300)
    yield "ties, halves and scores beyond the labels", labels, np.round(noisy * 2) / 2
    labels = random.choice(4, 400, p=[0.1, 0.2, 0.3, 0.4])
    yield "distinct scores of 32 bits", labels, (labels * 0.7 + random.normal(0.4, 0.6, 400)).astype(np.float32).astype(float)
    labels = random.integers(1, 4, 200)
    yield "labels without 0, predictions without 3", labels, np.clip(labels * 0.4 + random.normal(0, 0.5, 200), -1, 2.4)
    labels = random.integers(0, 3, 150)
    yield "no label 3", labels, labels + random.normal(0, 0.5, 150)
    labels = random.integers(0, 4, 100)
    yield "one score", labels, np.full(100, 1.5)
    yield "one label", np.full(100, 2), random.normal(2, 1, 100)
    yield "order reversed", labels, 3 - labels + np.round(random.normal(0, 0.3, 100), 1)
    yield "five rows", np.array([0, 1, 3, 2, 3]), np.array([0.5, 1.5, 2.5, 2.5, -0.0])
    yield "two rows", np.array([0, 3]), np.array([2.0, 1.0])


def main():
    warnings.simplefilter("ignore")
    random = np.random.default_rng(20261130)
    found = []
    for name, labels, scores in cases(random):
        found.append({
            "name": name,
            "labels": labels.tolist(),
            "scores": scores.tolist(),
            "figures": figures(labels, scores),
            "confusion": confusion_matrix(labels, predictions(scores), labels=LEVELS).tolist(),
            "calibration_error": calibration_error(labels, scores),
            "curve": curve(labels, scores) if len(set(scores.tolist())) <= 200 else None,
        })
    labels, scores = (np.array(found[1][key]) for key in ("labels", "scores"))
    other = scores + random.normal(0, 0.4, len(scores))
    own, differences = intervals(labels, scores, other, random)
    reference = {
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "cases": found,
        "bootstrap": {
            "labels": labels.tolist(),
            "scores": scores.tolist(),
            "other": other.tolist(),
            "resamples": RESAMPLES,
            "intervals": own,
            "differences": differences,
        },
    }
    target = pathlib.Path(__file__).with_name("reference.json")
    lines = json.dumps(reference, separators=(",", ":"))
    target.write_text(lines.replace('{"name":', '\n{"name":').replace('"bootstrap":', '\n"bootstrap":') + "\n")


main()
