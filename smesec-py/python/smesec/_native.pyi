"""The compiled part of the package `smesec`."""

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Literal, TypedDict, final

__all__ = [
    "ConfigError",
    "InputError",
    "LimitError",
    "PhaseError",
    "RuleError",
    "RuleSet",
    "SmesecError",
    "Transaction",
    "Verdict",
    "Waf",
    "__version__",
    "run_command",
]

__version__: str

type _Bytes = bytes | bytearray | memoryview | str
type _Headers = Iterable[tuple[_Bytes, _Bytes]]
type _Endpoint = tuple[str, int]

class _Refused(TypedDict):
    file: str
    line: int
    column: int
    rule: str | None
    why: str

class _Report(TypedDict):
    loaded: int
    refused: list[_Refused]
    degraded: list[_Refused]

class SmesecError(Exception):
    code: int
    file: str | None
    line: int | None
    column: int | None

class RuleError(SmesecError): ...
class ConfigError(SmesecError): ...
class PhaseError(SmesecError): ...
class LimitError(SmesecError): ...
class InputError(SmesecError): ...

@final
class RuleSet:
    @staticmethod
    def from_path(*paths: str | PathLike[str], paranoia: int | None = None, strict: bool = False) -> RuleSet: ...
    @staticmethod
    def from_text(
        text: str, *, origin: str = "<text>", paranoia: int | None = None, strict: bool = False
    ) -> RuleSet: ...
    @staticmethod
    def builtin(*, paranoia: int | None = None) -> RuleSet: ...
    @property
    def report(self) -> _Report: ...
    def __len__(self) -> int: ...

@final
class Verdict:
    @property
    def action(self) -> Literal["pass", "log", "deny", "redirect", "decoy", "drop", "reject"]: ...
    @property
    def blocked(self) -> bool: ...
    @property
    def status(self) -> int | None: ...
    @property
    def score(self) -> int: ...
    @property
    def location(self) -> str | None: ...
    @property
    def findings(self) -> list[dict[str, Any]]: ...
    @property
    def rule_ids(self) -> list[str]: ...

@final
class Waf:
    def __new__(
        cls,
        ruleset: RuleSet,
        *,
        mode: Literal["rules", "block", "detect", "off"] = "rules",
        on_block: Literal["deny", "decoy", "log"] = "deny",
        on_limit: Literal["closed", "open"] = "closed",
        sink: Callable[[dict[str, Any]], object] | None = None,
        id_seed: int = 0,
    ) -> Waf: ...
    def check(
        self,
        method: _Bytes,
        target: _Bytes,
        headers: _Headers | None = None,
        body: _Bytes | None = None,
        *,
        version: str = "HTTP/1.1",
        client: _Endpoint = ...,
        server: _Endpoint = ...,
    ) -> Verdict: ...
    def begin(self, *, client: _Endpoint = ..., server: _Endpoint = ...) -> Transaction: ...
    def reload(self, ruleset: RuleSet) -> int: ...
    @property
    def rules(self) -> RuleSet: ...

@final
class Transaction:
    def request_head(
        self, method: _Bytes, target: _Bytes, headers: _Headers | None = None, *, version: str = "HTTP/1.1"
    ) -> Verdict: ...
    def request_body(self, chunk: _Bytes, last: bool = False) -> Verdict: ...
    def response_head(
        self, status: int, headers: _Headers | None = None, *, version: str = "HTTP/1.1"
    ) -> Verdict: ...
    def response_body(self, chunk: _Bytes, last: bool = False) -> Verdict: ...
    def wants(self, side: Literal["request", "response"]) -> int | None: ...
    def finish(self, status: int = 0, *, bytes: int = 0, aborted: bool = False) -> None: ...
    def __enter__(self) -> Transaction: ...
    def __exit__(
        self, *_exception: type[BaseException] | BaseException | TracebackType | None
    ) -> None: ...

def run_command(args: Sequence[str]) -> int: ...
