#!/usr/bin/env python3
"""Count, family by family, the attack stages of the CRS regression tests that an engine blocks.

usage: families.py CRS_DIR RESULTS.jsonl

RESULTS has one line a stage, named RULE-TEST-STAGE: {"name": "942100-1-0", "status": 403, ...}. A stage counts as an
attack where the test expects a rule (expect_ids is not empty); status 400 and 403 count as blocked.
"""
import json
import sys
from collections import Counter
from pathlib import Path

import yaml

FAMILIES = {930, 931, 932, 933, 934, 941, 942, 943, 944}


def main():
    folder, results = sys.argv[1:]
    status = {}
    with open(results, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            answer = json.loads(line)
            status[answer["name"]] = answer["status"]
    blocked, total = Counter(), Counter()
    for path in sorted(Path(folder, "tests/regression/tests").rglob("*.yaml")):
        suite = yaml.safe_load(path.read_text(encoding="utf-8"))
        rule = int(path.name.split(".")[0])
        if not suite or rule // 1000 not in FAMILIES:
            continue
        for test in suite["tests"]:
            for number, stage in enumerate(test["stages"]):
                if not ((stage.get("output") or {}).get("log") or {}).get("expect_ids"):
                    continue
                total[rule // 1000] += 1
                blocked[rule // 1000] += status[f"{rule}-{test['test_id']}-{number}"] in (400, 403)
    for family in sorted(total):
        print(f"{family} {blocked[family]} of {total[family]} ({100 * blocked[family] / total[family]:.1f} %)")
    print(f"all {blocked.total()} of {total.total()} ({100 * blocked.total() / total.total():.1f} %)")


main()
