"""Prints the answers of `smesec waf check` as a table for a person."""
import json
import sys

rows = [json.loads(line) for line in sys.stdin]
for row in rows:
    rules = " ".join(str(rule) for rule in row["ids"][:4])
    print(f"  {row['verdict']:<6} {row['name']:<34} {row['micros']:>8.0f} us  {rules}")
stopped = sum(row["verdict"] != "pass" for row in rows)
print(f"  {stopped} of {len(rows)} stopped")
