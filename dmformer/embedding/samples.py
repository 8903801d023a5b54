"""The golden samples in a form that any language reads: one JSON document and raw little-endian arrays.

``golden.json``::

    {"schema": "dmformer.golden/1",
     "shape": [C, H, W], "classes": N,
     "tolerance": {"tensor": [per channel], "max_abs_error": x, "min_sqnr_db": x, "min_agreement": x},
     "samples": [{"name": "...", "width": W, "height": H, "channels": 3, "label": 7,
                  "pixels": "000.u8", "tensor": "000.f32", "logits": "000.logits.f32"}, ...]}

``pixels`` are uint8 HWC, ``tensor`` is what the engine takes (float32 CHW, or uint8 HWC where ``dtype`` says so),
``logits`` float32 and the FP32 PyTorch reference's. Where every pixel has a class, a sample has
in their place ``map``: the classes ``[H, W]`` of the picture's pixels, in the dtype that ``map`` at the top says. A
self-test
preprocesses ``pixels`` and compares with ``tensor``: the stage "preprocessing". It runs the engine on ``tensor``, not
on what it preprocessed itself, and compares with ``logits``: the stage "engine".

A ``max_abs_error`` is relative to the largest absolute logit of all samples or 1, whichever is greater. What is null
is not judged.
"""

from __future__ import annotations

import json
from typing import Any

from dmformer.bundle import Bundle
from dmformer.embedding.answers import ENDINGS as ANSWER_ENDINGS
from dmformer.embedding.answers import golden_answers
from dmformer.engine_input import from_tensors
from dmformer.evaluation.tolerances import agreement_with_room
from dmformer.evaluation.verify import PREPROCESSING_ERROR, exported_tolerance, fitting_golden
from dmformer.golden import Golden

SCHEMA = "dmformer.golden/1"
FOLDER = "golden"
ENDINGS = {"float32": "f32", "uint8": "input.u8"}
"""Of the file with what the engine takes, by its dtype."""
ROUNDING = 1.01
"""A little more than one step of 8 bits, for the rounding of the comparison itself."""


def golden_files(bundle: Bundle) -> dict[str, bytes]:
    """The files of the folder ``golden``, by their names.

    Raises:
        BundleError: The bundle's golden samples are damaged.
    """
    golden = fitting_golden(bundle)
    taken = from_tensors(bundle.manifest, golden.tensors)
    ending = ENDINGS[bundle.manifest.input.dtype]
    described, answers = golden_answers(bundle, golden)
    entries = [
        {name: f"{index:03d}.{name}.{ANSWER_ENDINGS[array.dtype.name]}" for name, array in arrays.items()}
        for index, arrays in enumerate(answers)
    ]
    document = {
        "schema": SCHEMA,
        "dtype": bundle.manifest.input.dtype,
        "shape": list(taken.shape[1:]),
        **described,
        "tolerance": tolerance_of(bundle, bundle.manifest.task.decisions(golden.outputs).size),
        "samples": [_entry(golden, index, ending) | entry for index, entry in enumerate(entries)],
    }
    files = {"golden.json": (json.dumps(document, indent=2) + "\n").encode()}
    for index, image in enumerate(golden.images):
        files[f"{index:03d}.u8"] = image.tobytes()
        files[f"{index:03d}.{ending}"] = taken[index].astype(taken.dtype.newbyteorder("<")).tobytes()
        for name, array in answers[index].items():
            files[entries[index][name]] = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return files


def tolerance_of(bundle: Bundle, decisions: int) -> dict[str, Any]:
    """What a self-test judges by: what the bundle was exported with.

    Args:
        bundle: Its proof names the tolerance; where it has none yet, its precision does.
        decisions: Of the golden samples; what nobody asked for leaves room for chance.
    """
    tolerance = exported_tolerance(bundle)
    manifest = bundle.manifest
    # One step of 8 bits, in units of what the engine takes.
    steps = [1.0] * manifest.preprocessing.channels
    if not manifest.takes_pixels:
        steps = [PREPROCESSING_ERROR / deviation for deviation in manifest.preprocessing.std]
    return {
        "tensor": [step * ROUNDING for step in steps],
        "max_abs_error": tolerance.max_abs_error,
        "min_sqnr_db": tolerance.min_sqnr_db,
        "min_agreement": agreement_with_room(tolerance, decisions, True) if decisions else None,
    }


def _entry(golden: Golden, index: int, ending: str) -> dict[str, Any]:
    (height, width, channels), target = golden.images[index].shape, golden.targets[index]
    return {
        "name": golden.names[index],
        "width": width,
        "height": height,
        "channels": channels,
        "label": target if isinstance(target, int) else -1,
        "pixels": f"{index:03d}.u8",
        "tensor": f"{index:03d}.{ending}",
    }
