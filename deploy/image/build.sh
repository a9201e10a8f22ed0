#!/usr/bin/env bash
# Builds programs for an image; called by the Dockerfile.
#
#   deploy/image/build.sh /opt/server trainyard-server
#
# leaves the programs, without symbols, in /opt/server/bin, and in
# /opt/server/packages the names of the Debian packages whose libraries they
# load. $LIBTORCH: the folder of a LibTorch that is no package; empty: Debian's.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$1
shift

# One compile job per core, but no more than one per 2 GB of memory.
memory_gb=$(awk '/^MemAvailable:/ {print int($2 / 2000000)}' /proc/meminfo)
jobs=$(nproc)
[ "$jobs" -le "$memory_gb" ] || jobs=$memory_gb
[ "$jobs" -ge 1 ] || jobs=1

# A cache that the builder mounts makes the next build a short one. The locale
# is part of what it goes by.
export LC_ALL=C.UTF-8 CCACHE_DIR=/ccache CCACHE_SLOPPINESS=pch_defines,time_macros
cmake -S . -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DTRAINYARD_TESTS=OFF -DTRAINYARD_BENCH=OFF ${LIBTORCH:+-DCMAKE_PREFIX_PATH="$LIBTORCH"}
cmake --build /build -j "$jobs" --target "$@"
ccache --show-stats || true

mkdir -p "$out/bin"
for program in "$@"; do
  strip -o "$out/bin/$program" "/build/bin/$program"
done

# The package that owns a library. Libraries of $LIBTORCH belong to none: they
# come with BASE, and the program knows where they are.
owner() {
  local file
  file=$(readlink -f "$1")
  case "$file" in "${LIBTORCH:-/nowhere}"/*) return ;; esac
  # Some packages still name files below /lib, which leads to /usr/lib.
  { dpkg-query -S "$file" 2>/dev/null || dpkg-query -S "${file#/usr}"; } | sed 's/:.*//'
}

for program in "$out"/bin/*; do
  libraries=$(ldd "$program")
  case "$libraries" in *"not found"*) echo "$program: $libraries" >&2; exit 1 ;; esac
  sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' <<< "$libraries" | while read -r library; do
    owner "$library"
  done
done | sort -u > "$out/packages"
[ -s "$out/packages" ] || { echo "no packages found for $*" >&2; exit 1; }
cat "$out/packages"
