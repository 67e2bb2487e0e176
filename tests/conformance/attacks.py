#!/usr/bin/env python3
"""The attacks of the Core Rule Set's own regression tests, as transactions to be blocked.

usage: attacks.py > attacks.jsonl            stages of the rule files 930-934 and 941-944 that expect a rule's id
       attacks.py --score RESULTS.jsonl      blocked N of M, overall and by family

RESULTS has one JSON line a transaction with "name" and "verdict" ("block") or "status" (not 0).
Environment: SMESEC_TOOLS (../shared/tools from the repository's root) and SMESEC_CORPORA (../shared/corpora).
"""
import json
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOLS = os.environ.get("SMESEC_TOOLS", os.path.join(ROOT, "..", "shared", "tools"))
CRS = os.path.join(os.environ.get("SMESEC_CORPORA", os.path.join(ROOT, "..", "shared", "corpora")), "crs")
FAMILIES = {930: "file inclusion", 931: "remote inclusion", 932: "command execution", 933: "PHP", 934: "code and templates",
            941: "cross-site scripting", 942: "SQL injection", 943: "session fixation", 944: "Java"}


def skipped(reason):
    print(f"##### SKIPPED: attacks.py: {reason} #####", file=sys.stderr)
    sys.exit(0)


def attacks():
    """Yields (family, transaction) of every stage that expects at least one id."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.path.join(TOOLS, "waf"))
    try:
        import crs_to_jsonl
    except ImportError as error:
        skipped(f"{error} (set SMESEC_TOOLS; Debian package python3-yaml)")
    if not os.path.isdir(os.path.join(CRS, "tests")):
        skipped(f"no regression tests at {CRS} (set SMESEC_CORPORA)")
    for rule, test, number, stage, _ in crs_to_jsonl.tests(CRS):
        expected = ((stage.get("output") or {}).get("log") or {}).get("expect_ids")
        if rule // 1000 in FAMILIES and expected:
            transaction = crs_to_jsonl.stage(stage["input"])
            transaction["name"] = f"{rule}-{test}-{number}"
            transaction["label"] = "attack"
            yield rule // 1000, transaction


def blocked(answer):
    if "verdict" in answer:
        return answer["verdict"] == "block"
    return answer["status"] != 0


def score(path):
    answers = {}
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            answer = json.loads(line)
            answers[answer["name"]] = blocked(answer)
    total = {family: 0 for family in FAMILIES}
    stopped = dict(total)
    for family, transaction in attacks():
        total[family] += 1
        stopped[family] += answers.get(transaction["name"], False)
    report = [("blocked", sum(stopped.values()), sum(total.values()))]
    report += [(f"  {family} {title}", stopped[family], total[family]) for family, title in FAMILIES.items()]
    for title, n, of in report:
        print(f"{title} {n} of {of} ({100 * n / max(of, 1):.1f} %)")


if __name__ == "__main__":
    if "--score" in sys.argv[1:]:
        score(sys.argv[sys.argv.index("--score") + 1])
    else:
        for _, transaction in attacks():
            print(json.dumps(transaction))
