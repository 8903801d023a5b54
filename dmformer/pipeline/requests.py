"""What the commands besides ``export`` are asked, as data; see `dmformer.options`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from dmformer.common_options import Bundled, Device, Threads
from dmformer.options import Option


@dataclass(frozen=True)
class EmbedOptions:
    """A project to write around an engine.

    Attributes:
        bundle: The bundle's directory.
        lang: One of `dmformer.embedding.languages.LANGUAGES`.
        output: The directory to make.
        force: Replace a project there to which nothing was added.
    """

    bundle: Bundled
    lang: Annotated[str, Option("--lang -l", "Language of the application.")]
    output: Annotated[Path, Option("--output -o", "Directory to make.")]
    force: Annotated[bool, Option("--force", "Replace a project at --output.")] = False


@dataclass(frozen=True)
class PredictOptions:
    """Images to classify.

    Attributes:
        images: Files.
        bundle: The bundle's directory; None takes the only one under ``build/``.
        top_k: Classes to tell for each image.
        threads: Inside one inference; 0 leaves the choice to the runtime.
        device: The runtime's name of a device.
    """

    images: Annotated[tuple[Path, ...], Option("images", "Image files.")]
    bundle: Annotated[Path | None, Option("--bundle -b", "A bundle. Default: the only one under build/.")] = None
    top_k: Annotated[int, Option("--top-k -k", "Classes to show for each image.", min=1)] = 5
    threads: Threads = 0
    device: Device = "cpu"


@dataclass(frozen=True)
class CompareOptions:
    """Two measurements to compare.

    Attributes:
        before: What ``dmformer bench`` wrote earlier; ``after`` likewise later.
        tolerance: How much slower is allowed, as a share.
        max_drop: How much top-1 or agreement may fall, percentage points.
    """

    before: Annotated[Path, Option("before", "The earlier report: JSON of bench.")]
    after: Annotated[Path, Option("after", "The later one.")]
    tolerance: Annotated[float, Option("--tolerance", "How much slower is allowed: 0.05 is 5 %.", min=0)] = 0.05
    max_drop: Annotated[
        float, Option("--max-drop", "How much top-1 or agreement may fall, percentage points.", min=0)
    ] = 0.1


@dataclass(frozen=True)
class CacheOptions:
    """The cached ranges.

    Attributes:
        clear: Remove every entry.
    """

    clear: Annotated[bool, Option("--clear", "Remove every entry.")] = False


@dataclass(frozen=True)
class DoctorOptions:
    """What this machine can do: nothing is asked besides."""
