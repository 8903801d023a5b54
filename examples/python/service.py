"""An HTTP service around a bundle.

    pip install fastapi uvicorn python-multipart
    python examples/python/service.py BUNDLE --port 8000 --sessions 2
    curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/classify
    curl -F 'image=@photo.jpg;type=image/jpeg' http://127.0.0.1:8000/classify

Answers 413 for bodies and pictures that are too large, 415 for other types, 400 for files that are no image, and 503
where no session became free in time.
"""

from __future__ import annotations

import argparse
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile

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
MAX_BYTES = 10 << 20
MAX_PIXELS = 40_000_000


class BodyLimit:
    """Ends a request whose body is larger than allowed: by what it declares, and by what really comes."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        detail = f"the body is larger than {self._max_bytes} bytes"
        declared = int(dict(scope["headers"]).get(b"content-length", b"0"))
        if declared > self._max_bytes:
            return await JSONResponse({"detail": detail}, 413, CLOSE)(scope, receive, send)
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(413, detail, CLOSE)
            return message

        return await self._app(scope, counted, send)


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


def make_app(classifier: Classifier, max_bytes: int = MAX_BYTES) -> FastAPI:
    """The application. It closes the classifier when the server ends."""

    @asynccontextmanager
    async def closing(_: FastAPI) -> AsyncIterator[None]:
        with classifier:
            yield

    app = FastAPI(title="dmformer", lifespan=closing)
    app.add_middleware(BodyLimit, max_bytes=max_bytes)
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
        best = (await run_in_threadpool(classifier.predict, image, top_k))[0]
        return {"classes": [vars(guess) for guess in best]}

    @app.exception_handler(DataError)
    async def no_image(_: Request, error: DataError) -> JSONResponse:
        return JSONResponse(
            {"detail": error.message, "hint": error.hint}, 413 if isinstance(error, TooLargeError) else 400
        )

    @app.exception_handler(BusyError)
    async def busy(_: Request, error: BusyError) -> JSONResponse:
        return JSONResponse({"detail": error.message, "hint": error.hint}, 503, {"Retry-After": "1"})

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--sessions", type=int, default=2, help="inferences at the same time")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds that a request waits for a session")
    parser.add_argument("--max-bytes", type=int, default=MAX_BYTES)
    asked = parser.parse_args()
    classifier = Classifier(asked.bundle, sessions=asked.sessions, timeout=asked.timeout, max_pixels=MAX_PIXELS)
    uvicorn.run(make_app(classifier, asked.max_bytes), host=asked.host, port=asked.port)


if __name__ == "__main__":
    main()
