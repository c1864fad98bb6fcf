#!/usr/bin/env bash
# A real Apache Kafka (KRaft, each node broker and controller) from its published jars, on 127.0.0.1 only.
#   kafka.sh fetch                      Java and jars only
#   kafka.sh start DIR [--nodes N] [--port P] [--tls [CERTDIR]] [--user NAME --password PW] [--acl] [--heap 512m]
#   kafka.sh wait DIR [SECONDS]         until every started node serves (default 60)
#   kafka.sh env DIR                    KAFKA_BOOTSTRAP=host:port,... and with --tls KAFKA_SECURE_BOOTSTRAP, _USER, _PASSWORD, _CA
#   kafka.sh kill DIR [NODE]            SIGKILL one node, or all
#   kafka.sh stop DIR [NODE]            SIGTERM, SIGKILL after 20 s
#   kafka.sh startnode DIR NODE         start a stopped or killed node again: same ports, same data
#   kafka.sh run DIR [OPTIONS]          start, wait, env, READY=1; when stdin ends: kill all and remove DIR
# With --tls there is a second listener: TLS with SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN.
# Another start on the same DIR keeps ports and data.
. "$(dirname "$0")/lib.sh"

# A quick start and a small process. C1 alone costs throughput: a benchmark sets KAFKA_JVM="".
JVM=${KAFKA_JVM--XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -XX:-UsePerfData}

write_config() { # DIR NODE
  local dir=$1 n=$2 nd=$1/n$2 rf isr
  . "$dir/cluster.conf"
  rf=$((NODES < 3 ? NODES : 3)); isr=$((rf == 3 ? 2 : 1))
  local plain=PORT_$n sec=SPORT_$n ctl=CPORT_$n
  mkdir -p "$nd/data" "$nd/tmp"
  {
    cat <<P
process.roles=broker,controller
node.id=$n
controller.quorum.voters=$VOTERS
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
log.dirs=$nd/data
num.partitions=1
default.replication.factor=$rf
min.insync.replicas=$isr
offsets.topic.replication.factor=$rf
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$rf
transaction.state.log.min.isr=$isr
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=$rf
share.coordinator.state.topic.min.isr=$isr
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=500
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=8388608
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
controlled.shutdown.enable=true
P
    if [ -n "$TLS" ]; then
      cat <<P
listeners=PLAIN://127.0.0.1:${!plain},SASL://127.0.0.1:${!sec},CONTROLLER://127.0.0.1:${!ctl}
advertised.listeners=PLAIN://127.0.0.1:${!plain},SASL://127.0.0.1:${!sec}
listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN
listener.name.sasl.sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_$KUSER="$KPASS";
ssl.keystore.type=PEM
ssl.keystore.location=$TLS/server.bundle.pem
ssl.truststore.type=PEM
ssl.truststore.location=$TLS/ca.pem
ssl.client.auth=none
P
    else
      cat <<P
listeners=PLAIN://127.0.0.1:${!plain},CONTROLLER://127.0.0.1:${!ctl}
advertised.listeners=PLAIN://127.0.0.1:${!plain}
listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT
P
    fi
    if [ -n "$ACL" ]; then
      cat <<P
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=false
P
    fi
  } > "$nd/server.properties"
}

format() { # DIR NODE
  local dir=$1 nd=$1/n$2 scram=()
  . "$dir/cluster.conf"
  [ ! -f "$nd/data/meta.properties" ] || return 0
  if [ -n "$TLS" ]; then
    scram=(--add-scram "SCRAM-SHA-512=[name=$KUSER,password=$KPASS]" --add-scram "SCRAM-SHA-256=[name=$KUSER,password=$KPASS]")
  fi
  # shellcheck disable=SC2086 # JVM is a list of flags
  "$JAVA" -Xmx128m $JVM -Dlog4j2.configurationFile="$HERE/kafka/log4j2.properties" -cp "$JARS/*" \
    kafka.tools.StorageTool format --cluster-id="$CLUSTER" -c "$nd/server.properties" ${scram[@]+"${scram[@]}"} > "$nd/format.log" 2>&1 ||
    { cat "$nd/format.log" >&2; die "format of node $2 failed"; }
}

launch() { # DIR NODE
  local dir=$1 nd=$1/n$2
  . "$dir/cluster.conf"
  alive "$nd/pid" "$nd/server.properties" && return 0
  : > "$nd/server.log"
  # shellcheck disable=SC2086 # JVM is a list of flags
  detach "$JAVA" -Xms64m -Xmx"$HEAP" -XX:MaxDirectMemorySize=768m $JVM \
    -Djava.awt.headless=true -Djava.net.preferIPv4Stack=true -Djava.io.tmpdir="$nd/tmp" \
    -Dlog4j2.configurationFile="$HERE/kafka/log4j2.properties" \
    -cp "$JARS/*" kafka.Kafka "$nd/server.properties" > "$nd/server.log" 2>&1 < /dev/null &
  echo $! > "$nd/pid"
}

cmd_start() {
  local dir nodes=1 port="" tls="" user=app pass=app-secret acl="" heap=512m n voters=""
  mkdir -p "$1"; dir=$(cd "$1" && pwd); shift
  while [ $# -gt 0 ]; do case $1 in
    --nodes) nodes=$2; shift 2;;
    --port) port=$2; shift 2;;
    --tls)
      shift
      case ${1:--} in
        -*) tls=$dir/certs; [ -d "$tls" ] || "$HERE/certs.sh" "$tls" || die "no certificates";;
        *) tls=$(cd "$1" && pwd); shift;;
      esac;;
    --user) user=$2; shift 2;;
    --password) pass=$2; shift 2;;
    --acl) acl=1; shift;;
    --heap) heap=$2; shift 2;;
    *) die "unknown option $1";;
  esac; done
  prepare kafka 17 999
  if [ ! -f "$dir/cluster.conf" ]; then
    {
      for ((n = 1; n <= nodes; n++)); do
        if [ "$n" = 1 ] && [ -n "$port" ]; then REPLY=$port; else free_port; fi; echo "PORT_$n=$REPLY"
        free_port; echo "SPORT_$n=$REPLY"
        free_port; echo "CPORT_$n=$REPLY"; voters+="${voters:+,}$n@127.0.0.1:$REPLY"
      done
      printf 'NODES=%q\nVOTERS=%q\nTLS=%q\nKUSER=%q\nKPASS=%q\nACL=%q\nHEAP=%q\nCLUSTER=%q\n' "$nodes" "$voters" "$tls" \
        "$user" "$pass" "$acl" "$heap" "$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')"
    } > "$dir/cluster.conf.tmp"; mv "$dir/cluster.conf.tmp" "$dir/cluster.conf"
  fi
  . "$dir/cluster.conf"
  for ((n = 1; n <= NODES; n++)); do write_config "$dir" "$n"; done
  local pids=() p
  for ((n = 1; n <= NODES; n++)); do format "$dir" "$n" & pids+=($!); done
  for p in "${pids[@]}"; do wait "$p"; done
  for ((n = 1; n <= NODES; n++)); do launch "$dir" "$n"; done
}

cmd_startnode() {
  local dir; dir=$(cd "$1" && pwd)
  prepare kafka 17 999
  launch "$dir" "$2"
}

ready() { # DIR NODE
  local port=PORT_$2
  grep -q 'Kafka Server started' "$1/n$2/server.log" && port_open "${!port}"
}

cmd_wait() {
  local dir limit=${2:-60} n until
  dir=$(cd "$1" && pwd); . "$dir/cluster.conf"; until=$((SECONDS + limit))
  for ((n = 1; n <= NODES; n++)); do
    [ -f "$dir/n$n/pid" ] || continue
    until ready "$dir" "$n"; do
      alive "$dir/n$n/pid" "$dir/n$n/server.properties" || { tail -30 "$dir/n$n/server.log" >&2; die "node $n ended"; }
      [ $SECONDS -lt $until ] || { tail -30 "$dir/n$n/server.log" >&2; die "node $n not ready after $limit s"; }
      sleep 0.1
    done
  done
}

cmd_env() {
  local dir n p s plain="" sec=""
  dir=$(cd "$1" && pwd); . "$dir/cluster.conf"
  for ((n = 1; n <= NODES; n++)); do p=PORT_$n s=SPORT_$n; plain+="${plain:+,}127.0.0.1:${!p}"; sec+="${sec:+,}127.0.0.1:${!s}"; done
  echo "KAFKA_BOOTSTRAP=$plain"
  [ -z "$TLS" ] || printf 'KAFKA_SECURE_BOOTSTRAP=%s\nKAFKA_USER=%s\nKAFKA_PASSWORD=%s\nKAFKA_CA=%s\n' "$sec" "$KUSER" "$KPASS" "$TLS/ca.pem"
}

finish() { # GRACE DIR [NODE]
  local dir n pids=()
  [ -f "$2/cluster.conf" ] || return 0
  dir=$(cd "$2" && pwd); . "$dir/cluster.conf"
  for ((n = 1; n <= NODES; n++)); do
    [ -z "${3:-}" ] || [ "$3" = "$n" ] || continue
    end "$dir/n$n/pid" "$dir/n$n/server.properties" "$1" & pids+=($!)
  done
  for n in ${pids[@]+"${pids[@]}"}; do wait "$n"; done
}
cmd_stop() { finish 20 "$@"; }
cmd_kill() { finish 0 "$@"; }

verb=${1:-}; [ $# -gt 0 ] && shift
case $verb in
  fetch) prepare kafka 17 999;;
  run) [ $# -ge 1 ] || die "usage: kafka.sh run DIR"; hold "$@";;
  startnode) [ $# -eq 2 ] || die "usage: kafka.sh startnode DIR NODE"; cmd_startnode "$@";;
  start|wait|env|stop|kill) [ $# -ge 1 ] || die "usage: kafka.sh $verb DIR"; "cmd_$verb" "$@";;
  *) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2;;
esac
