"""Rows of a table beside the same rows as dicts, through one engine with the built-in rules and one more: CPU time of one run, no bar but 1.

    python benches/peers/python_arrow.py [ROWS]
"""

import statistics
import sys
import time

import pyarrow as pa
from smesec import siem

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
LINES = ["powershell -enc aGVsbG8=", "C:\\Windows\\System32\\svchost.exe -k netsvcs -p", "whoami /all", "notepad.exe report.txt"]
rows = [
    {
        "product": "windows", "category": "process_creation", "CommandLine": LINES[0 if n % 97 == 0 else 1 + n % 3],
        "Image": "C:\\Windows\\System32\\cmd.exe", "User": f"user{n % 50}", "ProcessId": n, "timestamp": f"2026-03-02T06:{n // 60 % 60:02}:{n % 60:02}Z",
    }
    for n in range(ROWS)
]  # fmt: skip
batch = pa.Table.from_pylist(rows).combine_chunks().to_batches()[0]
RULE = """
title: Encoded command
logsource: {product: windows, category: process_creation}
detection: {selection: {CommandLine|contains: ' -enc '}, condition: selection}
"""
rules = siem.RuleSet.from_sources(None, ("bench.yml", RULE), strict=True)


def timed(records) -> tuple[float, int]:
    engine = siem.Engine(rules, lateness=float("inf"))
    began = time.process_time()
    told = engine.match(records)
    return time.process_time() - began, len(told)


rounds = [(timed(rows), timed(batch)) for _ in range(5)]
(dicts, found), (table, same) = (
    (statistics.median(one[side][0] for one in rounds), rounds[0][side][1]) for side in (0, 1)
)
print(f"{ROWS:,} rows, {len(rules)} rules, {found:,} findings both ways: {found == same}")
print(f"dicts {dicts / ROWS * 1e6:.2f} us a row, table {table / ROWS * 1e6:.2f} us a row: {dicts / table:.1f} times")
sys.exit(table > dicts or found != same)
