"""pytest collects `*.tavern.yaml` and `*.tavern.yml`: one item for each test.

Skipped and expected failures are pytest's own; a failure shows the stages that did not hold. Where the plug-in of Tavern itself
is installed too, the files are left to it (`-p no:tavern` hands them over). Test files may call whatever functions of Python can
be imported, as code that pytest collects may.

    pytest --smesec-global-cfg=tests/common.yaml
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from . import SmesecError, taas

ENDINGS = (".tavern.yaml", ".tavern.yml")


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
    if not file_path.name.endswith(ENDINGS) or parent.config.pluginmanager.hasplugin("tavern"):
        return None
    return TavernFile.from_parent(parent, path=file_path)


class TavernFile(pytest.File):
    """A file of tests."""

    def collect(self) -> Iterable[pytest.Item]:
        try:
            suite = taas.Suite(
                [self.path], global_cfg=self.config.getoption("smesec_global_cfg"), extensions=True
            )
        except SmesecError as error:
            raise self.CollectError(str(error)) from error
        for place, test in enumerate(suite.tests):
            yield TavernTest.from_parent(self, name=test["name"], suite=suite, place=place)


class TavernTest(pytest.Item):
    """One test of a file."""

    def __init__(self, *, suite: taas.Suite, place: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.suite, self.place = suite, place
        self.test = suite.tests[place]
        for mark in self.test["marks"]:
            # Skipping and multiplying are done already when a file is loaded.
            if mark.isidentifier() and mark not in ("parametrize", "skip", "skipif", "usefixtures", "xfail"):
                self.add_marker(mark)

    def runtest(self) -> None:
        report = self.suite.run(
            only=[self.place], allow_public=self.config.getoption("smesec_allow_public")
        )
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
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.test["line"] - 1, self.name


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
