#!/usr/bin/env python3
"""Decoding and resizing by Tamis and by Pillow, in turns, one thread each: how many images a second, and whether the pixels are the same.

    python3 benches/pillow/run.py                    200 synthetic JPEGs of 640 x 480, about 64 kB each
    python3 benches/pillow/run.py --images FOLDER    the JPEGs of a folder instead

A round decodes each file from memory to RGB and resizes it to 384 x 384, bicubic: `Image.open`, `convert`, `resize`, and tamis_models'
`decode_resized`. Each side's fastest round counts. The ratio is Tamis's images a second over Pillow's; exit status 1 if a byte of the
pixels differs, or if the ratio is below --at-least.

Needs python3; makes what it needs in target/pillow.
"""

import argparse
import hashlib
import io
import json
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benches"))
import environment  # benches/environment.py

# Pillow as the golden cases have it.
PACKAGES = ["pillow==11.3.0", "numpy==2.2.6"]
SIDE = 384


def write(folder, count=200, size=(640, 480)):
    """Noise of three scales: as large as a photograph when it is encoded, and nothing of it is flat. Runs inside the environment."""
    import numpy
    from PIL import Image

    rng = numpy.random.default_rng(1)
    part = folder.with_name(folder.name + ".part")
    part.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        levels = 120 + rng.normal(0, 4, (size[1], size[0], 3))
        for cells in (4, 16, 64):
            shape = (max(2, size[1] * cells // 256), max(2, size[0] * cells // 256), 3)
            grid = rng.normal(0, 60 / cells**0.35, shape).astype(numpy.float32)
            levels += numpy.stack([numpy.asarray(Image.fromarray(grid[..., c]).resize(size, Image.BICUBIC)) for c in range(3)], -1)
        Image.fromarray(levels.clip(0, 255).astype(numpy.uint8)).save(part / f"{number:04}.jpg", quality=85)
    part.rename(folder)


def serve(folder):
    """Pillow's side: a round for each line of the input. Runs inside the environment."""
    from PIL import Image

    files = [path.read_bytes() for path in jpegs(folder)]
    for _ in sys.stdin:
        seconds, digest = 0.0, hashlib.sha256()
        for file in files:
            begun = time.perf_counter()
            image = Image.open(io.BytesIO(file)).convert("RGB").resize((SIDE, SIDE), Image.BICUBIC)
            seconds += time.perf_counter() - begun
            digest.update(image.tobytes())
        print(json.dumps({"seconds": seconds, "sha256": digest.hexdigest()}), flush=True)


def jpegs(folder):
    return sorted(path for path in pathlib.Path(folder).iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))


class Side:
    def __init__(self, *command):
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def round(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args[0]} ended early")
        return json.loads(line)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--images", type=pathlib.Path)
    args.add_argument("--rounds", type=int, default=7)
    args.add_argument("--at-least", type=float, default=3.0)
    args.add_argument("--work", type=pathlib.Path, default=ROOT / "target" / "pillow")
    args.add_argument("--json", type=pathlib.Path, help="write the figures here")
    args = args.parse_args()
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cargo", "bench", "--locked", "--bench", "pillow", "--no-run"], cwd=ROOT, check=True)
    python, folder = environment.ensure(work / "venv", PACKAGES), (args.images or work / "images").resolve()
    here = f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r}); import pathlib, run; "
    if not args.images and not folder.exists():
        subprocess.run([python, "-c", f"{here}run.write(pathlib.Path({str(folder)!r}))"], check=True)
    count = len(jpegs(folder))
    if not count:
        sys.exit(f"no JPEGs in {folder}")
    ours = Side("cargo", "bench", "--quiet", "--locked", "--bench", "pillow", "--", str(folder), str(SIDE))
    theirs = Side(python, "-c", f"{here}run.serve({str(folder)!r})")
    rounds = [(theirs.round(), ours.round()) for _ in range(args.rounds)]
    if any(mine["sha256"] != pillows["sha256"] for pillows, mine in rounds):
        sys.exit("the pixels differ: these figures compare different things")
    slow, fast = (count / min(r[side]["seconds"] for r in rounds) for side in (0, 1))
    ratio = fast / slow
    print(f"{count} files, {sum(p.stat().st_size for p in jpegs(folder)) / count / 1e3:.0f} kB on average; the same pixels\n")
    print("| Pillow, images/s | tamis, images/s | ratio |\n|---|---|---|")
    print(f"| {slow:.0f} | {fast:.0f} | {ratio:.2f} |")
    if args.json:
        args.json.write_text(json.dumps({"pillow_per_s": slow, "tamis_per_s": fast, "ratio": ratio}) + "\n")
    sys.exit(int(ratio < args.at_least))


if __name__ == "__main__":
    main()
