"""``dmformer.export``: one engine, from arguments named as on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmformer.errors import RejectedError
from dmformer.options import Leaf, changed, given_in, leaves, values
from dmformer.pipeline.api import Bundle
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.option_groups import Size
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.settling import settled
from dmformer.pipeline.sources import resolve_checkpoint
from dmformer.pipeline.weights import choose_weights
from dmformer.pipeline.weights_options import WeightsOptions
from dmformer.progress import Progress
from dmformer.targets import DEFAULT, get_target
from dmformer.terminal import shown

if TYPE_CHECKING:
    from dmformer.model.checkpoint import Checkpoint


def export(
    weights: Checkpoint | Path | str | None = None,
    target: str = DEFAULT,
    options: ExportOptions | None = None,
    *,
    int8: bool = False,
    half: bool = False,
    data: Path | str | None = None,
    calibration: Path | str | None = None,
    labels: Sequence[str] | Path | str | None = None,
    imgsz: int | Size | None = None,
    batch: int | None = None,
    dynamic: bool | None = None,
    dynamic_size: bool | None = None,
    simplify: bool | None = None,
    opset: int | None = None,
    device: str | None = None,
    output: Path | str | None = None,
    force: bool | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Exports, builds and verifies one engine.

    Args:
        weights: A checkpoint, the path of one, or None for what the options name: the embedded one, if nothing.
        target: ``onnx``, ``onnxruntime``, ``openvino``, ``ncnn``, ``tensorrt``, ``tensorrt-rtx`` or ``coreml``.
        options: Everything else; its ``targets`` are ignored. What is given beside it wins.
        int8: INT8, calibrated and verified.
        half: FP16 weights. Without ``int8``, ``half`` and options, the precision is the target's natural one.
        data: Labelled images to verify on.
        calibration: Images to calibrate INT8 with; labels are not needed.
        labels: Class names in order, or a file of them: text, one per line, or a JSON list.
        imgsz: Side of the input, or height and width; divisible by 32.
        batch: Images in a batch.
        dynamic: Leave the batch size open.
        dynamic_size: Leave height and width open, in steps of 32.
        simplify: Run onnxsim on the graph.
        opset: ONNX operator set, 20 or later.
        device: Where the engine is tried and verified.
        output: The bundle is written as ``output/<model>-<target>-<precision>/``.
        force: Replace a bundle that exists.
        progress: Watches the work; None shows it on a terminal and in a notebook.

    Returns:
        The verified bundle.

    Raises:
        RejectedError: The engine fell below its tolerance; the bundle is kept under a name ending in ``.rejected``.
        UsageError: Arguments that do not go together.
        DmformerError: See `dmformer.errors`.

    Examples:
        >>> import dmformer
        >>> dmformer.export("shapes.safetensors", "onnxruntime", data="val.npz", half=True)
        Bundle(path='build/shapes-onnxruntime-fp16', target='onnxruntime', precision='fp16', verified=True)
    """
    if labels is not None and not isinstance(labels, str | Path):
        weights, labels = _named(weights, labels, options.weights if options else WeightsOptions()), None
        options = replace(options, weights=WeightsOptions()) if options else None
    words: dict[str, Any] = dict(data=data, calibration=calibration, labels=labels, device=device, output=output)
    words |= dict(int8=int8 or None, half=half or None, batch=batch, dynamic=dynamic, simplify=simplify, opset=opset)
    words |= dict(
        dynamic_size=dynamic_size, force=force, imgsz=[imgsz] if isinstance(imgsz, int) else imgsz and list(imgsz)
    )
    request = asked(replace(options or ExportOptions(), targets=(get_target(target).name,)), words, options is not None)
    outcome = export_bundles(weights, request, progress or shown())[0]
    if not outcome.proof.passed:
        raise RejectedError(
            f"{outcome.bundle.path}: {'; '.join(outcome.proof.failures)}", "choose another precision or tolerance"
        )
    return Bundle(outcome.bundle.path, outcome.bundle.manifest)


def asked(options: ExportOptions, words: dict[str, Any], chosen: bool) -> ExportOptions:
    """The options with what was given beside them.

    Args:
        options: What holds where nothing was.
        words: By long names; None where nothing was given.
        chosen: Whether somebody made the options, and with them chose a precision.

    Raises:
        UsageError: See `dmformer.pipeline.settling.settled`.
    """
    known: dict[str, Leaf] = {name: leaf for leaf in leaves(ExportOptions) for name in leaf.option.names}
    given = {
        known[name]: Path(value) if known[name].typed is Path else value
        for name, value in words.items()
        if value is not None
    }
    places = values(given)
    before = [leaf for leaf in given_in(options) if leaf.place not in places] if chosen else []
    return settled((*before, *given), changed(options, places))


def _named(weights: Checkpoint | Path | str | None, labels: Sequence[str], options: WeightsOptions) -> Checkpoint:
    from dmformer.model.checkpoint import Checkpoint

    if not isinstance(weights, Checkpoint):
        described = options if weights is None else replace(options, path=Path(weights))
        weights = choose_weights(described) or resolve_checkpoint(None, described.task)
    return weights.with_labels(labels)
