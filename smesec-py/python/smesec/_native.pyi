"""The compiled part of the package `smesec`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import Any, Literal, NoReturn, Protocol, TypedDict, final

from typing_extensions import disjoint_base

from ._extension import Functions
from ._parts import DetectorLike, FilterLike, FindingLike, IntakeLike, ScannerLike, StoreLike

__all__ = [
    "Chain",
    "ConfigError",
    "Connection",
    "DetectorSink",
    "Exclusion",
    "Filter",
    "InputError",
    "LimitError",
    "MemoryStore",
    "Outcome",
    "PhaseError",
    "Queue",
    "RequestHead",
    "ResponseHead",
    "RuleError",
    "RuleSet",
    "ScanObject",
    "ScanReport",
    "SharedStore",
    "SiemEngine",
    "SiemRuleSet",
    "SmesecError",
    "TaasReport",
    "TaasSuite",
    "Tee",
    "Transaction",
    "Verdict",
    "Waf",
    "Work",
    "__version__",
    "_after_fork",
    "run_command",
    "taas_audit",
]

__version__: str

type _Bytes = bytes | bytearray | memoryview | str
type _Headers = Iterable[tuple[_Bytes, _Bytes]] | Mapping[str, _Bytes] | Mapping[bytes, _Bytes]
type _Endpoint = tuple[str, int]
type _Event = dict[str, Any]
type _Sink = Callable[[_Event], object]
type _Policy = Literal["closed", "open"]
type _Mode = Literal["rules", "block", "detect", "off"]
type _Scanner = ScannerLike | Callable[[ScanObject], ScanReport]

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
    def from_path(
        *paths: str | PathLike[str],
        paranoia: int | None = None,
        strict: bool = False,
        backtrack_limit: int | None = None,
    ) -> RuleSet: ...
    @staticmethod
    def from_text(
        text: str,
        *,
        origin: str = "<text>",
        paranoia: int | None = None,
        strict: bool = False,
        backtrack_limit: int | None = None,
    ) -> RuleSet: ...
    @staticmethod
    def from_sources(
        *sources: str | PathLike[str] | tuple[str, str] | None,
        paranoia: int | None = None,
        strict: bool = False,
        backtrack_limit: int | None = None,
    ) -> RuleSet: ...
    @staticmethod
    def builtin(*, paranoia: int | None = None) -> RuleSet: ...
    @staticmethod
    def _unpickled(
        sources: list[tuple[str | None, bytes | None]],
        paranoia: int | None,
        strict: bool,
        backtrack_limit: int | None,
        files: list[tuple[str, bytes]],
        lists: list[tuple[str, list[str]]],
    ) -> RuleSet: ...
    @property
    def report(self) -> _Report: ...
    def __len__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Verdict:
    def __new__(
        cls,
        action: Literal["pass", "log", "deny", "redirect", "decoy", "drop", "reject"] = "pass",
        status: int | None = None,
        *,
        score: int = 0,
        location: str | None = None,
        findings: Iterable[FindingLike] | None = None,
    ) -> Verdict: ...
    @property
    def action(self) -> Literal["pass", "log", "deny", "redirect", "decoy", "drop", "reject", "pending"]: ...
    @property
    def blocked(self) -> bool: ...
    @property
    def pending(self) -> bool: ...
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
    def __getnewargs_ex__(self) -> tuple[tuple[str, int | None], dict[str, Any]]: ...

@final
class Connection:
    @property
    def client(self) -> _Endpoint: ...
    @property
    def server(self) -> _Endpoint: ...
    @property
    def now(self) -> int: ...

@final
class RequestHead:
    @property
    def method(self) -> bytes: ...
    @property
    def target(self) -> bytes: ...
    @property
    def version(self) -> bytes: ...
    @property
    def now(self) -> int: ...
    @property
    def headers(self) -> list[tuple[bytes, bytes]]: ...
    def header(self, name: str) -> bytes | None: ...

@final
class ResponseHead:
    @property
    def status(self) -> int: ...
    @property
    def version(self) -> bytes: ...
    @property
    def now(self) -> int: ...
    @property
    def headers(self) -> list[tuple[bytes, bytes]]: ...
    def header(self, name: str) -> bytes | None: ...

@final
class Outcome:
    @property
    def status(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def aborted(self) -> bool: ...
    @property
    def now(self) -> int: ...

@disjoint_base
class Filter:
    def __new__(
        cls,
        part: Filter | FilterLike,
        *,
        on_error: _Policy = "closed",
        scanner: _Scanner | None = None,
        spool_bytes: int | None = None,
        intake: IntakeLike | None = None,
        sink: _Sink | None = None,
    ) -> Filter: ...
    def check(
        self,
        method: _Bytes,
        target: _Bytes,
        headers: _Headers | None = None,
        body: _Bytes | None = None,
        *,
        version: str = "HTTP/1.1",
        client: _Endpoint | None = None,
        server: _Endpoint | None = None,
    ) -> Verdict: ...
    def begin(
        self, *, client: _Endpoint | None = None, server: _Endpoint | None = None, defer: bool = False
    ) -> Transaction: ...
    def __reduce__(self) -> NoReturn: ...

@final
class Chain(Filter):
    def __new__(
        cls,
        *filters: Filter | FilterLike,
        on_error: _Policy = "closed",
        scanner: _Scanner | None = None,
        spool_bytes: int | None = None,
        intake: IntakeLike | None = None,
        sink: _Sink | None = None,
    ) -> Chain: ...

@final
class Exclusion:
    def __new__(
        cls,
        rules: Sequence[int | tuple[int, int]] = ...,
        *,
        tag: str | None = None,
        target: str | None = None,
        path_prefix: str = "",
        expires: datetime | float | None = None,
        reason: str = "",
    ) -> Exclusion: ...
    def __getnewargs_ex__(self) -> tuple[tuple[list[tuple[int, int]]], dict[str, Any]]: ...

@final
class Waf(Filter):
    def __new__(
        cls,
        ruleset: RuleSet,
        *,
        mode: _Mode = "rules",
        on_block: Literal["deny", "decoy", "log"] = "deny",
        on_limit: _Policy = "closed",
        steps: int = 50_000_000,
        exclusions: Sequence[Exclusion] = ...,
        store: MemoryStore | SharedStore | StoreLike | None = None,
        resolver: Callable[[str], Sequence[str] | None] | None = None,
        scanner: _Scanner | None = None,
        spool_bytes: int | None = None,
        intake: IntakeLike | None = None,
        record_headers: bool = False,
        sink: _Sink | None = None,
        id_seed: int | None = None,
    ) -> Waf: ...
    def with_exclusions(self, exclusions: Sequence[Exclusion]) -> Waf: ...
    def with_mode(self, mode: _Mode) -> Waf: ...
    def reload(self, ruleset: RuleSet) -> int: ...
    def modsecurity_json(self, event: _Event) -> str: ...
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
    def take_work(self) -> Work | None: ...
    def resume(self, work: Work) -> Verdict: ...
    def finish(
        self, status: int = 0, *, bytes: int = 0, aborted: bool = False, extra: dict[str, Any] | None = None
    ) -> None: ...
    def __enter__(self) -> Transaction: ...
    def __exit__(
        self, *_exception: type[BaseException] | BaseException | TracebackType | None
    ) -> None: ...

@final
class Work:
    def __new__(cls, job: Callable[[], Verdict | None]) -> Work: ...
    def run(self) -> None: ...

@final
class ScanObject:
    @property
    def name(self) -> str: ...
    @property
    def data(self) -> bytes | None: ...
    @property
    def path(self) -> str | None: ...
    @property
    def process(self) -> int | None: ...

@final
class ScanReport:
    def __new__(
        cls, findings: Iterable[FindingLike] | None = None, *, skipped: Sequence[tuple[str, str]] = ...
    ) -> ScanReport: ...
    @property
    def outcome(self) -> Literal["clean", "detected", "incomplete"]: ...
    @property
    def findings(self) -> list[dict[str, Any]]: ...
    @property
    def skipped(self) -> list[tuple[str, str]]: ...

@final
class Queue:
    def __new__(cls, capacity: int = 10_000) -> Queue: ...
    def drain(self) -> list[_Event]: ...
    def drain_json(self) -> str: ...
    @property
    def dropped(self) -> int: ...
    def __call__(self, event: _Event) -> None: ...
    def __iter__(self) -> Iterator[_Event]: ...

@final
class Tee:
    def __new__(cls, *sinks: _Sink) -> Tee: ...
    def __call__(self, event: _Event) -> None: ...

@final
class DetectorSink:
    def __new__(cls, detector: DetectorLike, *, capacity: int = 10_000) -> DetectorSink: ...
    def drain(self, sink: _Sink, now: int | None = None) -> bool: ...
    @property
    def dropped(self) -> int: ...
    def __call__(self, event: _Event) -> None: ...

@final
class MemoryStore:
    def __new__(cls, capacity: int = 65_536, *, timeout: int = 3_600) -> MemoryStore: ...

@final
class SharedStore:
    def __new__(
        cls, bytes: int = ..., *, path: str | PathLike[str] | None = None, timeout: int = 3_600
    ) -> SharedStore: ...

@final
class SiemRuleSet:
    @staticmethod
    def from_path(
        *paths: str | PathLike[str],
        placeholders: Mapping[str, str | Sequence[str]] | str | PathLike[str] | None = None,
        pipelines: Sequence[str | PathLike[str]] = ...,
        strict: bool = False,
    ) -> SiemRuleSet: ...
    @staticmethod
    def from_text(
        text: str,
        *,
        origin: str = "<text>",
        placeholders: Mapping[str, str | Sequence[str]] | str | PathLike[str] | None = None,
        pipelines: Sequence[str | PathLike[str]] = ...,
        strict: bool = False,
    ) -> SiemRuleSet: ...
    @staticmethod
    def from_sources(
        *sources: str | PathLike[str] | tuple[str, str] | None,
        placeholders: Mapping[str, str | Sequence[str]] | str | PathLike[str] | None = None,
        pipelines: Sequence[str | PathLike[str]] = ...,
        strict: bool = False,
    ) -> SiemRuleSet: ...
    @staticmethod
    def builtin() -> SiemRuleSet: ...
    @staticmethod
    def _unpickled(
        sources: list[tuple[str | None, str | None]],
        placeholders: tuple[str, str] | None,
        pipelines: list[tuple[str, str]],
        strict: bool,
    ) -> SiemRuleSet: ...
    @property
    def report(self) -> _Report: ...
    def __len__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

type _Format = Literal[
    "auto",
    "json",
    "evtx",
    "event-xml",
    "syslog",
    "cef",
    "leef",
    "auditd",
    "journal-export",
    "access",
    "error-log",
    "csv",
    "text",
]

class _ArrowStream(Protocol):
    def __arrow_c_stream__(self) -> object: ...

class _ArrowArray(Protocol):
    def __arrow_c_array__(self) -> tuple[object, object]: ...

type _Table = _ArrowStream | _ArrowArray

@final
class SiemEngine:
    def __new__(
        cls,
        ruleset: SiemRuleSet,
        lateness: float = 30.0,
        *,
        home_net: Sequence[str] | None = None,
        assets: str | PathLike[str] | None = None,
        policies: str | PathLike[str] | None = None,
        directives: Sequence[str | PathLike[str]] | None = None,
    ) -> SiemEngine: ...
    def feed(
        self,
        data: _Bytes,
        format: _Format = "auto",
        origin: str = "<bytes>",
        *,
        last: bool = False,
        now: int | None = None,
    ) -> list[dict[str, Any]]: ...
    def match(
        self, records: Iterable[Mapping[str, Any]] | _Table, origin: str = "<records>", *, now: int | None = None
    ) -> list[dict[str, Any]]: ...
    def process(
        self, records: Iterable[Mapping[str, Any]] | _Table, origin: str = "<records>", *, now: int | None = None
    ) -> Any: ...
    def advance(self, now: int) -> list[dict[str, Any]]: ...
    def finish(self) -> list[dict[str, Any]]: ...
    @property
    def report(self) -> dict[str, Any]: ...
    def snapshot(self) -> bytes: ...
    def restore(self, snapshot: bytes) -> dict[str, int]: ...
    @property
    def statistics(self) -> dict[str, Any]: ...

@final
class TaasSuite:
    def __new__(
        cls,
        files: Sequence[str | PathLike[str]],
        global_cfg: Sequence[str | PathLike[str]],
        env: dict[str, str],
        secrets: dict[str, str],
        select: str | None,
        strict_layout: bool,
        functions: Functions | None,
    ) -> TaasSuite: ...
    @property
    def tests(self) -> list[dict[str, Any]]: ...
    @property
    def hosts(self) -> list[tuple[str, int | None]]: ...
    @property
    def warnings(self) -> list[str]: ...
    def run(
        self,
        *,
        only: Sequence[int] | None = None,
        jobs: int = 1,
        allow_public: bool = False,
        variables: dict[str, Any] | None = None,
    ) -> TaasReport: ...
    def __len__(self) -> int: ...

@final
class TaasReport:
    @property
    def results(self) -> list[dict[str, Any]]: ...
    @property
    def matrix(self) -> list[dict[str, Any]]: ...
    @property
    def summary(self) -> dict[str, Any]: ...
    @property
    def warnings(self) -> list[str]: ...
    @property
    def passed(self) -> bool: ...
    def junit(self) -> str: ...
    def sarif(self) -> str: ...
    def html(self) -> str: ...

def taas_audit(path: str | PathLike[str], only: Sequence[str], destructive: bool) -> TaasReport: ...
def run_command(args: Sequence[str]) -> int: ...
def _after_fork() -> None: ...
