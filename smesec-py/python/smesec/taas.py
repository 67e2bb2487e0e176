"""Testing: files in Tavern's format run against an application, and an audit of its doors.

    from smesec import taas

    report = taas.run("tests/sign-in.tavern.yaml", global_cfg=["tests/common.yaml"], extensions=["checks"])
    for result in report.results:
        print(result["verdict"], result["test"])
    Path("junit.xml").write_text(report.junit())

Only hosts that the files name are asked, and only at private addresses unless `allow_public` says otherwise. pytest
collects `*.tavern.yaml` by itself once the package is installed; see `smesec.pytest_plugin`.
"""

import importlib
import inspect
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ._native import TaasReport as Report
from ._native import TaasSuite, taas_audit

__all__ = ["Report", "Response", "Suite", "audit", "run"]

Path = str | os.PathLike[str]
Extensions = bool | str | Iterable[str] | Mapping[str, Callable[..., Any]]

SECRET = "SMESEC_SECRET_"


def run(
    *files: Path,
    global_cfg: Iterable[Path] = (),
    env: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    select: str | None = None,
    strict_layout: bool = False,
    jobs: int = 1,
    extensions: Extensions | None = None,
    allow_public: bool = False,
) -> Report:
    """Runs the tests of `files`, `jobs` at once (1 to 64), and reports on them.

    `global_cfg` are files whose variables and stages lie below those of every test. `env` is what `tavern.env_vars` has: the
    process's environment unless given. `secrets` are the values behind placeholders such as `[CONFIDENTIAL]`, by names such as
    `LOGIN_PASSWORD`: variables `SMESEC_SECRET_…` of the environment unless given; no report shows them. `select` takes the tests
    whose marks fit an expression. `strict_layout` refuses a `response` inside its `request`.

    `extensions` says which functions of Python (`module:function`) the files may call: those of the named modules and what is
    below them, those of a mapping from such names to callables, or with True any. What one raises fails its test. A check is
    called with the `Response` first. With several `jobs` functions are called from several threads.

    Raises `RuleError` for a file that cannot be read as a whole; then nothing is sent.
    """
    suite = Suite(
        files,
        global_cfg=global_cfg,
        env=env,
        secrets=secrets,
        select=select,
        strict_layout=strict_layout,
        extensions=extensions,
    )
    return suite.run(jobs=jobs, allow_public=allow_public)


def audit(path: Path, only: Iterable[str] = (), destructive: bool = False) -> Report:
    """Tries the doors of the API that the file at `path` describes (`smesec taas audit --example` prints one).

    `only` names the checks to run, all unless given; with `destructive` those that change what the target holds are
    tried too. Only the description's own hosts are asked, within its limits. Raises `RuleError` with the place of what is
    wrong in the file, `ConfigError` for a check of no such name.
    """
    return taas_audit(path, [only] if isinstance(only, str) else list(only), destructive)


class Suite:
    """The tests of some files, loaded and judged; nothing is sent before `run`. The arguments are those of `smesec.taas.run`."""

    def __init__(
        self,
        files: Iterable[Path],
        *,
        global_cfg: Iterable[Path] = (),
        env: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        select: str | None = None,
        strict_layout: bool = False,
        extensions: Extensions | None = None,
    ) -> None:
        if env is None:
            env = {name: value for name, value in os.environ.items() if not name.startswith(SECRET)}
        if secrets is None:
            secrets = {name[len(SECRET) :]: value for name, value in os.environ.items() if name.startswith(SECRET)}
        functions = None if extensions is None or extensions is False else _Functions(extensions)
        self._native = TaasSuite(
            list(files), list(global_cfg), dict(env), dict(secrets), select, strict_layout, functions
        )

    @property
    def tests(self) -> list[dict[str, Any]]:
        """The tests in their order: dicts of `name`, `file`, `line` and `marks`."""
        return self._native.tests

    @property
    def hosts(self) -> list[tuple[str, int | None]]:
        """The hosts and ports that the tests name, and so the only ones that are asked."""
        return self._native.hosts

    @property
    def warnings(self) -> list[str]:
        """What deserves a look in the files although it stops nothing."""
        return self._native.warnings

    def run(self, *, only: Sequence[int] | None = None, jobs: int = 1, allow_public: bool = False) -> Report:
        """Runs the tests, or with `only` those at these places of `tests`, each in a session of its own."""
        return self._native.run(only=only, jobs=jobs, allow_public=allow_public)

    def __len__(self) -> int:
        return len(self._native)


class Response:
    """The answer that a function behind a check is called with; it reads as that of `requests` does."""

    def __init__(self, status_code: int, reason: str, headers: list[tuple[str, bytes]], content: bytes) -> None:
        self.status_code = status_code
        self.reason = reason
        self.headers: Mapping[str, str] = _Headers(headers)
        self.content = content

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status_code < 400

    @property
    def text(self) -> str:
        """The body as UTF-8, what is none of it replaced."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """What the body means as JSON; raises `ValueError` where it is none."""
        return json.loads(self.content)

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"


class _Headers(Mapping[str, str]):
    """Headers by name, whatever its case; repeated ones are joined by commas."""

    def __init__(self, headers: list[tuple[str, bytes]]) -> None:
        self._values: dict[str, tuple[str, str]] = {}
        for name, raw in headers:
            value = raw.decode("latin-1")
            known = self._values.get(name.lower())
            self._values[name.lower()] = (name, f"{known[1]}, {value}" if known else value)

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._values.values())

    def __len__(self) -> int:
        return len(self._values)


class _Functions:
    """From the names in test files to Python's functions."""

    def __init__(self, extensions: Extensions) -> None:
        self._given = extensions if isinstance(extensions, Mapping) else {}
        self._any = extensions is True
        self._modules: tuple[str, ...] = ()
        if isinstance(extensions, str):
            self._modules = (extensions,)
        elif not isinstance(extensions, (bool, Mapping)):
            self._modules = tuple(extensions)

    def offers(self, name: str) -> bool:
        """Whether the name may be called; whether it can be is seen when it is."""
        module, colon, _ = name.partition(":")
        below = any(module == known or module.startswith(f"{known}.") for known in self._modules)
        return name in self._given or bool(colon) and (self._any or below)

    def call(
        self,
        name: str,
        response: tuple[int, str, list[tuple[str, bytes]], bytes] | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        # Not every caller asks first, and a name that is not offered must not be imported.
        if not self.offers(name):
            raise LookupError("it is not offered; name its module in `extensions`")
        function = self._given.get(name) or self._found(name)
        before = () if response is None else (Response(*response),)
        given = function(*before, *args, **kwargs)
        if inspect.isgenerator(given):
            given.close()
            raise TypeError("a generator was given, and nothing goes on after a stage here; give a value")
        return given

    def _found(self, name: str) -> Callable[..., Any]:
        module, _, attribute = name.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if not callable(found):
            raise TypeError("it is no function")
        return found  # type: ignore[no-any-return]
