#!/bin/bash
# limits.sh [PYTEST WORDS...]: the tests of containers and their limits on a machine whose control
# groups are version 2 (see machine.sh). As root, some fifteen minutes, in which no file of the project
# may change. Other words run other tests there.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d /tmp/lamina-machines.XXXXXX)
trap 'rm -rf "$work"' EXIT
. "$root/tests/machines/machine.sh"

[ $# -gt 0 ] || set -- tests/unit/linux/test_cgroups.py tests/kernel/test_limits_of_version_2.py \
  tests/kernel/test_containers.py tests/examples/test_containers.py
printf -v words ' %q' "$@"
cat >"$work/run" <<RUN
cd "$root"
cat /sys/fs/cgroup/cgroup.controllers
timeout 3000 .venv/bin/python -B -m pytest -v -p no:cacheprovider $words >/tmp/out/report 2>&1
echo \$? >/tmp/out/code
RUN

PATIENCE=3600
boot "$work" "$work/run"
[ -s out/code ] || { cat out/report console >&2; exit 1; }
cat out/report
exit "$(cat out/code)"
