#!/usr/bin/env python3
"""Streams with known alarms, near misses and late events through `smesec siem run`: every alarm, none false, none repeated.

usage: alarms.py SMESEC [--events N] [--seeds A,B,…]
The generator and the scorer are read from SMESEC_TOOLS, else ../shared/tools. Without them the suite is skipped, loudly.
30 % of the events come up to 120 s late; the run is told `--lateness 130s`.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

from crs import place


def stream(tools, folder, events, seed):
    path = os.path.join(folder, f"stream-{seed}.jsonl")
    subprocess.run([sys.executable, os.path.join(tools, "gen_events.py"), path, "--events", str(events), "--seed", str(seed),
                    "--late", "0.3", "--max-late", "120"], check=True, capture_output=True)
    return path


def alarms_of(smesec, rules, path):
    run = subprocess.run([smesec, "siem", "run", "--json", "--stats", "--rules", rules, "--lateness", "130s", path],
                         capture_output=True, text=True)
    if run.returncode not in (0, 1, 3):
        sys.exit(f"{run.stderr.strip()}")
    stats = next(json.loads(line) for line in run.stderr.splitlines() if line.startswith("{"))
    return run.stdout, stats


def score(tools, path, alarms):
    run = subprocess.run([sys.executable, os.path.join(tools, "score.py"), "alarms", "--truth", path + ".truth.jsonl",
                          "--alarms", "-"], input=alarms, capture_output=True, text=True)
    return json.loads(run.stdout.splitlines()[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("smesec")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seeds", default="7,8,9")
    arguments = parser.parse_args()
    tools = os.path.join(place("SMESEC_TOOLS", "tools"), "siem")
    if not os.path.isdir(tools):
        print(f"SKIPPED: alarms of generated streams, `{tools}` is not there; set SMESEC_TOOLS")
        return 0
    short = False
    for seed in arguments.seeds.split(","):
        with tempfile.TemporaryDirectory() as folder:
            path = stream(tools, folder, arguments.events, int(seed))
            alarms, stats = alarms_of(arguments.smesec, os.path.join(tools, "correlations.yml"), path)
            told = score(tools, path, alarms)
        counts = {key: value for key, value in told.items() if isinstance(value, (int, float))}
        print(f"seed {seed}: {stats['records']} events, {json.dumps(counts)}, run {stats['run_cpu_ms']:.0f} ms CPU, "
              f"correlation state {stats['correlation_bytes'] / 1e6:.1f} MB, late {stats['correlation']['late_dropped']}")
        short |= not perfect(told)
    if short:
        print("alarms: an alarm is missing, false or repeated")
    return int(short)


def perfect(told):
    """Every alarm found, none false, none raised twice."""
    return told["found"] == told["truth"] and told["false"] == 0 and told["repeats"] == 0


if __name__ == "__main__":
    sys.exit(main())
