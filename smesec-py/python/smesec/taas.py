"""Testing: files in Tavern's format run against an application, and an audit of its doors.

    from smesec import taas

    report = taas.run("tests/sign-in.tavern.yaml", global_cfg=["tests/common.yaml"], extensions=["checks"])
    for result in report.results:
        print(result["verdict"], result["test"])
    Path("junit.xml").write_text(report.junit())

Only hosts that the files name are asked, and only at private addresses unless `allow_public` says otherwise. pytest
collects `*.tavern.yaml` by itself once the package is installed; see `smesec.pytest_plugin`.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._extension import Extensions, Functions, Response
from ._native import TaasReport as Report
from ._native import TaasSuite, taas_audit

__all__ = ["Report", "Response", "Suite", "audit", "run"]

Path = str | os.PathLike[str]

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
    fixtures: Mapping[str, Any] | None = None,
    allow_public: bool = False,
) -> Report:
    """Runs the tests of `files`, `jobs` at once (1 to 64), and reports on them.

    `global_cfg` are files whose variables and stages lie below those of every test. `env` is what `tavern.env_vars` has: the
    process's environment unless given. `secrets` are the values behind placeholders such as `[CONFIDENTIAL]`, by names such as
    `LOGIN_PASSWORD`: variables `SMESEC_SECRET_…` of the environment unless given; no report shows them. `select` takes the tests
    whose marks fit an expression. `strict_layout` refuses a `response` inside its `request`.

    `extensions` says which functions of Python (`module:function`) the files may call: those of the named modules and what is
    below them, those of a mapping from such names to callables, or with True any. What one raises fails its test. A check is
    called with the `Response` first, a tincture with the stage, a dict of `name`, `request` and `response` as they stand in the
    file; where it is a generator, it goes on with `(expected, response)` once the answer is there, and is closed where none
    comes. A function behind `auth` may give an object as `requests` has them, as far as it sets headers. With several `jobs`
    functions are called from several threads. `fixtures` are the values of those that `usefixtures` may name; under pytest
    they are pytest's own.

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
        fixtures=fixtures,
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
        extensions: Extensions | Functions | None = None,
        fixtures: Mapping[str, Any] | None = None,
    ) -> None:
        if env is None:
            env = {name: value for name, value in os.environ.items() if not name.startswith(SECRET)}
        if secrets is None:
            secrets = {name[len(SECRET) :]: value for name, value in os.environ.items() if name.startswith(SECRET)}
        functions = extensions
        if not isinstance(functions, Functions):
            functions = Functions(functions or (), fixtures=fixtures)
        self._native = TaasSuite(
            list(files), list(global_cfg), dict(env), dict(secrets), select, strict_layout, functions
        )

    @property
    def tests(self) -> list[dict[str, Any]]:
        """The tests in their order: dicts of `name`, `file`, `line`, `marks` and `fixtures`."""
        return self._native.tests

    @property
    def hosts(self) -> list[tuple[str, int | None]]:
        """The hosts and ports that the tests name, and so the only ones that are asked."""
        return self._native.hosts

    @property
    def warnings(self) -> list[str]:
        """What deserves a look in the files although it stops nothing."""
        return self._native.warnings

    def run(
        self,
        *,
        only: Sequence[int] | None = None,
        jobs: int = 1,
        allow_public: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> Report:
        """Runs the tests, or with `only` those at these places of `tests`, each in a session of its own.

        `variables` are more of them, of JSON's types, below those of the files; hosts that they name may be asked too.
        """
        more = None if variables is None else dict(variables)
        return self._native.run(only=only, jobs=jobs, allow_public=allow_public, variables=more)

    def __len__(self) -> int:
        return len(self._native)
