"""Writes a project: the language's files, the engine, the golden samples, a README and the mark of who made it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dmformer.bundle import Bundle
from dmformer.embedding.languages import LANGUAGES, Content, Language, Step, check_engine, get_language, run_by
from dmformer.embedding.readme import readme
from dmformer.embedding.samples import FOLDER, golden_files
from dmformer.errors import UsageError
from dmformer.staging import PROJECT, staged
from dmformer.texts import plain

SCHEMA = "dmformer.project/1"
ENGINE_FOLDER = "engine"


@dataclass(frozen=True)
class Project:
    """A project on disk.

    Attributes:
        path: Its directory.
        language: The language's name.
        target: The bundle's.
        steps: What to type there next.
        files: How many files it has.
        bytes: Their size together.
    """

    path: Path
    language: str
    target: str
    steps: tuple[Step, ...]
    files: int
    bytes: int


def embed(bundle: Bundle, language: str, output: Path, force: bool = False, name: str | None = None) -> Project:
    """Makes a project from a bundle.

    Args:
        bundle: A loaded bundle.
        language: One of `dmformer.embedding.languages.LANGUAGES`.
        output: The directory to make.
        force: Replace a project there to which nothing was added. Nothing else is ever replaced.
        name: Of the project; None takes that of ``output``.

    Raises:
        UsageError: No such language, it cannot run the bundle's target or what its engine takes, or the bundle fell
            below its tolerance.
        BundleError: The golden samples are damaged.
        OutputError: ``output`` exists, or cannot be written.
    """
    writer = get_language(language)
    check_target(bundle, writer)
    check_engine(bundle, writer)
    check_proof(bundle)
    files = project_files(bundle, writer, plain(name or output.absolute().name))
    path = output if is_written(files, output) else _written(files, output, force)
    size = sum((path / file).stat().st_size for file in files)
    return Project(path, writer.name, bundle.manifest.target, writer.steps(bundle), len(files), size)


def is_written(files: Mapping[str, Content], output: Path) -> bool:
    """Whether every file is there already as it would be written: a command may be repeated."""
    return all(
        (output / file).is_file() and _bytes(output / file) == _bytes(content) for file, content in files.items()
    )


def _written(files: Mapping[str, Content], output: Path, force: bool) -> Path:
    with staged(output, force, PROJECT) as staging:
        for file, content in files.items():
            _write(staging.directory / file, content)
        return staging.publish()


def _bytes(content: Content) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def check_target(bundle: Bundle, language: Language) -> None:
    """Raises `UsageError`, which says what can be done, where the language cannot run the bundle's target."""
    target = bundle.manifest.target
    if target in run_by(language):
        return
    able = [name for name in LANGUAGES if target in run_by(get_language(name))]
    others = f"; {target} is run by {', '.join(able)}" if able else ""
    raise UsageError(
        f"{bundle.path}: its target is {target}, which {language.name} cannot run",
        f"{language.name} runs {', '.join(run_by(language))}: make such a bundle with "
        f"`dmformer export WEIGHTS --target {language.targets[0]}`{others}",
    )


def check_proof(bundle: Bundle) -> None:
    """Raises `UsageError` where the bundle's own proof says that it fell below its tolerance."""
    proof = bundle.manifest.proof
    if proof is None or proof.passed:
        return
    raise UsageError(
        f"{bundle.path}: was rejected: {'; '.join(proof.failures) or 'it is below its tolerance'}",
        "export it in another precision, or with the tolerance that you accept (--min-agreement, --max-drop)",
    )


def project_files(bundle: Bundle, language: Language, name: str) -> dict[str, Content]:
    """Every file of a project, by its path in it, sorted."""
    resources = PurePosixPath(language.resources)
    files: dict[str, Content] = dict(language.files(bundle, name))
    files.update({str(resources / ENGINE_FOLDER / name): path for name, path in engine_files(bundle).items()})
    files.update({str(resources / FOLDER / name): data for name, data in golden_files(bundle).items()})
    files["README.md"] = readme(bundle, language, name).encode()
    files[PROJECT.file] = _mark(bundle, language, sorted(files))
    return dict(sorted(files.items()))


def engine_files(bundle: Bundle) -> Mapping[str, Path]:
    """The files that the runtime opens, by their path in the bundle."""
    return {name: bundle.path / name for name, role in bundle.roles.items() if role != "plan"}


def _mark(bundle: Bundle, language: Language, files: list[str]) -> bytes:
    """What a later ``--force`` knows the project and its files by, and a reader where it came from."""
    manifest = bundle.manifest
    mark = {
        "schema": SCHEMA,
        "language": language.name,
        "name": manifest.name,
        "target": manifest.target,
        "precision": manifest.precision.requested,
        "runtime": {"name": manifest.runtime.name, "version": manifest.runtime.version},
        "source_sha256": manifest.source.sha256,
        "engine_sha256": {name: manifest.files[name].sha256 for name in sorted(engine_files(bundle))},
        "files": files,
    }
    return (json.dumps(mark, indent=2) + "\n").encode()


def _write(path: Path, content: Content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        path.write_bytes(content)
