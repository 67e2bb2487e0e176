"""Test files, the functions they call, the audit, the pytest plug-in."""

import http.server
import importlib
import json
import os
import pathlib
import re
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


AROUND = """
import pydantic

seen = []

class Shop(pydantic.BaseModel):
    path: str
    token: str | None

class Elsewhere(pydantic.BaseModel):
    place: str

class Closed:
    error_title, description, status = "closed", None, "403 Forbidden"

def plain(stage, word):
    seen.append((stage["name"], stage["request"]["method"], word))

def timed(stage, *, least):
    try:
        seen.append("before")
        expected, response = yield
        seen.append((expected["requests"]["status_code"], response.status_code, response.json()["path"]))
        assert response.status_code >= least, "too low"
    finally:
        seen.append("closed")

def twice(stage):
    yield
    yield

def signed(user):
    class Signed:
        def __call__(self, request):
            request.headers["X-Token"] = user
    return Signed()

def peeking():
    return lambda request: request.url
"""


@pytest.fixture
def around(tmp_path, monkeypatch):
    (tmp_path / "shop_around.py").write_text(AROUND)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shop_around", raising=False)
    yield importlib.import_module("shop_around")
    monkeypatch.delitem(sys.modules, "shop_around", raising=False)


def test_tinctures_go_on_when_the_answer_is_there(tmp_path, shop, around) -> None:
    file = tmp_path / "around.tavern.yaml"
    timed = "    tinctures: [{function: 'shop_around:timed', extra_kwargs: {least: %d}}]\n"
    file.write_text(
        "test_name: around\ntinctures: [{function: 'shop_around:plain', extra_args: [hello]}]\nstages:\n"
        f"{stage(shop + '/a', 200, more=timed % 200)}---\n"
        f"test_name: low\nstages:\n{stage(shop + '/b', 200, more=timed % 300)}---\n"
        f"test_name: no answer\nstages:\n{stage('http://127.0.0.1:1/', 200, more=timed % 200)}---\n"
        "test_name: twice\nstages:\n"
        + stage(shop, 200, more="    tinctures: [{function: 'shop_around:twice'}]\n")
    )
    held, low, unanswered, twice = taas.run(file, extensions="shop_around").results
    assert held["verdict"] == "passed", held
    assert around.seen[:4] == [("ask", "GET", "hello"), "before", (200, 200, "/a"), "closed"]
    assert low["verdict"] == "failed" and "`shop_around:timed` raised AssertionError: too low" in low["message"]
    assert unanswered["verdict"] == "failed" and around.seen[-2:] == ["before", "closed"]
    assert twice["verdict"] == "failed" and "it yields twice" in twice["message"]
    (tmp_path / "global.yaml").write_text(
        "name: around all\ntinctures: {function: 'shop_around:plain', extra_args: [last]}\n"
    )
    around.seen.clear()
    assert taas.run(file, global_cfg=[tmp_path / "global.yaml"], extensions="shop_around").results[0]["verdict"] == "passed"
    assert around.seen[:3] == [("ask", "GET", "hello"), "before", ("ask", "GET", "last")]


def test_functions_may_give_what_signs_in(tmp_path, shop, around) -> None:
    file = tmp_path / "auth.tavern.yaml"
    request = "test_name: %s\nstages:\n  - name: ask\n    request:\n      url: " + shop + "/\n      auth: {$ext: {function: 'shop_around:%s'%s}}\n"
    file.write_text(
        request % ("signed", "signed", ", extra_args: [alice]")
        + "    response: {status_code: 200, json: {path: /, token: alice}}\n---\n"
        + request % ("peeking", "peeking", "")
        + "    response: {status_code: 200}\n"
    )
    signed, peeking = taas.run(file, extensions="shop_around").results
    assert signed["verdict"] == "passed", signed
    assert peeking["verdict"] == "failed" and "looks at the request's `url`" in peeking["message"]


def test_helpers_look_into_classes(tmp_path, shop, around) -> None:
    file = tmp_path / "helpers.tavern.yaml"
    check = "      verify_response_with: {function: 'tavern.helpers:%s', extra_kwargs: {%s: 'shop_around:%s'}}\n"
    tests = [
        stage(shop + "/", 200, more=check % ("validate_pydantic", "model_location", "Shop")),
        stage(shop + "/", 200, more=check % ("validate_pydantic", "model_location", "Elsewhere")),
        stage(shop + "/admin", 403, more=check % ("check_exception_raised", "exception_location", "Closed")),
        stage(shop + "/", 200, more=check % ("check_exception_raised", "exception_location", "Closed")),
    ]
    file.write_text("---\n".join(f"test_name: {n}\nstages:\n{text}" for n, text in enumerate(tests)))
    held, other, raised, not_raised = taas.run(file, extensions="shop_around").results
    assert (held["verdict"], raised["verdict"]) == ("passed", "passed"), (held, raised)
    assert "raised ValidationError" in other["message"] and "expected 403 Forbidden" in not_raised["message"]
    assert {result["verdict"] for result in taas.run(file).results} == {"skipped"}
    assert "`shop_around:Shop` is not offered" in taas.run(file, extensions="shop").results[0]["message"]


CONFTEST = """
import pathlib
import re
import pytest

log = pathlib.Path(__file__).with_name("log.txt")

def note(*words):
    with log.open("a") as file:
        print(*words, file=file)

@pytest.fixture(scope="module")
def base():
    note("up")
    yield "%s"
    note("down")

@pytest.fixture
def door(base, request):
    return {"url": base + "/admin", "status": 403, "of": request.node.name}

@pytest.fixture(autouse=True)
def always(tmp_path):
    return tmp_path

def pytest_tavern_beta_before_every_test_run(test_dict, variables):
    note("test", test_dict["test_name"], sorted(variables))
    variables["more"] = "/more"

def pytest_tavern_beta_after_every_test_run(test_dict, variables):
    note("end", test_dict["test_name"])

def pytest_tavern_beta_before_every_request(request_args):
    note("request", request_args["method"], request_args["headers"])

def pytest_tavern_beta_after_every_response(expected, response):
    note("response", expected["requests"]["status_code"], response.status_code)
"""


def test_under_pytest_fixtures_and_hooks_are_its_own(tmp_path, shop) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST % shop)
    test = (
        "test_name: {name}\nmarks: [{{usefixtures: [{fixture}]}}]\nstages:\n  - name: '{{door.of}}'\n    request:\n"
        "      url: '{{door.url}}'\n      method: GET\n      headers: {{X-Token: '{{always}}{{more}}'}}\n"
        "    response: {{status_code: !int '{{door.status}}', json: {{path: /admin, token: '{{always}}{{more}}'}}}}\n"
    )
    texts = [test.format(name=name, fixture=fixture) for name, fixture in (("one", "door"), ("two", "door"), ("three", "none"))]
    (tmp_path / "test_doors.tavern.yaml").write_text("---\n".join(texts))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed, 1 error" in told.stdout, told.stdout + told.stderr
    assert re.search(r"test_doors\.tavern\.yaml:\d+: refused: fixture 'none' not found", told.stdout), told.stdout
    assert "pytest_plugin.py" not in told.stdout
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["up", *(["test", "request", "response", "end"] * 2), "down"]
    assert lines[1].startswith("test one ['always', 'base', 'door', ") and lines[3] == "response 403 403"


@pytest.mark.parametrize("broken", ["slow and", "(((", "not slow)", "", "and"])
def test_a_selection_that_cannot_be_read_is_told(tmp_path, broken: str) -> None:
    path = tmp_path / "a.tavern.yaml"
    path.write_text("test_name: one\nmarks: [slow]\nstages:\n  - {name: a, request: {url: 'http://127.0.0.1:1/'}}\n")
    with pytest.raises(smesec.ConfigError, match="selection `.*is not expected"):
        taas.Suite([path], select=broken)
    assert len(taas.Suite([path], select="slow or fast")) == 1
