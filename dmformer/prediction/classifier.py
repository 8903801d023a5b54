"""Images as applications have them to classes: `Classifier`, which scripts, loops and servers use alike."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dmformer.bundle import Bundle
from dmformer.data.images import MAX_PIXELS
from dmformer.errors import UsageError
from dmformer.prediction.predictor import WAIT_S, ImageSource, Predictor
from dmformer.tasks.classification import Classification, Guess


class Classifier(Predictor):
    """A `Predictor` of bundles for classification.

    Attributes:
        classes: Number of classes.

    Examples:
        >>> import dmformer
        >>> with dmformer.Classifier("build/shapes-onnxruntime-fp32") as classifier:
        ...     best = classifier.predict("photo.png", top_k=1)[0][0]
        >>> best.label == classifier.labels[best.index]
        True
    """

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.bundle.manifest.source.config.classes

    def predict(self, images: ImageSource | Iterable[ImageSource], top_k: int = 5) -> list[tuple[Guess, ...]]:
        """The most likely classes of each image, best first; see `Predictor.predict`.

        Args:
            images: One image or several.
            top_k: How many classes for each image; no more than the model has.

        Raises:
            UsageError: The bundle is for another task, ``top_k`` is below 1, or the classifier is closed.
            DmformerError: See `Predictor.predict`.
        """
        if not isinstance(self.task, Classification):
            raise UsageError(f"{self.bundle.path}: is for {self.task.name}", "use dmformer.Predictor")
        if top_k < 1:
            raise UsageError(f"top_k {top_k} is not possible", "give 1 or more")
        return super().predict(images, top_k)


def load(
    bundle: Bundle | Path | str,
    *,
    sessions: int = 1,
    threads: int = 0,
    device: str = "cpu",
    timeout: float | None = WAIT_S,
    max_pixels: int = MAX_PIXELS,
) -> Predictor:
    """Opens a bundle for answers: as a `Classifier` where it classifies, as a `Predictor` for any other task.

    Args:
        bundle: A bundle, or the path of one.
        sessions: Inferences at the same time, 1 to 256.
        threads: Threads inside one inference; 0 leaves the choice to the runtime.
        device: The runtime's name of a device.
        timeout: Seconds that a call waits for a free session; None waits for ever.
        max_pixels: Larger images are refused before they are decoded.

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
    kind = Classifier if isinstance(checked.manifest.task, Classification) else Predictor
    return kind(checked, sessions=sessions, threads=threads, device=device, timeout=timeout, max_pixels=max_pixels)
