"""From the prepared module to a model specification and its weight file, by coremltools."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dmformer import chatter
from dmformer.bundle import sha256_of
from dmformer.errors import ExportError
from dmformer.graph.coreml.network import WithClassMap, WithProbabilities, taking_pixels
from dmformer.graph.coreml.package import WEIGHTS_DIGEST, Converted
from dmformer.graph.coreml.quantization import quantize_program
from dmformer.graph.qdq.affine import Range
from dmformer.preprocessing import Preprocessing
from dmformer.tasks.base import ClassMap

if TYPE_CHECKING:
    from dmformer.model.network import DMFormer

INPUT, PROBABILITIES, LABEL = "image", "probabilities", "classLabel"
LOGGERS = ("coremltools", "torch")
PASSES = (
    "common::lower_complex_dialect_ops",
    "common::update_output_dtypes",
    "common::cast_optimization",
    "common::noop_elimination",
    "common::const_elimination",
    "common::sanitize_input_output_names",
    "common::fuse_matmul_weight_bias",
    "common::fuse_linear_bias",
    "common::fuse_gelu_exact",
    "common::fuse_conv_bias",
    "common::dead_code_elimination",
    "common::dedup_op_and_var_names",
    "common::add_fp16_cast",
    "common::update_output_dtypes",
    "common::const_elimination",
    "common::cast_optimization",
    "common::dead_code_elimination",
    "common::topological_reorder",
    "common::dead_code_elimination",
)
"""Those of coremltools' 95 default passes that find something to do in a canonical DMFormer: a tenth of the time, and
no two layers share one constant, so that each weight keeps the name of its module."""
COLOURS = {"rgb": "RGB", "bgr": "BGR", "grey": "GRAYSCALE"}
DATE = "com.github.apple.coremltools.conversion_date"


@dataclass(frozen=True)
class Recipe:
    """What is converted, and how.

    Attributes:
        preprocessing: Size and normalization of the images.
        half: Whether the program computes in float16.
        batches: Batch sizes that the package takes; one, or several to choose from.
        sizes: Heights and widths that it takes besides the preprocessing's.
        image_input: Whether the input is an image (batch 1 only) with the normalization inside the package.
        labels: For a classifier, the class labels; None gives logits alone.
        class_map: How the package decides at every pixel; None leaves it to who runs it.
        deployment_target: As ``iOS17``.
        int8_layers: Modules whose weights become int8.
        ranges: For W8A8 the range of each such module's input; None leaves activations in float.
        metadata: User-defined metadata; the keys ``author``, ``license``, ``description``, ``version`` are Core ML's.
    """

    preprocessing: Preprocessing
    half: bool = True
    batches: tuple[int, ...] = (1,)
    sizes: tuple[tuple[int, int], ...] = ()
    image_input: bool = True
    labels: tuple[str, ...] | None = None
    class_map: ClassMap | None = None
    deployment_target: str = "iOS15"
    int8_layers: tuple[str, ...] = ()
    ranges: Mapping[str, Range] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def convert(network: DMFormer, recipe: Recipe) -> Converted:
    """Converts a canonical network.

    Args:
        network: In eval mode and float32.
        recipe: What is wanted.

    Raises:
        ExportError: coremltools refused.
    """
    try:
        with quiet():
            return _convert(network, recipe)
    except ExportError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ExportError(f"coremltools cannot convert the network: {reason}") from error


def _convert(network: DMFormer, recipe: Recipe) -> Converted:
    import coremltools as ct

    prepared: torch.nn.Module = taking_pixels(network, recipe.preprocessing) if recipe.image_input else network
    # The weights are quantized as the program has them.
    weights = {name: array for name, array in _weights(prepared).items() if name in recipe.int8_layers}
    prepared, outputs = _answering(prepared, network, recipe)
    example = torch.zeros(recipe.batches[0], *recipe.preprocessing.shape)
    traced = torch.jit.trace(prepared, example, check_trace=False)  # type: ignore[no-untyped-call]
    target = getattr(ct.target, recipe.deployment_target)
    precision = ct.precision.FLOAT16 if recipe.half else ct.precision.FLOAT32
    program = ct.convert(
        traced,
        convert_to="milinternal",
        inputs=[_input(recipe)],
        outputs=outputs,
        minimum_deployment_target=target,
        compute_precision=precision,
        pass_pipeline=ct.PassPipeline(list(PASSES), "dmformer"),
    )
    if recipe.int8_layers:
        quantize_program(program, weights, recipe.int8_layers, recipe.ranges)
    if recipe.labels is not None:
        # A label is put before the outputs that were named.
        program.functions["main"].output_types = None
    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=precision,
        pass_pipeline=ct.PassPipeline.EMPTY,
        classifier_config=_classifier(recipe),
        skip_model_load=True,
    )
    return _finished(model, recipe)


def _answering(network: torch.nn.Module, canonical: DMFormer, recipe: Recipe) -> tuple[torch.nn.Module, list[Any]]:
    """The network with what it answers beside its output, and all that it gives as Core ML knows it."""
    import coremltools as ct

    specs = canonical.config.outputs(recipe.preprocessing.size)
    outputs = [ct.TensorType(name=spec.name, dtype=np.float32) for spec in specs]
    if recipe.labels is not None:
        network = WithProbabilities(network)
        outputs.append(ct.TensorType(name=PROBABILITIES, dtype=np.float32))
    if recipe.class_map is not None:
        network = WithClassMap(network, recipe.class_map)
        outputs.append(ct.TensorType(name=recipe.class_map.spec.name, dtype=np.int32))
    return network.eval(), outputs


def _weights(network: torch.nn.Module) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    layers = (torch.nn.Conv2d, torch.nn.Linear)
    return {name: m.weight.detach().numpy() for name, m in network.named_modules() if isinstance(m, layers)}


def _input(recipe: Recipe) -> Any:
    """The input as Core ML knows it: an image with scale and bias, or a tensor; of one shape or of several."""
    import coremltools as ct

    sizes = dict.fromkeys([recipe.preprocessing.size, *recipe.sizes])
    shapes = [(batch, recipe.preprocessing.channels, *size) for batch in recipe.batches for size in sizes]
    shape = shapes[0] if len(shapes) == 1 else ct.EnumeratedShapes(shapes=shapes, default=shapes[0])
    if not recipe.image_input:
        return ct.TensorType(name=INPUT, shape=shape, dtype=np.float32)
    bias = [-mean for mean in recipe.preprocessing.mean]
    colours = getattr(ct.colorlayout, COLOURS[recipe.preprocessing.channel_order])
    return ct.ImageType(
        name=INPUT,
        shape=shape,
        scale=1 / 255,
        bias=bias if len(bias) > 1 else bias[0],
        color_layout=colours,
    )


def _classifier(recipe: Recipe) -> Any:
    import coremltools as ct

    if recipe.labels is None:
        return None
    return ct.ClassifierConfig(
        list(recipe.labels), predicted_feature_name=LABEL, predicted_probabilities_output=PROBABILITIES
    )


def _finished(model: Any, recipe: Recipe) -> Converted:
    """The specification with its metadata, without what differs from run to run."""
    specification = model.get_spec()
    described, metadata = specification.description.metadata, dict(recipe.metadata)
    described.author = metadata.pop("author", "")
    described.license = metadata.pop("license", "")
    described.shortDescription = metadata.pop("description", "")
    described.versionString = metadata.pop("version", "")
    for name, value in sorted(metadata.items()):
        described.userDefined[name] = value
    described.userDefined.pop(DATE, None)
    weights = Path(model.weights_dir) / "weight.bin"
    described.userDefined[WEIGHTS_DIGEST] = sha256_of(weights)
    return Converted(specification.SerializeToString(deterministic=True), weights)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences what coremltools says about itself, about torch's version and about the missing macOS."""
    if chatter.wanted():
        yield
        return
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
