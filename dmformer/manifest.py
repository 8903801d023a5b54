"""The manifest of a bundle: everything about an engine that its file does not say itself.

Pydantic models, because a manifest is read from disk and must not be trusted: unknown fields, paths
that leave the bundle and values out of range are refused. `docs/manifest.schema.json` is this module's
JSON Schema; a test keeps the two equal.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from dmformer.fields import Decibels, Palette, Score, Strict, TensorSpec, check_elements
from dmformer.preprocessing import Preprocessing
from dmformer.records import FileEntry, HostRecord, PrecisionRecord, RuntimeRecord, SourceRecord
from dmformer.targets import check_options
from dmformer.tasks import version_1
from dmformer.tasks.base import Legend, Task
from dmformer.texts import plain_document

SCHEMA, FIRST_SCHEMA = "dmformer.bundle/2", "dmformer.bundle/1"

SAFE_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")
"""Names that need no quoting in any shell, source or document: all that exporters write."""


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


class Tolerance(Strict):
    """What an engine must keep to pass.

    Attributes:
        max_abs_error: Largest allowed difference of an output, in units of the reference's largest
            absolute output or of 1, whichever is greater; None does not check.
        min_agreement: Smallest allowed share of equal decisions, 0 to 1.
        min_sqnr_db: Smallest allowed signal to quantization noise ratio in dB.
        max_drop: Largest allowed loss of the task's headline figure in its unit, where the right answers are known.
        on_few_images: Which of `min_agreement` and `max_drop` somebody asked for: on the largest set they hold as they
            are, however small it is; others leave room for chance. True, of earlier versions, means both.
    """

    max_abs_error: Annotated[float, Field(gt=0)] | None = None
    min_agreement: Annotated[float, Field(ge=0, le=1)] | None = None
    min_sqnr_db: float | None = None
    max_drop: float | None = None
    on_few_images: tuple[Literal["min_agreement", "max_drop"], ...] | bool = False

    def is_asked(self, name: str) -> bool:
        """Whether somebody asked for ``min_agreement`` or ``max_drop``."""
        return self.on_few_images if isinstance(self.on_few_images, bool) else name in self.on_few_images


class Comparison(Strict):
    """An engine's answers against the FP32 PyTorch reference's on one set of images.

    Attributes:
        data: What the images are.
        data_sha256: Digest of the set.
        images: How many were compared.
        decisions: How many were compared: one for each image where nobody says otherwise.
        agreement: Share of equal decisions, 0 to 1; None, like the next three, where the reference's outputs were not
            at hand and only right answers were counted, and where nothing is decided.
        sqnr_db: Signal to quantization noise ratio in dB, of several outputs the worst one's; None also where the
            outputs are equal. ``sqnr_db_by_output`` has that of each of several.
        max_abs_error: Largest difference of a value, of several outputs in the one where it weighs most.
        reference_scale: Largest absolute output of the reference.
        figures: The task's figures by their keys; empty where no right answers are known.
        drop_error: Standard error of the headline's drop in its unit, counted in pairs, image by image; None where that
            was not done.
        by_class: The headline of each class where the task knows one of classes; None of a class that is in no answer,
            right or given.
    """

    data: str
    data_sha256: str
    images: Annotated[int, Field(ge=1, le=1 << 62)]
    decisions: Annotated[int, Field(ge=1, le=1 << 62)] | None = None
    agreement: Annotated[float, Field(ge=0, le=1)] | None = None
    sqnr_db: Decibels | None = None
    sqnr_db_by_output: tuple[Decibels | None, ...] = ()
    max_abs_error: Annotated[float, Field(ge=0)] | None = None
    reference_scale: Annotated[float, Field(ge=0)] | None = None
    figures: dict[str, Score] = {}  # noqa: RUF012 - pydantic copies it
    drop_error: Annotated[float, Field(ge=0, le=1e12)] | None = None
    by_class: tuple[Score | None, ...] = ()


class Proof(Strict):
    """The accuracy proof: what was compared, what was asked for, and whether it held.

    Attributes:
        by: What was run: the ``engine`` itself, or where that cannot run its numerical ``twin``, a graph that rounds
            every tensor as the engine does, in ONNX Runtime.
        executes: What the engine computed in where it was run, as the runtime reports it there; None says what
            `PrecisionRecord` does.
        notes: What a reader must know of it, a line each: what was not run or not measured and why, and what was within
            chance alone.
    """

    by: Literal["engine", "twin"] = "engine"
    executes: str | None = None
    passed: bool
    tolerance: Tolerance
    comparisons: Annotated[tuple[Comparison, ...], Field(min_length=1)]
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def largest(self) -> Comparison:
        """The comparison on the largest set."""
        return max(self.comparisons, key=lambda comparison: comparison.images)


class Manifest(Strict):
    """The whole of ``manifest.json``.

    Attributes:
        output: What every engine of the task gives, float32: what is verified; ``more_outputs`` the others of a task
            with several.
        answer: What the graph itself decides from it, where it was asked to (``export --argmax``).
        palette: A colour for each class, where somebody chose them.
        options: Those of ``dmformer export`` that made the bundle, by their long names, as ``export --config`` takes
            them; what is not there was the default. None where no command line could say them.
    """

    schema_: Annotated[str, Field(alias="schema", pattern=r"^dmformer\.bundle/[12]$")] = SCHEMA
    name: Annotated[str, Field(min_length=1, max_length=128)]
    target: str
    precision: PrecisionRecord
    files: dict[RelativePath, FileEntry]
    input: TensorSpec
    output: TensorSpec
    more_outputs: tuple[TensorSpec, ...] = ()
    answer: TensorSpec | None = None
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None = None
    palette: Palette | None = None
    runtime: RuntimeRecord
    host: HostRecord
    source: SourceRecord
    tools: dict[str, str]
    proof: Proof | None = None
    not_deterministic: tuple[str, ...] = ()
    options: Annotated[dict[str, JsonValue] | None, AfterValidator(_finite)] = None

    model_config = ConfigDict(populate_by_name=True)

    @model_validator(mode="after")
    def _labels_are_the_classes(self) -> Manifest:
        classes = self.source.config.classes
        size, outputs = None if self.open_size else self.preprocessing.size, self.compared
        expected = self.source.config.outputs(size, self.output.shape[0])
        if [one.shape for one in outputs] != [one.shape for one in expected]:
            shapes = ", ".join(str(one.shape) for one in outputs)
            raise ValueError(f"the outputs {shapes} are not those of {self.source.config.head.kind}, {classes} classes")
        if [one.name for one in self.more_outputs] != [one.name for one in expected[1:]]:
            raise ValueError(f"outputs beside {self.output.name!r} that have other names than the task's")
        for what, given in (("labels", self.labels), ("colours", self.palette)):
            if given is not None and len(given) != classes:
                raise ValueError(f"{len(given)} {what} for {classes} classes")
        return self

    @model_validator(mode="after")
    def _answer_is_decided_from_the_output(self) -> Manifest:
        decided = self.task.class_map(self.output)
        if self.answer is not None and (
            decided is None
            or (self.answer.name, self.answer.shape) != (decided.spec.name, decided.spec.shape)
            or self.answer.dtype not in (decided.spec.dtype, "int32")
        ):
            raise ValueError(f"no graph that gives {self.output.shape} decides {self.answer.shape}")
        return self

    @model_validator(mode="after")
    def _input_is_the_preprocessing_s(self) -> Manifest:
        spec, pixels = self.preprocessing, self.takes_pixels
        if (self.input.layout == "NHWC") != pixels:
            raise ValueError(f"the input is {self.input.dtype} in {self.input.layout}: pixels, and only they, are NHWC")
        if self.input.dtype == "float16" or any(one.dtype != "float32" for one in self.compared):
            raise ValueError(f"no engine takes {self.input.dtype} and gives {self.output.dtype}")
        check_elements(self.input.shape)
        size = (None, None) if self.open_size else spec.size
        given = (*size, spec.channels) if pixels else (spec.channels, *size)
        if self.input.shape[1:] != given:
            raise ValueError(f"the input {self.input.shape} is not what preprocessing gives {given}")
        return self

    @model_validator(mode="after")
    def _options_are_those_of_a_build(self) -> Manifest:
        check_options(self.target, self.runtime.options)
        return self

    @property
    def task(self) -> Task:
        """What the engine is for: the task that its head answers."""
        return self.source.config.task

    @property
    def compared(self) -> tuple[TensorSpec, ...]:
        """The outputs that are compared with PyTorch's."""
        return (self.output, *self.more_outputs)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """All that the engine gives."""
        return self.compared if self.answer is None else (*self.compared, self.answer)

    @property
    def legend(self) -> Legend:
        """How the classes are called and drawn."""
        return Legend(self.class_names, self.palette)

    @property
    def takes_pixels(self) -> bool:
        """Whether the normalization is inside the engine, which then takes uint8 ``[N, H, W, C]``."""
        return self.input.dtype == "uint8"

    @property
    def open_size(self) -> bool:
        """Whether the engine takes any height and width in steps of 32; `preprocessing` says which is the usual one."""
        return self.input.shape[1 if self.takes_pixels else 2] is None

    def outputs_for(self, images: tuple[Any, ...]) -> tuple[TensorSpec, ...]:
        """`outputs` for images, whose shape is that of what the engine takes."""
        height, width = images[1:3] if self.takes_pixels else images[2:4]
        outputs = self.source.config.outputs((height, width), images[0])
        map_ = self.task.class_map(outputs[0]) if self.answer else None
        return outputs if map_ is None else (*outputs, map_.spec)

    @property
    def usual_input(self) -> tuple[int | None, ...]:
        """Shape of its input with the usual height and width where they are open."""
        spec = self.preprocessing
        return (self.input.shape[0], *((*spec.size, spec.channels) if self.takes_pixels else spec.shape))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The labels, or the classes' numbers where there are none."""
        return self.labels or tuple(str(index) for index in range(self.source.config.classes))

    def file_with_role(self, role: str) -> str | None:
        """The path of the first file with ``role``, or None."""
        return next((path for path, entry in sorted(self.files.items()) if entry.role == role), None)

    def digest(self) -> str:
        """SHA-256 of all but ``files``, whose checksums speak for themselves: ``golden.npz`` holds it.

        Defaults are left out, so that a later version's new fields do not change it.
        """
        document = plain_document(self.model_dump(mode="json", exclude={"files"}, exclude_defaults=True))
        if self.schema_ == FIRST_SCHEMA:
            document = version_1.digested(document)
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """The text of ``manifest.json``: sorted, indented, ending in a newline; texts are made safe to print."""
        document = plain_document(self.model_dump(mode="json", by_alias=True))
        return json.dumps(document, indent=2, sort_keys=True) + "\n"
