"""Runs the OWASP CRS regression stages over real sockets through `smesec serve` and holds the floor.

usage: gateway.py SMESEC [--misses]
Each stage has a connection of its own from a port of its own, by which its event is found again. The
upstream is a small server here that answers as the suite's own backend does (`/reflect` says in JSON
what to answer). Stages that the HTTP server itself answers, before any rule can see them, are listed.
Corpus and tools are found as crs.py finds them.
"""
import base64
import concurrent.futures
import http.server
import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

from crs import ROOT, place

FIRST_PORT = 20_000  # below the system's ephemeral range


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, headers, out = 200, {"Content-Type": "text/plain"}, b""
        if "/reflect" in self.path and body:
            try:
                asked = json.loads(body)
                status = int(asked.get("status", 200))
                headers = {str(k): str(v) for k, v in (asked.get("headers") or {}).items()} or headers
                encoded = asked.get("encodedBody")
                out = base64.b64decode(encoded) if encoded else str(asked.get("body", "")).encode()
            except (ValueError, AttributeError):
                pass
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(out)

    def __getattr__(self, name):
        # Any method at all: the suite sends some that no standard knows.
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        # An upstream connection that the gateway closed is no failure of the suite.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def exchange(case, source, port):
    """The status that came back, 0 for none."""
    lines = [f"{case['method']} {case['uri']} HTTP/{case['version']}" if case["version"] else f"{case['method']} {case['uri']}"]
    lines += [f"{name}: {value}" for name, value in case["headers"]]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.settimeout(5)
    try:
        s.bind(("127.0.0.1", source))
        s.connect(("127.0.0.1", port))
        s.sendall(head + base64.b64decode(case["body_b64"]))
        answer = b""
        while piece := s.recv(65536):
            answer += piece
            whole, split, body = answer.partition(b"\r\n\r\n")
            length = re.search(rb"\r\ncontent-length: (\d+)", whole, re.I)
            if split and (length and len(body) >= int(length[1]) or body.endswith(b"0\r\n\r\n")):
                break
        return int(answer.split(b" ")[1]) if answer else 0
    except (OSError, ValueError, IndexError):
        return 0
    finally:
        s.close()


def main():
    smesec = sys.argv[1]
    crs = os.path.join(place("SMESEC_CORPORA", "corpora"), "crs")
    tools = os.path.join(place("SMESEC_TOOLS", "tools"), "waf")
    for needed in (crs, tools):
        if not os.path.isdir(needed):
            print(f"##### SKIPPED: CRS through the gateway, `{needed}` is not there; set SMESEC_CORPORA and SMESEC_TOOLS #####")
            return 0
    try:
        import yaml  # noqa: F401  the converter needs it
    except ImportError:
        print("##### SKIPPED: CRS through the gateway, PyYAML is not installed #####")
        return 0
    with open(os.path.join(ROOT, "tests/conformance/floors.toml"), "rb") as file:
        floor = tomllib.load(file)["crs"]["gateway"]
    convert = os.path.join(tools, "crs_to_jsonl.py")
    with tempfile.TemporaryDirectory() as work:
        rules, settings, events, answers = (os.path.join(work, n) for n in ("ftw.conf", "smesec.toml", "events", "out.jsonl"))
        with open(rules, "wb") as out:
            subprocess.run(["sh", os.path.join(tools, "mkconf.sh"), crs, "ftw"], stdout=out, check=True)
        cases = subprocess.run([sys.executable, convert, crs], capture_output=True, text=True, check=True).stdout
        cases = [json.loads(line) for line in cases.splitlines()]
        backend = Server(("127.0.0.1", 0), Backend)
        threading.Thread(target=backend.serve_forever, daemon=True).start()
        port = free_port()
        with open(settings, "w") as out:
            out.write(f"""[gateway]
listen = ["127.0.0.1:{port}"]
event_log = "{events}"
[[gateway.host]]
names = ["*"]
upstream = "http://127.0.0.1:{backend.server_address[1]}"
[waf]
rules = ["{rules}"]
mode = "rules"
""")
        gateway = subprocess.Popen([smesec, "serve", "--config", settings], stderr=subprocess.PIPE, text=True)
        try:
            line = gateway.stderr.readline()
            if "serving on" not in line:
                print(f"the gateway does not start: {line}")
                return 1
            threading.Thread(target=gateway.stderr.read, daemon=True).start()
            began = time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                statuses = list(pool.map(lambda n: exchange(cases[n], FIRST_PORT + n, port), range(len(cases))))
            took = time.monotonic() - began
        finally:
            gateway.send_signal(signal.SIGTERM)
            gateway.wait(60)
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
    own = {case["name"].rpartition("-")[0] for n, case in enumerate(cases) if not ids.get(n) and statuses[n] == 400}
    counts = re.match(r"pass (\d+) fail (\d+)", score)
    passed, failed = int(counts[1]), int(counts[2])
    print(f"answered by the HTTP server itself: {len(missed & own)} {sorted(missed & own)}")
    print(f"missed otherwise: {len(missed - own)} {sorted(missed - own)}")
    if "--misses" in sys.argv:
        for n, case in enumerate(cases):
            if case["name"].rpartition("-")[0] in missed:
                print(statuses[n], ids.get(n), json.dumps(case)[:600])
    print(f"CRS through the gateway: {passed} of {passed + failed} (floor {floor}), {took:.0f} s")
    return 0 if passed >= floor else 1


if __name__ == "__main__":
    sys.exit(main())
