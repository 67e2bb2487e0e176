"""The public test files with what they call in Python: their verdicts beside those of the runner they were written for."""

import csv
import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
from smesec import taas

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = pathlib.Path(os.environ.get("SMESEC_CORPORA", ROOT.parent / "shared" / "corpora")) / "taas"
FLOOR = tomllib.loads((ROOT / "tests/conformance/floors.toml").read_text())["taas"]["wheel"]

Verdicts = dict[tuple[str, str], str]


def skipped(capfd, why: str) -> None:
    with capfd.disabled():
        print(f"\n##### SKIPPED: {why} #####")
    pytest.skip(why)


@pytest.fixture(scope="module")
def program() -> str | None:
    """The server of the files' contract, as the benches start it."""
    found = subprocess.run(["sh", ROOT / "scripts/taas_server.sh"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


@pytest.fixture
def folder(tmp_path, program, monkeypatch, capfd) -> Iterator[pathlib.Path]:
    """The files, what they call, and a fresh server: two of its routes keep state."""
    if not (CORPUS / "integration").is_dir():
        skipped(capfd, "no public test files here (SMESEC_CORPORA/taas)")
    if program is None:
        skipped(capfd, "the server of the public test files was not built")
    server = subprocess.Popen(
        [program, "--ignored", "--exact", "serve", "--nocapture"],
        env=os.environ | {"SMESEC_TAAS_PORT": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdin and server.stdout
    port = next(line for line in server.stdout if "listening" in line).strip().rpartition(":")[2]
    for source in (CORPUS / "integration", ROOT / "tests/taas/python"):
        for file in source.iterdir():
            if file.is_file():
                # The files name the port 5003, which need not be free.
                data = file.read_bytes().replace(b"localhost:5003", f"localhost:{port}".encode())
                (tmp_path / file.name).write_bytes(data)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.setenv("TEST_HOST", f"http://localhost:{port}")
    monkeypatch.setenv("SECOND_URL_PART", "again")
    yield tmp_path
    server.stdin.close()
    server.wait()
    server.stdout.close()
    shutil.rmtree(tmp_path)


def numbered(found: Iterable[tuple[str, str, str]]) -> Verdicts:
    """A name's second test of one file is `name#2`."""
    seen: Counter[tuple[str, str]] = Counter()
    out = {}
    for file, test, verdict in found:
        seen[file, test] += 1
        count = seen[file, test]
        out[file, test if count == 1 else f"{test}#{count}"] = verdict
    return out


def agree(found: Verdicts) -> None:
    with (CORPUS / "dev_verdicts.csv").open(newline="") as file:
        expected = {(row["file"], row["test"]): row["tavern"] for row in csv.DictReader(file)}
    differing = {
        f"{at}: {test}": (wanted, found.get((at, test)))
        for (at, test), wanted in expected.items()
        if found.get((at, test)) != wanted
    }
    assert not differing and len(expected) >= FLOOR and found.keys() == expected.keys()


def test_under_pytest_all_have_their_verdicts(folder) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "not do_not_run"]
    command += ["--smesec-global-cfg=global_cfg.yaml", "--junit-xml=junit.xml"]
    env = os.environ | {"PYTHONPATH": str(folder)}
    told = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert "114 passed, 11 skipped" in told.stdout and "35 xfailed" in told.stdout, told.stdout[-3_000:]
    found = []
    for case in ElementTree.parse(folder / "junit.xml").iter("testcase"):
        skip, failure = case.find("skipped"), case.find("failure")
        verdict = "passed" if failure is None and case.find("error") is None else "failed"
        if skip is not None:
            verdict = "xfailed" if skip.get("type") == "pytest.xfail" else "skipped"
        # A module's file name, with dots; its ending has one too.
        file = case.get("classname", "").removesuffix(".yaml").removesuffix(".tavern") + ".tavern.yaml"
        found.append((file, case.get("name", ""), verdict))
    agree(numbered(found))


def test_from_python_all_have_their_verdicts(folder, monkeypatch) -> None:
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "ext_functions", raising=False)
    monkeypatch.chdir(folder)
    importlib.invalidate_caches()
    named = dict.fromkeys(("str_fixture", "yield_str_fixture", "yielder"), "a fixture")
    suite = taas.Suite(
        sorted(folder.glob("*.tavern.yaml")),
        global_cfg=["global_cfg.yaml"],
        select="not do_not_run",
        extensions="ext_functions",
        fixtures=named,
    )
    always = dict.fromkeys(("autouse_thing", "autouse_thing_named"), "abc")
    report = suite.run(variables=always | {"fixture_echo_url": os.environ["TEST_HOST"] + "/echo"})
    monkeypatch.delitem(sys.modules, "ext_functions", raising=False)
    word = {"expected_failure": "xfailed"}
    agree(
        numbered(
            (pathlib.Path(result["place"].rpartition(":")[0]).name, result["test"], word.get(result["verdict"], result["verdict"]))
            for result in report.results
        )
    )
