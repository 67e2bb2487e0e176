"""Runs the OWASP CRS regression stages through `smesec waf check` and holds the floor.

usage: crs.py SMESEC
The corpus is read from SMESEC_CORPORA, else ../shared/corpora; the converter and scorer from
SMESEC_TOOLS, else ../shared/tools. Without them the suite is skipped, loudly.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def place(variable, default):
    return os.environ.get(variable) or os.path.join(ROOT, "..", "shared", default)


def differences(smesec, rules, requests):
    """The stages that one process answers otherwise when they come again: what it remembers of values may change nothing."""
    with open(requests, "rb") as lines:
        once = lines.read()
    run = subprocess.run([smesec, "waf", "check", "--rules", rules, "--requests", "-"], input=once * 3, capture_output=True)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    for answer in answers:
        del answer["micros"]
    count = len(answers) // 3
    if count == 0 or len(answers) != 3 * count:
        return ["nothing was answered"]
    later = zip(answers[:count], answers[count:2 * count], answers[2 * count:])
    return [first["name"] for first, second, third in later if not first == second == third]


def main():
    smesec = sys.argv[1]
    crs = os.path.join(place("SMESEC_CORPORA", "corpora"), "crs")
    tools = os.path.join(place("SMESEC_TOOLS", "tools"), "waf")
    for needed in (crs, tools):
        if not os.path.isdir(needed):
            print(f"SKIPPED: CRS conformance, `{needed}` is not there; set SMESEC_CORPORA and SMESEC_TOOLS")
            return 0
    try:
        import yaml  # noqa: F401  the converter needs it
    except ImportError:
        print("SKIPPED: CRS conformance, PyYAML is not installed")
        return 0
    with open(os.path.join(ROOT, "tests/conformance/floors.toml"), "rb") as file:
        floor = tomllib.load(file)["crs"]["stages"]
    convert = os.path.join(tools, "crs_to_jsonl.py")
    with tempfile.TemporaryDirectory() as work:
        rules, requests, answers = (os.path.join(work, n) for n in ("ftw.conf", "in.jsonl", "out.jsonl"))
        with open(rules, "wb") as out:
            subprocess.run(["sh", os.path.join(tools, "mkconf.sh"), crs, "ftw"], stdout=out, check=True)
        with open(requests, "wb") as out:
            subprocess.run([sys.executable, convert, crs], stdout=out, check=True)
        with open(answers, "wb") as out:
            run = subprocess.run([smesec, "waf", "check", "--rules", rules, "--requests", requests], stdout=out)
        if run.returncode not in (0, 1):
            print(f"smesec ended with {run.returncode}")
            return 1
        again = differences(smesec, rules, requests)
        score = subprocess.run([sys.executable, convert, crs, "--score", answers], capture_output=True, text=True, check=True)
    print(score.stdout.rstrip())
    counts = re.match(r"pass (\d+) fail (\d+)", score.stdout)
    passed, failed = int(counts[1]), int(counts[2])
    print(f"CRS: {passed} of {passed + failed} (floor {floor})")
    print(f"CRS: {len(again)} stages answered otherwise when they came again{': ' if again else ''}{' '.join(again[:9])}")
    return 0 if passed >= floor and not again else 1


if __name__ == "__main__":
    sys.exit(main())
