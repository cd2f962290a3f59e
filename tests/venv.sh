# shellcheck shell=sh
# Sourced by what needs Python packages.

# venv FOLDER PACKAGE...: a virtual environment with these packages, made anew unless it has been made of the same ones.
venv() {
    folder=$1
    shift
    if [ "$(cat -- "$folder/packages" 2>/dev/null)" != "$*" ]; then
        rm -rf -- "$folder"
        python3 -m venv "$folder"
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
        # Last, so that an interrupted installation is made again.
        printf '%s' "$*" > "$folder/packages"
    fi
}
