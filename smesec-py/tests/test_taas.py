"""Test files, the functions they call, the audit, the pytest plug-in."""

import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import smesec
from smesec import taas


class Shop(http.server.BaseHTTPRequestHandler):
    """Signs in whoever knows the password; keeps `/admin` to itself."""

    def do_GET(self) -> None:
        self.answer(403 if self.path == "/admin" else 200, {"path": self.path, "token": self.headers.get("X-Token")})

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200 if sent.get("password") == "hunter2-hunter2" else 401, {"user": sent.get("user")})

    def answer(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def shop() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shop) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def stage(url: str, status: int, name: str = "ask", more: str = "") -> str:
    return f"""  - name: {name}
    request: {{url: '{url}', method: GET}}
    response:
      status_code: {status}
{more}"""


@pytest.fixture
def checks(tmp_path, monkeypatch) -> str:
    (tmp_path / "shop_checks.py").write_text(
        "def shut(response, *, status):\n"
        "    assert response.status_code == status, 'the door stands open'\n"
        "    assert response.headers['content-TYPE'] == 'application/json' and response.json()['path'] == '/admin'\n"
        "def token(prefix):\n"
        "    return {'X-Token': prefix + '-token'}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "shop_checks"


def check(status: int) -> str:
    return f"""      verify_response_with:
        function: shop_checks:shut
        extra_kwargs: {{status: {status}}}
"""


def test_a_run_tells_what_held_and_what_did_not(tmp_path, shop) -> None:
    file = tmp_path / "doors.tavern.yaml"
    file.write_text(
        f"test_name: shut\nstages:\n{stage(shop + '/admin', 403)}---\n"
        f"test_name: open\nstages:\n{stage(shop + '/', 200, 'first')}{stage(shop + '/admin', 200, 'second')}---\n"
        f"test_name: left out\nmarks: [skip]\nstages:\n{stage(shop, 200)}---\n"
        f"test_name: known\n_xfail: run\nstages:\n{stage(shop, 500)}"
    )
    for jobs in (1, 4):
        report = taas.run(file, jobs=jobs)
        assert [result["verdict"] for result in report.results] == ["passed", "failed", "skipped", "expected_failure"]
        assert not report.passed and report.summary["failed"] == 1
    failed = report.results[1]
    assert [bool(step.get("failures")) for step in failed["steps"]] == [False, True]
    assert failed["place"].endswith("doors.tavern.yaml:8") and "403" in failed["message"]
    assert report.junit().startswith("<?xml") and "doors.tavern.yaml" in report.html()
    assert json.loads(report.sarif())["version"] == "2.1.0"
    suite = taas.Suite([file])
    assert (len(suite), suite.tests[1]["name"], suite.run(only=[0]).passed) == (4, "open", True)


def test_files_call_functions_of_named_modules_only(tmp_path, shop, checks) -> None:
    file = tmp_path / "ext.tavern.yaml"
    file.write_text(
        f"test_name: checked\nstages:\n{stage(shop + '/admin', 403, more=check(403))}---\n"
        f"test_name: wrong\nstages:\n{stage(shop + '/admin', 403, more=check(500))}---\n"
        "test_name: sent\nstages:\n  - name: ask\n    request:\n"
        f"      url: {shop}/\n      method: GET\n"
        "      headers: {$ext: {function: 'shop_checks:token', extra_args: [shop]}}\n"
        "    response: {status_code: 200, json: {path: /, token: shop-token}}\n"
    )
    for given in ([checks], checks, True):
        checked, wrong, sent = taas.run(file, extensions=given).results
        assert (checked["verdict"], wrong["verdict"]) == ("passed", "failed")
        assert "`shop_checks:shut` raised AssertionError: the door stands open" in wrong["message"]
        # The token is a secret; the comparison saw it.
        assert sent["verdict"] == "passed", sent
    for given in (None, ["shop"], {"shop_checks:other": print}):
        assert {result["verdict"] for result in taas.run(file, extensions=given).results} <= {"skipped", "refused"}
    assert taas.run(file, extensions={"shop_checks:shut": lambda *_, **__: None}).results[1]["verdict"] == "passed"

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for jobs in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            taas.run(file, extensions={"shop_checks:shut": interrupt}, jobs=jobs)


def test_secrets_and_environment_are_handed_in_and_hidden(tmp_path, shop) -> None:
    file = tmp_path / "sign-in.tavern.yaml"
    file.write_text(
        "test_name: sign in\nstages:\n  - name: Login\n    request:\n"
        "      url: '{tavern.env_vars.SHOP}/'\n      method: POST\n"
        "      json: {user: alice, password: [CONFIDENTIAL]}\n    response: {status_code: 200, json: {user: bob}}\n"
    )
    report = taas.run(file, env={"SHOP": shop}, secrets={"PASSWORD": "hunter2-hunter2"})
    assert report.results[0]["verdict"] == "failed" and "alice" in str(report.results)
    assert "hunter2" not in str(report.results) + report.junit() + report.html()


def test_a_file_that_cannot_be_read_is_an_error(tmp_path) -> None:
    file = tmp_path / "broken.tavern.yaml"
    file.write_text("test_name: [\n")
    with pytest.raises(smesec.RuleError) as raised:
        taas.run(file)
    assert raised.value.file == str(file) and raised.value.line
    with pytest.raises(smesec.RuleError):
        taas.run(tmp_path / "none.tavern.yaml")


def test_an_audit_finds_the_open_door(tmp_path, shop) -> None:
    file = tmp_path / "target.yaml"
    file.write_text(f"base: {shop}\nroutes:\n  - {{path: /orders, allow: []}}\n  - {{path: /admin, allow: []}}\n")
    report = taas.audit(file)
    failed = [result["test"] for result in report.results if result["verdict"] == "failed"]
    assert any("/orders" in name for name in failed) and not any("/admin" in name for name in failed)
    assert not report.passed and any(cell["route"] == "/orders" and cell["finding"] for cell in report.matrix)
    with pytest.raises(smesec.ConfigError, match="no check `nonsense`"):
        taas.audit(file, only=["nonsense"])
    file.write_text(f"base: {shop}\nroutes:\n  - {{path: /health, alow: anybody}}\n")
    with pytest.raises(smesec.RuleError, match="did you mean `allow`") as raised:
        taas.audit(file)
    assert raised.value.line == 3


def test_pytest_collects_the_files(tmp_path, shop, checks) -> None:
    (tmp_path / "test_doors.tavern.yaml").write_text(
        f"test_name: shut\nstages:\n{stage('{base}/admin', 403, more=check(403))}---\n"
        f"test_name: open\nstages:\n{stage('{base}/admin', 200, 'look')}---\n"
        f"test_name: left out\nmarks: [skip]\nstages:\n{stage('{base}', 200)}---\n"
        f"test_name: known\n_xfail: run\nstages:\n{stage('{base}', 500)}"
    )
    (tmp_path / "common.yaml").write_text(f"name: common\nvariables: {{base: '{shop}'}}\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--smesec-global-cfg=common.yaml"]
    env = os.environ | {"PYTHONPATH": str(pathlib.Path(tmp_path))}
    told = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert "1 failed, 1 passed, 1 skipped, 1 xfailed" in told.stdout, told.stdout + told.stderr
    assert "FAILED: look" in told.stdout and "test_doors.tavern.yaml:11: failed" in told.stdout
