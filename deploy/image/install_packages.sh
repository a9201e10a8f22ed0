#!/bin/sh
# Installs the packages that are named in the file beside it, and the
# certificates of public authorities; called by the Dockerfile.
set -eu
apt-get update -q
# shellcheck disable=SC2046  # a list of names
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
  ca-certificates $(cat "$(dirname "$0")/packages")
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
