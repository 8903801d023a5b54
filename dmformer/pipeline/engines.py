"""Making one bundle whose engine is built here from a graph of the asked precision."""

from __future__ import annotations

from pathlib import Path

from dmformer import host
from dmformer.pipeline.int8_export import make_int8
from dmformer.pipeline.maker import Maker
from dmformer.pipeline.making import Outcome, Prepared, built, graph_for, proven, publish
from dmformer.pipeline.options import ExportOptions
from dmformer.progress import Progress
from dmformer.staging import staged


class EngineMaker(Maker):
    """See `dmformer.pipeline.maker.Maker`: of targets that build at once, from ONNX."""

    def check(self, options: ExportOptions) -> None:
        super().check(options)
        if options.precision == "int8":
            from dmformer.graph.qdq.emitters import emitter_for

            emitter_for(self.target.name, options.int8.cpu_isa or host.int8_isa())

    def label(self, options: ExportOptions) -> str:
        return options.precision + ("-pixels" if options.embed_preprocessing else "")

    def make(self, destination: Path, prepared: Prepared, options: ExportOptions, progress: Progress) -> Outcome:
        name = self.target.name
        if prepared.calibration is not None:
            return make_int8(name, destination, prepared, options, progress)
        with staged(destination, options.force) as staging:
            graph = graph_for(prepared.graph, options.precision)
            made = built(name, graph, {}, staging, prepared, options)
            bundle, proof = proven(made, prepared, options, progress)
            return publish(staging, bundle, proof)
