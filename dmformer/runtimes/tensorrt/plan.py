"""What a build is asked for; travels in the bundle as ``build.json``, so that a device builds what was meant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from dmformer.errors import BundleError, UsageError
from dmformer.fields import Strict
from dmformer.geometry import TOTAL_STRIDE
from dmformer.preprocessing import MAX_SIDE
from dmformer.reading import read_json
from dmformer.runtimes.tensorrt.gpu import Gpu
from dmformer.runtimes.tensorrt.libraries import TYPED_SINCE, Library, parse_version
from dmformer.texts import first_problem

PLAN_FILE = "build.json"
MAX_PLAN_BYTES = 1 << 16
GIB = 1 << 30

Batch = Annotated[int, Field(ge=1, le=4096)]
Side = Annotated[int, Field(ge=TOTAL_STRIDE, le=MAX_SIDE, multiple_of=TOTAL_STRIDE)]
Size = tuple[Side, Side]


class BuildPlan(Strict):
    """How an engine is to be built.

    Attributes:
        min_batch: Smallest batch of an engine with an open batch; the batch itself otherwise. Likewise `opt_batch`,
            which the builder tunes for, and `max_batch`.
        min_size: Smallest height and width of an engine that takes several; None for one of a fixed size. Likewise
            `opt_size`, which the builder tunes for, and `max_size`.
        workspace_gib: Limit of the builder's scratch memory; None leaves it to the library.
        optimization_level: 0 (fast build) to 5 (fast engine).
        portable: Build for other versions of the library and for later GPUs; slower.
        compute_capabilities: GPUs to build for ahead of time, as ``8.6``; empty takes the library's own choice.
        dla_core: Core of the deep learning accelerator to build for; layers it cannot take run on the GPU.
    """

    schema_: Literal["dmformer.tensorrt-build/1"] = Field(default="dmformer.tensorrt-build/1", alias="schema")
    min_batch: Batch = 1
    opt_batch: Batch = 1
    max_batch: Batch = 1
    min_size: Size | None = None
    opt_size: Size | None = None
    max_size: Size | None = None
    workspace_gib: Annotated[float, Field(gt=0, le=1024, allow_inf_nan=False)] | None = None
    optimization_level: Annotated[int, Field(ge=0, le=5)] = 3
    portable: bool = False
    compute_capabilities: Annotated[
        tuple[Annotated[str, Field(pattern=r"^\d{1,2}\.\d$")], ...], Field(max_length=16)
    ] = ()
    dla_core: Annotated[int, Field(ge=0, le=7)] | None = None

    @model_validator(mode="after")
    def _batches_are_ordered(self) -> BuildPlan:
        if not self.min_batch <= self.opt_batch <= self.max_batch:
            raise ValueError(f"the batches {self.min_batch}, {self.opt_batch}, {self.max_batch} are not in order")
        return self

    @model_validator(mode="after")
    def _sizes_are_ordered(self) -> BuildPlan:
        given = [size for size in (self.min_size, self.opt_size, self.max_size) if size is not None]
        ordered = all(sorted(sides) == list(sides) for sides in zip(*given, strict=True))
        if len(given) not in (0, 3) or not ordered:
            raise ValueError(f"the sizes {', '.join(f'{height}x{width}' for height, width in given)} are not in order")
        return self

    def profile(self, shape: Sequence[int | None]) -> tuple[tuple[int, ...], ...]:
        """Smallest, tuned and largest shape of an input ``[N, C, H, W]``, of which None and -1 are open."""
        sizes = (self.min_size or (1, 1), self.opt_size or (1, 1), self.max_size or (1, 1))
        ends = ((batch, 1, *size) for batch, size in zip(self.batches, sizes, strict=True))
        return tuple(
            tuple(end if size in (None, -1) else size for size, end in zip(shape, one, strict=True)) for one in ends
        )

    @property
    def batches(self) -> tuple[int, int, int]:
        """Smallest, tuned and largest batch."""
        return (self.min_batch, self.opt_batch, self.max_batch)

    def to_json(self) -> str:
        unset = {name for name in ("min_size", "opt_size", "max_size") if getattr(self, name) is None}
        return json.dumps(self.model_dump(mode="json", by_alias=True, exclude=unset), indent=2, sort_keys=True) + "\n"


def make_plan(**values: Any) -> BuildPlan:
    """A plan from what a user asked for; None stands for the default.

    Raises:
        UsageError: A value is out of range, or batches are not in order.
    """
    try:
        return BuildPlan(**{name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        raise UsageError(
            f"the build cannot be done as asked: {first_problem(error)}", "see dmformer build --help"
        ) from error


def read_plan(path: Path) -> BuildPlan:
    """Reads the plan of a bundle.

    Raises:
        BundleError: It is damaged.
    """
    try:
        return BuildPlan.model_validate(read_json(path, MAX_PLAN_BYTES))
    except ValidationError as error:
        raise BundleError(f"{path}: {first_problem(error)}", "export the bundle again") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})", "export the bundle again") from error
    except ValueError as error:
        raise BundleError(f"{path}: is not JSON", "export the bundle again") from error


def check_plan(plan: BuildPlan, library: Library) -> None:
    """Refuses what a library would silently leave undone.

    Raises:
        UsageError: Names the option.
    """
    if plan.portable and not library.has_portable_flags:
        raise UsageError(
            f"--portable is not for {library.title}, whose engines already run on every listed GPU", "leave it out"
        )
    if plan.dla_core is not None and not library.dla_versions:
        raise UsageError(f"{library.title} cannot use a DLA", "leave --dla out, or use --target tensorrt")
    unknown = sorted(set(plan.compute_capabilities) - set(library.compute_capabilities))
    if unknown:
        known = ", ".join(library.compute_capabilities) or "none: it builds for the GPU that it runs on"
        raise UsageError(
            f"{library.title} cannot build for compute capability {', '.join(unknown)}", f"it knows {known}"
        )


def check_gpu(plan: BuildPlan, gpu: Gpu | None) -> None:
    """Refuses what the GPU here cannot be built for.

    Raises:
        UsageError: Names the option.
    """
    if plan.portable and gpu is not None and gpu.integrated:
        # NVIDIA's developer guide, "Hardware Compatibility": not on JetPack or DRIVE OS.
        raise UsageError(f"--portable is not for {gpu.name}: JetPack builds for its own GPU only", "leave it out")


def check_dla(plan: BuildPlan, library: Library, version: str, precision: str) -> None:
    """Refuses a deep learning accelerator that this version of the library cannot use for this graph.

    Raises:
        UsageError: Names the version.
    """
    if plan.dla_core is None:
        return
    numbers = parse_version(version)
    if not library.has_dla(numbers):
        raise UsageError(
            f"{library.title} {version} cannot use a DLA",
            "versions from 10.0 to 10.7 and from 11.4.1 can; leave --dla out",
        )
    if precision == "int8" and numbers < TYPED_SINCE:
        # NVIDIA/TensorRT issue 2222: explicit quantization is not for the DLA before networks are typed there.
        raise UsageError(f"the DLA takes no Q/DQ in {library.title} {version}", "export with --half for it")


def weakly_typed(plan: BuildPlan, version: str) -> bool:
    """Whether a network cannot be strongly typed: one for the DLA before 11, where a builder's flag says float16."""
    return plan.dla_core is not None and parse_version(version) < TYPED_SINCE
