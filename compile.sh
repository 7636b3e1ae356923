#!/usr/bin/env bash
# Compiles pgherd into self-contained binaries, byte for byte the same from the same commit:
#   ./compile.sh [x64] [arm64]     dist/pgherd-linux-<arch>; default both. dist/pgherd is this machine's own.
set -euo pipefail
. "$(dirname "$0")/scripts/lib.sh"
cd "$ROOT"
[ $# -gt 0 ] || set -- x64 arm64
ensure_dependencies
scripts/build-rqlited.sh "$@"
version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)
revision=$(git describe --always --abbrev=12 --exclude='*' --dirty 2>/dev/null || echo unknown)
revision_time=$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || echo unknown)

# Paths end up in the binary, so the sources are built in one fixed place, by one build at a time.
build=/var/tmp/pgherd-build
mkdir -p "$build"
[ -O "$build" ] || { say "$build is someone else's: the bytes will differ from other builds"; build=$CACHE/build; mkdir -p "$build"; }
exec 9<"$build" && flock 9
rm -rf "$build"/{src,agents,packaging,out} && mkdir -p "$build"/{out,.cache/assets} dist
cp -r src agents packaging package.json bun.lock bunfig.toml tsconfig.json "$build"
(cd "$build" && bun install --frozen-lockfile --production --silent </dev/null)
for arch in "$@"; do
  for part in "" .json; do cp ".cache/assets/rqlited-linux-$arch$part" "$build/.cache/assets/rqlited$part"; done
  (cd "$build" && bun build --compile --target="bun-linux-${arch/x64/x64-baseline}" --bytecode --format=esm --minify \
    --production --sourcemap --no-compile-autoload-dotenv --no-compile-autoload-bunfig \
    --define "PGHERD_VERSION='$version'" --define "PGHERD_REVISION='$revision'" \
    --define "PGHERD_REVISION_TIME='$revision_time'" src/main.ts --outfile out/pgherd </dev/null >&2)
  install -m 0755 "$build/out/pgherd" "dist/pgherd-linux-$arch"
  [ "$arch" != "$(native_arch)" ] || ln -f "dist/pgherd-linux-$arch" dist/pgherd
done
