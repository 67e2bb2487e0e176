"""What Python adds to the firewall, as ratios and microseconds of one run, beside nothing but itself.

Three bars: a check from Python costs at most 10 us more than the same check in the library; the middleware adds at most
60 us to a FastAPI GET over the engine's own cost; 100,000 requests leave the memory where it was. Prints a row each; exit 1
where one is missed. Without FastAPI its row is skipped, loudly.

    python benches/peers/python.py path/to/smesec      # the command, release build; the wheel too
"""

import asyncio
import gc
import json
import pathlib
import resource
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
# Of each measurement; some seconds.
ROUNDS = 7


def row(name: str, value: float, bar: float, unit: str) -> None:
    print(f"python {name:<44} {value:9.2f} {unit} (bar {bar:g}) {'ok' if value <= bar else 'MISSED'}")
    if value > bar:
        missed.append(name)


def checked(waf: smesec.Waf, each: int = 100) -> float:
    """Microseconds of one call, on the mean of a short round."""
    began = time.thread_time()
    for _ in range(each):
        waf.check("GET", TARGET, HEADERS)
    return (time.thread_time() - began) / each * 1e6


def native(command: str) -> float:
    """Microseconds of the same request in the library, as the command measures it: the median of a run."""
    request = {"name": "get", "method": "GET", "uri": TARGET, "headers": [list(header) for header in HEADERS]}
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write(json.dumps(request) + "\n")
        file.flush()
        told = subprocess.run(
            [command, "waf", "check", "--repeat", "2001", "--requests", file.name],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    return json.loads(told.stdout)["micros"]


def checks(waf: smesec.Waf, command: str) -> None:
    # In turns, and the best of each: a neighbour on the machine slows one side for seconds and never speeds it up.
    rounds = [(native(command), min(checked(waf) for _ in range(20))) for _ in range(ROUNDS)]
    inside, check = min(inside for inside, _ in rounds), min(check for _, check in rounds)
    row(f"check over native ({check:.1f} to {inside:.1f} us)", check - inside, 10, "us")


def fastapi(waf: smesec.Waf) -> None:
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

    async def measured(app, each: int = 50) -> float:
        began = time.thread_time()
        for _ in range(each):
            await app(scope(), receive, send)
        return (time.thread_time() - began) / each * 1e6

    async def all_rounds() -> list[tuple[float, float, float]]:
        plain, protected = application(False), application(True)
        return [
            (await measured(plain), await measured(protected), checked(waf, 50)) for _ in range(20 * ROUNDS)
        ]

    rounds = asyncio.run(all_rounds())
    bare, behind, check = (min(times) for times in zip(*rounds, strict=True))
    name = f"middleware on a FastAPI GET ({bare:.0f} to {behind:.0f} us)"
    row(name, behind - bare - check, 60, "us")


def memory(waf: smesec.Waf) -> None:
    app = smesec.asgi.Middleware(_hello, waf)
    noisy = smesec.Waf(waf.rules, mode="detect", sink=(queue := smesec.Queue(100)))

    async def visits(count: int) -> None:
        for n in range(count):
            await app(_scope(n), _receive, _send)
            noisy.check("GET", f"/?q=union%20select{n}", HEADERS, client=(f"192.0.2.{n % 250}", 1))

    asyncio.run(visits(5_000))
    gc.collect()
    before = _resident()
    asyncio.run(visits(50_000))
    queue.drain()
    gc.collect()
    grown = _resident() - before
    row("memory over 100,000 requests", grown / (1 << 20), 2, "MiB")


def _resident() -> int:
    """Bytes in memory now; the peak was at the compilation of the rules and would hide a growth."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


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
    checks(smesec.Waf(rules, mode="block"), sys.argv[1])
    fastapi(smesec.Waf(rules, mode="block"))
    memory(smesec.Waf(rules, mode="block"))
    sys.exit(1 if missed else 0)
