"""A package from the weights of a canonical network: the one call that the child process of a build makes."""

from __future__ import annotations

from pathlib import Path

from dmformer.graph.coreml.conversion import Recipe, convert
from dmformer.graph.coreml.network import canonical_network
from dmformer.graph.coreml.package import write_package
from dmformer.graph.coreml.plan import PackageRequest
from dmformer.graph.qdq.affine import Range

FIRST = "stem.conv1"


def build_package(
    request: PackageRequest, precision: str, target: str, weights: Path, directory: Path
) -> tuple[str, str, str]:
    """Converts and writes a package.

    Args:
        request: What to build.
        precision: ``fp32``, ``fp16`` or ``int8``; INT8 computes in float16 where it is not in integers.
        target: The deployment target.
        weights: safetensors file with the canonical network's weights in float32.
        directory: The ``.mlpackage`` to be.

    Returns:
        Paths of manifest, specification and weight file inside it.

    Raises:
        ExportError: The weights are another network's, or coremltools refused.
    """
    from safetensors.torch import load_file

    network = canonical_network(request.config, load_file(weights))
    spans = {name: Range(low, high) for name, (low, high) in request.ranges.items()}
    if request.plan.image_input and FIRST in spans:
        # The first layer reads the image before the division by the deviation.
        factor = max(request.preprocessing.std)
        spans[FIRST] = Range(spans[FIRST].low * factor, spans[FIRST].high * factor)
    recipe = Recipe(
        preprocessing=request.preprocessing,
        half=precision != "fp32",
        batches=request.plan.batches,
        sizes=request.plan.sizes,
        image_input=request.plan.image_input,
        labels=_labels(request),
        class_map=request.class_map,
        deployment_target=target,
        int8_layers=request.layers if precision == "int8" else (),
        ranges=spans if request.plan.int8 == "w8a8" else None,
        metadata=request.metadata,
    )
    return write_package(convert(network, recipe), directory)


def _labels(request: PackageRequest) -> tuple[str, ...] | None:
    if not request.plan.classifier:
        return None
    return request.labels or tuple(str(index) for index in range(request.config.classes))
