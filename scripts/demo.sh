#!/bin/bash
# The main job on the article's example, in a folder of its own with a store of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -t 1 ]; then
    bold=$'\e[1m' plain=$'\e[0m'
else
    bold='' plain=''
fi

demo=$(mktemp -d)
trap 'rm -rf "$demo"' EXIT
PATH=$PWD/.venv/bin:$PATH
export PATH LAMINA_STORE=$demo/store
cp -R examples/article "$demo/article"
cd "$demo/article"

say() {
    printf '\n%s# %s%s\n' "$bold" "$1" "$plain"
}

try() {
    printf '%s$ %s%s\n' "$bold" "$1" "$plain"
    eval "$1" 2>&1
}

say 'A.py over B.py and C.py, over C++ libraries D and E, over F. Built and run from nothing:'
try 'lamina run //:A'

say 'Again, with nothing changed:'
try 'lamina run //:A'

say 'One layer for each target, the lowest first; all together are the package:'
try 'lamina package //:A'
first=$(lamina package --quiet //:A 2>/dev/null | grep '^A:')

say 'Change one line of A.py, and run it again: one layer is made, that of A.'
try "sed -i 's/Hello from A/Hello from a new A/' A.py"
try 'lamina run //:A'

say 'The package of before is still in the store; it needs neither the workspace nor a build:'
cd "$demo"
try 'rm -r article'
try "lamina exec $first"
