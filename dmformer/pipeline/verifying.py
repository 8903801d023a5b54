"""What ``dmformer verify`` does: whether an engine answers like PyTorch on this machine, and which layer does not."""

from __future__ import annotations

from typing import Any, Literal

from dmformer.bundle import Bundle
from dmformer.documents import Summarized, schema
from dmformer.errors import UsageError
from dmformer.evaluation.per_layer import by_part
from dmformer.evaluation.verify import exported_tolerance
from dmformer.fields import Strict
from dmformer.pipeline.layer_errors import errors_of
from dmformer.pipeline.requests import VerifyOptions
from dmformer.pipeline.verification import Evidence, verify_bundle
from dmformer.progress import Progress, Silent
from dmformer.runtimes.base import SessionOptions
from dmformer.summary import summarize


class PerLayer(Strict):
    """The error of every tensor that can be tapped.

    Attributes:
        reference: What they are compared with.
        jump: The first tensor whose error is far above that of those before; None where there is none.
        parts: The worst of each part, SQNR in dB; None where all are equal.
        layers: See `dmformer.evaluation.per_layer.LayerError`.
    """

    reference: str
    jump: str | None
    parts: dict[str, float | None]
    layers: tuple[dict[str, Any], ...]


class VerifyDocument(Summarized):
    """The figures of a bundle, and the error layer by layer where that was asked for."""

    schema_: Literal["dmformer.verify/2"] = schema("dmformer.verify/2")
    per_layer: PerLayer | None = None


def verify(options: VerifyOptions, progress: Progress | None = None) -> VerifyDocument:
    """Checks that a bundle is whole and that its engine answers like PyTorch.

    Raises:
        DmformerError: See `dmformer.pipeline.verification.verify_bundle`.
    """
    if options.reference is not None and not options.per_layer:
        raise UsageError("--reference does nothing without --per-layer", "add it, or leave --reference out")
    bundle = Bundle.load(options.bundle)
    evidence = Evidence(
        options.data,
        options.max_images,
        options.weights,
        options.tolerance.over(exported_tolerance(bundle)),
        SessionOptions(options.threads, options.device),
        options.masks,
        options.tile,
    )
    proof = verify_bundle(bundle, evidence, progress or Silent())
    layers = per_layer(bundle, options) if options.per_layer else None
    return VerifyDocument(**summarize(bundle, proof), per_layer=layers)


def per_layer(bundle: Bundle, options: VerifyOptions) -> PerLayer:
    """The error of every tensor that can be tapped, against PyTorch or the reference bundle."""
    errors = errors_of(bundle, options.weights, options.reference)
    return PerLayer(
        reference=errors.reference,
        jump=errors.jump,
        parts=by_part(errors.layers),
        layers=tuple(vars(layer) for layer in errors.layers),
    )
