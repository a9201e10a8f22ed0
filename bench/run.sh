#!/usr/bin/env bash
# Runs one benchmark; bench/README.md says how to read it.
#
#   bench/run.sh                 the names
#   bench/run.sh rpc             empty calls and durable submits per second
#   bench/run.sh rpc --help      its options
#   bench/run.sh telemetry       what the readings of 1,000 workers cost the server
#   bench/run.sh scheduler       what the scheduler takes, and Slurm beside it
#   bench/run.sh ensemble        ensemble inference beside PyTorch in Python
#
# Builds what it needs in build/release and installs nothing. TRAINYARD_BIN=DIR
# takes the programs of that folder as they are. Results go to stdout, one JSON
# object per line; all else goes to stderr.
set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/../deploy/common.sh"

names() {
  echo "benchmarks:"
  echo "  rpc        empty calls and durable submits per second"
  echo "  telemetry  what the readings of 1,000 workers cost the server"
  echo "  scheduler  no-op jobs, latency, 1 M queued jobs, placement, 10,000 workers, Kueue's replay; Slurm"
  echo "  ensemble   4 ResNet-18 and 8 small CNNs, trainyard-runner beside PyTorch in Python"
}

# programs NAME...: sets BIN to the folder that has them, built where needed.
programs() {
  local name
  BIN="${TRAINYARD_BIN:-$REPO/build/release/bin}"
  if [ -z "${TRAINYARD_BIN:-}" ]; then
    if [ ! -f "$REPO/build/release/CMakeCache.txt" ]; then
      configure_release >&2
    fi
    build_release "$@" >&2
  fi
  for name in "$@"; do
    [ -x "$BIN/$name" ] || die "$BIN/$name is not there: build it, or leave TRAINYARD_BIN out"
  done
}

case "${1:-}" in
  rpc)
    shift
    programs trainyard-server trainyard-bench-rpc
    # Beside the programs: the folder for temporary files may be in memory.
    exec "$BIN/trainyard-bench-rpc" --server "$BIN/trainyard-server" \
      --folder "$(dirname "$BIN")" "$@"
    ;;
  telemetry)
    shift
    programs trainyard-bench-telemetry
    exec "$BIN/trainyard-bench-telemetry" --folder "$BIN/.." "$@"
    ;;
  scheduler)
    shift
    programs trainyard-server trainyard-bench-scheduler
    "$BIN/trainyard-bench-scheduler" --server "$BIN/trainyard-server" \
      --folder "$(dirname "$BIN")" "$@"
    python3 "$REPO/bench/scheduler/slurm.py" "$@"
    ;;
  ensemble)
    shift
    programs trainyard-runner glyphs
    # Debian's python3 has its python3-torch; another one may come first on PATH.
    PYTHON="${TRAINYARD_PEER_PYTHON:-/usr/bin/python3}"
    [ -x "$PYTHON" ] || PYTHON=python3
    exec "$PYTHON" "$REPO/bench/ensemble/run.py" --bin "$BIN" --folder "$(dirname "$BIN")" "$@"
    ;;
  "" | -h | --help)
    sed -n '2,13s/^# \{0,1\}//p' "$0"
    names
    ;;
  *)
    names >&2
    die "no benchmark is named \"$1\""
    ;;
esac
