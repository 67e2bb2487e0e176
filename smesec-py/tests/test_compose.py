"""Parts written in Python beside native ones: filters, scanners, detectors, sinks, long work."""

import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

import smesec

RULES = """
SecRuleEngine On
SecRequestBodyAccess On
SecRule ARGS_GET:q "@contains union select" "id:1,phase:1,deny,t:lowercase,msg:'SQL in q',tag:'sql'"
SecRule FILES_NAMES "@contains never" "id:2,phase:2,deny"
"""
HOST = [("Host", "shop.example")]
ATTACK = ("GET", "/?q=1%20union%20select%202", HOST)
UPLOAD = [("Host", "a.example"), ("Content-Type", "multipart/form-data; boundary=b")]


def form(content: bytes, name: str = "a.bin", content_type: str = "") -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n'
    if content_type:
        head += f"Content-Type: {content_type}\r\n"
    return head.encode() + b"\r\n" + content + b"\r\n--b--\r\n"


@pytest.fixture
def rules() -> smesec.RuleSet:
    return smesec.RuleSet.from_text(RULES, strict=True)


@pytest.fixture
def unraisable(monkeypatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: told.append(str(raised.exc_value)))
    return told


class AddressList:
    """Refuses listed addresses."""

    def __init__(self, *listed: str) -> None:
        self.listed = listed
        self.outcomes: list[tuple[int, bool]] = []

    def begin(self, connection: smesec.Connection) -> "Visit":
        return Visit(self, connection.client[0] in self.listed)


class Visit(smesec.FilterTransaction):
    def __init__(self, addresses: AddressList, listed: bool) -> None:
        self.addresses, self.listed = addresses, listed

    def request_head(self, head: smesec.RequestHead) -> smesec.Verdict | None:
        if not self.listed:
            return None
        found = smesec.finding("list-1", "address is listed", severity="high", part="REMOTE_ADDR", tags=["list"])
        return smesec.Verdict("deny", 451, findings=[found])

    def finish(self, outcome: smesec.Outcome) -> None:
        self.addresses.outcomes.append((outcome.status, outcome.aborted))


def test_a_filter_in_python_before_the_firewall(rules) -> None:
    addresses, events = AddressList("192.0.2.66"), []
    chain = smesec.Chain(addresses, smesec.Waf(rules), sink=events.append)
    assert isinstance(chain, smesec.Filter)
    assert not chain.check("GET", "/", HOST).blocked
    assert events == []
    listed = chain.check("GET", "/", HOST, client=("192.0.2.66", 1))
    assert (listed.status, listed.rule_ids) == (451, ["list-1"])
    assert listed.findings[0]["part"] == "REMOTE_ADDR" and listed.findings[0]["severity"] == "high"
    assert chain.check(*ATTACK).rule_ids == ["1"]
    assert [(event["detector"], event["action"]) for event in events] == [
        ("host", {"deny": {"status": 451}}),
        ("waf", {"deny": {"status": 403}}),
    ]
    assert events[0]["src_endpoint"] == "192.0.2.66:1" and events[0]["severity_id"] == 4
    assert events[0]["id"] != events[1]["id"]
    assert addresses.outcomes == [(0, False), (451, False), (403, False)]


class Everything:
    """Sees all steps."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def begin(self, connection: smesec.Connection) -> "Everything":
        self.seen.append(connection.client)
        return self

    def wants(self, side: str) -> int:
        return {"request": 10, "response": 0}[side]

    def request_head(self, head: smesec.RequestHead) -> None:
        self.seen.append((head.method, head.target, head.version, head.headers, head.header("host"), head.header("x")))

    def request_body(self, chunk: bytes, last: bool) -> None:
        self.seen.append((chunk, last))

    def response_head(self, head: smesec.ResponseHead) -> None:
        self.seen.append((head.status, head.header("SERVER")))

    def response_body(self, chunk: bytes, last: bool) -> smesec.Verdict:
        self.seen.append((chunk, last))
        return smesec.Verdict("redirect", location="https://example.org/", score=7)


def test_every_step_reaches_a_filter() -> None:
    part = Everything()
    filter = smesec.Filter(part)
    with filter.begin(client=("192.0.2.1", 7)) as transaction:
        transaction.request_head(b"POST", "/a", [("Host", "h")])
        assert transaction.wants("request") == 10
        transaction.request_body(b"ab")
        transaction.request_body(b"", True)
        transaction.response_head(200, [("Server", "s")])
        assert transaction.wants("response") == 0
        told = transaction.response_body(b"xy", True)
        transaction.finish(200)
    assert (told.action, told.status, told.location, told.score) == ("redirect", 302, "https://example.org/", 7)
    assert part.seen == [
        ("192.0.2.1", 7),
        (b"POST", b"/a", b"HTTP/1.1", [(b"Host", b"h")], b"h", None),
        (b"ab", False),
        (b"", True),
        (200, b"s"),
        (b"xy", True),
    ]


def test_verdicts_are_checked() -> None:
    for wrong in (("shout",), ("deny", 999), ("redirect",)):
        with pytest.raises(smesec.ConfigError):
            smesec.Verdict(*wrong)
    with pytest.raises(smesec.ConfigError, match="severity"):
        smesec.Verdict("deny", findings=[{"rule": "x", "severity": "loud"}])
    with pytest.raises(smesec.ConfigError, match="no `begin`"):
        smesec.Chain(object())


class Broken:
    """Fails in one step."""

    def __init__(self, step: str) -> None:
        self.step = step

    def begin(self, connection: smesec.Connection) -> "Broken":
        self.fail("begin")
        return self

    def fail(self, step: str) -> None:
        if step == self.step:
            raise RuntimeError(f"no {step}")

    def wants(self, side: str) -> int:
        self.fail("wants")
        return 0

    def request_head(self, head: smesec.RequestHead) -> object:
        self.fail("request_head")
        return 7 if self.step == "answer" else None

    def request_body(self, chunk: bytes, last: bool) -> None:
        self.fail("request_body")

    def finish(self, outcome: smesec.Outcome) -> None:
        self.fail("finish")


@pytest.mark.parametrize("step", ["begin", "wants", "request_head", "request_body", "answer", "finish"])
def test_a_filter_that_raises_follows_the_policy_and_is_reported(rules, unraisable, step: str) -> None:
    events: list[dict] = []
    closed = smesec.Chain(Broken(step), smesec.Waf(rules), sink=events.append)
    told = closed.check("GET", "/", HOST)
    assert told.status == (None if step == "finish" else 500)
    opened = smesec.Chain(Broken(step), smesec.Waf(rules), on_error="open", sink=events.append)
    assert opened.check("GET", "/", HOST).action == ("pass" if step == "finish" else "log")
    assert opened.check(*ATTACK).status == 403
    assert len(unraisable) == 3 if step != "request_body" else 2
    why = "an int" if step == "answer" else f"no {step}"
    callbacks = [event for event in events if event["findings"][0]["rule"]["id"] == "smesec-callback"]
    assert callbacks and all("Broken" in event["message"] for event in callbacks)
    assert all(why in event["message"] or step == "answer" for event in callbacks)


class Slow(smesec.FilterTransaction):
    """Asks somebody far away."""

    def begin(self, connection: smesec.Connection) -> "Slow":
        return Slow()

    def request_head(self, head: smesec.RequestHead) -> smesec.Work:
        def job() -> smesec.Verdict | None:
            self.thread = threading.get_ident()
            if b"raise" in head.target:
                raise LookupError("nobody there")
            return smesec.Verdict("deny", 429) if b"often" in head.target else None

        return smesec.Work(job)


def test_long_work_runs_where_the_host_likes(rules, unraisable) -> None:
    chain = smesec.Chain(Slow(), smesec.Waf(rules))
    for target, status in (("/often", 429), ("/?q=union%20select", 403), ("/", None), ("/raise", 500)):
        transaction = chain.begin(defer=True)
        told = transaction.request_head("GET", target, HOST)
        if target == "/?q=union%20select":
            assert told.status == 403, "another link has decided already"
            continue
        assert told.pending and told.action == "pending" and not told.blocked
        with pytest.raises(smesec.PhaseError):
            transaction.request_body(b"", True)
        work = transaction.take_work()
        assert work is not None and transaction.take_work() is None
        with pytest.raises(smesec.PhaseError):
            transaction.resume(work)
        thread = threading.Thread(target=work.run)
        thread.start()
        thread.join()
        assert transaction.resume(work).status == status
        with pytest.raises(smesec.SmesecError):
            work.run()
    assert unraisable == ["nobody there"]
    assert chain.check("GET", "/often", HOST).status == 429, "without defer it is done in place"


class Eicar:
    """Knows one file."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def scan(self, object: smesec.ScanObject) -> smesec.ScanReport:
        assert object.data is not None
        self.seen.append((object.name, len(object.data)))
        if b"VIRUS" in object.data:
            return smesec.ScanReport([smesec.finding("eicar", "test file", severity="critical")])
        if b"ZIP" in object.data:
            return smesec.ScanReport(skipped=[("a.doc", "encrypted")])
        if b"RAISE" in object.data:
            raise OSError("scanner is gone")
        return smesec.ScanReport()


def test_uploads_go_to_a_scanner(rules, unraisable) -> None:
    scanner, queue = Eicar(), smesec.Queue()
    waf = smesec.Waf(rules, scanner=scanner, spool_bytes=1_000, sink=queue)
    assert waf.check("POST", "/", UPLOAD, form(b"holiday")).action == "pass"
    bad = waf.check("POST", "/", UPLOAD, form(b"a VIRUS", "up.exe"))
    assert (bad.status, bad.rule_ids, bad.findings[0]["part"]) == (403, ["eicar"], "FILES:up.exe")
    for content in (b"ZIP", b"RAISE", b"x" * 1_001):
        told = waf.check("POST", "/", UPLOAD, form(content))
        assert told.status == 403 and "not inspected whole" in told.findings[-1]["message"], content[:5]
    assert scanner.seen == [("a.bin", 7), ("up.exe", 7), ("a.bin", 3), ("a.bin", 5), ("a.bin", 0)]
    assert unraisable == ["scanner is gone"]
    assert len(queue.drain()) == 4
    opened = smesec.Waf(rules, scanner=scanner, on_limit="open")
    told = opened.check("POST", "/", UPLOAD, form(b"RAISE"))
    assert not told.blocked and "scanner is gone" in told.findings[-1]["message"]
    in_chain = smesec.Chain(AddressList(), smesec.Waf(rules), scanner=lambda object: scanner.scan(object))
    assert in_chain.check("POST", "/", UPLOAD, form(b"VIRUS")).blocked


class Receiver:
    """Sees an upload as it comes; one whose name ends in `.slow` is judged by long work."""

    def __init__(self, intake: "Intake", name: str) -> None:
        self.intake, self.name, self.data = intake, name, b""

    def write(self, data: bytes) -> None:
        if b"RAISE" in data:
            raise OSError("the disk is full")
        self.data += data

    def close(self, complete: bool):
        self.intake.closed.append((self.name, self.data, complete))
        if self.name.endswith(".slow"):
            return self.judge
        return self.judge() if self.data else None

    def judge(self) -> smesec.ScanReport:
        return smesec.ScanReport([smesec.finding("eicar")] if b"VIRUS" in self.data else None)


class Intake:
    def __init__(self) -> None:
        self.opened: list[tuple[str, str, str]] = []
        self.closed: list[tuple[str, bytes, bool]] = []

    def open(self, name: str, field: str, content_type: str) -> Receiver:
        self.opened.append((name, field, content_type))
        if name == "refused":
            raise ValueError("no such place")
        return Receiver(self, name)


def test_an_intake_takes_uploads_piece_by_piece(rules, unraisable) -> None:
    intake = Intake()
    waf = smesec.Waf(rules, intake=intake)
    with waf.begin() as transaction:
        body = form(b"a VIRUS", "up.exe", "application/octet-stream")
        transaction.request_head("POST", "/", UPLOAD)
        for at in range(len(body)):
            verdict = transaction.request_body(body[at : at + 1], at + 1 == len(body))
    assert (verdict.status, verdict.rule_ids) == (403, ["eicar"])
    assert intake.closed == [("up.exe", b"a VIRUS", True)]
    assert waf.check("POST", "/", UPLOAD, form(b"holiday", "a.slow")).action == "pass"
    assert waf.check("POST", "/", UPLOAD, form(b"VIRUS", "a.slow")).rule_ids == ["eicar"]
    assert waf.check("POST", "/", UPLOAD, form(b"")).action == "pass", "None says nothing"
    for content, name in ((b"RAISE", "x"), (b"y", "refused")):
        told = waf.check("POST", "/", UPLOAD, form(content, name))
        assert told.status == 403 and "not inspected whole" in told.findings[-1]["message"], name
    assert unraisable == ["the disk is full", "no such place"]
    assert intake.opened[0] == ("up.exe", "f", "application/octet-stream")
    with pytest.raises(smesec.ConfigError, match="give one of them"):
        smesec.Waf(rules, intake=intake, scanner=Eicar())


def test_an_intakes_long_work_waits_in_the_hosts_pool(rules) -> None:
    transaction = smesec.Waf(rules, intake=Intake()).begin(defer=True)
    transaction.request_head("POST", "/", UPLOAD)
    assert transaction.request_body(form(b"VIRUS", "a.slow"), True).pending
    work = transaction.take_work()
    assert work is not None
    thread = threading.Thread(target=work.run)
    thread.start()
    thread.join()
    assert transaction.resume(work).rule_ids == ["eicar"]


def test_a_scan_waits_in_the_hosts_pool(rules) -> None:
    waf = smesec.Waf(rules, scanner=Eicar())
    transaction = waf.begin(defer=True)
    transaction.request_head("POST", "/", UPLOAD)
    body = form(b"VIRUS")
    assert not transaction.request_body(body[:-5]).pending
    assert transaction.request_body(body[-5:], True).pending
    work = transaction.take_work()
    assert work is not None
    work.run()
    assert transaction.resume(work).blocked


def test_scan_reports() -> None:
    assert smesec.ScanReport().outcome == "clean"
    assert smesec.ScanReport(skipped=[("", "large")]).outcome == "incomplete"
    found = smesec.ScanReport([smesec.finding("x")], skipped=[("a", "b")])
    assert (found.outcome, found.skipped, found.findings[0]["rule"]["id"]) == ("detected", [("a", "b")], "x")


class Watch:
    """Raises an alarm on the second attack, and on time."""

    def __init__(self) -> None:
        self.seen = 0

    def observe(self, event: dict):
        if event["message"] == "break":
            raise ValueError("cannot read")
        self.seen += 1
        if self.seen == 2:
            yield {"message": "two attacks", "risk": 8, "findings": [smesec.finding("two", severity="critical")]}

    def advance(self, now: int):
        return [{"message": "hour is over", "time": now}] if now == 3_600_000_000_000 else None


def test_a_detector_behind_a_sink(rules, unraisable) -> None:
    detector, alarms, all_events = smesec.DetectorSink(Watch()), smesec.Queue(), smesec.Queue(1)
    waf = smesec.Waf(rules, sink=smesec.Tee(detector, all_events))
    for _ in range(2):
        waf.check(*ATTACK)
    assert detector.drain(alarms, now=0)
    (alarm,) = alarms
    assert (alarm["message"], alarm["risk"], alarm["severity_id"], alarm["generation"]) == ("two attacks", 8, 5, 1)
    assert alarm["detector"] == "host" and abs(alarm["time"] - time.time_ns()) < 60e9
    assert all_events.dropped == 1 and len(list(all_events)) == 1 and list(all_events) == []
    detector.drain(alarms, now=3_600_000_000_000)
    assert [event["message"] for event in alarms] == ["hour is over"]
    detector({"message": "break"})
    detector.drain(alarms, now=0)
    (broken,) = alarms
    assert broken["findings"][0]["rule"]["id"] == "smesec-callback" and "cannot read" in broken["message"]
    assert unraisable == ["cannot read"]


def test_detectors_that_feed_themselves_come_to_rest() -> None:
    class Echo:
        def observe(self, event: dict):
            return [event]

    echo = smesec.DetectorSink(Echo())
    echo({"message": "hello"})
    for _ in range(10):
        echo.drain(echo)
    assert echo.dropped == 1


def test_a_detector_that_drains_itself_does_not_hang() -> None:
    class Recursive:
        def observe(self, event: dict) -> None:
            self.answer = sink.drain(print)

    detector = Recursive()
    sink = smesec.DetectorSink(detector)
    sink({})
    assert sink.drain(print)
    assert detector.answer is False


def test_a_filter_that_calls_its_own_transaction_does_not_hang() -> None:
    class Recursive(smesec.FilterTransaction):
        def begin(self, connection: smesec.Connection) -> "Recursive":
            return self

        def request_head(self, head: smesec.RequestHead) -> None:
            with pytest.raises(smesec.PhaseError):
                transaction.wants("request")

    transaction = smesec.Filter(Recursive()).begin()
    assert not transaction.request_head("GET", "/").blocked


def test_events_keep_what_they_say_on_their_way_through() -> None:
    queue = smesec.Queue()
    event = {
        "id": "0" * 31 + "7", "schema_version": 1, "time": 5, "ingest_time": 6, "class_uid": 4002, "activity_id": 1,
        "severity_id": 3, "detector": "ids", "action": {"redirect": {"status": 307}}, "src_endpoint": "[2001:db8::1]:9",
        "dst_endpoint": "192.0.2.1:80", "user": "u", "device": "d", "risk": 4, "attack": ["T1190"], "entity": "e",
        "transaction_id": "t", "message": "m", "extra": {"a": [1]}, "raw": "r", "generation": 2,
        "findings": [
            {"rule": {"id": "1", "name": "n", "author": "a", "tags": ["x"]}, "severity": "low", "part": "p",
             "span": [1, 2], "evidence": "v", "message": "w"},
        ],
    }  # fmt: skip
    queue(event)
    assert queue.drain() == [event]
    for wrong in ({"detector": "nobody"}, {"src_endpoint": "x"}, {"risk": 999}, {"attack": [1]}, {"id": "z"}, []):
        with pytest.raises(smesec.ConfigError):
            queue(wrong)
    queue({"extra": {"x": {1}}})
    assert queue.drain()[0]["extra"] == {"x": "{1}"}


def test_extra_fields_of_the_host(rules) -> None:
    queue = smesec.Queue()
    transaction = smesec.Waf(rules, sink=queue).begin()
    transaction.request_head(*ATTACK)
    transaction.finish(403, extra={"incident": "abc", "n": 1})
    (event,) = queue
    assert event["extra"]["incident"] == "abc" and event["extra"]["n"] == 1 and event["extra"]["status"] == 403
    assert queue.drain_json() == ""


def test_exclusions_hold_until_they_expire(rules) -> None:
    soon, past = datetime.now(UTC) + timedelta(hours=1), time.time() - 1
    waf = smesec.Waf(rules, exclusions=[smesec.Exclusion([(1, 9)], expires=soon, reason="form is mended on Monday")])
    assert not waf.check(*ATTACK).blocked
    assert waf.with_exclusions([]).check(*ATTACK).blocked
    assert waf.with_exclusions([smesec.Exclusion([1], expires=past)]).check(*ATTACK).blocked
    assert waf.with_exclusions([smesec.Exclusion(tag="sql")]).check(*ATTACK).action == "pass"
    assert waf.with_exclusions([smesec.Exclusion([1], path_prefix="/forum")]).check(*ATTACK).blocked
    assert waf.with_exclusions([smesec.Exclusion([1], target="ARGS_GET:q")]).check(*ATTACK).action == "pass"
    with pytest.raises(smesec.ConfigError, match="unknown variable `ARSG`"):
        smesec.Exclusion([1], target="ARSG:q")
    assert waf.with_exclusions([]).with_mode("detect").check(*ATTACK).action == "log"


def test_limits_are_a_policy(rules) -> None:
    strict = smesec.Waf(rules, steps=0)
    told = strict.check(*ATTACK)
    assert told.status == 403 and "step budget" in told.findings[0]["message"]
    assert smesec.Waf(rules, steps=0, on_limit="open").check(*ATTACK).action in ("log", "pass")


def test_a_store_in_python(unraisable) -> None:
    class Database:
        def __init__(self) -> None:
            self.records: dict[tuple, dict[bytes, bytes]] = {}
            self.changes: list[tuple] = []

        def load(self, collection: str, key: bytes, now: int) -> dict[bytes, bytes]:
            if key == b"192.0.2.66":
                raise ConnectionError("no database")
            return self.records.get((collection, key), {})

        def apply(self, collection: str, key: bytes, name: bytes, change: tuple, now: int) -> bool:
            record, (kind, value) = self.records.setdefault((collection, key), {}), change
            self.changes.append((name, kind))
            if kind == "add":
                record[name] = b"%d" % (int(record.get(name, 0)) + value)
            elif kind == "set":
                record[name] = value
            return True

    rules = smesec.RuleSet.from_text("""
        SecRuleEngine On
        SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1,setvar:ip.w=x,expirevar:ip.n=60"
        SecRule IP:n "@gt 2" "id:2,phase:1,deny"
    """)
    database = Database()
    waf = smesec.Waf(rules, store=database)
    assert [waf.check("GET", "/", HOST).blocked for _ in range(4)] == [False, False, True, True]
    ((collection, key),) = database.records
    assert (collection.lower(), key) == ("ip", b"127.0.0.1") and {b"4", b"x"} <= set(database.records.popitem()[1].values())
    assert {kind for _, kind in database.changes} == {"add", "set", "expire"}
    assert not waf.check("GET", "/", HOST, client=("192.0.2.66", 1)).blocked
    assert unraisable == ["no database"] * 2, "when the record is opened, and when the sum is asked"


def test_a_resolver_in_python() -> None:
    rules = smesec.RuleSet.from_text('SecRuleEngine On\nSecRule REMOTE_ADDR "@rbl bl.example" "id:1,phase:1,deny"')
    asked: list[str] = []

    def resolver(name: str) -> list[str]:
        asked.append(name)
        return ["127.0.0.2"] if name == "66.2.0.192.bl.example" else []

    waf = smesec.Waf(rules, resolver=resolver)
    assert waf.check("GET", "/", HOST, client=("192.0.2.66", 1)).blocked
    assert not waf.check("GET", "/", HOST, client=("192.0.2.1", 1)).blocked
    assert asked == ["66.2.0.192.bl.example", "1.2.0.192.bl.example"]


def test_what_is_composed_stays_with_its_process(rules) -> None:
    import pickle

    for part in (smesec.Waf(rules), smesec.Chain(AddressList())):
        with pytest.raises(TypeError, match="pickle its RuleSet"):
            pickle.dumps(part)


@pytest.mark.parametrize("begun", [None, 5, object()])
def test_a_begin_that_gives_no_transaction_follows_the_policy(rules, unraisable, begun) -> None:
    class Forgetful:
        def begin(self, connection):
            return begun

    queue = smesec.Queue()
    told = smesec.Filter(Forgetful(), sink=queue).check("GET", "/")
    assert (told.action, told.status, told.rule_ids) == ("deny", 500, ["smesec-callback"])
    (event,) = queue
    assert "`begin` gave" in event["message"] and type(begun).__name__ in event["message"]
    assert smesec.Filter(Forgetful(), on_error="open").check("GET", "/").action == "log"
    assert len(unraisable) == 2
