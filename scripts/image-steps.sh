#!/bin/sh
# image-steps.sh wheel|install|all: what the Dockerfile does to make the image, in steps that need no container engine.
#
# The Dockerfile calls `wheel` and `install`. To go through all of them without an engine, as far as that goes:
#
#   scripts/image-steps.sh all FOLDER         into a new folder, with all packages: gigabytes are downloaded
#   scripts/image-steps.sh all FOLDER VENV    with the packages of an environment that is there
#
# What this leaves out is the base image: the Python (PYTHON=…, python3) and the libraries are this machine's. As root
# the last step runs as the image's user does, without rights, if the folder and Python are open to others.
set -eu

# In the image the root of the file system; here the folder.
root=${ROOT:-}
venv=$root/opt/venv
build=$root/build

wheel() {
    "$venv/bin/python" -m pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir "$build/dist" "$build"
}

install_wheel() {
    "$venv/bin/python" -m pip install --quiet --no-index --no-deps --no-cache-dir "$build"/dist/*.whl
}

# As the image's user, who has no rights; as ourselves where that user can run nothing that is in here. Takes the
# shell's place, and so its number.
as_user() {
    cd "$root/work"
    exec $no_rights env HOME=/nonexistent "$@"
}

# A worker that needs no server, until it says itself that it is ready.
try_worker() {
    as_user "$venv/bin/python" -m celery -A worker worker >"$root/worker.log" 2>&1 &
    worker=$!
    trap 'kill $worker 2>/dev/null || :' EXIT
    tries=0
    until (as_user "$venv/bin/python" -m worker health --ready); do
        tries=$((tries + 1))
        if [ $tries = 60 ] || ! kill -0 $worker 2>/dev/null; then cat "$root/worker.log" >&2; exit 1; fi
        sleep 1
    done
    kill $worker
    wait $worker
    trap - EXIT
    rm "$root/worker.log"
}

all() {
    source=$(cd "$(dirname "$0")/.." && pwd)
    [ ! -e "$root" ] || [ -z "$(ls -A "$root")" ] || { echo "$root is not empty" >&2; exit 2; }
    mkdir -p "$build" "$root/opt" "$root/work"
    echo "1 of 5: an environment, and the locked packages"
    if [ -n "${1:-}" ]; then
        # Without packages of its own: an older one of the same name would come first.
        "$1/bin/python" -m venv --without-pip "$venv"
        packages='import sysconfig; print(sysconfig.get_path("purelib"))'
        "$1/bin/python" -c "$packages" >"$("$venv/bin/python" -c "$packages")/borrowed.pth"
    else
        "${PYTHON:-python3}" -m venv "$venv"
        PIP="$venv/bin/python -m pip --no-cache-dir" "$source/scripts/dependencies.sh" "$source/requirements.lock"
    fi
    echo "2 of 5: a wheel of the project, from what the engine would be given"
    for name in pyproject.toml README.md LICENSE pose worker; do
        cp -R "$source/$name" "$build/"
    done
    find "$build" -name __pycache__ -prune -exec rm -rf {} +
    wheel
    echo "3 of 5: the wheel is installed"
    install_wheel
    rm -rf "$build"
    echo "4 of 5: the user and the folder"
    no_rights="setpriv --reuid 10001 --regid 10001 --clear-groups"
    if [ "$(id -u)" = 0 ] && $no_rights env "$venv/bin/python" -c pass 2>/dev/null; then
        chown 10001:10001 "$root/work"
    else
        no_rights=
        echo "        left out: $(id -un) it is"
    fi
    echo "5 of 5: what the image is to do"
    (as_user "$venv/bin/pose" schema >/dev/null)
    try_worker
    echo "done: $venv/bin/python -m celery -A worker worker"
}

case ${1:-} in
    wheel) wheel ;;
    install) install_wheel ;;
    all)
        mkdir -p "$2"
        root=$(cd "$2" && pwd)
        venv=$root/opt/venv
        build=$root/build
        all "${3:-}"
        ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
