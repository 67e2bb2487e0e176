"""The firewall in front of a WSGI application (PEP 3333): Django, Flask, and all others.

    application = smesec.wsgi.Middleware(application)

Works untold under pre-fork servers, whether it is made before the fork or after.
"""

from __future__ import annotations

import io
import tempfile
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any

from ._middleware import PIECE, Gate, Inspection, Page, type_of_sink
from ._native import Filter, SmesecError
from ._settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["Inspection", "Middleware", "Page"]


class Middleware:
    """A WSGI application around `app`: what the firewall stops gets a page with an incident number.

    `filter` is a `Waf`, `Chain` or `Filter`; without it `settings` make one over the rules they name, whose events go to
    `sink` (`LogSink()` unless given). A request's body is read piece by piece, and is held back where the rules want to
    see it whole: in memory, beyond `settings.memory_bytes` in a temporary file. `decoy` is the application that gets
    requests whose verdict is "decoy"; `page(status, incident, accept)` makes the block page.

    The application finds an `Inspection` in `environ["smesec"]`. What it raises goes on to the server.
    """

    def __init__(
        self,
        app: WSGIApplication,
        filter: Filter | None = None,
        *,
        settings: Settings | None = None,
        sink: type_of_sink | None = None,
        decoy: WSGIApplication | None = None,
        page: Callable[[int, str, str], Page] | None = None,
    ) -> None:
        self.app = app
        self.decoy = decoy
        self._gate = Gate(filter, settings, sink, page)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        gate = self._gate
        accept = environ.get("HTTP_ACCEPT", "")
        inspection = None
        try:
            inspection, body, stopped = self._request(environ)
        except (SmesecError, ValueError, TypeError):
            # What reading the body raises (a client that left) is the server's and goes on.
            page = gate.failed(accept)
            if page is not None:
                return _send(page, start_response, environ)
            return self.app(environ, start_response)
        if stopped:
            return self._stop(environ, start_response, inspection, accept)
        environ["smesec"] = inspection
        if body is not None:
            environ["wsgi.input"] = body
        exchange = _Exchange(gate, inspection, start_response, body, environ)
        try:
            pieces = self.app(environ, exchange.start_response)
        except BaseException:
            exchange.close(aborted=True)
            raise
        return exchange.respond(pieces)

    def _request(self, environ: WSGIEnvironment) -> tuple[Inspection, _Body | None, bool]:
        """Head and body of the request: whether it is stopped, and what the application reads instead."""
        gate = self._gate
        peer = environ.get("REMOTE_ADDR")
        end = (peer, _port(environ.get("REMOTE_PORT"))) if peer else None
        client = gate.client(end, lambda: [environ.get("HTTP_X_FORWARDED_FOR", "")])
        transaction = gate.filter.begin(client=client, server=_server(environ))
        inspection = Inspection(transaction, client)
        try:
            headers = _headers(environ)
            version = environ.get("SERVER_PROTOCOL", "HTTP/1.1")
            verdict = transaction.request_head(environ["REQUEST_METHOD"], _target(environ), headers, version=version)
            if gate.stops(inspection, verdict):
                return inspection, None, True
            wanted = transaction.wants("request")
            if wanted is None or _is_empty(environ):
                return inspection, None, gate.stops(inspection, transaction.request_body(b"", True))
            body = _Body(gate, inspection, environ)
            return inspection, body, body.hold(wanted)
        except BaseException:
            inspection.finish(aborted=True)
            raise

    def _stop(
        self, environ: WSGIEnvironment, start_response: StartResponse, inspection: Inspection, accept: str
    ) -> Iterable[bytes]:
        verdict = inspection.verdict
        if verdict is not None and verdict.action == "decoy" and self.decoy is not None:
            inspection.finish()
            environ["smesec"] = inspection
            return self.decoy(environ, start_response)
        page = self._gate.answer(inspection, accept)
        inspection.finish()
        return _send(page, start_response, environ)


class _Body(io.RawIOBase):
    """The request's body as the application reads it: what was held back, then the rest, inspected as it is read."""

    def __init__(self, gate: Gate, inspection: Inspection, environ: WSGIEnvironment) -> None:
        self.gate, self.inspection = gate, inspection
        self.source = environ["wsgi.input"]
        length = environ.get("CONTENT_LENGTH") or ""
        # Without a length only a server that ends the stream itself can be read to its end.
        self.left: int | None = int(length) if length.isdigit() else None
        self.held: IO[bytes] | None = None
        self.ended = False

    def hold(self, at_most: int) -> bool:
        """Reads what has to be held back; whether the request is stopped."""
        if at_most == 0:
            return False
        held = tempfile.SpooledTemporaryFile(self.gate.settings.memory_bytes)
        count = 0
        # One byte more than is held at most, so that the policy on limits has decided.
        while not self.ended and count <= at_most:
            piece, stopped = self._next(PIECE)
            if stopped:
                held.close()
                return True
            held.write(piece)
            count += len(piece)
        held.seek(0)
        self.held = held
        return False

    def _next(self, size: int) -> tuple[bytes, bool]:
        """The next piece from the client, inspected; whether the request is stopped."""
        if self.ended:
            return b"", False
        want = size if self.left is None else min(size, self.left)
        piece = self.source.read(want) if want else b""
        if self.left is not None:
            self.left -= len(piece)
        self.ended = not piece or self.left == 0
        verdict = self.inspection.transaction.request_body(piece, self.ended)
        return piece, self.gate.stops(self.inspection, verdict)

    def end(self) -> bool:
        """Tells that no more is read; whether the request is stopped."""
        if self.ended:
            return False
        self.ended = True
        return self.gate.stops(self.inspection, self.inspection.transaction.request_body(b"", True))

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self._some(PIECE), b""))
        # As a server's own stream: less only at the end, which many applications take for granted.
        pieces: list[bytes] = []
        while size > 0:
            piece = self._some(size)
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _some(self, size: int) -> bytes:
        """At least a byte, none at the end."""
        if self.held is not None:
            piece = self.held.read(size)
            if piece:
                return piece
            self.held.close()
            self.held = None
        piece, stopped = self._next(size)
        if stopped:
            # The response is replaced when it begins; the application sees the client go away.
            raise ConnectionAbortedError("the firewall stopped this request")
        return piece

    def readinto(self, buffer: Any) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def readall(self) -> bytes:
        return self.read()

    def close(self) -> None:
        if self.held is not None:
            self.held.close()
            self.held = None
        super().close()


class _Exchange:
    """The response on its way out."""

    def __init__(
        self,
        gate: Gate,
        inspection: Inspection,
        start_response: StartResponse,
        body: _Body | None,
        environ: WSGIEnvironment,
    ) -> None:
        self.gate, self.inspection, self.server = gate, inspection, start_response
        self.body, self.environ = body, environ
        self.head: tuple[str, list[tuple[str, str]]] | None = None
        self.written: list[bytes] = []
        self.pieces: Iterable[bytes] = ()
        self.sent = self.finished = False

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        """Keeps the head until the first piece of the body, as servers do."""
        if self.sent and exc_info is not None:
            return self.server(status, headers, exc_info)
        if self.head is not None and exc_info is None:
            raise AssertionError("start_response was called twice")
        self.head = (status, list(headers))
        return self.written.append

    def respond(self, pieces: Iterable[bytes]) -> Iterable[bytes]:
        self.pieces = pieces
        return _Response(self, self._stream())

    def _stream(self) -> Iterator[bytes]:
        pieces = iter(self.pieces)
        # The head may come as late as the first piece.
        first = b""
        for first in pieces:
            if first or self.written:
                break
        if self.head is None:
            raise AssertionError("the application did not call start_response")
        status, headers = self.head
        inspection, gate = self.inspection, self.gate
        if self.body is not None and self.body.end():
            yield from self._replace()
            return
        transaction = inspection.transaction
        code = int(status.split(" ", 1)[0])
        # Answers with the old verdict where the request was stopped while the application read it.
        if gate.stops(inspection, transaction.response_head(code, headers)):
            yield from self._replace()
            return
        wanted = transaction.wants("response")
        inspection.status = code
        rest = _joined(self.written, first, pieces)
        if wanted is None:
            self._begin(status, headers)
            for piece in rest:
                inspection.bytes += len(piece)
                yield piece
            return
        held: list[bytes] = []
        count, holds = 0, wanted > 0
        if not holds:
            self._begin(status, headers)
        for piece in rest:
            stopped = gate.stops(inspection, transaction.response_body(piece))
            if stopped and holds:
                yield from self._replace()
                return
            if stopped:
                raise ConnectionAbortedError("the firewall stopped this response")
            inspection.bytes += len(piece)
            if not holds:
                yield piece
                continue
            held.append(piece)
            count += len(piece)
            if count > wanted:
                # Beyond what is held the policy has decided: it passes.
                holds = False
                self._begin(status, headers)
                yield from held
                held = []
        stopped = gate.stops(inspection, transaction.response_body(b"", True))
        if holds:
            if stopped:
                yield from self._replace()
                return
            self._begin(status, headers)
            yield from held

    def _begin(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.sent = True
        self.server(status, headers)

    def _replace(self) -> Iterator[bytes]:
        page = self.gate.answer(self.inspection, self.environ.get("HTTP_ACCEPT", ""))
        self.sent = True
        yield from _send(page, self.server, self.environ)

    def close(self, aborted: bool) -> None:
        if not self.finished:
            self.finished = True
            self.inspection.finish(aborted)
            if self.body is not None:
                self.body.close()


class _Response:
    """What the server iterates and closes."""

    def __init__(self, exchange: _Exchange, stream: Iterator[bytes]) -> None:
        self._exchange, self._stream, self._whole = exchange, stream, False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._stream)
        except StopIteration:
            self._whole = True
            raise

    def close(self) -> None:
        try:
            close = getattr(self._exchange.pieces, "close", None)
            if close is not None:
                close()
        finally:
            self._exchange.close(aborted=not self._whole)


def _joined(written: list[bytes], first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    while written:
        yield written.pop(0)
    if first:
        yield first
    for piece in rest:
        while written:
            yield written.pop(0)
        yield piece
    yield from written


def _send(page: Page, start_response: StartResponse, environ: WSGIEnvironment) -> list[bytes]:
    try:
        phrase = HTTPStatus(page.status).phrase
    except ValueError:
        phrase = "Stopped"
    start_response(f"{page.status} {phrase}", page.headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [page.body]


def _is_empty(environ: WSGIEnvironment) -> bool:
    length = environ.get("CONTENT_LENGTH")
    if length:
        return bool(length == "0")
    return not (environ.get("wsgi.input_terminated") or environ.get("HTTP_TRANSFER_ENCODING"))


def _port(text: str | None) -> int:
    return int(text) if text and text.isdigit() and len(text) < 6 and int(text) < 65_536 else 0


def _server(environ: WSGIEnvironment) -> tuple[str, int] | None:
    # SERVER_NAME is a name as often as an address, and rules ask for the port only.
    return ("127.0.0.1", _port(environ.get("SERVER_PORT")))


def _target(environ: WSGIEnvironment) -> str:
    """The request target as sent where the server tells it, else written anew."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw:
        return str(raw)
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    target = urllib.parse.quote(path.encode("latin-1"), safe="/!$&'()*+,;=:@~") or "/"
    query = environ.get("QUERY_STRING")
    return f"{target}?{query}" if query else target


def _headers(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    headers = [
        (key[5:].replace("_", "-").title(), value) for key, value in environ.items() if key.startswith("HTTP_")
    ]
    if environ.get("CONTENT_TYPE"):
        headers.append(("Content-Type", environ["CONTENT_TYPE"]))
    if environ.get("CONTENT_LENGTH"):
        headers.append(("Content-Length", environ["CONTENT_LENGTH"]))
    return headers
