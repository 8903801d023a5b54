"""A bundle opened for answers, as what its task is best asked through."""

from __future__ import annotations

from pathlib import Path

from dmformer.bundle import Bundle
from dmformer.data.images import MAX_PIXELS
from dmformer.errors import UsageError
from dmformer.prediction.classifier import Classifier
from dmformer.prediction.predictor import WAIT_S, Predictor
from dmformer.prediction.segmenter import Segmenter
from dmformer.tasks.base import Task
from dmformer.tasks.classification import Classification
from dmformer.tasks.segmentation import SemanticSegmentation

FACES: dict[type[Task], type[Predictor]] = {Classification: Classifier, SemanticSegmentation: Segmenter}


def load(
    bundle: Bundle | Path | str,
    *,
    sessions: int = 1,
    threads: int = 0,
    device: str = "cpu",
    timeout: float | None = WAIT_S,
    max_pixels: int = MAX_PIXELS,
    tile: float | None = None,
) -> Predictor:
    """Opens a bundle for answers: as a `Classifier` or `Segmenter` by its task, as a `Predictor` for any other.

    Args:
        bundle: A bundle, or the path of one.
        sessions: Inferences at the same time, 1 to 256.
        threads: Threads inside one inference; 0 leaves the choice to the runtime.
        device: The runtime's name of a device.
        timeout: Seconds that a call waits for a free session; None waits for ever.
        max_pixels: Larger images are refused before they are decoded.
        tile: Of a segmenter: show pictures in windows of its size that overlap by this part of a side, 0 to 0.9.

    Returns:
        A context manager; it needs no torch.

    Raises:
        UsageError: This is a file, as weights are; or an argument is out of range.
        BundleError: The bundle is damaged.
        MissingBackendError: Its runtime is not installed; the hint is the install command.

    Examples:
        >>> import dmformer
        >>> with dmformer.load("build/shapes-onnxruntime-fp32") as model:
        ...     guesses = model.predict("photo.png")[0]
        >>> guesses[0].label in model.labels
        True
    """
    if not isinstance(bundle, Bundle) and Path(bundle).is_file():
        raise UsageError(
            f"{bundle}: is a file, and a bundle is a directory",
            "of weights, dmformer.export(...) makes a bundle, and dmformer.load_checkpoint(...) reads them",
        )
    checked = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    kind = FACES.get(type(checked.manifest.task), Predictor)
    return kind(
        checked, sessions=sessions, threads=threads, device=device, timeout=timeout, max_pixels=max_pixels, tile=tile
    )
