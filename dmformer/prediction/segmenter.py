"""Images as applications have them to a class for every pixel: `Segmenter`."""

from __future__ import annotations

from collections.abc import Iterable

from dmformer.errors import UsageError
from dmformer.prediction.predictor import ImageSource, Predictor
from dmformer.tasks.segmentation import Segmentation, SemanticSegmentation


class Segmenter(Predictor):
    """A `Predictor` of bundles for semantic segmentation.

    Examples:
        >>> import dmformer
        >>> with dmformer.Segmenter("build/scenes-onnxruntime-fp32") as segmenter:
        ...     (answer,) = segmenter.predict("photo.png")
        >>> answer.classes.shape  # as the photo
        (9, 9)
    """

    def predict(self, images: ImageSource | Iterable[ImageSource], most: int = 5) -> list[Segmentation]:
        """The class of every pixel of each image, at the image's own size; see `Predictor.predict`.

        Args:
            images: One image or several.
            most: Not used: every pixel has one class.

        Raises:
            UsageError: The bundle is for another task, or the segmenter is closed.
            DmformerError: See `Predictor.predict`.
        """
        if not isinstance(self.task, SemanticSegmentation):
            raise UsageError(f"{self.bundle.path}: is for {self.task.name}", "use dmformer.Predictor")
        return super().predict(images)
