#!/usr/bin/env bash
# From a fresh checkout to a running PostgreSQL that pgherd created through its API. Installs what is missing,
# compiles, starts a server on loopback, and creates examples/quickstart.yaml. A second run uses what is there.
#   PGHERD_QUICKSTART_DIR    data directory (root: /var/lib/pgherd-quickstart, else ~/.local/share/...)
#   PGHERD_QUICKSTART_PORT   port of the API, 3000
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

PORT=${PGHERD_QUICKSTART_PORT:-3000}
DATA=${PGHERD_QUICKSTART_DIR:-$(is_root && echo /var/lib/pgherd-quickstart || echo "$HOME/.local/share/pgherd-quickstart")}
PGHERD=$ROOT/dist/pgherd
READY_SECONDS_MAX=30
export PGHERD_SERVER=http://127.0.0.1:$PORT

# answers PATH: whether the server answers with success. Needs no curl.
answers() {
  local status
  status=$( (exec 3<>"/dev/tcp/127.0.0.1/$PORT" && printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&3 && head -n 1 <&3) 2>/dev/null) || return 1
  [[ $status == *" 2"?? || $status == *" 2"??" "* ]]
}

install_missing() {
  ensure_dependencies
  ensure_postgres
  if [ -z "$(postgres_bin)" ]; then
    say "fetching a PostgreSQL into the cache instead"
    scripts/fetch-postgres.sh 17 >&2
  fi
}

start_server() {
  if answers /livez; then
    say "using the server that runs on port $PORT"
    return
  fi
  mkdir -p "$DATA"
  say "starting the server: data in $DATA, log in $DATA/server.log"
  # Its own session, so that it survives this script and its terminal.
  PGHERD_HOST_ID=host-1 setsid "$PGHERD" server run --data-dir "$DATA" --http.port "$PORT" \
    </dev/null >>"$DATA/server.log" 2>&1 &
  local pid=$! waited=0
  until answers /livez; do
    kill -0 "$pid" 2>/dev/null || { tail -n 20 "$DATA/server.log" >&2; die "the server ended: see above"; }
    [ $((waited++)) -lt $((READY_SECONDS_MAX * 10)) ] || die "no answer from the server in $READY_SECONDS_MAX s: see $DATA/server.log"
    sleep 0.1
  done
}

# A password of its own for every machine, readable by its owner only.
password() {
  local file=$DATA/quickstart.password
  if [ ! -s "$file" ]; then (umask 077 && head -c 18 /dev/urandom | base64 | tr '+/' '-_' >"$file"); fi
  cat "$file"
}

install_missing
./compile.sh "$(native_arch)"
start_server
"$PGHERD" cluster get >/dev/null 2>&1 || "$PGHERD" cluster init
PGPASSWORD=$(password)
export PGPASSWORD PGCONNECT_TIMEOUT=10
sed "s/password: change-me.*/password: $PGPASSWORD/" examples/quickstart.yaml | "$PGHERD" db apply --wait -f -

url=$("$PGHERD" db url quickstart)
task=$("$PGHERD" task list --database quickstart --limit 1 -o name)
echo
echo "Connection string   $url"
echo "Password            in $DATA/quickstart.password"
echo "SELECT version()    $(psql -X -At "$url" -c 'SELECT version()')"
echo "API documentation   $PGHERD_SERVER/docs"
echo "Task log            pgherd task logs ${task##*/}"
"$PGHERD" task logs "${task##*/}" | sed 's/^/  /'
