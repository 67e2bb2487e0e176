#!/bin/sh
# The newcomer's first minute: our own test cases through the built-in pack, as a table.
set -eu
smesec=$1
cases=smesec-core/rules/waf/tests
for kind in attacks legitimate; do
  echo
  echo "== $kind, through the built-in rule pack"
  "$smesec" waf check --requests "$cases/$kind.jsonl" | python3 scripts/demo_table.py || test $? -eq 1
done
