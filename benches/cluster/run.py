#!/usr/bin/env python3
"""How a cluster scales, on one machine: 1, 2, 4, 8 executor processes whose device is a stand-in that sleeps.

    benches/cluster/run.py --tamis target/release/tamis

The stand-in (`stand-in://300ms`) prepares rows as a model does and sleeps a fixed time for each pass, so that the processors
of the machine do not decide. Prints a table and, last, JSON. Needs nothing but Python.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "examples/corpus/captions.parquet"


class Cluster:
    """A scheduler and its executors."""

    def __init__(self, tamis, folder, executors, slots, model):
        self.tamis, self.folder, self.processes = tamis, Path(folder), []
        self.env = dict(os.environ, XDG_CACHE_HOME=str(folder), RUST_LOG="warn,tamis_cluster=info,tamis_cli=info")
        log = self.start("scheduler", ["scheduler", "--bind", "127.0.0.1:0"])
        self.url = wait(lambda: match(r"listening at (\S+)", log))
        for number in range(executors):
            args = ["executor", "--scheduler", self.url, "--slots", str(slots), "--set", "tamis.cache.path=off"]
            self.start(f"executor-{number}", args + ["--model", f"unifilter={model}"])
        wait(lambda: self.get("/readyz") == f"{executors} executors\n")

    def start(self, name, args):
        log = self.folder / f"{name}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen([self.tamis, *args], cwd=ROOT, env=self.env, stderr=out, stdout=out)
        self.processes.append(process)
        return log

    def get(self, path):
        try:
            return urllib.request.urlopen(self.url + path, timeout=5).read().decode()
        except OSError:
            return None

    def run(self, query, *options):
        """Runs a query; its rows and how long it took."""
        args = [self.tamis, "sql", "-q", "--remote", self.url, "--format", "csv", *options, "-c", query]
        began = time.monotonic()
        done = subprocess.run(args, cwd=ROOT, env=self.env, check=True, capture_output=True, text=True)
        return done.stdout.splitlines()[1:], time.monotonic() - began

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()


def match(pattern, log):
    found = re.search(pattern, log.read_text())
    return found and found.group(1)


def wait(is_so, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = is_so()
        if found:
            return found
        time.sleep(0.05)
    sys.exit("a server did not start")


def middle(values):
    return sorted(values)[len(values) // 2]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tamis", default=str(ROOT / "target/release/tamis"))
    parser.add_argument("--executors", default="1,2,4,8")
    parser.add_argument("--captions", type=int, default=24, help="captions over each of the corpus' small images")
    parser.add_argument("--pass-ms", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    sizes = [int(size) for size in args.executors.split(",")]
    result = {"pass_ms": args.pass_ms, "processors": os.cpu_count(), "scaling": []}
    with tempfile.TemporaryDirectory() as folder:
        rows_file = f"{folder}/rows.parquet"
        make = (
            f"SELECT concat(uid, '-', s.value) AS uid, image, concat(text, ' ', s.value) AS text, width FROM '{CORPUS}' AS c "
            f"CROSS JOIN generate_series(1, {args.captions}) AS s WHERE note IS NULL AND width <= 128"
        )
        subprocess.run([args.tamis, "sql", "-q", "-o", rows_file, "-c", make], check=True, cwd=ROOT)
        query = f"SELECT count(unifilter(image, text)) AS n FROM '{rows_file}'"
        first = None
        for size in sizes:
            with Cluster(args.tamis, folder, size, 2, f"stand-in://{args.pass_ms}ms") as cluster:
                cluster.run("SELECT 1")
                times, rows = [], None
                for _ in range(args.rounds if size > 1 else 1):
                    answer, seconds = cluster.run(query)
                    rows, times = int(answer[0]), times + [seconds]
            speed = rows / middle(times)
            first = first or speed
            row = {"executors": size, "rows": rows, "rows_per_second": round(speed, 1), "ratio": round(speed / first, 2)}
            result["scaling"].append(row)
            print(f"{size:2} executors: {speed:7.1f} rows/s, {row['ratio']:5.2f} times {sizes[0]}", file=sys.stderr)
        with Cluster(args.tamis, folder, 1, 2, f"stand-in://{args.pass_ms}ms") as cluster:
            result.update(costs(cluster, rows_file, args.rounds))
    print(json.dumps(result))


def costs(cluster, rows_file, rounds):
    """What a task costs: the same query in few and in many partitions."""

    def seconds(query, partitions):
        options = ("--set", f"datafusion.execution.target_partitions={partitions}")
        options += ("--set", "datafusion.optimizer.repartition_file_min_size=1")
        return middle([cluster.run(query, *options)[1] for _ in range(rounds)])

    few, many = 16, 256
    scan = f"SELECT uid FROM '{rows_file}' WHERE width < 0"
    task = (seconds(scan, many) - seconds(scan, few)) / (many - few)
    alone = seconds("SELECT 1", few)
    print(f"SELECT 1: {alone * 1e3:.0f} ms; a task: {task * 1e3:.2f} ms of the whole", file=sys.stderr)
    return {"select_1_ms": round(alone * 1e3), "task_ms": round(task * 1e3, 2)}


if __name__ == "__main__":
    main()
