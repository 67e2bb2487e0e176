"""What the middlewares for WSGI and ASGI share."""

from __future__ import annotations

import dataclasses
import functools
import html
import ipaddress
import json
import logging
import urllib.parse
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ._log import LogSink
from ._native import Filter, PhaseError, Transaction, Verdict
from ._settings import Settings

logger = logging.getLogger("smesec")

type_of_sink = Callable[[dict[str, Any]], object]

UNKNOWN = ("0.0.0.0", 0)
"""A client whose address nobody told."""

PIECE = 64 << 10
"""Bytes that are read or handed on at once."""

_WORDS = {
    400: ("Bad request", "The request is not well formed."),
    405: ("Method not allowed", "This method is not served here."),
    413: ("Request too large", "The request is larger than this site accepts."),
    429: ("Too many requests", "Please wait a moment and try again."),
}


class Inspection:
    """What the firewall says of one request, for the application: `environ["smesec.inspection"]` under WSGI,
    `scope["state"]["smesec"]` (Starlette's and FastAPI's `request.state.smesec`) under ASGI.

    `verdict` is the latest `Verdict`, `client` the address and port after trusted proxies, `incident` the number that is on
    the block page and in the event's `extra` (None before a block), and `extra` a dict of fields of your own for the event; what JSON
    has no type for is its text there.
    """

    __slots__ = ("bytes", "client", "extra", "incident", "noted", "status", "transaction", "verdict")

    def __init__(self, transaction: Transaction, client: tuple[str, int]) -> None:
        self.transaction = transaction
        self.client = client
        self.verdict: Verdict | None = None
        self.incident: str | None = None
        self.extra: dict[str, Any] | None = None
        self.noted: dict[str, Any] | None = None
        self.status = 0
        self.bytes = 0

    def finish(self, aborted: bool = False) -> None:
        """The log phase."""
        # What the application left here must not cost its event.
        extra = self.extra if self.extra is None or isinstance(self.extra, Mapping) else {"extra": self.extra}
        if self.noted is not None:
            extra = {**(extra or {}), **self.noted}
        if self.incident is not None:
            extra = {**(extra or {}), "incident": self.incident}
        try:
            self.transaction.finish(self.status, bytes=self.bytes, aborted=aborted, extra=extra)
        except PhaseError:
            # A task that was cancelled while a thread still inspects: its event is lost, and that is told.
            logger.warning("an exchange ended in the middle of an inspection; its event is lost")
        except Exception:
            # The answer has gone out: it is no fault of the exchange.
            logger.exception("the event of an exchange is lost")

    def note(self, name: str, value: object) -> None:
        """A field of the middleware's own for the event, which the application's `extra` does not take away."""
        self.noted = {**(self.noted or {}), name: value}


class Page:
    """An answer instead of the application's."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


def block_page(status: int, incident: str, accept: str) -> Page:
    """The page of a block: JSON (RFC 9457) where the client asks for JSON, else HTML. Nothing of the request is on it."""
    generic = ("Error", "The request could not be served.") if status >= 500 else None
    title, detail = _WORDS.get(status) or generic or ("Request stopped", "This request was stopped by the site's firewall.")
    if "json" in accept and "text/html" not in accept:
        kind = "application/problem+json"
        text = json.dumps({"status": status, "title": title, "detail": detail, "incident": incident}) + "\n"
    else:
        kind = "text/html; charset=utf-8"
        text = (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title></head>\n'
            f"<body><h1>{html.escape(title)}</h1><p>{html.escape(detail)}</p><p>If you think that this is a mistake, tell "
            f"the site's owner this incident number:</p><p><code>{incident}</code></p></body></html>\n"
        )
    body = text.encode()
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    return Page(status, headers, body)


class Gate:
    """A filter as a middleware uses it. Made once, used by all requests."""

    def __init__(
        self,
        app: object,
        filter: Filter | None,
        settings: Settings | None,
        sink: type_of_sink | None,
        decoy: object,
        page: Callable[[int, str, str], Page] | None,
    ) -> None:
        _check(app, filter, settings, sink, decoy, page)
        self.settings = settings or Settings()
        self.filter = filter if filter is not None else self.settings.waf(sink=sink or LogSink())
        self.page = page or block_page
        self.tells_cut = True
        networks = [network for network in self.settings.trusted_proxies if network != "unix"]
        self.trusts_unix = len(networks) != len(self.settings.trusted_proxies)
        self.trusts: Callable[[str], bool] | None = None
        if networks:
            parsed = [ipaddress.ip_network(network) for network in networks]
            self.trusts = functools.lru_cache(4_096)(lambda address: _is_in(address, parsed))

    def client(self, peer: tuple[str, int] | None, forwarded: Callable[[], Iterable[str]]) -> tuple[str, int]:
        """The client's end: the peer, or behind trusted proxies who they say it is."""
        if peer is None:
            if not self.trusts_unix:
                return UNKNOWN
            peer = UNKNOWN
        else:
            # A name, as test clients give: nobody that a rule could know.
            address = _address(peer[0])
            peer = UNKNOWN if address is None else (address, peer[1])
            if self.trusts is None or not self.trusts(peer[0]):
                return peer
        said = [address.strip() for line in forwarded() for address in line.split(",")]
        last = peer
        for text in reversed(said):
            address = _address(text)
            if address is None:
                # What a trusted proxy did not understand either: it is the last that is known.
                return last
            last = (address, 0)
            if self.trusts is None or not self.trusts(address):
                return last
        return last

    def stops(self, inspection: Inspection, verdict: Verdict) -> bool:
        """Keeps the verdict; whether it is to be enforced."""
        inspection.verdict = verdict
        if not verdict.blocked:
            return False
        if self.settings.log_only:
            inspection.note("enforced", False)
            return False
        if inspection.incident is None:
            inspection.incident = uuid.uuid4().hex
        return True

    def cut(self, inspection: Inspection) -> None:
        """Tells that the application read more of the body after it began to answer: the request ended for the rules then."""
        inspection.note("request_body", "cut: the application answered before it had read all of it")
        if self.tells_cut:
            # Once, since such an application does it with each request.
            self.tells_cut = False
            logger.warning(
                "the application began to answer before it had read the whole request body; what it reads from then on is "
                "not inspected (told once; events of such requests have `request_body` in their `extra`)"
            )

    def answer(self, inspection: Inspection, accept: str) -> Page:
        """What the client gets instead. WSGI and ASGI cannot cut a connection: "drop" and "reject" answer with 403."""
        verdict, incident = inspection.verdict, inspection.incident or ""
        assert verdict is not None
        if verdict.action == "redirect" and verdict.location and _is_header(verdict.location):
            headers = [("Location", verdict.location), ("Content-Type", "text/plain"), ("Content-Length", "0")]
            page = Page(verdict.status or 302, headers, b"")
        else:
            page = self.page(verdict.status if verdict.action == "deny" and verdict.status else 403, incident, accept)
        inspection.status, inspection.bytes = page.status, len(page.body)
        return page

    def failed(self, accept: str) -> Page | None:
        """After an exception of the firewall itself: a page, or None where it may pass."""
        logger.exception("the firewall failed; the request is %s", "let pass" if self.opens else "refused")
        return None if self.opens else self.page(500, uuid.uuid4().hex, accept)

    @property
    def opens(self) -> bool:
        return self.settings.on_error == "open"


_OF_THE_MIDDLEWARE = ("trusted_proxies", "log_only", "on_error", "memory_bytes", "thread_bytes")


def _check(app: Any, filter: Any, settings: Any, sink: Any, decoy: Any, page: Any) -> None:
    """Raises `TypeError` for what would fail with each request, or be ignored."""
    if isinstance(filter, Settings):
        raise TypeError("`filter` is Settings; write `settings=...`")
    if filter is not None and not callable(getattr(filter, "begin", None)):
        raise TypeError(f"`filter` is {_kind(filter)}; give a Waf, Chain or Filter, such as `smesec.Waf(ruleset)`")
    if settings is not None and not isinstance(settings, Settings):
        raise TypeError(f"`settings` is {_kind(settings)}; write `settings=smesec.Settings(...)`")
    for name, value in (("app", app), ("sink", sink), ("decoy", decoy), ("page", page)):
        if not callable(value) and (value is not None or name == "app"):
            raise TypeError(f"`{name}` is {_kind(value)}; give something that can be called")
    if filter is None:
        return
    if sink is not None:
        raise TypeError("give `sink` to the filter itself")
    if settings is not None:
        ignored = [
            f"`{field.name}`"
            for field in dataclasses.fields(settings)
            if field.name not in _OF_THE_MIDDLEWARE and getattr(settings, field.name) != field.default
        ]
        if ignored:
            raise TypeError(
                f"beside a `filter`, {', '.join(ignored)} of `settings` would be ignored; make the filter with them, "
                "as `settings.waf()` does, and leave them out here"
            )


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _is_header(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _parsed(text: str) -> str | None:
    """The address of one entry of `X-Forwarded-For`, with or without a port."""
    text = text[:64]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address).partition("%")[0]


_address = functools.lru_cache(4_096)(_parsed)


def server_end(name: str, port: int | None) -> tuple[str, int]:
    """The server's end; a name or a socket file, which rules could not compare, counts as this host."""
    return (_address(name) or "127.0.0.1", port or 0)


def quoted(path: bytes) -> str:
    """A path that the server has decoded, written as a client would."""
    return urllib.parse.quote(path, safe="/!$&'()*+,;=:@~") or "/"


def _is_in(text: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    plain = _address(text)
    if plain is None:
        return False
    address = ipaddress.ip_address(plain)
    return any(address in network for network in networks)
