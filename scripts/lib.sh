# shellcheck shell=bash
# Shared by the shell scripts of this project: find the cache, install what is missing, say what happens.
# Meant to be sourced from bash with `set -euo pipefail`; changes nothing until a function is called.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
CACHE=${PGHERD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pgherd}

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }

# x64 or arm64: the names Bun uses for its targets.
native_arch() {
  case $(uname -m) in
    x86_64) echo x64 ;;
    aarch64) echo arm64 ;;
    *) die "pgherd is built for x86_64 and aarch64, this machine is $(uname -m)" ;;
  esac
}

# apt_install PACKAGE...: installs Debian packages; false when not root, without apt, or when apt fails.
apt_install() {
  is_root && have apt-get || return 1
  say "installing $*"
  local log
  log=$(mktemp)
  if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >"$log" 2>&1; then
    apt-get update -qq </dev/null >"$log" 2>&1 || true
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >>"$log" 2>&1; then
      tail -n 5 "$log" >&2
      rm -f "$log"
      return 1
    fi
  fi
  rm -f "$log"
}

# ensure_command COMMAND PACKAGE: the command is on PATH afterwards, or we say what to do.
ensure_command() {
  have "$1" || apt_install "$2" || true
  have "$1" || die "$1 is missing: install it (Debian: apt-get install $2) and run this again"
}

# The Bun version that package.json pins, from the npm package of the same name.
ensure_bun() {
  local wanted dir
  wanted=$(sed -n 's/.*"packageManager": *"bun@\([0-9.]*\)".*/\1/p' "$ROOT/package.json")
  [ -n "$wanted" ] || die "package.json names no packageManager bun@x.y.z"
  if have bun && [ "$(bun --version 2>/dev/null)" = "$wanted" ]; then return 0; fi
  dir=$CACHE/bun/$wanted
  if [ "$("$dir/node_modules/.bin/bun" --version 2>/dev/null)" != "$wanted" ]; then
    ensure_command npm npm
    say "installing bun $wanted"
    mkdir -p "$dir"
    npm install --prefix "$dir" --no-audit --no-fund --loglevel=error "bun@$wanted" </dev/null >&2
  fi
  export PATH="$dir/node_modules/.bin:$PATH"
  [ "$(bun --version)" = "$wanted" ] || die "bun $wanted is needed: npm install -g bun@$wanted"
}

ensure_dependencies() {
  ensure_bun
  (cd "$ROOT" && bun install --frozen-lockfile --silent </dev/null)
}

# Directory with initdb and postgres of the newest PostgreSQL installed here (empty when there is none).
postgres_bin() {
  local dir
  for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t/ -k5 -rn); do
    if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then
      echo "$dir"
      return 0
    fi
  done
}

# PostgreSQL server programs. Without root they cannot be installed: tests that need them then say so.
ensure_postgres() {
  [ -z "$(postgres_bin)" ] || return 0
  if is_root && have apt-get; then
    # The package would otherwise create and start a cluster of its own.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    apt_install postgresql || true
  fi
  [ -n "$(postgres_bin)" ] || say "no PostgreSQL under /usr/lib/postgresql: install it with apt-get install postgresql"
}
