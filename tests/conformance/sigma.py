#!/usr/bin/env python3
"""Runs SigmaHQ's regression cases and the agreed detections over EVTX samples through `smesec siem run` and holds the floors.

usage: sigma.py SMESEC
The corpora are read from SMESEC_CORPORA, else ../shared/corpora; the scorer from SMESEC_TOOLS, else ../shared/tools.
Without them the suite is skipped, loudly. All 3,780 rules have to load or to be named, and what is reported beyond the
agreed detections has to stand with its reason in disputed.toml.
"""
import json
import os
import subprocess
import sys
import tomllib

from crs import ROOT, place

FOLDERS = ("rules", "rules-emerging-threats", "rules-threat-hunting", "rules-placeholder", "rules-compliance", "rules-dfir")


def score(arguments):
    """The scorer's figures; further lines name what failed."""
    run = subprocess.run([sys.executable, os.path.join(place("SMESEC_TOOLS", "tools"), "siem", "score.py"), *arguments],
                         capture_output=True, text=True)
    lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    if not lines:
        print(run.stderr, file=sys.stderr)
        return {}, []
    return lines[0], lines[1:]


def rules(smesec, sigma):
    """How many rules load, and how many are refused by name."""
    run = subprocess.run([smesec, "rules", "check", "--language", "sigma", "--json", *(os.path.join(sigma, f) for f in FOLDERS)],
                         capture_output=True, text=True)
    report = json.loads(run.stdout)
    nameless = [refused for refused in report["refused"] if not refused["file"] or not refused["line"] or not refused["why"]]
    return report["loaded"], len(report["refused"]), len(report["degraded"]), nameless


def can_read_evtx(smesec, sigma, case):
    run = subprocess.run([smesec, "siem", "run", "--json", "--rules", os.path.join(sigma, "rules", "windows", "process_creation"),
                          os.path.join(sigma, case)], capture_output=True, text=True)
    return run.returncode in (0, 1, 3)


def unexplained(extra, told):
    """What is reported and not explained, or explained with another count."""
    wrong = []
    for pair in sorted(extra.keys() | told.keys()):
        got, known = extra.get(pair, 0), told.get(pair)
        if known is None:
            wrong.append(f"{pair[0]} in {pair[1]}: {got} reported, no reason is given")
        elif known != got:
            wrong.append(f"{pair[0]} in {pair[1]}: {got} reported, disputed.toml explains {known}")
    return wrong


def main():
    smesec = sys.argv[1]
    corpora = place("SMESEC_CORPORA", "corpora")
    sigma, evtx = os.path.join(corpora, "sigma"), os.path.join(corpora, "evtx")
    for needed in (sigma, evtx, os.path.join(place("SMESEC_TOOLS", "tools"), "siem")):
        if not os.path.isdir(needed):
            print(f"SKIPPED: Sigma conformance, `{needed}` is not there; set SMESEC_CORPORA and SMESEC_TOOLS")
            return 0
    with open(os.path.join(ROOT, "tests/conformance/floors.toml"), "rb") as file:
        floors = tomllib.load(file)["sigma"]
    short = False

    loaded, refused, degraded, nameless = rules(smesec, sigma)
    total = sum(name.endswith(".yml") for f in FOLDERS for _, _, names in os.walk(os.path.join(sigma, f)) for name in names)
    print(f"rules: {loaded} of {total} loaded, {refused} refused by name, {degraded} degraded")
    short |= loaded < floors["rules"] or loaded + refused != total or bool(nameless)

    command = f"{smesec} siem run --json --rules {{rules}} {{input}}"
    with_evtx = can_read_evtx(smesec, sigma, json.loads(open(os.path.join(sigma, "regression-dev.jsonl")).readline())["evtx"])
    kinds = ("json", "evtx") if with_evtx else ("json",)
    for kind in kinds:
        figures, failed = score(["regression", "--corpus", sigma, "--kind", kind, "--batch", "--cmd", command])
        loose, strict = figures.get("loose_pass", 0), figures.get("strict_pass", 0)
        print(f"regression ({kind}): {loose} of {figures.get('cases')} loose, {strict} of {figures.get('strict_cases')} strict")
        for case in failed:
            print(f"    {case['rule']}: {case['got']} of {case['want']} (declared {case['declared']})")
        short |= loose < floors["loose"] or strict < floors["strict"]
    if not with_evtx:
        print("SKIPPED: EVTX samples, this command reads no EVTX")
        return int(short)
    windows = os.path.join(sigma, "rules")
    figures, failed = score(["expected", "--show", "1000", "--expected", os.path.join(evtx, "expected-dev.jsonl"), "--inputs", os.path.join(evtx, "files"),
                             "--rules", windows, "--cmd", f"{smesec} siem run --json --rules {sigma}/rules --rules "
                             f"{sigma}/rules-emerging-threats --rules {sigma}/rules-threat-hunting {{input}}"])
    print(f"EVTX samples: {figures.get('same_count', 0)} of {figures.get('want')} as expected")
    extra = {tuple(line["extra"]): line["got"] for line in failed if "extra" in line}
    for line in failed:
        if "extra" not in line:
            print(f"    {json.dumps(line)}")
    with open(os.path.join(ROOT, "tests/conformance/disputed.toml"), "rb") as file:
        told = {(rule["id"], path): count for rule in tomllib.load(file)["rule"] for path, count in rule["files"].items()}
    wrong = unexplained(extra, told)
    print(f"beyond them: {len(extra)} pairs of rule and file, {len(extra) - len(wrong)} explained in disputed.toml")
    for line in wrong:
        print(f"    {line}")
    short |= bool(wrong)
    short |= figures.get("same_count", 0) < floors["expected"]
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
