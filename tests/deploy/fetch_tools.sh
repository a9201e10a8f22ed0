#!/usr/bin/env bash
# Gets tools that deployment tests need into build/, and installs nothing.
#
#   tests/deploy/fetch_tools.sh prometheus    prometheus, promtool, amtool from Debian's packages
#   tests/deploy/fetch_tools.sh npm FOLDER    what FOLDER/package.json names, from npm
#
# The last line of standard output is the folder: of the programs, or the one that holds
# node_modules. Debian's packages are unpacked, not installed: an installed one would start
# daemons. Exits 77 and says "skipped: REASON" where a tool cannot be had.
set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/../../deploy/common.sh"

skip() { echo "skipped: $*"; exit 77; }

# One at a time: tests run side by side.
locked() {
  mkdir -p "$REPO/build"
  command -v flock > /dev/null || return 0
  exec 9> "$REPO/build/.tools.lock"
  flock -w 240 9 || skip "another test holds build/.tools.lock"
}

fetch_prometheus() {
  if command -v prometheus > /dev/null && command -v promtool > /dev/null &&
    command -v amtool > /dev/null; then
    dirname "$(command -v prometheus)"
    return
  fi
  local tools="$REPO/build/tools/prometheus" deb
  if [ ! -f "$tools/complete" ]; then
    if ! command -v apt-get > /dev/null || ! command -v dpkg > /dev/null; then
      skip "prometheus, promtool and amtool are not installed, and there is no apt to fetch them"
    fi
    rm -rf "$tools"
    mkdir -p "$tools/debs"
    (cd "$tools/debs" && apt-get download prometheus prometheus-alertmanager) > "$tools/log" 2>&1 ||
      skip "apt-get download prometheus prometheus-alertmanager: $(tail -n 1 "$tools/log")"
    for deb in "$tools"/debs/*.deb; do
      dpkg -x "$deb" "$tools"
    done
    rm -rf "$tools/debs"
    touch "$tools/complete"
  fi
  echo "$tools/usr/bin"
}

fetch_npm() {
  local folder=$1 target
  [ -f "$folder/package.json" ] || die "$folder has no package.json"
  target="$REPO/build/npm/$(basename "$folder")"
  if ! cmp -s "$folder/package.json" "$target/package.json" || [ ! -f "$target/complete" ]; then
    command -v npm > /dev/null || skip "npm is not installed"
    rm -rf "$target"
    mkdir -p "$target"
    cp "$folder/package.json" "$target/"
    (cd "$target" && npm install --no-audit --no-fund --ignore-scripts --no-package-lock) > "$target/log" 2>&1 ||
      skip "npm install of $folder/package.json: $(grep -m 1 'npm error' "$target/log" || tail -n 1 "$target/log")"
    touch "$target/complete"
  fi
  echo "$target"
}

locked
case "${1:-}" in
  prometheus) fetch_prometheus ;;
  npm) fetch_npm "${2:?the folder of a package.json}" ;;
  *) die "what to fetch: must be prometheus or npm FOLDER" ;;
esac
