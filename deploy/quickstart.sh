#!/usr/bin/env bash
# From a fresh clone to a trained model: installs what is needed, builds, makes
# 70,000 handwritten-like digits, starts a server and a worker on this machine,
# trains the 93 k CNN with live progress, and fetches the model.
#
#   deploy/quickstart.sh               state goes to .trainyard/ in the clone
#   deploy/quickstart.sh --dir DIR     … to DIR
#   deploy/quickstart.sh --keep        leaves server and worker running at the end
#
# TRAINYARD_SKIP_DEPS=1 leaves installing packages out. Can be run again: what is
# there is used. Exits non-zero if validation accuracy stays under 97 %.
set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"

needed_accuracy=0.97
dir="$REPO/.trainyard"
keep=0
while [ $# -gt 0 ]; do
  case "$1" in
    --dir) [ $# -ge 2 ] || die "--dir needs a folder"; dir=$2; shift ;;
    --dir=*) dir=${1#--dir=} ;;
    --keep) keep=1 ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) die "unknown option $1: must be --dir DIR or --keep" ;;
  esac
  shift
done
mkdir -p "$dir"
dir="$(cd "$dir" && pwd)"
bin="$REPO/build/release/bin"
server_pid=""
worker_pid=""
follow_pid=""
run=""

# Ends what this script started, and nothing else.
end_process() {
  local pid=$1 waited=0
  [ -n "$pid" ] && kill -TERM "$pid" 2>/dev/null || return 0
  while kill -0 "$pid" 2>/dev/null && [ $waited -lt 300 ]; do
    sleep 0.1
    waited=$((waited + 1))
  done
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}
finish() {
  local status=$?
  trap - EXIT INT TERM HUP
  end_process "$follow_pid"
  # An interrupted run leaves no job behind that the next one would wait for.
  if [ "$status" -ne 0 ] && [ -n "$run" ] && kill -0 "$server_pid" 2>/dev/null; then
    "$bin/trainctl" cancel "$(submitted_job)" > /dev/null 2>&1 || true
  fi
  if [ "$keep" = 0 ] || [ "$status" -ne 0 ]; then
    end_process "$worker_pid"
    end_process "$server_pid"
  fi
  exit "$status"
}
# The name of this run's job; empty before it was accepted.
submitted_job() {
  "$bin/trainctl" list --label "run=$run" --output json |
    sed -n 's/.*"name": *"\(jobs\/[0-9]*\)".*/\1/p' | head -n 1
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# wait_for_line PID LOG PREFIX: the rest of the first line of LOG that begins with
# PREFIX; dies when the program ends or 60 s pass without it.
wait_for_line() {
  local pid=$1 log=$2 prefix=$3 tries=0 line
  while [ $tries -lt 600 ]; do
    line=$(grep -m 1 "^$prefix " "$log" 2>/dev/null || true)
    if [ -n "$line" ]; then
      echo "${line#"$prefix "}"
      return 0
    fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
    tries=$((tries + 1))
  done
  cat "$log" >&2
  return 1
}

if [ "${TRAINYARD_SKIP_DEPS:-0}" != 1 ]; then
  say "Dependencies"
  "$REPO/deploy/install_deps.sh" --no-tests
fi

say "Build (the first time takes some minutes)"
if [ -f "$REPO/build/release/CMakeCache.txt" ]; then
  configure_release
else
  # Tests come with tests/run.sh and need more packages.
  configure_release -DTRAINYARD_TESTS=OFF -DTRAINYARD_BENCH=OFF
fi
build_release trainyard-server trainyard-worker trainyard-runner trainctl glyphs

say "Data: 60,000 + 10,000 glyphs of the ten digits"
if [ ! -f "$dir/glyphs/t10k-labels-idx1-ubyte" ]; then
  "$bin/glyphs" --out "$dir/glyphs"
else
  echo "$dir/glyphs is there"
fi

say "Server and worker"
# Emptied here and not by the programs' start, lest lines of an earlier run are read.
: > "$dir/server.log"
: > "$dir/worker.log"
nohup "$bin/trainyard-server" --listen 127.0.0.1:0 --metrics-address 127.0.0.1:0 \
  --state-dir "$dir/server" > "$dir/server.log" 2>&1 &
server_pid=$!
address=$(wait_for_line "$server_pid" "$dir/server.log" "trainyard-server listening on") ||
  die "the server did not start (log above)"
export TRAINYARD_SERVER=$address
echo "trainyard-server on $address"
nohup "$bin/trainyard-worker" --server "$address" --name quickstart --work-dir "$dir/worker" \
  > "$dir/worker.log" 2>&1 &
worker_pid=$!
wait_for_line "$worker_pid" "$dir/worker.log" "trainyard-worker quickstart connected to" > /dev/null ||
  die "the worker did not connect (log above)"
"$bin/trainctl" workers

# A label finds the job again, whatever else this state folder holds.
run="quickstart-$(date +%s)-$$"
say "Train: examples/jobs/glyphs_cnn.yaml"
followed=0
# In the background, so that a signal to this script is heard at once.
"$bin/trainctl" submit "$REPO/examples/jobs/glyphs_cnn.yaml" --follow --label "run=$run" \
  --set "training.data.source.upload=$dir/glyphs" &
follow_pid=$!
wait "$follow_pid" || followed=$?
follow_pid=""
job=$(submitted_job)
[ -n "$job" ] || die "the job was not accepted (see above)"
[ "$followed" = 0 ] || die "$job did not succeed (see above); its log: $dir/worker.log"

say "Fetch"
model="$dir/model"
rm -rf "$model"
"$bin/trainctl" artifacts download "$job" --out "$model" > /dev/null

# figure NAME: the last number of that name in the report.
figure() {
  sed -n "s/.*\"$1\": *\([-0-9.eE+]*\).*/\1/p" "$model/report.json" | tail -n 1
}
say "Report"
cat "$model/report.json"
accuracy=$(figure validation_accuracy)
[ -n "$accuracy" ] || die "$model/report.json has no validation_accuracy"

say "Summary"
awk -v a="$accuracy" 'BEGIN { printf "validation accuracy  %.2f %%\n", a * 100 }'
cat <<SUMMARY
job                  $job, SUCCEEDED
model                $model/model.safetensors (and model.json, metrics.jsonl, report.json)
server's state       $dir/server
logs                 $dir/server.log, $dir/worker.log
programs             $bin
SUMMARY
if [ "$keep" = 1 ]; then
  cat <<SUMMARY
still running        trainyard-server (pid $server_pid) on $address, trainyard-worker (pid $worker_pid)
go on with           export TRAINYARD_SERVER=$address PATH=$bin:\$PATH
                     trainctl list; trainctl get $job; trainctl metrics $job
stop them with       kill $worker_pid $server_pid     # what runs goes on from its last step at the next start
SUMMARY
else
  cat <<SUMMARY
go on with           deploy/quickstart.sh --keep, or docs/operations.md for a server that stays
SUMMARY
fi
awk -v a="$accuracy" -v n="$needed_accuracy" 'BEGIN { exit !(a >= n) }' ||
  die "validation accuracy $accuracy is under $needed_accuracy"
