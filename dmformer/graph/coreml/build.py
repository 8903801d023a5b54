"""A package from the weights of a canonical network: the one call that the child process of a build makes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dmformer.graph.coreml.conversion import Recipe, convert
from dmformer.graph.coreml.network import canonical_network
from dmformer.graph.coreml.package import write_package
from dmformer.graph.qdq.affine import Range

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dmformer.model.config import ModelConfig
    from dmformer.preprocessing import Preprocessing

FIRST = "stem.conv1"


class Plan(Protocol):
    """The part of a runtime's plan that is read here."""

    @property
    def int8(self) -> str: ...
    @property
    def classifier(self) -> bool: ...
    @property
    def image_input(self) -> bool: ...
    @property
    def batches(self) -> tuple[int, ...]: ...
    @property
    def sizes(self) -> tuple[tuple[int, int], ...]: ...


class Asked(Protocol):
    """What is to be built: see `dmformer.runtimes.coreml.plan.PackageRequest`."""

    @property
    def plan(self) -> Plan: ...
    @property
    def config(self) -> ModelConfig: ...
    @property
    def preprocessing(self) -> Preprocessing: ...
    @property
    def labels(self) -> tuple[str, ...] | None: ...
    @property
    def layers(self) -> tuple[str, ...]: ...
    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]: ...
    @property
    def metadata(self) -> Mapping[str, str]: ...


def build_package(asked: Asked, precision: str, target: str, weights: Path, directory: Path) -> tuple[str, str, str]:
    """Converts and writes a package.

    Args:
        asked: What to build.
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

    network = canonical_network(asked.config, load_file(weights))
    spans = {name: Range(low, high) for name, (low, high) in asked.ranges.items()}
    if asked.plan.image_input and FIRST in spans:
        # The first layer reads the image before the division by the deviation.
        factor = max(asked.preprocessing.std)
        spans[FIRST] = Range(spans[FIRST].low * factor, spans[FIRST].high * factor)
    recipe = Recipe(
        preprocessing=asked.preprocessing,
        half=precision != "fp32",
        batches=asked.plan.batches,
        sizes=asked.plan.sizes,
        image_input=asked.plan.image_input,
        labels=_labels(asked),
        deployment_target=target,
        int8_layers=asked.layers if precision == "int8" else (),
        ranges=spans if asked.plan.int8 == "w8a8" else None,
        metadata=asked.metadata,
    )
    return write_package(convert(network, recipe), directory)


def _labels(asked: Asked) -> tuple[str, ...] | None:
    if not asked.plan.classifier:
        return None
    return asked.labels or tuple(str(index) for index in range(asked.config.classes))
