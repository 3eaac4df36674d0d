#!/bin/bash
# digests.sh LAMINA EXAMPLE FOLDER: the digest of each file of each form of a package, which is made
# anew in a folder that is not there yet. Of a form that is a tree, times and modes too.
set -euo pipefail
lamina=$1 example=$2 folder=$3
export LAMINA_STORE="$folder/store" HOME="$folder/home" XDG_STATE_HOME="$folder/state"
mkdir -p "$HOME"
cp -r "$example" "$folder/workspace"
cd "$folder/workspace"
rm -rf lamina-out

made() { # NAME OPTIONS...
  local name=$1
  shift
  "$lamina" package -q --version v1 "$@" -o "$folder/$name" //:A >/dev/null
  (cd "$folder/$name" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) |
    sed "s|  \./|  $name/|"
}

for form in layers tar.gz tar.zst zip xar oci oci-archive docker dir; do
  made "$form" --format "$form"
done
(cd "$folder/dir" && find . -mindepth 2 -printf '%P %m %T@ %y %l\n' | LC_ALL=C sort) | sha256sum
for compression in lz4 gzip xz none; do
  made "squashfs-$compression" --format layers --compression "$compression"
done
printf '[layers]\nformat = "erofs"\n' >>lamina.toml
made erofs --format layers
