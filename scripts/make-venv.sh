#!/bin/sh
# make-venv.sh DIR: an empty virtual environment in DIR, or a plain word on what is missing.
set -eu

dir=$1
python=${PYTHON:-python3}
here=$(dirname "$0")

fail() { printf '%s\n' "$*" >&2; exit 1; }

# Where the command is missing, python3-venv brings it. Another PYTHON than the default is the user's own matter.
[ "$python" != python3 ] || "$here/need.sh" 'command -v python3' python3-venv
command -v "$python" >/dev/null || fail "There is no '$python'. Take another:   make PYTHON=/path/to/python3.11"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old, 3.11 is needed. Take another:   make PYTHON=/path/to/python3.11"
# Debian's python3 comes without ensurepip, and so without the means to make an environment.
"$here/need.sh" "'$python' -c 'import ensurepip, venv'" python3-venv

# Half an environment would be taken for a whole one the next time.
trap 'rm -rf "$dir"; exit 130' INT TERM
"$python" -m venv "$dir" || { rm -rf "$dir"; fail "No virtual environment could be made in $dir."; }
