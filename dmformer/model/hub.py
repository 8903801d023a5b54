"""Weights from the Hugging Face hub: the commit that an ``hf://`` address means, and its safetensors and JSON alone.

Of what the hub answers, commit, names and sizes are checked before anything is fetched into the library's own cache.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dmformer.errors import CheckpointError, DmformerError, MissingBackendError, UsageError, reraise_stop
from dmformer.model.sidecar import MAX_JSON_BYTES, PROCESSOR, SIDECAR
from dmformer.texts import is_plain, listed, one_line
from dmformer.weights import HUB, INDEX, MAX_FILE_BYTES, MAX_INDEX_BYTES, is_on_hub

TIMEOUT = 10
"""Seconds for the first answer; without, the library would wait for ever."""

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
# What the hub takes for names; of an address that pathlib has read, one slash is left.
_ADDRESS = re.compile(rf"hf://?(?!.*\.\.|[^@]*(?:--|\.git(?:@|\Z)))({_PART}/{_PART})(?:@(\w[\w./+-]*))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
# A name alone, in the root: a path, a drive or a pattern to nobody.
_FILE = re.compile(r"[^./\\:*?\[\]][^/\\:*?\[\]]*")
_LIMITED = ("only those with access are given it", "Ask for it on the repository's page, then run `hf auth login`.")
# By the library's error, or the status of the answer.
_REFUSALS = {
    "RevisionNotFoundError": ("no such revision", "Give a branch, a tag or the whole hash of a commit."),
    "RepositoryNotFoundError": ("no such repository", "Check its name; where it is private, run `hf auth login`."),
    **dict.fromkeys(("GatedRepoError", "401", "403"), _LIMITED),
}


@dataclass(frozen=True)
class HubReference:
    """A repository on the hub, ``org/name``, and its branch, tag or commit; None is the default branch."""

    repository: str
    revision: str | None

    def __str__(self) -> str:
        return f"{HUB}{self.repository}" + (f"@{self.revision}" if self.revision else "")

    @classmethod
    def parse(cls, text: str | Path) -> HubReference | None:
        """What an address means, or None for what is none; raises `UsageError` where it names no repository."""
        if not is_on_hub(text):
            return None
        given = text.as_posix() if isinstance(text, Path) else text
        if (match := _ADDRESS.fullmatch(given)) is None:
            said = f"{one_line(given, 160)}: names no repository on the hub"
            raise UsageError(said, "Give hf://org/name or hf://org/name@revision: a whole repository, no file of it.")
        return cls(match[1], match[2])


@dataclass(frozen=True)
class Fetched:
    """The folder with safetensors and JSON files of a repository's root, as they are in the commit ``revision``."""

    folder: Path
    repository: str
    revision: str


def fetch(reference: HubReference) -> Fetched:
    """Fetches what the cache lacks; a pinned commit that is there is given also where the hub is out of reach.

    Raises:
        CheckpointError: The hub is out of reach or does not give it, or it holds no safetensors, or too much.
        MissingBackendError: The package huggingface_hub is not installed.
    """
    try:
        import huggingface_hub.errors  # noqa: F401
    except ImportError as error:
        said = "hf:// addresses need huggingface_hub, which is not installed"
        raise MissingBackendError(said, "pip install 'dmformer[hub]'") from error
    with _quiet():
        try:
            return _fetch(reference)
        except DmformerError:
            raise
        except Exception as error:  # of another HTTP library in each version, of the disk, or over a hostile answer
            reraise_stop(error)
            refusal = _refusal(reference, error)
            if refusal is None and (kept := _cached(reference)):
                return kept
            said = one_line(f"the hub cannot be reached or read ({type(error).__name__}: {error})", 200)
            hint = "Check the network, HF_ENDPOINT and HF_HUB_OFFLINE; or give a commit that was fetched before "
            hint += f"(hf://org/name@commit), or a file: `hf download {reference.repository}` where there is a network."
            raise refusal or CheckpointError(f"{reference}: {said}", hint) from error


def _fetch(reference: HubReference) -> Fetched:
    from huggingface_hub import HfApi, snapshot_download

    name, asked = reference.repository, reference.revision
    info = HfApi().model_info(name, revision=asked, files_metadata=True, timeout=TIMEOUT)
    commit = asked if asked and _COMMIT.fullmatch(asked) else str(info.sha)
    if commit != info.sha or not _COMMIT.fullmatch(commit):
        raise ValueError(f"the commit is {info.sha!r}")
    sizes = {file.rfilename: file.size for file in info.siblings or () if file.size is not None}
    # Weights last: where they are, an interrupted download has left what describes them too.
    for names in _wanted(reference, sizes):
        folder = snapshot_download(name, revision=commit, allow_patterns=names)
    return Fetched(Path(folder), name, commit)


def _wanted(reference: HubReference, sizes: Mapping[str, int]) -> list[list[str]]:
    """Names of JSON files in the root, if any, and of weights."""
    names = [name for name in sizes if _FILE.fullmatch(name) and is_plain(name)]
    if not (weights := [name for name in names if name.endswith(".safetensors")]):
        kinds = listed(sorted({one_line(Path(name).suffix or name, 20) for name in sizes}), 12)
        hint = "Ask its authors for safetensors, or download a .bin or .pt file that you trust and give its path."
        raise CheckpointError(f"{reference}: no .safetensors file in its root, only {kinds or 'nothing'}", hint)
    most = {name: MAX_INDEX_BYTES if name.endswith(INDEX) else MAX_JSON_BYTES for name in names}
    described = [name for name in names if name.endswith(".json") and sizes[name] <= most[name]]
    if (total := sum(sizes[name] for name in weights + described)) > MAX_FILE_BYTES:
        hint = "Give a repository with the weights of one model alone."
        raise CheckpointError(f"{reference}: {total / 2**30:.1f} GiB is more than a DMFormer can have (8 GiB)", hint)
    return [described, weights] if described else [weights]


def _cached(reference: HubReference) -> Fetched | None:
    """A pinned commit in the cache, whole as far as it is read."""
    from huggingface_hub import snapshot_download

    name, commit = reference.repository, reference.revision
    if not commit or not _COMMIT.fullmatch(commit):
        return None
    read, aside = ["*.safetensors", "*.index.json", SIDECAR, PROCESSOR], ["*/*", ".*"]
    try:
        folder = Path(
            snapshot_download(name, revision=commit, local_files_only=True, allow_patterns=read, ignore_patterns=aside)
        )
    except OSError:
        return None
    return Fetched(folder, name, commit) if any(folder.glob("*.safetensors")) else None


def _refusal(reference: HubReference, error: Exception) -> CheckpointError | None:
    """What the hub or the disk have against it; None where the hub was not heard."""
    # While it looks for a file, the library hides its reason in another error.
    cause = (isinstance(error, FileNotFoundError) and error.__cause__) or error
    status = str(getattr(getattr(cause, "response", None), "status_code", None))
    found = _REFUSALS.get(type(cause).__name__) or _REFUSALS.get(status)
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ConnectionError | TimeoutError):
        said = f"cannot be kept in the cache ({one_line(cause.strerror or '', 160)})"
        found = said, "Make room, or set HF_HOME to a folder that can be written."
    return CheckpointError(f"{reference}: {found[0]}", found[1]) if found else None


@contextmanager
def _quiet() -> Iterator[None]:
    """The library without bars and warnings, telling nobody what else is installed; afterwards it is as it was."""
    from huggingface_hub import constants
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import disable_progress_bars, progress_bar_states

    with warnings.catch_warnings(), ExitStack() as restored:
        warnings.simplefilter("ignore")
        restored.callback(progress_bar_states.update, dict(progress_bar_states))
        restored.callback(progress_bar_states.clear)
        restored.callback(logging.set_verbosity, logging.get_verbosity())
        restored.callback(setattr, constants, "HF_HUB_DISABLE_TELEMETRY", constants.HF_HUB_DISABLE_TELEMETRY)
        disable_progress_bars()
        logging.set_verbosity(100)  # above all levels
        constants.HF_HUB_DISABLE_TELEMETRY = True
        yield
