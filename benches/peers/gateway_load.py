#!/usr/bin/env python3
"""Load servers one after the other with wrk and print the CPU each spends on a request, and the ratios.

usage: gateway_load.py --script FILE.lua NAME=PID:PORT ...
CPU is the time on a processor of the process and its children (/proc/PID/task/*/schedstat), over the requests answered.
Ends with status 1 when a row is SHORT.
"""
import argparse
import contextlib
import glob
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request


def family(pid):
    children = ""
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        # A worker of a configuration that is being replaced may end in between.
        with contextlib.suppress(OSError), open(path) as file:
            children += f" {file.read()}"
    return [pid] + [p for child in children.split() for p in family(int(child))]


def cpu(pid):
    """Seconds on a processor, to the nanosecond: ticks would be some per cent off in a short round."""
    nanos = 0
    for p in family(pid):
        for path in glob.glob(f"/proc/{p}/task/*/schedstat"):
            with contextlib.suppress(OSError), open(path) as file:
                nanos += int(file.read().split()[0])
    return nanos / 1e9


def resident(pid):
    """MiB of the largest process of the family: the worker, not the master."""
    sizes = [int(open(f"/proc/{p}/statm").read().split()[1]) for p in family(pid)]
    return max(sizes) * os.sysconf("SC_PAGE_SIZE") / 2**20


def answer(port, path):
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={
            "Host": "shop.example.com", "User-Agent": "Mozilla/5.0", "Accept": "*/*"})
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--script", required=True)
    p.add_argument("--duration", type=int, default=1)
    p.add_argument("--rounds", type=int, default=30)
    p.add_argument("servers", nargs="+")
    a = p.parse_args()
    servers = {}
    for given in a.servers:
        name, pid, port = re.fullmatch(r"(\w+)=(\d+):(\d+)", given).groups()
        servers[name] = (int(pid), int(port))
    for name, (_, port) in servers.items():
        deadline = time.monotonic() + 20
        while answer(port, "/catalog/shoes/42?ref=home") != 200:
            if time.monotonic() > deadline:
                sys.exit(f"{name} on port {port} does not answer 200 to the browser's GET "
                         f"but {answer(port, '/catalog/shoes/42?ref=home')}")
            time.sleep(0.2)
        attacked = answer(port, "/catalog/shoes/42?ref=%3Cscript%3Ealert(document.cookie)%3C/script%3E")
        if (attacked == 403) != name.endswith("waf"):
            sys.exit(f"{name} answers an attack with {attacked}: not the comparison that is meant")
    micros = {name: [] for name in servers}
    rate = {name: [] for name in servers}
    for _ in range(a.rounds):
        for name, (pid, port) in servers.items():
            before = cpu(pid)
            run = subprocess.run(["wrk", "-t1", "-c8", f"-d{a.duration}s", "-s", a.script, f"http://127.0.0.1:{port}/"],
                                 capture_output=True, text=True, check=True, timeout=a.duration + 30)
            requests, errors = map(int, re.search(r"RESULT (\d+) (\d+)", run.stdout).groups())
            if errors or not requests:
                sys.exit(f"{name}: {errors} errors in {requests} requests\n{run.stdout}")
            micros[name].append((cpu(pid) - before) / requests * 1e6)
            rate[name].append(requests / a.duration)
    # A neighbour on the same core only ever adds to what a request costs: the round that was least disturbed
    # is compared, and the median tells how much there was.
    cost = {name: min(values) for name, values in micros.items()}
    print(f"== CPU per proxied browser GET, {a.rounds} rounds of {a.duration} s, interleaved; ratios of the best")
    print(f"{'server':<16}{'us, best':>10}{'median':>10}{'requests/s':>12}{'rss MiB':>9}")
    for name, (pid, _) in servers.items():
        print(f"{name:<16}{cost[name]:>10.1f}{statistics.median(micros[name]):>10.1f}"
              f"{max(rate[name]):>12.0f}{resident(pid):>9.1f}")
    print(f"nginx with WAF / without: {cost['nginx_waf'] / max(cost['nginx_plain'], 1e-3):.1f}x")
    if "ours_waf" not in cost:
        return 0
    faster = cost["nginx_waf"] / max(cost["ours_waf"], 1e-3)
    dearer = cost["ours_waf"] / max(cost["ours_plain"], 1e-3)
    print(f"nginx with WAF / ours with WAF: {faster:.1f}x (bar 20x)  {'OK' if faster >= 20 else 'SHORT'}")
    print(f"ours with WAF / without: {dearer:.2f}x (bar <=2.2x)  {'OK' if dearer <= 2.2 else 'SHORT'}")
    return 0 if faster >= 20 and dearer <= 2.2 else 1


if __name__ == "__main__":
    sys.exit(main())
