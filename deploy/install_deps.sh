#!/usr/bin/env bash
# Installs what Trainyard needs to build and to test itself: Debian and Ubuntu
# (apt), macOS (Homebrew). Asks nothing; takes a second when all is there.
#
#   deploy/install_deps.sh                 everything
#   deploy/install_deps.sh --no-tests      only what building needs
#   deploy/install_deps.sh --no-libtorch   not the package of LibTorch: you have another
#   deploy/install_deps.sh --dry-run       says what it would install
#
# Exits non-zero only if something that building needs is missing; test
# additions that cannot be had are named, and the tests that want them skip.
# The macOS part has not been run yet.
set -euo pipefail

# What building needs. Names are Debian's.
APT_BUILD="g++ cmake ninja-build pkg-config ca-certificates
  protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libgrpc++-dev libabsl-dev
  libsqlite3-dev prometheus-cpp-dev libspdlog-dev libcli11-dev libyaml-cpp-dev
  nlohmann-json3-dev libcpp-httplib-dev libturbojpeg0-dev libspng-dev zlib1g-dev libssl-dev"
APT_LIBTORCH="libtorch-dev libopenblas0-pthread libdnnl-dev"
# Makes builds faster; nothing breaks without it.
APT_SPEED="ccache mold"
# What tests add.
APT_TEST="libgtest-dev libgmock-dev python3 python3-grpcio python3-protobuf python3-numpy
  python3-torch python3-torchvision nodejs npm curl jq shellcheck systemd"
# What builds and runs container images without a daemon.
APT_TEST="$APT_TEST mmdebstrap buildah podman runc docker-compose python3-yaml"
# What renders and checks the Helm chart; helm itself is used where it is installed.
APT_TEST="$APT_TEST golang-go golang-github-masterminds-sprig-dev golang-k8s-sigs-yaml-dev python3-jsonschema"

BREW_BUILD="cmake ninja pkgconf protobuf grpc abseil sqlite prometheus-cpp spdlog cli11
  yaml-cpp nlohmann-json cpp-httplib jpeg-turbo libspng zlib openssl@3 pytorch"
BREW_SPEED="ccache"
BREW_TEST="googletest python numpy node jq shellcheck"

with_tests=1
dry_run=0
for argument in "$@"; do
  case "$argument" in
    --no-tests) with_tests=0 ;;
    --no-libtorch) APT_LIBTORCH="" ;;
    --dry-run) dry_run=1 ;;
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "install_deps: unknown option $argument: must be --no-tests, --no-libtorch or --dry-run" >&2; exit 2 ;;
  esac
done

say() { echo "install_deps: $*"; }
fail() { echo "install_deps: $*" >&2; exit 1; }

# Node.js may come with its own npm, outside the package system.
provided() {
  case "$1" in
    nodejs | node) command -v node >/dev/null 2>&1 ;;
    npm) command -v npm >/dev/null 2>&1 ;;
    g++) command -v g++ >/dev/null 2>&1 ;;
    *) return 1 ;;
  esac
}

# ---- apt

apt_installed() {
  local status
  status=$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) || status=""
  [ "$status" = installed ] || provided "$1"
}

# Those of the arguments that are not installed.
apt_missing() {
  local package
  for package in "$@"; do
    apt_installed "$package" || echo "$package"
  done
}

# Reads all of the answer: apt-cache may end with an error if nobody does.
apt_candidate() {
  LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep '^  Candidate: [^(]' >/dev/null
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1; then
    sudo "$@"
  else
    fail "not root and no sudo; run as root: $*"
  fi
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "$@"
}

# One by one where together fails, so that one bad package costs only itself.
apt_install_optional() {
  apt_install "$@" && return 0
  local package
  for package in "$@"; do
    apt_install "$package" || say "could not install $package; what needs it is left out"
  done
}

# Some tools for tests come with services. Tests run the programs themselves,
# so nothing is started, now or at the next boot.
policy_file=/usr/sbin/policy-rc.d
apt_install_tools() {
  local package units=""
  for package in "$@"; do
    [ "$package" != podman ] ||
      units="$units podman.socket podman.service podman-restart.service podman-auto-update.timer"
  done
  if [ -e "$policy_file" ]; then  # this system has its own say already
    apt_install_optional "$@"
  else
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy_file" > /dev/null
    as_root chmod +x "$policy_file"
    # shellcheck disable=SC2064  # as it is now
    trap "as_root rm -f $policy_file" EXIT
    apt_install_optional "$@"
    as_root rm -f "$policy_file"
    trap - EXIT
  fi
  if [ -n "$units" ] && command -v systemctl >/dev/null 2>&1; then
    # shellcheck disable=SC2086
    as_root systemctl --quiet disable $units || say "could not disable$units"
  fi
}

install_with_apt() {
  local need optional unavailable package
  # shellcheck disable=SC2086  # lists of names
  need=$(apt_missing $APT_BUILD $APT_LIBTORCH)
  # shellcheck disable=SC2086
  optional=$(apt_missing $APT_SPEED)
  if [ "$with_tests" = 1 ]; then
    # shellcheck disable=SC2086
    optional="$optional $(apt_missing $APT_TEST)"
  fi
  if [ -z "$need" ] && [ -z "${optional// /}" ]; then
    say "everything is there"
    return
  fi
  # shellcheck disable=SC2086
  say missing: $need $optional
  [ "$dry_run" = 0 ] || return 0
  as_root apt-get update -q -o DPkg::Lock::Timeout=300 ||
    say "apt-get update failed; going on with the lists that are here"

  unavailable=""
  for package in $need; do
    apt_candidate "$package" || unavailable="$unavailable $package"
  done
  if [ -n "$unavailable" ]; then
    echo "install_deps: this system has no package for:$unavailable" >&2
    case "$unavailable" in
      *libtorch-dev*)
        echo "install_deps: LibTorch: unpack a CPU or CUDA build from pytorch.org and configure with" >&2
        echo "  -DCMAKE_PREFIX_PATH=/path/to/libtorch, or build without the runner by" >&2
        echo "  -DTRAINYARD_WITH_RUNNER=OFF. Debian 12 and 13 have the package." >&2 ;;
    esac
    exit 1
  fi
  if [ -n "$need" ]; then
    # shellcheck disable=SC2086
    apt_install $need || fail "apt-get could not install what building needs (see above)"
  fi
  local present=""
  for package in $optional; do
    if apt_candidate "$package"; then
      present="$present $package"
    else
      say "this system has no package $package; what needs it is left out"
    fi
  done
  # shellcheck disable=SC2086
  [ -z "$present" ] || apt_install_tools $present
  say "done"
}

# ---- Homebrew

brew_missing() {
  local installed formula
  installed=" $(brew list --formula -1 | tr '\n' ' ') "
  for formula in "$@"; do
    case "$installed" in
      *" $formula "*) ;;
      *) provided "$formula" || echo "$formula" ;;
    esac
  done
}

install_with_brew() {
  command -v brew >/dev/null 2>&1 || fail "Homebrew is missing: see https://brew.sh"
  xcode-select -p >/dev/null 2>&1 || fail "Apple's compiler is missing: run xcode-select --install"
  local need optional formula
  # shellcheck disable=SC2086
  need=$(brew_missing $BREW_BUILD)
  optional="$BREW_SPEED"
  [ "$with_tests" = 0 ] || optional="$optional $BREW_TEST"
  # shellcheck disable=SC2086
  optional=$(brew_missing $optional)
  if [ -z "$need$optional" ]; then
    say "everything is there"
    return
  fi
  # shellcheck disable=SC2086
  say missing: $need $optional
  [ "$dry_run" = 0 ] || return 0
  export HOMEBREW_NO_INSTALL_CLEANUP=1 NONINTERACTIVE=1
  if [ -n "$need" ]; then
    # shellcheck disable=SC2086
    brew install $need || fail "brew could not install what building needs (see above)"
  fi
  for formula in $optional; do
    brew install "$formula" || say "could not install $formula; what needs it is left out"
  done
  say "done"
}

if [ "$(uname -s)" = Darwin ]; then
  install_with_brew
elif command -v apt-get >/dev/null 2>&1; then
  install_with_apt
else
  # shellcheck disable=SC2086
  fail knows apt and Homebrew only\; install the equivalents of: $APT_BUILD $APT_LIBTORCH
fi
