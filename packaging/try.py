#!/usr/bin/env python3
"""Whether a `tamis` that is about to be handed out works: its version, and the README's first query.

    try.py PROGRAM

Needs nothing but Python and the repository.
"""

import csv
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROWS, LEAST = 10, 2.0


def only(pattern, file):
    """What the pattern's group is where it is first found in a file."""
    found = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        sys.exit(f"error: nothing in {file} looks like {pattern}")
    return found[1]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = str(Path(sys.argv[1]).resolve())

    def run(*arguments):
        # Without what the machine remembers: the model is to compute the scores.
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "XDG_CACHE_HOME": cache}
            done = subprocess.run(
                [program, *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=False
            )
        if done.returncode:
            sys.exit(f"error: {program} {arguments[0]} ended with {done.returncode}")
        return done.stdout

    version = run("--version").strip()
    expected = "tamis " + only(r'^version = "(.+)"$', "Cargo.toml")
    if version != expected:
        sys.exit(f"error: it says {version!r}, not {expected!r}")

    query = shlex.split(only(r"^cargo run .*-- (sql .+)$", "README.md"))
    rows = list(csv.DictReader(io.StringIO(run(*query, "--quiet", "--format", "csv"))))
    scores = [float(row["quality"]) for row in rows]
    for holds, what in [
        (len(rows) == ROWS, f"{len(rows)} rows, not {ROWS}"),
        (len({row["uid"] for row in rows}) == len(rows), "a row comes twice"),
        (all(row["text"] for row in rows), "a row has no text"),
        (all(score >= LEAST for score in scores), f"scores of rows that do not belong there: {scores}"),
        (scores == sorted(scores, reverse=True), f"scores not in order: {scores}"),
    ]:
        if not holds:
            sys.exit(f"error: the README's first query: {what}")
    print(f"{version}: {len(rows)} rows, {scores[0]:.3f} to {scores[-1]:.3f}")


main()
