#!/usr/bin/env bash
# Records the README's picture of a run, docs/images/submit_follow.svg: a server and
# a worker of its own, 20,000 glyphs, the example job followed, its loss drawn. Run
# by hand after a change of what trainctl shows; nothing else runs it.
#
#   docs/images/record.sh [--bin FOLDER] [--out FILE]
#
# FOLDER holds the programs; default build/release/bin. Needs asciinema (Debian has
# it) and svg-term (npm install svg-term-cli), on the PATH or named by the variables
# ASCIINEMA and SVG_TERM.
set -euo pipefail

repo="$(cd "$(dirname "$0")/../.." && pwd)"
bin="$repo/build/release/bin"
out="$repo/docs/images/submit_follow.svg"
while [ $# -gt 0 ]; do
  case "$1" in
    --bin) bin="$(cd "$2" && pwd)"; shift ;;
    --out) out=$2; shift ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "unknown option $1: must be --bin FOLDER or --out FILE" >&2; exit 2 ;;
  esac
  shift
done
read -r -a asciinema <<< "${ASCIINEMA:-asciinema}"
read -r -a svg_term <<< "${SVG_TERM:-svg-term}"

unset "${!TRAINYARD_@}"  # of whoever runs this
work=$(mktemp -d)
server_pid=""
worker_pid=""
finish() {
  local pid
  for pid in $worker_pid $server_pid; do
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

# wait_for_line LOG PREFIX: what follows it there, once it is.
wait_for_line() {
  local tries
  for ((tries = 0; tries < 600; tries++)); do
    if grep -q "^$2 " "$1" 2>/dev/null; then
      sed -n "s/^$2 //p" "$1" | head -n 1
      return
    fi
    sleep 0.1
  done
  cat "$1" >&2
  return 1
}

mkdir -p "$work/home/examples/jobs"
cp "$repo/examples/jobs/glyphs_cnn.yaml" "$work/home/examples/jobs/"
"$bin/glyphs" --out "$work/home/examples/jobs/glyphs" --train 20000 --test 2000 > /dev/null
"$bin/trainyard-server" --listen 127.0.0.1:0 --metrics-address 127.0.0.1:0 \
  --state-dir "$work/server" > "$work/server.log" 2>&1 &
server_pid=$!
TRAINYARD_SERVER=$(wait_for_line "$work/server.log" "trainyard-server listening on")
export TRAINYARD_SERVER
"$bin/trainyard-worker" --server "$TRAINYARD_SERVER" --name mini --work-dir "$work/worker" \
  > "$work/worker.log" 2>&1 &
worker_pid=$!
wait_for_line "$work/worker.log" "trainyard-worker mini connected to" > /dev/null

# What is typed, at a hand's speed.
cat > "$work/play.sh" <<'PLAY'
run() {
  local i line="$*"
  printf '\033[32m$\033[0m '
  for ((i = 0; i < ${#line}; i++)); do
    printf '%s' "${line:i:1}"
    sleep 0.03
  done
  sleep 0.4
  printf '\n'
  "$@"
  sleep 1
}
run trainctl submit examples/jobs/glyphs_cnn.yaml --follow
printf '\n'
run trainctl metrics jobs/1 --plot loss
printf '\033[32m$\033[0m '
sleep 4
PLAY

(
  cd "$work/home"
  unset NO_COLOR
  HOME="$work/home" PATH="$bin:$PATH" LC_ALL=C.UTF-8 TERM=xterm-256color SHELL=/bin/bash \
    "${asciinema[@]}" rec --quiet --overwrite --cols 100 --rows 24 -e TERM \
    -c "bash $work/play.sh" "$work/run.cast"
)
"$bin/trainctl" get jobs/1 --output json | grep -q '"state": "succeeded"'
# Its first line tells how it was recorded, and with it where.
if tail -n +2 "$work/run.cast" | grep -F -e "$work" -e "$repo" >&2; then
  echo "the recording shows a path of this machine, see above" >&2
  exit 1
fi
"${svg_term[@]}" --window --width 100 --height 24 --out "$out" < "$work/run.cast"
size=$(wc -c < "$out")
echo "$out: $size bytes"
if [ "$size" -gt 200000 ]; then
  echo "$out is larger than 200,000 bytes: record a shorter run" >&2
  exit 1
fi
