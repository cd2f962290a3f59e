#!/usr/bin/env python3
"""Scores a corpus much larger than the memory it may take, and says how much it took.

    python3 benches/memory/run.py                      10,000 rows of 1 MB images, row groups of 1,000: 10 GB on disk
    python3 benches/memory/run.py --rows 2000          the same in small

The images are real JPEGs (those of models/tests/golden), filled up to their size with comment segments of random bytes: decoding
is cheap, every file is different, and nothing can be compressed. The model is the embedded one unless --model names
another. Peak memory is the largest resident set of the whole process, mapped files included, as the kernel counts it (Linux). The bound is
1.5 GiB plus the weights; exit status 1 if it is passed or a row has no score.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benches"))
import environment  # benches/environment.py

IMAGES = ROOT / "models" / "tests" / "golden" / "images"
EMBEDDED = ROOT / "models" / "assets" / "tiny-qwen3"
PACKAGES = ["pyarrow==26.0.1"]
GIB = 2**30
QUERIES = {
    # The images are needed for the score only.
    "score": "SELECT key, unifilter(image, text) AS score FROM '{rows}'",
    # The images go on to the answer, for the rows with an even key.
    "filter": "SELECT key, image, unifilter(image, text) AS score FROM '{rows}' WHERE key % 2 = 0 AND unifilter(image, text) > -1000",
}
COUNT = "import sys, pyarrow.parquet as pq; t = pq.read_table(sys.argv[1], columns=['score']); print([len(t), t['score'].null_count])"
EXPECTED = {"score": lambda n: n, "filter": lambda n: (n + 1) // 2}


def padded(jpeg, size, rng):
    """The JPEG with comment segments behind its first marker, `size` bytes in all."""
    out, left = [jpeg[:2]], size - len(jpeg)
    while left > 4:
        body = min(left - 4, 65_533)
        out.append(b"\xff\xfe" + struct.pack(">H", body + 2) + rng.randbytes(body))
        left -= body + 4
    return b"".join([*out, jpeg[2:]])


def write(path, rows, size, group, codec):
    """Streams the rows to a Parquet file: one row group at a time is in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = random.Random(0)
    jpegs = [p.read_bytes() for p in sorted(IMAGES.glob("*.jpg"))]
    schema = pa.schema([("key", pa.int64()), ("text", pa.string()), ("image", pa.binary())])
    part = path.with_suffix(".part")
    with pq.ParquetWriter(part, schema, compression=codec, use_dictionary=False, write_statistics=["key"]) as writer:
        for first in range(0, rows, group):
            keys = range(first, min(first + group, rows))
            texts = [f"picture number {k}, one of several that occur again and again" for k in keys]
            images = [padded(jpegs[k % len(jpegs)], size, rng) for k in keys]
            writer.write_table(pa.table({"key": list(keys), "text": texts, "image": pa.array(images, pa.binary())}, schema), row_group_size=group)
    part.rename(path)


def ensure_rows(args, python):
    """The file of rows, written by this script under that python."""
    path = args.work / f"rows-{args.rows}x{args.size}-{args.group}-{args.codec}.parquet"
    if path.exists():
        return path
    need = args.rows * args.size * 1.05
    free = shutil.disk_usage(args.work).free
    if free < need + GIB:
        sys.exit(f"{args.work} has {free / GIB:.1f} GiB free, {need / GIB + 1:.1f} GiB are needed")
    print(f"writing {path}", file=sys.stderr)
    subprocess.run([python, __file__, "--write", path, "--rows", str(args.rows), "--size", str(args.size),
                    "--group", str(args.group), "--codec", args.codec], check=True)
    return path


def measure(args, python, name, rows):
    """Runs one query; returns (seconds, peak resident bytes, rows, rows without a score)."""
    answer = args.work / f"answer-{name}.parquet"
    # Remembered scores would spare the second run the work.
    command = [args.tamis, "sql", "-q", "--set", "tamis.cache.path=off", "-o", answer, "-c", QUERIES[name].format(rows=rows)]
    command += ["--model", f"unifilter={args.model}"] if args.model else []
    for setting in args.set:
        command += ["--set", setting]
    start = time.perf_counter()
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{' '.join(map(str, command))} failed with status {os.waitstatus_to_exitcode(status)}")
    count, empty = json.loads(subprocess.run([python, "-c", COUNT, answer], check=True, capture_output=True, text=True).stdout)
    answer.unlink()
    return seconds, usage.ru_maxrss * 1024, count, empty


def parse():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rows", type=int, default=10_000)
    args.add_argument("--size", type=int, default=1_000_000, help="bytes of an image")
    args.add_argument("--group", type=int, default=1_000, help="rows of a row group")
    args.add_argument("--codec", default="snappy", choices=["snappy", "none"])
    args.add_argument("--queries", nargs="+", default=["score"], choices=list(QUERIES))
    args.add_argument("--model", type=pathlib.Path, help="a checkpoint's folder; default: the embedded one")
    args.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a session option")
    args.add_argument("--limit-gib", type=float, default=1.5, help="the bound without the weights")
    args.add_argument("--tamis", type=pathlib.Path, help="the binary; default: a release build of this checkout")
    args.add_argument("--work", type=pathlib.Path, default=ROOT / "target" / "memory")
    args.add_argument("--write", type=pathlib.Path, help=argparse.SUPPRESS)
    return args.parse_args()


def main():
    args = parse()
    if args.write:
        write(args.write, args.rows, args.size, args.group, args.codec)
        return
    args.work.mkdir(parents=True, exist_ok=True)
    if not args.tamis:
        subprocess.run(["cargo", "build", "--release", "--locked", "--bin", "tamis"], cwd=ROOT, check=True)
        args.tamis = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "tamis"
    python = environment.ensure(args.work / "venv", PACKAGES)
    rows = ensure_rows(args, python)
    weights = sum(f.stat().st_size for f in (args.model or EMBEDDED).rglob("*.safetensors"))
    bound = args.limit_gib * GIB + weights
    print("| query | rows | file | seconds | rows/s | peak memory | bound | |")
    print("|---|---|---|---|---|---|---|---|")
    failed = False
    for name in args.queries:
        seconds, peak, count, empty = measure(args, python, name, rows)
        right = count == EXPECTED[name](args.rows) and empty == 0
        good = right and peak <= bound
        failed |= not good
        verdict = "pass" if good else "too much memory" if right else f"{count} rows, {empty} without a score"
        print(f"| {name} | {args.rows} | {rows.stat().st_size / 1e9:.2f} GB | {seconds:.1f} | {args.rows / seconds:.1f} "
              f"| {peak / GIB:.2f} GiB | {bound / GIB:.2f} GiB | {verdict} |")
    sys.exit(failed)


if __name__ == "__main__":
    main()
