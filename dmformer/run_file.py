"""A run written down: options by their long names, in a TOML file or in the manifest of a bundle that they made."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import Field, TypeAdapter, ValidationError

from dmformer.bundle import Bundle
from dmformer.errors import UsageError
from dmformer.options import PLACES, Leaf, values
from dmformer.reading import read_toml
from dmformer.texts import first_problem
from dmformer.weights import digest_of_weights, is_on_hub

MAX_BYTES = 1 << 20
WEIGHTS = "weights"
"""The argument that names them."""
HINT = "its names are those of the options, without dashes in front: see --help"


def read_run(path: Path, options: Iterable[Leaf], typed: Collection[Leaf]) -> dict[Leaf, Any]:
    """The options that a file names, or that made a bundle, as if they had been typed.

    Args:
        path: A TOML file, or a bundle's directory.
        options: All that there are.
        typed: Those on the command line: they win over the file's.

    Raises:
        UsageError: The file cannot be read, or a name or a value in it cannot be; the message names file and key.
        BundleError: The bundle is damaged.
    """
    bundle = Bundle.load(path) if path.is_dir() else None
    places = {leaf.place for leaf in typed}
    given = given_by(path, options_of(bundle) if bundle else _document(path), options)
    given = {leaf: value for leaf, value in given.items() if leaf.place not in places}
    if bundle:
        check_weights(bundle, [value for leaf, value in given.items() if leaf.name == WEIGHTS])
    return given


def given_by(path: Path, document: Mapping[str, Any], options: Iterable[Leaf]) -> dict[Leaf, Any]:
    """The options that a document names, each with a value that could have been typed.

    Raises:
        UsageError: A name or a value cannot be; the message names the file and the key.
    """
    names = {name: (leaf, True) for leaf in options for name in leaf.option.names}
    names |= {name: (leaf, False) for leaf in options for name in leaf.option.opposites}
    given: dict[Leaf, Any] = {}
    for key, value in document.items():
        leaf, positive = _find(path, key, names)
        checked = _checked(path, key, leaf, value)
        if leaf.option.const is None or checked:
            given[leaf] = checked if positive else not checked
    try:
        values(given)
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", error.hint) from error
    return given


def _document(path: Path) -> dict[str, Any]:
    """The document of a TOML file.

    Raises:
        UsageError: It cannot be read, or is none.
    """
    try:
        return read_toml(path, MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", "give a TOML file, or a bundle") from error
    except ValueError as error:
        raise UsageError(f"{path}: is no TOML ({error})", HINT) from error


def options_of(bundle: Bundle) -> Mapping[str, Any]:
    """The options that a bundle's manifest holds.

    Raises:
        UsageError: It holds none.
    """
    if bundle.manifest.options is None:
        raise UsageError(
            f"{bundle.path}: does not say which options made it",
            "its weights were handed over in Python, or it is of an earlier version: give the options",
        )
    if named := {key.replace("_", "-") for key in bundle.manifest.options}.intersection(PLACES):
        raise UsageError(f"{bundle.path}: names {min(named)}, which no export writes down", "give the options")
    return bundle.manifest.options


def check_weights(bundle: Bundle, weights: Iterable[Path]) -> None:
    """Refuses other weights than those that a bundle was made from.

    Raises:
        UsageError: They are others, or not here.
    """
    for path in weights:
        again = f"name them: dmformer export WEIGHTS --config {bundle.path}"
        if is_on_hub(path):  # its commit is part of the address
            continue
        if not path.exists():
            raise UsageError(f"{path}: the weights that {bundle.path} was made from are not here", again)
        if digest_of_weights(path) != bundle.manifest.source.sha256:
            raise UsageError(f"{path}: is not what {bundle.path} was made from (SHA-256)", again)


def _find(path: Path, key: str, names: Mapping[str, tuple[Leaf, bool]]) -> tuple[Leaf, bool]:
    name = key.replace("_", "-")
    if name in names:
        return names[name]
    closest = get_close_matches(name, names, 1, cutoff=0)
    raise UsageError(f"{path}: there is no option {key[:80]!r}", f"the closest name is {closest[0]}")


def _checked(path: Path, key: str, leaf: Leaf, value: Any) -> Any:
    """A value of the type that is typed for an option; of one that is parsed from a text, also what comes of that."""
    parsed = leaf.option.parse is not None and leaf.typed is str and not isinstance(value, str)
    kind = leaf.kind if parsed else _bounded(leaf.typed, leaf)
    several = [value] if get_origin(kind) is list and not isinstance(value, list) else value
    try:
        return TypeAdapter(kind).validate_json(json.dumps(several, default=str), strict=True)
    except ValidationError as error:
        raise UsageError(f"{path}: {key}: {first_problem(error)}", f"{key}: {leaf.option.help}") from error


def _bounded(kind: Any, leaf: Leaf) -> Any:
    if get_origin(kind) is list:
        return list[_bounded(get_args(kind)[0], leaf)]  # type: ignore[misc]
    return Annotated[kind, Field(ge=leaf.option.min, le=leaf.option.max)]
