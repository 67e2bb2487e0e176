#!/bin/sh
# The newcomer's first minute. On a terminal the shop stays open for the reader's own browser; elsewhere it
# ends when all have been there.
set -eu
if [ -t 0 ] && [ -t 1 ]; then exec "$1" demo; else exec "$1" demo --once; fi
