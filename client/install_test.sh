#!/bin/sh
# Installs the client library of a build folder and builds the example against
# it, as another project would: install_test.sh BUILD_FOLDER
set -eu
build=$1
source=${TRAINYARD_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" --component client > "$work/log" ||
  { cat "$work/log"; exit 1; }
cmake -S "$source/examples/client_cpp" -B "$work/example" \
  -DCMAKE_PREFIX_PATH="$work/prefix" > "$work/log" || { cat "$work/log"; exit 1; }
cmake --build "$work/example" || exit 1
# No server and no data: the usage error shows that it runs.
status=0
"$work/example/submit_and_watch" 2> "$work/err" || status=$?
[ "$status" = 2 ] && grep -q usage "$work/err"
