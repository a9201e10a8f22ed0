#!/usr/bin/env bash
# Runs the server or a worker on a Mac as a launchd service: from log-in or from
# boot, started anew after a crash.
#
#   deploy/launchd/service.sh install server [ARGS]   such as --listen 127.0.0.1:7070
#   deploy/launchd/service.sh install worker [ARGS]   such as --server trainyard.lab:7070
#   deploy/launchd/service.sh show server|worker      state, command line, last log lines
#   deploy/launchd/service.sh remove server|worker    keeps jobs and caches; --purge deletes them
#
# For you alone, from log-in on; with --system (before ARGS, needs root) from boot
# on, as the user who called sudo. Takes the programs from build/release/bin
# (--bin DIR for another folder) and copies them. Installing again without ARGS
# keeps those that are there. Several workers side by side: --label NAME (before
# ARGS) for each further one, with its own --name among ARGS.
#
# --root DIR (before ARGS) puts everything below DIR and starts nothing.
# Not run on a Mac yet: checked with plist tools on Linux only.
set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/../common.sh"

# shellcheck source=deploy/service_options.sh
. "$REPO/deploy/service_options.sh"

parse_service_options 18 "--system --label" "$@"

service="com.trainyard.$label"
if [ "$system" = 1 ]; then
  [ -n "$root" ] || [ "$(id -u)" -eq 0 ] || die "--system needs root: sudo $0 $action $what --system"
  base="$root/Library"
  state="$root/usr/local/var/trainyard/$label"
  programs="$root/usr/local/lib/trainyard"
  plist="$base/LaunchDaemons/$service.plist"
  logs="$base/Logs/Trainyard"
  domain="system"
else
  base="$root$HOME/Library"
  state="$base/Application Support/Trainyard/$label"
  programs="$base/Application Support/Trainyard/bin"
  plist="$base/LaunchAgents/$service.plist"
  logs="$base/Logs/Trainyard"
  domain="gui/$(id -u)"
fi
user="${SUDO_USER:-root}"

in_charge() { [ -z "$root" ] && [ "$(uname -s)" = Darwin ]; }

xml_escape() {
  printf '%s' "$1" | sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g'
}
# What sed puts into a replacement as it is.
sed_escape() { xml_escape "$1" | sed -e 's/[\\|&]/\\&/g'; }

# The arguments of the installed service that install gave it, one a line.
installed_args() {
  sed -n '/<!-- ARGS -->/,/<!-- END -->/s|^ *<string>\(.*\)</string>$|\1|p' "$plist"
}

# The plist on standard output, with the lines of XML in $1 as arguments.
fill_in() {
  local arguments=$1 line
  sed -e "s|@BIN@|$(sed_escape "$programs")|" -e "s|@STATE@|$(sed_escape "$state")|" \
    -e "s|@LOGS@|$(sed_escape "$logs")|" \
    -e "s|com\\.trainyard\\.$what|$service|" -e "s|trainyard-$what\\.log|trainyard-$label.log|" \
    "$REPO/deploy/launchd/com.trainyard.$what.plist" | grep -v 'Installed and filled in' |
    while IFS= read -r line; do
      case "$line" in
        *"<!-- @ARGS@ -->"*)
          echo "    <!-- ARGS -->"
          [ -z "$arguments" ] || printf '%s\n' "$arguments"
          echo "    <!-- END -->"
          ;;
        "  <key>RunAtLoad</key>")
          # A daemon runs as root unless told otherwise.
          if [ "$system" = 1 ]; then
            printf '  <key>UserName</key>\n  <string>%s</string>\n' "$(xml_escape "$user")"
          fi
          printf '%s\n' "$line"
          ;;
        *) printf '%s\n' "$line" ;;
      esac
    done
}

# launchd lets go of a service only when its process is gone: a drain, at most
# ExitTimeOut.
unload() {
  local waited=0
  launchctl bootout "$domain/$service" 2> /dev/null || true
  while launchctl print "$domain/$service" > /dev/null 2>&1; do
    [ $waited -lt 130 ] || die "$service did not end; see launchctl print $domain/$service"
    sleep 1
    waited=$((waited + 1))
  done
}

install_service() {
  in_charge || [ -n "$root" ] || die "this is no Mac: on Linux use deploy/systemd/service.sh"
  local argument arguments=""
  for argument in "$@"; do
    case "$argument" in
      *$'\n'*) die "an argument with a line break cannot be given to a service" ;;
    esac
    arguments="$arguments${arguments:+
}    <string>$(xml_escape "$argument")</string>"
  done
  if [ $# -eq 0 ] && [ -f "$plist" ]; then
    arguments=$(installed_args | sed 's|.*|    <string>&</string>|')
  fi
  service_programs > /dev/null
  check_args "$@"

  copy_programs "$programs"
  mkdir -p "$state" "$logs" "$(dirname "$plist")"
  chmod 700 "$state"
  [ "$system" = 0 ] || [ -n "$root" ] || chown "$user" "$state" "$logs"
  fill_in "$arguments" > "$plist.new"
  mv -f "$plist.new" "$plist"
  if ! in_charge; then
    echo "wrote $plist; launchd is not in charge here, so nothing was started"
    return
  fi
  plutil -lint -s "$plist"
  unload
  launchctl enable "$domain/$service"
  launchctl bootstrap "$domain" "$plist"
  show_service
}

show_service() {
  [ -f "$plist" ] || die "$service is not installed ($plist is not there)"
  echo "$service: $plist"
  echo "arguments: $(installed_args | tr '\n' ' ')"
  if in_charge; then
    launchctl print "$domain/$service" | grep -E '^	(state|pid|last exit code|runs) = ' || true
    tail -n 10 "$logs/trainyard-$label.log" 2> /dev/null || true
  fi
}

# The programs, unless another service of ours runs them, and folders that are
# empty then.
remove_programs() {
  local other
  for other in "$(dirname "$plist")"/com.trainyard.*.plist; do
    [ ! -f "$other" ] || ! grep -qF "/trainyard-$what</string>" "$other" || return 0
  done
  rm -f "$programs/trainyard-$what"
  [ "$what" = server ] || rm -f "$programs/trainyard-runner"
  rmdir "$programs" 2> /dev/null || true
}

remove_service() {
  local done="removed $service"
  if [ ! -f "$plist" ]; then
    done="$service is not installed"
  elif in_charge; then
    unload
  fi
  rm -f "$plist"
  remove_programs
  if [ "$purge" = 1 ]; then
    rm -rf "$state"
    rm -f "$logs/trainyard-$label.log"
    echo "$done; its state and its log are deleted"
  elif [ -d "$state" ]; then
    echo "$done; its state stays in $state (--purge deletes it)"
  else
    echo "$done"
  fi
  rmdir "$logs" "$(dirname "$state")" 2> /dev/null || true
}

case "$action" in
  install) install_service ${service_args[@]+"${service_args[@]}"} ;;
  show) show_service ;;
  remove) remove_service ;;
esac
