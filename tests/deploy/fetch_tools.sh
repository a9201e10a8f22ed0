#!/usr/bin/env bash
# Gets tools that deployment tests need into build/, and installs nothing.
#
#   tests/deploy/fetch_tools.sh prometheus    prometheus, promtool, amtool from Debian's packages
#   tests/deploy/fetch_tools.sh cloud-init    cloud-init, which runs at boot where it is installed
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

# unpack_debs FOLDER PACKAGE...: Debian's packages below FOLDER, once.
unpack_debs() {
  local tools=$1 deb
  shift
  [ ! -f "$tools/complete" ] || return 0
  if ! command -v apt-get > /dev/null || ! command -v dpkg > /dev/null; then
    skip "$1 is not installed, and there is no apt to fetch it"
  fi
  rm -rf "$tools"
  mkdir -p "$tools/debs"
  (cd "$tools/debs" && apt-get download "$@") > "$tools/log" 2>&1 ||
    skip "apt-get download $*: $(tail -n 1 "$tools/log")"
  for deb in "$tools"/debs/*.deb; do
    dpkg -x "$deb" "$tools"
  done
  rm -rf "$tools/debs"
  touch "$tools/complete"
}

fetch_prometheus() {
  if command -v prometheus > /dev/null && command -v promtool > /dev/null &&
    command -v amtool > /dev/null; then
    dirname "$(command -v prometheus)"
    return
  fi
  local tools="$REPO/build/tools/prometheus"
  unpack_debs "$tools" prometheus prometheus-alertmanager
  echo "$tools/usr/bin"
}

fetch_cloud_init() {
  if command -v cloud-init > /dev/null; then
    dirname "$(command -v cloud-init)"
    return
  fi
  local tools="$REPO/build/tools/cloud-init"
  # With the Python packages it imports.
  unpack_debs "$tools" cloud-init python3-yaml python3-configobj python3-six python3-jinja2 \
    python3-markupsafe python3-jsonpatch python3-json-pointer python3-jsonschema python3-attr \
    python3-pyrsistent python3-oauthlib python3-serial python3-netifaces python3-requests \
    python3-urllib3 python3-certifi python3-chardet python3-idna
  mkdir -p "$tools/bin"
  printf '#!/bin/sh\nPYTHONPATH="%s" exec /usr/bin/python3 -S -m cloudinit.cmd.main "$@"\n' \
    "$tools/usr/lib/python3/dist-packages" > "$tools/bin/cloud-init"
  chmod 755 "$tools/bin/cloud-init"
  echo "$tools/bin"
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
  cloud-init) fetch_cloud_init ;;
  npm) fetch_npm "${2:?the folder of a package.json}" ;;
  *) die "what to fetch: must be prometheus, cloud-init or npm FOLDER" ;;
esac
