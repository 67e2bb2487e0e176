"""Settings: a firewall that was asked for is one, and what is wrong is told where it is written."""

import asyncio
import copy
import io
import logging
import pathlib
import pickle
import threading

import pytest

import smesec
import smesec.asgi
import smesec.wsgi

GOOD = 'SecRuleEngine On\nSecRule ARGS:q "@contains attack" "id:1,phase:1,deny,status:403"\n'
BROKEN = 'SecRule ARGS "@rx (" "id:7,phase:2,deny"\n'


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def test_a_file_that_is_not_there_is_no_firewall(tmp_path) -> None:
    missing = tmp_path / "shop.conf"
    for given in ([missing], str(missing), [tmp_path]):
        with pytest.raises(smesec.ConfigError, match="rules: ") as caught:
            smesec.wsgi.Middleware(hello, settings=smesec.Settings(rules=given))
        assert str(tmp_path) in str(caught.value) and caught.value.code == 11
    for make in (smesec.RuleSet.from_path, smesec.RuleSet.from_sources):
        with pytest.raises(smesec.InputError, match="shop.conf"):
            make(missing)


def test_one_path_is_a_list_of_one(tmp_path) -> None:
    (tmp_path / "shop.conf").write_text(GOOD)
    for given in (tmp_path / "shop.conf", str(tmp_path / "shop.conf"), [tmp_path / "shop.conf"]):
        assert smesec.Settings(rules=given).waf().check("GET", "/?q=attack", {"Host": "a"}).blocked


def test_files_without_a_rule_in_force_are_no_firewall(tmp_path) -> None:
    path = tmp_path / "half.conf"
    path.write_text("SecRuleEngine On\n" + BROKEN)
    with pytest.raises(smesec.ConfigError, match=r"no rule was loaded of .*half\.conf; .*half\.conf:2:.*rule `7`"):
        smesec.Settings(rules=[path]).waf()


def test_a_refused_rule_is_a_warning_with_its_place(tmp_path, caplog) -> None:
    (tmp_path / "shop.conf").write_text(GOOD + BROKEN)
    with caplog.at_level(logging.INFO, "smesec"):
        assert len(smesec.Settings(rules=tmp_path / "shop.conf").ruleset()) == 1
    (told,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert told.name == "smesec" and "shop.conf:3:" in told.getMessage() and "rule `7`" in told.getMessage()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"trusted_proxies": [10]}, "`10` is neither an address"),
        ({"trusted_proxies": ["nginx"]}, "`nginx` is neither an address"),
        ({"trusted_proxies": "10.0.0.1/8"}, "`10.0.0.1/8` is neither an address"),
        ({"trusted_proxies": None}, "trusted_proxies `None` is no list"),
        ({"log_only": "no"}, "log_only `no` is neither True nor False"),
        ({"strict": 1}, "strict `1`"),
        ({"scanner": 5}, "scanner `5` is none"),
        ({"intake": 5}, "intake `5` is none"),
        ({"store": "/tmp/x"}, "store `/tmp/x` is none"),
        ({"steps": None}, "steps `None` is no count"),
        ({"spool_bytes": "5"}, "spool_bytes `5` is no count"),
        ({"memory_bytes": -1}, "memory_bytes `-1` is no count"),
        ({"thread_bytes": True}, "thread_bytes `True` is no count"),
        ({"paranoia": 9}, "paranoia level `9` is unknown"),
        ({"paranoia": "2"}, "paranoia level `2` is unknown"),
        ({"mode": "Block"}, "mode `Block` is unknown; write rules or block"),
        ({"rules": [5]}, "`5` is no path"),
        ({"rules": 5}, "rules `5` is no list"),
        ({"exclusions": smesec.Exclusion([1])}, "is no list"),
        ({"exclusions": [7]}, "exclusions: `7` is none"),
    ],
)
def test_wrong_values_are_told_at_once(given, why: str) -> None:
    with pytest.raises(smesec.ConfigError) as caught:
        smesec.Settings(**given)
    assert why in str(caught.value)


def test_one_proxy_is_a_list_of_one() -> None:
    settings = smesec.Settings(trusted_proxies="10.0.0.0/8")
    seen = {}

    def app(environ, start_response):
        seen["client"] = environ["smesec.inspection"].client
        return hello(environ, start_response)

    middleware = smesec.wsgi.Middleware(app, settings=settings)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "a"}
    environ |= {"wsgi.input": io.BytesIO(), "REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.9"}
    list(middleware(environ, lambda *_: None))
    assert seen["client"][0] == "192.0.2.9"


def test_settings_are_copied_and_pickled_with_their_exclusions() -> None:
    rules = smesec.RuleSet.from_text(GOOD)
    settings = smesec.Settings(exclusions=[smesec.Exclusion([1], path_prefix="/forum/", expires=4e9, reason="ours")])
    for again in (copy.deepcopy(settings), pickle.loads(pickle.dumps(settings))):
        waf = again.waf(ruleset=rules)
        assert waf.check("GET", "/?q=attack", {"Host": "a"}).blocked
        assert not waf.check("GET", "/forum/?q=attack", {"Host": "a"}).blocked


def test_paths_may_be_of_pathlib_in_a_tuple(tmp_path) -> None:
    path = pathlib.Path(tmp_path / "shop.conf")
    path.write_text(GOOD)
    assert len(smesec.Settings(rules=(path, path)).rules) == 2


def test_large_bodies_are_inspected_beside_the_event_loop() -> None:
    class Where(smesec.FilterTransaction):
        def wants(self, side):
            return 0 if side == "request" else None

        def request_body(self, chunk, last):
            threads.add(threading.get_ident())

    class Filter:
        def begin(self, connection):
            return Where()

    async def app(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def post(size: int) -> None:
        async def receive():
            return {"type": "http.request", "body": b"a" * size, "more_body": False}

        async def send(message):
            pass

        scope = {"type": "http", "method": "POST", "path": "/", "raw_path": b"/", "query_string": b"", "http_version": "1.1"}
        await smesec.asgi.Middleware(app, smesec.Filter(Filter()))({**scope, "headers": [], "client": ("192.0.2.1", 1)}, receive, send)

    for size, here in ((1_000, True), (8_000, False)):
        threads: set[int] = set()
        asyncio.run(post(size))
        assert (threads == {threading.get_ident()}) is here, size
