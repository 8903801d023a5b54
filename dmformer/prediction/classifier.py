"""Images as applications have them to classes: `Classifier`, which scripts, loops and servers use alike."""

from __future__ import annotations

from collections.abc import Iterable

from dmformer.errors import UsageError
from dmformer.prediction.predictor import ImageSource, Predictor
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
