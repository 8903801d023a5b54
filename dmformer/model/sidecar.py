"""`config.json` beside weights: ours, or another program's, which is `dmformer.model.foreign`'s to read.

Every tool calls its file so. What is not ours never stops loading: it is left aside, and that is said.
"""

from __future__ import annotations

import json
from pathlib import Path

from dmformer.model.config import ModelConfig
from dmformer.model.inputs import FIELDS
from dmformer.reading import read_bounded

SIDECAR = "config.json"
PROCESSOR = "preprocessor_config.json"
MAX_JSON_BYTES = 2**20
PARTS = frozenset({"model", "preprocessing", "labels", "name"})
_NETWORK = frozenset(ModelConfig.model_fields)
_OWN_NETWORK = frozenset({"widths", "ffn_ratios", "gate_reduction", "stem_width", "dilations", "layer_scale"})
_OWN_IMAGES = frozenset(FIELDS) - {"mean", "std", "interpolation"}


def read_sidecar(weights: Path, name: str = SIDECAR) -> bytes | None:
    """The file of a name beside ``weights``; None where there is none.

    Raises:
        OSError: It cannot be read, is no regular file, or is larger than 1 MiB.
    """
    try:
        return read_bounded(weights.parent / name, MAX_JSON_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_ours(content: bytes) -> bool:
    """Whether a file is meant for this project, be it damaged: by fields that no other program has."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return sum(f'"{name}"'.encode() in content for name in _OWN_NETWORK) > 1
    if not isinstance(document, dict):
        return False
    if _describes(document, _NETWORK, _OWN_NETWORK):
        return True
    network, images = document.get("model"), document.get("preprocessing")
    if _describes(network, _NETWORK, _OWN_NETWORK):
        return True
    # These are called so elsewhere too: beside anything of another program they are not ours.
    alone = document.keys() <= PARTS and not isinstance(network, str)
    return alone and (isinstance(document.get("labels"), list) or _describes(images, frozenset(FIELDS), _OWN_IMAGES))


def _describes(part: object, known: frozenset[str], own: frozenset[str]) -> bool:
    """Whether most fields of a part are ours, and one of them nobody else's."""
    return isinstance(part, dict) and bool(own & part.keys()) and 2 * len(known & part.keys()) > len(part)
