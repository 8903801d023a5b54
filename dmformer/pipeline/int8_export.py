"""Making one INT8 bundle: quantize by the plan, prove it, and search another plan where the proof fails."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from math import prod
from pathlib import Path

import numpy as np

from dmformer.bundle import Bundle, assemble
from dmformer.calibration.plan import plan_from_groups, save_plan
from dmformer.data.dataset import evenly, iterate_batches
from dmformer.errors import UsageError
from dmformer.evaluation.reference import ReferenceOutputs
from dmformer.evaluation.tolerances import accuracy_words
from dmformer.pipeline.float_parts import needs_float32, takes_half
from dmformer.pipeline.making import Outcome, Prepared, built, proven, publish
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.quantizing import SEARCH_BYTES, SEARCH_IMAGES, Int8Graphs, Quantized, SearchImages
from dmformer.pipeline.searching import Made, search_plan
from dmformer.pipeline.verdict import judge_int8
from dmformer.preprocessing import Preprocessing
from dmformer.progress import Progress
from dmformer.staging import staged
from dmformer.tasks.base import Outputs, Task

PLAN_FILE = "plan.json"


def make_int8(
    target: str, destination: Path, prepared: Prepared, options: ExportOptions, progress: Progress
) -> Outcome:
    """Builds, verifies, judges and publishes one INT8 bundle.

    Raises:
        UsageError: There is no INT8 for this target, or the plan does not fit the model.
        DmformerError: See `dmformer.errors`.
    """
    int8 = int8_graphs(target, prepared, options)
    images = cache(partial(search_images, prepared))
    with staged(destination, options.force) as staging:

        def build(quantized: Quantized) -> Bundle:
            extra = {"full_precision": True} if quantized.full_precision else {}
            return built(target, quantized.graph, quantized.groups, staging, prepared, options, extra)

        def prove(quantized: Quantized) -> Made:
            full = takes_half(target) and needs_float32(int8, quantized.graph, images())
            settled = replace(quantized, full_precision=full)
            return Made(settled, *proven(build(settled), prepared, options, progress))

        best = prove(int8.make(int8.planned, progress))
        if not best.proof.passed and may_search(int8, progress):
            first = best
            best = search_plan(int8, first, prove, images(), options.required(), progress)
            # The engine in the directory is the one that was tried last.
            again = build(best.quantized).with_proof(best.proof)
            best = replace(best, bundle=again if best is first else with_plan(again, int8, best.quantized))
        sample = np.resize(prepared.golden.tensors, (int8.batch or 1, *prepared.golden.tensors.shape[1:]))
        words = accuracy_words(best.proof.largest, int8.task.headline)
        verdict = judge_int8(target, best.quantized, prepared.graph, sample, words)
        return replace(publish(staging, best.bundle, best.proof), verdict=verdict)


def int8_graphs(target: str, prepared: Prepared, options: ExportOptions) -> Int8Graphs:
    """Where INT8 graphs for one target are made; `prepared` must be calibrated."""
    if prepared.calibration is None:
        raise UsageError("INT8 needs calibrated ranges", "give --calibration")
    batch = None if options.dynamic else options.batch
    checkpoint = prepared.checkpoint
    task, spec = checkpoint.config.task, checkpoint.preprocessing
    return Int8Graphs(target, prepared.graph, prepared.calibration, options.int8, batch, task, spec)


def may_search(int8: Int8Graphs, progress: Progress) -> bool:
    """Whether another plan is looked for where the proof fails: nobody gave one, and there are images to judge by."""
    if int8.calibration.images.random:
        progress.say(f"{int8.target}: calibrated on random numbers, for speed alone: the plan is kept")
    return int8.options.plan is None and not int8.calibration.images.random


def with_plan(bundle: Bundle, int8: Int8Graphs, quantized: Quantized) -> Bundle:
    """The bundle with the plan that was searched for it, which ``export --plan`` takes."""
    integers = [group for group, precision in quantized.groups.items() if precision == "int8"]
    save_plan(plan_from_groups(int8.model, integers), bundle.path / PLAN_FILE)
    return assemble(bundle.path, bundle.manifest, bundle.golden(), bundle.roles | {PLAN_FILE: "plan"})


def search_images(prepared: Prepared) -> SearchImages:
    """Images with the reference's outputs: of the verification set where there is one, else the golden samples."""
    reference = prepared.reference()
    if reference is None:
        golden = prepared.golden
        return SearchImages(golden.tensors, lambda rows: golden.outputs[list(rows)], golden.targets)
    images = chosen_images(reference, prepared.checkpoint.preprocessing, prepared.checkpoint.config.task)
    return answered_alike(images, prepared) if reference.framing.one_by_one else images


def answered_alike(images: SearchImages, prepared: Prepared) -> SearchImages:
    """The images with outputs of the usual size, where each has been answered at one of its own."""
    from dmformer.pipeline.reference import infer

    @cache
    def outputs() -> Outputs:
        network = prepared.checkpoint.build()
        return np.concatenate([infer(network, tensor[None]) for tensor in images.tensors])

    return replace(images, outputs=lambda rows: outputs()[list(rows)])


def chosen_images(reference: ReferenceOutputs, spec: Preprocessing, task: Task) -> SearchImages:
    """An even choice of the images that the reference has answered, no more than memory has room for."""
    total = len(reference.indices)
    count = min(total, SEARCH_IMAGES, max(1, SEARCH_BYTES // (4 * prod(spec.shape))))
    rows = evenly(total, count)
    images = reference.dataset.select([reference.indices[row] for row in rows])
    batches = list(iterate_batches(images, spec, count, target=partial(task.target, spec=spec)))
    return SearchImages(
        np.concatenate([batch.tensor for batch in batches]),
        lambda numbers: reference.take([rows[number] for number in numbers]),
        tuple(target for batch in batches for target in batch.targets),
    )
