"""pytest collects `*.tavern.yaml` and `*.tavern.yml`: one item for each test.

Skipped and expected failures are pytest's own; a failure shows the stages that did not hold. Where the plug-in of Tavern itself
is installed too, the files are left to it (`-p no:tavern` hands them over). Test files may call whatever functions of Python can
be imported, as code that pytest collects may.

Fixtures are pytest's own, of any scope: those that a test names in `usefixtures`, those that are `autouse`, and what these build on
are variables of the test, below those of its files. A value that is none of JSON's types is its text. Fixtures with `params`
are refused by pytest, as nothing asks for each of their values.

Tavern's hooks are called: `pytest_tavern_beta_before_every_request(request_args)`,
`pytest_tavern_beta_after_every_response(expected, response)`, `pytest_tavern_beta_before_every_test_run(test_dict, variables)` and
`pytest_tavern_beta_after_every_test_run(test_dict, variables)`. They look on: of what they change only `variables` before a run
counts; `test_dict` has `test_name`, `file`, `line` and `marks`, and cannot be changed. pytest refuses hooks that no plug-in knows: a
`conftest.py` that is to work without this one too (`-p no:smesec`) marks them with `@pytest.hookimpl(optionalhook=True)`.

    pytest --smesec-global-cfg=tests/common.yaml
"""

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from . import SmesecError, taas
from ._extension import Functions

ENDINGS = (".tavern.yaml", ".tavern.yml")

# What is done to a test already when its file is loaded.
_DONE = ("parametrize", "skip", "skipif", "usefixtures", "xfail")


class TavernHooks:
    """Hooks by the names and with the arguments that Tavern gives them."""

    def pytest_tavern_beta_before_every_test_run(
        self, test_dict: Mapping[str, Any], variables: dict[str, Any]
    ) -> None:
        """A test is about to run; what is added to `variables` is there for it."""

    def pytest_tavern_beta_after_every_test_run(
        self, test_dict: Mapping[str, Any], variables: dict[str, Any]
    ) -> None:
        """A test has run."""

    def pytest_tavern_beta_before_every_request(self, request_args: dict[str, Any]) -> None:
        """A request is about to be sent: the stage's, its variables put in."""

    def pytest_tavern_beta_after_every_response(self, expected: dict[str, Any], response: Any) -> None:
        """An answer has come and is not judged yet; `expected` is by protocol, `requests` or `paho-mqtt`."""


def _left_to_tavern(plugins: pytest.PytestPluginManager) -> bool:
    if plugins.is_blocked("tavern"):
        return False
    # At the time of hooks it may not be registered yet.
    return plugins.hasplugin("tavern") or importlib.util.find_spec("tavern") is not None


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    if not _left_to_tavern(pluginmanager):
        pluginmanager.add_hookspecs(TavernHooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("smesec", "test files in Tavern's format")
    group.addoption(
        "--smesec-global-cfg",
        action="append",
        default=[],
        metavar="FILE",
        help="variables and stages that lie below those of every test; may be repeated",
    )
    group.addoption(
        "--smesec-allow-public",
        action="store_true",
        help="ask hosts that the files name at public addresses too",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if not file_path.name.endswith(ENDINGS) or _left_to_tavern(parent.config.pluginmanager):
        return None
    return TavernFile.from_parent(parent, path=file_path)


class TavernFile(pytest.Module):
    """A file of tests; a module to pytest, so that fixtures may be of its scope."""

    # Nothing is imported.
    obj = None

    def collect(self) -> Iterable[pytest.Item]:
        functions = Functions(True, promises=True, hooks=self.config.hook)
        try:
            suite = taas.Suite(
                [self.path],
                global_cfg=self.config.getoption("smesec_global_cfg"),
                extensions=functions,
            )
        except SmesecError as error:
            raise self.CollectError(str(error)) from error
        for place, test in enumerate(suite.tests):
            yield TavernTest.from_parent(self, name=test["name"], suite=suite, place=place, test=test)


class TavernTest(pytest.Function):
    """One test of a file; a function to pytest, so that it has fixtures."""

    def __init__(self, *, suite: taas.Suite, place: int, test: dict[str, Any], **kwargs: Any) -> None:
        self.suite, self.place, self.test = suite, place, test

        def stand_in() -> None:
            """pytest reads marks and fixtures off a function."""

        for mark in test["marks"]:
            if mark.isidentifier() and mark not in _DONE:
                getattr(pytest.mark, mark)(stand_in)
        if test["fixtures"]:
            pytest.mark.usefixtures(*test["fixtures"])(stand_in)
        super().__init__(callobj=stand_in, **kwargs)

    def setup(self) -> None:
        told = None
        try:
            super().setup()
        except pytest.FixtureLookupError as error:
            if error.fixturestack:
                raise
            # pytest would show the function that stands in.
            told = error.formatrepr().errorstring
        if told is not None:
            pytest.fail(f"{self.test['file']}:{self.test['line']}: refused: {told}", pytrace=False)

    def runtest(self) -> None:
        variables = {name: _variable(value) for name, value in self.funcargs.items() if name != "request"}
        about = {key: self.test[key] for key in ("file", "line", "marks")}
        told = {"test_dict": MappingProxyType({"test_name": self.test["name"], **about}), "variables": variables}
        hooks = self.config.hook
        hooks.pytest_tavern_beta_before_every_test_run(**told)
        try:
            report = self.suite.run(
                only=[self.place],
                allow_public=self.config.getoption("smesec_allow_public"),
                variables=variables or None,
            )
        finally:
            hooks.pytest_tavern_beta_after_every_test_run(**told)
        for result in report.results:
            if result["verdict"] == "skipped":
                pytest.skip(result["message"])
            if result["verdict"] == "expected_failure":
                pytest.xfail(result["message"])
            if result["verdict"] != "passed":
                raise TestFailure(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, TestFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.test["line"] - 1, self.name


def _variable(value: Any) -> Any:
    """A fixture's value as a variable."""
    if isinstance(value, int):
        return value if value.bit_length() < 127 else str(value)
    if value is None or isinstance(value, (float, str, bytes)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _variable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_variable(item) for item in value]
    return str(value)


class TestFailure(Exception):
    """A test that failed or could not be run; its text shows the stages that did not hold."""

    __test__ = False

    def __init__(self, result: dict[str, Any]) -> None:
        lines = [f"{result['place']}: {result['verdict']}: {result['message']}"]
        for step in result["steps"]:
            failures = step.get("failures", [])
            lines.append(f"  {'FAILED' if failures else 'ok'}: {step['name']}")
            lines += (f"    {why}" for why in failures)
            for shown in step.get("evidence", []):
                lines += (f"    | {line}" for line in str(shown).splitlines())
        lines += (f"  warning: {warning}" for warning in result.get("warnings", []))
        super().__init__("\n".join(lines))
