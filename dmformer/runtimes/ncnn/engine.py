"""ncnn's two files, read and checked, and opened in the library: it sees nothing that was not understood here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.errors import EngineError
from dmformer.graph.ncnn.layers import Shape, shapes_of
from dmformer.graph.ncnn.network import Layer, NetworkError, from_text, to_text
from dmformer.graph.ncnn.weights import Array, from_bytes
from dmformer.reading import read_bounded
from dmformer.runtimes.interface import InterfaceError, Tensor, check_interface

ENGINE_FILE, WEIGHTS_FILE = "model.param", "model.bin"
MAX_TEXT_BYTES, MAX_WEIGHT_BYTES = 1 << 24, 1 << 31
HALF = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic")
"""What ncnn stores and computes in half precision where the CPU can, unless it is told not to."""
AGAIN = "export it again"


@dataclass(frozen=True)
class Files:
    """A network as its files describe it.

    Attributes:
        layers: In the order of the computation.
        shapes: Of each blob, without a batch.
        weights: Each layer's arrays, as they are stored.
        content: The ``.bin`` file.
    """

    layers: tuple[Layer, ...]
    shapes: Mapping[str, Shape]
    weights: Mapping[str, Sequence[Array]]
    content: bytes


def files_of(param: str, content: bytes) -> Files:
    """Reads a network.

    Raises:
        NetworkError: One of the files is damaged, or they do not belong together.
    """
    layers = from_text(param)
    shapes = shapes_of(layers)
    return Files(layers, shapes, from_bytes(layers, shapes, content), content)


def open_files(bundle: Bundle, threads: int) -> tuple[Files, Any]:
    """The network of a bundle, read and opened as its manifest says; see `opened`.

    Raises:
        EngineError: It cannot be read, or is not the manifest's.
    """
    path = bundle.file("engine")
    try:
        text = read_bounded(path, MAX_TEXT_BYTES).decode("ascii")
        files = files_of(text, read_bounded(bundle.file("weights"), MAX_WEIGHT_BYTES))
        _check(files, bundle)
        return files, opened(files, threads, bundle.manifest.runtime.options)
    except OSError as error:
        raise EngineError(f"{path}: cannot load it ({error.strerror})", AGAIN) from error
    except UnicodeDecodeError as error:
        raise EngineError(f"{path}: cannot load it (it is no text)", AGAIN) from error
    except (NetworkError, InterfaceError) as error:
        raise EngineError(f"{path}: cannot load it ({error})", AGAIN) from error


def _check(files: Files, bundle: Bundle) -> None:
    """Raises `InterfaceError` unless the network takes and gives what the manifest says."""
    manifest = bundle.manifest
    read = {name for layer in files.layers for name in layer.inputs}
    inputs = [layer.outputs[0] for layer in files.layers if layer.kind == "Input"]
    ends = [name for name in files.shapes if name not in read and name not in inputs]
    stated = [spec.name for spec in manifest.outputs]
    # ncnn knows no order of outputs.
    ordered = stated if sorted(stated) == sorted(ends) else ends
    # A blob is floats: of a map of decisions the session makes integers.
    dtypes = {manifest.answer.name: manifest.answer.dtype} if manifest.answer else {}

    def tensors(names: Sequence[str]) -> list[Tensor]:
        return [Tensor(frozenset([n]), (None, *files.shapes[n]), dtypes.get(n, "float32")) for n in names]

    check_interface(tensors(inputs), tensors(ordered), manifest)


def half_options(precision: str) -> dict[str, str]:
    """What an engine of a precision must be opened with, by ncnn's names."""
    return dict.fromkeys(HALF, "true" if precision == "fp16" else "false")


def opened(files: Files, threads: int, options: Mapping[str, str]) -> Any:
    """The network in the library, an ``ncnn.Net``.

    Args:
        files: What was read.
        threads: Inside one inference; 0 leaves the choice to ncnn.
        options: What of `half_options` is ``true``; all else is off.

    Raises:
        NetworkError: ncnn refuses it.
    """
    net = import_module("ncnn").Net()
    net.opt.use_vulkan_compute = False
    for name in HALF:
        setattr(net.opt, name, options.get(name) == "true")
    if threads:
        net.opt.num_threads = threads
    # What was understood is written anew: nothing else of the file reaches the library.
    if net.load_param_mem(to_text(files.layers)) != 0:
        raise NetworkError("ncnn refuses its layers")
    net.load_model_mem(files.content)
    return net


def extractor(net: Any, given: Mapping[str, NDArray[np.float32]], inner: bool) -> Any:
    """An ``ncnn.Extractor`` that was given some blobs.

    Args:
        net: As `opened` gave it.
        given: Blobs by name.
        inner: Whether blobs will be asked for that other layers read: else ncnn frees what it has passed on.
    """
    mat = import_module("ncnn").Mat
    made = net.create_extractor()
    made.set_light_mode(not inner)
    for name, array in given.items():
        # A Mat around an array does not keep it alive: the extractor gets a copy, made while the array is there.
        kept = np.ascontiguousarray(array)
        made.input(name, mat(kept).clone())
    return made


def computed(
    net: Any, given: Mapping[str, NDArray[np.float32]], wanted: Sequence[str], inner: bool = False
) -> dict[str, NDArray[np.float32]]:
    """Some blobs from others, each an array of its own; see `extractor`.

    Raises:
        RuntimeError: ncnn cannot compute one.
    """
    asked, results = extractor(net, given, inner), {}
    for name in wanted:
        code, value = asked.extract(name)
        if code != 0:
            raise RuntimeError(f"it cannot compute {name}, error {code}")
        results[name] = np.array(value, np.float32)
    return results
