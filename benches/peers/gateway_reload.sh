#!/bin/sh
# What a reload of the rules does to the requests that come meanwhile. See gateway_reload.py.
# usage: gateway_reload.sh      (environment: see common.sh)
#   WINDOWS    seconds of requests, every second one with a reload (120)
#   STRICT     1: end with status 1 when a row is SHORT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
need_command python3 "Debian package python3"
need_crs
need_smesec
configuration 1
python3 "$here/gateway_reload.py" "$smesec" "$out/crs-1.conf" --windows "${WINDOWS:-120}" || [ "${STRICT:-0}" != 1 ]
