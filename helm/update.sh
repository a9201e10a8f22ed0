#!/usr/bin/env bash
# Brings what the chart copies up to date: dashboards and alert rules from deploy/, the README's table from values.yaml.
#
#   helm/update.sh
#
# A chart holds only files of its own folder; deploy.helm fails while the copies differ.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p helm/trainyard/files/dashboards
cp deploy/grafana/dashboards/*.json helm/trainyard/files/dashboards/
cp deploy/prometheus/rules.yml helm/trainyard/files/rules.yml
python3 -B helm/values_table.py --write
