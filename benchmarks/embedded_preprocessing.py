"""Preprocessing inside the engine (``--embed-preprocessing``) against preprocessing outside, side by side.

A call goes from a decoded image in memory to logits, once from an image of the model's size, where only the
normalization is left to do, and once from 640x480 pixels, which are resized outside either way. Both engines of a row
answer alike: their largest difference of a logit, relative to the largest logit, is printed too.

``--resize`` measures instead how far OpenVINO's two resizing modes that are named after Pillow are from Pillow, in
steps of 8 bits: resizing could be embedded only where that is at most 1.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.timing import interleaved_ms, machine
from dmformer.bundle import Bundle
from dmformer.engine_input import from_images
from dmformer.pipeline.export import export_bundles, place
from dmformer.pipeline.options import ExportOptions
from dmformer.runtimes.base import Session, SessionOptions
from dmformer.runtimes.registry import open_bundle

TARGETS = ("onnxruntime", "openvino")
MODEL = "dmformer-tiny-fashion-mnist"
IMAGES_VERIFIED = 100
PHOTO = (480, 640)
SHAPES = ((40, 40, 32, 32), (57, 31, 32, 32), (20, 17, 32, 32), (480, 640, 224, 224), (1000, 30, 32, 32))
FILTERS = {"BILINEAR": Image.Resampling.BILINEAR, "BICUBIC": Image.Resampling.BICUBIC}

Pixels = NDArray[np.uint8]


def photo(height: int, width: int, smooth: bool = True) -> Pixels:
    """A picture of soft colours with all that a photograph's resizing meets; or noise, the worst case."""
    generator = np.random.default_rng(0)
    if not smooth:
        return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    coarse = Image.fromarray(generator.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def caller(bundle: Bundle, session: Session, image: Pixels) -> Callable[[], NDArray[Any]]:
    return lambda: session.run(from_images(bundle.manifest, [image]))[bundle.manifest.output.name]


def made(options: ExportOptions) -> list[Bundle]:
    """The bundles of an export: those that are there already, or new ones."""
    there = [place(MODEL, target, options) for target in options.targets]
    if all(path.is_dir() for path in there):
        return [Bundle.load(path) for path in there]
    return [outcome.bundle for outcome in export_bundles(None, options)]


def compare(side: int, precision: Any, folder: Path, threads: int, rounds: int) -> None:
    options = ExportOptions(
        targets=TARGETS,
        precision=precision,
        size=(side, side),
        max_images=IMAGES_VERIFIED,
        golden_images=8,
        output=folder / str(side),
    )
    outside, inside = made(options), made(replace(options, embed_preprocessing=True))
    for tensors, pixels in zip(outside, inside, strict=True):
        for name, image in (("its size", photo(side, side)), ("640x480", photo(*PHOTO))):
            with ExitStack() as opened:
                calls = {
                    label: caller(
                        bundle, opened.enter_context(open_bundle(bundle, SessionOptions(threads=threads))), image
                    )
                    for label, bundle in (("outside", tensors), ("inside", pixels))
                }
                one, other = (call() for call in calls.values())
                times = interleaved_ms(calls, rounds)
            error = float(np.abs(one - other).max() / np.abs(one).max())
            print(
                f"{tensors.manifest.target:>12} {precision} {side}x{side} from {name:>8}: outside "
                f"{times['outside']:.3f} ms, inside {times['inside']:.3f} ms, "
                f"{times['outside'] / times['inside']:.3f}x as fast; logits differ by {error:.1e}",
                flush=True,
            )


def resized(image: Pixels, height: int, width: int, mode: str, as_float: bool) -> NDArray[np.float32]:
    """An image through OpenVINO's preprocessing: resized in 8 bits, or in float32 after a conversion."""
    import openvino
    from openvino import opset13 as operations
    from openvino.preprocess import PrePostProcessor, ResizeAlgorithm

    given = operations.parameter([1, 3, height, width], np.float32)
    processor = PrePostProcessor(openvino.Model([operations.result(operations.relu(given))], [given]))
    taken = processor.input()
    taken.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    taken.tensor().set_shape([1, *image.shape])
    taken.model().set_layout(openvino.Layout("NCHW"))
    algorithm = getattr(ResizeAlgorithm, f"RESIZE_{mode}_PILLOW")
    if as_float:
        taken.preprocess().convert_element_type(openvino.Type.f32).resize(algorithm)
    else:
        taken.preprocess().resize(algorithm).convert_element_type(openvino.Type.f32)
    compiled = openvino.Core().compile_model(processor.build(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found: NDArray[np.float32] = compiled(image[np.newaxis])[0][0]
    return found


def compare_resizing() -> None:
    for mode, as_float in itertools.product(FILTERS, (False, True)):
        worst, unequal = 0.0, list[float]()
        for (h, w, height, width), smooth in itertools.product(SHAPES, (True, False)):
            image = photo(h, w, smooth)
            expected = np.asarray(Image.fromarray(image).resize((width, height), FILTERS[mode])).transpose(2, 0, 1)
            difference = np.abs(resized(image, height, width, mode, as_float) - expected)
            worst = max(worst, float(difference.max()))
            unequal.append(float((difference > 0.5).mean()))
        kind = "float32" if as_float else "uint8"
        print(
            f"OpenVINO {mode}_PILLOW in {kind:>7}: differs from Pillow by at most {worst:.2f} steps; "
            f"{np.mean(unequal):.1%} of the pixels round otherwise"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resize", action="store_true", help="measure OpenVINO's resizing modes instead")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--bundles", type=Path, help="a folder to keep the bundles in, or to find them in")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 224])
    options = parser.parse_args()
    print(machine())
    if options.resize:
        compare_resizing()
        return
    with tempfile.TemporaryDirectory() as folder:
        for side, precision in itertools.product(options.sizes, ("fp32", "int8")):
            compare(side, precision, options.bundles or Path(folder), options.threads, options.rounds)


if __name__ == "__main__":
    main()
