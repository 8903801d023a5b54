"""What ``dmformer inspect`` answers, as documents."""

from __future__ import annotations

from typing import Any, Literal

from dmformer.documents import Document, schema
from dmformer.fields import Strict


class Inspected(Document):
    """Base of what is told of one kind of thing."""

    schema_: Literal["dmformer.inspect/2"] = schema("dmformer.inspect/2")


class Part(Strict):
    """Parameters and multiply-accumulates of a part of the network."""

    name: str
    parameters: int
    macs: int


class WeightsDocument(Inspected):
    """Configuration and counts of weights, for one input size."""

    kind: Literal["weights"] = "weights"
    name: str
    sha256: str
    size: tuple[int, int]
    parameters: int
    macs: int
    parts: tuple[Part, ...]
    config: dict[str, Any]
    preprocessing: dict[str, Any]
    labels: tuple[str, ...] | None
    notes: tuple[str, ...]


class OnnxDocument(Inspected):
    """See `dmformer.graph.summary.describe_onnx`."""

    kind: Literal["onnx"] = "onnx"
    path: str
    opset: dict[str, int]
    producer: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: int
    operators: dict[str, int]
    metadata: tuple[str, ...]


class BundleDocument(Inspected):
    """A checked bundle's manifest and its figures; the rest where its target tells it."""

    kind: Literal["bundle"] = "bundle"
    path: str
    manifest: dict[str, Any]
    summary: dict[str, Any] | None
    neural_engine: tuple[dict[str, Any], ...] | None = None
    engine_precision: tuple[dict[str, Any], ...] | None = None


class NamedTensor(Strict):
    """See `dmformer.model.naming.document.TensorName`."""

    name: str
    shape: tuple[int, ...]
    taken_for: str | None
    why: str
    candidates: tuple[str, ...] = ()


class NamesDocument(Inspected):
    """What the tensors of weights are taken for.

    Attributes:
        names_of: Whose names they are, as far as they are known.
        loads: Whether they load as they are.
        problem: Why not, and ``hint`` what to do.
        missing: Tensors without which there is no network, and that nothing is taken for.
        rules: The file that was written.
    """

    kind: Literal["names"] = "names"
    path: str
    names_of: str
    loads: bool
    problem: str | None
    hint: str | None
    tensors: tuple[NamedTensor, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    rules: str | None


class Unit(Strict):
    """See `dmformer.calibration.sensitivity.Sensitivity`."""

    unit: str
    groups: tuple[str, ...]
    noise: float
    saved_ms: float
    planned: str


class SensitivityDocument(Inspected):
    """What each unit's integers cost and save by one target's rules, and what they were measured in."""

    kind: Literal["sensitivity"] = "sensitivity"
    target: str
    measured_in: str
    units: tuple[Unit, ...]
    picture: str | None
