"""The web project in headless Chromium against Python: the engine's latency side by side, in FP32 and INT8.

Both run ONNX Runtime; the browser's is WebAssembly with 128-bit SIMD, Python's uses all that the processor has. They
take turns, a second each, so that a change of the machine's speed meets both. Needs npm and Chromium.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.timing import interleaved_ms, machine
from dmformer.bundle import Bundle
from dmformer.embedding.project import embed
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.precision import Precision
from dmformer.runtimes.base import Session, SessionOptions
from dmformer.runtimes.registry import open_bundle
from tests.embedding.browser import Browser, Page, browser, served

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
"""Without these a page may have one thread only."""
OPEN = """
(async () => {
  const begin = performance.now();
  const { Engine } = await import("./engine.js");
  const { INPUT_SHAPE } = await import("./parameters.js");
  globalThis.engine = await Engine.open({ threads: THREADS });
  globalThis.image = [new Float32Array(INPUT_SHAPE.reduce((product, side) => product * side, 1)).fill(0.5)];
  return performance.now() - begin;
})()
"""
MEASURE = """
(async () => {
  const times = [];
  const end = performance.now() + MILLISECONDS;
  while (performance.now() < end || times.length < 3) {
    const begin = performance.now();
    await engine.run(image);
    times.push(performance.now() - begin);
  }
  return times.sort((one, other) => one - other)[times.length >> 1];
})()
"""


@dataclass(frozen=True)
class Settings:
    rounds: int
    seconds: float


def prepare(precision: Precision, folder: Path) -> tuple[Bundle, Path]:
    """A bundle of the embedded checkpoint, and the folder of its project that is served."""
    options = ExportOptions(precision=precision, max_images=200, output=folder / "engines")
    bundle = export_bundles(None, options)[0].bundle
    project = embed(bundle, "web", folder / f"web-{precision}").path
    subprocess.run(["npm", "install", "--silent"], cwd=project, check=True)
    return bundle, project / "site"


def compare(page: Page, session: Session, batch: np.ndarray, settings: Settings) -> tuple[float, float, float]:
    """Milliseconds of the browser and of Python, and the median of their ratios."""
    measure = MEASURE.replace("MILLISECONDS", str(1000 * settings.seconds))
    pairs = []
    for _ in range(settings.rounds):
        ours = float(page.evaluate(measure))
        theirs = interleaved_ms({"python": lambda: session.run(batch)}, rounds=1, slice_s=settings.seconds)["python"]
        pairs.append((ours, theirs))
    return (
        statistics.median(ours for ours, _ in pairs),
        statistics.median(theirs for _, theirs in pairs),
        statistics.median(ours / theirs for ours, theirs in pairs),
    )


def measure(chromium: Browser, bundle: Bundle, site: Path, threads: int, settings: Settings) -> float:
    """Prints one line; the browser's milliseconds."""
    batch = np.full((1, *bundle.manifest.preprocessing.shape), 0.5, np.float32)
    with (
        served(site, ISOLATED) as address,
        chromium.page(f"{address}style.css") as page,
        open_bundle(bundle, SessionOptions(threads=threads)) as session,
    ):
        loading = page.evaluate(OPEN.replace("THREADS", str(threads)))
        ours, theirs, ratio = compare(page, session, batch, settings)
    print(
        f"{bundle.manifest.precision.requested:5} {threads} threads: browser {ours:6.2f} ms, Python {theirs:6.3f} ms, "
        f"ratio {ratio:5.2f} (median of {settings.rounds} pairs); opened and warm after {loading:.0f} ms"
    )
    return ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    options = parser.parse_args()
    settings = Settings(options.rounds, options.seconds)
    print(machine())
    with tempfile.TemporaryDirectory() as place, browser() as chromium:
        made = [prepare(precision, Path(place)) for precision in PRECISIONS]
        for threads in (1, 2):
            fp32, int8 = (measure(chromium, bundle, site, threads, settings) for bundle, site in made)
            print(f"      {threads} threads: INT8 is {fp32 / int8:.2f} times as fast as FP32 in the browser")


if __name__ == "__main__":
    main()
