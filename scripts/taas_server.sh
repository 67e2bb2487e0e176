#!/bin/sh
# Prints the path of the program that serves what the public test files expect, and builds it where it is not; the
# features are those of `scripts/test.sh`, after which nothing is left to build.
#   SMESEC_TAAS_SERVER   that program, made before
# It is started as `$program --ignored --exact serve --nocapture` with SMESEC_TAAS_PORT, and ends with its standard input.
set -eu
if [ -z "${SMESEC_TAAS_SERVER:-}" ]; then
    cd "$(dirname "$0")/.."
    SMESEC_TAAS_SERVER=$(cargo test --locked --workspace --all-features --no-run --test taas --message-format=json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*taas-[^"]*\)".*/\1/p' | tail -n 1)
fi
[ -x "$SMESEC_TAAS_SERVER" ]
echo "$SMESEC_TAAS_SERVER"
