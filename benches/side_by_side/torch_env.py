"""A virtual environment with PyTorch for the CPU.

PyPI's torch wheel for Linux is linked against CUDA libraries of several gigabytes, which it asks for as packages and without
which it is not even imported. Nothing of them is called on a CPU. So the three small packages that it loads at start are
installed, and the large libraries are replaced by stubs that define the names that torch's own libraries want and do nothing.
"""

import collections
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

TORCH = "2.7.1"
REQUIREMENTS = pathlib.Path(__file__).with_name("requirements.txt")
SMALL = ("nvidia-cuda-runtime-cu12==12.6.77", "nvidia-cuda-cupti-cu12==12.6.80", "nvidia-cufile-cu12==1.11.1.6")
# library: the beginning of its functions' names
STUBS = {
    "libcublas.so.12": r"cublas(?!Lt)",
    "libcublasLt.so.12": r"cublasLt",
    "libcudnn.so.9": r"cudnn",
    "libcufft.so.11": r"cufft",
    "libcurand.so.10": r"curand",
    "libcusparse.so.12": r"cusparse(?!Lt)",
    "libcusparseLt.so.0": r"cusparseLt",
    "libnccl.so.2": r"p?nccl",
}


def ensure(folder):
    """Makes the environment unless it works already; returns its python."""
    folder = pathlib.Path(folder)
    python = folder / "bin" / "python"
    if python.exists() and _works(python):
        return python
    print(f"making {folder} with torch {TORCH} (a download of about 1 GB)", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    slim = platform.system() == "Linux" and platform.machine() == "x86_64" and shutil.which("cc") and shutil.which("nm")
    subprocess.run([*pip, "-r", REQUIREMENTS], check=True)
    if slim:
        subprocess.run([*pip, "--no-deps", f"torch=={TORCH}", *SMALL], check=True)
        _stub(next(folder.glob("lib/python*/site-packages/torch/lib")))
    if not _works(python):
        subprocess.run([*pip, "--force-reinstall", "--no-deps", f"torch=={TORCH}"], check=True)
        subprocess.run([*pip, f"torch=={TORCH}"], check=True)
    return python


def _works(python):
    probe = "import torch, transformers; (torch.ones(2, 2) @ torch.ones(2, 2)).sum().item()"
    return subprocess.run([python, "-c", probe], capture_output=True).returncode == 0


def _stub(lib):
    """Writes the stub libraries into torch's own folder, where its libraries look first."""
    wanted = set()
    for f in lib.glob("lib*.so"):
        names = subprocess.run(["nm", "-D", "--undefined-only", f], capture_output=True, text=True, check=True).stdout
        wanted |= set(re.findall(r" U (\S+)", names))
    for library, prefix in STUBS.items():
        versions = collections.defaultdict(list)
        for name in sorted(n for n in wanted if re.match(prefix, n)):
            name, _, version = name.partition("@")
            versions[version].append(name)
        with tempfile.TemporaryDirectory() as tmp:
            source, script = pathlib.Path(tmp, "stub.c"), pathlib.Path(tmp, "stub.map")
            source.write_text("".join(f"int {n}(void) {{ return 1; }}\n" for ns in versions.values() for n in ns))
            script.write_text("".join(f"{v} {{ global: {'; '.join(ns)}; }};\n" for v, ns in versions.items() if v))
            versioned = [f"-Wl,--version-script={script}"] if versions and "" not in versions else []
            command = ["cc", "-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{library}", *versioned]
            subprocess.run([*command, "-o", lib / library, source], check=True)
