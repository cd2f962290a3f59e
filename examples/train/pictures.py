#!/usr/bin/env python3
"""Makes tables of pictures and of what is known of them, for `tamis synth` to write captions to.

    python3 examples/train/pictures.py --packages /tmp/tamis-train/packages --to /tmp/tamis-train --scenes 40000

The same packages, seed and numbers give the same pictures. README.md says what is kept back for which table.
"""

import argparse
import json
import multiprocessing
import pathlib
import time

import pyarrow as pa
import pyarrow.parquet as pq

import art
import vocabulary
import wording
from scenes import Composer

SCHEMA = pa.schema([
    pa.field("uid", pa.string(), nullable=False),
    ("image", pa.binary()),
    ("facts", pa.string()),
    ("split", pa.string()),
    ("style", pa.string()),
    ("kind", pa.string()),
])
# Scenes that one composer draws: what is drawn follows from the seed, the table and this number alone.
PORTION = 500

state = {}


def prepare(packages, side, keeps_nothing):
    """Opens the drawings, once in each process."""
    objects = vocabulary.read(keeps_back=not keeps_nothing)
    kept = [thing for thing in objects if thing.is_kept_back]
    trained = [thing for thing in objects if not thing.is_kept_back]
    state.update(art=art.Art(packages, objects), trained=trained, kept=kept, side=side)
    state["styles"] = [*art.SEEN, art.KEPT_BACK] if keeps_nothing else art.SEEN


def portion(task):
    """Some rows of a table."""
    table, split, number, count, seed = task
    objects = state["kept"] if table == "test-objects" else state["trained"]
    styles = [art.KEPT_BACK] if table == "test-style" else state["styles"]
    composer = Composer(state["art"], objects, styles, objects, state["side"], f"{seed} {table} {number}")
    rows = []
    for i in range(count):
        image, facts, kind, style = composer.scene()
        uid = f"{table}-{number * PORTION + i:06}"
        rows.append({"uid": uid, "image": image, "facts": json.dumps(facts), "split": split, "style": style, "kind": kind})
    return rows


def write(pool, table, split, count, args):
    started, path = time.monotonic(), args.to / f"{table}.parquet"
    starts = range(0, count, PORTION)
    tasks = [(table, split, i // PORTION, min(PORTION, count - i), args.seed) for i in starts]
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for rows in pool.imap(portion, tasks):
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
    seconds = time.monotonic() - started
    print(f"{path}: {count} rows, {path.stat().st_size / 1e6:.1f} MB, {seconds:.0f} s", flush=True)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--packages", type=pathlib.Path, required=True, help="where fetch.py has unpacked the packages")
    args.add_argument("--to", type=pathlib.Path, required=True, help="the folder for the tables")
    args.add_argument("--scenes", type=int, default=40_000, help="pictures to train on")
    args.add_argument("--tests", type=int, default=500, help="pictures of each table to measure on")
    args.add_argument("--side", type=int, default=128, help="pixels of a picture's side")
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--all", action="store_true", help="train on every style and object: nothing is kept back but scenes")
    args = args.parse_args()
    args.to.mkdir(parents=True, exist_ok=True)
    arguments = (args.packages, args.side, args.all)
    with multiprocessing.Pool(initializer=prepare, initargs=arguments) as pool:
        write(pool, "train", "train", args.scenes, args)
        write(pool, "validation", "validation", args.tests, args)
        for table in ("test-scenes", "test-style", *([] if args.all else ["test-objects"])):
            write(pool, table, "test", args.tests, args)
    prepare(*arguments)
    wording.write(args.to / "test-wording.parquet", state, args)


if __name__ == "__main__":
    main()
