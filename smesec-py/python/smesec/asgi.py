"""The firewall in front of an ASGI application: FastAPI, Starlette, Django, and all others.

    application = smesec.asgi.Middleware(application)
    application.add_middleware(smesec.asgi.Middleware, settings=smesec.Settings())   # Starlette and FastAPI

WebSockets and lifespan pass untouched. Long inspections and scans run in threads, so the event loop goes on.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from typing import IO, Any, TypeAlias

from ._middleware import PIECE, Gate, Inspection, Page, quoted, server_end, type_of_sink
from ._native import Filter, SmesecError, Verdict
from ._settings import Settings

__all__ = ["Inspection", "Middleware", "Page"]

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class Middleware:
    """An ASGI application around `app`: what the firewall stops gets a page with an incident number.

    `filter` is a `Waf`, `Chain` or `Filter`; without it `settings` make one over the rules they name, whose events go to
    `sink` (`LogSink()` unless given). A request's body is taken piece by piece, and is held back where the rules want to
    see it whole: in memory, beyond `settings.memory_bytes` in a temporary file. `decoy` is the application that gets
    requests whose verdict is "decoy"; `page(status, incident, accept)` makes the block page.

    The application finds an `Inspection` in `scope["state"]["smesec"]`, which is `request.state.smesec` in Starlette and
    FastAPI. What it raises goes on to the server.

    A body that is not held back (`log_only`, mode "detect", a filter that wants pieces) is inspected as the application
    reads it, until the response begins: for the rules the request ends then. What the application reads from then on
    reaches it unchanged and uninspected, which a warning tells once and `request_body` in the `extra` of the event.

    Raises `TypeError` for arguments of a wrong type, and where `settings` beside a `filter` would be ignored.
    """

    def __init__(
        self,
        app: Application,
        filter: Filter | None = None,
        *,
        settings: Settings | None = None,
        sink: type_of_sink | None = None,
        decoy: Application | None = None,
        page: Callable[[int, str, str], Page] | None = None,
    ) -> None:
        self.app = app
        self.decoy = decoy
        self._gate = Gate(app, filter, settings, sink, decoy, page)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange: _Exchange | None = None
        try:
            exchange = _Exchange(self._gate, scope, receive, send)
            stopped = await exchange.request()
        except (SmesecError, ValueError, TypeError):
            page = self._gate.failed(_accept(scope))
            if exchange is not None:
                exchange.inspection.finish(aborted=True)
            if page is not None:
                if exchange is not None:
                    exchange.close()
                await _send(page, send)
            elif exchange is None:
                await self.app(scope, receive, send)
            else:
                await exchange.hand_over(self.app, send)
            return
        except BaseException:
            if exchange is not None:
                exchange.finish(aborted=True)
            raise
        if exchange.left:
            exchange.finish(aborted=True)
            return
        inspection = exchange.inspection
        if stopped:
            verdict = inspection.verdict
            if verdict is not None and verdict.action == "decoy" and self.decoy is not None:
                inspection.finish()
                await exchange.hand_over(self.decoy, send)
            else:
                await exchange.replace()
                exchange.finish()
            return
        try:
            await self.app(exchange.scope, exchange.receive, exchange.send)
        except BaseException:
            exchange.finish(aborted=not exchange.replaced)
            if exchange.replaced:
                # The client has its page; the application failed over a body that it was not given whole.
                return
            raise
        exchange.finish(aborted=not exchange.ended)


class _Exchange:
    """One request and its response."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self.gate, self.server_receive, self.server_send = gate, receive, send
        self.scope = scope
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        # Of the request.
        self.held: list[bytes] = []
        self.file: IO[bytes] | None = None
        self.size = 0
        # Whether the transaction takes pieces; whether its request ended before the body did.
        self.inspects = self.cut = False
        # Whether the server gave the last piece; whether the application has it.
        self.request_ended = self.given = self.left = False
        # Of the response.
        self.start: Message | None = None
        self.started = self.ended = self.replaced = self.finished = False
        self.wanted: int | None = None
        self.response: list[bytes] = []
        self.response_size = 0

        peer = scope.get("client")
        client = gate.client((peer[0], peer[1] or 0) if peer else None, self._forwarded)
        server = scope.get("server")
        self.transaction = gate.filter.begin(client=client, server=server_end(*server) if server else None, defer=True)
        self.inspection = Inspection(self.transaction, client)

    def _forwarded(self) -> list[str]:
        return [value.decode("latin-1") for name, value in self.headers if name.lower() == b"x-forwarded-for"]

    def finish(self, aborted: bool = False) -> None:
        if not self.finished:
            self.finished = True
            self.close()
            self.inspection.finish(aborted)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    async def hand_over(self, app: Application, send: Send) -> None:
        """Leaves the request, with all of its body, to an application that is not watched."""
        self.inspects = False
        if self.file is not None:
            self.file.seek(0)
        try:
            await app(self.scope, self.receive, send)
        finally:
            self.close()

    async def _settle(self, verdict: Verdict) -> bool:
        """Has pending work done in threads; whether the verdict is to be enforced."""
        while verdict.pending:
            work = self.transaction.take_work()
            if work is None:
                break
            await asyncio.to_thread(work.run)
            verdict = self.transaction.resume(work)
        return self.gate.stops(self.inspection, verdict)

    async def _inspect(self, step: Callable[[bytes, bool], Verdict], piece: bytes, last: bool, size: int) -> bool:
        """Inspects a piece of a body of `size` bytes so far; whether to stop."""
        if len(piece) >= self.gate.settings.thread_bytes or last and size >= self.gate.settings.thread_bytes:
            return await self._settle(await asyncio.to_thread(step, piece, last))
        return await self._settle(step(piece, last))

    async def request(self) -> bool:
        """Inspects the request's head, and its body as far as it is held back; whether it is stopped."""
        scope = self.scope
        raw = scope.get("raw_path")
        target = raw if raw is not None else quoted(scope["path"].encode("utf-8", "surrogateescape")).encode()
        if query := scope.get("query_string"):
            target = target + b"?" + query
        version = "HTTP/" + scope.get("http_version", "1.1")
        transaction = self.transaction
        if await self._settle(transaction.request_head(scope["method"], target, self.headers, version=version)):
            return True
        state = dict(scope.get("state") or ())
        state["smesec"] = self.inspection
        self.scope = {**scope, "state": state}
        if "extensions" in scope:
            # These would send a file past the inspection.
            past = ("http.response.pathsend", "http.response.zerocopysend")
            self.scope["extensions"] = {k: v for k, v in (scope["extensions"] or {}).items() if k not in past}
        wanted = transaction.wants("request")
        if wanted is None:
            return await self._settle(transaction.request_body(b"", True))
        self.inspects = True
        # One byte more than is held at most, so that the policy on limits has decided.
        while wanted > 0 and not self.request_ended and self.size <= wanted:
            message = await self.server_receive()
            if message["type"] != "http.request":
                self.left = True
                return False
            piece = message.get("body", b"")
            self.size += len(piece)
            # Kept first: a decoy, or the application of a firewall that failed, gets it all.
            await self._keep(piece)
            if await self._take(piece, not message.get("more_body", False)):
                return True
        if self.file is not None:
            self.file.seek(0)
        return False

    async def _take(self, piece: bytes, last: bool) -> bool:
        self.request_ended = last
        self.inspects = not last
        return await self._inspect(self.transaction.request_body, piece, last, self.size)

    async def _keep(self, piece: bytes) -> None:
        if self.file is None and self.size <= self.gate.settings.memory_bytes:
            if piece:
                self.held.append(piece)
            return
        if self.file is None:
            self.file = tempfile.TemporaryFile()
            pieces, self.held = [*self.held, piece], []
            await asyncio.to_thread(self.file.writelines, pieces)
        else:
            await asyncio.to_thread(self.file.write, piece)

    async def receive(self) -> Message:
        """The application's way to the body: what was held back, then the rest, inspected as it comes."""
        if self.replaced:
            return {"type": "http.disconnect"}
        if self.held or self.file is not None:
            piece = await self._replayed()
            self.given = self.request_ended and not self.held and self.file is None
            return {"type": "http.request", "body": piece, "more_body": not self.given}
        if self.request_ended and not self.given:
            self.given = True
            return {"type": "http.request", "body": b"", "more_body": False}
        message = await self.server_receive()
        if message["type"] == "http.request":
            piece, last = message.get("body", b""), not message.get("more_body", False)
            self.size += len(piece)
            self.given = last
            if not self.inspects:
                self.request_ended = last
                if self.cut and piece:
                    self.gate.cut(self.inspection)
            elif await self._take(piece, last):
                # The application sees the client go away, the client a page.
                await self.replace()
                return {"type": "http.disconnect"}
        return message

    async def _replayed(self) -> bytes:
        if self.file is None:
            return self.held.pop(0)
        piece: bytes = await asyncio.to_thread(self.file.read, PIECE)
        if len(piece) < PIECE:
            self.close()
        return piece

    async def send(self, message: Message) -> None:
        """The application's way to the client."""
        kind = message["type"]
        if self.replaced:
            return
        if kind == "http.response.start":
            await self._head(message)
        elif kind == "http.response.body" and self.wanted is not None:
            await self._body(message)
        else:
            if kind == "http.response.body":
                self.inspection.bytes += len(message.get("body", b""))
                self.ended = not message.get("more_body", False)
            await self.server_send(message)

    async def _head(self, message: Message) -> None:
        transaction = self.transaction
        if self.inspects:
            self.inspects, self.cut = False, True
            if await self._inspect(transaction.request_body, b"", True, self.size):
                await self.replace()
                return
        status = message["status"]
        if await self._settle(transaction.response_head(status, message.get("headers", ()))):
            await self.replace()
            return
        self.inspection.status = status
        self.wanted = transaction.wants("response")
        if self.wanted:
            self.start = message
        else:
            self.started = True
            await self.server_send(message)

    async def _body(self, message: Message) -> None:
        piece, more = message.get("body", b""), message.get("more_body", False)
        self.response_size += len(piece)
        stopped = await self._inspect(self.transaction.response_body, piece, not more, self.response_size)
        if self.start is None:
            if stopped:
                raise ConnectionAbortedError("the firewall stopped this response")
            await self._pass(piece, more)
            return
        if stopped:
            await self.replace()
            return
        self.response.append(piece)
        if not more or self.response_size > (self.wanted or 0):
            # Whole and allowed; or beyond what is held, where the policy on limits has let it pass.
            start, self.start, held, self.response = self.start, None, self.response, []
            self.started = True
            await self.server_send(start)
            await self._pass(b"".join(held), more)

    async def _pass(self, piece: bytes, more: bool) -> None:
        self.inspection.bytes += len(piece)
        self.ended = not more
        await self.server_send({"type": "http.response.body", "body": piece, "more_body": more})

    async def replace(self) -> None:
        """Sends the block page instead of what the application says."""
        if self.started:
            raise ConnectionAbortedError("the firewall stopped this request")
        if not self.replaced:
            self.replaced = self.ended = True
            page = self.gate.answer(self.inspection, _accept(self.scope))
            verdict = self.inspection.verdict
            dropped = verdict is not None and verdict.action in ("drop", "reject")
            # RFC 9113, 8.2.2: no such header beyond HTTP/1.
            if dropped and self.scope.get("http_version", "1.1").startswith("1"):
                page.headers = [*page.headers, ("Connection", "close")]
            await _send(page, self.server_send)


def _accept(scope: Scope) -> str:
    return ",".join(value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"accept")


async def _send(page: Page, send: Send) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in page.headers]
    await send({"type": "http.response.start", "status": page.status, "headers": headers})
    await send({"type": "http.response.body", "body": page.body})
