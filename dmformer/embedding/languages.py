"""The languages by name. Nothing is imported before it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Protocol, cast

from dmformer import host
from dmformer.bundle import Bundle
from dmformer.embedding.answers import check_decided
from dmformer.errors import UsageError
from dmformer.manifest import Manifest
from dmformer.runtimes.fitting import needed_isas
from dmformer.targets import TARGETS, get_target

LANGUAGES: dict[str, str] = {
    "python": "dmformer.embedding.python:Python",
    "cpp": "dmformer.embedding.cpp:Cpp",
    "swift": "dmformer.embedding.swift:Swift",
    "web": "dmformer.embedding.web:Web",
}
"""Name -> where its `Language` is. One file per language."""

TEMPLATES = Path(__file__).parent / "templates"
"""A folder for each language: source files that compile as they are."""

MAX_ELEMENTS = 1 << 28
"""Of a batch: a project fills up the whole of a fixed one, and a gigabyte is more than any exporter makes."""

ANY_OTHER = "other"
"""The folder below ``tasks`` of a language that can give the outputs of any task as they are."""

Content = bytes | Path
"""What a file of a project holds: these bytes, or those of that file."""


@dataclass(frozen=True)
class Step:
    """One command on the way from the project to the running program.

    Attributes:
        command: As it is typed in a shell, in the project's directory.
        why: What it does, in a few words.
    """

    command: str
    why: str


class Language(Protocol):
    """How a bundle becomes a project in one language."""

    @property
    def name(self) -> str:
        """What the user names after ``--lang``."""

    @property
    def title(self) -> str:
        """For people: ``"C++17"``."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets that it has sources for."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The dtypes that its sources can give an engine."""

    @property
    def decides(self) -> bool:
        """Whether its sources decide from scores where the engine does not."""

    @property
    def resources(self) -> str:
        """The folder of the project that ``engine/`` and ``golden/`` go into, or ``"."``."""

    def files(self, bundle: Bundle, name: str) -> Mapping[str, Content]:
        """The project's own files, by their path in it: sources, and the generated parameters.

        The engine, the golden samples and the README are `dmformer.embedding.project`'s.

        Args:
            bundle: What the project is made from.
            name: Of the project, for people; what code calls it is made of that.

        Raises:
            UsageError: The bundle is of a kind that the language cannot run.
        """

    def steps(self, bundle: Bundle) -> tuple[Step, ...]:
        """The commands that build the project, test it and use it on an image."""

    def notes(self, bundle: Bundle, name: str) -> str:
        """What else the README must say: what is needed, where it was not run. Markdown."""


def get_language(name: str) -> Language:
    """The language of a name.

    Raises:
        UsageError: There is no such language.
    """
    if name not in LANGUAGES:
        raise UsageError(f"there is no language {name!r}", f"choose from: {', '.join(LANGUAGES)}")
    module, _, attribute = LANGUAGES[name].partition(":")
    return cast(Language, getattr(import_module(module), attribute)())


def run_by(language: Language) -> tuple[str, ...]:
    """The targets whose bundles a language runs: those that it has sources for, and what is embedded as one of them."""
    others = (row.name for row in TARGETS.values() if row.embedded_as in language.targets)
    return tuple(dict.fromkeys((*language.targets, *others)))


def variant_of(target: str) -> str:
    """The target whose sources run the engines of another, or of itself."""
    return get_target(target).embedded_as or target


def template_files(folder: str) -> dict[str, Content]:
    """Every file under ``templates/FOLDER``, by its path below it; caches and hidden files are left out."""
    root = TEMPLATES / folder
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    names = {path.relative_to(root): path for path in files}
    return {
        name.as_posix(): path
        for name, path in names.items()
        if not any(part.startswith(".") or part == "__pycache__" for part in name.parts)
    }


def sources(language: str, bundle: Bundle, *variants: str) -> dict[str, Content]:
    """The files of a language's project that are no parameters: what is common, of its runtime, and of its task.

    A task's file stands in the place of a common one with its name.

    Args:
        language: Name of a folder of `TEMPLATES`.
        bundle: Its task decides.
        variants: Further folders below the language's.

    Raises:
        UsageError: The language has no sources for the task.
    """
    files: dict[str, Content] = {}
    for folder in ("common", *variants):
        files |= template_files(f"{language}/{folder}")
    return files | task_files(language, bundle)


def task_files(language: str, bundle: Bundle) -> dict[str, Content]:
    """A language's own files for the bundle's task, or those for any other one."""
    task = bundle.manifest.task.name
    files = template_files(f"{language}/tasks/{task}") or template_files(f"{language}/tasks/{ANY_OTHER}")
    if files:
        return files
    raise UsageError(
        f"{bundle.path}: is for {task}, which {language} has no sources for", "use --lang python, or dmformer.Predictor"
    )


def engine_file(bundle: Bundle) -> str:
    """The path of the engine in the bundle.

    Raises:
        UsageError: It has none.
    """
    name = bundle.manifest.file_with_role("engine")
    if name is None and get_target(bundle.manifest.target).builds_later:
        raise UsageError(f"{bundle.path}: its engine is not built yet", f"dmformer build {bundle.path}, on the device")
    if name is None:
        raise UsageError(f"{bundle.path}: it has no engine", "export it again")
    return name


def cpu_flags(manifest: Manifest) -> tuple[str, ...]:
    """What Linux calls the instructions of which a CPU must have one to run an INT8 engine; empty asks for none."""
    return tuple(host.ISA_FLAGS[name][-1] for name in host.DOT_PRODUCTS) if needed_isas(manifest) else ()


def passed_on(manifest: Manifest) -> dict[str, str]:
    """The runtime's options that a project opens its engine with; of other targets they are the builder's notes.

    A manifest has none but those of `dmformer.targets`.
    """
    return manifest.runtime.options if get_target(manifest.target).passes_options else {}


def check_engine(bundle: Bundle, language: Language) -> None:
    """Raises `UsageError` where the engine takes or gives what a language's sources cannot handle."""
    manifest = bundle.manifest
    if not language.decides:
        check_decided(bundle, language.name)
    if manifest.input.dtype not in language.inputs:
        raise UsageError(
            f"{bundle.path}: its engine takes {manifest.input.dtype}, "
            f"and {language.name} gives {' or '.join(language.inputs)}",
            f"export it without --embed-preprocessing; {language.name} does the preprocessing itself",
        )
    if manifest.output.dtype != "float32":
        raise UsageError(
            f"{bundle.path}: its engine gives {manifest.output.dtype}, and {language.name} reads float32",
            "export it with float32 output",
        )
    if prod(side or 1 for side in manifest.usual_input) > MAX_ELEMENTS:
        raise UsageError(
            f"{bundle.path}: its engine takes {manifest.usual_input}, more than {MAX_ELEMENTS} values at once",
            "export it with a smaller --batch",
        )
