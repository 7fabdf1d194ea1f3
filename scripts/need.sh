#!/bin/sh
# need.sh [--in-ci] CHECK PACKAGE...
#
# Where the shell command CHECK fails, installs the Debian packages if that is possible without asking for a
# password, or says what to do and fails. With --in-ci they are needed in CI (CI=true) only: elsewhere a line
# tells what is missing, and that is all.
set -eu

only_in_ci=
if [ "$1" = --in-ci ]; then
    only_in_ci=yes
    shift
fi
check=$1
shift

sh -c "$check" >/dev/null 2>&1 && exit 0

say() { printf '%s\n' "$*" >&2; }

if [ -n "$only_in_ci" ] && [ "${CI:-}" != true ]; then
    say "Not installed: $*. The tests that need it are skipped here, not in CI. To run them: sudo apt install $*"
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    say "Missing: $*. Please install it (these are its names on Debian and Ubuntu), then run make again."
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=env
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo env"
else
    say "Missing: $*. Please run this, then make again:   sudo apt install $*"
    exit 1
fi

install() { $as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; }
say "Installing $* with apt"
# On a fresh machine the list of packages is empty or old, which only shows when the installation fails.
install "$@" >/dev/null 2>&1 || { $as_root apt-get update -q >/dev/null && install "$@"; }

sh -c "$check" >/dev/null 2>&1 || { say "$* is installed, but this still fails: $check"; exit 1; }
