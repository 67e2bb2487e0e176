#!/bin/sh
# CPU time of libmodsecurity 3 and of ours over the same transactions, interleaved, one row each.
# usage: waf_modsecurity.sh      (environment: see common.sh)
#   ROUNDS    rounds of peer then ours: many short ones, since what else the machine does comes and goes (5)
#   SECONDS_PER_ITEM  CPU seconds the peer spends on a transaction in a round (0.1)
#   REPEAT    passes of a transaction of ours in a round (100)
#   STRICT    1: end with status 1 when a row is SHORT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
need_command python3 "Debian package python3"
need_crs
need_libmodsecurity
need_smesec
rounds=${ROUNDS:-5}
short=0
for level in 1 4; do
    configuration "$level"
    conf=$out/crs-$level.conf
    rm -f "$out/modsecurity-$level".*.tsv "$out/ours-$level".*.jsonl
    round=1
    while [ "$round" -le "$rounds" ]; do
        "$out/msc_bench" "$modsecurity" "$conf" "$tools/waf/corpus.jsonl" bench "${SECONDS_PER_ITEM:-0.1}" \
            > "$out/modsecurity-$level.$round.tsv" 2> "$out/modsecurity-$level.$round.log"
        "$smesec" waf check --rules "$conf" --repeat "${REPEAT:-100}" --requests "$tools/waf/corpus.jsonl" \
            > "$out/ours-$level.$round.jsonl" || test $? -eq 1 # 1: something was found
        round=$((round + 1))
    done
    ours_load "$conf" > "$out/ours-$level.load"
    python3 "$here/waf_table.py" --peer libmodsecurity --level "$level" --bars modsecurity \
        --peer-rounds "$out/modsecurity-$level".*.tsv --peer-load "$out/modsecurity-$level.1.log" \
        --our-rounds "$out/ours-$level".*.jsonl --our-load "$out/ours-$level.load" || short=1
done
[ "${STRICT:-0}" = 1 ] && exit "$short"
exit 0
