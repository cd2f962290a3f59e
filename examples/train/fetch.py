#!/usr/bin/env python3
"""Downloads the packages that carry the drawings and their names from npm's registry, checks them, and unpacks them.

    python3 examples/train/fetch.py --to /tmp/tamis-train/packages

Only Python's standard library is needed. What lies there already is checked and left as it is; afterwards nothing needs the network.
"""

import argparse
import base64
import hashlib
import io
import pathlib
import tarfile
import urllib.error
import urllib.request

REGISTRY = "https://registry.npmjs.org"
# name, version, and what npm calls its integrity: README.md has their licences.
PACKAGES = [
    ("@iconify-json/twemoji", "1.2.5",
     "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw=="),
    ("@iconify-json/openmoji", "1.2.29",
     "sha512-vXdhkqcXVSO6suy+m9LbcUM3OdVyuNOtpV8/als/WqfkQIRxevL5Geb/g+6GH/Qwnq1OqksEmaDGTCmZ5nFKJQ=="),
    ("@iconify-json/fluent-emoji-flat", "1.2.6",
     "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw=="),
    ("@lobehub/fluent-emoji-3d", "1.1.0",
     "sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g=="),
    ("@iconify-json/emojione", "1.2.3",
     "sha512-T9+T3HIbJNLKKsmxYKlaYhvnHYkz/HNYTV7SHCXVZPfeUi4FqskY70YeN8yYAZT8cCv7w5vJxS4Q1m8zb9CMMg=="),
    ("@iconify-json/emojione-v1", "1.2.3",
     "sha512-UjI2VQEXVtGlPBvQuxEizro7QCgBcJDOYwKUupquvvZ8UV4xOlvm45IU82JYWegiAWLerY79gFLMZ26U6Ms+ww=="),
    ("@iconify-json/fxemoji", "1.2.2",
     "sha512-UAasRaxzFUKfIGSmLwnoarsssA4LX0VLLuEmplIqM6ZNQqIQRtav8tZ4H1neTlBreXuMQyAifr5jP4kn78DpiQ=="),
    ("@iconify-json/streamline-emojis", "1.2.4",
     "sha512-iNr9T9XuZVTyQPJO8ZlLxBzPkpi7qMl+z1l0C31vpEMqhPMelth3n7CeWQYtixdetDPdI81yeG4ROqjWpYJE6A=="),
    ("@iconify-json/noto", "1.2.9",
     "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw=="),
    ("cldr-annotations-full", "48.2.0",
     "sha512-DV7A+rEcgUSNTRsVGNGqBZRmAkGfwhGHO5Q1dRwzBoBnVrHWp804JP7/QJdEc66iHmx3+zLWVIMCFLm0lW7PUQ=="),
]


def folder(to, name):
    """Where a package is unpacked."""
    return pathlib.Path(to) / name.replace("/", "-").lstrip("@")


def tarball(to, name, version, integrity):
    """The package's file, from the folder or from the registry."""
    file = f"{name.split('/')[-1]}-{version}.tgz"
    path = to / f"{folder(to, name).name}-{version}.tgz"
    if not path.exists():
        url = f"{REGISTRY}/{name}/-/{file}"
        print(f"downloading {url}", flush=True)
        try:
            with urllib.request.urlopen(url, timeout=120) as answer:
                data = answer.read()
        except (urllib.error.URLError, TimeoutError) as error:
            raise SystemExit(f"downloading {url}: {error}; if it is refused, put the file at {path}") from error
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_bytes(data)
        unfinished.rename(path)
    data = path.read_bytes()
    found = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != integrity:
        raise SystemExit(f"{path} has integrity {found}, expected {integrity}: remove it and try again")
    return data


def unpack(data, to):
    """Unpacks a package's files, links and the like left out."""
    done = to / ".unpacked"
    if done.exists():
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive.getmembers():
            parts = pathlib.PurePosixPath(member.name).parts[1:]
            if not member.isfile() or not parts or ".." in parts:
                continue
            path = to.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.extractfile(member).read())
    done.touch()


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--to", type=pathlib.Path, required=True, help="the folder for the packages")
    to = args.parse_args().to
    to.mkdir(parents=True, exist_ok=True)
    for name, version, integrity in PACKAGES:
        unpack(tarball(to, name, version, integrity), folder(to, name))
    print(f"{len(PACKAGES)} packages in {to}")


if __name__ == "__main__":
    main()
