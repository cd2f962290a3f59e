#!/usr/bin/env bash
# Puts the program into the archive that a release has for a target, with a SHA-256 sum beside it.
#
#   archive.sh PROGRAM TARGET FOLDER      makes FOLDER/tamis-VERSION-TARGET.tar.gz and .sha256
set -euo pipefail

program=$1 target=$2
mkdir -p "$3"
out=$(cd -- "$3" && pwd)
root=$(cd -- "$(dirname -- "$0")/.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
name=tamis-$version-$target

scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
mkdir "$scratch/$name"
cp -- "$root/LICENSE" "$root/README.md" "$root/CHANGELOG.md" "$scratch/$name/"
cp -- "$program" "$scratch/$name/tamis"
chmod 755 "$scratch/$name/tamis"
# Names and numbers of whoever builds are nobody's business.
if tar --version | grep -q GNU; then owner=(--owner=0 --group=0 --numeric-owner); else owner=(--uid 0 --gid 0); fi
tar -C "$scratch" "${owner[@]}" -czf "$out/$name.tar.gz" "$name"
cd -- "$out"
# What `sha256sum --check` and `shasum --check` read.
if command -v sha256sum > /dev/null; then sha256sum "$name.tar.gz"; else shasum -a 256 "$name.tar.gz"; fi > "$name.tar.gz.sha256"
echo "$out/$name.tar.gz"
