"""The ASGI middleware in front of plain applications."""

import asyncio
import json
import threading

import pytest

import smesec
import smesec.asgi
from test_wsgi import RULES

JSON = [(b"accept", b"application/json")]
FORM = [(b"content-type", b"application/x-www-form-urlencoded")]


@pytest.fixture(scope="module")
def rules() -> smesec.RuleSet:
    return smesec.RuleSet.from_text(RULES, strict=True)


@pytest.fixture
def queue() -> smesec.Queue:
    return smesec.Queue()


@pytest.fixture
def waf(rules, queue) -> smesec.Waf:
    return smesec.Waf(rules, sink=queue)


def call(app, path: str = "/", pieces: list[bytes] | None = None, headers=(), leaves: bool = False, **scope):
    """Status, headers, body of one request; what the application raises is raised."""
    sent: list[dict] = []
    pieces = list(pieces or ())
    messages = [
        {"type": "http.request", "body": piece, "more_body": leaves or n + 1 < len(pieces)} for n, piece in enumerate(pieces)
    ] or [{"type": "http.request"}]

    async def receive():
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    plain, _, query = path.partition("?")
    full = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST" if pieces else "GET",
        "path": plain, "raw_path": plain.encode(), "query_string": query.encode(),
        "headers": [(b"host", b"a.example"), *headers], "client": ("192.0.2.1", 4711), "server": ("127.0.0.1", 80),
    } | scope  # fmt: skip
    asyncio.run(app(full, receive, send))
    if not sent:
        return None
    start = sent[0]
    assert [message["type"] for message in sent] == ["http.response.start"] + ["http.response.body"] * (len(sent) - 1)
    assert not sent[-1].get("more_body")
    return start["status"], dict(start.get("headers", ())), b"".join(message.get("body", b"") for message in sent[1:])


async def echo(scope, receive, send) -> None:
    """Repeats the body."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("client left")
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello " + body})


def page(*pieces: bytes, kind: bytes = b"text/html", leak: bytes = b"no"):
    async def app(scope, receive, send) -> None:
        headers = [(b"content-type", kind), (b"x-leak", leak)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for n, piece in enumerate(pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": n + 1 < len(pieces)})

    return app


def test_what_is_harmless_passes(waf, queue) -> None:
    app = smesec.asgi.Middleware(echo, waf)
    assert call(app, "/?q=boots")[::2] == (200, b"hello ")
    assert call(app, "/", [b"note=", b"", b"fine"], FORM)[2] == b"hello note=fine"
    assert call(app, raw_path=None)[0] == 200
    assert list(queue) == []


def test_a_block_has_a_page_with_the_events_incident(waf, queue) -> None:
    app = smesec.asgi.Middleware(echo, waf)
    status, headers, body = call(app, "/?q=an%20attack", headers=JSON)
    (event,) = queue
    assert status == 403 and json.loads(body)["incident"] == event["extra"]["incident"]
    assert headers[b"content-length"] == b"%d" % len(body) and event["extra"]["status"] == 403
    assert call(app, "/?next=away")[1][b"location"] == b"https://example.org/"
    assert call(app, "/?q=drop")[1][b"connection"] == b"close"
    assert b"connection" not in call(app, "/?q=drop", http_version="2")[1]


@pytest.mark.parametrize("settings", [{}, {"memory_bytes": 100}, {"thread_bytes": 0}])
def test_bodies_are_held_back_and_replayed(waf, settings) -> None:
    app = smesec.asgi.Middleware(echo, waf, settings=smesec.Settings(**settings))
    pieces = [b"note="] + [b"a" * 1_000] * 200
    assert call(app, "/", pieces, FORM)[2] == b"hello " + b"".join(pieces)
    assert call(app, "/", [*pieces, b"evil"], FORM)[0] == 406
    assert call(app, "/", [b"note=" + b"a" * 70_000] * 20, FORM)[0] in (400, 403, 413)


def test_a_body_over_the_limit_that_may_pass_arrives_whole() -> None:
    text = RULES.replace("LimitAction Reject", "LimitAction ProcessPartial")
    waf = smesec.Waf(smesec.RuleSet.from_text(text), on_limit="open")
    pieces = [b"note="] + [b"a" * 100_000] * 13
    assert call(smesec.asgi.Middleware(echo, waf), "/", pieces, FORM)[2] == b"hello " + b"".join(pieces)


def test_a_client_that_leaves_is_no_request(waf, queue) -> None:
    assert call(smesec.asgi.Middleware(echo, waf), "/", [b"note=", b"evil"], FORM, leaves=True) is None


def test_a_watched_body_flows(rules) -> None:
    waf = smesec.Waf(rules, mode="detect", sink=(events := smesec.Queue()))
    assert call(smesec.asgi.Middleware(echo, waf), "/", [b"note=", b"evil"], FORM)[2] == b"hello note=evil"
    assert [event["action"] for event in events] == ["log"]

    async def deaf(scope, receive, send) -> None:
        await page(b"x", kind=b"text/plain")(scope, receive, send)

    assert call(smesec.asgi.Middleware(deaf, waf), "/", [b"note=", b"evil"], FORM)[0] == 200


def test_a_block_while_the_application_reads(waf) -> None:
    class Words(smesec.FilterTransaction):
        def begin(self, connection):
            return self

        def wants(self, side: str) -> int:
            return 0

        def request_body(self, chunk: bytes, last: bool):
            return smesec.Verdict("deny", 409) if b"stop" in chunk else None

    app = smesec.asgi.Middleware(echo, smesec.Chain(Words()))
    assert call(app, "/", [b"a", b"b"])[2] == b"hello ab"
    assert call(app, "/", [b"a", b"stop", b"b"])[0] == 409


def test_responses_are_inspected_and_replaced(waf, queue) -> None:
    assert call(smesec.asgi.Middleware(page(b"<p>the sec", b"ret</p>"), waf))[0] == 500
    assert [event["extra"]["status"] for event in queue] == [500]
    assert call(smesec.asgi.Middleware(page(b"<p>", b"fine</p>"), waf))[2] == b"<p>fine</p>"
    assert call(smesec.asgi.Middleware(page(b"the secret", kind=b"image/png"), waf))[2] == b"the secret"
    assert call(smesec.asgi.Middleware(page(b"x", leak=b"yes"), waf))[0] == 502


def test_exceptions_of_the_application_go_on(waf, queue) -> None:
    async def app(scope, receive, send) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call(smesec.asgi.Middleware(app, waf))
    with pytest.raises(ZeroDivisionError):
        call(smesec.asgi.Middleware(app, waf.with_mode("detect")), "/?q=attack")
    assert [event["extra"]["aborted"] for event in queue] == [True]


def test_websockets_and_lifespan_are_untouched(waf) -> None:
    seen: list[tuple] = []

    async def app(*arguments) -> None:
        seen.append(arguments)

    for kind in ("websocket", "lifespan"):
        arguments = ({"type": kind}, object(), object())
        asyncio.run(smesec.asgi.Middleware(app, waf)(*arguments))
        assert all(one is other for one, other in zip(seen.pop(), arguments, strict=True))


def test_the_application_sees_the_inspection(waf) -> None:
    state = {"pool": 1}

    async def app(scope, receive, send) -> None:
        inspection = scope["state"]["smesec"]
        told = f"{inspection.verdict.action} {inspection.client} {scope['state']['pool']} {scope.get('extensions')}"
        await page(told.encode(), kind=b"text/plain")(scope, receive, send)

    extensions = {"http.response.pathsend": {}, "tls": {}}
    told = call(smesec.asgi.Middleware(app, waf), state=state, extensions=extensions)[2]
    assert told == b"pass ('192.0.2.1', 4711) 1 {'tls': {}}" and state == {"pool": 1}


def test_trusted_proxies_log_only_and_the_decoy(rules, queue) -> None:
    forwarded = [(b"x-forwarded-for", b"192.0.2.66")]
    waf = smesec.Waf(rules, sink=queue)
    trusting = smesec.asgi.Middleware(echo, waf, settings=smesec.Settings(trusted_proxies=["192.0.2.1", "unix"]))
    assert call(trusting, headers=forwarded)[0] == 429
    assert call(trusting, headers=forwarded, client=None)[0] == 429
    assert call(smesec.asgi.Middleware(echo, waf), headers=forwarded)[0] == 200
    logging_only = smesec.asgi.Middleware(echo, waf, settings=smesec.Settings(log_only=True))
    assert call(logging_only, "/?q=attack")[0] == 200
    decoy = smesec.asgi.Middleware(echo, smesec.Waf(rules, on_block="decoy"), decoy=page(b"welcome, root"))
    assert call(decoy, "/?q=attack")[2] == b"welcome, root"


def test_a_firewall_that_fails_follows_the_policy() -> None:
    class Failing:
        def begin(self, **more):
            raise smesec.LimitError("lost")

    for on_error, status in (("closed", 500), ("open", 200)):
        app = smesec.asgi.Middleware(echo, Failing(), settings=smesec.Settings(on_error=on_error))
        assert call(app)[0] == status


def test_scans_run_in_threads_and_the_loop_goes_on(rules) -> None:
    scanned: list[int] = []
    ticks = 0

    def scan(object: smesec.ScanObject) -> smesec.ScanReport:
        scanned.append(threading.get_ident())
        threading.Event().wait(0.1)
        return smesec.ScanReport([smesec.finding("av")] if b"VIRUS" in (object.data or b"") else None)

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    middleware = smesec.asgi.Middleware(echo, smesec.Waf(rules, scanner=scan))

    async def app(*arguments) -> None:
        ticking = asyncio.create_task(tick())
        await middleware(*arguments)
        ticking.cancel()

    body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nVIRUS\r\n--b--\r\n'
    assert call(app, "/", [body[:20], body[20:]], [(b"content-type", b"multipart/form-data; boundary=b")])[0] == 403
    assert ticks >= 5 and threading.get_ident() not in scanned
