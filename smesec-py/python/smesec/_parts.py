"""What parts written in Python look like: filters, scanners, detectors; and how a finding is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from ._native import Connection, Outcome, RequestHead, ResponseHead, ScanObject, ScanReport, Verdict, Work

FindingLike: TypeAlias = Mapping[str, Any]


class FilterLike(Protocol):
    """Admits transactions: `begin` is called for each, by several threads at once."""

    def begin(self, connection: Connection, /) -> object:
        """The transaction's own object; see `FilterTransaction`."""
        ...


class ScannerLike(Protocol):
    """Examines one object; several threads may call it at once."""

    def scan(self, object: ScanObject, /) -> ScanReport:
        """What was found, and what was not inspected."""
        ...


class UploadLike(Protocol):
    """Receives one object of a stream, piece by piece."""

    def write(self, data: bytes, /) -> object:
        """The next bytes of it."""
        ...

    def close(self, complete: bool, /) -> ScanReport | Callable[[], ScanReport] | None:
        """It ended; `complete` is False where the stream broke off. Answers with what was found, None for nothing to say, or a
        callable that finds it out: long work, which the host runs where it likes."""
        ...


class IntakeLike(Protocol):
    """Receives the objects inside streams, such as uploads; several threads may call it at once. What it raises makes
    the object one that was not inspected."""

    def open(self, name: str, field: str, content_type: str, /) -> UploadLike:
        """An object begins: its file name, the field it came in, and the media type that the sender claims."""
        ...


class DetectorLike(Protocol):
    """Watches events. It may also have `advance(now)`, with the time in nanoseconds since 1970 UTC."""

    def observe(self, event: dict[str, Any], /) -> Iterable[Mapping[str, Any]] | None:
        """The events that this one gives rise to, if any."""
        ...


class StoreLike(Protocol):
    """Keeps collections elsewhere, such as in a database that many hosts share. Called during a step, so it should answer
    within a millisecond; times are nanoseconds since 1970 UTC."""

    def load(self, collection: str, key: bytes, now: int, /) -> dict[bytes, bytes]:
        """The variables of a record that have not expired."""
        ...

    def apply(
        self, collection: str, key: bytes, name: bytes, change: tuple[str, Any], now: int, /
    ) -> bool:
        """Changes one variable: ("set", bytes), ("add", int), ("unset", None) or ("expire", time). False when a limit stood
        against it. Two that each add 1 at once have to leave 2."""
        ...


class FilterTransaction:
    """The transaction of a filter written in Python. Override what you need; one thread at a time calls it.

    A step answers with None (nothing to say), a `Verdict`, or `Work(job)` where the answer needs long work: the
    job is run in the host's pool. A decisive verdict ends the transaction. `findings` of all verdicts
    are kept and make one event.
    """

    def wants(self, side: Literal["request", "response"]) -> int | None:
        """What is wanted of a body: None to skip it, 0 to see its pieces as they go, or the number of bytes
        to hold back until the verdict."""
        return None

    def request_head(self, head: RequestHead) -> Verdict | Work | None:
        """The request's first line and headers."""
        return None

    def request_body(self, chunk: bytes, last: bool) -> Verdict | Work | None:
        """A piece of the request's body."""
        return None

    def response_head(self, head: ResponseHead) -> Verdict | Work | None:
        """The response's status and headers."""
        return None

    def response_body(self, chunk: bytes, last: bool) -> Verdict | Work | None:
        """A piece of the response's body."""
        return None

    def finish(self, outcome: Outcome) -> Verdict | None:
        """The end; of what it answers with, only the findings count."""
        return None


def finding(
    rule: str,
    message: str = "",
    *,
    severity: Literal["info", "low", "medium", "high", "critical"] = "medium",
    part: str = "",
    evidence: str = "",
    name: str = "",
    author: str | None = None,
    tags: Iterable[str] = (),
) -> dict[str, Any]:
    """A finding as a dict, in the event's JSON form.

    `rule` is the id of what recognised it, `name` its title, `part` where it was found (such as "ARGS:q"),
    `evidence` what was found: bound its length and mask secrets. Raises nothing; whoever takes the dict checks it.
    """
    rule_info: dict[str, Any] = {"id": rule, "name": name}
    if author is not None:
        rule_info["author"] = author
    if tags := list(tags):
        rule_info["tags"] = tags
    return {"rule": rule_info, "severity": severity, "part": part, "evidence": evidence, "message": message}
