"""A FastAPI application behind the firewall: `uvicorn fastapi_app:app`."""

from fastapi import FastAPI, Request, UploadFile, WebSocket
from pydantic import BaseModel

import smesec
import smesec.asgi

app = FastAPI()
app.add_middleware(smesec.asgi.Middleware, settings=smesec.Settings())


class Note(BaseModel):
    text: str


@app.get("/")
async def index(request: Request, name: str = "you") -> dict[str, str]:
    return {"hello": name, "verdict": request.state.smesec.verdict.action}


@app.post("/note")
async def note(note: Note) -> dict[str, int]:
    return {"characters": len(note.text)}


@app.post("/upload")
async def upload(file: UploadFile) -> dict[str, int]:
    return {"bytes": len(await file.read())}


@app.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()
