"""Making one INT8 bundle: quantize by the plan, verify, and search another plan where the floor breaks."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmformer.bundle import Bundle, assemble
from dmformer.calibration.plan import PrecisionPlan, plan_from_groups, save_plan
from dmformer.data.dataset import iterate_batches
from dmformer.errors import UsageError
from dmformer.evaluation.reference import ReferenceOutputs
from dmformer.evaluation.tolerances import accuracy_words
from dmformer.manifest import Proof, Tolerance
from dmformer.pipeline.making import Outcome, Prepared, build_and_verify, publish
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.quantizing import SEARCH_BYTES, SEARCH_IMAGES, Int8Graphs, SearchImages
from dmformer.pipeline.verdict import judge_int8
from dmformer.preprocessing import Preprocessing
from dmformer.progress import Progress
from dmformer.staging import Staging, staged
from dmformer.tasks.base import Outputs, Task

if TYPE_CHECKING:
    from dmformer.pipeline.quantizing import Quantized

HALF = 0.5
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
    groups = int8.planned
    with staged(destination, options.force) as staging:
        quantized = int8.make(groups, progress)
        bundle, proof = build_and_verify(
            target, quantized.graph, quantized.groups, staging, prepared, options, progress
        )
        if not proof.passed and options.int8.plan is None:
            quantized, bundle, proof = search_again(
                int8, quantized, bundle, proof, staging, prepared, options, progress
            )
        sample = np.resize(prepared.golden.tensors, (int8.batch or 1, *prepared.golden.tensors.shape[1:]))
        verdict = judge_int8(
            target, quantized, prepared.graph, sample, accuracy_words(proof.largest, int8.task.headline)
        )
        return replace(publish(staging, bundle, proof), verdict=verdict)


def int8_graphs(target: str, prepared: Prepared, options: ExportOptions) -> Int8Graphs:
    """Where INT8 graphs for one target are made; `prepared` must be calibrated."""
    if prepared.calibration is None:
        raise UsageError("INT8 needs calibrated ranges", "give --calibration")
    batch = None if options.dynamic else options.batch
    checkpoint = prepared.checkpoint
    task, spec = checkpoint.config.task, checkpoint.preprocessing
    return Int8Graphs(target, prepared.graph, prepared.calibration, options.int8, batch, task, spec)


def search_again(
    int8: Int8Graphs,
    quantized: Quantized,
    bundle: Bundle,
    proof: Proof,
    staging: Staging,
    prepared: Prepared,
    options: ExportOptions,
    progress: Progress,
) -> tuple[Quantized, Bundle, Proof]:
    """Searches a plan that holds the floor and builds it; gives back what there was where there is none."""
    progress.say(f"{int8.target}: below the floor ({'; '.join(proof.failures)}): searching a precision plan")
    try:
        groups = int8.search(search_images(prepared), stricter(options.required()), progress)
    except UsageError as error:
        progress.say(error.message)
        return quantized, bundle, proof
    better = int8.make(groups, progress)
    rebuilt, proof = build_and_verify(int8.target, better.graph, better.groups, staging, prepared, options, progress)
    return better, with_plan(rebuilt, plan_from_groups(int8.model, groups)), proof


def with_plan(bundle: Bundle, plan: PrecisionPlan) -> Bundle:
    """The bundle with the plan that was searched for it, which ``export --plan`` takes."""
    save_plan(plan, bundle.path / PLAN_FILE)
    return assemble(bundle.path, bundle.manifest, bundle.golden(), bundle.roles | {PLAN_FILE: "plan"})


def stricter(tolerance: Tolerance) -> Tolerance:
    """Half of what is allowed, because a search looks at fewer images than the proof."""
    return tolerance.model_copy(
        update={
            "max_drop": None if tolerance.max_drop is None else tolerance.max_drop * HALF,
            "min_agreement": None if tolerance.min_agreement is None else 1 - (1 - tolerance.min_agreement) * HALF,
        }
    )


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
    rows = [position * total // count for position in range(count)]
    images = reference.dataset.select([reference.indices[row] for row in rows])
    batches = list(iterate_batches(images, spec, count, target=partial(task.target, spec=spec)))
    return SearchImages(
        np.concatenate([batch.tensor for batch in batches]),
        lambda numbers: reference.take([rows[number] for number in numbers]),
        tuple(target for batch in batches for target in batch.targets),
    )
