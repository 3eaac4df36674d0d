#!/bin/bash
# compare.sh [EXAMPLE]: makes all forms of a package on this machine and on another one (see
# machine.sh), and compares them byte by byte. As root, some two minutes.
#
# Time zone, umask and folder are others there too. Both have the same compilers, as two machines must
# whose outputs are to be the same.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
example=${1:-$root/examples/article}
work=$(mktemp -d /tmp/lamina-machines.XXXXXX)
trap 'rm -rf "$work"' EXIT
. "$root/tests/machines/machine.sh"

cat >"$work/run" <<RUN
export TZ=Asia/Tokyo
umask 077
bash "$root/tests/machines/digests.sh" "$root/.venv/bin/lamina" "$example" /srv/another/place \
  >/tmp/out/there 2>/tmp/out/errors
RUN

bash "$root/tests/machines/digests.sh" "$root/.venv/bin/lamina" "$example" "$work/place" \
  >"$work/here"
boot "$work" "$work/run"
[ -s out/there ] || { cat out/errors console >&2; exit 1; }
cat out/errors
diff here out/there && echo "$(wc -l <here) digests, all the same"
