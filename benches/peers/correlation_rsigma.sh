#!/bin/sh
# CPU time and alarms of RSigma's library and of our correlator over the same stream of a million events,
# of which three in ten come up to two minutes late; then ours cut into batches, with snapshots and sharded.
# usage: correlation_rsigma.sh      (environment: see common.sh; SEEDS, ROUNDS, EVENTS)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
need_command python3 "Debian package python3"
[ -f "$tools/siem/gen_events.py" ] || skipped "no measuring tools at $tools (set SMESEC_TOOLS)"
target=${CARGO_TARGET_DIR:-$root/target}/peers-correlation
(cd "$here/correlation_rsigma" && CARGO_TARGET_DIR="$target" ${CARGO:-cargo} build -q --locked --release --features peer) \
    || skipped "RSigma did not build (its crates come through the registry)"
lane="$target/release/correlation-rsigma"
rules="$tools/siem/correlations.yml"

for seed in ${SEEDS:-7 8 9}; do
    stream="$out/correlation-$seed.jsonl"
    [ -f "$stream" ] || python3 "$tools/siem/gen_events.py" "$stream" --events "${EVENTS:-1000000}" \
        --late 0.3 --max-late 120 --seed "$seed" > /dev/null
    echo "== seed $seed"
    "$lane" parse "$stream" -
    round=1
    while [ "$round" -le "${ROUNDS:-3}" ]; do
        "$lane" rsigma "$stream" "$rules" --alarms "$out/correlation-rsigma.jsonl"
        "$lane" ours "$stream" "$rules" --lateness 130s --alarms "$out/correlation-ours.jsonl"
        round=$((round + 1))
    done
    for who in rsigma ours; do
        echo "$who:"
        python3 "$tools/siem/score.py" alarms --truth "$stream.truth.jsonl" --alarms "$out/correlation-$who.jsonl" || true
    done
    ids() { sed 's/.*"id":"\([0-9a-f]*\)".*/\1/' "$1" | sort; }
    ids "$out/correlation-ours.jsonl" > "$out/correlation-ids"
    for how in "--batch 1" "--batch 7" "--batch 1000" "--snapshot 1000" "--buckets 16"; do
        # shellcheck disable=SC2086 # an option and its value
        "$lane" ours "$stream" "$rules" --lateness 130s $how --alarms "$out/correlation-how.jsonl" > /dev/null
        ids "$out/correlation-how.jsonl" | cmp -s - "$out/correlation-ids" \
            && echo "$how: the same $(wc -l < "$out/correlation-ids") alarm ids" \
            || { echo "$how: OTHER alarm ids"; exit 1; }
    done
done
