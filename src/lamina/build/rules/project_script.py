"""The shell script that builds a project by its own build system, and what is set up for it.

All paths in it are the same on every machine: the work is done in a folder of outputs, which goes
at the end; what is installed lies in another. What configure and CMake are told as prefix is
`/usr/local`, into which nothing is ever installed (`DESTDIR`): so no file learns of the sandbox,
and where one looks for its data, it does as on the systems that it was made for.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from lamina.build.sandbox import WORK
from lamina.core.action import OUTPUT_FOLDER
from lamina.core.classes import dataclass

OUT = f"{WORK}/{OUTPUT_FOLDER}"
BUILD = f"{OUT}/.lamina-build"
SOURCES = f"{BUILD}/src"
PREFIX = "/usr/local"
# Beside the folder of what was installed: libraries by the names that BUILD files have for them,
# and what belongs into a package root.
LINKED, RUN = ".linked", ".run"

# What compilers have to say of the code of others is told only where they fail.
_BEGIN = """\
set -euo pipefail
exec 3>&2 2>&1
mkdir -p "$BUILD_TMPDIR/src" "$BUILD_TMPDIR/dest" "$INSTALLDIR"
source={source}
[ -d "$source" ] || source=$(dirname "$source")
for entry in "$source"/* "$source"/.[!.]*; do
    case $entry in ./out | ./.lamina-*) continue ;; esac
    if [ -e "$entry" ] || [ -L "$entry" ]; then cp -RPp -- "$entry" "$BUILD_TMPDIR/src"; fi
done
chmod -R u+w "$BUILD_TMPDIR/src"
jobs=$(nproc)
cd "$BUILD_TMPDIR/src"/{folder}
"""

# Names of folders that what was installed tells, made relative to itself. What libtool leaves for
# itself is of no use elsewhere.
_END = r"""
cd "$BUILD_TMPDIR"
if [ -d dest{prefix} ]; then cp -RPp dest{prefix}/. "$INSTALLDIR"; fi
find "$INSTALLDIR" -name '*.la' -delete
find "$INSTALLDIR" -name '*.pc' -type f -exec sed -i \
    -e "s|$INSTALLDIR|\${{prefix}}|g; s|{prefix}|\${{prefix}}|g" \
    -e 's|^prefix *=.*|prefix=${{pcfiledir}}/../..|' {{}} +
find "$INSTALLDIR" -name '*.cmake' -type f | sort | while read -r file; do
    here=${{file#"$INSTALLDIR"/}}
    up=$(dirname "$here" | sed 's|[^/][^/]*|..|g')
    top="\${{CMAKE_CURRENT_LIST_DIR}}/$up"
    sed -i "s|$INSTALLDIR|$top|g; s|{prefix}|$top|g" "$file"
done
find "$INSTALLDIR" -path '*/bin/*-config' -type f | sort | while read -r file; do
    sed -i "1!{{s|^prefix *=.*|prefix=\$(cd \"\$(dirname \"\$0\")/..\" \&\& pwd)|; \
s|$INSTALLDIR|\${{prefix}}|g; s|={prefix}|=\${{prefix}}|g}}" "$file"
done
find "$INSTALLDIR" -name '*.a' -type f | sort | while read -r file; do
    objcopy --enable-deterministic-archives "$file"
done
told() {{ # folder, file: tells of a file that is not there
    there=$(cd "$INSTALLDIR/$1" 2>/dev/null && ls -m || true)
    echo "it did not install \`$1/$2\`; \`$1\` has: ${{there:-nothing}}" >&2
    exit 1
}}
linked() {{ # folder, library
    [ -e "$INSTALLDIR/$1/$2" ] || told "$1" "$2"
    mkdir -p "$INSTALLDIR{linked}" && cp -L "$INSTALLDIR/$1/$2" "$INSTALLDIR{linked}/$2"
}}
loaded() {{ # folder, library: goes by the name by which it is loaded
    linked "$1" "$2"
    soname=$(LC_ALL=C readelf -d "$INSTALLDIR/$1/$2" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
    mkdir -p "$INSTALLDIR{run}/lib"
    cp -L "$INSTALLDIR/$1/$2" "$INSTALLDIR{run}/lib/${{soname:-$2}}"
}}
carried() {{ # folder, file or folder, path in the package root
    [ -e "$INSTALLDIR/$1/$2" ] || told "$1" "$2"
    mkdir -p "$(dirname "$INSTALLDIR{run}/$3")" && cp -RL "$INSTALLDIR/$1/$2" "$INSTALLDIR{run}/$3"
}}
"""
_LAST = r"""
cd {work}
found=$(grep -rlF {out} "$INSTALLDIR" 2>/dev/null | sort || true)
if [ -n "$found" ]; then
    echo "warning: these files tell where they were built:" >&3
    printf '%s\n' "$found" | sed "s|^$INSTALLDIR/|  |" >&3
fi
rm -rf "$BUILD_TMPDIR"
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is taken out of what was installed: names within a folder."""

    linked: Sequence[tuple[str, str]] = ()  # static libraries
    loaded: Sequence[tuple[str, str]] = ()  # shared ones
    carried: Sequence[tuple[str, str, str]] = ()  # others, and their path in the package root

    def commands(self) -> Iterable[str]:
        """A command for each."""
        for name in ("linked", "loaded", "carried"):
            for words in getattr(self, name):
                yield shlex.join((name, *words))


def script(source: str, folder: str, body: Iterable[str], wanted: Wanted, last: str) -> bytes:
    """The whole script: a copy of `source` is built in its `folder` by the commands of `body`.

    `last` are commands of the user's, in the folder of what was installed.
    """
    begin = _BEGIN.format(source=shlex.quote(source), folder=shlex.quote(folder or "."))
    end = _END.format(prefix=PREFIX, linked=LINKED, run=RUN)
    more = f'(cd "$INSTALLDIR"\n{last}\n)' if last else ""
    parts = (begin, *body, more, end, *wanted.commands(), _LAST.format(work=WORK, out=OUT))
    return ("\n".join(filter(None, parts)) + "\n").encode()


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """A word of a BUILD file with what it says of folders and tools put in.

    Both `$INSTALLDIR` and `$$INSTALLDIR$$` are understood; what is not known stays as it is.
    """

    def value(match: re.Match[str]) -> str:
        return variables.get(next(filter(None, match.groups())), match[0])

    return re.sub(r"\$\$(\w+)\$\$|\$\((\w+)\)|\$\{(\w+)\}|\$(\w+)", value, text)


def make(arguments: Sequence[str], targets: Sequence[str], *, program: str = "make") -> list[str]:
    """The commands that make some targets, one after another; "" is the one it makes by itself."""
    return [
        f'{program} -j"$jobs" {shlex.join((*arguments, *filter(None, [target])))}'.rstrip()
        for target in targets
    ]
