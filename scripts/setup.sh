#!/bin/bash
# Sets up what the Makefile needs: `setup.sh system` the packages of the distribution, by apt-get,
# and only those that are not there, with `dev` those of the tests too; `setup.sh python [EXTRA]`
# this project in `.venv`.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
    binutils bubblewrap cmake erofs-utils fuse3 g++ gcc git libgtest-dev make mercurial ninja-build
    patch pkg-config
    python3 python3-coverage python3-dev python3-venv squashfs-tools squashfuse tini
)
# Tests look at packages with other people's tools, and run them in other people's containers.
dev_packages=(
    btrfs-progs crun docker-registry docker.io faketime iproute2 munge openssl podman runc skopeo
    slirp4netns
    slurm-client slurmctld slurmd umoci unzip zstd
)

fail() {
    echo "setup: $1" >&2
    exit 1
}

installed() {
    dpkg-query -W -f '${db:Status-Abbrev}\n' "$1" 2>/dev/null | grep -q '^ii'
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "packages are missing, and only root may install them: ${missing[*]}"
    fi
}

system() {
    [ "${1:-}" != dev ] || packages+=("${dev_packages[@]}")
    if ! { command -v dpkg-query && command -v apt-get; } >/dev/null; then
        fail "this machine has no apt-get; install what corresponds to: ${packages[*]}"
    fi
    missing=()
    for package in "${packages[@]}"; do
        installed "$package" || missing+=("$package")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        echo "setup: installing ${missing[*]}"
        as_root apt-get update -q </dev/null
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -qy --no-install-recommends "${missing[@]}" </dev/null
        # What the udev rule of fuse3 does; in a container or small VM no udev is there to do it.
        [ -w /dev/fuse ] || [ ! -e /dev/fuse ] || as_root chmod 0666 /dev/fuse
    fi
    [ -w /dev/fuse ] ||
        echo "setup: /dev/fuse is closed to you; as root: modprobe fuse; chmod 0666 /dev/fuse"
}

# The distribution's own interpreter first: it stays where it is when a version manager moves on.
find_python() {
    local candidate
    for candidate in /usr/bin/python3 python3 python3.{14,13,12,11}; do
        if "$candidate" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
        then
            echo "$candidate"
            return
        fi
    done
    fail "there is no Python 3.11 or newer on this machine"
}

python() {
    local interpreter project=.
    [ $# -eq 0 ] || project=".[$1]"
    if ! .venv/bin/python -c '' 2>/dev/null; then
        interpreter=$(find_python)
        rm -rf .venv
        "$interpreter" -m venv .venv
    fi
    echo "setup: installing $project in .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
        --editable "$project"
    # By all processors, which pip does not; and here, as the environment may forbid Python to write
    # .pyc files, so that every start would compile again. What is no Python of this version stays.
    .venv/bin/python -m compileall -qq -j 0 .venv/lib || true
    .venv/bin/python -m compileall -q -j 0 src
}

"$@"
