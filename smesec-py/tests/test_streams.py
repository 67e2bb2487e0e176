"""Applications that answer while they read, decoys and `write()`: each as its user sees it."""

import http.client
import inspect
import io
import os
import socket
import threading
import time
import wsgiref.simple_server
import wsgiref.validate

import pytest

import smesec
import smesec.asgi
import smesec.wsgi
import test_asgi
import test_wsgi
from test_servers import FORM, ask, serving
from test_wsgi import RULES

BINARY = {"Content_Type": "application/octet-stream"}


# Not a StreamingResponse: below ASGI 2.4 it reads the body itself while it waits for the client to leave.
async def asgi_echo(scope, receive, send) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})


SERVICES = inspect.getsource(asgi_echo) + """
import fastapi, flask
import smesec, smesec.asgi, smesec.wsgi

detect = smesec.Settings(log_only=True)
service = fastapi.FastAPI()

asgi = smesec.asgi.Middleware(asgi_echo, settings=detect)

site = flask.Flask("site")

@site.post("/echo")
def site_echo():
    stream = flask.request.stream
    return flask.Response(iter(lambda: stream.read(65536), b""))

wsgi = smesec.wsgi.Middleware(site, settings=detect)

trap = fastapi.FastAPI()

@trap.post("/login")
async def login(request: fastapi.Request):
    return dict(await request.form())

old = flask.Flask("trap")

@old.post("/login")
def old_login():
    return flask.request.form.to_dict()

decoys = smesec.Settings(on_block="decoy")
asgi_trap = smesec.asgi.Middleware(service, settings=decoys, decoy=trap)
wsgi_trap = smesec.wsgi.Middleware(site, settings=decoys, decoy=old)
"""


class Words(smesec.FilterTransaction):
    """Refuses a body with `stop` in it, which it sees as `wanted` says."""

    def __init__(self, wanted: int | None = 0) -> None:
        self.wanted = wanted

    def begin(self, connection):
        return self

    def wants(self, side: str) -> int | None:
        return self.wanted if side == "request" else None

    def request_body(self, chunk: bytes, last: bool):
        if b"stop" in chunk:
            return smesec.Verdict("deny", 409)
        return smesec.Verdict("log", findings=[smesec.finding("seen")]) if b"note" in chunk else None


@pytest.fixture
def services(tmp_path) -> dict[str, str]:
    pytest.importorskip("fastapi")
    pytest.importorskip("flask")
    (tmp_path / "services.py").write_text(SERVICES)
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))}


@pytest.mark.parametrize(("server", "app"), [("uvicorn", "services:asgi"), ("gunicorn", "services:wsgi")])
def test_an_echo_of_three_megabytes_arrives_whole(services, server, app) -> None:
    body = os.urandom(3_000_000)
    with serving(server, app, **services) as port:
        assert ask(port, "/echo", body, **BINARY) == (200, body)
        # http.client sends an iterable in chunks.
        assert ask(port, "/echo", iter([body[:10], body[10:]]), **BINARY) == (200, body)


@pytest.mark.parametrize(("server", "app"), [("uvicorn", "services:asgi_trap"), ("gunicorn", "services:wsgi_trap")])
def test_a_decoy_gets_the_body(services, server, app) -> None:
    attack = b"name=1%27+union+select+password+from+users--+"
    pytest.importorskip("python_multipart")
    with serving(server, app, **services) as port:
        status, answer = ask(port, "/login", attack, **FORM)
        assert status == 200 and b"union select password" in answer
        status, answer = ask(port, "/login?next=../../../etc/passwd", b"name=ada", **FORM)
        assert status == 200 and b"ada" in answer, "stopped before the body was read"


def wsgi_echo(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter(lambda: environ["wsgi.input"].read(100), b"")


@pytest.mark.parametrize("wanted", [None, 0, 500, 5_000])
def test_what_is_read_after_the_answer_began_is_told(wanted, caplog) -> None:
    pieces = [b"note" + b"a" * 396] * 5
    events = smesec.Queue()
    words = smesec.Filter(Words(wanted), sink=events)

    async def asgi_half(scope, receive, send) -> None:
        first = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": first["body"], "more_body": True})
        await asgi_echo(scope, receive, lambda message: _after(send, message))

    async def _after(send, message) -> None:
        if message["type"] == "http.response.body":
            await send(message)

    def wsgi_half(environ, start_response):
        first = environ["wsgi.input"].read(400)
        environ["smesec.inspection"].extra = {"own": 1}
        return [first, *wsgi_echo(environ, start_response)] if wanted == 5_000 else _then(first, environ, start_response)

    def _then(first, environ, start_response):
        rest = wsgi_echo(environ, start_response)
        yield first
        yield from rest

    asgi, wsgi = smesec.asgi.Middleware(asgi_half, words), smesec.wsgi.Middleware(wsgi_half, words)
    whole = b"".join(pieces)
    assert test_asgi.call(asgi, "/", pieces)[2] == whole
    assert test_asgi.call(asgi, "/", pieces)[2] == whole
    assert test_wsgi.call(wsgi, "/", whole, check=False)[2] == whole
    found = list(events)
    assert len(found) == (0 if wanted is None else 3)
    cut = [event["extra"].get("request_body", "").startswith("cut: ") for event in found]
    # Of 2,000 bytes none is left where 5,000 are held.
    assert cut == [wanted != 5_000] * len(found)
    assert all(event["extra"].get("own") == 1 for event in found[2:])
    assert caplog.text.count("told once") == (2 if wanted in (0, 500) else 0), "once of each middleware"


def test_a_body_that_is_not_read_is_not_cut(caplog) -> None:
    events = smesec.Queue()
    words = smesec.Filter(Words(), sink=events)
    assert test_asgi.call(smesec.asgi.Middleware(test_asgi.page(b"x"), words), "/", [b"note", b"stop"])[2] == b"x"
    assert test_wsgi.call(smesec.wsgi.Middleware(test_wsgi.page(b"x"), words), "/", b"notestop")[2] == b"x"
    assert not caplog.text and not list(events)


def test_a_block_while_the_application_reads_gives_the_page() -> None:
    def generator(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"x"

    for app in (test_wsgi.hello, generator, wsgi_echo):
        answer = test_wsgi.call(smesec.wsgi.Middleware(app, smesec.Filter(Words())), "/", b"stop", check=False)
        assert answer[0].startswith("409")


def test_a_decoy_gets_held_and_coming_pieces() -> None:
    class Trap(Words):
        def request_body(self, chunk: bytes, last: bool):
            return smesec.Verdict("decoy") if b"stop" in chunk else None

    body = b"a" * 70_000 + b"stop" + b"b" * 200_000
    trap = smesec.Filter(Trap(1 << 20))
    for settings in (smesec.Settings(), smesec.Settings(memory_bytes=100)):
        pieces = [body[:70_000], body[70_000:70_004], body[70_004:]]
        asgi = smesec.asgi.Middleware(test_asgi.echo, trap, settings=settings, decoy=test_asgi.echo)
        assert test_asgi.call(asgi, "/", pieces)[2] == b"hello " + body
        wsgi = smesec.wsgi.Middleware(test_wsgi.page(), trap, settings=settings, decoy=test_wsgi.hello)
        assert test_wsgi.call(wsgi, "/", body)[2] == b"hello " + body


def test_a_firewall_that_fails_open_hands_the_whole_body_on() -> None:
    class Failing:
        def begin(self, **more):
            return self

        request_head = response_head = lambda *arguments, **more: smesec.Verdict()

        def wants(self, side):
            return 1 << 20

        def request_body(self, chunk, last):
            raise smesec.LimitError("lost")

        def finish(self, *arguments, **more):
            pass

    opens = smesec.Settings(on_error="open")
    assert test_wsgi.call(smesec.wsgi.Middleware(test_wsgi.hello, Failing(), settings=opens), "/", b"note")[2] == b"hello note"
    asgi = smesec.asgi.Middleware(test_asgi.echo, Failing(), settings=opens)
    assert test_asgi.call(asgi, "/", [b"no", b"te"])[2] == b"hello note"


def test_lines_cost_little_and_are_those_of_the_client() -> None:
    body = b"".join(b'{"n": %d, "text": "some line of a log, as an intake gets them all day long"}\n' % n for n in range(9_000))

    def app(environ, start_response):
        got.extend(environ["wsgi.input"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % len(got)]

    for filter in (smesec.Filter(Words()), smesec.Filter(Words(1 << 20))):
        got: list[bytes] = []
        began = time.thread_time()
        answer = test_wsgi.call(smesec.wsgi.Middleware(app, filter), "/", body, check=False, stream=io.BytesIO(body))
        # A byte at a time it were seconds.
        assert answer[2] == b"9000" and got == body.splitlines(True) and time.thread_time() - began < 0.5

    for size in (0, 3, 70_000, 150_000, -1, None):
        stream = io.BytesIO(b"x" * 140_000 + b"\ny")
        environ = {"CONTENT_LENGTH": "140000", "wsgi.input": io.BytesIO(stream.getvalue())}
        lines = []

        def reads(environ, start_response, size=size, lines=lines):
            lines.append(environ["wsgi.input"].readline(size))
            return test_wsgi.page(b"x")(environ, start_response)

        test_wsgi.call(smesec.wsgi.Middleware(reads, smesec.Filter(Words())), "/", b"", check=False, **environ)
        assert lines == [b"x" * min(140_000, 140_000 if size is None or size < 0 else size)]


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *arguments) -> None:
        pass


class Served:
    """An application under the standard library's server."""

    def __init__(self, app) -> None:
        self.server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=Quiet)
        self.port = self.server.server_port

    def __enter__(self) -> int:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.port

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_write_sends_at_once_what_is_not_held(rules) -> None:
    go = threading.Event()

    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"first")
        told.append(go.wait(10))
        write(b" second")
        return [b" third"]

    told: list[bool] = []
    with Served(smesec.wsgi.Middleware(app, smesec.Waf(rules))) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.read(5) == b"first"
        go.set()
        assert answer.read() == b" second third" and told == [True]
        connection.close()


def test_write_is_held_where_the_rules_want_the_response(rules) -> None:
    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "text/html")])
        write(b"the sec")
        write(b"ret" if environ["QUERY_STRING"] else b"ond")
        return []

    with Served(smesec.wsgi.Middleware(app, smesec.Waf(rules))) as port:
        assert ask(port, "/") == (200, b"the second")
        status, page = ask(port, "/?x")
        assert status == 500 and b"the sec" not in page


@pytest.fixture(scope="module")
def rules() -> smesec.RuleSet:
    return smesec.RuleSet.from_text(RULES, strict=True)


def test_a_chunked_body_without_an_end_hangs_nobody(rules) -> None:
    lengths: list[int] = []

    def app(environ, start_response):
        lengths.append(len(environ["wsgi.input"].read()))
        return test_wsgi.page(b"ok")(environ, start_response)

    with Served(smesec.wsgi.Middleware(app, smesec.Waf(rules))) as port:
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
            client.sendall(head + b"4\r\nevil\r\n")
            assert client.recv(100).startswith(b"HTTP/1.0 200")
    assert lengths == [0], "neither the rules nor the application read it"


def test_a_list_of_one_piece_keeps_its_length(rules) -> None:
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html" if environ["QUERY_STRING"] else "text/plain")])
        return [b"hello"]

    # The server of the library takes the length from a list of one, as waitress does.
    with Served(smesec.wsgi.Middleware(app, smesec.Waf(rules))) as port:
        for path in ("/", "/?x"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.headers["Content-Length"] == "5" and answer.read() == b"hello"
            connection.close()


def test_a_failure_after_the_response_began_is_raised_as_servers_do(rules) -> None:
    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "text/html")])
        write(b"held")
        try:
            raise KeyError("late")
        except KeyError as error:
            start_response("500 Oops", [], (KeyError, error, error.__traceback__))
        return []

    with pytest.raises(KeyError, match="late"):
        test_wsgi.call(smesec.wsgi.Middleware(app, smesec.Waf(rules)), check=False)


def test_the_servers_end_is_known() -> None:
    rules = 'SecRuleEngine On\nSecRule SERVER_PORT "@eq 8443" "id:1,phase:1,deny,status:403,chain"\n' \
        'SecRule SERVER_ADDR "@ipMatch 192.0.2.9" ""'  # fmt: skip
    app = smesec.asgi.Middleware(test_asgi.echo, smesec.Waf(smesec.RuleSet.from_text(rules, strict=True)))
    known = {("192.0.2.9", 8443): 403, ("192.0.2.9", 443): 200, ("shop.example", 8443): 200, ("/run/s.sock", None): 200, None: 200}
    for server, status in known.items():
        assert test_asgi.call(app, server=server)[0] == status


def test_a_question_mark_of_a_path_is_no_query_without_raw_path() -> None:
    text = 'SecRuleEngine On\nSecRule REQUEST_FILENAME "@contains ../" "id:1,phase:1,deny,status:403"'
    app = smesec.asgi.Middleware(test_asgi.echo, smesec.Waf(smesec.RuleSet.from_text(text)))
    for raw in (None, b"/a%3F/../../etc/passwd"):
        told = {"path": "/a?/../../etc/passwd", "raw_path": raw}
        assert test_asgi.call(lambda scope, *more, told=told: app(scope | told, *more))[0] == 403


@pytest.mark.parametrize("kind", [smesec.wsgi.Middleware, smesec.asgi.Middleware])
def test_wrong_arguments_are_told_at_once(kind, rules) -> None:
    waf, app = smesec.Waf(rules), test_wsgi.hello
    wrong = [
        ("settings=", (app, smesec.Settings()), {}),
        ("Waf, Chain or Filter", (app, rules), {}),
        ("`settings` is a dict", (app,), {"settings": {"log_only": True}}),
        ("`app` is None", (None,), {}),
        ("`decoy` is a int", (app, waf), {"decoy": 5}),
        ("`rules`, `paranoia`, `exclusions` of", (app, waf), {
            "settings": smesec.Settings(rules=["a.conf"], paranoia=2, exclusions=[smesec.Exclusion([1])]),
        }),
    ]  # fmt: skip
    for why, arguments, more in wrong:
        with pytest.raises(TypeError, match=why):
            kind(*arguments, **more)
    kind(app, waf, settings=smesec.Settings(log_only=True, trusted_proxies=["10.0.0.0/8"], thread_bytes=1))


def test_what_a_decoy_raises_goes_on() -> None:
    async def failing(scope, receive, send) -> None:
        raise ZeroDivisionError

    class Trap(Words):
        def request_body(self, chunk: bytes, last: bool):
            return smesec.Verdict("decoy")

    small = smesec.Settings(memory_bytes=1)
    app = smesec.asgi.Middleware(test_asgi.echo, smesec.Filter(Trap(1_000)), settings=small, decoy=failing)
    with pytest.raises(ZeroDivisionError):
        test_asgi.call(app, "/", [b"abc", b"def"])
