#!/usr/bin/env python3
"""Load nginx with our module, with the ModSecurity connector and without either; print the ratios and the bars.

usage: nginx_load.py --script FILE.lua plain=PID:PORT modsecurity=PID:PORT smesec=PID:PORT
Then the memory: a worker's beside nginx alone, the master's over RELOADS reloads of the smesec server, and that of
the server named `hosts`, where given, whose many server blocks each add an exception, beside `smesec`.
CPU is user and system time of the process and its children, over the requests answered. Ends with status 1
when a row is SHORT.
"""
import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import time

from gateway_load import answer, cpu, family

ATTACK = "/catalog/shoes/42?ref=%3Cscript%3Ealert(document.cookie)%3C/script%3E"


def memory(pid, key):
    """MiB of a process by a line of its smaps_rollup: Rss, Pss, or what is its own alone."""
    text = open(f"/proc/{pid}/smaps_rollup").read()
    size = lambda name: int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M)[1]) / 1024
    return size("Private_Clean") + size("Private_Dirty") if key == "Private" else size(key)


def workers(master):
    while True:
        try:
            return [pid for pid in family(master) if pid != master]
        except FileNotFoundError:
            pass  # one left while it was looked at


def row(text, good):
    print(f"{text}  {'OK' if good else 'SHORT'}")
    return good


def reload(master):
    before = set(workers(master))
    os.kill(master, signal.SIGHUP)
    deadline = time.monotonic() + 60
    while True:
        now = workers(master)
        if now and not before & set(now):
            return
        if time.monotonic() > deadline:
            sys.exit("a reload did not end in a minute")
        time.sleep(0.002)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--script", required=True)
    p.add_argument("--duration", type=int, default=6)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--reloads", type=int, default=1000)
    p.add_argument("servers", nargs="+")
    a = p.parse_args()
    servers = {}
    for given in a.servers:
        name, pid, port = re.fullmatch(r"(\w+)=(\d+):(\d+)", given).groups()
        servers[name] = (int(pid), int(port))
    for name, (_, port) in servers.items():
        deadline = time.monotonic() + 60
        while answer(port, "/catalog/shoes/42?ref=home") != 200:
            if time.monotonic() > deadline:
                sys.exit(f"{name} on port {port} does not answer 200 to the browser's GET")
            time.sleep(0.2)
        attacked = answer(port, ATTACK)
        if (attacked == 403) == (name == "plain"):
            sys.exit(f"{name} answers an attack with {attacked}: not the comparison that is meant")
    loaded = {name: at for name, at in servers.items() if name != "hosts"}
    micros = {name: [] for name in loaded}
    rate = {name: [] for name in loaded}
    for _ in range(a.rounds):
        for name, (pid, port) in loaded.items():
            before = cpu(pid)
            run = subprocess.run(["wrk", "-t1", "-c8", f"-d{a.duration}s", "-s", a.script, f"http://127.0.0.1:{port}/"],
                                 capture_output=True, text=True, check=True, timeout=a.duration + 30)
            requests, errors = map(int, re.search(r"RESULT (\d+) (\d+)", run.stdout).groups())
            if errors or not requests:
                sys.exit(f"{name}: {errors} errors in {requests} requests\n{run.stdout}")
            micros[name].append((cpu(pid) - before) / requests * 1e6)
            rate[name].append(requests / a.duration)
    cost = {name: statistics.median(values) for name, values in micros.items()}
    print(f"== nginx, worker CPU per browser GET of a file, median of {a.rounds} rounds of {a.duration} s")
    print(f"{'server':<14}{'us a request':>14}{'requests/s':>12}{'Rss MiB':>9}{'Pss MiB':>9}{'own MiB':>9}")
    for name, (master, _) in loaded.items():
        worker = max(workers(master), key=lambda pid: memory(pid, "Rss"))
        print(f"{name:<14}{cost[name]:>14.1f}{statistics.median(rate[name]):>12.0f}"
              + "".join(f"{memory(worker, key):>9.1f}" for key in ("Rss", "Pss", "Private")))
    good = True
    whole = cost["modsecurity"] / max(cost["smesec"], 1e-3)
    alone = (cost["modsecurity"] - cost["plain"]) / max(cost["smesec"] - cost["plain"], 1e-3)
    good &= row(f"worker with ModSecurity / worker with smesec: {whole:.1f}x; what each adds: {alone:.1f}x (bar 25x)",
                whole >= 25)
    resident = {name: max(memory(pid, "Rss") for pid in workers(master)) for name, (master, _) in servers.items()}
    more = resident["smesec"] - resident["plain"]
    good &= row(f"a worker's memory over nginx alone: {more:+.1f} MiB (bar +12; ModSecurity "
                f"{resident['modsecurity'] - resident['plain']:+.1f})", more <= 12)
    if "hosts" in servers:
        both = {name: memory(servers[name][0], "Pss") + sum(memory(pid, "Pss") for pid in workers(servers[name][0]))
                for name in ("smesec", "hosts")}
        more = both["hosts"] - both["smesec"]
        good &= row(f"100 server blocks with an exception each: {both['hosts']:.1f} MiB in all, {more:+.1f} over one "
                    f"(bar 20 over nginx)", both["hosts"] - resident["plain"] <= 20)
    master = servers["smesec"][0]
    sizes = []
    for n in range(a.reloads):
        reload(master)
        if (n + 1) % max(a.reloads // 10, 1) == 0:
            sizes.append(memory(master, "Rss"))
    if sizes:
        print("master after each tenth of the reloads, MiB: " + " ".join(f"{size:.1f}" for size in sizes))
        good &= row(f"growth over {a.reloads} reloads: {sizes[-1] - sizes[0]:+.1f} MiB from the first tenth to the last (bar 1)",
                    sizes[-1] - sizes[0] <= 1)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
