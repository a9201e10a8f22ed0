#!/usr/bin/env bash
# Runs the server or a worker as a systemd service: from boot, restarted after a
# crash, watched, in a sandbox.
#
#   deploy/systemd/service.sh install server [ARGS]   such as --listen 0.0.0.0:7070
#   deploy/systemd/service.sh install worker [ARGS]   such as --server trainyard.lab:7070
#   deploy/systemd/service.sh show server|worker      state, command line, last log lines
#   deploy/systemd/service.sh remove server|worker    keeps jobs and caches; --purge deletes them
#
# Takes the programs from build/release/bin (--bin DIR before ARGS for another
# folder) and copies them to /usr/local/lib/trainyard. ARGS go to
# /etc/trainyard/NAME.env; installing again without ARGS keeps those that are
# there. Secrets belong into files that ARGS name: certificates, keys and tokens
# may be root's alone (0600); systemd hands the service a copy at each start
# (LoadCredential). Needs root.
#
# --root DIR (before ARGS) puts everything below DIR and starts nothing.
set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/../common.sh"

# shellcheck source=deploy/service_options.sh
. "$REPO/deploy/service_options.sh"

parse_service_options 17 "" "$@"

unit="trainyard-$what.service"
programs="/usr/local/lib/trainyard"
unit_file="$root/etc/systemd/system/$unit"
env_file="$root/etc/trainyard/$what.env"
credentials_file="$unit_file.d/credentials.conf"
# Options whose files the service gets as credentials.
case "$what" in
  server) credential_options="tls-cert tls-key tls-client-ca bootstrap-token-hash-file" ;;
  worker) credential_options="tls-ca tls-cert tls-key token-file" ;;
esac

need_root() {
  [ -n "$root" ] || [ "$(id -u)" -eq 0 ] || die "needs root: sudo $0 $action $what"
}
in_charge() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

# One word per argument, as systemd reads an environment file and then splits
# the variable: quoted where it holds a blank.
quoted_args() {
  local argument line=""
  for argument in "$@"; do
    case "$argument" in
      *[\"\'\\$]* | *$'\n'*) die "$argument: quotes, backslashes and \$ cannot be given to a service" ;;
      *[[:space:]]*) argument="\"$argument\"" ;;
    esac
    line="$line${line:+ }$argument"
  done
  echo "$line"
}

# Those groups of the machine that own accelerators.
accelerator_groups() {
  local group found=""
  for group in video render; do
    getent group "$group" > /dev/null 2>&1 && found="$found${found:+ }$group"
  done
  echo "$found"
}

# Splits arguments: plain_args for the environment file, and for each option
# that names a credential's file a line "OPTION FILE" in credentials.
plain_args=() credentials=""
split_args() {
  local option file
  while [ $# -gt 0 ]; do
    option="${1%%=*}"
    option="${option#--}"
    case " $credential_options " in
      *" $option "*) ;;
      *) plain_args+=("$1"); shift; continue ;;
    esac
    case "$1" in
      --*=*) file="${1#*=}"; shift ;;
      --*) [ $# -ge 2 ] || die "$1 needs a file"; file=$2; shift 2 ;;
      *) plain_args+=("$1"); shift; continue ;;
    esac
    if [ "$option=$file" = tls-ca=system ]; then
      plain_args+=("--tls-ca" system)
      continue
    fi
    case "$file" in /*) ;; *) file="$PWD/$file" ;; esac
    case "$file" in
      *[!A-Za-z0-9/._-]*) die "--$option $file: the path of a credential must be of letters, digits, / . _ and -" ;;
    esac
    credentials="$credentials$option $file"$'\n'
  done
}

# The drop-in that hands the files over: readable by root, copied at each start.
write_credentials() {
  local option file words=""
  rm -f "$credentials_file"
  [ -n "$credentials" ] || return 0
  mkdir -p "$(dirname "$credentials_file")"
  {
    echo "# Written by deploy/systemd/service.sh. systemd copies these files at each start."
    echo "[Service]"
    while read -r option file; do
      [ -n "$option" ] || continue
      echo "LoadCredential=$option:$file"
      words="$words --$option \${CREDENTIALS_DIRECTORY}/$option"
    done <<< "$credentials"
    echo "ExecStart="
    sed -n "s|^\(ExecStart=.*\) \$TRAINYARD_ARGS\$|\1$words \$TRAINYARD_ARGS|p" "$unit_file"
  } > "$credentials_file"
}

install_service() {
  need_root
  local line
  split_args "$@"
  line=$(quoted_args ${plain_args[@]+"${plain_args[@]}"})
  service_programs > /dev/null
  check_args "$@"
  copy_programs "$root$programs"

  mkdir -p "$(dirname "$unit_file")"
  mkdir -p "$(dirname "$env_file")"
  sed -e "s|@BIN@|$programs|" -e "s|@GROUPS@|$(accelerator_groups)|" \
    "$REPO/deploy/systemd/$unit" | grep -v '^# Installed and filled in' > "$unit_file"
  if [ $# -gt 0 ] || [ ! -f "$env_file" ]; then
    printf "# Read by %s.\nTRAINYARD_ARGS='%s'\n" "$unit" "$line" > "$env_file"
    write_credentials
  fi
  if ! in_charge; then
    echo "wrote $unit_file and $env_file; systemd is not in charge here, so nothing was started"
    return
  fi
  systemctl daemon-reload
  systemctl enable --quiet "$unit"
  systemctl restart "$unit" ||
    die "$unit did not start: journalctl -u $unit says why"
  show_service
}

show_service() {
  [ -f "$unit_file" ] || die "$unit is not installed ($unit_file is not there)"
  [ ! -f "$env_file" ] || grep '^TRAINYARD_ARGS=' "$env_file"
  [ ! -f "$credentials_file" ] || grep '^LoadCredential=' "$credentials_file"
  if in_charge; then
    systemctl --no-pager --lines=10 status "$unit" || true
  else
    echo "$unit_file is there; systemd is not in charge here"
  fi
}

remove_service() {
  need_root
  local done="removed $unit"
  if [ ! -f "$unit_file" ]; then
    done="$unit is not installed"
  elif in_charge; then
    # Waits for the worker's drain.
    systemctl disable --quiet --now "$unit"
  fi
  rm -f "$unit_file" "$env_file" "$credentials_file"
  rmdir "$unit_file.d" 2> /dev/null || true
  rm -f "$root$programs/trainyard-$what"
  [ "$what" = server ] || rm -f "$root$programs/trainyard-runner"
  rmdir "$root$programs" "$root/etc/trainyard" 2> /dev/null || true
  if in_charge; then systemctl daemon-reload; fi
  # systemd keeps a dynamic user's state there.
  local state="$root/var/lib/private/trainyard-$what"
  if [ "$purge" = 1 ]; then
    rm -rf "$state" "$root/var/lib/trainyard-$what"
    echo "$done; its state is deleted"
  elif [ -d "$state" ]; then
    echo "$done; its state stays in ${state#"$root"} (--purge deletes it)"
  else
    echo "$done"
  fi
}

case "$action" in
  install) install_service ${service_args[@]+"${service_args[@]}"} ;;
  show) show_service ;;
  remove) remove_service ;;
esac
