"""`PrecisionPlan`: which layer groups are integers, as a JSON file that a person can write."""

from __future__ import annotations

import difflib
import fnmatch
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dmformer.errors import DataError, UsageError
from dmformer.graph.qdq.affine import Precision
from dmformer.graph.qdq.sites import group_of, groups_of, select
from dmformer.reading import read_bounded
from dmformer.targets import get_target
from dmformer.texts import first_problem

if TYPE_CHECKING:
    import onnx

MAX_BYTES = 2**24


class PrecisionPlan(BaseModel):
    """Precision by layer group.

    Attributes:
        groups: ``int8`` or ``float`` by group name, its beginning (``stem``, ``stages.0``) or pattern
            (``*.ffn``); where several match, the last one counts, and a group that none matches is ``int8``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["dmformer.plan/1"] = Field(default="dmformer.plan/1", alias="schema")
    groups: dict[str, Precision]

    def int8_groups(self, model: onnx.ModelProto) -> frozenset[str]:
        """The groups of a model that the plan makes integers.

        Raises:
            UsageError: The plan names a layer that the model does not have.
        """
        known = groups_of(model)
        precisions = dict.fromkeys(known, "int8")
        for pattern, precision in self.groups.items():
            matches = [group for group in known if _means(pattern, group)]
            if not matches:
                raise UsageError(
                    f"the plan names {pattern!r}, which is no layer group of this model", _closest(pattern, known)
                )
            precisions.update(dict.fromkeys(matches, precision))
        return frozenset(group for group, precision in precisions.items() if precision == "int8")

    def to_json(self) -> str:
        """Indented text in the plan's own order, which matters."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=2) + "\n"


def _means(pattern: str, group: str) -> bool:
    return fnmatch.fnmatchcase(group, pattern) or group.startswith(f"{pattern}.")


def _closest(pattern: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(pattern, known, n=1, cutoff=0.0)
    return f"did you mean {near[0]!r}? dmformer inspect --sensitivity lists all groups"


def plan_from_groups(model: onnx.ModelProto, int8_groups: Iterable[str]) -> PrecisionPlan:
    """A plan that names every group of a model."""
    integer = set(int8_groups)
    return PrecisionPlan(groups={group: "int8" if group in integer else "float" for group in groups_of(model)})


def default_plan(model: onnx.ModelProto, target: str, gelus: Iterable[str] = ()) -> PrecisionPlan:
    """What measures best on this architecture for a runtime: see ``benchmarks/int8_speed.py``.

    Args:
        model: The canonical graph.
        target: Its name. Its row says which kinds of groups stay float.
        gelus: The GELUs with factors on both sides (`dmformer.calibration.factors`): in float where those are used.

    The first convolution of the stem everywhere: its three channels fill no vector of integers, so that it is no faster
    for its noise (``dmformer inspect --sensitivity`` shows both). The other two save time as integers on CPUs;
    elsewhere, where that was not measured, they stay float with it.

    The gate everywhere: under 1 % of the time, and a factor on everything. In ONNX Runtime the residual stream
    too: as integers it would be rounded twice in every block, and those roundings add up. OpenVINO, TensorRT and
    Core ML keep it in float by themselves, because only inputs of layers are quantized there. Depthwise INT8 is
    rarely faster than FP16 in TensorRT (NVIDIA/TensorRT issues 4529, 1409).
    """
    row = get_target(target)
    floating = select(groups_of(model), row.float_kinds)
    floating |= {group_of(gelu) for gelu in gelus if row.gelu_factors == "around"}
    return PrecisionPlan(groups=dict.fromkeys(sorted(floating), "float"))


def load_plan(path: Path) -> PrecisionPlan:
    """Reads a plan file.

    Raises:
        DataError: It cannot be read or is no plan.
    """
    hint = 'a plan looks like {"schema": "dmformer.plan/1", "groups": {"stages.0.*": "float"}}'
    try:
        return PrecisionPlan.model_validate_json(read_bounded(path, MAX_BYTES))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", hint) from error
    except ValidationError as error:
        raise DataError(f"{path}: no valid plan: {first_problem(error)}", hint) from error


def save_plan(plan: PrecisionPlan, path: Path) -> None:
    """Writes a plan file whole or not at all.

    Raises:
        OutputError: The place cannot be written.
    """
    from dmformer.files import write_output

    write_output(path, plan.to_json().encode(), force=True)
