"""Events as data frames."""

import pytest

import smesec
import smesec.frames


@pytest.fixture(scope="module")
def events() -> list[dict]:
    queue = smesec.Queue()
    rules = smesec.RuleSet.from_text('SecRuleEngine On\nSecRule ARGS:q "@contains attack" "id:1,phase:1,deny,msg:\'seen\'"')
    waf = smesec.Waf(rules, sink=queue)
    waf.check("GET", "/?q=attack", [("Host", "a.example")], client=("2001:db8::7", 9))
    queue({"message": "of the host", "time": 1_700_000_000_000_000_001})
    return queue.drain()


def test_records(events) -> None:
    first, second = smesec.frames.to_records(events)
    assert first.keys() == second.keys()
    assert (first["action"], first["status"], first["rule_ids"]) == ("deny", 403, ["1"])
    assert (first["src_ip"], first["src_port"]) == ("2001:db8::7", 9)
    assert (second["src_ip"], second["src_port"], second["rule_ids"]) == (None, None, [])


def test_pandas(events) -> None:
    pandas = pytest.importorskip("pandas")
    frame = smesec.frames.to_pandas(events)
    assert list(frame["status"].fillna(0)) == [403, 0]
    assert frame.index[1] == pandas.Timestamp("2023-11-14T22:13:20.000000001Z")
    assert list(smesec.frames.to_pandas([]).columns) == list(frame.columns)


def test_arrow(events) -> None:
    pytest.importorskip("pyarrow")
    table = smesec.frames.to_arrow(events)
    assert table["rule_ids"].to_pylist() == [["1"], []] and table["status"].to_pylist() == [403, None]
    assert table["time"][1].value == 1_700_000_000_000_000_001
    assert smesec.frames.to_arrow([]).schema == table.schema
