"""Tavern and smesec over the same files and server: verdicts, wall and CPU time. Called by taas_tavern.sh."""

import csv
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

smesec, python, server, corpus, rounds = sys.argv[1:6]

# What the files call in Python: without it Tavern does not even collect them.
FUNCTIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/taas/python")

def calls_python(file, test):
    if file == "test_fixtures.tavern.yaml":
        return True
    starts = {
        "test_auth_key.tavern.yaml": ("Test auth with $ext",),
        "test_external_functions.tavern.yaml": (
            "Test merging in input", "Test generating query params", "Test external function url"),
        "test_parametrize.tavern.yaml": ("Test parametrizing using 'vals'",),
    }
    return test.startswith(starts.get(file, ("\0",)))


class Server:
    """Fresh for every run: two of its routes keep state."""

    def __enter__(self):
        self.process = subprocess.Popen(
            [server, "--ignored", "--exact", "serve", "--nocapture"],
            env={**os.environ, "SMESEC_TAAS_PORT": "5003"}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        while b"listening" not in (line := self.process.stdout.readline()):
            if not line:
                sys.exit("the server did not start; is port 5003 free?")

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def timed(command, **more):
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, **more)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done, wall, cpu


def numbered(pairs):
    """A name's second test of one file is `name#2`."""
    seen, out = {}, {}
    for file, test, verdict in pairs:
        count = seen[file, test] = seen.get((file, test), 0) + 1
        out[file, test if count == 1 else f"{test}#{count}"] = verdict
    return out


def tavern(folder):
    report = os.path.join(folder, "junit.xml")
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tavern-global-cfg=global_cfg.yaml",
               "-m", "not do_not_run", "--junit-xml", report]
    with Server():
        _, wall, cpu = timed(command, cwd=folder, env=environment)
    pairs = []
    for case in ElementTree.parse(report).iter("testcase"):
        skipped, failed = case.find("skipped"), case.find("failure")
        verdict = "passed"
        if skipped is not None:
            verdict = "xfailed" if skipped.get("type") == "pytest.xfail" else "skipped"
        elif failed is not None or case.find("error") is not None:
            verdict = "failed"
        file = os.path.basename((case.get("file") or case.get("classname")).removesuffix(".yaml") + ".yaml")
        pairs.append((file, case.get("name"), verdict))
    return numbered(pairs), wall, cpu


def ours(folder, files):
    command = [smesec, "taas", "run", "--json", "-m", "not do_not_run", "--global-cfg", "global_cfg.yaml", *files]
    with Server():
        done, wall, cpu = timed(command, cwd=folder, env=environment)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    requests = sum(step["requests"] for result in results for step in result["steps"])
    return numbered((r["file"], r["test"], r["verdict"]) for r in results), wall, cpu, requests


environment = {**os.environ, "TEST_HOST": "http://localhost:5003", "SECOND_URL_PART": "again"}
with open(os.path.join(corpus, "dev_verdicts.csv"), newline="") as file:
    stored = {(row["file"], row["test"]): row["tavern"] for row in csv.DictReader(file)}
with tempfile.TemporaryDirectory() as folder:
    shutil.copytree(os.path.join(corpus, "integration"), folder, dirs_exist_ok=True)
    shutil.copytree(FUNCTIONS, folder, dirs_exist_ok=True)
    environment["PYTHONPATH"] = folder
    files = sorted(name for name in os.listdir(folder) if name.endswith(".tavern.yaml"))
    rows, differing = [], set()
    for _ in range(int(rounds)):
        theirs, their_wall, their_cpu = tavern(folder)
        mine, wall, cpu, requests = ours(folder, files)
        rows.append((their_wall, their_cpu, wall, cpu, requests))
        for key, verdict in theirs.items():
            if not calls_python(*key) and mine.get(key) != verdict:
                differing.add((*key, verdict, mine.get(key, "no such test")))
    apart = sum(calls_python(*key) for key in theirs)
    as_stored = sum(stored.get(key) == verdict for key, verdict in theirs.items())
    starts = [timed([smesec, "taas", "run", "--dry-run", "--global-cfg", "global_cfg.yaml", files[0]],
                    cwd=folder, env=environment)[1:] for _ in range(11)]

middle = [statistics.median(column) for column in zip(*rows)]
their_wall, their_cpu, wall, cpu, requests = middle
print(f"verdicts: {len(theirs) - apart - len(differing)} of {len(theirs) - apart} as Tavern's; {apart} that call Python apart; "
      f"Tavern gave {as_stored} of {len(stored)} as stored")
print(f"{'':14}{'wall s':>9}{'CPU s':>9}")
print(f"{'Tavern 3.7.1':14}{their_wall:9.2f}{their_cpu:9.2f}")
print(f"{'smesec':14}{wall:9.3f}{cpu:9.3f}")
print(f"CPU: {100 * cpu / their_cpu:.2f} % of Tavern's (bar: 5 %); whole set {wall:.2f} s wall (bar: 2 s)")
print(f"a request: {1e3 * cpu / requests:.3f} ms CPU over {requests:.0f} requests, loading included (bar: 0.3 ms)")
print(f"start, one file loaded: {1e3 * statistics.median(w for w, _ in starts):.1f} ms wall, "
      f"{1e3 * statistics.median(c for _, c in starts):.1f} ms CPU (bar: 15 ms)")
for file, test, theirs, mine in sorted(differing):
    print(f"differs: {file}: {test}: Tavern {theirs}, smesec {mine}")
sys.exit(bool(differing))
