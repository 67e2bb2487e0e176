"""A Starlette application behind an address list of its own and the firewall: `uvicorn starlette_app:app`."""

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

import smesec
import smesec.asgi


class Closed(smesec.FilterTransaction):
    """Refuses the folder of the administrators; a filter written in Python."""

    def begin(self, connection: smesec.Connection) -> "Closed":
        return Closed()

    def request_head(self, head: smesec.RequestHead) -> smesec.Verdict | None:
        if head.target.startswith(b"/admin"):
            return smesec.Verdict("deny", 404, findings=[smesec.finding("closed", "somebody looks for /admin")])
        return None


async def index(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"hello {request.query_params.get('name', 'you')}")


async def numbers(request: Request) -> StreamingResponse:
    async def stream() -> AsyncIterator[bytes]:
        for n in range(5):
            yield b"%d\n" % n

    return StreamingResponse(stream(), media_type="text/event-stream")


async def size(request: Request) -> PlainTextResponse:
    count = 0
    async for piece in request.stream():
        count += len(piece)
    return PlainTextResponse(str(count))


chain = smesec.Chain(Closed(), smesec.Settings().waf(), sink=smesec.LogSink())
app = Starlette(
    routes=[Route("/", index), Route("/numbers", numbers), Route("/size", size, methods=["POST"])],
    middleware=[Middleware(smesec.asgi.Middleware, filter=chain)],
)
