#!/usr/bin/env python3
"""One build of `tamis` against another, in turns on this machine: scoring, decoding, scans, planning.

    python3 benches/builds/run.py TAMIS AGAINST              such as target/debug/tamis target/release/tamis

Each job runs --repeat times with each program, in turns; the ratio is the median of AGAINST's times over TAMIS's, pair by pair: above 1,
TAMIS is faster. Times are of the whole process. Exit status 1 if answers differ (scores by more than 2e-5) or a ratio is below --at-least.

`score` runs the built-in model over 640 x 480 JPEGs, `decode` prepares the same rows for a model that takes no time, the scans are those
of benches/scan, `csv`, `quoted` and `jsonl` read a quarter of their rows as text, `plan` plans a query of many parts. Needs python3 and 1 GB of disk; makes what it needs in target/builds.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benches"))
import environment  # benches/environment.py
from scan import run as scan  # benches/scan/run.py

PACKAGES = ["pyarrow==26.0.1", "pillow==11.3.0"]
SCORES = "SELECT key, unifilter(image, text) AS score FROM '{}' ORDER BY key"
NOTHING = ["--model", "unifilter=stand-in://0ms"]


def write_images(path, rows):
    """Runs inside the environment."""
    import io
    import random

    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    rng, images = random.Random(0), []
    for _ in range(rows):
        small = Image.frombytes("RGB", (80, 60), rng.randbytes(80 * 60 * 3))
        out = io.BytesIO()
        small.resize((640, 480), Image.BICUBIC).save(out, "JPEG", quality=85)
        images.append(out.getvalue())
    columns = {"key": list(range(rows)), "text": [f"a photo of thing {n} on a street" for n in range(rows)], "image": images}
    pq.write_table(pa.table(columns), path)


def run(program, options, query):
    command = [program, "sql", "-q", "--format", "ndjson", "--set", "tamis.cache.path=off", *options, "-c", query]
    begun = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return time.perf_counter() - begun, [json.loads(line) for line in done.stdout.splitlines()]


def same(a, b):
    numbers = isinstance(a, float) and isinstance(b, float)
    return abs(a - b) <= max(2e-5, 1e-9 * abs(b)) if numbers else a == b


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("tamis", type=pathlib.Path)
    args.add_argument("against", type=pathlib.Path)
    args.add_argument("--rows", type=int, default=4_000_000, help="of the scans")
    args.add_argument("--images", type=int, default=256)
    args.add_argument("--repeat", type=int, default=7)
    args.add_argument("--at-least", type=float, default=0.97)
    args.add_argument("--only", nargs="*", help="names of jobs")
    args.add_argument("--work", type=pathlib.Path, default=ROOT / "target" / "builds")
    args = args.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    python = environment.ensure(args.work / "venv", PACKAGES)

    def make(name, module, call):
        path = args.work / name
        if not path.exists():
            code = f"import sys, pathlib; sys.path[:0] = [{str(module)!r}, {str(ROOT / 'benches')!r}]; import run; run.{call.format(repr(str(path)))}"
            subprocess.run([python, "-c", code], check=True)
        return path

    here = pathlib.Path(__file__).parent
    images = make(f"images-{args.images}.parquet", here, f"write_images({{}}, {args.images})")
    rows = make(f"rows-{args.rows}.parquet", here.parent / "scan", f"write(pathlib.Path({{}}), {args.rows})")
    texts = {"texts.csv": "text", "quoted.csv": "concat(text, ', \"so\" it is') AS text", "texts.jsonl": "text"}
    for name, text in texts.items():
        if not (args.work / name).exists():
            query = f"SELECT key, {text}, width, height FROM '{rows}' LIMIT {args.rows // 4}"
            subprocess.run([args.against, "sql", "-q", "-o", args.work / name, "-c", query], check=True)
    read = "SELECT count(*) AS n, sum(width) AS w, sum(length(text)) AS l FROM '{}'"
    parts = " UNION ALL ".join(f"SELECT key, text, width * {n} AS w FROM '{rows}' WHERE height > {n} AND text LIKE '%{n}%'" for n in range(40))
    jobs = {
        "score": ([], SCORES.format(images)),
        "decode": (NOTHING, SCORES.format(images)),
        **{name: ([], query.format(rows)) for name, query in scan.QUERIES.items()},
        "csv": ([], read.format(args.work / "texts.csv")),
        "quoted": ([], read.format(args.work / "quoted.csv")),
        "jsonl": ([], read.format(args.work / "texts.jsonl")),
        "plan": ([], f"EXPLAIN SELECT w, count(*) FROM ({parts}) GROUP BY w ORDER BY 2 DESC LIMIT 5"),
        "start": ([], "SELECT 1"),
    }
    print("| job | against, s | tamis, s | ratio | smallest and largest |\n|---|---|---|---|---|")
    failed = False
    for name, (options, query) in jobs.items():
        if args.only and name not in args.only:
            continue
        times = {"against": [], "tamis": []}
        for _ in range(args.repeat):
            seconds, expected = run(args.against, options, query)
            times["against"].append(seconds)
            seconds, found = run(args.tamis, options, query)
            times["tamis"].append(seconds)
            equal = len(found) == len(expected) and all(same(a[k], b[k]) for a, b in zip(found, expected) for k in b)
            if not equal and name not in ("plan",):
                sys.exit(f"the answers to {query!r} differ: {found[:3]} and {expected[:3]}")
        ratios = sorted(a / b for a, b in zip(times["against"], times["tamis"]))
        ratio = statistics.median(ratios)
        failed |= ratio < args.at_least
        middle = {side: statistics.median(seconds) for side, seconds in times.items()}
        print(f"| {name} | {middle['against']:.3f} | {middle['tamis']:.3f} | {ratio:.2f} | {ratios[0]:.2f}, {ratios[-1]:.2f} |", flush=True)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
