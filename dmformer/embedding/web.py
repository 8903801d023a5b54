"""A static page: onnxruntime-web runs the engine by WebAssembly, in the browser and without any server's help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dmformer.bundle import Bundle
from dmformer.embedding.answers import reading
from dmformer.embedding.escape import javascript, url
from dmformer.embedding.languages import Content, Step, engine_file, sources
from dmformer.preprocessing import Preprocessing

RESOURCES = "site"
"""The folder that is served."""


class Web:
    """A `dmformer.embedding.languages.Language`."""

    name = "web"
    title = "the browser"
    targets = ("onnxruntime",)
    inputs = ("float32", "uint8")
    decides = False
    resources = RESOURCES

    def files(self, bundle: Bundle, name: str) -> Mapping[str, Content]:
        return {**sources("web", bundle), f"{RESOURCES}/parameters.js": parameters(bundle, name).encode()}

    def steps(self, bundle: Bundle) -> tuple[Step, ...]:
        return (
            Step("npm install", "fetches onnxruntime-web and copies it into site/runtime; offline from here on"),
            Step("python3 -m http.server --directory site 8000", "or any other server of static files"),
            Step("chromium http://localhost:8000/self-test.html", "compares with PyTorch; the page itself is /"),
        )

    def notes(self, bundle: Bundle, name: str) -> str:
        return """The folder `site` is all that is served, and static: it has no server code, and the page loads nothing
from elsewhere (its Content-Security-Policy forbids it), so that it works without a network. Opened from `file://` it
does not run: browsers load modules and WebAssembly from servers only. Images stay in the browser.

What `app.js` imports, but for `page.js`, is what an application takes over; `parameters.js` is generated and all that
differs from bundle to bundle. One thread is used, unless the server sends `Cross-Origin-Opener-Policy: same-origin` and
`Cross-Origin-Embedder-Policy: require-corp`, without which browsers give no shared memory.

PNG is decoded by `png.js`, JPEG by the browser. Browsers from 2023 on have what is needed: WebAssembly with SIMD,
`DecompressionStream`, `OffscreenCanvas`.

Loaded once by HTTPS or from localhost, the page also opens without a network: a service worker keeps its files by the
hashes in `files.js`. After a change to a file, `npm run list` writes them anew."""


def parameters(bundle: Bundle, title: str) -> str:
    """The module ``parameters.js``: constants alone, written as JSON in ASCII, so that nothing becomes code."""
    manifest = bundle.manifest
    read = reading(manifest)
    values: dict[str, Any] = {
        "TITLE": title,
        "NAME": manifest.name,
        "PRECISION": manifest.precision.requested.upper(),
        "ENGINE_FILE": url(f"engine/{engine_file(bundle)}"),
        "INPUT": manifest.input.name,
        "INPUT_SHAPE": manifest.usual_input[1:],
        "OUTPUT": read.spec.name,
        "BATCH": manifest.input.shape[0] or 0,
        "PREPROCESSING": preprocessing_values(manifest.preprocessing, manifest.input.dtype),
        "LABELS": read.legend.names,
    }
    if read.legend.palette is not None:
        values["PALETTE"] = read.legend.palette
    head = "// Made by `dmformer embed` from the bundle's manifest: all that differs from bundle to bundle.\n"
    return head + "".join(f"export const {name} = {javascript(value)};\n" for name, value in values.items())


def preprocessing_values(spec: Preprocessing, dtype: str) -> dict[str, Any]:
    """The constant ``PREPROCESSING``, as ``preprocessing.js`` reads it.

    Args:
        spec: What happens to an image.
        dtype: What the engine takes: ``float32``, or ``uint8`` where it normalizes pixels itself.
    """
    return {
        "dtype": dtype,
        "height": spec.size[0],
        "width": spec.size[1],
        "resize": spec.resize,
        "shorterSide": spec.shorter_side,
        "filter": spec.interpolation,
        "order": spec.channel_order,
        "mean": spec.mean,
        "std": spec.std,
        "fill": spec.fill,
    }
