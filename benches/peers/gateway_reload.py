#!/usr/bin/env python3
"""What a reload of the rules does to the requests that come meanwhile.

usage: gateway_reload.py SMESEC RULES.conf [--windows N]
Requests of a browser come 200 times a second through one gateway. In every second window of a second the rules are
read and compiled anew (SIGHUP at its beginning). Requests lost, and the slowest and the p99 of each kind of window, as
medians over the windows, so that a neighbour's noise hits both kinds alike. The slowest of a window varies by more
than a reload adds, hence the many windows; the quartiles tell how far. Ends with status 1 when a row is SHORT.
"""
import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from gateway_latency import GET, Server, Upstream, connect, free_port, get


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("smesec")
    p.add_argument("rules")
    p.add_argument("--windows", type=int, default=120)
    p.add_argument("--rate", type=float, default=200)
    a = p.parse_args()
    upstream = Server(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port = free_port()
    with tempfile.TemporaryDirectory() as work:
        settings = os.path.join(work, "smesec.toml")
        with open(settings, "w") as out:
            out.write(f'[gateway]\nlisten = ["127.0.0.1:{port}"]\nthreads = 1\n'
                      f'[[gateway.host]]\nnames = ["*"]\nupstream = "http://127.0.0.1:{upstream.server_address[1]}"\nmode = "block"\n'
                      f'[waf]\nrules = ["{os.path.abspath(a.rules)}"]\nparanoia = 1\n')
        gateway = subprocess.Popen([a.smesec, "serve", "--config", settings], stderr=subprocess.PIPE, text=True)
        told = []
        try:
            line = gateway.stderr.readline()
            if "serving on" not in line:
                sys.exit(f"the gateway does not start: {line}")
            threading.Thread(target=lambda: told.extend(gateway.stderr), daemon=True).start()
            request = GET.format(host="shop.example").encode()
            s = connect(port)
            for _ in range(200):
                get(s, request)
            kinds = {"quiet": [], "reload": []}
            count = int(a.rate)
            for window in range(a.windows):
                kind = "reload" if window % 2 else "quiet"
                due = time.perf_counter()
                if kind == "reload":
                    gateway.send_signal(signal.SIGHUP)
                times = []
                for _ in range(count):
                    due += 1 / a.rate
                    time.sleep(max(0, due - time.perf_counter()))
                    times.append(get(s, request) * 1e3)
                kinds[kind].append(sorted(times))
        finally:
            gateway.terminate()
            gateway.wait(60)
    reloads = sum("reloaded" in line and "not" not in line for line in told)
    if reloads != a.windows // 2:
        sys.exit(f"{reloads} reloads of {a.windows // 2} took effect: {told[:5]}")
    print(f"== {reloads} reloads during {a.windows * count} requests at {a.rate:.0f}/s, none lost (a lost one ends this run)")
    short = False
    for label, pick in (("p50", lambda t: t[len(t) // 2]), ("p99", lambda t: t[int(len(t) * 0.99)]), ("slowest", lambda t: t[-1])):
        low, quiet, high = statistics.quantiles((pick(t) for t in kinds["quiet"]), n=4)
        below, reload, above = statistics.quantiles((pick(t) for t in kinds["reload"]), n=4)
        bar = ""
        if label == "slowest":
            short = reload - quiet > 1
            bar = f"  (bar +1.00)  {'SHORT' if short else 'OK'}"
        print(f"{label:<8} quiet {quiet:.2f} ms ({low:.2f} to {high:.2f})  reloading {reload:.2f} ms ({below:.2f} to {above:.2f})"
              f"  {reload - quiet:+.2f}{bar}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
