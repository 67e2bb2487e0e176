"""Rule sets: loading, reports, errors."""

import multiprocessing
import pickle

import pytest

import smesec

GOOD = 'SecRule ARGS:q "@contains attack" "id:1,phase:1,deny,status:403,msg:\'seen\'"\n'
BAD = 'SecRule ARGS "@nonsense x" "id:2,phase:1,deny"\n'


def test_a_text_is_compiled() -> None:
    rules = smesec.RuleSet.from_text(GOOD)
    assert len(rules) == 1
    assert rules.report == {"loaded": 1, "refused": [], "degraded": []}
    assert repr(rules) == "<smesec.RuleSet: 1 rules, 0 refused>"


def test_a_refused_rule_is_named_and_the_others_load() -> None:
    report = smesec.RuleSet.from_text(GOOD + BAD, origin="shop.conf").report
    assert report["loaded"] == 1
    (refused,) = report["refused"]
    assert (refused["file"], refused["line"]) == ("shop.conf", 2)
    assert "nonsense" in refused["why"]


def test_strict_raises_with_the_place() -> None:
    with pytest.raises(smesec.RuleError) as caught:
        smesec.RuleSet.from_text(GOOD + BAD, origin="shop.conf", strict=True)
    assert isinstance(caught.value, smesec.SmesecError)
    assert (caught.value.code, caught.value.file, caught.value.line) == (10, "shop.conf", 2)
    assert str(caught.value).startswith("shop.conf:2:")


def test_files_load_in_order(tmp_path) -> None:
    (tmp_path / "a.conf").write_text(GOOD)
    (tmp_path / "b.conf").write_text(GOOD.replace("id:1", "id:2"))
    (tmp_path / "all.conf").write_text("Include b.conf\n")
    assert len(smesec.RuleSet.from_path(tmp_path / "a.conf", str(tmp_path / "all.conf"))) == 2
    with pytest.raises(smesec.SmesecError):
        smesec.RuleSet.from_path(tmp_path / "missing.conf", strict=True)


def test_the_builtin_pack_and_its_paranoia() -> None:
    rules = smesec.RuleSet.builtin(paranoia=2)
    assert len(rules) > 20 and not rules.report["refused"]
    with pytest.raises(smesec.ConfigError) as caught:
        smesec.RuleSet.builtin(paranoia=9)
    assert caught.value.code == 11 and caught.value.file is None and "9" in str(caught.value)


def test_rule_sets_pickle_as_what_they_were_compiled_from(tmp_path) -> None:
    (tmp_path / "words.data").write_text("attack\n")
    (tmp_path / "in.conf").write_text('SecRule ARGS:q "@pmFromFile words.data" "id:7,phase:1,deny"\n')
    (tmp_path / "all.conf").write_text("SecRuleEngine On\nInclude i*.conf\n")
    rules = smesec.RuleSet.from_path(tmp_path / "all.conf")
    text = smesec.RuleSet.from_text(GOOD, origin="shop.conf", paranoia=2)
    kept = [pickle.dumps(rules), pickle.dumps(text), pickle.dumps(smesec.RuleSet.builtin(paranoia=2))]
    for file in tmp_path.iterdir():
        file.unlink()
    again, text_again, builtin = (pickle.loads(one) for one in kept)
    assert len(again) == 1 and smesec.Waf(again).check("GET", "/?q=an%20attack", [("Host", "a")]).blocked
    assert text_again.report == text.report and len(builtin) == len(smesec.RuleSet.builtin(paranoia=2))
    assert pickle.loads(pickle.dumps(again)).report == again.report
    waf = smesec.Waf(text)
    assert pickle.loads(pickle.dumps(waf.rules)).report == text.report
    waf.with_mode("detect").reload(again)
    assert len(pickle.loads(pickle.dumps(waf.rules))) == 1


def test_sources_of_all_kinds_in_one_set(tmp_path) -> None:
    (tmp_path / "a.conf").write_text(GOOD)
    rules = smesec.RuleSet.from_sources(None, tmp_path / "a.conf", ("mine", GOOD.replace("id:1", "id:2")), strict=True)
    assert len(rules) == len(smesec.RuleSet.builtin()) + 2
    assert len(pickle.loads(pickle.dumps(rules))) == len(rules)
    with pytest.raises(TypeError):
        smesec.RuleSet.from_sources(7)


def test_rules_reach_the_processes_of_a_pool() -> None:
    rules = smesec.RuleSet.from_text("SecRuleEngine On\n" + GOOD)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.starmap(blocked, [(rules, "attack"), (rules, "boots")]) == [True, False]


def blocked(rules: smesec.RuleSet, q: str) -> bool:
    return smesec.Waf(rules).check("GET", f"/?q={q}", [("Host", "a.example")]).blocked
