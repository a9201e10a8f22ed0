#!/usr/bin/env bash
# Checks the shell scripts of the repository with shellcheck.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v shellcheck > /dev/null || { echo "skipped: shellcheck is not installed"; exit 77; }
scripts=(.ci/run)
while IFS= read -r script; do
  scripts+=("$script")
done < <(find deploy tests bench client -name '*.sh' -not -path '*/node_modules/*' | sort)
# SC2119: functions of deploy/common.sh may be called without arguments.
shellcheck -x -e SC2119 "${scripts[@]}"
echo "${#scripts[@]} scripts are in order"
