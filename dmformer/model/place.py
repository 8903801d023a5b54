"""Where weights lie: in a file, in a folder, on the hub, or embedded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dmformer import assets
from dmformer.model.hub import HubReference, fetch
from dmformer.weights import file_of, name_of


@dataclass(frozen=True)
class Place:
    """Where weights lie.

    Attributes:
        file: To read: one of weights, or the index of shards.
        name: What they are called where they do not say.
        origin: The hub's address with the commit, of what was fetched.
        notes: Where they were fetched from, in words.
    """

    file: Path
    name: str
    origin: str | None = None
    notes: tuple[str, ...] = ()


def place_of(path: str | Path | None) -> Place:
    """Finds weights: a file, the one in a folder, what is on the hub, or the embedded ones.

    Raises:
        CheckpointError: There are none, or several.
        MissingBackendError: They are on the hub, and huggingface_hub is not installed.
    """
    given = assets.checkpoint() if path is None else path
    reference = HubReference.parse(given)
    if reference is None:
        return Place(file_of(Path(given)), name_of(Path(given)))
    fetched = fetch(reference)
    origin = str(HubReference(fetched.repository, fetched.revision))
    return Place(file_of(fetched.folder), fetched.repository.rpartition("/")[2], origin, (f"the weights are {origin}",))
