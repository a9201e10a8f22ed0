# shellcheck shell=bash
# The command line that systemd/service.sh and launchd/service.sh share; sourced
# after common.sh. Sets action, what, bin, root, purge, system, label and the
# array service_args. Needs bash 3.2 (macOS) or newer.

# parse_service_options usage_lines own_options "$@": own_options are those of
# --system and --label that the caller knows.
# shellcheck disable=SC2034  # read by those who source this
parse_service_options() {
  local usage_lines=$1 own_options=$2
  shift 2
  action="${1:-}" what="${2:-}"
  bin="$REPO/build/release/bin" root="" purge=0 system=0 label="$what"
  service_args=()
  case "$action" in
    -h | --help | "") sed -n "2,${usage_lines}s/^# \{0,1\}//p" "$0"; exit 0 ;;
    install | show | remove) ;;
    *) die "unknown action $action: must be install, show or remove" ;;
  esac
  case "$what" in
    server | worker) ;;
    *) die "$action ${what:-needs a service}: must be server or worker" ;;
  esac
  shift 2
  while [ $# -gt 0 ]; do
    case "$1" in
      --bin) [ $# -ge 2 ] || die "--bin needs a folder"; bin=$2; shift 2; continue ;;
      --root) [ $# -ge 2 ] || die "--root needs a folder"; root=$2; shift 2; continue ;;
      --purge) purge=1; shift; continue ;;
      --) shift; break ;;
    esac
    case " $own_options " in *" $1 "*) ;; *) break ;; esac
    case "$1" in
      --system) system=1; shift ;;
      --label) [ $# -ge 2 ] || die "--label needs a name"; label=$2; shift 2 ;;
    esac
  done
  [ "$action" = install ] || [ $# -eq 0 ] || die "$action $what $1: takes no arguments"
  [ $# -eq 0 ] || service_args=("$@")
  case "$label" in
    *[!a-z0-9-]* | "") die "--label $label: must be of a-z, 0-9 and -" ;;
  esac
}

# check_args [ARGS]: what the program says of them now, rather than at each
# start. Its own defaults for folders are not the service's: they are not asked.
check_args() {
  [ $# -gt 0 ] || return 0
  local said
  said=$("$bin/trainyard-$what" "$@" --check 2>&1) ||
    die "trainyard-$what does not take these arguments: ${said#trainyard-"$what": }"
}

# Programs that the service needs, one a line. Missing ones are found before
# anything is changed.
service_programs() {
  local program
  for program in "trainyard-$what" $([ "$what" = server ] || echo trainyard-runner); do
    [ -x "$bin/$program" ] ||
      die "$bin/$program is not there: build first (tests/run.sh or deploy/quickstart.sh), or give --bin DIR"
    echo "$program"
  done
}

# copy_programs FOLDER: renamed into place, since a running program's file
# cannot be written over.
copy_programs() {
  local program programs
  programs=$(service_programs)
  mkdir -p "$1"
  for program in $programs; do
    cp "$bin/$program" "$1/.$program.new"
    chmod 755 "$1/.$program.new"
    mv -f "$1/.$program.new" "$1/$program"
  done
}
