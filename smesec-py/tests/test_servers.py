"""The examples, each in its real framework under its real server."""

import contextlib
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"
ATTACK = "/?name=1'%20union%20select%20password%20from%20users--%20"


@contextlib.contextmanager
def serving(server: str, app: str, *arguments: str, **environment: str) -> Iterator[int]:
    """A server on a free port of loopback, and gone afterwards."""
    pytest.importorskip(server)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["-b", f"127.0.0.1:{port}"] if server == "gunicorn" else ["--port", str(port), "--lifespan", "auto"]
    command = [sys.executable, "-m", server, app, *where, *arguments]
    # gunicorn keeps a control socket in the home folder.
    home = tempfile.TemporaryDirectory()
    environment = os.environ | environment | {"HOME": home.name, "PYTHONDONTWRITEBYTECODE": "1"}
    running = subprocess.Popen(command, cwd=EXAMPLES, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert running.poll() is None, running.stdout.read().decode()
            time.sleep(0.1)
        yield port
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
        running.stdout.close()
        home.cleanup()


def ask(port: int, path: str = "/", body: bytes | list[bytes] | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET" if body is None else "POST", path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def form(content: bytes) -> tuple[bytes, dict[str, str]]:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    return head + content + b"\r\n--b--\r\n", {"Content_Type": "multipart/form-data; boundary=b"}


FORM = {"Content_Type": "application/x-www-form-urlencoded"}


def test_flask_under_gunicorn() -> None:
    pytest.importorskip("flask")
    with serving("gunicorn", "flask_app:app", "-w", "2", "--threads", "2") as port:
        assert ask(port, "/?name=Ada", X_Forwarded_For="192.0.2.7") == (200, b"hello Ada, seen as 192.0.2.7")
        status, page = ask(port, ATTACK, Accept="application/json")
        assert status == 403 and len(json.loads(page)["incident"]) == 32
        body, headers = form(b"x" * 3_000_000)
        assert ask(port, "/upload", body, **headers) == (200, b"3000000 bytes")
        body, headers = form(b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE")
        assert ask(port, "/upload", body, **headers)[0] == 403
        chunked = [body[:50], body[50:]]
        assert ask(port, "/upload", iter(chunked), **headers)[0] == 403


def test_django_under_gunicorn() -> None:
    pytest.importorskip("django")
    with serving("gunicorn", "django_app:application", "-w", "2", "--preload") as port:
        assert ask(port, "/?name=Ada") == (200, b"hello Ada")
        assert ask(port, ATTACK)[0] == 403
        assert ask(port, "/note", b"note=" + b"a" * 500_000, **FORM) == (200, b"500000 characters")
        assert ask(port, "/note", b"note=<script>alert(1)</script>", **FORM)[0] == 403


def test_django_under_uvicorn() -> None:
    pytest.importorskip("django")
    with serving("uvicorn", "django_app:asgi") as port:
        assert ask(port, "/?name=Ada") == (200, b"hello Ada")
        assert ask(port, ATTACK)[0] == 403
        assert ask(port, "/note", b"note=" + b"a" * 500_000, **FORM) == (200, b"500000 characters")
        assert ask(port, "/note", b"note=<script>alert(1)</script>", **FORM)[0] == 403


def test_fastapi_under_uvicorn() -> None:
    pytest.importorskip("fastapi")
    client = pytest.importorskip("websockets.sync.client")
    with serving("uvicorn", "fastapi_app:app") as port:
        status, answer = ask(port, "/?name=Ada")
        assert (status, json.loads(answer)) == (200, {"hello": "Ada", "verdict": "pass"})
        assert ask(port, ATTACK)[0] == 403
        note = json.dumps({"text": "a" * 200_000}).encode()
        assert ask(port, "/note", note, Content_Type="application/json") == (200, b'{"characters":200000}')
        bad = json.dumps({"text": "' union select password from users-- "}).encode()
        assert ask(port, "/note", bad, Content_Type="application/json")[0] == 403
        body, headers = form(b"x" * 3_000_000)
        assert ask(port, "/upload", body, **headers) == (200, b'{"bytes":3000000}')
        with client.connect(f"ws://127.0.0.1:{port}/echo") as websocket:
            websocket.send("1' union select password from users-- ")
            assert websocket.recv() == "1' union select password from users-- ", "WebSockets are untouched"


def test_starlette_under_uvicorn_with_a_filter_in_python() -> None:
    pytest.importorskip("starlette")
    with serving("uvicorn", "starlette_app:app", "--workers", "2") as port:
        assert ask(port, "/?name=Ada") == (200, b"hello Ada")
        assert ask(port, ATTACK)[0] == 403
        assert ask(port, "/admin/users")[0] == 404 and b"incident" in ask(port, "/admin/users")[1]
        assert ask(port, "/numbers") == (200, b"0\n1\n2\n3\n4\n")
        assert ask(port, "/size", b"a" * 100_000, Content_Type="application/octet-stream") == (200, b"100000")


@pytest.mark.parametrize("preload", [True, False])
def test_four_gunicorn_workers_count_one_visitor_once(tmp_path, preload: bool) -> None:
    more = ["--preload"] if preload else []
    environment = {} if preload else {"SHARED_LIMIT_FILE": str(tmp_path / "collections")}
    with contextlib.ExitStack() as held:
        port = held.enter_context(serving("gunicorn", "shared_limit:application", "-w", "4", *more, **environment))
        statuses, workers = [], []
        for _ in range(4):
            statuses += [ask(port)[0] for _ in range(10)]
            workers.append(ask(port, "/who")[1])
            # Half a request keeps the worker that takes it, so that another has to answer the next ones.
            half = held.enter_context(socket.create_connection(("127.0.0.1", port)))
            half.sendall(b"GET / HTTP/1.1\r\n")
            time.sleep(0.3)
    assert statuses == [200] * 20 + [429] * 20
    assert len(set(workers)) > 2, "several workers answered"
