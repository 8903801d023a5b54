"""Images as applications have them to answers: `Predictor`, which scripts, loops and servers use alike."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmformer.bundle import Bundle
from dmformer.data.images import MAX_PIXELS, load_image
from dmformer.engine_input import from_images
from dmformer.errors import DataError, UsageError
from dmformer.framing import framing_of
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.engine import images_at_once
from dmformer.runtimes.pool import EnginePool
from dmformer.tasks.base import Answer, Result

if TYPE_CHECKING:
    from typing_extensions import Self

ImageSource: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | NDArray[Any]"
"""One image: a path, the bytes of an image file, a Pillow image, or uint8 pixels ``[H, W]`` or ``[H, W, C]``."""

WAIT_S = 30.0
FORMS = "give paths, bytes of image files, Pillow images or uint8 arrays [H, W], [H, W, C] or [N, H, W, C]"


class Predictor:
    """The engine of a bundle behind one call. Needs no torch; a context manager.

    `predict` may be called from any number of threads: images are decoded and preprocessed in the calling thread, and
    at most ``sessions`` inferences run at the same time; who comes later waits.

    Attributes:
        bundle: The bundle, checked.
        task: What the engine is for; its answers are those of `predict`.
        execution: What the engine runs on and computes in on this machine, as its runtime reports it.

    Examples:
        >>> import dmformer
        >>> with dmformer.Predictor("build/shapes-onnxruntime-fp32") as predictor:
        ...     answers = predictor.predict(["photo.png", "photo.png"])
        >>> len(answers)
        2
    """

    def __init__(
        self,
        bundle: Bundle | Path | str,
        *,
        sessions: int = 1,
        threads: int = 0,
        device: str = "cpu",
        timeout: float | None = WAIT_S,
        max_pixels: int = MAX_PIXELS,
        tile: float | None = None,
    ) -> None:
        """Opens a bundle.

        Args:
            bundle: A loaded bundle, or the path of one.
            sessions: Inferences at the same time, 1 to 256, each with its own copy of the engine.
            threads: Threads inside one inference; 0 leaves the choice to the runtime, or with several sessions gives
                each its share of the cores.
            device: The runtime's name of a device.
            timeout: Seconds that a call waits for a free session; None waits for ever.
            max_pixels: Larger images are refused before they are decoded.
            tile: Show pictures in windows of the engine's size that overlap by this part of a side, 0 to 0.9, and
                average their scores; None shows them as a whole.

        Raises:
            BundleError: The bundle is damaged.
            MissingBackendError: Its runtime is not installed; the hint is the install command.
            UsageError: An argument is out of range.
        """
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
        self.task = self.bundle.manifest.task
        self._timeout, self._max_pixels = timeout, max_pixels
        self._framing = framing_of(self.bundle.manifest, tile)
        self._pool = EnginePool(self.bundle, sessions, SessionOptions(threads, device))
        self.execution = self._pool.execution

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes in the order of their indices; where there are none, the indices as text."""
        return self.bundle.manifest.class_names

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.bundle!r}, {self.execution.precision} by {self.execution.provider})"

    def predict(self, images: ImageSource | Iterable[ImageSource], most: int = 5) -> list[Answer]:
        """The task's answer to each image.

        Images of any number, kind and size may be mixed; they are run in batches of the engine's size, so that a long
        (or lazy) sequence needs the memory of one batch. An array of two or three dimensions is one image, one of four
        is a batch ``[N, H, W, C]``. Grey images suit models of three channels and the other way round.

        Args:
            images: One image or several.
            most: How many alternatives to give at most, where the task has several.

        Returns:
            One answer for each image in order, also where one image was given.

        Raises:
            DataError: No image, or one that cannot be read, is too large or has another number of channels: nothing
                is returned for the others then.
            BusyError: No session became free in time.
            UsageError: ``most`` is below 1, or the predictor is closed.
            EngineError: The engine gave something that is no answer.
        """
        if most < 1:
            raise UsageError(f"{most} alternatives are not possible", "give 1 or more")
        answers: list[Answer] = []
        sources = one_by_one(images)
        manifest, framing = self.bundle.manifest, self._framing
        size = 1 if framing.one_by_one else manifest.input.shape[0] or images_at_once(manifest.preprocessing.size)
        while chunk := list(islice(sources, size)):
            pixels = [self._load(source, len(answers) + index) for index, source in enumerate(chunk)]
            sizes = [(image.shape[0], image.shape[1]) for image in pixels]
            answers += self.task.answers(self._result(pixels), framing.resize, manifest.legend, sizes, most)
        if not answers:
            raise DataError("no image was given", FORMS)
        return answers

    def close(self) -> None:
        """Releases the engine; calls that are under way end first. May be called twice."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _result(self, images: list[NDArray[np.uint8]]) -> Result:
        framing, manifest = self._framing, self.bundle.manifest
        if framing.one_by_one:
            with self._pool.lend(self._timeout) as engine:
                # Of windows the scores are averaged: a map that the graph decided would not do.
                return framing.result(images[0], engine.answer_images if framing.overlap is None else engine.run_images)
        batch = from_images(manifest, images)
        with self._pool.lend(self._timeout) as engine:
            return engine.answer(batch)

    def _load(self, source: ImageSource, position: int) -> NDArray[np.uint8]:
        if isinstance(source, str | os.PathLike):
            # Its message names the file.
            return load_image(Path(source), self._max_pixels)
        given = bytes(source) if isinstance(source, bytearray | memoryview) else source
        if not isinstance(given, bytes | Image.Image | np.ndarray):
            raise DataError(f"image {position}: an object of type {type(given).__name__} is no image", FORMS)
        try:
            return load_image(given, self._max_pixels)
        except DataError as error:
            raise type(error)(f"image {position}: {error.message}", error.hint) from error


def one_by_one(images: ImageSource | Iterable[ImageSource]) -> Iterator[ImageSource]:
    """The images one after the other.

    Raises:
        DataError: This is neither an image nor several.
    """
    if isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image):
        return iter((images,))
    if isinstance(images, np.ndarray) and images.ndim <= 3:
        return iter((images,))
    if not isinstance(images, Iterable):
        raise DataError(f"an object of type {type(images).__name__} is no image", FORMS)
    return iter(images)
