#!/usr/bin/env python3
"""Print one row per transaction: the peer's CPU microseconds, ours, the ratio and the bar.

Each side gives one file per round, either JSON lines with "name" and "micros" or the tab-separated table of
msc_bench. A round's two measurements stand close in time, so that a noisy neighbour slows both: the ratio is
the median of the rounds' own ratios, the times beside it are medians. Ends with status 1 when a row is SHORT.
"""
import argparse
import csv
import json
import re
import statistics
import sys


def bar(bars, level, name):
    if bars == "coraza":
        return 5
    if name == "post_form_prose_10k":
        return 10 if level == 1 else 7
    if name == "post_form_2k":
        return 20
    if name in ("post_json_10k", "post_json_100k", "post_graphql"):
        return 40
    if name.startswith("post_multipart"):
        return 30
    return 25


def read_round(path):
    with open(path, encoding="utf-8", errors="replace") as lines:
        if path.endswith(".tsv"):
            return {row["name"]: (float(row["req_us_median"]), row["status"])
                    for row in csv.DictReader(lines, delimiter="\t")}
        rows = [json.loads(line) for line in lines if line.startswith("{")]
        return {row["name"]: (float(row["micros"]), row.get("status") or row.get("verdict", "")) for row in rows}


def median(rounds, name):
    return statistics.median(r[name][0] for r in rounds)


def ratio_of(first, second):
    """The median over the rounds of one measurement by another: two lists of numbers, a round each."""
    return statistics.median(a / max(b, 1e-9) for a, b in zip(first, second))


def read_load(path):
    """(milliseconds of CPU, bytes with one worker's scratch, bytes of a further host, the same with the program's
    own code pages), None where it is not said. The peer tells all that became resident."""
    text = open(path, encoding="utf-8", errors="replace").read() if path else ""
    for line in text.splitlines():
        if line.startswith("{"):
            said = json.loads(line)
            return said.get("load_cpu_ms"), said.get("memory_with_scratch_bytes"), said.get("host_bytes"), said.get("resident_with_scratch_bytes")
        found = re.search(r"load ([0-9.]+) ms, rss .*\(\+(\d+)\)", line)
        if found:
            return float(found[1]), int(found[2]) * 1024, None, None
    return None, None, None, None


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--peer", required=True)
    p.add_argument("--level", type=int, required=True)
    p.add_argument("--bars", choices=("modsecurity", "coraza"), required=True)
    p.add_argument("--peer-rounds", nargs="+", required=True)
    p.add_argument("--our-rounds", nargs="+", required=True)
    p.add_argument("--peer-load")
    p.add_argument("--our-load")
    a = p.parse_args()
    peer = [read_round(path) for path in a.peer_rounds]
    ours = [read_round(path) for path in a.our_rounds]
    if len(peer) != len(ours):
        p.error(f"{len(peer)} rounds of the peer, {len(ours)} of ours")
    short = 0

    def verdict(good):
        nonlocal short
        short += not good
        return "OK" if good else "SHORT"

    print(f"== CPU per transaction, paranoia level {a.level}, median of {len(a.peer_rounds)} rounds")
    print(f"{'transaction':<24}{a.peer + ' us':>18}{'ours us':>12}{'ratio':>10}{'bar':>7}  ")
    for name in peer[0]:
        theirs = median(peer, name)
        least = bar(a.bars, a.level, name)
        if not all(name in of_round for of_round in ours):
            print(f"{name:<24}{theirs:>18.1f}{'-':>12}{'-':>10}{least:>6}x  {verdict(False)} (no answer)")
            continue
        ratio = ratio_of((r[name][0] for r in peer), (r[name][0] for r in ours))
        print(f"{name:<24}{theirs:>18.1f}{median(ours, name):>12.1f}{ratio:>9.1f}x{least:>6}x  {verdict(ratio >= least)}")
    if a.bars == "modsecurity" and all({"post_json_10k", "post_json_100k"} <= r.keys() for r in ours):
        def growth(rounds):
            return ratio_of((r["post_json_100k"][0] for r in rounds), (r["post_json_10k"][0] for r in rounds))
        mine = growth(ours)
        print(f"{'json 100k / 10k':<24}{growth(peer):>17.1f}x{mine:>11.1f}x{'':>10}{'<=12x':>7}  {verdict(mine <= 12)}")
    (peer_ms, peer_bytes, _, _), (our_ms, our_bytes, host_bytes, with_code) = read_load(a.peer_load), read_load(a.our_load)
    # Absolute bars: three times the peer's load CPU; 12 MiB for a rule set at level 1.
    if peer_ms and our_ms is not None:
        ok = verdict(our_ms <= 3 * peer_ms) if a.bars == "modsecurity" else ""
        print(f"{'load, ms CPU':<24}{peer_ms:>18.1f}{our_ms:>12.1f}{our_ms / peer_ms:>9.2f}x{'<=3x':>7}  {ok}")
    else:
        print(f"{'load, ms CPU':<24}{peer_ms or 0:>18.1f}{'not said':>12}")
    if peer_bytes and our_bytes is not None:
        limit = 12 * 1024 * 1024
        ok = verdict(our_bytes <= limit) if a.level == 1 else ""
        print(f"{'rule set, MiB':<24}{peer_bytes / 2**20:>18.1f}{our_bytes / 2**20:>12.1f}"
              f"{our_bytes / peer_bytes:>9.2f}x{'<=12':>7}  {ok}")
        if with_code is not None:
            print(f"{'  with code pages':<24}{'':>18}{with_code / 2**20:>12.1f}")
    else:
        print(f"{'rule set, MiB':<24}{(peer_bytes or 0) / 2**20:>18.1f}{'not said':>12}")
    if host_bytes is not None:
        print(f"{'a further host, KiB':<24}{'':>18}{host_bytes / 2**10:>12.1f}{'':>10}{'<=64':>7}  {verdict(host_bytes <= 64 << 10)}")
    print(f"{short} SHORT" if short else "all OK")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
