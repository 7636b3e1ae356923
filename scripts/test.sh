#!/usr/bin/env bash
# Tests everything, installing what is missing. The last line is `N passed, N failed, N skipped`.
#   scripts/test.sh [--fast]     --fast: types, lint, architecture and unit tests only
# Works with and without root, and without a terminal. Logs and JUnit files go to .cache/reports.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

REPORTS=$ROOT/.cache/reports
LOG_LINES_MAX=300 # printed of a run that failed; the file has all of it
SUITE_SECONDS_MAX=${PGHERD_SUITE_SECONDS_MAX:-2400}
FAST=
case ${1:-} in --fast) FAST=1 ;; "") ;; *) die "usage: scripts/test.sh [--fast]" ;; esac

# step NAME COMMAND...: runs it, records exit code and output, and goes on whatever happened.
step() {
  local name=$1 began=$SECONDS code=0
  shift
  printf '%-24s' "$name"
  bounded "$@" </dev/null >"$REPORTS/$name.log" 2>&1 || code=$?
  echo "$code" >"$REPORTS/$name.rc"
  echo "$([ "$code" = 0 ] && echo ok || echo "FAILED ($code)")  $((SECONDS - began)) s"
  [ "$code" = 0 ] || tail -n "$LOG_LINES_MAX" "$REPORTS/$name.log"
}

# Functions of this script bound themselves; everything else may hang.
bounded() {
  if declare -F "$1" >/dev/null; then ("$@"); else timeout -k 10 "$SUITE_SECONDS_MAX" "$@"; fi
}

# suite NAME PATH...: a run of the test runner.
suite() {
  local name=$1
  shift
  step "$name" bun test --timeout=60000 --reporter=junit --reporter-outfile="$REPORTS/$name.xml" "$@"
}

# Simulated hosts; a machine that cannot have them says so, and nothing else of the run changes.
lab() {
  if [ "$(test/lab/run.sh --can)" != yes ]; then
    echo "lab: skipped: $(test/lab/run.sh --can)"
    return
  fi
  step lab test/lab/run.sh --timeout=120000 --reporter=junit --reporter-outfile="$REPORTS/lab.xml" ./test/lab
}

# What the tests use beside the product. Without root they skip what they cannot have, and say so.
install_test_tools() {
  ensure_postgres
  have setpriv || apt_install util-linux || true
  [ -x /usr/sbin/sshd ] && have ssh-agent && have sudo || apt_install openssh-server openssh-client sudo || true
  [ -x /usr/sbin/haproxy ] || apt_install haproxy || true
  have chromium || apt_install chromium fonts-dejavu-core || true
  scripts/fetch-postgres.sh || say "no second PostgreSQL: tests that need one are skipped"
}

# Both architectures where a cross compiler is there or can be had, else this machine's own.
compile_all() {
  if is_root || have aarch64-linux-gnu-gcc; then ./compile.sh; else ./compile.sh "$(native_arch)"; fi
}

rm -rf "$REPORTS"
mkdir -p "$REPORTS"
echo "installing what is missing"
ensure_dependencies
step rqlited scripts/build-rqlited.sh
step types bun node_modules/typescript/bin/tsc --noEmit
step biome bun node_modules/@biomejs/biome/bin/biome check --error-on-warnings .
step tidy bun scripts/tidy.ts
step migrations bun scripts/embed-migrations.ts --check
if [ -z "$FAST" ]; then
  step tools install_test_tools
fi
suite unit ./src ./agents ./scripts ./test/sim
if [ -z "$FAST" ]; then
  step compile compile_all
  [ -z "$(ls test/*.test.ts 2>/dev/null)" ] || suite conventions ./test/*.test.ts
  # What needs least comes first, so that a simple mistake is not reported by the slowest tests.
  for directory in $(printf '%s\n' test/{contract,golden,docs,e2e} test/*/ | sed 's#/$##' | grep -vE '^test/(lab|sim)$' | awk '!seen[$0]++'); do
    [ -z "$(find "$directory" -name '*.test.ts' 2>/dev/null)" ] || suite "${directory#test/}" "./$directory"
  done
  lab
fi
echo
bun scripts/test-report.ts "$REPORTS"
