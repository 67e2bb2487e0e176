"""Logs: rules, detections, correlations."""

import datetime
import decimal
import pickle
import uuid

import pytest
import smesec
from smesec import siem

RULES = """
title: Failed sign-in
name: failed
logsource: {product: shop}
detection: {selection: {outcome: failure}, condition: selection}
---
title: Admin page
id: 5b9d4b9e-7a5e-4f5c-9a52-3ad0c7c5f0a1
author: the shop
level: high
tags: [attack.t1078]
logsource: {product: shop}
detection: {selection: {page|expand: '%admin_pages%'}, condition: selection}
---
title: Guessing
correlation: {type: event_count, rules: [failed], group-by: [user], timespan: 5m, condition: {gte: 3}}
"""


def rules() -> siem.RuleSet:
    return siem.RuleSet.from_text(RULES, placeholders={"admin_pages": ["/admin", "/root"]}, strict=True)


def failure(second: int, user: str = "alice") -> dict[str, object]:
    return {"product": "shop", "outcome": "failure", "user": user, "timestamp": f"2026-03-02T06:00:{second:02}Z"}


def alarms(told) -> list[tuple[str, str]]:
    return [(each["change"], each["message"]) for each in told if each["kind"] == "alarm"]


def test_a_detection_says_which_record_and_which_rule() -> None:
    engine = siem.Engine(rules())
    visit = {"product": "shop", "page": "/root", "from": {"ip": "192.0.2.7"}, "n": [1, 2.5], "ok": True}
    [told] = engine.match([{"product": "shop", "page": "/"}, visit], now=5_000_000_000)
    assert (told["kind"], told["title"], told["level"], told["author"]) == ("detection", "Admin page", "high", "the shop")
    assert (told["record_id"], told["time"], told["tags"]) == (1, 5_000_000_000, ["attack.t1078"])
    assert told["fields"]["from.ip"] == "192.0.2.7" and told["fields"]["n"] == [1, 2.5] and told["fields"]["ok"] is True


def test_pieces_may_be_cut_anywhere() -> None:
    line = b'{"product": "shop", "page": "/admin"}\n'
    for cut in range(len(line)):
        engine = siem.Engine(rules())
        told = engine.feed(line[:cut], origin="shop.log") + engine.feed(line[cut:], origin="shop.log")
        assert [each["origin"] for each in told] == ["shop.log"]
    engine = siem.Engine(rules())
    assert engine.feed(line.strip(), "json") == []
    assert [each["title"] for each in engine.finish()] == ["Admin page"]
    assert len(engine.feed(line.strip().decode(), "json", last=True)) == 1


def test_correlations_open_an_alarm_once() -> None:
    engine = siem.Engine(rules())
    told = engine.match(failure(second) for second in range(3))
    told += engine.match([failure(4, "bob")])
    assert told == [], "a correlation waits for its lateness"
    told = engine.finish()
    assert alarms(told) == [("opened", "Guessing: user alice")]
    assert (told[0]["about"], told[0]["group"], told[0]["count"]) == ("correlation", {"user": "alice"}, 3)
    assert engine.statistics["records"] == 4 and engine.statistics["correlation"]["alarms"] == 1


def test_without_lateness_an_alarm_comes_with_the_next_record() -> None:
    engine = siem.Engine(rules(), lateness=0)
    assert alarms(engine.match(failure(second) for second in range(5)))[0] == ("opened", "Guessing: user alice")


def test_a_snapshot_goes_on_where_it_was_taken() -> None:
    first, second = siem.Engine(rules()), siem.Engine(rules())
    first.match([failure(0), failure(1)])
    assert second.restore(first.snapshot())["groups"] == 1
    second.match([failure(2)])
    assert alarms(second.finish()) == [("opened", "Guessing: user alice")]
    with pytest.raises(smesec.ConfigError, match="snapshot"):
        second.restore(b"nonsense")


def test_a_site_has_an_inventory_policies_and_directives(tmp_path) -> None:
    def written(name: str, text: str):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    site = {
        "home_net": ["10.0.0.0/8", "192.0.2.0/24"],
        "assets": written("assets.yml", "hosts: {10.0.0.5: 5}"),
        "policies": written("policies.yml", "policies: [{name: ours, sources: HOME_NET, then: drop}]"),
        "directives": [
            written(
                "directives.yml",
                "directives: [{id: '7', name: Guessing from SRC_IP, priority: 5, level: {rules: [failed], reliability: 5}},\n"
                "  {id: '8', name: of no rule, priority: 5, level: {rules: [none such], reliability: 5}}]",
            )
        ],
    }
    first, second = siem.Engine(rules(), **site), siem.Engine(rules(), **site)
    assert [refused["line"] for refused in first.report["refused"]] != [] and first.report["refused"][0]["why"].count("none such")
    ours, theirs = [{**failure(0), "src_ip": ip, "dst_ip": "10.0.0.5"} for ip in ("10.9.9.9", "203.0.113.9")]
    first.match([ours, theirs])
    assert second.restore(first.snapshot())["skipped"] == 0
    told = [alarm for alarm in second.finish() if alarm.get("about") == "directive"]
    assert told and {(alarm["message"], alarm["risk"]) for alarm in told} == {("Guessing from 203.0.113.9", 5)}
    for name, why in {"assets": "assets.yml:1:", "policies": "policies.yml:1:", "directives": "directives.yml:1:"}.items():
        path = written(f"{name}.yml", "- ")
        with pytest.raises(smesec.RuleError, match=why):
            siem.Engine(rules(), **{name: [path] if name == "directives" else path})
    with pytest.raises(smesec.ConfigError, match="nowhere"):
        siem.Engine(rules(), home_net=["nowhere"])
    with pytest.raises(smesec.InputError, match="absent"):
        siem.Engine(rules(), assets=tmp_path / "absent.yml")


def test_rules_pickle_with_their_text(tmp_path) -> None:
    (tmp_path / "rules.yml").write_text(RULES)
    loaded = siem.RuleSet.from_path(tmp_path, placeholders={"admin_pages": "/admin"})
    (tmp_path / "rules.yml").unlink()
    again = pickle.loads(pickle.dumps(loaded))
    assert len(again) == len(loaded) == 2
    assert len(siem.Engine(again).match([{"product": "shop", "page": "/admin"}])) == 1
    assert len(siem.RuleSet.builtin()) == len(pickle.loads(pickle.dumps(siem.RuleSet.builtin()))) > 0


def test_what_is_wrong_has_its_place(tmp_path) -> None:
    broken = "title: x\nlogsource: {product: shop}\ndetection: {selection: {a: b}, condition: nothing}\n"
    assert siem.RuleSet.from_text(broken, origin="x.yml").report["refused"][0]["file"] == "x.yml"
    with pytest.raises(smesec.RuleError, match="^x.yml:3:") as raised:
        siem.RuleSet.from_text(broken, origin="x.yml", strict=True)
    assert (raised.value.code, raised.value.line) == (10, 3)
    with pytest.raises(smesec.InputError):
        siem.RuleSet.from_path(tmp_path / "none")

    engine = siem.Engine(rules())
    with pytest.raises(smesec.ConfigError, match="`nonsense` is unknown"):
        engine.feed(b"", "nonsense")
    engine.feed(b"{", "json", "a")
    with pytest.raises(smesec.ConfigError, match="is read as `json`"):
        engine.feed(b"{", "syslog", "a")
    engine.finish()
    assert engine.statistics["bad"] == 1 and engine.statistics["first_bad"].startswith("a:1: ")
    for record, why in (
        ({"n": float("nan")}, "`n` is no finite number"),
        ({"a": {"b": [1, datetime.datetime(2026, 3, 2)]}}, "`a.b.1` is a `datetime`"),
        ({"x": uuid.UUID(int=1)}, "`x` is a `UUID`"),
        ({"x": decimal.Decimal(1)}, "`x` is a `Decimal`"),
        ({"x": b"text"}, "`x` is a `bytes`"),
        ({"x": {(1, 2): 3}}, "`x` has a key that is a `tuple`"),
        ("text", "a `str` was given; give a mapping"),
    ):
        with pytest.raises(smesec.ConfigError) as raised:
            engine.match([{"product": "shop", "page": "/admin"}, record])
        assert str(raised.value).startswith(f"record 1: {why}")
    endless: list = []
    endless.append(endless)
    with pytest.raises(smesec.ConfigError, match="record 0: nests deeper"):
        engine.match([{"x": endless}])
    for given in ({"product": "shop"}, '{"product": "shop"}'):
        with pytest.raises(smesec.ConfigError, match="a list of records is expected"):
            engine.match(given)
    assert engine.statistics["records"] == 0, "nothing is looked at where one record is none"
    with pytest.raises(smesec.ConfigError, match="lateness"):
        siem.Engine(rules(), lateness=float("nan"))


ROWS = [
    {"product": "shop", "page": "/root", "from": {"ip": "192.0.2.7", "port": 4022}, "n": [1, 2], "ok": True, "f": 1.5, "user": "ålice"},
    {"product": "shop", "page": "/admin", "from": None, "n": [], "ok": False, "f": None, "user": None},
    {"product": "shop", "page": None, "from": {"ip": None, "port": 1}, "n": None, "ok": None, "f": 2.0, "user": "x"},
    {"product": None, "page": "/admin", "from": {"ip": "192.0.2.9", "port": None}, "n": [3], "ok": True, "f": 0.1, "user": "a" * 40},
]


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


def tables(pa):
    whole = pa.Table.from_pylist(ROWS * 3)
    yield whole
    yield whole.to_batches()[0]
    # A part of one, whose offset no column may forget.
    yield pa.concat_tables([whole.slice(2, 5), whole]).combine_chunks().slice(5)
    yield pa.concat_tables([whole.slice(0, 5), whole.slice(5)]).combine_chunks().to_reader(max_chunksize=3)
    page = whole.schema.get_field_index("page")
    for kind in (pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int8(), pa.string())):
        yield whole.set_column(page, "page", whole["page"].cast(kind))


def test_rows_of_tables_are_records_as_dicts_are() -> None:
    pa = pytest.importorskip("pyarrow")
    wanted = siem.Engine(rules()).match([without_nulls(row) for row in ROWS * 3], now=7)
    assert [told["record_id"] for told in wanted] == [0, 1, 4, 5, 8, 9]
    for number, table in enumerate(tables(pa)):
        engine = siem.Engine(rules())
        assert engine.match(table, now=7) == wanted, f"table {number}"
        assert engine.statistics["records"] == 12 and engine.statistics["bad"] == 0
    frame = pa.Table.from_pylist(ROWS).to_pandas()[["product", "page"]]
    assert [told["record_id"] for told in siem.Engine(rules()).match(frame)] == [0, 1]


def test_a_table_comes_of_a_table() -> None:
    pa = pytest.importorskip("pyarrow")
    utc = datetime.timezone.utc
    times = [datetime.datetime(2026, 3, 2, 6, 0, second, 250_000, utc) for second in range(4)]
    columns = {"product": ["shop"] * 4, "outcome": ["failure"] * 3 + ["success"], "user": ["alice"] * 4, "timestamp": times}
    engine = siem.Engine(rules(), lateness=0)
    found = engine.process(pa.table(columns))
    assert found.column("kind").to_pylist() == ["alarm"] and found.column("message").to_pylist() == ["Guessing: user alice"]
    assert found.column("time").to_pylist()[0].replace(nanosecond=0) == times[2]
    assert found.column("group").to_pylist() == ['{"user": "alice"}']
    visit = pa.table({"product": ["shop"], "page": ["/root"], "on": [datetime.date(9999, 12, 31)], "u": pa.array([2**64 - 1], pa.uint64())})
    found = engine.process(visit)
    assert found.column("fields").to_pylist() == ['{"on": "9999-12-31", "page": "/root", "product": "shop", "u": 18446744073709551615}']
    assert engine.process([]).schema == found.schema and found.column("tags").to_pylist() == [["attack.t1078"]]


def test_what_is_no_table_is_told() -> None:
    pa = pytest.importorskip("pyarrow")
    engine = siem.Engine(rules())
    with pytest.raises(smesec.ConfigError, match="`a.b` has Arrow's type `d:"):
        engine.match(pa.table({"a": pa.array([{"b": 1}], pa.struct([("b", pa.decimal128(5))]))}))
    with pytest.raises(smesec.ConfigError, match="a column was given"):
        engine.match(pa.array(["x"]))

    def broken():
        yield pa.record_batch({"product": ["shop"]})
        raise ValueError("the disk is gone")

    reader = pa.RecordBatchReader.from_batches(pa.schema([("product", pa.string())]), broken())
    with pytest.raises(smesec.ConfigError, match="the disk is gone"):
        engine.match(reader)
    assert engine.statistics["records"] == 1
    assert engine.match(pa.table({"product": pa.array([], pa.string())})) == []


def test_tables_are_let_go() -> None:
    pa = pytest.importorskip("pyarrow")
    engine = siem.Engine(rules())
    before = pa.total_allocated_bytes()
    columns = {"product": ["shop"] * 1_000}
    for table in (pa.table(columns), pa.record_batch(columns)):
        assert engine.match(table) == engine.match(table) == []
        with pytest.raises(smesec.ConfigError, match="`d` has"):
            engine.match(table.append_column("d", pa.array([1] * 1_000, pa.decimal128(5))))
        del table
    assert pa.total_allocated_bytes() == before


def test_integers_of_any_size_are_exact() -> None:
    for number in (2**63 - 1, -(2**63), 2**64 - 1):
        [told] = siem.Engine(rules()).match([{"product": "shop", "page": "/admin", "n": number}])
        assert told["fields"]["n"] == number
    [told] = siem.Engine(rules()).match([{"product": "shop", "page": "/admin", "n": 2**64 + 1, "m": -(2**70)}])
    assert (told["fields"]["n"], told["fields"]["m"]) == (str(2**64 + 1), str(-(2**70)))
