"""The firewall in front of a WSGI application (PEP 3333): Django, Flask, and all others.

    application = smesec.wsgi.Middleware(application)

Works untold under pre-fork servers, whether it is made before the fork or after.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any

from ._middleware import PIECE, Gate, Inspection, Page, quoted, type_of_sink
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

    The application finds an `Inspection` in `environ["smesec.inspection"]`. What it raises goes on to the server.

    A body that is not held back (`log_only`, mode "detect", a filter that wants pieces) is inspected as the application
    reads it, until the response begins: for the rules the request ends then. What the application reads from then on
    reaches it unchanged and uninspected, which a warning tells once and `request_body` in the `extra` of the event.
    A chunked body of a server that does not set `wsgi.input_terminated` has no end that anybody could read to: it is no
    body, for the rules as for the application.

    Raises `TypeError` for arguments of a wrong type, and where `settings` beside a `filter` would be ignored.
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
        self._gate = Gate(app, filter, settings, sink, decoy, page)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        gate = self._gate
        accept = environ.get("HTTP_ACCEPT", "")
        # Another middleware of this kind may stand before this one, and its body is its own.
        given = environ.get("wsgi.input")
        try:
            inspection, body, stopped = self._request(environ)
        except (SmesecError, ValueError, TypeError):
            # What reading the body raises (a client that left) is the server's and goes on.
            page = gate.failed(accept)
            if page is not None:
                return _send(page, start_response, environ)
            if (spent := environ.get("wsgi.input")) is not given and isinstance(spent, _Body):
                spent.rewind()
            return self.app(environ, start_response)
        if stopped:
            return self._stop(environ, start_response, inspection, body, accept)
        environ["smesec.inspection"] = inspection
        exchange = _Exchange(gate, inspection, start_response, body, environ)
        try:
            pieces = self.app(environ, exchange.start_response)
        except BaseException as error:
            if isinstance(error, Exception) and exchange.is_replaced:
                # The client gets its page; the application failed over a body that it was not given whole.
                replacement = list(exchange.replace())
                exchange.close(aborted=False)
                return replacement
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
            if not (environ.get("CONTENT_LENGTH") or environ.get("wsgi.input_terminated")):
                environ["wsgi.input"] = io.BytesIO()
                return inspection, None, gate.stops(inspection, transaction.request_body(b"", True))
            body = _Body(gate, inspection, environ)
            environ["wsgi.input"] = body
            return inspection, body, body.hold(wanted)
        except BaseException:
            inspection.finish(aborted=True)
            raise

    def _stop(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        inspection: Inspection,
        body: _Body | None,
        accept: str,
    ) -> Iterable[bytes]:
        verdict = inspection.verdict
        if verdict is not None and verdict.action == "decoy" and self.decoy is not None:
            inspection.finish()
            environ["smesec.inspection"] = inspection
            if body is not None:
                body.rewind()
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
        if length and not length.isdigit():
            raise ValueError(f"Content-Length `{length[:32]}` is no number")
        # Without a length only a server that ends the stream itself can be read to its end.
        self.left: int | None = int(length) if length else None
        self.held: IO[bytes] | None = None
        # Whether the source is at its end; whether the transaction takes pieces; whether it was ended before the source.
        self.ended, self.inspects, self.cut = False, True, False

    def hold(self, at_most: int) -> bool:
        """Reads what has to be held back; whether the request is stopped."""
        if at_most == 0:
            return False
        self.held = held = tempfile.SpooledTemporaryFile(self.gate.settings.memory_bytes)
        count = 0
        # One byte more than is held at most, so that the policy on limits has decided.
        while not self.ended and count <= at_most:
            piece = self._piece(self.source.read, PIECE)
            # Kept first: a decoy, or the application of a firewall that failed, gets it all.
            held.write(piece)
            count += len(piece)
            if self._stops(piece):
                return True
        held.seek(0)
        return False

    def rewind(self) -> None:
        """From the start, for an application that is not watched."""
        self.inspects = False
        if self.held is not None:
            self.held.seek(0)

    def _piece(self, read: Callable[[int], bytes], size: int) -> bytes:
        """The next piece from the client, none at the end."""
        if self.ended:
            return b""
        want = size if self.left is None else min(size, self.left)
        piece = read(want) if want else b""
        if self.left is not None:
            self.left -= len(piece)
        self.ended = not piece or self.left == 0
        return piece

    def _stops(self, piece: bytes) -> bool:
        """Inspects a piece; whether the request is stopped."""
        if not self.inspects:
            if self.cut and piece:
                self.gate.cut(self.inspection)
            return False
        self.inspects = not self.ended
        return self.gate.stops(self.inspection, self.inspection.transaction.request_body(piece, self.ended))

    def end(self) -> bool:
        """The request ends for the rules, whatever the application still reads; whether it is stopped."""
        if not self.inspects:
            return False
        self.inspects, self.cut = False, True
        return self.gate.stops(self.inspection, self.inspection.transaction.request_body(b"", True))

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            whole = [self.held.read()] if self.held is not None else []
            return b"".join([*whole, *iter(lambda: self._some(PIECE), b"")])
        # As a server's own stream: less only at the end, which many applications take for granted.
        pieces: list[bytes] = []
        while size > 0:
            piece = self._some(size)
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def readline(self, size: int | None = -1, /) -> bytes:
        # Not more than asked for: what comes later may wait for the application's answer.
        left = -1 if size is None else size
        pieces: list[bytes] = []
        while left:
            piece = self._some(left if 0 < left < PIECE else PIECE, line=True)
            pieces.append(piece)
            if not piece or piece.endswith(b"\n"):
                break
            left = max(left - len(piece), 0) if left > 0 else left
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _some(self, size: int, line: bool = False) -> bytes:
        """At least a byte, none at the end; of one line if `line`."""
        if self.held is not None:
            piece = self.held.readline(size) if line else self.held.read(size)
            if piece:
                return piece
            self.held.close()
            self.held = None
        piece = self._piece(self.source.readline if line else self.source.read, size)
        # At the end it was told already, or is told now.
        if self._stops(piece):
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
        # Set with the head's leaving; nothing is written before.
        self.server_write: Callable[[bytes], object]
        self.pieces: Iterable[bytes] = ()
        # The body's first byte came; it has left; the block page stands in for it.
        self.opened = self.sent = self.stopped = self.finished = False
        # What the rules want of the body; what is held back of it, with its length.
        self.wanted: int | None = None
        self.held: list[bytes] | None = None
        self.count = 0

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        """Keeps the head until the first piece of the body, as servers do."""
        if self.opened and exc_info is not None and not self.stopped:
            if self.sent:
                return self.server(status, headers, exc_info)
            raise exc_info[1].with_traceback(exc_info[2])
        if self.head is not None and exc_info is None:
            raise AssertionError("start_response was called twice")
        self.head = (status, list(headers))
        return self._write

    def _write(self, piece: bytes) -> None:
        """The other way to the client: what is not held back leaves before it returns."""
        if not self.opened:
            self._open()
        if not self.stopped:
            for allowed in self._allowed(piece):
                self.server_write(allowed)

    def respond(self, pieces: Iterable[bytes]) -> Iterable[bytes]:
        self.pieces = pieces
        # Servers take the length of a body from a list of one piece.
        single = type(pieces) in (list, tuple) and not self.opened and len(pieces) == 1  # type: ignore[arg-type]
        return (_Single if single else _Response)(self, self._stream())

    def _stream(self) -> Iterator[bytes]:
        # The head may come as late as the first piece.
        try:
            for piece in self.pieces:
                if not self.opened:
                    if not piece:
                        continue
                    self._open()
                if not self.stopped:
                    yield from self._allowed(piece)
                if self.stopped:
                    break
        except Exception:
            if not self.is_replaced:
                raise
            self.stopped = True
        if not self.opened and not self.stopped:
            self._open()
        if not self.stopped and self.wanted is not None:
            self.stopped = self.gate.stops(self.inspection, self.inspection.transaction.response_body(b"", True))
        if self.stopped and not self.sent:
            yield from self.replace()
        elif self.held is not None:
            yield from self._begin()

    def _open(self) -> None:
        """Judges the head."""
        if self.head is None:
            raise AssertionError("the application did not call start_response")
        status, headers = self.head
        inspection, gate = self.inspection, self.gate
        self.opened = True
        if self.body is not None and self.body.end():
            self.stopped = True
            return
        transaction = inspection.transaction
        code = int(status.split(" ", 1)[0])
        # Answers with the old verdict where the request was stopped while the application read it.
        if gate.stops(inspection, transaction.response_head(code, headers)):
            self.stopped = True
            return
        inspection.status = code
        self.wanted = transaction.wants("response")
        if self.wanted:
            self.held = []
        else:
            self._begin()

    def _allowed(self, piece: bytes) -> Sequence[bytes]:
        """What may leave once this piece was inspected."""
        if self.wanted is not None and self.gate.stops(
            self.inspection, self.inspection.transaction.response_body(piece)
        ):
            if self.sent:
                raise ConnectionAbortedError("the firewall stopped this response")
            self.stopped = True
            return ()
        self.inspection.bytes += len(piece)
        if self.held is None:
            return (piece,)
        self.held.append(piece)
        self.count += len(piece)
        # Beyond what is held the policy has decided: it passes.
        return self._begin() if self.count > (self.wanted or 0) else ()

    def _begin(self) -> Sequence[bytes]:
        """Sends the head; what was held back goes after it."""
        assert self.head is not None
        held, self.held = self.held, None
        self.sent = True
        self.server_write = self.server(*self.head)
        return held or ()

    @property
    def is_replaced(self) -> bool:
        """Whether the client gets the block page, whatever the application says."""
        return not self.sent and (self.stopped or self.inspection.incident is not None)

    def replace(self) -> Iterator[bytes]:
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


class _Single(_Response):
    """A response of one piece."""

    def __len__(self) -> int:
        return 1


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
    target = quoted(path.encode("latin-1"))
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
