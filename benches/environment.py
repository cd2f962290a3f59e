"""Virtual environments for what the benchmarks are compared with."""

import pathlib
import subprocess
import sys


def ensure(folder, packages):
    """The python of a virtual environment with these packages, made anew unless it has been made of the same ones."""
    folder = pathlib.Path(folder)
    python, stamp = folder / "bin" / "python", folder / "packages"
    if not stamp.exists() or stamp.read_text().split() != packages:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True)
        # Last, so that an interrupted installation is made again.
        stamp.write_text("\n".join(packages) + "\n")
    return python
