"""Runs the built-in rule pack over our own cases, the measuring tools' corpus and the attacks of the Core Rule
Set's tests, and holds the floors.

usage: pack.py SMESEC [--legitimate]

--legitimate adds 10,000 harmless transactions made from this machine's manual pages and packages (legitimate.py), for
each of the seeds in floors.toml. Which those are depends on the machine, so that they have a bar instead of a floor:
at most 1 blocked, and the worst seed counts.
"""
import json
import os
import subprocess
import sys
import tempfile
import tomllib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CASES = os.path.join(ROOT, "smesec-core/rules/waf/tests")


def made(script, work):
    """What a script beside this one writes, as a file; it says itself when it is skipped."""
    path = os.path.join(work, script + ".jsonl")
    with open(path, "wb") as out:
        subprocess.run([sys.executable, os.path.join(ROOT, "tests/conformance", script)], stdout=out, stderr=subprocess.DEVNULL, check=True)
    return path if os.path.getsize(path) else path + " is empty, so the script"


def legitimate(seeds, work):
    """The files of legitimate.py, one a seed; none when it is skipped, which it says itself."""
    script = os.path.join(ROOT, "tests/conformance/legitimate.py")
    subprocess.run([sys.executable, script, "--seeds", ",".join(map(str, seeds)), work], check=True)
    return [path for seed in seeds if os.path.isfile(path := os.path.join(work, f"legitimate-{seed}.jsonl"))]


def check(smesec, path, blocked, quiet=False):
    """How many of a file's transactions are answered as `blocked(name, label)` says, and how many there are."""
    with open(path, encoding="utf-8") as file:
        labels = [json.loads(line) for line in file if line.strip()]
    run = subprocess.run([smesec, "waf", "check", "--requests", path], capture_output=True, text=True)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    if run.returncode not in (0, 1) or len(answers) != len(labels):
        raise SystemExit(f"smesec ended with {run.returncode}: {run.stderr}")
    right = 0
    for case, answer in zip(labels, answers):
        if (answer["verdict"] == "block") == blocked(case):
            right += 1
        elif not quiet:
            print(f"  {path}: {case['name']}: {answer['verdict']} {answer['ids']}")
    return right, len(labels)


def main():
    smesec = sys.argv[1]
    with open(os.path.join(ROOT, "tests/conformance/floors.toml"), "rb") as file:
        floors = tomllib.load(file)["pack"]
    tools = os.environ.get("SMESEC_TOOLS") or os.path.join(ROOT, "..", "shared", "tools")
    corpus = os.path.join(tools, "waf", "corpus.jsonl")
    suites = [
        ("own_attacks", os.path.join(CASES, "attacks.jsonl"), lambda case: True),
        ("own_legitimate", os.path.join(CASES, "legitimate.jsonl"), lambda case: False),
        ("corpus", corpus, lambda case: case["label"] == "attack"),
    ]
    good = True
    with tempfile.TemporaryDirectory() as work:
        suites.append(("stages", made("attacks.py", work), lambda case: True))
        good = run(smesec, suites, floors)
        if "--legitimate" in sys.argv:
            good &= worst(smesec, legitimate(floors["legitimate_seeds"], work), floors["legitimate"])
    return 0 if good else 1


def worst(smesec, paths, bar):
    rights = []
    for path in paths:
        right, total = check(smesec, path, lambda case: False)
        print(f"{os.path.basename(path)}: {right} of {total}")
        rights.append(right)
        os.remove(path)
    if rights:
        print(f"legitimate: {min(rights)} of {total} with the worst of {len(rights)} seeds (floor {bar})")
    return not rights or min(rights) >= bar


def run(smesec, suites, floors):
    good = True
    for name, path, blocked in suites:
        if not os.path.isfile(path):
            print(f"##### SKIPPED: {name}, `{path}` is not there; set SMESEC_TOOLS and SMESEC_CORPORA #####")
            continue
        right, total = check(smesec, path, blocked, quiet=name == "stages")
        print(f"{name}: {right} of {total} (floor {floors[name]})")
        good &= right >= floors[name]
    return good


if __name__ == "__main__":
    sys.exit(main())
