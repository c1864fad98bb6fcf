# shellcheck shell=bash
# Shared by kafka.sh, cassandra.sh and languages.sh, which source it: tools, jars, ports, processes.
# It keeps to what bash 3.2 and a Mac have too.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
CACHE=${RRHOST_CACHE:-$(cd "$HERE/../.." && pwd)/.cache}/services
mkdir -p "$CACHE"

die() { echo "${0##*/}: $*" >&2; exit 1; }

# ---- tools: a Java that fits, Maven and openssl ----

java_major() { "$1" -version 2>&1 | sed -n 's/^[a-z]* version "\([0-9]*\).*/\1/p' | head -n 1; }

# find_java MIN MAX sets JAVA to the first that is at least MIN and at most MAX.
find_java() {
  local candidate major
  for candidate in "${JAVA_HOME:-}/bin/java" "$(command -v java || true)" \
    /usr/lib/jvm/*/bin/java /Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java /opt/homebrew/opt/openjdk*/bin/java; do
    [ -x "$candidate" ] || continue
    major=$(java_major "$candidate")
    if [ -n "$major" ] && [ "$major" -ge "$1" ] && [ "$major" -le "$2" ]; then
      JAVA=$candidate JAVA_MAJOR=$major
      return 0
    fi
  done
  return 1
}

# install PACKAGE...: by apt-get where that is ours to do, else the line to type.
install() {
  if [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "${0##*/}: installing $*" >&2
    export DEBIAN_FRONTEND=noninteractive
    local apt="apt-get -qq -o DPkg::Lock::Timeout=300"
    $apt install -y --no-install-recommends "$@" >&2 && return 0
    $apt update >&2 && $apt install -y --no-install-recommends "$@" >&2 && return 0
    die "apt-get could not install $*"
  fi
  die "missing: $*
  on Debian or Ubuntu:  sudo apt-get install -y $*
  on a Mac:             brew install openjdk@17 maven openssl python"
}

# The JRE to install: 17 where the distribution has it, for Cassandra knows it best.
jre_package() {
  local p
  for p in openjdk-17-jre-headless openjdk-21-jre-headless; do
    apt-cache show "$p" >/dev/null 2>&1 && { echo "$p"; return; }
  done
  command -v apt-cache >/dev/null && echo default-jre-headless || echo openjdk-17-jre-headless
}

need_java() { # MIN MAX
  find_java "$1" "$2" && return 0
  # A bare machine has no package lists yet, and jre_package asks them.
  if [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ]; then apt-get -qq update >&2 || true; fi
  install "$(jre_package)"
  find_java "$1" "$2" || die "no Java from $1 to $2 found; set JAVA_HOME to one"
}

need() { command -v "$1" >/dev/null || install "$2"; } # COMMAND PACKAGE

# locked COMMAND...: one at a time among all that use this cache, where flock exists. What
# COMMAND makes, it makes under another name first: without flock only work is done twice.
locked() {
  if command -v flock >/dev/null; then
    (flock 9; "$@") 9>"$CACHE/lock"
  else
    "$@"
  fi
}

# prepare NAME MIN MAX: Java, and the jars of NAME/pom.xml in $JARS, fetched once per content of that file.
prepare() {
  if ! find_java "$2" "$3"; then locked need_java "$2" "$3"; find_java "$2" "$3"; fi
  JARS=$CACHE/$1-$(cksum < "$HERE/$1/pom.xml" | cut -d' ' -f1)
  [ -d "$JARS" ] || locked resolve "$1"
}

resolve() { # NAME
  [ -d "$JARS" ] && return 0
  need mvn maven
  echo "${0##*/}: fetching the jars of $1 into $CACHE" >&2
  local try tmp
  tmp=$(mktemp -d "$CACHE/.$1.XXXXXX")
  for try in 1 2 3; do
    if JAVA_HOME=$(cd "$(dirname "$JAVA")/.." && pwd) mvn -q -B -ntp -f "$HERE/$1/pom.xml" \
      dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$tmp" >&2; then
      mv "$tmp" "$JARS" 2>/dev/null || rm -rf "$tmp"
      return 0
    fi
    sleep 2
  done
  rm -rf "$tmp"
  die "could not fetch the jars of $1"
}

# ---- ports ----

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port sets REPLY to a port below the kernel's ephemeral range (32768 and up), so that no outgoing
# connection takes it while its node is down. No subshell: PICKED is to be kept.
PICKED=" "
free_port() {
  local p i
  for i in {1..200}; do
    p=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    case $PICKED in *" $p "*) continue;; esac
    port_open "$p" && continue
    PICKED="$PICKED$p "; REPLY=$p
    return 0
  done
  die "no free port found"
}

# ---- processes ----

# detach COMMAND... replaces the (background) shell: a session of its own, out of reach of the terminal.
detach() { if command -v setsid >/dev/null; then exec setsid "$@"; else exec nohup "$@"; fi; }

# alive PIDFILE MARK: its process runs and has MARK in its command line (a pid may have been given to another).
alive() {
  local pid; [ -f "$1" ] || return 1
  pid=$(cat "$1"); [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || return 1
  if [ -r "/proc/$pid/cmdline" ]; then
    tr '\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$2"
  else
    ps -ww -o command= -p "$pid" 2>/dev/null | grep -qF -- "$2"
  fi
}

# end PIDFILE MARK GRACE: SIGTERM, and SIGKILL after GRACE seconds; at once when GRACE is 0. It waits for the end.
end() {
  local pid i signal=TERM
  [ "$3" != 0 ] || signal=KILL
  if alive "$1" "$2"; then
    pid=$(cat "$1"); kill -"$signal" "$pid" 2>/dev/null || true
    for ((i = 0; i < $3 * 20; i++)); do alive "$1" "$2" || break; sleep 0.05; done
    ! alive "$1" "$2" || kill -KILL "$pid" 2>/dev/null || true
    while alive "$1" "$2"; do sleep 0.05; done
  fi
  rm -f "$1"
}

# hold DIR OPTIONS...: start, wait, print the settings and READY=1, and keep it all until stdin ends: so whoever
# holds the other end of that pipe need only die, in whatever way, for its service to be gone, folder and all.
hold() {
  local dir=$1 try; shift
  [ -z "$(ls -A "$dir" 2>/dev/null)" ] || die "$dir is not empty: run removes its folder at the end"
  mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
  # shellcheck disable=SC2064 # dir as it is now
  trap "cmd_kill '$dir'; [ -n \"\${RRHOST_TEST_KEEP:-}\" ] || rm -rf '$dir'" EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  for try in 1 2 3; do
    # Between the look for a free port and its use another process may have taken it: only that is worth another try.
    # In processes of their own, for set -e does not reach into a condition.
    if { "$0" start "$dir" "$@" && "$0" wait "$dir"; } 2>&1 >/dev/null | tee "$dir/errors" >&2; then break; fi
    if [ "$try" = 3 ] || ! grep -qi 'address already in use' "$dir/errors"; then exit 1; fi
    cmd_kill "$dir"; rm -rf "${dir:?}"/*
  done
  cmd_env "$dir"
  echo READY=1
  while read -r _; do :; done
}
