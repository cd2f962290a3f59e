#!/usr/bin/env python3
"""Checks of .github/workflows what a schema does not see: that names lead somewhere, that versions agree, that scripts are sound.

    check.py SHELLCHECK

Needs PyYAML and the program shellcheck.
"""

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
# What workflows and CI run beside the scripts in their steps.
SCRIPTS = ["packaging/archive.sh", "packaging/notes.sh", "tests/venv.sh", "tests/wheel/run.sh", "tests/workflows/run.sh"]


def strings(value):
    """All texts inside, also those of keys."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
    else:
        yield str(value)


def listed(needs):
    return [needs] if isinstance(needs, str) else needs or []


def check_job(name, job, jobs, shellcheck):
    """What is wrong with a job, a sentence each."""
    needs, steps = listed(job.get("needs")), job.get("steps", [])
    for each in needs:
        if each not in jobs:
            yield f"needs {each}, which is no job"
    text = "\n".join(strings(job))
    for needed, output in re.findall(r"\bneeds\.([\w-]+)\.outputs\.([\w-]+)", text):
        if needed not in needs or output not in jobs[needed].get("outputs", {}):
            yield f"reads {output} of {needed}, which it does not get"
    for step in re.findall(r"\bsteps\.([\w-]+)\.", text):
        if step not in [each.get("id") for each in steps]:
            yield f"reads of the step {step}, which is none"
    for key in set(re.findall(r"\bmatrix\.([\w-]+)", text)):
        for row in job.get("strategy", {}).get("matrix", {}).get("include", [{}]):
            if key not in row:
                yield f"reads {key} of its matrix, which a row has not"

    for step in steps:
        # A version or a commit; a branch is whatever it is that day.
        action = step.get("uses", "-@v1")
        if not re.search(r"@((release/)?v\d+(\.\d+)*|[0-9a-f]{40})$", action):
            yield f"uses {action}, which is no version"
        script = step.get("run", "")
        # What GitHub pastes into a script may be anything; what comes by `env` is a value.
        if "${{" in script:
            yield f"pastes an expression into a script: {script}"
        for path in re.findall(r"(?<![\w/-])(?:\.ci|packaging|tests)/[\w./-]+", script):
            if not (ROOT / path).is_file():
                yield f"runs {path}, which is not there"
        if script:
            # As GitHub runs it.
            checked = subprocess.run(
                [shellcheck, "--shell=bash", "-"], input=f"set -eo pipefail\n{script}", capture_output=True, text=True, check=False
            )
            if checked.returncode:
                yield checked.stdout


def versions():
    """The compiler's version, wherever it is named for what is handed out."""
    for path in WORKFLOWS:
        named = yaml.safe_load(path.read_text())["env"]["RUSTUP_TOOLCHAIN"]
        yield path.name, str(named)
    image = re.search(r"^FROM rust:(\S+)-\w+ AS build$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    yield "Dockerfile", image[1]


def main():
    shellcheck = sys.argv[1]
    wrong = []
    for path in WORKFLOWS:
        jobs = yaml.safe_load(path.read_text())["jobs"]
        for name, job in jobs.items():
            wrong += [f"{path.name}: {name}: {what}" for what in check_job(name, job, jobs, shellcheck)]

    compilers = dict(versions())
    if len({tuple(version.split(".")[:2]) for version in compilers.values()}) != 1:
        wrong.append(f"not the same compiler everywhere: {compilers}")

    notes = ROOT / "packaging/notes.sh"
    version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    for number, expected in (version, 0), ("0.0.0-never", 1):
        done = subprocess.run([notes, number], capture_output=True, text=True, check=False)
        if done.returncode != expected or bool(done.stdout.strip()) != (expected == 0):
            wrong.append(f"packaging/notes.sh {number} ended with {done.returncode}: {done.stdout}{done.stderr}")

    checked = subprocess.run([shellcheck, "--external-sources", *SCRIPTS], cwd=ROOT, capture_output=True, text=True, check=False)
    if checked.returncode:
        wrong.append(checked.stdout)
    if wrong:
        sys.exit("\n".join(wrong))
    print("ok -- names, versions and scripts of " + ", ".join(path.name for path in WORKFLOWS))


main()
