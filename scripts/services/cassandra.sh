#!/usr/bin/env bash
# A real Apache Cassandra node from its published jars, on 127.0.0.1 only.
#   cassandra.sh fetch                  Java and jars only
#   cassandra.sh start DIR [--port P] [--auth] [--tls [CERTDIR]] [--tls-optional] [--mtls] [--heap 1g]
#   cassandra.sh wait DIR [SECONDS]     until its CQL port is open (default 120); with --auth try a login until it works
#   cassandra.sh env DIR                CASSANDRA_ADDRESS, with --auth CASSANDRA_USER and _PASSWORD, with --tls CASSANDRA_CA
#   cassandra.sh kill DIR               SIGKILL
#   cassandra.sh stop DIR               SIGTERM, SIGKILL after 30 s
#   cassandra.sh run DIR [OPTIONS]      start, wait, env, READY=1; when stdin ends: kill it and remove DIR
# Another start on the same DIR keeps port and data.
. "$(dirname "$0")/lib.sh"

# A quick start and a small process. C1 alone costs throughput: a benchmark sets CASSANDRA_JVM=-XX:+UseG1GC.
JVM=${CASSANDRA_JVM--XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -XX:-UsePerfData}

# What Cassandra 5 needs of the modules of JDK 17 and later.
JPMS=(
  -Djdk.attach.allowAttachSelf=true
  --add-exports=java.base/jdk.internal.misc=ALL-UNNAMED
  --add-exports=java.management.rmi/com.sun.jmx.remote.internal.rmi=ALL-UNNAMED
  --add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED
  --add-exports=java.rmi/sun.rmi.server=ALL-UNNAMED
  --add-exports=java.sql/java.sql=ALL-UNNAMED
  --add-exports=java.base/java.lang.ref=ALL-UNNAMED
  --add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED
  --add-exports=jdk.attach/sun.tools.attach=ALL-UNNAMED
  --add-opens=java.base/java.lang.module=ALL-UNNAMED
  --add-opens=java.base/jdk.internal.loader=ALL-UNNAMED
  --add-opens=java.base/jdk.internal.ref=ALL-UNNAMED
  --add-opens=java.base/jdk.internal.reflect=ALL-UNNAMED
  --add-opens=java.base/jdk.internal.math=ALL-UNNAMED
  --add-opens=java.base/jdk.internal.module=ALL-UNNAMED
  --add-opens=java.base/jdk.internal.util.jar=ALL-UNNAMED
  --add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED
  --add-opens=java.base/sun.nio.ch=ALL-UNNAMED
  --add-opens=java.base/java.io=ALL-UNNAMED
  --add-opens=java.base/java.lang=ALL-UNNAMED
  --add-opens=java.base/java.lang.reflect=ALL-UNNAMED
  --add-opens=java.base/java.util=ALL-UNNAMED
  --add-opens=java.base/java.nio=ALL-UNNAMED
  -Dio.netty.tryReflectionSetAccessible=true
)
# A lone node has nobody to wait for.
QUICK=(
  -Dcassandra.skip_wait_for_gossip_to_settle=0
  -Dcassandra.ring_delay_ms=0
  -Dcassandra.superuser_setup_delay_ms=0
  -Dcassandra.load_ring_state=false
  -Dcassandra.initial_token=0
)

# Cassandra 5 sets a security manager, which Java 18 and later allow only when asked, and 24 never.
needs() { prepare cassandra 17 23; [ "$JAVA_MAJOR" -lt 18 ] || JPMS+=(-Djava.security.manager=allow); }

write_config() { # DIR
  local dir=$1 stores="" text
  . "$dir/node.conf"
  if [ -n "$TLS" ]; then
    stores="  keystore: $TLS/server.p12
  keystore_password: changeit
  store_type: PKCS12"
    [ -z "$MTLS" ] || stores+="
  truststore: $TLS/truststore.p12
  truststore_password: changeit"
  fi
  text=$(cat "$HERE/cassandra/cassandra.yaml")
  text=${text//@DIR@/$dir}; text=${text//@STORAGE_PORT@/$STORAGE_PORT}; text=${text//@SSL_STORAGE_PORT@/$SSL_STORAGE_PORT}
  text=${text//@CQL_PORT@/$CQL_PORT}
  text=${text//@AUTHENTICATOR@/$([ -n "$AUTH" ] && echo PasswordAuthenticator || echo AllowAllAuthenticator)}
  text=${text//@AUTHORIZER@/$([ -n "$AUTH" ] && echo CassandraAuthorizer || echo AllowAllAuthorizer)}
  text=${text//@TLS@/$([ -n "$TLS" ] && echo true || echo false)}
  text=${text//@TLS_OPTIONAL@/$([ -n "$OPTIONAL" ] && echo true || echo false)}
  text=${text//@TLS_CLIENT_AUTH@/$([ -n "$MTLS" ] && echo true || echo false)}
  text=${text//@TLS_STORES@/$stores}
  printf '%s\n' "$text" > "$dir/cassandra.yaml"
}

cmd_start() {
  local dir port="" tls="" optional="" mtls="" auth="" heap=1g sp
  mkdir -p "$1"; dir=$(cd "$1" && pwd); shift
  while [ $# -gt 0 ]; do case $1 in
    --port) port=$2; shift 2;;
    --tls)
      shift
      case ${1:--} in
        -*) tls=$dir/certs; [ -d "$tls" ] || "$HERE/certs.sh" "$tls" || die "no certificates";;
        *) tls=$(cd "$1" && pwd); shift;;
      esac;;
    --tls-optional) optional=1; shift;;
    --mtls) mtls=1; shift;;
    --auth) auth=1; shift;;
    --heap) heap=$2; shift 2;;
    *) die "unknown option $1";;
  esac; done
  needs
  if [ ! -f "$dir/node.conf" ]; then
    if [ -z "$port" ]; then free_port; port=$REPLY; fi
    free_port; sp=$REPLY; free_port
    printf 'CQL_PORT=%q\nSTORAGE_PORT=%q\nSSL_STORAGE_PORT=%q\nTLS=%q\nOPTIONAL=%q\nMTLS=%q\nAUTH=%q\nHEAP=%q\n' \
      "$port" "$sp" "$REPLY" "$tls" "$optional" "$mtls" "$auth" "$heap" > "$dir/node.conf"
  fi
  . "$dir/node.conf"
  alive "$dir/pid" "$dir/cassandra.yaml" && return 0
  write_config "$dir"; mkdir -p "$dir/tmp" "$dir/logs"
  # shellcheck disable=SC2086 # JVM is a list of flags
  detach "$JAVA" -Xms256m -Xmx"$HEAP" -Xss512k -XX:MaxDirectMemorySize=256m -XX:+ExitOnOutOfMemoryError $JVM \
    -javaagent:"$JARS/jamm-0.4.0.jar" "${JPMS[@]}" "${QUICK[@]}" \
    -Djava.awt.headless=true -Djava.net.preferIPv4Stack=true \
    -Djava.io.tmpdir="$dir/tmp" -Djna.tmpdir="$dir/tmp" -Dio.netty.native.workdir="$dir/tmp" \
    -Dcassandra.config="file://$dir/cassandra.yaml" -Dcassandra.storagedir="$dir" -Dcassandra.logdir="$dir/logs" \
    -Dlogback.configurationFile="$HERE/cassandra/logback.xml" \
    -cp "$JARS/*" org.apache.cassandra.service.CassandraDaemon > "$dir/server.log" 2>&1 < /dev/null &
  echo $! > "$dir/pid"
}

# The log is a poor sign of readiness: the port is asked.
cmd_wait() {
  local dir limit=${2:-120} until
  dir=$(cd "$1" && pwd); . "$dir/node.conf"; until=$((SECONDS + limit))
  until port_open "$CQL_PORT"; do
    alive "$dir/pid" "$dir/cassandra.yaml" || { tail -40 "$dir/server.log" >&2; die "the node ended"; }
    [ $SECONDS -lt $until ] || { tail -40 "$dir/server.log" >&2; die "not ready after $limit s"; }
    sleep 0.1
  done
}

cmd_env() {
  local dir; dir=$(cd "$1" && pwd); . "$dir/node.conf"
  echo "CASSANDRA_ADDRESS=127.0.0.1:$CQL_PORT"
  [ -z "$AUTH" ] || printf 'CASSANDRA_USER=cassandra\nCASSANDRA_PASSWORD=cassandra\n'
  [ -z "$TLS" ] || printf 'CASSANDRA_CA=%s\n' "$TLS/ca.pem"
}

finish() { # GRACE DIR
  local dir
  [ -d "$2" ] || return 0
  dir=$(cd "$2" && pwd)
  end "$dir/pid" "$dir/cassandra.yaml" "$1"
}
cmd_stop() { finish 30 "$1"; }
cmd_kill() { finish 0 "$1"; }

verb=${1:-}; [ $# -gt 0 ] && shift
case $verb in
  fetch) needs;;
  run) [ $# -ge 1 ] || die "usage: cassandra.sh run DIR"; hold "$@";;
  start|wait|env|stop|kill) [ $# -ge 1 ] || die "usage: cassandra.sh $verb DIR"; "cmd_$verb" "$@";;
  *) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2;;
esac
