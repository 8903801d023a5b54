"""An HTTP service around a bundle.

    pip install fastapi uvicorn python-multipart
    python examples/python/service.py BUNDLE --port 8000 --sessions 2
    curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/classify
    curl -F 'image=@photo.jpg;type=image/jpeg' http://127.0.0.1:8000/classify

Answers 413 for bodies and pictures that are too large, 415 for other types, 400 for files that are no image, 408 for
bodies that drip, and 503 where no session became free in time or too many requests wait.

However many ask at once, only as many pictures as there are sessions are decoded and run at a time: a file of a few
kilobytes may be a picture of many megabytes. Headers that drip are a proxy's to refuse; here they only count among the
connections.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

from dmformer import Classifier
from dmformer.errors import BusyError, DataError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TYPES = {"image/jpeg", "image/png", "image/bmp", "image/webp", "image/tiff", "image/gif", "application/octet-stream"}
FORM = "multipart/form-data"
"""A form with the file in its field ``image``."""
CLOSE = {"Connection": "close"}
"""Where the rest of a body is not read, its connection cannot be used again."""
RETRY = {"Retry-After": "1"}
MAX_BYTES = 10 << 20
MAX_HELD = 256 << 20
"""Bytes of all bodies that are held at the same time."""
MAX_PIXELS = 8_000_000
MAX_CONNECTIONS = 256
BODY_S = 30.0
LEFT = 499
"""The status, in the log alone, of a client that left before it was answered."""


class BodyLimit:
    """Ends a request whose body is larger than allowed, by what it declares and by what really comes, or slower."""

    def __init__(self, app: ASGIApp, max_bytes: int, max_seconds: float, max_held: int = MAX_HELD) -> None:
        self._app, self._max_bytes, self._max_seconds = app, max_bytes, max_seconds
        self._held, self._max_held = 0, max_held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = int(dict(scope["headers"]).get(b"content-length", b"0"))
        if declared > self._max_bytes:
            return await JSONResponse({"detail": self._too_large()}, 413, CLOSE)(scope, receive, send)
        deadline = time.monotonic() + self._max_seconds
        received, complete = 0, False

        async def counted() -> Message:
            nonlocal received, complete
            message = await (receive() if complete else self._in_time(receive, deadline))
            complete = not message.get("more_body", False)
            received += len(message.get("body", b""))
            self._held += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(413, self._too_large(), CLOSE)
            if self._held > self._max_held:
                raise HTTPException(503, "too many bodies at the same time", CLOSE | RETRY)
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._held -= received

    async def _in_time(self, receive: Receive, deadline: float) -> Message:
        try:
            return await asyncio.wait_for(receive(), max(0.001, deadline - time.monotonic()))
        except asyncio.TimeoutError:
            raise HTTPException(408, f"the body took more than {self._max_seconds:g} s", CLOSE) from None

    def _too_large(self) -> str:
        return f"the body is larger than {self._max_bytes} bytes"


class Turns:
    """So many pictures at a time; who comes later waits, though not for ever."""

    def __init__(self, count: int, timeout: float) -> None:
        self._free, self._count, self._timeout = asyncio.Semaphore(count), count, timeout

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        if not self._free.locked():
            await self._free.acquire()
        else:
            try:
                await asyncio.wait_for(self._free.acquire(), self._timeout)
            except asyncio.TimeoutError:
                raise BusyError(f"all {self._count} sessions were in use for {self._timeout:g} s") from None
        try:
            yield
        finally:
            self._free.release()


async def image_in(request: Request) -> bytes:
    """The bytes of the image that a request carries, as its body or in a form."""
    kind = media_type(request.headers.get("content-type"))
    if kind != FORM:
        check_type(kind)
        return await request.body()
    async with request.form(max_files=1, max_fields=0) as form:
        file = form.get("image")
        if not isinstance(file, UploadFile):
            raise HTTPException(400, "the form has no file in a field named 'image'")
        check_type(media_type(file.content_type))
        return await file.read()


def media_type(header: str | None) -> str:
    return (header or "").partition(";")[0].strip().lower()


def check_type(kind: str) -> None:
    if kind not in TYPES:
        raise HTTPException(415, f"{kind or 'no Content-Type'}: give one of {', '.join(sorted(TYPES))} or {FORM}")


def make_app(classifier: Classifier, turns: Turns, max_bytes: int = MAX_BYTES, body_s: float = BODY_S) -> FastAPI:
    """The application. It closes the classifier when the server ends."""

    @asynccontextmanager
    async def closing(_: FastAPI) -> AsyncIterator[None]:
        with classifier:
            yield

    app = FastAPI(title="dmformer", lifespan=closing)
    app.add_middleware(BodyLimit, max_bytes=max_bytes, max_seconds=body_s)
    manifest = classifier.bundle.manifest

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "model": manifest.name, "target": manifest.target, "classes": classifier.classes}

    @app.post("/classify")
    async def classify(request: Request, top_k: int = 5) -> dict[str, Any]:
        if top_k < 1:
            raise HTTPException(400, "top_k must be 1 or more")
        image = await image_in(request)
        # Decoding and inference block: a thread does them, so that other requests are taken meanwhile.
        async with turns.one():
            best = (await run_in_threadpool(classifier.predict, image, top_k))[0]
        return {"classes": [vars(guess) for guess in best]}

    @app.exception_handler(DataError)
    async def no_image(_: Request, error: DataError) -> JSONResponse:
        return JSONResponse(
            {"detail": error.message, "hint": error.hint}, 413 if isinstance(error, TooLargeError) else 400
        )

    @app.exception_handler(BusyError)
    async def busy(_: Request, error: BusyError) -> JSONResponse:
        return JSONResponse({"detail": error.message, "hint": error.hint}, 503, RETRY)

    @app.exception_handler(ClientDisconnect)
    async def left(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=LEFT)

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--sessions", type=int, default=2, help="pictures that are decoded and run at a time")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds that a request waits for a session")
    parser.add_argument("--max-bytes", type=int, default=MAX_BYTES, help="of a body")
    parser.add_argument("--max-pixels", type=int, default=MAX_PIXELS, help="of a picture; each costs about 13 bytes")
    parser.add_argument("--max-connections", type=int, default=MAX_CONNECTIONS)
    parser.add_argument("--body-timeout", type=float, default=BODY_S, help="seconds that a body may take to arrive")
    asked = parser.parse_args()
    classifier = Classifier(
        asked.bundle, sessions=asked.sessions, timeout=asked.timeout, max_pixels=asked.max_pixels
    )  # fmt: skip
    app = make_app(classifier, Turns(asked.sessions, asked.timeout), asked.max_bytes, asked.body_timeout)
    uvicorn.run(app, host=asked.host, port=asked.port, limit_concurrency=asked.max_connections)


if __name__ == "__main__":
    main()
