#!/bin/bash
# Builds Kubernetes from Debian's source package, for tests: `kubernetes.sh FOLDER`, then
# `LAMINA_KUBERNETES=FOLDER pytest tests/unit/cluster tests/cluster`.
# Debian 12 has the whole source of 1.20.2, and Go 1.19. Takes 10 to 20 minutes on two cores.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
mkdir -p "$1"
target=$(cd "$1" && pwd)
work=$(mktemp -d "$target/build-XXXXXX")
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT

# The same sources that this machine has, with their source packages.
mkdir -p "$work"/apt/{lists/partial,cache/archives/partial,sources.list.d}
sed 's/^Types:.*/Types: deb deb-src/' /etc/apt/sources.list.d/debian.sources \
    >"$work/apt/sources.list.d/debian.sources"
cat >"$work/apt/apt.conf" <<END
Dir::Etc::sourcelist "-";
Dir::Etc::sourceparts "$work/apt/sources.list.d";
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
END
export APT_CONFIG="$work/apt/apt.conf"
cd "$work"
apt-get update -q
apt-get source -q --download-only kubernetes
apt-get download -q golang-1.19-go golang-1.19-src etcd-server golang-github-modern-go-reflect2-dev
for package in *.deb; do
    dpkg-deb -x "$package" root
done

export GOROOT="$work/root/usr/lib/go-1.19" GOPATH="$work/go" GOCACHE="${GOCACHE:-$work/cache}"
export GO111MODULE=off GOPROXY=off CGO_ENABLED=0 PATH="$work/root/usr/lib/go-1.19/bin:$PATH"
mkdir -p go/src/k8s.io/kubernetes
tar -xf kubernetes_*.orig.tar.gz --strip-components=1 -C go/src/k8s.io/kubernetes
cd go/src/k8s.io/kubernetes
tar -xf "$work"/kubernetes_*.debian.tar.xz
while read -r patch; do
    [ -z "$patch" ] || patch -sp1 <"debian/patches/$patch"
done <debian/patches/series

# Go 1.18 changed how maps are walked through. What the source has for JSON does not know that, and
# writes to memory that is not its own.
rm vendor/github.com/modern-go/reflect2/*.go
cp "$work"/root/usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} \
    vendor/github.com/modern-go/reflect2/
rm -f vendor/github.com/modern-go/reflect2/*_test.go

# The description of all types is not in the source: it is made of their comments.
go build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
packages=$(grep -rlE '^// \+k8s:openapi-gen=' --include=*.go staging/src/k8s.io pkg cmd |
    grep -vE '_test.go|testdata|/examples?/|sample|code-generator|kube-openapi|gengo' |
    xargs -n1 dirname | sort -u |
    sed -e 's,^staging/src/,k8s.io/kubernetes/vendor/,' -e 's,^\(pkg\|cmd\)/,k8s.io/kubernetes/\1/,' |
    paste -sd,)
"$work/openapi-gen" --go-header-file hack/boilerplate/boilerplate.generatego.txt -i "$packages" \
    -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
    -o "$GOPATH/src" -r "$work/violations"
go build -trimpath -o "$target/" \
    ./cmd/kube-apiserver ./cmd/kube-controller-manager ./cmd/kube-scheduler
CGO_ENABLED=1 go build -trimpath -o "$target/" ./cmd/kubelet
install -m 755 "$work/root/usr/bin/etcd" "$target/"
ls -l "$target"/{etcd,kube-apiserver,kube-controller-manager,kube-scheduler,kubelet}
