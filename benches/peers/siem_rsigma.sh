#!/bin/sh
# Events a CPU second, JSON included, of our matcher and of RSigma's library over the same lines and rules, interleaved
# in one process; one row a lane, and what either finds that the other does not. `ours-` is ours without its memory
# of what values announce; `parsing` how many times the CPU of our parsing alone ours takes.
# What only ours finds in the corpora: ` /accepteula` with `windash` in a line that says `-accepteula` (both ways,
# as Sigma's specification has it), and the antivirus rules over Windows Defender's events, whose ThreatName and Path
# our table of fields reads as Signature and Filename. Each corpus is in its lane eight times.
# usage: siem_rsigma.sh      (environment: see common.sh; ROUNDS=5, EVENTS=150000)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
need_command python3 "Debian package python3"
[ -d "$corpora/sigma/rules" ] || skipped "no Sigma rules at $corpora/sigma (set SMESEC_CORPORA)"
[ -f "$tools/siem/gen_events.py" ] || skipped "no measuring tools at $tools (set SMESEC_TOOLS)"
target=${CARGO_TARGET_DIR:-$root/target}/siem_rsigma
(cd "$here/siem_rsigma" && CARGO_TARGET_DIR="$target" ${CARGO:-cargo} build -q --release --locked --features peer) \
    || skipped "RSigma did not build (its crates come through the registry)"
bench="$target/release/siem-rsigma"
work="$out/siem"
mkdir -p "$work"

"$bench" flatten "$corpora/evtx/files" > "$work/windows.jsonl"
"$bench" flatten "$corpora/sigma/regression" > "$work/regression.jsonl"
# Some thousand real events again and again, as a fleet of like machines would send them.
repeated() {
    for _ in 1 2 3 4 5 6 7 8; do cat "$1"; done > "$1.all"
    mv "$1.all" "$1"
}
cat "$work/windows.jsonl" "$work/regression.jsonl" | grep '"Channel":"Microsoft-Windows-Sysmon/Operational"' \
    | grep '"EventID":1,' > "$work/sysmon.jsonl"
repeated "$work/windows.jsonl"
repeated "$work/sysmon.jsonl"
python3 "$tools/siem/gen_events.py" --events "${EVENTS:-150000}" "$work/stream.jsonl" > /dev/null 2>&1
cp "$work/stream.jsonl" "$work/mixed.jsonl"
grep '"category": *"webserver"' "$work/stream.jsonl" > "$work/web.jsonl"
grep '"service": *"sshd"' "$work/stream.jsonl" > "$work/sshd.jsonl"
grep '"category": *"process_creation"' "$work/stream.jsonl" > "$work/generated.jsonl"

rules="$corpora/sigma/rules $corpora/sigma/rules-emerging-threats $corpora/sigma/rules-threat-hunting"
for lane in ${LANES:-sysmon generated windows web sshd mixed}; do
    # The rules are many words on purpose.
    # shellcheck disable=SC2086
    ROUNDS=${ROUNDS:-5} "$bench" lane "$lane" "$work/$lane.jsonl" $rules 2> "$work/$lane.differences"
done | python3 -c '
import json, sys
print("lane          events   rules    ours/s   ours-/s    peer/s   ratio  parsing  only ours only peer  (bar: ratio 5)")
for line in sys.stdin:
    f = json.loads(line)
    print("{lane:10} {events:9} {rules:7} {ours_per_s:9.0f} {without_memory_per_s:9.0f} {peer_per_s:9.0f} {ratio:7.2f} "
          "{times_parsing:8.2f} {only_ours:10} {only_peer:9}".format(**f))
'
# Both read every rule file; the best of as many loads.
# shellcheck disable=SC2086
ROUNDS=${ROUNDS:-5} "$bench" load $rules 2> /dev/null | python3 -c '
import json, sys
f = json.loads(sys.stdin.read())
print("load of {rules} rules: {our_load_s:.3f} s CPU, peer {peer_load_s:.3f} s, ratio {load_ratio:.2f} (bar 0.5); "
      "ours takes {our_load_mb:.0f} MB (bar 100)".format(**f))
'
