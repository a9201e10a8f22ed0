#!/usr/bin/env bash
# What deploy/compose.yaml needs once: a password for Grafana and the folder of
# datasets. Keeps what is there.
#
#   deploy/compose_setup.sh
set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"

secrets="$REPO/deploy/secrets"
password="$secrets/grafana_admin_password"
mkdir -p "$secrets" "${TRAINYARD_DATA:-$REPO/deploy/data}"
# The folder is closed; the file in it is read by Grafana's user in its container.
chmod 0700 "$secrets"
if [ ! -s "$password" ]; then
  umask 022
  head -c 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' > "$password"
  echo "wrote $password"
fi
