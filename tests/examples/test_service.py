"""examples/python/service.py as a process of its own, asked over HTTP."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from dmformer import Classifier
from tests.support import PATIENCE, ROOT, random_images

Exported = Callable[..., Path]
SERVICE = ROOT / "examples" / "python" / "service.py"
MAX_BYTES = 200_000
JPEG = {"Content-Type": "image/jpeg"}


@dataclass(frozen=True)
class Service:
    url: str
    bundle: Path

    def post(self, path: str = "/classify", **what: Any) -> httpx.Response:
        return httpx.post(self.url + path, timeout=PATIENCE, **what)


def started(bundle: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """The process and the address that it says it listens on."""
    command = [sys.executable, str(SERVICE), str(bundle), "--port", "0", "--max-bytes", str(MAX_BYTES), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        found = re.search(r"running on (http://127\.0\.0\.1:\d+)", line)
        if found:
            return process, found[1]
    raise AssertionError(f"the service did not start: {said}")


def stopped(process: subprocess.Popen[str]) -> str:
    """Ends a service as its user does; what it said meanwhile."""
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    return said


@pytest.fixture(scope="module")
def service(exported: Exported) -> Iterator[Service]:
    bundle = exported("onnxruntime")
    process, url = started(bundle)
    yield Service(url, bundle)
    said = stopped(process)
    assert "Traceback" not in said, said


def encoded(kind: str = "JPEG", side: int = 40, seed: int = 0) -> bytes:
    file = BytesIO()
    Image.fromarray(random_images(1, side, seed)[0]).save(file, kind)
    return file.getvalue()


def expected(bundle: Path, images: list[bytes]) -> list[list[dict[str, Any]]]:
    with Classifier(bundle) as classifier:
        return [[vars(guess) for guess in best] for best in classifier.predict(images)]


def test_health(service: Service) -> None:
    found = httpx.get(f"{service.url}/health")
    assert found.json() == {"status": "ok", "model": "mini", "target": "onnxruntime", "classes": 10}


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_good_image_is_classified_from_the_body_and_from_a_form(service: Service, kind: str) -> None:
    image, media = encoded(kind), f"image/{kind.lower()}"
    (best,) = expected(service.bundle, [image])
    body = service.post(content=image, headers={"Content-Type": media})
    form = service.post(files={"image": ("photo", image, media)})
    assert (body.status_code, form.status_code) == (200, 200), body.text + form.text
    assert body.json() == form.json() == {"classes": best}
    three = service.post("/classify?top_k=3", content=image, headers={"Content-Type": media})
    assert three.json()["classes"] == best[:3]


def no_image_field() -> dict[str, Any]:
    return {"files": {"picture": ("photo", encoded(), "image/jpeg")}}


def large_png() -> bytes:
    file = BytesIO()
    Image.new("1", (10_000, 10_000)).save(file, "PNG")
    return file.getvalue()


def in_pieces(count: int) -> Iterator[bytes]:
    yield from (b"\0" * 10_000 for _ in range(count))


@pytest.mark.parametrize(
    ("status", "words", "request_"),
    [
        (415, "text/plain: give one of", {"content": b"hello", "headers": {"Content-Type": "text/plain"}}),
        (415, "no Content-Type", {"content": encoded()}),
        (415, "text/html", {"files": {"image": ("photo.html", b"<p>", "text/html")}}),
        (400, "named 'image'", no_image_field()),
        (400, "", {"content": b"no form", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}),
        (400, "cannot be decoded", {"content": encoded()[:-200], "headers": JPEG}),
        (400, "not an image", {"content": b"hello", "headers": JPEG}),
        (400, "not an image", {"content": b"", "headers": JPEG}),
        (413, "10000x10000 pixels", {"content": large_png(), "headers": JPEG}),
        (413, "larger than 200000 bytes", {"content": b"\0" * (MAX_BYTES + 1), "headers": JPEG}),
        (413, "larger than 200000 bytes", {"content": in_pieces(30), "headers": JPEG}),
        (413, "larger than 200000 bytes", {"files": {"image": ("big", b"\0" * MAX_BYTES, "image/jpeg")}}),
    ],
    ids=[
        "wrong type", "no type", "wrong type in a form", "no such field", "no form", "broken file", "no image",
        "nothing", "100 megapixels", "too many bytes", "too many bytes in pieces", "too many bytes in a form",
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_and_the_service_lives_on(
    service: Service, status: int, words: str, request_: dict[str, Any]
) -> None:
    found = service.post(**request_)
    assert found.status_code == status, found.text
    assert words in found.json()["detail"]
    assert service.post(content=encoded(), headers=JPEG).status_code == 200


def test_top_k_below_one_is_refused(service: Service) -> None:
    assert service.post("/classify?top_k=0", content=encoded(), headers=JPEG).status_code == 400
    assert service.post("/classify?top_k=many", content=encoded(), headers=JPEG).status_code == 422


def test_200_requests_at_once_all_get_their_own_right_answer(service: Service) -> None:
    images = [encoded(side=32 + seed % 9, seed=seed) for seed in range(20)]
    right = expected(service.bundle, images)

    async def ask() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=service.url, timeout=PATIENCE, limits=limits) as client:
            return await asyncio.gather(
                *(client.post("/classify", content=images[index % 20], headers=JPEG) for index in range(200))
            )

    found = asyncio.run(ask())
    assert [response.status_code for response in found] == [200] * 200
    for index, response in enumerate(found):
        assert response.json()["classes"] == right[index % 20]


def test_a_service_without_a_free_session_says_503(exported: Exported) -> None:
    process, url = started(exported("onnxruntime", dynamic=True), "--sessions", "1", "--timeout", "0")
    try:
        image = encoded(side=200)

        async def ask() -> list[int]:
            async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
                asked = (client.post("/classify", content=image, headers=JPEG) for _ in range(64))
                return [response.status_code for response in await asyncio.gather(*asked)]

        statuses: set[int] = set()
        for _ in range(20):
            statuses |= set(asyncio.run(ask()))
            if 503 in statuses:
                break
        assert statuses == {200, 503}
    finally:
        stopped(process)
