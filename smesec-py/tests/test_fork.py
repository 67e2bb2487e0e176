"""Processes: what four of them share, and what they must not."""

import json
import os
import signal
import threading
import warnings

import pytest

import smesec

COUNTING = """
SecRuleEngine On
SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR},setvar:ip.hits=+1"
SecRule IP:hits "@eq 201" "id:3,phase:1,deny,status:409"
SecRule IP:hits "@gt 100" "id:2,phase:1,deny,status:429,msg:'too many'"
"""
HOST = [("Host", "a.example")]


def in_children(count: int, work) -> list:
    """What `work(n)` answers in each of `count` forked children, all at once."""
    running = []
    for n in range(count):
        out, into = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                os.write(into, json.dumps(work(n)).encode())
            finally:
                os._exit(0)
        os.close(into)
        running.append((child, out))
    answers = []
    for child, out in running:
        with os.fdopen(out, "rb") as pipe:
            answers.append(json.loads(pipe.read()))
        assert os.waitpid(child, 0)[1] == 0
    return answers


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_four_workers_count_one_visitor_once(tmp_path, kind: str) -> None:
    path = tmp_path / "collections"
    store = smesec.SharedStore(1 << 20) if kind == "memory" else None
    rules = smesec.RuleSet.from_text(COUNTING, strict=True)

    def work(n: int) -> int:
        mine = store or smesec.SharedStore(1 << 20, path=path)
        waf = smesec.Waf(rules, store=mine)
        return sum(waf.check("GET", "/", HOST).blocked for _ in range(50))

    # Two that count at the same moment both see the count before the other's; the count itself loses nothing.
    assert 90 <= sum(in_children(4, work)) <= 100
    mine = store or smesec.SharedStore(1 << 20, path=path)
    assert smesec.Waf(rules, store=mine).check("GET", "/", HOST).status == 409
    if kind == "file":
        with pytest.raises(smesec.SmesecError):
            smesec.SharedStore(1 << 21, path=path)
    alone = smesec.Waf(rules)
    assert not alone.check("GET", "/", HOST).blocked, "without a shared store each process counts alone"
    with pytest.raises(smesec.ConfigError):
        smesec.SharedStore(1_000)
    with pytest.raises(smesec.ConfigError, match="store is"):
        smesec.Waf(rules, store={})


def test_a_child_waits_for_no_thread_of_its_parent() -> None:
    waf = smesec.Waf(smesec.RuleSet.from_text(COUNTING, strict=True))
    ended = threading.Event()

    def visits() -> None:
        while not ended.is_set():
            waf.check("GET", "/", HOST)

    def work(n: int) -> bool:
        signal.alarm(20)  # A child that waits for ever is ended, and its exit tells.
        return waf.check("GET", "/", HOST).blocked

    threads = [threading.Thread(target=visits) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert in_children(2, work) == [False, False], "each counts from nothing"
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_a_firewall_made_before_the_fork_gives_each_child_ids_of_its_own() -> None:
    queue = smesec.Queue()
    rules = smesec.RuleSet.from_text('SecRuleEngine On\nSecRule ARGS:q "@contains attack" "id:1,phase:1,deny"')
    waf = smesec.Waf(rules, sink=queue, id_seed=7)
    chain = smesec.Chain(waf, sink=queue)
    other = smesec.Waf(rules, sink=queue)
    for filter in (waf, chain, other):
        filter.check("GET", "/?q=attack", HOST)
    mine = [event["id"] for event in queue]
    assert mine[:2] == [f"{7:016x}{0:016x}", f"{7:016x}{1:016x}"]

    def work(n: int) -> list[str]:
        for _ in range(3):
            assert waf.check("GET", "/?q=attack", HOST).blocked
            assert chain.check("GET", "/?q=attack", HOST).blocked
            queue({"message": "of Python"})
        return [event["id"] for event in queue]

    ids = [id for answer in in_children(4, work) for id in answer]
    assert len(ids) == 36 and len(set(ids + mine)) == 39


def test_a_reload_in_a_child_stays_there() -> None:
    waf = smesec.Waf(smesec.RuleSet.from_text('SecRuleEngine On\nSecAction "id:1,phase:1,deny"'))

    def work(n: int) -> list[bool]:
        before = waf.check("GET", "/", HOST).blocked
        waf.reload(smesec.RuleSet.from_text("SecRuleEngine On"))
        return [before, waf.check("GET", "/", HOST).blocked]

    assert in_children(2, work) == [[True, False]] * 2
    assert waf.check("GET", "/", HOST).blocked
