# shellcheck shell=bash
# What the scripts share; sourced by them. Needs bash 3.2 (macOS) or newer.
# Sets REPO, the repository's root.

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

say() { printf '\n== %s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# Compile jobs to run at once: one per core, but no more than one per 2 GB of
# memory, which files that include LibTorch take.
parallel_jobs() {
  local cores memory_mb jobs
  if [ "$(uname -s)" = Darwin ]; then
    cores=$(sysctl -n hw.ncpu)
    memory_mb=$(($(sysctl -n hw.memsize) / 1048576))
  else
    cores=$(nproc)
    memory_mb=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo)
  fi
  jobs=$((memory_mb / 2000))
  [ "$jobs" -le "$cores" ] || jobs=$cores
  [ "$jobs" -ge 1 ] || jobs=1
  echo "$jobs"
}

# configure_release [cmake arguments]: build/release by its preset.
configure_release() {
  # ccache counts precompiled headers as misses without this.
  export CCACHE_SLOPPINESS="${CCACHE_SLOPPINESS:-pch_defines,time_macros}"
  # One clone's results serve the next one, wherever it lies.
  export CCACHE_BASEDIR="${CCACHE_BASEDIR:-$REPO}" CCACHE_NOHASHDIR=1
  (cd "$REPO" && cmake --preset release "$@")
}

# build_release [targets]: all targets without arguments.
build_release() {
  local jobs
  jobs=$(parallel_jobs)
  if [ $# -gt 0 ]; then
    cmake --build "$REPO/build/release" -j "$jobs" --target "$@"
  else
    cmake --build "$REPO/build/release" -j "$jobs"
  fi
}
