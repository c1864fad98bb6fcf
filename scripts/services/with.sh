#!/usr/bin/env bash
# with.sh COMMAND...: runs COMMAND with a real Kafka and a real Cassandra of its own, and ends both with it,
# however it ends. COMMAND finds them in the variables that package testservices reads:
#   RRHOST_TEST_KAFKA              bootstrap addresses, no login
#   RRHOST_TEST_KAFKA_SECURE       the same brokers over TLS with SCRAM; with _USER, _PASSWORD and _CA
#   RRHOST_TEST_CASSANDRA          host:port
# What is set already is left as it is, and not started. RRHOST_TEST_KEEP=1 keeps folders and logs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2; }

work=$(mktemp -d "${TMPDIR:-/tmp}/rrhost-with.XXXXXX")
services=()
finish() {
  local pid
  exec 7>&- || true # the services end with this pipe
  for pid in ${services[@]+"${services[@]}"}; do wait "$pid" || true; done
  [ -n "${RRHOST_TEST_KEEP:-}" ] || rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkfifo "$work/hold"
begin() { # NAME OPTIONS...
  local name=$1; shift
  "$here/$name.sh" run "$work/$name" "$@" < "$work/hold" > "$work/$name.env" 2> "$work/$name.err" &
  services+=($!)
}
settings() { # NAME: waits for it and reads its settings
  local pid=$2
  until grep -q '^READY=1' "$work/$1.env"; do
    kill -0 "$pid" 2>/dev/null || { cat "$work/$1.err" >&2; echo "with.sh: $1 did not start" >&2; exit 1; }
    sleep 0.1
  done
  . "$work/$1.env"
}

kafka="" cassandra=""
if [ -z "${RRHOST_TEST_KAFKA:-}" ] || [ -z "${RRHOST_TEST_KAFKA_SECURE:-}" ]; then begin kafka --tls --heap 768m; kafka=$!; fi
if [ -z "${RRHOST_TEST_CASSANDRA:-}" ]; then begin cassandra; cassandra=$!; fi
exec 7<>"$work/hold"

if [ -n "$kafka" ]; then
  settings kafka "$kafka"
  export RRHOST_TEST_KAFKA=${RRHOST_TEST_KAFKA:-$KAFKA_BOOTSTRAP}
  if [ -z "${RRHOST_TEST_KAFKA_SECURE:-}" ]; then
    export RRHOST_TEST_KAFKA_SECURE=$KAFKA_SECURE_BOOTSTRAP RRHOST_TEST_KAFKA_USER=$KAFKA_USER \
      RRHOST_TEST_KAFKA_PASSWORD=$KAFKA_PASSWORD RRHOST_TEST_KAFKA_CA=$KAFKA_CA
  fi
fi
if [ -n "$cassandra" ]; then
  settings cassandra "$cassandra"
  export RRHOST_TEST_CASSANDRA=$CASSANDRA_ADDRESS
fi
"$@" 7>&-
