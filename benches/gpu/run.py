#!/usr/bin/env python3
"""Exactness and speed on a GPU, against a CPU, against the reference's own scores and against PyTorch, without a network.

    benches/gpu/run.sh target/release/tamis                        all of it: under ten minutes on an H200
    benches/gpu/run.sh target/release/tamis --device cpu --model tiny --rows 64 --batches 16 --ways sdpa      the script itself, anywhere

Needs torch, transformers, pillow, numpy, safetensors and pyarrow as the machine has them. Prints tables, and with --json the figures:

ceiling     TFLOP/s of PyTorch's bf16 product of two random 8192 x 8192 matrices: what the card can do
golden      the reference's cases (models/tests/golden): largest difference of --device in f32 from the reference's own scores
corpus      examples/corpus with the embedded model: --device in each dtype against the CPU in f32
full size   the same on synthetic rows with a checkpoint of random weights in the published size
forward     rows/s of forward passes alone; ours: the time in them (EXPLAIN ANALYZE) of all rows less of a few, copies to the device included
end to end  rows/s from JPEG bytes to scores; ours: the whole command on all rows less the whole command on a few
share       of the ceiling: the forward pass's operations (matrix products and attention, none twice) over its time
"""

import argparse
import json
import multiprocessing
import pathlib
import re
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "side_by_side"))

TINY = ROOT / "models" / "assets" / "tiny-qwen3"
GOLDEN = ROOT / "models" / "tests" / "golden"
CORPUS = ROOT / "examples" / "corpus" / "captions.parquet"
CEILING = """
import torch
a, b = (torch.randn(8192, 8192, dtype=torch.bfloat16, device="cuda") for _ in range(2))
start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
best = 0
for _ in range(6):
    start.record()
    for _ in range(20): a @ b
    end.record(); end.synchronize(); best = max(best, 20 * 2 * 8192 ** 3 / start.elapsed_time(end) / 1e9)
print(torch.cuda.get_device_name(), best, torch.__version__, sep="|")
"""
# The published sizes: vision tower (layers, hidden, MLP, patches, values of a patch), language model (layers, hidden, MLP, queries, keys).
SIZES = {"full-qwen2.5-0.5b": ((27, 1152, 4304, 729, 588), (24, 896, 4864, 896, 128)), "tiny": ((3, 64, 128, 729, 588), (3, 64, 128, 64, 32))}
IMAGE_TOKENS = 144


def parse():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--tamis", type=pathlib.Path, required=True)
    args.add_argument("--device", default="cuda:0", help="cuda:N, or cpu to try the script")
    args.add_argument("--model", default="full-qwen2.5-0.5b", choices=list(SIZES))
    args.add_argument("--dtypes", nargs="+", default=["bf16", "f16"], help="the first is compared with PyTorch's")
    args.add_argument("--rows", type=int, default=4096)
    args.add_argument("--torch-rows", type=int, default=1024)
    args.add_argument("--parity-rows", type=int, default=16)
    args.add_argument("--tokens", nargs="+", default=["auto", "8192", "32768"], help="tamis.scoring.batch_tokens to try")
    args.add_argument("--batches", type=int, nargs="+", default=[64, 256])
    args.add_argument("--ways", nargs="+", default=["sdpa", "sdpa-compile"], help="eager, sdpa, flash_attention_2; with -compile behind it")
    args.add_argument("--workers", type=int, default=max(1, (multiprocessing.cpu_count() or 1) - 2), help="PyTorch's decoding processes")
    args.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="further session options of ours")
    args.add_argument("--released", action="store_true", help="also as the released scripts run: f16, batch 16, 4 workers")
    args.add_argument("--work", type=pathlib.Path, default=pathlib.Path("target/gpu"))
    args.add_argument("--json", type=pathlib.Path)
    args.add_argument("--limit", type=int, default=420, help="seconds, after which no further way of PyTorch's is begun")
    return args.parse_args()


def synthetic(task):
    import torch_throughput
    return torch_throughput.synthetic(task[1], (640, 480), seed=task[0])


class Data:
    """Checkpoint and rows, made once."""

    def __init__(self, args):
        self.args = args
        args.work.mkdir(parents=True, exist_ok=True)

    def checkpoint(self):
        if self.args.model == "tiny":
            return TINY
        folder = self.args.work / self.args.model
        if not folder.exists():
            device = "cuda" if self.args.device.startswith("cuda") else "cpu"
            torch_throughput(self.args.model, 1, 1, "f32", "--device", device, "--save", folder, "--no-run")
            # No network, so no tokenizer: the tiny model's serves, whose ids all have an embedding.
            for file in TINY.iterdir():
                if file.suffix in (".json", ".txt") and not (folder / file.name).exists():
                    (folder / file.name).write_bytes(file.read_bytes())
        return folder

    def rows(self, n):
        path = self.args.work / f"rows-{n}.parquet"
        if not path.exists():
            with multiprocessing.Pool() as pool:
                made = pool.map(synthetic, [(seed, min(64, n - start)) for seed, start in enumerate(range(0, n, 64))], chunksize=1)
            write(path, [(f"{i:08d}", image, text) for i, (image, text) in enumerate(row for part in made for row in part)])
        return path

    def golden(self, name):
        """The caption cases of a checkpoint as rows, and the reference's scores."""
        cases = json.loads((GOLDEN / name / "cases.json").read_text())["captions"]
        path = self.args.work / f"golden-{name}.parquet"
        write(path, [(f"{i:08d}", (GOLDEN / name / case["image"]).read_bytes(), case["caption"]) for i, case in enumerate(cases)])
        folder = GOLDEN / name if (GOLDEN / name / "config.json").exists() else TINY
        return folder, path, [case["score"] for case in cases]


def write(path, rows):
    import pyarrow
    import pyarrow.parquet
    keys, images, texts = zip(*rows)
    table = pyarrow.table({"key": list(keys), "image": pyarrow.array(images, pyarrow.binary()), "text": list(texts)})
    pyarrow.parquet.write_table(table, path, row_group_size=256)


def torch_throughput(*arguments):
    command = [sys.executable, HERE.parent / "side_by_side" / "torch_throughput.py", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=180)
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else None


class Tamis:
    def __init__(self, args):
        self.args = args

    def run(self, checkpoint, device, dtype, query, tokens="auto"):
        command = [self.args.tamis, "sql", "-q", "--set", "tamis.cache.path=off", "--set", f"tamis.scoring.batch_tokens={tokens}",
                   *(word for option in self.args.set for word in ("--set", option)),
                   "--model", f"unifilter={checkpoint}", "--device", device, "--dtype", dtype, "--format", "ndjson", "-c", query]
        start = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"tamis, {device}, {dtype}: {done.stderr.strip()[-600:]}")
        return time.perf_counter() - start, done.stdout

    def scores(self, checkpoint, device, dtype, rows, order="key"):
        query = f"SELECT unifilter(image, text) AS score FROM '{rows}' ORDER BY {order}"
        return [json.loads(line)["score"] for line in self.run(checkpoint, device, dtype, query)[1].splitlines()]

    def speed(self, checkpoint, rows, few, dtype, tokens):
        query = "SELECT count(unifilter(image, text)) AS n FROM '{}'"
        (n_all, path_all), (n_few, path_few) = rows, few
        short = min(self.run(checkpoint, self.args.device, dtype, query.format(path_few), tokens)[0] for _ in range(2))
        with Memory(self.args.device) as memory:
            long = min(self.run(checkpoint, self.args.device, dtype, query.format(path_all), tokens)[0] for _ in range(2))
        figures = {"dtype": dtype, "tokens": tokens, "end_to_end_rows_per_s": (n_all - n_few) / (long - short), "few_s": short, "all_s": long,
                   "peak_gpu_GiB": memory.peak}
        explained = [self.run(checkpoint, self.args.device, dtype, "EXPLAIN ANALYZE " + query.format(path), tokens)[1] for path in (path_few, path_all)]
        short, long = (metric(text, "forward_time") for text in explained)
        if short and long:
            figures |= {"forward_rows_per_s": (n_all - n_few) / (long - short), "device_idle_s": metric(explained[1], "device_idle_time"),
                        "batches": metric(explained[1], "batches", {"": 1.0})}
        return figures


SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def metric(explained, name, units=SECONDS):
    """A metric in a plan, such as forward_time=1.2s; the largest where it stands several times."""
    found = [float(value) * units[unit] for value, unit in re.findall(rf"\b{name}=([0-9.]+)({'|'.join(units)})", explained)]
    return max(found, default=None)


class Memory:
    """The GPU's memory in use, asked five times a second."""

    def __init__(self, device):
        self.peak, self.process = None, None
        self.number = device.partition(":")[2] or "0" if device.startswith("cuda") else None

    def __enter__(self):
        if self.number is not None:
            command = ["nvidia-smi", "-i", self.number, "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-lms", "200"]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            self.thread = threading.Thread(target=self.read)
            self.thread.start()
        return self

    def read(self):
        for line in self.process.stdout:
            self.peak = max(self.peak or 0, round(int(line) / 1024, 2))

    def __exit__(self, *_):
        if self.process:
            self.process.terminate()
            self.thread.join()


def apart(expected, found):
    pairs = [(a, b) for a, b in zip(expected, found, strict=True) if a is not None and b is not None]
    if not pairs or any((a is None) != (b is None) for a, b in zip(expected, found)):
        sys.exit("one side has scores where the other has none")
    differences = [abs(a - b) for a, b in pairs]
    return {"rows": len(pairs), "mean": sum(differences) / len(pairs), "largest": max(differences),
            "cross_2": sum((a >= 2) != (b >= 2) for a, b in pairs)}


def parity(args, data, tamis):
    out = {}
    for name in ("tiny-qwen2", "tiny-qwen3"):
        folder, rows, expected = data.golden(name)
        out[f"golden {name} f32"] = apart(expected, tamis.scores(folder, args.device, "f32", rows))
    exact = tamis.scores(TINY, "cpu", "f32", CORPUS, order="uid")
    for dtype in dict.fromkeys(["f32", *args.dtypes]):
        out[f"corpus tiny-qwen3 {dtype}"] = apart(exact, tamis.scores(TINY, args.device, dtype, CORPUS, order="uid"))
    if args.model != "tiny":
        rows = data.rows(args.parity_rows)
        exact = tamis.scores(data.checkpoint(), "cpu", "f32", rows)
        for dtype in dict.fromkeys(["f32", *args.dtypes]):
            out[f"full size {dtype}"] = apart(exact, tamis.scores(data.checkpoint(), args.device, dtype, rows))
    return out


def operations(model, positions):
    """Floating-point operations of a row of `positions` positions of the language model."""
    (layers, hidden, inner, patches, depth), (l_layers, l_hidden, l_inner, queries, keys) = SIZES[model]
    vision = 2 * patches * depth * hidden + layers * (8 * patches * hidden**2 + 4 * patches**2 * hidden + 4 * patches * hidden * inner)
    projector = 2 * IMAGE_TOKENS * (hidden * l_hidden + l_hidden**2)
    rows = 2 * l_hidden * (2 * queries + 3 * l_inner)
    # Causal: of a square of scores the half; of the last layer, one row.
    layer = positions * (rows + 4 * l_hidden * keys) + 2 * positions**2 * queries
    last = rows + positions * 4 * l_hidden * keys + 4 * positions * queries
    return vision + projector + (l_layers - 1) * layer + last


def measure_torch(args, data, figures, began):
    ways = [(way, batch, args.dtypes[0], args.workers) for way in args.ways for batch in args.batches]
    if args.released:
        ways.append(("sdpa", 16, "f16", 4))
    for way, batch, dtype, workers in ways:
        if time.perf_counter() - began > args.limit:
            print(f"no time left for PyTorch's {way}, batch {batch}", file=sys.stderr)
            continue
        attention, _, compiled = way.partition("-")
        device = "cuda" if args.device.startswith("cuda") else "cpu"
        try:
            out = torch_throughput(data.checkpoint(), args.torch_rows, batch, dtype, "--device", device, "--attn", attention,
                                   "--data", data.rows(args.torch_rows), "--repeat", 2, "--workers", workers, *(["--compile"] if compiled else []))
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"PyTorch, {way}, batch {batch}: {error}", file=sys.stderr)
            continue
        kept = ("forward_rows_per_s", "total_rows_per_s", "decode_preprocess_rows_per_s", "peak_gpu_GiB", "torch", "transformers", "sequence_length_mean")
        figures["torch"].append({"way": way, "batch": batch, "dtype": dtype, "workers": workers} | {k: out[k] for k in kept if k in out})


def main():
    args = parse()
    began = time.perf_counter()
    data, tamis = Data(args), Tamis(args)
    figures = {"model": args.model, "device": args.device, "rows": args.rows, "cpus": multiprocessing.cpu_count(), "date": time.strftime("%Y-%m-%d")}
    if args.device.startswith("cuda"):
        done = subprocess.run([sys.executable, "-c", CEILING], check=True, stdout=subprocess.PIPE, text=True)
        card, ceiling, _ = done.stdout.strip().split("|")
        figures |= {"card": card, "ceiling_tflops": float(ceiling)}
    figures["parity"] = parity(args, data, tamis)
    few = max(16, args.rows // 16)
    rows = ((args.rows, data.rows(args.rows)), (few, data.rows(few)))
    tries = [(args.dtypes[0], tokens) for tokens in args.tokens] + [(dtype, args.tokens[0]) for dtype in args.dtypes[1:]]
    figures["tamis"] = [tamis.speed(data.checkpoint(), *rows, dtype, tokens) for dtype, tokens in tries]
    figures["torch"] = []
    measure_torch(args, data, figures, began)
    report(args, figures)
    figures["seconds"] = time.perf_counter() - began
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def report(args, figures):
    print(", ".join(f"{k} {v}" for k, v in figures.items() if not isinstance(v, (list, dict))))
    print("\n| scores | rows | mean difference | largest | on another side of 2.0 |\n|---|---|---|---|---|")
    for name, p in figures["parity"].items():
        print(f"| {name} | {p['rows']} | {p['mean']:.2g} | {p['largest']:.2g} | {p['cross_2']} |")
    lengths = [t["sequence_length_mean"] for t in figures["torch"] if "sequence_length_mean" in t]
    ceiling = figures.get("ceiling_tflops")

    def share(rows_per_s):
        if not (lengths and ceiling and rows_per_s):
            return "-"
        return f"{rows_per_s * operations(args.model, lengths[0]) / 1e12 / ceiling:.2f}"

    print("\n| | dtype | batch | forward, rows/s | share of the ceiling | end to end, rows/s | GPU memory, GiB |\n|---|---|---|---|---|---|---|")
    for t in figures["tamis"]:
        forward = t.get("forward_rows_per_s")
        print(f"| tamis | {t['dtype']} | {t['tokens']} positions | {forward or 0:.1f} | {share(forward)} | {t['end_to_end_rows_per_s']:.1f} | {t['peak_gpu_GiB']} |")
    for t in figures["torch"]:
        print(f"| PyTorch, {t['way']}, {t['workers']} workers | {t['dtype']} | {t['batch']} rows | {t['forward_rows_per_s']:.1f} | {share(t['forward_rows_per_s'])} "
              f"| {t['total_rows_per_s']:.1f} | {t.get('peak_gpu_GiB', '-')} |")
    if figures["torch"]:
        ours = figures["tamis"][0]
        best = {k: max(t[k] for t in figures["torch"]) for k in ("forward_rows_per_s", "total_rows_per_s")}
        ratios = [f"end to end {ours['end_to_end_rows_per_s'] / best['total_rows_per_s']:.2f}"]
        if ours.get("forward_rows_per_s"):
            ratios.insert(0, f"forward {ours['forward_rows_per_s'] / best['forward_rows_per_s']:.2f}")
        print(f"\ntamis over the best of PyTorch: {', '.join(ratios)}")


if __name__ == "__main__":
    main()
