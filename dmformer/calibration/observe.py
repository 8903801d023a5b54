"""Running the float graph over images with its inner values as extra outputs, one small batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmformer import telemetry
from dmformer.errors import DataError, EngineError
from dmformer.host import threads_per_stream

if TYPE_CHECKING:
    import onnx

Batches = Callable[[], Iterable[NDArray[np.float32]]]
"""Gives a fresh pass over the calibration images: float32 arrays ``[n, C, H, W]`` of any n."""

PIXELS = 224 * 224
MOST_IMAGES = 32


def open_session(model: onnx.ModelProto) -> Any:
    """An ONNX Runtime session on the CPU, in which what is quantized is rounded but computed in float.

    The integers may be another CPU's: on one without their instructions the kernels would saturate.

    Raises:
        EngineError: ONNX Runtime refuses the graph.
    """
    onnxruntime = telemetry.onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads_per_stream(0)
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = True
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        first = " ".join(str(error).split())[:300]
        raise EngineError(f"ONNX Runtime cannot load the graph ({first})", "export it again") from error


def with_outputs(model: onnx.ModelProto, values: Collection[str]) -> onnx.ModelProto:
    """A copy of the graph that returns exactly the given inner values, in the given order."""
    import onnx

    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    del tapped.graph.output[:]
    tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in values)
    return tapped


def rebatched(batches: Iterable[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """The same images in batches of exactly ``size``, smaller only where the images' shape changes, and at the end."""
    rest: list[NDArray[np.float32]] = []
    for batch in batches:
        if rest and rest[0].shape[1:] != batch.shape[1:]:
            yield np.concatenate(rest)
            rest = []
        rest.append(batch)
        while (have := sum(map(len, rest))) >= size:
            joined = np.concatenate(rest) if len(rest) > 1 else rest[0]
            yield joined[:size]
            rest = [joined[size:]] if have > size else []
    if rest and len(rest[0]):
        yield np.concatenate(rest)


def batch_size(model: onnx.ModelProto) -> int:
    """How many images to run at once: what the graph fixes, otherwise few enough to bound the memory."""
    shape = model.graph.input[0].type.tensor_type.shape.dim
    if shape[0].dim_value:
        return int(shape[0].dim_value)
    pixels = shape[2].dim_value * shape[3].dim_value or PIXELS  # of an open size nothing is known
    return int(np.clip(PIXELS // pixels, 1, MOST_IMAGES))


def padded_batches(
    model: onnx.ModelProto, batches: Iterable[NDArray[np.float32]]
) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Batches as the graph takes them, each with the number of images in it that count.

    A graph of a fixed batch gets its last, smaller batch filled up with repetitions.
    """
    size = batch_size(model)
    shape = model.graph.input[0].type.tensor_type.shape.dim
    fixed = bool(shape and shape[0].dim_value)
    for batch in rebatched(batches, size):
        count = len(batch)
        full = np.resize(batch, (size, *batch.shape[1:])) if fixed and count < size else batch
        yield np.ascontiguousarray(full, np.float32), count


def run_over(
    model: onnx.ModelProto, values: Collection[str], batches: Batches
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Streams the given values of a graph over all images.

    Args:
        model: Any graph with one input.
        values: Names of the values wanted; the input's own name is allowed.
        batches: The images.

    Yields:
        Each batch's values by name, ``[n, ...]``.

    Raises:
        DataError: There is no image, or the images do not fit the graph.
        EngineError: ONNX Runtime failed.
    """
    source = model.graph.input[0].name
    inner = [name for name in dict.fromkeys(values) if name != source]
    session = open_session(with_outputs(model, inner))
    seen = 0
    for batch, count in padded_batches(model, batches()):
        check_shape(model, batch)
        outputs = session.run(inner, {source: batch}) if inner else []
        arrays = dict(zip(inner, outputs, strict=True)) | {source: batch}
        seen += count
        yield {name: arrays[name][:count] for name in values}
    if not seen:
        raise DataError("there is no image to calibrate with", "give a folder, .npz or IDX file with images")


def alive(
    model: onnx.ModelProto, values: Collection[str], chunks: Iterable[Mapping[str, NDArray[Any]]]
) -> Iterator[dict[str, NDArray[Any]]]:
    """Batches of a part's inputs, by name, each with the given values of the part besides."""
    inputs = [value.name for value in model.graph.input]
    names = [name for name in dict.fromkeys(values) if name not in inputs]
    session = open_session(with_outputs(model, names)) if names else None
    for chunk in chunks:
        arrays = session.run(names, {name: chunk[name] for name in inputs}) if session else []
        yield {**chunk, **dict(zip(names, arrays, strict=True))}


def check_shape(model: onnx.ModelProto, batch: NDArray[np.float32]) -> None:
    """Raises `DataError` where a batch does not fit the graph's input."""
    wanted = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    if batch.ndim != len(wanted) or any(w and w != s for w, s in zip(wanted, batch.shape, strict=True)):
        shown = [size or "batch" for size in wanted]
        raise DataError(
            f"images of shape {list(batch.shape)} do not fit the model's input {shown}", "check the preprocessing"
        )
