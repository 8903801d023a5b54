"""examples/python/service.py as a process of its own, asked over HTTP."""

from __future__ import annotations

import asyncio
import re
import runpy
import signal
import socket
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


def large_png(side: int = 10_000) -> bytes:
    file = BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
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
        (413, "3000x3000 pixels", {"content": large_png(3000), "headers": JPEG}),
        (413, "larger than 200000 bytes", {"content": b"\0" * (MAX_BYTES + 1), "headers": JPEG}),
        (413, "larger than 200000 bytes", {"content": in_pieces(30), "headers": JPEG}),
        (413, "larger than 200000 bytes", {"files": {"image": ("big", b"\0" * MAX_BYTES, "image/jpeg")}}),
    ],
    ids=[
        "wrong type", "no type", "wrong type in a form", "no such field", "no form", "broken file", "no image",
        "nothing", "100 megapixels", "9 megapixels", "too many bytes", "too many bytes in pieces",
        "too many bytes in a form",
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


def peak_memory(process: subprocess.Popen[str]) -> int:
    """The most bytes that a process ever held."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) << 10


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="its memory is read from /proc")
@pytest.mark.parametrize("form", [False, True], ids=["body", "form"])
def test_many_large_pictures_cost_the_memory_of_as_many_as_there_are_sessions(exported: Exported, form: bool) -> None:
    process, url = started(exported("onnxruntime"), "--sessions", "1")
    try:
        image, side = large_png(2800), 2800
        what: dict[str, Any] = {"files": {"image": ("x", image, "image/png")}} if form else {"content": image}
        headers = {} if form else {"Content-Type": "image/png"}

        async def ask(count: int) -> list[int]:
            async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
                asked = (client.post("/classify", headers=headers, **what) for _ in range(count))
                return [response.status_code for response in await asyncio.gather(*asked)]

        assert asyncio.run(ask(1)) == [200]
        one = peak_memory(process)
        assert asyncio.run(ask(12)) == [200] * 12
        assert peak_memory(process) - one < 8 * side * side, "less than decoding one more picture"
    finally:
        stopped(process)


def connection(url: str, sent: bytes = b"") -> socket.socket:
    address = httpx.URL(url)
    client = socket.create_connection((address.host, address.port or 0), timeout=PATIENCE)
    client.sendall(sent)
    return client


BEGUN = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 1000\r\n\r\nxxx"


def test_clients_that_leave_or_drip_cost_nothing_and_write_no_traceback(exported: Exported) -> None:
    process, url = started(exported("onnxruntime"), "--body-timeout", "0.5")
    try:
        for _ in range(5):
            connection(url, BEGUN).close()
        with connection(url, BEGUN) as slow:
            answer = slow.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408"), answer
        assert httpx.post(f"{url}/classify", content=encoded(), headers=JPEG).status_code == 200
    finally:
        said = stopped(process)
    assert "Traceback" not in said, said


def test_more_connections_than_allowed_are_told_so(exported: Exported) -> None:
    process, url = started(exported("onnxruntime"), "--max-connections", "4")
    try:
        held = [connection(url) for _ in range(4)]
        assert httpx.post(f"{url}/classify", content=encoded(), headers=JPEG).status_code == 503
        for client in held:
            client.close()
    finally:
        stopped(process)


def test_bodies_that_wait_are_bounded_together() -> None:
    limit = runpy.run_path(str(SERVICE))["BodyLimit"]

    async def reading(_: Any, receive: Any, __: Any) -> None:
        while (await receive()).get("more_body"):
            await asyncio.sleep(0)

    def request() -> Any:
        pieces = iter([{"type": "http.request", "body": b"x" * 50, "more_body": more} for more in (True, True, False)])

        async def receive() -> Any:
            await asyncio.sleep(0)
            return next(pieces)

        return receive

    async def ask(bounded: Any, count: int) -> list[Any]:
        scope = {"type": "http", "headers": []}
        asked = (bounded(scope, request(), None) for _ in range(count))
        return [getattr(found, "status_code", 200) for found in await asyncio.gather(*asked, return_exceptions=True)]

    bounded = limit(reading, max_bytes=200, max_seconds=PATIENCE, max_held=300)
    assert 503 in asyncio.run(ask(bounded, 5))
    assert asyncio.run(ask(bounded, 2)) == [200, 200], "what was held is given back"
