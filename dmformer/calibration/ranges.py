"""`Ranges`: what calibration measured, as one reviewable JSON file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dmformer.errors import DataError
from dmformer.graph.qdq.affine import Range
from dmformer.preprocessing import Preprocessing
from dmformer.reading import read_bounded
from dmformer.texts import first_problem

if TYPE_CHECKING:
    import onnx

MAX_BYTES = 2**28
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SiteRange(BaseModel):
    """The values that eight bits cover at one site, in the units of the equalized graph."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: Finite
    high: Finite

    @model_validator(mode="after")
    def _ordered(self) -> SiteRange:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Ranges(BaseModel):
    """Activation ranges and channel scales of one model on one set of images.

    Attributes:
        model: `graph_digest` of the canonical graph that was calibrated.
        images: Digest of the calibration set, as its reader gives it.
        count: How many images were used.
        random: Whether the images were random numbers: such ranges are for timing only.
        preprocessing: How the images became tensors.
        method: How ranges were chosen from the histograms (``entropy``: by an earlier version).
        sites: Range by node name; ``image`` is the graph's input.
        scales: Equalization: factor per channel by seam (`dmformer.calibration.seams`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["dmformer.ranges/1"] = Field(default="dmformer.ranges/1", alias="schema")
    model: Digest
    images: Digest
    count: Annotated[int, Field(ge=1)]
    random: bool = False
    preprocessing: Preprocessing
    method: Literal["minmax", "percentile", "mse", "entropy"]
    sites: dict[str, SiteRange]
    scales: dict[str, tuple[Positive, ...]]

    def spans(self) -> dict[str, Range]:
        """Ranges as the emitters take them."""
        return {site: Range(span.low, span.high) for site, span in self.sites.items()}

    def channel_scales(self) -> dict[str, NDArray[np.float32]]:
        """Scales as `equalization.equalized` takes them."""
        return {seam: np.array(values, np.float32) for seam, values in self.scales.items()}

    def check_model(self, model: onnx.ModelProto, source: str = "the ranges") -> None:
        """Raises `DataError` where the ranges belong to another model."""
        if graph_digest(model) != self.model:
            raise DataError(
                f"{source}: belong to another model, other weights or another input size",
                "calibrate this model: dmformer calibrate",
            )

    def to_json(self) -> str:
        """Sorted, indented text; lists of numbers on one line each."""
        document = self.model_dump(mode="json", by_alias=True)
        scales = document.pop("scales")
        lines = [f"    {json.dumps(name)}: {json.dumps(values)}" for name, values in sorted(scales.items())]
        head = json.dumps(document, indent=2, sort_keys=True)
        return head[:-2] + ',\n  "scales": {\n' + ",\n".join(lines) + "\n  }\n}\n"


def load_ranges(path: Path) -> Ranges:
    """Reads a ranges file.

    Raises:
        DataError: It cannot be read or is no ranges file of this version.
    """
    hint = "give the file that dmformer calibrate wrote"
    try:
        return Ranges.model_validate_json(read_bounded(path, MAX_BYTES))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", hint) from error
    except ValidationError as error:
        raise DataError(
            f"{path}: no valid ranges file: {first_problem(error)}", "run dmformer calibrate again"
        ) from error


def save_ranges(ranges: Ranges, path: Path) -> None:
    """Writes a ranges file whole or not at all.

    Raises:
        OutputError: The place cannot be written.
    """
    from dmformer.files import write_output

    write_output(path, ranges.to_json().encode(), force=True)


def graph_digest(model: onnx.ModelProto) -> str:
    """SHA-256 over a graph's nodes, constants and input size; the batch size is left out."""
    digest = hashlib.sha256()
    shape = model.graph.input[0].type.tensor_type.shape.dim
    digest.update(repr([dim.dim_value for dim in shape[1:]]).encode())
    for node in model.graph.node:
        attributes = sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute)
        digest.update(repr((node.name, node.op_type, list(node.input), list(node.output), attributes)).encode())
    for entry in sorted(model.graph.initializer, key=lambda entry: entry.name):
        digest.update(entry.SerializeToString(deterministic=True))
    return digest.hexdigest()
