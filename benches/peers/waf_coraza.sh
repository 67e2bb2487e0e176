#!/bin/sh
# CPU time of Coraza (Go, one processor, its collector's share included) and of ours over the same
# transactions, interleaved, one row each; then Coraza's pass count of the Core Rule Set's regression suite.
# usage: waf_coraza.sh      (environment: see common.sh and waf_modsecurity.sh; SUITE=0 leaves the suite out)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
need_command python3 "Debian package python3"
need_command go "the Go toolchain, 1.25 or newer"
need_crs
(cd "$here/coraza" && go build -buildvcs=false -o "$out/coraza_bench" .) \
    || skipped "Coraza did not build (its modules come through the Go module proxy)"

# Takes out the directives that Coraza does not know, one by one as it names them, and says which.
adapt() {
    configuration "$1"
    cp "$out/crs-$1.conf" "$out/coraza-$1.conf"
    while ! "$out/coraza_bench" -conf "$out/coraza-$1.conf" -mode load > "$out/coraza-$1.load" 2> "$out/coraza-$1.log"; do
        name=$(sed -n 's/.*nknown directive "\{0,1\}\([A-Za-z]*\).*/\1/p' "$out/coraza-$1.log" | head -n 1)
        [ -n "$name" ] && grep -qi "^$name[[:space:]]" "$out/coraza-$1.conf" \
            || { cat "$out/coraza-$1.log"; skipped "Coraza refuses the configuration"; }
        echo "left out for Coraza: $name"
        sed -i "/^$name[[:space:]]/Id" "$out/coraza-$1.conf"
    done
}

rounds=${ROUNDS:-3}
short=0
for level in 1 4; do
    adapt "$level"
    need_smesec
    rm -f "$out/coraza-$level".*.jsonl "$out/ours-$level".*.jsonl
    round=1
    while [ "$round" -le "$rounds" ]; do
        "$out/coraza_bench" -conf "$out/coraza-$level.conf" -requests "$tools/waf/corpus.jsonl" \
            -seconds "${SECONDS_PER_ITEM:-0.4}" > "$out/coraza-$level.$round.jsonl" 2>/dev/null
        "$smesec" waf check --rules "$out/crs-$level.conf" --repeat "${REPEAT:-200}" --requests "$tools/waf/corpus.jsonl" \
            > "$out/ours-$level.$round.jsonl" || test $? -eq 1 # 1: something was found
        round=$((round + 1))
    done
    ours_load "$out/crs-$level.conf" > "$out/ours-$level.load"
    python3 "$here/waf_table.py" --peer coraza --level "$level" --bars coraza \
        --peer-rounds "$out/coraza-$level".*.jsonl --peer-load "$out/coraza-$level.load" \
        --our-rounds "$out/ours-$level".*.jsonl --our-load "$out/ours-$level.load" || short=1
done
if [ "${SUITE:-1}" = 1 ] && python3 -c 'import yaml' 2>/dev/null; then
    adapt ftw
    python3 "$tools/waf/crs_to_jsonl.py" "$corpora/crs" > "$out/crs-tests.jsonl"
    "$out/coraza_bench" -conf "$out/coraza-ftw.conf" -requests "$out/crs-tests.jsonl" -mode classify \
        > "$out/coraza-suite.jsonl" 2>/dev/null
    echo "== Core Rule Set regression stages, Coraza in process"
    python3 "$tools/waf/crs_to_jsonl.py" "$corpora/crs" --score "$out/coraza-suite.jsonl"
fi
[ "${STRICT:-0}" = 1 ] && exit "$short"
exit 0
