#!/usr/bin/env python3
"""Latency that the gateway's firewall adds, and how soon the first byte of a stream goes on.

usage: gateway_latency.py SMESEC RULES.conf [--seconds N] [--rate N]
Two hosts of one gateway lead to the same upstream: one with the Core Rule Set, one with the firewall off. The
same browser GET goes to both in turn, RATE times a second altogether, so that noise hits both alike. Then an
upstream sends events and a download slowly, several times; when each piece leaves there and arrives here is compared.
One piece that the machine held up is not the gateway's: of the worst pieces of the streams the median counts.
Ends with status 1 when a row is SHORT.
"""
import argparse
import os
import socket
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time

GET = ("GET /catalog/shoes/42?ref=home HTTP/1.1\r\nHost: {host}\r\nSec-Ch-Ua: \"Chromium\";v=\"126\", \"Google Chrome\";v=\"126\"\r\n"
       "Sec-Ch-Ua-Mobile: ?0\r\nSec-Ch-Ua-Platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n"
       "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n"
       "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
       "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
       "Referer: https://shop.example.com/catalog/shoes?page=2&sort=price\r\nAccept-Encoding: gzip, deflate, br\r\n"
       "Accept-Language: en-GB,en;q=0.9\r\nCookie: session=wKj2v2BSBnmPYyGf1KuTe0EWotnG3ZoVsbZZXvAAWzE; lang=en; theme=dark\r\n\r\n")
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2048\r\n\r\n" + b"x" * 2048
left = []  # when each piece of a stream left the upstream


class Upstream(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        while piece := self.request.recv(65536):
            data += piece
            if b"\r\n\r\n" not in data:
                continue
            path = data.split(b" ")[1]
            data = b""
            if path == b"/events":
                self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
                for n in range(20):
                    left.append(time.monotonic())
                    self.request.sendall(b"data: %d\n\n" % n)
                    time.sleep(0.05)
                return
            if path == b"/download":
                self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 655360\r\n\r\n")
                for n in range(20):
                    left.append(time.monotonic())
                    self.request.sendall(b"\0" * 32768)
                    time.sleep(0.05)
                return
            self.request.sendall(PAGE)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def get(s, request):
    began = time.perf_counter()
    s.sendall(request)
    answer = b""
    while len(answer) < 2048 or len(answer.partition(b"\r\n\r\n")[2]) < 2048:
        piece = s.recv(65536)
        if not piece:
            sys.exit("the connection broke off")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200"):
        sys.exit(f"not 200 but {answer[:60]!r}")
    return time.perf_counter() - began


def pieces(port, path, size):
    """How long each piece of a stream was under way."""
    left.clear()
    s = connect(port)
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: on.example\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n".encode())
    s.settimeout(10)
    got, came = b"", []
    while len(came) < 20:
        piece = s.recv(65536)
        if not piece:
            break
        got += piece
        body = got.partition(b"\r\n\r\n")[2]
        count = body.count(b"data: ") if size is None else -(-len(body) // size)
        came += [time.monotonic()] * (count - len(came))
    s.close()
    if len(came) != 20:
        sys.exit(f"{path}: {len(came)} pieces of 20 came")
    return sorted((there - here) * 1e3 for here, there in zip(left, came))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("smesec")
    p.add_argument("rules")
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--rate", type=float, default=200)
    p.add_argument("--streams", type=int, default=5)
    a = p.parse_args()
    upstream = Server(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port = free_port()
    with tempfile.TemporaryDirectory() as work:
        settings = os.path.join(work, "smesec.toml")
        to = f'upstream = "http://127.0.0.1:{upstream.server_address[1]}"'
        with open(settings, "w") as out:
            out.write(f'[gateway]\nlisten = ["127.0.0.1:{port}"]\nthreads = 1\n'
                      f'[[gateway.host]]\nnames = ["on.example"]\n{to}\nmode = "block"\n'
                      f'[[gateway.host]]\nnames = ["off.example"]\n{to}\nmode = "off"\n'
                      f'[waf]\nrules = ["{os.path.abspath(a.rules)}"]\nparanoia = 1\n')
        gateway = subprocess.Popen([a.smesec, "serve", "--config", settings], stderr=subprocess.PIPE, text=True)
        try:
            line = gateway.stderr.readline()
            if "serving on" not in line:
                sys.exit(f"the gateway does not start: {line}")
            threading.Thread(target=gateway.stderr.read, daemon=True).start()
            requests = {name: GET.format(host=f"{name}.example").encode() for name in ("on", "off")}
            sockets = {name: connect(port) for name in requests}
            times = {name: [] for name in requests}
            for _ in range(50):
                for name in requests:
                    get(sockets[name], requests[name])
            due = time.perf_counter()
            for n in range(int(a.seconds * a.rate)):
                due += 1 / a.rate
                time.sleep(max(0, due - time.perf_counter()))
                # Who goes first changes, so that neither always meets a cold cache.
                name = ("on", "off", "off", "on")[n % 4]
                times[name].append(get(sockets[name], requests[name]) * 1e3)
            streams = {"server-sent events": [pieces(port, "/events", None) for _ in range(a.streams)],
                       "download": [pieces(port, "/download", 32768) for _ in range(a.streams)]}
        finally:
            gateway.terminate()
            gateway.wait(60)
    at = {name: sorted(values) for name, values in times.items()}
    short = False
    print(f"== latency at {a.rate:.0f} requests/s, {len(at['on'])} each with the firewall and without, ms")
    for share, label in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99")):
        on, off = (at[name][int(len(at[name]) * share)] for name in ("on", "off"))
        bar = ""
        if label == "p99":
            short |= on - off > 1
            bar = f"  (bar +1.00)  {'OK' if on - off <= 1 else 'SHORT'}"
        print(f"{label}  with {on:.2f}  without {off:.2f}  added {on - off:+.2f}{bar}")
    for name, under_way in streams.items():
        median, worst = statistics.median(times[-1] for times in under_way), max(times[-1] for times in under_way)
        short |= median > 5
        print(f"{name}: a piece under way at least {min(times[0] for times in under_way):.2f} ms, the worst of a stream "
              f"{median:.2f} ms (bar 5), of all {worst:.2f} ms  {'OK' if median <= 5 else 'SHORT'}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
