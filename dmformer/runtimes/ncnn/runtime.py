"""The target ``ncnn``: files that are written by dmformer itself and opened in ncnn on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.errors import EngineError
from dmformer.host import threads_per_stream
from dmformer.runtimes.base import (
    Array,
    Call,
    EngineReport,
    EngineRequest,
    Execution,
    Runtime,
    Session,
    SessionOptions,
    Watch,
    check_batch,
    only_cpu,
    short_reason,
)
from dmformer.runtimes.ncnn.account import precisions, summary
from dmformer.runtimes.ncnn.engine import (
    AGAIN,
    ENGINE_FILE,
    WEIGHTS_FILE,
    computed,
    files_of,
    half_options,
    open_files,
    opened,
)
from dmformer.tasks.base import joined


class NcnnSession(Session):
    """An opened network. ncnn has no batches: images are run one after the other."""

    def __init__(self, bundle: Bundle, options: SessionOptions) -> None:
        only_cpu(options, bundle.manifest.target)
        manifest, self._path = bundle.manifest, bundle.file("engine")
        files, self._net = open_files(bundle, threads_per_stream(options.threads, options.streams))
        self._input, self._outputs = manifest.input, manifest.outputs
        try:
            told = precisions(self._net, files)
        except RuntimeError as error:
            raise EngineError(f"{self._path}: cannot load it ({short_reason(error)})", AGAIN) from error
        self.execution = Execution("CPU", summary(told, manifest.precision.requested))

    def run(self, batch: NDArray[Any], only: str | None = None) -> dict[str, Array]:
        check_batch(batch, self._input.shape, self._input.dtype)
        wanted = [spec for spec in self._outputs if only in (None, spec.name)]
        names = [spec.name for spec in wanted]
        try:
            images = [computed(self._net, {self._input.name: image}, names) for image in batch]
        except RuntimeError as error:
            raise EngineError(f"{self._path}: ncnn cannot run it ({short_reason(error)})", AGAIN) from error
        with np.errstate(invalid="ignore"):  # of what a damaged file gives
            return {spec.name: np.stack([one[spec.name] for one in images]).astype(spec.dtype) for spec in wanted}

    def close(self) -> None:
        self.__dict__.pop("_net", None)


class Ncnn(Runtime):
    """Writes ncnn's files from the ONNX graph.

    FP16 engines store their weights as float16, and compute in what ncnn finds the CPU to be able to.
    """

    def build_engine(self, request: EngineRequest, watch: Watch) -> EngineReport:
        import onnx

        from dmformer.graph.ncnn.conversion import convert

        converted = convert(onnx.load(request.onnx))
        directory = Path(request.directory)
        (directory / ENGINE_FILE).write_text(converted.param)
        (directory / WEIGHTS_FILE).write_bytes(converted.weights)
        files = files_of(converted.param, converted.weights)
        options = half_options(request.precision)
        net = opened(files, 0, options)
        return EngineReport(
            roles={ENGINE_FILE: "engine", WEIGHTS_FILE: "weights"},
            version=self.version(),
            options=options,
            executes=summary(precisions(net, files), request.precision),
        )

    def open(self, bundle: Bundle, options: SessionOptions) -> Session:
        return NcnnSession(bundle, options)


def open_graph(graph: bytes, full_precision: bool) -> Call:
    """A graph opened for a trial, by `dmformer.runtimes.base.OpenGraph`."""
    import onnx

    from dmformer.graph.ncnn.conversion import convert

    model = onnx.ModelProto.FromString(graph)
    converted = convert(model)
    net = opened(files_of(converted.param, converted.weights), 0, {})
    (taken,), given = model.graph.input, [value.name for value in model.graph.output]

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        images = [computed(net, {taken.name: image}, given) for image in batch]
        return joined([np.stack([image[name] for image in images]) for name in given])

    return run
