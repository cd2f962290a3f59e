#!/usr/bin/env python3
"""Queries that call no model, by `tamis sql` and by DataFusion alone, in turns on this machine: what planning for models costs those who use none.

    python3 benches/scan/run.py                              against DataFusion's Python package, which it installs
    python3 benches/scan/run.py --datafusion-cli PATH        against that program

Rows are synthetic metadata of an image corpus: a caption, width, height, a similarity, a domain. Each query runs --repeat times on each
side, in turns, and the fastest counts. Of a program's time that of `SELECT 1` is taken off; the Python package's clock covers
registering the file, planning and execution. The ratio is DataFusion's time over Tamis's: above 1, Tamis is faster; exit status 1 if the
answers differ or a query's ratio is below --at-least.

Needs python3 and 1 GB of disk; makes what it needs in target/scan.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benches"))
import environment  # benches/environment.py

# The DataFusion of this checkout's Cargo.lock, as near as there is a package.
PACKAGES = ["datafusion==55.0.0", "pyarrow==26.0.1"]
QUERIES = {
    "count": "SELECT count(*) AS n FROM '{}' WHERE width >= 512 AND height >= 512",
    "average": "SELECT avg(similarity) AS mean, max(width * height) AS largest FROM '{}' WHERE similarity > 0.1",
    "like": "SELECT count(*) AS n FROM '{}' WHERE text LIKE '%a dog % tree%'",
    "groups": "SELECT domain, count(*) AS n FROM '{}' GROUP BY domain ORDER BY n DESC, domain LIMIT 10",
    "distinct": "SELECT count(DISTINCT text) AS n FROM '{}'",
    "top": "SELECT key, text FROM '{}' ORDER BY similarity DESC, key LIMIT 100",
}
IN_PYTHON = """
import json, sys, time
from datafusion import SessionContext
for line in sys.stdin:
    query, path = json.loads(line)
    begun = time.perf_counter()
    context = SessionContext()
    context.register_parquet("t", path)
    batches = context.sql(query.format(path).replace(f"'{path}'", "t")).collect()
    seconds = time.perf_counter() - begun
    rows = [row for batch in batches for row in batch.to_pylist()]
    print(json.dumps([seconds, rows]), flush=True)
"""


def write(path, rows):
    """Runs inside the environment."""
    import random

    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = random.Random(0)
    words = "a the red old small dog cat tree house on under photo of street with two and sky blue near".split()
    captions = [" ".join(rng.choices(words, k=rng.randint(4, 24))) for _ in range(200_000)]
    domains = [f"site{n}.example" for n in range(3_000)]
    part = path.with_suffix(".part")
    writer = None
    for first in range(0, rows, 250_000):
        keys = range(first, min(first + 250_000, rows))
        table = pa.table({
            "key": pa.array(keys, pa.int64()),
            "text": [f"{rng.choice(captions)} {key % 1_000}" for key in keys],
            "width": pa.array((rng.randint(64, 2_048) for _ in keys), pa.int32()),
            "height": pa.array((rng.randint(64, 2_048) for _ in keys), pa.int32()),
            "similarity": pa.array((rng.random() for _ in keys), pa.float64()),
            "domain": [rng.choice(domains) for _ in keys],
        })
        writer = writer or pq.ParquetWriter(part, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=125_000)
    writer.close()
    part.rename(path)


class Program:
    """A command that takes a query and prints its rows as JSON, a line each."""

    def __init__(self, *command):
        self.command = command
        self.start = min(self.run("SELECT 1")[0] for _ in range(5))

    def run(self, query):
        begun = time.perf_counter()
        done = subprocess.run([*self.command, query], check=True, stdout=subprocess.PIPE, text=True)
        return time.perf_counter() - begun, [json.loads(line) for line in done.stdout.splitlines()]

    def time(self, query, path):
        seconds, rows = self.run(query.format(path))
        return seconds - self.start, rows


class Package:
    """DataFusion in a Python process that stays."""

    def __init__(self, python):
        self.process = subprocess.Popen([python, "-c", IN_PYTHON], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def time(self, query, path):
        self.process.stdin.write(json.dumps([query, str(path)]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def close(ours, theirs):
    def same(a, b):
        return abs(a - b) <= 1e-9 * abs(b) if isinstance(b, float) else a == b

    return len(ours) == len(theirs) and all(a.keys() == b.keys() and all(same(a[k], b[k]) for k in a) for a, b in zip(ours, theirs))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--tamis", type=pathlib.Path, help="the binary; default: a release build of this checkout")
    args.add_argument("--datafusion-cli", type=pathlib.Path)
    args.add_argument("--rows", type=int, default=4_000_000)
    args.add_argument("--repeat", type=int, default=7)
    args.add_argument("--at-least", type=float, default=0.9)
    args.add_argument("--work", type=pathlib.Path, default=ROOT / "target" / "scan")
    args.add_argument("--json", type=pathlib.Path, help="write the figures here")
    args = args.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    tamis = args.tamis
    if tamis is None:
        subprocess.run(["cargo", "build", "--release", "--locked", "--bin", "tamis"], cwd=ROOT, check=True)
        tamis = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "tamis"
    python = environment.ensure(args.work / "venv", PACKAGES)
    path = args.work / f"rows-{args.rows}.parquet"
    if not path.exists():
        code = f"import sys, pathlib; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r}); import run; run.write(pathlib.Path({str(path)!r}), {args.rows})"
        subprocess.run([python, "-c", code], check=True)
    ours = Program(tamis, "sql", "-q", "--format", "ndjson", "-c")
    theirs = Program(args.datafusion_cli, "-q", "--format", "nd-json", "-c") if args.datafusion_cli else Package(python)

    print(f"{args.rows} rows, {path.stat().st_size / 1e6:.0f} MB; `tamis sql -c 'SELECT 1'` takes {ours.start * 1e3:.0f} ms\n")
    print("| query | DataFusion, s | tamis, s | ratio |\n|---|---|---|---|")
    found, failed = [], False
    for name, query in QUERIES.items():
        times = {"ours": [], "theirs": []}
        for _ in range(args.repeat):
            for side, runner in (("theirs", theirs), ("ours", ours)):
                seconds, rows = runner.time(query, path)
                times[side].append(seconds)
                if side == "theirs":
                    expected = rows
            if not close(rows, expected):
                sys.exit(f"the answers to {query.format(path)!r} differ: {rows[:3]} and {expected[:3]}")
        fastest = {side: min(seconds) for side, seconds in times.items()}
        if min(fastest.values()) <= 0.005:
            sys.exit(f"{name} is over in no time: take more --rows")
        ratio = fastest["theirs"] / fastest["ours"]
        failed |= ratio < args.at_least
        print(f"| {name} | {fastest['theirs']:.3f} | {fastest['ours']:.3f} | {ratio:.2f} |", flush=True)
        found.append({"query": name, "datafusion_s": fastest["theirs"], "tamis_s": fastest["ours"], "ratio": ratio})
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
