#!/bin/sh
# What the gateway's firewall adds to a request's time, and how soon streams go on. See gateway_latency.py.
# usage: gateway_latency.sh      (environment: see common.sh)
#   DURATION   seconds of requests (60)
#   STRICT     1: end with status 1 when a row is SHORT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
need_command python3 "Debian package python3"
need_crs
need_smesec
configuration 1
python3 "$here/gateway_latency.py" "$smesec" "$out/crs-1.conf" --seconds "${DURATION:-60}" || [ "${STRICT:-0}" != 1 ]
