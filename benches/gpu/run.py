#!/usr/bin/env python3
"""Parity and speed of a CUDA build against a CPU and against PyTorch, on one GPU machine without a network.

    benches/gpu/run.sh target/release/tamis                        all of it: under ten minutes on an H100
    benches/gpu/run.sh target/debug/tamis --device cpu --model tiny --rows 32 --batches 16      the script itself, anywhere

Needs torch, transformers, pillow, numpy, safetensors and pyarrow as the machine has them. Prints a table, and with --json the figures:

ceiling    TFLOP/s of PyTorch's bf16 product of two 8192 x 8192 matrices: what the card can do
parity     scores of --device against --device cpu in f32 on the same rows: mean and largest difference
torch      rows/s of the reference in each way of running it (attention, compiled or not, batch size): forward alone, end to end
tamis      rows/s end to end: the whole command on all rows less the whole command on a few
ratio      tamis over the best of torch
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "side_by_side"))
import run as side_by_side  # noqa: E402

CEILING = """
import time, torch
a = torch.randn(8192, 8192, dtype=torch.bfloat16, device="cuda")
best = 0
for _ in range(5):
    torch.cuda.synchronize(); t = time.perf_counter()
    for _ in range(20): a @ a
    torch.cuda.synchronize(); best = max(best, 20 * 2 * 8192 ** 3 / (time.perf_counter() - t))
print(torch.cuda.get_device_name(), best / 1e12, sep="|")
"""


def parse():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--tamis", type=pathlib.Path, required=True)
    args.add_argument("--device", default="cuda", help="cuda, or cpu to try the script")
    args.add_argument("--model", default="full-qwen2.5-0.5b")
    args.add_argument("--dtype", default="bf16")
    args.add_argument("--rows", type=int, default=2000)
    args.add_argument("--few", type=int, default=0, help="rows of the short run; default: a tenth")
    args.add_argument("--parity-rows", type=int, default=16)
    args.add_argument("--batches", type=int, nargs="+", default=[16, 64, 256])
    args.add_argument("--ways", nargs="+", default=["sdpa", "eager", "sdpa-compile", "flash_attention_2"])
    args.add_argument("--work", type=pathlib.Path, default=pathlib.Path("target/gpu"))
    args.add_argument("--json", type=pathlib.Path)
    args.add_argument("--limit", type=int, default=540, help="seconds, after which no further way of PyTorch's is begun")
    return args.parse_args()


class Torch:
    """The reference, on whatever this machine has installed."""

    def __init__(self, args):
        self.args = args

    def call(self, *more):
        command = [sys.executable, HERE.parent / "side_by_side" / "torch_throughput.py", *map(str, more)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        return json.loads(lines[-1]) if lines else None

    def checkpoint(self):
        if self.args.model == "tiny":
            return side_by_side.TINY
        folder = self.args.work / self.args.model
        if not folder.exists():
            # No network, so no tokenizer: the tiny model's serves, whose ids all have an embedding.
            self.call(self.args.model, 1, 1, "f32", "--save", folder, "--no-run")
            for file in side_by_side.TINY.iterdir():
                if file.suffix in (".json", ".txt") and not (folder / file.name).exists():
                    (folder / file.name).write_bytes(file.read_bytes())
        return folder

    def rows(self, n):
        path = self.args.work / f"rows-{n}.parquet"
        if not path.exists():
            self.call(side_by_side.TINY, n, 1, "f32", "--write-parquet", path, "--no-run")
        return path

    def measure(self, way, batch):
        attention, _, compiled = way.partition("-")
        more = ["--compile"] if compiled else []
        return self.call(self.checkpoint(), self.args.rows, batch, self.args.dtype, "--device", self.args.device, "--attn", attention,
                         "--data", self.rows(self.args.rows), "--repeat", 2, "--workers", 8 if self.args.device == "cuda" else 0, *more)


def tamis(args, checkpoint, rows, device, dtype):
    command = [args.tamis, "sql", "-q", "--set", "tamis.cache.path=off", "--model", f"unifilter={checkpoint}", "--device", device, "--dtype", dtype, "--format", "ndjson",
               "-c", f"SELECT key, unifilter(image, text) AS score FROM '{rows}' ORDER BY key"]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - start, [json.loads(line)["score"] for line in done.stdout.splitlines()]


def main():
    args = parse()
    began = time.perf_counter()
    args.work.mkdir(parents=True, exist_ok=True)
    torch = Torch(args)
    figures = {"model": args.model, "device": args.device, "dtype": args.dtype, "rows": args.rows, "date": time.strftime("%Y-%m-%d")}
    if args.device == "cuda":
        card, ceiling = subprocess.run([sys.executable, "-c", CEILING], check=True, stdout=subprocess.PIPE, text=True).stdout.strip().split("|")
        figures |= {"card": card, "ceiling_tflops": float(ceiling)}
    checkpoint = torch.checkpoint()
    few = args.few or max(1, args.rows // 10)
    exact = tamis(args, checkpoint, torch.rows(args.parity_rows), "cpu", "f32")[1]
    for dtype in dict.fromkeys(["f32", args.dtype]):
        found = tamis(args, checkpoint, torch.rows(args.parity_rows), args.device, dtype)[1]
        apart = [abs(a - b) for a, b in zip(exact, found, strict=True)]
        figures[f"parity_{dtype}"] = {"mean": sum(apart) / len(apart), "largest": max(apart), "rows": len(apart)}
    short = min(tamis(args, checkpoint, torch.rows(few), args.device, args.dtype)[0] for _ in range(2))
    long = min(tamis(args, checkpoint, torch.rows(args.rows), args.device, args.dtype)[0] for _ in range(2))
    figures["tamis_rows_per_s"] = (args.rows - few) / (long - short)
    figures["torch"] = []
    for way in args.ways:
        for batch in args.batches:
            if time.perf_counter() - began > args.limit:
                print(f"no time left for {way}, batch {batch}", file=sys.stderr)
                continue
            try:
                out = torch.measure(way, batch)
            except RuntimeError as error:
                print(f"torch, {way}, batch {batch}: {error}", file=sys.stderr)
                continue
            kept = ("forward_rows_per_s", "total_rows_per_s", "decode_preprocess_rows_per_s", "peak_gpu_GiB", "torch", "transformers")
            figures["torch"].append({"way": way, "batch": batch} | {k: out[k] for k in kept if k in out})
    report(figures)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def report(figures):
    print(json.dumps({k: v for k, v in figures.items() if k != "torch"}))
    print("\n| PyTorch's way | batch | forward, rows/s | end to end, rows/s | GPU memory, GiB |\n|---|---|---|---|---|")
    for t in figures["torch"]:
        print(f"| {t['way']} | {t['batch']} | {t['forward_rows_per_s']:.1f} | {t['total_rows_per_s']:.1f} | {t.get('peak_gpu_GiB', '-')} |")
    if figures["torch"]:
        best = max(t["total_rows_per_s"] for t in figures["torch"])
        print(f"\nTamis, end to end: {figures['tamis_rows_per_s']:.1f} rows/s, {figures['tamis_rows_per_s'] / best:.2f} times the best of PyTorch")


if __name__ == "__main__":
    main()
