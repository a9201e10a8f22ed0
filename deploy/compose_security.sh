#!/bin/sh
# Certificates and tokens of deploy/compose.yaml, made in its containers:
#
#   compose_security.sh certificates HOST...   a CA and the first admin's token,
#                                              once; the server's certificate
#                                              for those names, each time
#   compose_security.sh tokens WORKER          the worker's own token, once
#
# Each folder below $SECURITY is a volume. Nobody gets more than it needs: the
# CA's key and the admin's token stay in authority.
set -eu
cd "${SECURITY:-/security}"

case "$1" in
  certificates)
    shift
    names="$*"
    for host in "$@"; do set -- "$@" --host "$host"; shift; done
    trainctl setup --dir authority --force "$@" > /dev/null
    install -m 0600 authority/server.crt authority/server.key authority/bootstrap-token.hash server/
    install -m 0644 authority/ca.crt worker/
    install -m 0644 authority/ca.crt metrics/
    echo "the server's certificate is for $names" ;;
  tokens)
    if [ ! -s worker/token ]; then
      trainctl tokens create --role worker --worker "$2" --name compose --out worker/token
    fi ;;
  *) echo "compose_security.sh $1: must be certificates or tokens" >&2; exit 2 ;;
esac
