"""Rule sets: loading, reports, errors."""

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
