"""The firewall: whole requests, transactions step by step, events, threads."""

import copy
import gc
import json
import pickle
import sys
import threading
import types

import pytest

import smesec

RULES = """
SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/html
SecRule ARGS_GET:q "@rx (?i)union\\s+select" "id:1,phase:1,deny,status:403,msg:'SQL in q'"
SecRule ARGS_POST:note "@contains evil" "id:2,phase:2,deny,status:406"
SecRule RESPONSE_BODY "@contains secret" "id:3,phase:4,deny,status:500"
SecRule ARGS_GET:next "@streq away" "id:4,phase:1,redirect:https://example.org/"
"""
FORM = [("Host", "shop.example"), (b"Content-Type", b"application/x-www-form-urlencoded")]


@pytest.fixture(scope="module")
def rules() -> smesec.RuleSet:
    return smesec.RuleSet.from_text(RULES, strict=True)


@pytest.fixture
def waf(rules: smesec.RuleSet) -> smesec.Waf:
    return smesec.Waf(rules)


def test_a_whole_request(waf: smesec.Waf) -> None:
    good = waf.check("GET", "/search?q=boots", FORM)
    assert (good.action, good.blocked, good.status, good.findings) == ("pass", False, None, [])
    bad = waf.check(b"GET", b"/search?q=1+UNION++SELECT+2", FORM)
    assert (bad.action, bad.blocked, bad.status, bad.rule_ids) == ("deny", True, 403, ["1"])
    assert bad.findings[0]["part"] == "ARGS_GET:q" and bad.findings[0]["message"] == "SQL in q"
    assert repr(bad) == "<smesec.Verdict: deny 403, score 0, 1 findings>"
    away = waf.check("GET", "/?next=away", FORM)
    assert (away.action, away.status, away.location) == ("redirect", 302, "https://example.org/")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_bytes(waf: smesec.Waf, kind: type) -> None:
    assert waf.check("POST", "/note", FORM, kind(b"note=evil")).status == 406
    assert waf.check("POST", "/note", FORM, memoryview(b"--note=evil--")[2:-2]).status == 406


def test_text_is_latin_1_where_it_fits(rules: smesec.RuleSet) -> None:
    waf = smesec.Waf(smesec.RuleSet.from_text('SecRule ARGS:q "@rx ^\\xe9$" "id:1,phase:1,deny"\nSecRuleEngine On'))
    assert waf.check("GET", "/?q=\xe9", FORM).blocked
    assert waf.check("GET", "/?q=%e9", FORM).blocked
    assert not waf.check("GET", "/?q=\u20ac", FORM).blocked


def test_wrong_arguments_are_named(waf: smesec.Waf, rules: smesec.RuleSet) -> None:
    with pytest.raises(TypeError, match="not int"):
        waf.check("GET", 7)
    with pytest.raises(smesec.ConfigError, match="somewhere"):
        waf.check("GET", "/", client=("somewhere", 1))
    for wrong in ({"mode": "loud"}, {"on_block": "shout"}, {"on_limit": "ajar"}):
        with pytest.raises(smesec.ConfigError, match="is unknown"):
            smesec.Waf(rules, **wrong)


def test_modes(rules: smesec.RuleSet) -> None:
    attack = ("GET", "/?q=union+select", FORM)
    assert smesec.Waf(rules, mode="detect").check(*attack).action == "log"
    assert smesec.Waf(rules, mode="off").check(*attack).action == "pass"
    assert smesec.Waf(rules, on_block="decoy").check(*attack).action == "decoy"
    assert not smesec.Waf(rules, on_block="log").check(*attack).blocked


def test_an_event_as_modsecurity_writes_it(rules: smesec.RuleSet) -> None:
    events: list[dict] = []
    waf = smesec.Waf(rules, sink=events.append, record_headers=True)
    waf.check("GET", "/?q=union+select", [*FORM, ("Cookie", "session=secret")])
    line = waf.modsecurity_json(events[0])
    transaction = json.loads(line)["transaction"]
    assert transaction["request"]["headers"]["Host"] == "shop.example" and "secret" not in line
    assert [message["details"]["ruleId"] for message in transaction["messages"]] == ["1"]


def test_step_by_step(rules: smesec.RuleSet) -> None:
    events: list[dict] = []
    waf = smesec.Waf(rules, sink=events.append)
    with waf.begin(client=("2001:db8::7", 4711)) as transaction:
        assert not transaction.request_head("POST", "/note", FORM).blocked
        assert (transaction.wants("request") or 0) > 0
        assert not transaction.request_body(b"note=ev").blocked
        assert transaction.request_body(b"il", last=True).status == 406
        transaction.finish(406, bytes=12)
    (event,) = events
    assert event["schema_version"] == 1 and event["class_uid"] == 4002
    assert event["src_endpoint"] == "[2001:db8::7]:4711"
    assert event["extra"]["status"] == 406 and event["extra"]["bytes"] == 12


def test_the_response_is_inspected(waf: smesec.Waf) -> None:
    transaction = waf.begin()
    transaction.request_head("GET", "/", FORM)
    transaction.request_body(b"", last=True)
    assert not transaction.response_head(200, [("Content-Type", "text/html")]).blocked
    assert not transaction.response_body(b"<p>the sec").blocked
    assert transaction.response_body(b"ret</p>", last=True).status == 500


def test_steps_out_of_order_change_nothing(waf: smesec.Waf) -> None:
    transaction = waf.begin()
    for step in (
        lambda: transaction.request_body(b"x"),
        lambda: transaction.response_head(200),
        lambda: transaction.response_body(b""),
    ):
        with pytest.raises(smesec.PhaseError) as caught:
            step()
        assert caught.value.code == 12
    assert transaction.request_head("GET", "/?q=union+select", FORM).blocked
    transaction.finish()
    with pytest.raises(smesec.PhaseError):
        transaction.finish()


def test_an_abandoned_transaction_is_reported_as_aborted(rules: smesec.RuleSet) -> None:
    events: list[dict] = []
    waf = smesec.Waf(rules, sink=events.append)
    with pytest.raises(ZeroDivisionError), waf.begin() as transaction:
        transaction.request_head("GET", "/?q=union+select", FORM)
        raise ZeroDivisionError
    assert [event["extra"]["aborted"] for event in events] == [True]


def test_a_sink_that_raises_is_reported_and_changes_no_verdict(rules, monkeypatch) -> None:
    def sink(event: dict) -> None:
        raise RuntimeError("full")

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: reported.append(str(told.exc_value)))
    assert smesec.Waf(rules, sink=sink).check("GET", "/?q=union+select", FORM).blocked
    assert reported == ["full"]


def test_reload_reaches_the_next_transaction(waf: smesec.Waf) -> None:
    running = waf.begin()
    assert waf.reload(smesec.RuleSet.from_text("SecRuleEngine On")) == 2
    assert len(waf.rules) == 0
    assert not waf.check("GET", "/?q=union+select", FORM).blocked
    assert running.request_head("GET", "/?q=union+select", FORM).blocked


def test_a_transaction_outlives_its_waf(rules: smesec.RuleSet) -> None:
    transaction = smesec.Waf(rules).begin()
    gc.collect()
    assert transaction.request_head("GET", "/?q=union+select", FORM).blocked


def test_other_threads_run_during_a_check(waf: smesec.Waf) -> None:
    body = b"note=" + b"a" * 1_000_000
    checking, counted = threading.Event(), 0
    done = threading.Event()

    def check() -> None:
        checking.set()
        for _ in range(20):
            waf.check("POST", "/note", FORM, body)
        done.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)  # nobody is asked to let go: a thread runs only where the check lets go itself
    try:
        thread = threading.Thread(target=check)
        thread.start()
        checking.wait()
        while not done.is_set():
            counted += 1
            done.wait(0.0001)
    finally:
        sys.setswitchinterval(interval)
    thread.join()
    assert counted > 5


def test_four_threads_share_one_waf(waf: smesec.Waf) -> None:
    wrong: list[str] = []

    def visit() -> None:
        for n in range(200):
            if waf.check("GET", f"/?q=boots{n}", FORM).blocked:
                wrong.append("blocked")
            if not waf.check("GET", "/?q=union+select", FORM).blocked:
                wrong.append("passed")

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_headers_may_be_a_mapping(waf: smesec.Waf) -> None:
    headers = dict(FORM[:1]) | {"Content-Type": "application/x-www-form-urlencoded"}
    assert waf.check("POST", "/note", headers, b"note=evil").status == 406
    assert waf.check("POST", "/note", types.MappingProxyType(headers), b"note=evil").status == 406
    assert waf.check("POST", "/note", (pair for pair in headers.items()), b"note=evil").status == 406
    with pytest.raises(TypeError):
        waf.check("GET", "/", {"Content-Length": 5})


def test_verdicts_are_copied_and_pickled(waf: smesec.Waf) -> None:
    away = waf.check("GET", "/?next=away", FORM)
    denied = waf.check("GET", "/?q=1+union+select+2", FORM)
    for verdict in (smesec.Verdict(), away, denied, smesec.Verdict("deny", 451, score=7)):
        for again in (copy.copy(verdict), copy.deepcopy(verdict), pickle.loads(pickle.dumps(verdict))):
            for name in ("action", "status", "score", "location", "findings", "rule_ids", "blocked", "pending"):
                assert getattr(again, name) == getattr(verdict, name), name


def test_exclusions_that_cannot_be_meant() -> None:
    with pytest.raises(smesec.ConfigError, match=r"`\(9, 1\)`"):
        smesec.Exclusion([(9, 1)])
    with pytest.raises(smesec.ConfigError, match="give `rules`, `tag`, `target` or `path_prefix`"):
        smesec.Exclusion()
    assert smesec.Exclusion([(1, 9)]) and smesec.Exclusion(path_prefix="/metrics") and smesec.Exclusion(tag="attack-sqli")
