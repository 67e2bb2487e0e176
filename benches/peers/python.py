"""What Python adds to the firewall, as ratios and microseconds of one run, beside nothing but itself.

Three bars: a check from Python costs at most 10 us more than the same check in the library; the middleware adds at most
60 us to a FastAPI GET over the engine's own cost; 100,000 requests leave the memory where it was. Prints a row each; exit 1
where one is missed. Without FastAPI its row is skipped, loudly.

    python benches/peers/python.py path/to/smesec      # the command, release build; the wheel too
"""

import asyncio
import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import smesec
import smesec.asgi

HEADERS = [
    ("Host", "shop.example"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-GB,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Cookie", "session=9f86d081884c7d659a2feaa0c55ad015"),
]
TARGET = "/search?q=winter+boots&page=2"
missed = []


def row(name: str, value: float, bar: float, unit: str) -> None:
    print(f"python {name:<44} {value:9.2f} {unit} (bar {bar:g}) {'ok' if value <= bar else 'MISSED'}")
    if value > bar:
        missed.append(name)


def median(work, rounds: int = 15, each: int = 400) -> float:
    """Microseconds of one call, the median of rounds."""
    times = []
    for _ in range(rounds):
        began = time.thread_time()
        for _ in range(each):
            work()
        times.append((time.thread_time() - began) / each * 1e6)
    return statistics.median(times)


def native(command: str) -> float:
    """Microseconds of the same request in the library, as the command measures it."""
    request = {"name": "get", "method": "GET", "uri": TARGET, "headers": [list(header) for header in HEADERS]}
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write(json.dumps(request) + "\n")
        file.flush()
        measured = []
        for _ in range(5):
            told = subprocess.run(
                [command, "waf", "check", "--json", "--repeat", "2001", "--requests", file.name],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            measured.append(json.loads(told.stdout)["micros"])
    return statistics.median(measured)


def checks(waf: smesec.Waf, command: str) -> float:
    check = median(lambda: waf.check("GET", TARGET, HEADERS))
    inside = native(command)
    row(f"check over native ({check:.1f} to {inside:.1f} us)", check - inside, 10, "us")
    return check


def fastapi(waf: smesec.Waf, check: float) -> None:
    try:
        from fastapi import FastAPI
    except ImportError:
        print("##### SKIPPED: no FastAPI here #####")
        return

    def application(protected: bool):
        app = FastAPI()

        @app.get("/search")
        async def search(q: str, page: int) -> dict[str, str]:
            return {"q": q}

        if protected:
            app.add_middleware(smesec.asgi.Middleware, filter=waf)
        return app

    path, _, query = TARGET.partition("?")
    headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS]

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        assert message.get("status", 200) == 200

    def scope() -> dict:
        return {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": headers, "client": ("192.0.2.1", 4711), "server": ("127.0.0.1", 80),
        }  # fmt: skip

    async def measured(app) -> float:
        times = []
        for _ in range(15):
            began = time.thread_time()
            for _ in range(200):
                await app(scope(), receive, send)
            times.append((time.thread_time() - began) / 200 * 1e6)
        return statistics.median(times)

    bare, behind = asyncio.run(measured(application(False))), asyncio.run(measured(application(True)))
    name = f"middleware on a FastAPI GET ({bare:.0f} to {behind:.0f} us)"
    row(name, behind - bare - check, 60, "us")


def memory(waf: smesec.Waf) -> None:
    app = smesec.asgi.Middleware(_hello, waf)
    queue = smesec.Queue(100)
    noisy = waf.with_mode("detect")

    async def visits(count: int) -> None:
        for n in range(count):
            await app(_scope(n), _receive, _send)
            noisy.check("GET", f"/?q=union%20select{n}", HEADERS, client=(f"192.0.2.{n % 250}", 1))

    asyncio.run(visits(5_000))
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    asyncio.run(visits(50_000))
    queue.drain()
    gc.collect()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    row("memory over 100,000 requests", grown / 1024, 2, "MiB")


def _scope(n: int) -> dict:
    return {
        "type": "http", "method": "POST", "path": f"/{n}", "query_string": b"", "http_version": "1.1",
        "headers": [(b"host", b"a.example"), (b"content-type", b"application/x-www-form-urlencoded")], "client": None,
    }  # fmt: skip


async def _receive():
    return {"type": "http.request", "body": b"note=" + b"a" * 500}


async def _send(message) -> None:
    pass


async def _hello(scope, receive, send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


if __name__ == "__main__":
    rules = smesec.RuleSet.builtin()
    cost = checks(smesec.Waf(rules, mode="block"), sys.argv[1])
    fastapi(smesec.Waf(rules, mode="block"), cost)
    memory(smesec.Waf(rules, mode="block"))
    sys.exit(1 if missed else 0)
