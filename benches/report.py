#!/usr/bin/env python3
"""The results of `cargo bench` as one JSON document, for a machine to keep and compare.

    cargo bench && python3 benches/report.py [--target DIR] > results.json
    python3 benches/report.py --against results.json       ratios old / new of the medians; above 1, it has become faster

Criterion leaves a folder a benchmark under target/criterion; this reads their estimates (nanoseconds) and throughputs.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def results(folder):
    for file in sorted(folder.glob("**/new/benchmark.json")):
        benchmark = json.loads(file.read_text())
        estimates = json.loads(file.with_name("estimates.json").read_text())
        yield benchmark["full_id"], {
            "median_ns": estimates["median"]["point_estimate"],
            "low_ns": estimates["median"]["confidence_interval"]["lower_bound"],
            "high_ns": estimates["median"]["confidence_interval"]["upper_bound"],
            "throughput": benchmark.get("throughput"),
        }


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--target", type=pathlib.Path, default=pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")))
    args.add_argument("--against", type=pathlib.Path)
    args = args.parse_args()
    found = dict(results(args.target / "criterion"))
    if not found:
        sys.exit(f"no results under {args.target / 'criterion'}; run cargo bench first")
    if args.against:
        before = json.loads(args.against.read_text())["benchmarks"]
        for name in sorted(found.keys() & before.keys()):
            print(f"{before[name]['median_ns'] / found[name]['median_ns']:.2f}  {name}")
        return
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    about = {"commit": commit, "date": time.strftime("%Y-%m-%d"), "machine": platform.machine(), "cpus": os.cpu_count()}
    json.dump(about | {"benchmarks": found}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
