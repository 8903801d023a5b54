"""The manifest of a bundle: everything about an engine that its file does not say itself.

Pydantic models, because a manifest is read from disk and must not be trusted: unknown fields, paths
that leave the bundle and values out of range are refused. `docs/manifest.schema.json` is this module's
JSON Schema; a test keeps the two equal.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from dmformer.model.config import ModelConfig
from dmformer.precision import Precision
from dmformer.preprocessing import Preprocessing
from dmformer.targets import check_options
from dmformer.texts import plain_document

SCHEMA = "dmformer.bundle/1"

MAX_ELEMENTS = 1 << 28
"""Of one input: a GiB of float32."""
SAFE_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")
"""Names that need no quoting in any shell, source or document: all that exporters write."""

Dimension = Annotated[int, Field(ge=1, le=1 << 24)]
Share = Annotated[float, Field(ge=0, le=1 + 1e-6)]
"""A part of a whole; sums of parts are rounded."""
Percent = Annotated[float, Field(ge=0, le=100)]
Decibels = Annotated[float, Field(ge=-1e6, le=1e6)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _stays_inside(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path or not pure.parts or ":" in path:
        raise ValueError(f"the path {path!r} leaves the bundle")
    if not SAFE_PATH.fullmatch(path):
        raise ValueError(f"the path {path!r} is none that dmformer writes")
    return path


def _finite(document: Any) -> Any:
    json.dumps(document, allow_nan=False)
    return document


RelativePath = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_stays_inside)]


def check_elements(shape: tuple[int | None, ...]) -> None:
    """Raises `ValueError` where one input would take more memory than any engine's."""
    elements = math.prod(size or 1 for size in shape)
    if elements > MAX_ELEMENTS:
        raise ValueError(f"an input of {elements} values: {MAX_ELEMENTS} are allowed")


class Strict(BaseModel):
    """Base of what is read from disk: immutable, no field that this version does not know, every number finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileEntry(Strict):
    """One file of the bundle."""

    sha256: Sha256
    bytes: Annotated[int, Field(ge=0, le=1 << 62)]
    role: Annotated[str, Field(max_length=64)]
    """What the file is: ``engine`` is what the runtime opens, ``weights`` what the engine refers to,
    ``golden`` the golden samples; a runtime may add its own."""


class TensorSpec(Strict):
    """Name, shape and dtype of an engine's input or output, batch first; None is a dynamic dimension.

    Attributes:
        layout: Of an input that takes images: preprocessed tensors are NCHW, pixels (uint8) NHWC; None means NCHW.
    """

    name: Annotated[str, Field(min_length=1, max_length=256)]
    shape: Annotated[tuple[Dimension | None, ...], Field(min_length=2, max_length=8)]
    dtype: Literal["float32", "float16", "uint8"] = "float32"
    layout: Literal["NCHW", "NHWC"] | None = None


class PrecisionRecord(Strict):
    """What precision was asked for, what is stored and what executes.

    Attributes:
        requested: What ``export`` was asked for.
        stored: The dtype of the weights in the engine file.
        executes: What the runtime computes in on the machine that built the bundle, as it reports it.
        groups: Precision per layer group where it is not the same everywhere.
        isa: The instruction set that the integers of an INT8 engine were chosen for, as ``--cpu-isa`` names it; None
            where that is the builder's.
    """

    requested: Precision
    stored: str
    executes: str
    groups: dict[str, str] = {}
    isa: str | None = None

    @property
    def named(self) -> str:
        """What the engine is called: ``int8: 4 of 51 groups`` where most of an INT8 one went back to float."""
        few = few_int8(self.groups) if self.requested == "int8" else None
        return few or self.requested


def few_int8(groups: Mapping[str, str]) -> str | None:
    """``int8: 4 of 51 groups`` where fewer than half of the layer groups hold integers, else None."""
    integers = sum(precision == "int8" for precision in groups.values())
    return f"int8: {integers} of {len(groups)} groups" if 2 * integers < len(groups) else None


class RuntimeRecord(Strict):
    """The runtime that the engine was built by, and the options that it must be opened with."""

    name: str
    version: str
    options: dict[str, str] = {}


class HostRecord(Strict):
    """The machine that built the engine, as far as it decides what the engine is."""

    os: str
    machine: str
    cpu: str
    cpu_isa: tuple[str, ...]
    gpu: str | None = None


class SourceRecord(Strict):
    """Where the weights came from."""

    name: str
    sha256: Sha256
    config: ModelConfig
    notes: tuple[str, ...] = ()


class Tolerance(Strict):
    """What an engine must keep to pass.

    Attributes:
        max_abs_error: Largest allowed difference of a logit, in units of the reference's largest
            absolute logit or of 1, whichever is greater; None does not check.
        min_agreement: Smallest allowed share of equal top-1 answers, 0 to 1.
        min_sqnr_db: Smallest allowed signal to quantization noise ratio in dB.
        max_top1_drop: Largest allowed loss of top-1 in percentage points, where labels are given.
        on_few_images: Whether the last and `min_agreement` hold for the largest set even where it has so few images
            that one answer is more than chance allows: they do where somebody asked for them.
    """

    max_abs_error: Annotated[float, Field(gt=0)] | None = None
    min_agreement: Annotated[float, Field(ge=0, le=1)] | None = None
    min_sqnr_db: float | None = None
    max_top1_drop: float | None = None
    on_few_images: bool = False


class Comparison(Strict):
    """An engine's answers against the FP32 PyTorch reference's on one set of images.

    Attributes:
        data: What the images are.
        data_sha256: Digest of the set.
        images: How many were compared.
        agreement: Share of equal top-1, 0 to 1; None, like the next three, where the reference's outputs were not
            at hand and only labels were compared.
        sqnr_db: Signal to quantization noise ratio over all logits in dB; None also where the outputs are equal.
        max_abs_error: Largest difference of a logit.
        reference_scale: Largest absolute logit of the reference.
        top1: Share of right answers in percent; None without labels. Likewise `top5` (None below six classes)
            and the reference's.
    """

    data: str
    data_sha256: str
    images: Annotated[int, Field(ge=1, le=1 << 62)]
    agreement: Annotated[float, Field(ge=0, le=1)] | None = None
    sqnr_db: Decibels | None = None
    max_abs_error: Annotated[float, Field(ge=0)] | None = None
    reference_scale: Annotated[float, Field(ge=0)] | None = None
    top1: Percent | None = None
    reference_top1: Percent | None = None
    top5: Percent | None = None
    reference_top5: Percent | None = None


class Proof(Strict):
    """The accuracy proof: what was compared, what was asked for, and whether it held.

    Attributes:
        by: What was run: the ``engine`` itself, or where that cannot run its numerical ``twin``, a graph that rounds
            every tensor as the engine does, in ONNX Runtime.
        executes: What the engine computed in where it was run, as the runtime reports it there; None says what
            `PrecisionRecord` does.
    """

    by: Literal["engine", "twin"] = "engine"
    executes: str | None = None
    passed: bool
    tolerance: Tolerance
    comparisons: Annotated[tuple[Comparison, ...], Field(min_length=1)]
    failures: tuple[str, ...] = ()


class Manifest(Strict):
    """The whole of ``manifest.json``.

    Attributes:
        options: Those of ``dmformer export`` that made the bundle, by their long names, as ``export --config`` takes
            them; what is not there was the default. None where no command line could say them.
    """

    schema_: Annotated[str, Field(alias="schema", pattern=r"^dmformer\.bundle/1$")] = SCHEMA
    name: Annotated[str, Field(min_length=1, max_length=128)]
    target: str
    precision: PrecisionRecord
    files: dict[RelativePath, FileEntry]
    input: TensorSpec
    output: TensorSpec
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None = None
    runtime: RuntimeRecord
    host: HostRecord
    source: SourceRecord
    tools: dict[str, str]
    proof: Proof | None = None
    latency: Annotated[dict[str, Any] | None, AfterValidator(_finite)] = None
    not_deterministic: tuple[str, ...] = ()
    options: Annotated[dict[str, JsonValue] | None, AfterValidator(_finite)] = None

    model_config = ConfigDict(populate_by_name=True)

    @model_validator(mode="after")
    def _labels_are_the_classes(self) -> Manifest:
        classes = self.source.config.num_classes
        if self.output.shape[1] != classes:
            raise ValueError(f"the output has {self.output.shape[1]} values for {classes} classes")
        if self.labels is not None and len(self.labels) != classes:
            raise ValueError(f"{len(self.labels)} labels for {classes} classes")
        return self

    @model_validator(mode="after")
    def _input_is_the_preprocessing_s(self) -> Manifest:
        spec, pixels = self.preprocessing, self.takes_pixels
        if (self.input.layout == "NHWC") != pixels:
            raise ValueError(f"the input is {self.input.dtype} in {self.input.layout}: pixels, and only they, are NHWC")
        if self.input.dtype == "float16" or self.output.dtype != "float32":
            raise ValueError(f"no engine takes {self.input.dtype} and gives {self.output.dtype}")
        check_elements(self.input.shape)
        given = (*spec.size, spec.channels) if pixels else spec.shape
        if self.input.shape[1:] != given:
            raise ValueError(f"the input {self.input.shape} is not what preprocessing gives {given}")
        return self

    @model_validator(mode="after")
    def _options_are_those_of_a_build(self) -> Manifest:
        check_options(self.target, self.runtime.options)
        return self

    @property
    def takes_pixels(self) -> bool:
        """Whether the normalization is inside the engine, which then takes uint8 ``[N, H, W, C]``."""
        return self.input.dtype == "uint8"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The labels, or the classes' numbers where there are none."""
        return self.labels or tuple(str(index) for index in range(self.source.config.num_classes))

    def file_with_role(self, role: str) -> str | None:
        """The path of the first file with ``role``, or None."""
        return next((path for path, entry in sorted(self.files.items()) if entry.role == role), None)

    def digest(self) -> str:
        """SHA-256 of all but ``files``, whose checksums speak for themselves: ``golden.npz`` holds it.

        Defaults are left out, so that a later version's new fields do not change it.
        """
        document = plain_document(self.model_dump(mode="json", exclude={"files"}, exclude_defaults=True))
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """The text of ``manifest.json``: sorted, indented, ending in a newline; texts are made safe to print."""
        document = plain_document(self.model_dump(mode="json", by_alias=True))
        return json.dumps(document, indent=2, sort_keys=True) + "\n"
