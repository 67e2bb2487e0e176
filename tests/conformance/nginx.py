"""Runs the OWASP CRS regression stages over real sockets through nginx with the module, and holds the floor.

usage: nginx.py MODULE [--misses]      (MODULE: ngx_http_smesec_module.so)
As gateway.py: each stage has a connection of its own from a port of its own, by which its event is found again;
the upstream is a small server here. Stages that nginx itself answers, before any rule can see them, are listed.
"""
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

from crs import ROOT, place
from gateway import FIRST_PORT, Backend, Server, exchange, free_port


def configuration(work, module, port, upstream, rules, events):
    """nginx as its users have it, but for the header rules: what CRS tests in headers has to arrive."""
    paths = " ".join(f"{name}_temp_path {work}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.getuid() == 0 else ""
    return f"""load_module {module};
{user}
worker_processes 2;
daemon off;
pid {work}/pid;
error_log {work}/error.log error;
events {{ worker_connections 512; }}
http {{
    access_log off;
    {paths}
    smesec rules;
    smesec_rules {rules};
    smesec_log {events};
    server {{
        listen 127.0.0.1:{port};
        ignore_invalid_headers off;
        underscores_in_headers on;
        large_client_header_buffers 4 64k;
        client_max_body_size 20m;
        merge_slashes off;
        location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; }}
    }}
}}
"""


def main():
    module = os.path.abspath(sys.argv[1])
    crs = os.path.join(place("SMESEC_CORPORA", "corpora"), "crs")
    tools = os.path.join(place("SMESEC_TOOLS", "tools"), "waf")
    for needed in (crs, tools, module):
        if not os.path.exists(needed):
            print(f"##### SKIPPED: CRS through nginx, `{needed}` is not there #####")
            return 0
    if not shutil.which("nginx"):
        print("##### SKIPPED: CRS through nginx, no nginx here #####")
        return 0
    try:
        import yaml  # noqa: F401  the converter needs it
    except ImportError:
        print("##### SKIPPED: CRS through nginx, PyYAML is not installed #####")
        return 0
    with open(os.path.join(ROOT, "tests/conformance/floors.toml"), "rb") as file:
        floor = tomllib.load(file)["crs"]["nginx"]
    convert = os.path.join(tools, "crs_to_jsonl.py")
    with tempfile.TemporaryDirectory() as work:
        rules, settings, events, answers = (os.path.join(work, n) for n in ("ftw.conf", "nginx.conf", "events", "out.jsonl"))
        with open(rules, "wb") as out:
            subprocess.run(["sh", os.path.join(tools, "mkconf.sh"), crs, "ftw"], stdout=out, check=True)
        cases = subprocess.run([sys.executable, convert, crs], capture_output=True, text=True, check=True).stdout
        cases = [json.loads(line) for line in cases.splitlines()]
        backend = Server(("127.0.0.1", 0), Backend)
        threading.Thread(target=backend.serve_forever, daemon=True).start()
        port = free_port()
        with open(settings, "w") as out:
            out.write(configuration(work, module, port, backend.server_address[1], rules, events))
        nginx = subprocess.Popen(["nginx", "-p", work, "-c", settings, "-e", f"{work}/error.log"])
        try:
            deadline = time.monotonic() + 30
            probe = {"method": "GET", "uri": "/", "version": "1.1", "headers": [["Host", "localhost"]], "body_b64": ""}
            while exchange(probe, 0, port) == 0:
                if time.monotonic() > deadline or nginx.poll() is not None:
                    print("nginx does not start: " + open(f"{work}/error.log").read()[-2000:])
                    return 1
                time.sleep(0.1)
            began = time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                statuses = list(pool.map(lambda n: exchange(cases[n], FIRST_PORT + n, port), range(len(cases))))
            took = time.monotonic() - began
        finally:
            nginx.send_signal(signal.SIGQUIT)
            nginx.wait(60)
        died = [line for line in open(f"{work}/error.log") if "exited on signal" in line]
        ids = {}
        with open(events) as lines:
            for line in lines:
                event = json.loads(line)
                source = int(event["src_endpoint"].rpartition(":")[2])
                found = ids.setdefault(source - FIRST_PORT, [])
                found += [int(f["rule"]["id"]) for f in event["findings"] if f["rule"]["id"].isdigit()]
        with open(answers, "w") as out:
            for n, case in enumerate(cases):
                out.write(json.dumps({"name": case["name"], "status": statuses[n], "ids": ids.get(n, [])}) + "\n")
        score = subprocess.run([sys.executable, convert, crs, "--score", answers], capture_output=True, text=True, check=True).stdout
    missed = {f"{rule}-{test}" for rule, tests in re.findall(r"^(\d+) \[(.*)\]$", score, re.M) for test in re.findall(r"\d+", tests)}
    refused = (400, 405, 414, 494, 501, 505)
    own = {case["name"].rpartition("-")[0] for n, case in enumerate(cases) if not ids.get(n) and statuses[n] in refused}
    counts = re.match(r"pass (\d+) fail (\d+)", score)
    passed, failed = int(counts[1]), int(counts[2])
    print(f"answered by nginx itself: {len(missed & own)} {sorted(missed & own)}")
    print(f"missed otherwise: {len(missed - own)} {sorted(missed - own)}")
    if "--misses" in sys.argv:
        for n, case in enumerate(cases):
            if case["name"].rpartition("-")[0] in missed:
                print(statuses[n], ids.get(n), json.dumps(case)[:600])
    if died:
        print("".join(died))
    print(f"CRS through nginx: {passed} of {passed + failed} (floor {floor}), {took:.0f} s")
    return 0 if passed >= floor and not died else 1


if __name__ == "__main__":
    sys.exit(main())
