"""A bundle on disk: a plain directory with an engine, its manifest and its golden samples.

Loading checks everything before anything is used: the schema, that no path leaves the directory, and
the SHA-256 of every file; of the manifest, ``golden.npz`` holds it. A checksum finds damage and edits: it is no
signature, and who writes all of a bundle anew is not noticed. Nothing in a bundle is ever executed by this module.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from dmformer.errors import BundleError
from dmformer.files import write_atomically
from dmformer.golden import GOLDEN_FILE, Golden, manifest_digest
from dmformer.manifest import FIRST_SCHEMA, SCHEMA, Manifest, Proof
from dmformer.reading import read_json
from dmformer.records import FileEntry
from dmformer.staging import MANIFEST_FILE, PARTIAL
from dmformer.tasks import version_1
from dmformer.texts import brief, first_problem, problem_in

if TYPE_CHECKING:
    from typing_extensions import Self

AGAIN = "export the bundle again"
MAX_MANIFEST_BYTES = 16 << 20
CHUNK = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """A checked bundle.

    Attributes:
        path: Its directory.
        manifest: Its manifest.
    """

    path: Path
    manifest: Manifest

    def __repr__(self) -> str:
        about = self.manifest
        facts = {"path": str(self.path), "target": about.target, "precision": about.precision.named}
        return brief(type(self).__name__, {**facts, "verified": about.proof is not None and about.proof.passed})

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Reads and checks a bundle.

        Args:
            path: Its directory.

        Raises:
            BundleError: Not a bundle, unfinished, of a newer schema, a file missing or changed, or a path that leaves
                the directory.
        """
        directory = Path(path)
        if directory.name.endswith(PARTIAL):
            raise BundleError(f"{directory}: is the unfinished work of a run that was stopped", "export it again")
        try:
            bundle = cls(directory, read_manifest(directory))
            check_files(bundle)
            check_manifest(bundle)
        except OSError as error:
            raise BundleError(f"{error.filename or directory}: cannot be read ({error.strerror})") from error
        return bundle

    def file(self, role: str) -> Path:
        """The path of one of its files.

        Args:
            role: As the manifest names it: ``engine``, ``weights``, ``golden``.

        Raises:
            BundleError: The manifest names none.
        """
        name = self.manifest.file_with_role(role)
        if name is None:
            raise BundleError(f"{self.path}: the manifest names no file with the role {role!r}", "export it again")
        return self.path / name

    @property
    def roles(self) -> dict[str, str]:
        """The role of each file but the golden samples, by its path: what `assemble` takes."""
        return {name: entry.role for name, entry in self.manifest.files.items() if entry.role != "golden"}

    def golden(self) -> Golden:
        """The golden samples: a few dozen images with PyTorch's answers."""
        return Golden.load(self.file("golden"))

    def with_proof(self, proof: Proof) -> Bundle:
        """The same bundle with an accuracy proof in its manifest, on disk too.

        Args:
            proof: What replaces the one before.
        """
        updated = self.manifest.model_copy(update={"proof": proof})
        return assemble(self.path, updated, self.golden(), self.roles)


def assemble(directory: Path, manifest: Manifest, golden: Golden, roles: dict[str, str]) -> Bundle:
    """Turns a directory that holds an engine into a bundle.

    Args:
        directory: Holds the engine's files.
        manifest: All but ``files``, which are measured here.
        golden: Written beside the engine.
        roles: The role of each engine file, by its path relative to the directory.
    """
    # One of an earlier schema is written as today's.
    manifest = manifest.model_copy(update={"schema_": SCHEMA})
    golden.save(directory / GOLDEN_FILE, manifest.digest())
    files = {name: entry_of(directory / name, role) for name, role in {**roles, GOLDEN_FILE: "golden"}.items()}
    complete = manifest.model_copy(update={"files": files})
    write_atomically(directory / MANIFEST_FILE, complete.to_json().encode())
    return Bundle(directory, complete)


def entry_of(path: Path, role: str) -> FileEntry:
    """Size and SHA-256 of a file."""
    return FileEntry(sha256=sha256_of(path), bytes=path.stat().st_size, role=role)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, read in pieces."""
    # One buffer for all pieces: new ones for each take as long as the digest itself.
    digest, piece = hashlib.sha256(), memoryview(bytearray(CHUNK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(piece):
            digest.update(piece[:count])
    return digest.hexdigest()


def read_manifest(directory: Path) -> Manifest:
    """Reads ``manifest.json`` without looking at the other files.

    Raises:
        BundleError: See `Bundle.load`.
    """
    path = directory / MANIFEST_FILE
    if not directory.is_dir():
        raise BundleError(f"{directory}: no such directory", "a bundle is the directory that `dmformer export` made")
    if not path.is_file():
        raise BundleError(f"{directory}: is not a bundle (no {MANIFEST_FILE})", "make one with `dmformer export`")
    try:
        document = read_json(path, MAX_MANIFEST_BYTES)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})", "export the bundle again") from error
    except ValueError as error:
        raise BundleError(f"{path}: is not JSON ({error})", "export the bundle again") from error
    return parse_manifest(document, path)


def parse_manifest(document: Any, path: Path) -> Manifest:
    """Validates the content of a manifest.

    Raises:
        BundleError: A newer schema, or a field that is missing, unknown or out of range.
    """
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema not in (SCHEMA, FIRST_SCHEMA):
        raise BundleError(
            f"{path}: its schema is {ascii(schema)[:80]}, this version reads {SCHEMA!r}",
            "upgrade dmformer, or export the bundle again with this version",
        )
    document = version_1.manifest_of(document) if schema == FIRST_SCHEMA else document
    problem = problem_in(document)
    if problem:
        raise BundleError(f"{path}: {problem}", AGAIN)
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        raise BundleError(f"{path}: {first_problem(error)}", AGAIN) from error


def check_files(bundle: Bundle) -> None:
    """Checks that every file is there, inside, and unchanged.

    Raises:
        BundleError: Names the first file that is not.
    """
    root = bundle.path.resolve()
    for name, entry in sorted(bundle.manifest.files.items()):
        path = bundle.path / name
        if not path.is_file():
            raise BundleError(f"{path}: is missing from the bundle", "copy the bundle again, or export it again")
        if not path.resolve().is_relative_to(root):
            raise BundleError(f"{path}: is a link that leaves the bundle", "copy the bundle again with its files")
        if path.stat().st_size != entry.bytes or sha256_of(path) != entry.sha256:
            raise BundleError(
                f"{path}: differs from what was exported (SHA-256)", "copy the bundle again, or export it again"
            )


def check_manifest(bundle: Bundle) -> None:
    """Raises `BundleError` where the manifest is not the one that the golden samples were written beside."""
    name = bundle.manifest.file_with_role("golden")
    written = manifest_digest(bundle.path / name) if name else None
    if written is not None and written != bundle.manifest.digest():
        raise BundleError(f"{bundle.path / MANIFEST_FILE}: differs from what was exported (SHA-256)", AGAIN)
