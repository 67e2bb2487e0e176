"""The WSGI middleware in front of plain applications."""

import datetime
import decimal
import io
import itertools
import json
import logging
import uuid
import wsgiref.util
import wsgiref.validate

import pytest

import smesec
import smesec.wsgi

RULES = """
SecRuleEngine On
SecRequestBodyAccess On
SecRequestBodyLimit 1000000
SecRequestBodyLimitAction Reject
SecResponseBodyAccess On
SecResponseBodyMimeType text/html
SecRule ARGS_GET:q "@contains attack" "id:1,phase:1,deny,status:403,msg:'seen'"
SecRule REQUEST_HEADERS:Content-Type "@beginsWith text/plain" "id:6,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On"
SecRule ARGS_POST:note|REQUEST_BODY "@contains evil" "id:2,phase:2,deny,status:406"
SecRule RESPONSE_BODY "@contains secret" "id:3,phase:4,deny,status:500"
SecRule ARGS_GET:next "@streq away" "id:4,phase:1,redirect:https://example.org/"
SecRule REMOTE_ADDR "@ipMatch 192.0.2.66" "id:5,phase:1,deny,status:429"
SecRule ARGS_GET:q "@contains drop" "id:7,phase:1,drop"
SecRule RESPONSE_HEADERS:X-Leak "@contains yes" "id:8,phase:3,deny,status:502"
SecRule REQUEST_URI_RAW "@endsWith /%7Eraw" "id:9,phase:1,deny,status:404"
"""


@pytest.fixture(scope="module")
def rules() -> smesec.RuleSet:
    return smesec.RuleSet.from_text(RULES, strict=True)


@pytest.fixture
def queue() -> smesec.Queue:
    return smesec.Queue()


@pytest.fixture
def waf(rules, queue) -> smesec.Waf:
    return smesec.Waf(rules, sink=queue)


class Input(io.BytesIO):
    """A stream that counts what is asked of it and hands out little at once."""

    def __init__(self, data: bytes, most: int = 1_000) -> None:
        super().__init__(data)
        self.most, self.reads = most, 0

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        return super().read(min(size, self.most) if size >= 0 else self.most)


def call(app, path: str = "/", body: bytes | None = None, check: bool = True, **more):
    """Status, headers and body of one request."""
    environ = {"REQUEST_METHOD": "POST" if body is not None else "GET", "HTTP_HOST": "a.example", "REMOTE_ADDR": "192.0.2.1"}
    environ["SCRIPT_NAME"] = ""
    environ["PATH_INFO"], _, environ["QUERY_STRING"] = path.partition("?")
    if body is not None:
        environ |= {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/x-www-form-urlencoded"}
        environ["wsgi.input"] = more.pop("stream", None) or Input(body)
    environ |= more
    wsgiref.util.setup_testing_defaults(environ)
    told: list = []

    def start_response(status, headers, exc_info=None):
        told[:] = [status, dict(headers)]
        return lambda data: None

    answer = (wsgiref.validate.validator(app) if check else app)(environ, start_response)
    try:
        text = b"".join(answer)
    finally:
        if hasattr(answer, "close"):
            answer.close()
    return told[0], told[1], text


def hello(environ, start_response):
    """Repeats the body."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello ", environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))]


def page(*pieces: bytes, kind: str = "text/html", **headers: str):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", kind), *((k.replace("_", "-"), v) for k, v in headers.items())])
        return iter(pieces)

    return app


def test_what_is_harmless_passes(waf, queue) -> None:
    app = smesec.wsgi.Middleware(hello, waf)
    assert call(app, "/?q=boots")[::2] == ("200 OK", b"hello ")
    assert call(app, "/", b"note=fine")[2] == b"hello note=fine"
    assert list(queue) == []


def test_a_block_has_a_page_with_the_events_incident(waf, queue) -> None:
    app = smesec.wsgi.Middleware(hello, waf)
    status, headers, body = call(app, "/?q=an%20attack", HTTP_ACCEPT="text/html, application/json")
    (event,) = queue
    assert status == "403 Forbidden" and headers["Content-Type"].startswith("text/html")
    assert int(headers["Content-Length"]) == len(body) and event["extra"]["incident"].encode() in body
    assert event["extra"]["status"] == 403 and event["extra"]["bytes"] == len(body)
    status, headers, body = call(app, "/?q=attack", HTTP_ACCEPT="application/json")
    (event,) = queue
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["incident"] == event["extra"]["incident"] and json.loads(body)["status"] == 403
    assert call(app, "/?q=attack", REQUEST_METHOD="HEAD")[2] == b""
    assert call(app, "/?next=away")[1]["Location"] == "https://example.org/"
    assert call(app, "/?q=drop")[0].startswith("403")
    own = smesec.wsgi.Middleware(hello, waf, page=lambda status, incident, accept: smesec.wsgi.Page(418, [], b"no"))
    assert call(own, "/?q=attack", check=False)[0].startswith("418")


def test_bodies_stream_and_are_held_back(waf, queue) -> None:
    for settings in (smesec.Settings(), smesec.Settings(memory_bytes=100)):
        app = smesec.wsgi.Middleware(hello, waf, settings=settings)
        long = b"note=" + b"a" * 50_000
        stream = Input(long)
        assert call(app, "/", long, stream=stream)[2] == b"hello " + long
        assert stream.reads > 40
        assert call(app, "/", long + b"evil")[0].startswith("406")
    huge = b"note=" + b"a" * 1_100_000
    stream = Input(huge, 1 << 16)
    assert call(app, "/", huge, stream=stream)[0].startswith("4")
    assert stream.tell() < 1_100_000, "what is refused is not read to its end"


def test_a_body_over_the_limit_that_may_pass_arrives_whole(queue) -> None:
    text = RULES.replace("LimitAction Reject", "LimitAction ProcessPartial")
    waf = smesec.Waf(smesec.RuleSet.from_text(text), on_limit="open", sink=queue)
    huge = b"note=" + b"a" * 1_100_000
    assert call(smesec.wsgi.Middleware(hello, waf), "/", huge)[2] == b"hello " + huge


def test_a_chunked_body_is_inspected(waf) -> None:
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["wsgi.input"].read()]

    for body, status in ((b"note=evil", "406"), (b"note=good", "200")):
        chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
        answer = call(smesec.wsgi.Middleware(app, waf), "/", body, check=False, CONTENT_LENGTH="", **chunked)
        assert answer[0].startswith(status)


def test_every_way_to_read_a_body(waf) -> None:
    body = b"note=1\nb\n" + b"c" * 3_000 + b"\n"

    def app(environ, start_response):
        stream = environ["wsgi.input"]
        got = [stream.readline(), stream.read(3), *stream.readlines()]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return got

    assert call(smesec.wsgi.Middleware(app, waf), "/", body, check=False)[2] == body
    detect = smesec.wsgi.Middleware(app, waf.with_mode("detect"))
    assert call(detect, "/", body, check=False)[2] == body


def test_responses_are_inspected_and_replaced(waf, queue) -> None:
    assert call(smesec.wsgi.Middleware(page(b"<p>the sec", b"ret</p>"), waf))[0].startswith("500")
    (event,) = queue
    assert event["extra"]["status"] == 500
    assert call(smesec.wsgi.Middleware(page(b"<p>", b"fine</p>"), waf))[2] == b"<p>fine</p>"
    assert call(smesec.wsgi.Middleware(page(b"the secret", kind="image/png"), waf))[2] == b"the secret"
    assert call(smesec.wsgi.Middleware(page(b"x", X_Leak="yes"), waf))[0].startswith("502")


def test_a_response_that_is_not_inspected_streams(waf) -> None:
    sent: list[str] = []

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        for n in range(3):
            sent.append(f"made {n}")
            yield b"%d" % n

    environ: dict = {}
    wsgiref.util.setup_testing_defaults(environ)
    answer = smesec.wsgi.Middleware(app, waf)(environ, lambda *_: None)
    for n, piece in enumerate(answer):
        sent.append(f"got {n}")
    assert sent == ["made 0", "got 0", "made 1", "got 1", "made 2", "got 2"]


def test_write_and_a_late_start_response(waf) -> None:
    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "text/html")])
        write(b"the sec")
        return [b"ret"]

    def late(environ, start_response):
        yield b""
        start_response("201 Created", [("Content-Type", "text/plain")])
        yield b"x"

    assert call(smesec.wsgi.Middleware(app, waf))[0].startswith("500")
    assert call(smesec.wsgi.Middleware(late, waf), check=False)[::2] == ("201 Created", b"x")


def test_exceptions_of_the_application_go_on(waf, queue) -> None:
    def app(environ, start_response):
        raise ZeroDivisionError

    class Pieces:
        closed = False

        def __iter__(self):
            return self

        def __next__(self):
            raise KeyError

        def close(self):
            Pieces.closed = True

    def later(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Pieces()

    with pytest.raises(ZeroDivisionError):
        call(smesec.wsgi.Middleware(app, waf))
    with pytest.raises(KeyError):
        call(smesec.wsgi.Middleware(later, waf), check=False)
    assert Pieces.closed


def test_start_response_again_with_an_exception(waf) -> None:
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise ValueError
        except ValueError:
            import sys

            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"sorry"]

    assert call(smesec.wsgi.Middleware(app, waf))[::2] == ("500 Oops", b"sorry")


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "blocked"),
    [
        ("192.0.2.66", "", (), True),
        ("192.0.2.1", "192.0.2.66", (), False),
        ("10.0.0.1", "192.0.2.66", ("10.0.0.0/8",), True),
        ("10.0.0.1", "192.0.2.66, 192.0.2.7", ("10.0.0.0/8",), False),
        ("10.0.0.1", "192.0.2.66:4711, 10.2.3.4", ("10.0.0.0/8",), True),
        ("10.0.0.1", "192.0.2.66, nonsense", ("10.0.0.0/8",), False),
        ("::ffff:10.0.0.1", "192.0.2.66", ("10.0.0.0/8",), True),
        ("2001:db8::1", "[::ffff:192.0.2.66]:80", ("2001:db8::/32",), True),
        ("testclient", "192.0.2.66", ("10.0.0.0/8",), False),
        ("fe80::1%eth0", "", (), False),
        ("", "192.0.2.66", ("unix",), True),
        ("", "192.0.2.66", ("10.0.0.0/8",), False),
    ],
)
def test_the_clients_address_through_trusted_proxies(waf, peer, forwarded, trusted, blocked) -> None:
    settings = smesec.Settings(trusted_proxies=trusted)
    app = smesec.wsgi.Middleware(hello, waf, settings=settings)
    status = call(app, REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)[0]
    assert status.startswith("429" if blocked else "200")


def test_the_application_sees_the_inspection(waf, queue) -> None:
    def app(environ, start_response):
        inspection = environ["smesec.inspection"]
        inspection.extra = {"account": 7}
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{inspection.verdict.action} {inspection.client[0]} {inspection.incident}".encode()]

    assert call(smesec.wsgi.Middleware(app, waf))[2] == b"pass 192.0.2.1 None"
    detect = smesec.wsgi.Middleware(app, waf.with_mode("detect"))
    assert call(detect, "/?q=attack")[2] == b"log 192.0.2.1 None"
    (event,) = queue
    assert event["extra"]["account"] == 7 and event["extra"]["status"] == 200


def test_log_only_lets_pass_and_reports(waf, queue) -> None:
    app = smesec.wsgi.Middleware(hello, waf, settings=smesec.Settings(log_only=True))
    assert call(app, "/?q=attack", b"note=evil")[2] == b"hello note=evil"
    (event,) = queue
    assert event["extra"]["enforced"] is False and event["extra"]["status"] == 200
    made = smesec.wsgi.Middleware(hello, settings=smesec.Settings(log_only=True), sink=queue)
    assert call(made, "/?f=../../etc/passwd")[0] == "200 OK"
    assert [event["action"] for event in queue] == ["log"]


def test_the_decoy_gets_what_is_meant_for_it(rules) -> None:
    decoy = smesec.Waf(rules, on_block="decoy")
    app = smesec.wsgi.Middleware(hello, decoy, decoy=page(b"welcome, root", kind="text/plain"))
    assert call(app, "/?q=attack")[::2] == ("200 OK", b"welcome, root")
    assert call(smesec.wsgi.Middleware(hello, decoy), "/?q=attack")[0].startswith("403")


def test_uploads_go_to_the_scanner(rules) -> None:
    def scan(object: smesec.ScanObject) -> smesec.ScanReport:
        return smesec.ScanReport([smesec.finding("av")] if b"VIRUS" in (object.data or b"") else None)

    app = smesec.wsgi.Middleware(hello, smesec.Waf(rules, scanner=scan))
    for content, status in ((b"VIRUS", "403"), (b"holiday", "200")):
        body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n' + content + b"\r\n--b--\r\n"
        assert call(app, "/", body, CONTENT_TYPE="multipart/form-data; boundary=b")[0].startswith(status)


def test_the_raw_target_is_inspected_where_the_server_tells_it(waf) -> None:
    app = smesec.wsgi.Middleware(hello, waf)
    assert call(app, "/~raw", RAW_URI="/%7Eraw")[0].startswith("404")
    assert call(app, "/~raw")[0].startswith("200")
    assert call(app, "/caf\xc3\xa9 x")[0].startswith("200")


def test_a_firewall_that_fails_follows_the_policy(waf, caplog) -> None:
    class Failing:
        def begin(self, **more):
            raise smesec.LimitError("lost")

    for on_error, status in (("closed", "500"), ("open", "200")):
        app = smesec.wsgi.Middleware(hello, Failing(), settings=smesec.Settings(on_error=on_error))
        with caplog.at_level(logging.ERROR, logger="smesec"):
            assert call(app)[0].startswith(status)
    assert call(smesec.wsgi.Middleware(hello, waf), "/", b"x", CONTENT_LENGTH="1x", check=False)[0].startswith("500")
    assert len(caplog.records) == 3 and "lost" in caplog.text


def test_events_are_logged_unless_a_sink_is_given(caplog) -> None:
    app = smesec.wsgi.Middleware(hello)
    with caplog.at_level(logging.INFO, logger="smesec"):
        assert call(app, "/?f=../../../etc/passwd")[0].startswith("403")
    (record,) = caplog.records
    assert record.levelno >= logging.WARNING and "192.0.2.1:" in record.getMessage()
    assert record.smesec["extra"]["incident"]


def test_settings_are_checked() -> None:
    for wrong in ({"mode": "loud"}, {"trusted_proxies": ["10.0.0.0/33"]}, {"memory_bytes": -1}, {"on_error": "maybe"}):
        with pytest.raises(smesec.ConfigError) as caught:
            smesec.Settings(**wrong)
        assert caught.value.code == 11
    with pytest.raises(TypeError, match="sink"):
        smesec.wsgi.Middleware(hello, smesec.Waf(smesec.RuleSet.from_text("")), sink=print)


class Account:
    def __str__(self) -> str:
        return "account 7"


class Silent:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime.datetime(2026, 3, 2, 6), "2026-03-02 06:00:00"),
        (decimal.Decimal("1.50"), "1.50"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2**70, str(2**70)),
        ([10**5_000], ["an integer of too many digits"]),
        (Account(), "account 7"),
        (Silent(), "Silent"),
        ("\ud800", "\ufffd\ufffd\ufffd"),
        ({uuid.UUID(int=2): (1, None, True, 1.5)}, {"00000000-0000-0000-0000-000000000002": [1, None, True, 1.5]}),
    ],
    ids=itertools.count(),
)
def test_whatever_the_application_adds_its_event_survives(waf, queue, given, kept) -> None:
    def app(environ, start_response):
        environ["smesec.inspection"].extra = {"user": given}
        return page(b"the secret")(environ, start_response)

    assert call(smesec.wsgi.Middleware(app, waf))[0].startswith("500")
    (event,) = queue
    assert event["extra"]["user"] == kept and event["extra"]["incident"]


def test_what_holds_itself_has_an_end(waf, queue) -> None:
    endless: list = []
    endless += [endless, endless]

    def app(environ, start_response):
        environ["smesec.inspection"].extra = next(extras)
        return page(b"the secret")(environ, start_response)

    extras = iter([{"user": endless}, {"user": list(range(100_000))}, ["no", "dict"]])
    app = smesec.wsgi.Middleware(app, waf)
    for _ in range(3):
        assert call(app)[0].startswith("500")
    deep, long, listed = queue
    assert "a list that nests too deep" in json.dumps(deep["extra"]["user"])
    assert long["extra"]["user"][-1] == "further values left out" and len(long["extra"]["user"]) < 100_000
    assert listed["extra"]["extra"] == ["no", "dict"]
