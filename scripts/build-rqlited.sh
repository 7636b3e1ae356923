#!/usr/bin/env bash
# Builds the rqlited that pgherd embeds, static, from the versions pinned in scripts/rqlited, once per machine:
#   scripts/build-rqlited.sh [x64] [arm64]        (default: this machine's own)
# Result: <cache>/rqlited/<version>-<hash of go.sum>/rqlited-linux-<arch>, copied to .cache/assets/ with its
# version and checksum beside it; this machine's own also as plain .cache/assets/rqlited, for runs from source.
# To embed an official release instead, set PGHERD_RQLITED_BINARY=<path> and PGHERD_RQLITED_SHA256=<its checksum>.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

MODULE=$ROOT/scripts/rqlited
ASSETS=$ROOT/.cache/assets
PACKAGE=$(sed -n 's/^require \(github.com\/rqlite\/rqlite\/v[0-9]*\) .*/\1/p;s/^\t\(github.com\/rqlite\/rqlite\/v[0-9]*\) v.*/\1/p' "$MODULE/go.mod")
VERSION=$(sed -n "s#^\(require\)\{0,1\}[[:space:]]*$PACKAGE \(v[0-9.]*\)\$#\2#p" "$MODULE/go.mod")
[ -n "$VERSION" ] || die "scripts/rqlited/go.mod names no rqlite version"
KEY=$VERSION-$(sha256sum "$MODULE/go.sum" | cut -c1-12)
GO_TOOLCHAIN=go1.26.8 # fetched through the Go module proxy where the machine's own Go is too old

# The oldest Go that go.mod accepts, and what `go` on PATH is, both as 1.26 or 1.26.1.
go_needed() { sed -n 's/^go \([0-9.]*\)$/\1/p' "$MODULE/go.mod"; }
go_found() { GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//'; }
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# Leaves a Go on PATH that can build the module.
ensure_go() {
  local needed candidate release
  needed=$(go_needed)
  [ ! -d /usr/local/go/bin ] || export PATH="$PATH:/usr/local/go/bin"
  if ! have go; then
    candidate=$(apt-cache search --names-only '^golang-1\.[0-9]+-go$' 2>/dev/null | cut -d' ' -f1 | sort -V | tail -n 1 || true)
    apt_install "${candidate:-golang-go}" || true
    release=${candidate#golang-}
    [ -z "$candidate" ] || export PATH="$PATH:/usr/lib/go-${release%-go}/bin"
  fi
  have go || die "Go is missing: install Go $needed or newer, or set PGHERD_RQLITED_BINARY (see the head of $0)"
  at_least "$(go_found)" "$needed" && return 0
  say "Go $(go_found) is older than $needed: fetching $GO_TOOLCHAIN through the Go module proxy"
  if at_least "$(go_found)" 1.21; then
    export GOTOOLCHAIN=$GO_TOOLCHAIN
  else
    use_toolchain_module || true
  fi
  at_least "$(cd "$MODULE" && go env GOVERSION 2>/dev/null | sed 's/^go//')" "$needed" ||
    die "no Go $needed could be had: install it, or set PGHERD_RQLITED_BINARY (see the head of $0)"
}

# A Go before 1.21 cannot switch toolchains by itself, but it can download one: it is a module like any other.
use_toolchain_module() {
  local version scratch dir
  version=v0.0.1-$GO_TOOLCHAIN.linux-$(go env GOARCH)
  scratch=$(mktemp -d)
  (cd "$scratch" && go mod init scratch >/dev/null 2>&1 && go mod download "golang.org/toolchain@$version") >&2 || return 1
  dir=$(go env GOMODCACHE)/golang.org/toolchain@$version
  rm -rf "$scratch" "$CACHE/go"
  mkdir -p "$CACHE"
  cp -r "$dir" "$CACHE/go"
  chmod -R u+w "$CACHE/go"
  chmod 0755 "$CACHE"/go/bin/* "$CACHE"/go/pkg/tool/*/*
  export PATH="$CACHE/go/bin:$PATH" GOROOT="$CACHE/go"
}

# c_compiler ARCH: a C compiler that can link statically for that architecture.
c_compiler() {
  if [ "$1" = "$(native_arch)" ]; then
    have musl-gcc || apt_install musl-tools gcc libc6-dev || true
    if have musl-gcc; then echo musl-gcc; return 0; fi
    ensure_command gcc gcc
    echo gcc
  else
    local triplet
    triplet=$([ "$1" = arm64 ] && echo aarch64-linux-gnu || echo x86_64-linux-gnu)
    have "$triplet-gcc" || apt_install "gcc-${triplet//_/-}" "libc6-dev-${1/x64/amd64}-cross" || true
    have "$triplet-gcc" || die "$triplet-gcc is missing: apt-get install gcc-${triplet//_/-} libc6-dev-${1/x64/amd64}-cross"
    echo "$triplet-gcc"
  fi
}

# build ARCH OUTPUT
build() {
  ensure_go
  local cc goarch
  cc=$(c_compiler "$1")
  goarch=${1/x64/amd64}
  say "building rqlited $VERSION for linux-$1 with $(go env GOVERSION) and $cc (takes minutes the first time)"
  (cd "$MODULE" && CGO_ENABLED=1 GOOS=linux GOARCH=$goarch CC=$cc GOFLAGS=-mod=readonly go build -trimpath -buildvcs=false \
    -tags netgo,osusergo -ldflags "-s -w -linkmode=external -extldflags=-static -X $PACKAGE/cmd.Version=$VERSION" \
    -o "$2" "$PACKAGE/cmd/rqlited")
}

# publish ARCH BINARY VERSION: makes it the asset that the next bundle for that architecture embeds.
publish() {
  local sum name=rqlited-linux-$1
  sum=$(sha256sum "$2" | cut -d' ' -f1)
  mkdir -p "$ASSETS"
  # A hard link would do, but the cache may be another file system. Each file is replaced in one step.
  if [ "$(sha256sum "$ASSETS/$name" 2>/dev/null | cut -d' ' -f1)" != "$sum" ]; then
    install -m 0755 "$2" "$ASSETS/$name.part.$$"
    mv "$ASSETS/$name.part.$$" "$ASSETS/$name"
  fi
  printf '{ "version": "%s", "sha256": "%s" }\n' "$3" "$sum" >"$ASSETS/$name.json"
  [ "$1" = "$(native_arch)" ] || return 0
  ln -sfn "$name" "$ASSETS/rqlited"
  ln -sfn "$name.json" "$ASSETS/rqlited.json"
}

for arch in "${@:-$(native_arch)}"; do
  case $arch in x64 | arm64) ;; *) die "unknown architecture $arch: x64 or arm64" ;; esac
  if [ -n "${PGHERD_RQLITED_BINARY:-}" ] && [ "$arch" = "$(native_arch)" ]; then
    echo "${PGHERD_RQLITED_SHA256:?set it to the checksum of PGHERD_RQLITED_BINARY}  $PGHERD_RQLITED_BINARY" | sha256sum --check --quiet >&2
    given=$("$PGHERD_RQLITED_BINARY" -version 2>&1 | sed -n 's/^rqlited \(v[0-9.]*\) .*/\1/p')
    publish "$arch" "$PGHERD_RQLITED_BINARY" "${given:-unknown}"
    continue
  fi
  directory=$CACHE/rqlited/$KEY
  binary=$directory/rqlited-linux-$arch
  if [ ! -x "$binary" ]; then
    mkdir -p "$directory"
    build "$arch" "$binary.part.$$"
    mv "$binary.part.$$" "$binary"
  fi
  ln -sfn "$binary" "$CACHE/rqlited/current-$arch"
  publish "$arch" "$binary" "$VERSION"
done
