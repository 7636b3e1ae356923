#!/usr/bin/env bash
# From a fresh checkout to a running PostgreSQL that pgherd created through its API. Installs what is missing,
# compiles, starts a server on loopback, and creates examples/quickstart.yaml. A second run uses what is there.
#   scripts/quickstart.sh [--remove]     --remove: deletes the server's databases, the server and its data directory
#   PGHERD_QUICKSTART_DIR    data directory (root: /var/lib/pgherd-quickstart, else ~/.local/share/...)
#   PGHERD_QUICKSTART_PORT   port of the API, 3000
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

PORT=${PGHERD_QUICKSTART_PORT:-3000}
DATA=${PGHERD_QUICKSTART_DIR:-$(is_root && echo /var/lib/pgherd-quickstart || echo "$HOME/.local/share/pgherd-quickstart")}
PGHERD=$ROOT/dist/pgherd
READY_SECONDS_MAX=30
STOP_SECONDS_MAX=60
export PGHERD_SERVER=http://127.0.0.1:$PORT

# answers PATH: whether the server answers with success. Needs no curl.
answers() {
  local status
  status=$( (exec 3<>"/dev/tcp/127.0.0.1/$PORT" && printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&3 && head -n 1 <&3) 2>/dev/null) || return 1
  [[ $status == *" 2"?? || $status == *" 2"??" "* ]]
}

# Process id of the server of our data directory; empty when it does not run.
server_pid() {
  local pid
  pid=$(cat "$DATA/server.pid" 2>/dev/null) || return 0
  if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "server run --data-dir $DATA "; then echo "$pid"; fi
}

install_missing() {
  ensure_dependencies
  ensure_postgres
  BIN_DIRS=
  if [ -z "$(postgres_bin)" ]; then
    say "fetching a PostgreSQL into the cache instead"
    BIN_DIRS=$(scripts/fetch-postgres.sh 17)/bin
  fi
}

start_server() {
  local pid waited=0
  mkdir -p "$DATA"
  say "starting the server: data in $DATA, log in $DATA/server.log"
  # Its own session, so that it survives this script and its terminal.
  PGHERD_HOST_ID=host-1 PGHERD_POSTGRES__BIN_DIRS=${BIN_DIRS:-} setsid "$PGHERD" server run --data-dir "$DATA" \
    --run-dir "$DATA/run" --http.port "$PORT" </dev/null >>"$DATA/server.log" 2>&1 &
  pid=$!
  echo "$pid" >"$DATA/server.pid"
  until answers /livez; do
    kill -0 "$pid" 2>/dev/null || { tail -n 20 "$DATA/server.log" >&2; die "the server ended: see above"; }
    [ $((waited++)) -lt $((READY_SECONDS_MAX * 10)) ] || die "no answer from the server in $READY_SECONDS_MAX s: see $DATA/server.log"
    sleep 0.1
  done
}

stop_server() {
  local pid waited=0
  pid=$(server_pid)
  [ -n "$pid" ] || return 0
  kill "$pid"
  while kill -0 "$pid" 2>/dev/null; do
    [ $((waited++)) -lt $((STOP_SECONDS_MAX * 10)) ] || die "the server $pid does not stop: see $DATA/server.log"
    sleep 0.1
  done
}

# A server of our own that is of this build; databases do not notice when it is replaced.
ensure_server() {
  local pid
  pid=$(server_pid)
  if [ -z "$pid" ]; then
    if answers /livez; then die "another server answers on port $PORT: choose one with PGHERD_QUICKSTART_PORT"; fi
    start_server
  elif ! cmp -s "/proc/$pid/exe" "$PGHERD"; then
    say "replacing the running server by the one just built"
    stop_server
    start_server
  elif answers /livez; then
    say "using the server that runs on port $PORT"
  else
    die "the server $pid of $DATA does not answer on port $PORT: was it started for another one?"
  fi
}

# Waits until the server has opened its cluster, and makes one when there is none (8: conflict).
ensure_cluster() {
  local status waited=0
  while true; do
    status=0
    "$PGHERD" cluster get >"$DATA/cluster-get.out" 2>&1 || status=$?
    case $status in
      0) return ;;
      8)
        (umask 077 && "$PGHERD" cluster init >"$DATA/cluster-init.yaml")
        say "initialized a cluster; its recovery key is in $DATA/cluster-init.yaml"
        ;;
      *) [ $((waited++)) -lt $((READY_SECONDS_MAX * 10)) ] || { cat "$DATA/cluster-get.out" >&2; die "the server is not ready: see $DATA/server.log"; } ;;
    esac
    sleep 0.1
  done
}

# A password of its own for every machine, readable by its owner only.
password() {
  local file=$DATA/quickstart.password
  if [ ! -s "$file" ]; then (umask 077 && head -c 18 /dev/urandom | base64 | tr '+/' '-_' >"$file"); fi
  cat "$file"
}

# select_version URL: through psql, or where it is not installed through the client that Bun has.
select_version() {
  if have psql; then
    psql -X -At "$1" -c 'SELECT version()'
  else
    URL=${1/@/:$PGPASSWORD@} bun -e 'const sql = new Bun.SQL(process.env.URL); console.log((await sql`SELECT version()`)[0].version); await sql.close()'
  fi
}

remove() {
  if [ -x "$PGHERD" ] && [ -e "$DATA/cluster.key" ]; then
    [ -n "$(server_pid)" ] || start_server
    ensure_cluster
    local name
    for name in $("$PGHERD" db list -o name); do "$PGHERD" db delete "$name" --yes --wait --quiet; done
  fi
  stop_server
  rm -rf "$DATA"
  say "removed $DATA"
}

case ${1:-} in
  "") ;;
  --remove) remove; exit 0 ;;
  *) die "usage: scripts/quickstart.sh [--remove]" ;;
esac

install_missing
./compile.sh "$(native_arch)"
ensure_server
ensure_cluster
PGPASSWORD=$(password)
export PGPASSWORD PGCONNECT_TIMEOUT=10
sed "s/password: change-me.*/password: $PGPASSWORD/" examples/quickstart.yaml | "$PGHERD" db apply --wait --quiet -f -

url=$("$PGHERD" db url quickstart)
task=$("$PGHERD" task list --database quickstart --limit 1 -o name)
version=$(select_version "$url")
echo
echo "Connection string   $url"
echo "Password            in $DATA/quickstart.password"
echo "SELECT version()    $version"
echo "API documentation   $PGHERD_SERVER/docs"
echo "Task log            pgherd task logs $task"
"$PGHERD" task logs "$task" | sed 's/^/  /'
