"""What is called in Python with plain arguments: each function fills in the request of its command and runs that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from dmformer import bundle as checked
from dmformer.common_options import MaskOptions
from dmformer.evaluation.latency.document import Document as BenchDocument
from dmformer.evaluation.latency.settings import BenchSettings
from dmformer.options import Place, changed
from dmformer.pipeline import embedding, measurement, verifying
from dmformer.pipeline.embedding import EmbedDocument
from dmformer.pipeline.option_groups import ToleranceOptions
from dmformer.pipeline.requests import BenchOptions, EmbedOptions, VerifyOptions
from dmformer.pipeline.verifying import VerifyDocument
from dmformer.progress import Progress
from dmformer.terminal import shown

Bundled: TypeAlias = "checked.Bundle | Path | str"
"""A bundle, or the path of one."""


def verify(
    bundle: Bundled,
    *,
    data: Path | str | None = None,
    max_images: int | None = None,
    masks: MaskOptions | None = None,
    tile: float | None = None,
    weights: Path | str | None = None,
    threads: int = 0,
    device: str = "cpu",
    tolerance: ToleranceOptions | None = None,
    per_layer: bool = False,
    reference: Path | str | None = None,
    progress: Progress | None = None,
) -> VerifyDocument:
    """Checks that a bundle is whole and that its engine answers like PyTorch on this machine.

    Args:
        bundle: A bundle, or the path of one.
        data: Images; None takes the embedded test set for bundles of the embedded checkpoint.
        max_images: Keep at most this many, spread evenly.
        masks: What the values of masks mean, over what the bundle was exported with.
        tile: Of a segmenter: show pictures in windows of its size that overlap by this part of a side, 0 to 0.9.
        weights: The bundle's weights, for PyTorch's answers on the images.
        threads: Inside one inference; 0 leaves the choice to the runtime.
        device: The runtime's name of a device.
        tolerance: What must hold, over what the bundle was exported with.
        per_layer: Also tell the error of every layer, and where it jumps.
        reference: With ``per_layer``: an FP32 bundle of the same weights, where PyTorch is not at hand.
        progress: Watches the work; None shows it on a terminal and in a notebook.

    Returns:
        The figures, as ``dmformer verify --json`` prints them; ``verified`` says whether the tolerance holds.

    Raises:
        BundleError: The bundle is damaged.
        MissingBackendError: Its runtime is not installed; the hint is the install command.
        DataError: The images cannot be used.
        DmformerError: See `dmformer.errors`.

    Examples:
        >>> import dmformer
        >>> dmformer.verify("build/shapes-onnxruntime-fp32").verified
        True
    """
    options = VerifyOptions(
        path_of(bundle),
        data=_path(data),
        max_images=max_images,
        masks=masks or MaskOptions(),
        tile=tile,
        weights=_path(weights),
        threads=threads,
        device=device,
        tolerance=tolerance or ToleranceOptions(),
        per_layer=per_layer,
        reference=_path(reference),
    )
    return verifying.verify(options, progress or shown())


def bench(
    bundles: Bundled | Iterable[Bundled],
    *,
    against: str = "auto",
    weights: Path | str | None = None,
    batch: int | Sequence[int] = (),
    settings: BenchSettings | None = None,
    duration: float | None = None,
    threads: int | None = None,
    device: str | None = None,
    layers: bool = True,
    output: Path | str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> BenchDocument:
    """Measures bundles side by side, each in processes of its own, against PyTorch.

    Args:
        bundles: A bundle or its path, or several.
        against: The reference: ``pytorch``, ``pytorch-compile``, ``none``, or ``auto``: PyTorch where it is installed.
        weights: The bundles' weights, for PyTorch; None takes the embedded ones or random ones, which are as fast.
        batch: Images in a call, one number or several; empty takes each bundle's own.
        settings: How to measure.
        duration: Measured seconds for each candidate, over the settings'.
        threads: Inside one inference, over the settings'.
        device: The runtime's name of a device, over the settings'.
        layers: Also ask the runtimes where the time goes, and measure this machine's peaks.
        output: Where the document is kept; None keeps it nowhere.
        force: Replace a file there.
        progress: Watches the work; None shows it on a terminal and in a notebook.

    Returns:
        The measurement, as ``dmformer bench --json`` prints it: times in milliseconds.

    Raises:
        UsageError: Nothing to measure, or no such reference.
        OutputError: The document could not be kept.
        DmformerError: See `dmformer.errors`.

    Examples:
        >>> import dmformer
        >>> brief = dmformer.BenchSettings(duration_s=0.05, launches=1, warmup_s=0)
        >>> measured = dmformer.bench("build/shapes-onnxruntime-fp32", against="none", settings=brief, layers=False)
        >>> measured.results[0].p50_ms > 0
        True
    """
    several: list[Bundled] = [bundles] if isinstance(bundles, checked.Bundle | Path | str) else [*bundles]
    how = {("duration_s",): duration, ("threads",): threads, ("device",): device}
    given: dict[Place, Any] = {place: value for place, value in how.items() if value is not None}
    options = BenchOptions(
        tuple(map(path_of, several)),
        against=against,
        weights=_path(weights),
        batch=(batch,) if isinstance(batch, int) else tuple(batch),
        settings=changed(settings or BenchSettings(), given),
        layers=layers,
        output=_path(output),
        force=force,
    )
    document = measurement.bench(options, progress or shown())
    measurement.keep(options, document)
    return document


def embed(
    bundle: Bundled, lang: str, output: Path | str, *, force: bool = False, name: str | None = None
) -> EmbedDocument:
    """Writes a small project around a bundle's engine, in an application's language, that tests itself.

    Args:
        bundle: A bundle, or the path of one.
        lang: ``python``, ``cpp``, ``web`` or ``swift``.
        output: The directory to make.
        force: Replace a project there to which nothing was added.
        name: Of the project: the page's title, C++'s namespace; None takes that of ``output``.

    Returns:
        Where it is, what it holds, and what to type there next.

    Raises:
        UsageError: No such language, or it cannot run the bundle's target.
        OutputError: ``output`` exists, or cannot be written.
        DmformerError: See `dmformer.errors`.

    Examples:
        >>> import dmformer
        >>> dmformer.embed("build/shapes-onnxruntime-fp32", "python", "project").language
        'python'
    """
    return embedding.embed(EmbedOptions(path_of(bundle), lang, Path(output), force, name))


class Bundle(checked.Bundle):
    """A checked bundle: an engine with its manifest and golden samples, in a directory.

    Attributes:
        path: Its directory.
        manifest: Its manifest.

    Examples:
        >>> import dmformer
        >>> bundle = dmformer.Bundle.load("build/shapes-onnxruntime-fp32")
        >>> bundle.manifest.labels[:2]
        ('circle', 'square')
        >>> bundle.verify().verified
        True
    """

    verify = verify
    """`dmformer.verify` of this bundle."""
    bench = bench
    """`dmformer.bench` of this bundle."""
    embed = embed
    """`dmformer.embed` of this bundle."""


def path_of(bundle: Bundled) -> Path:
    """Where a bundle is."""
    return bundle.path if isinstance(bundle, checked.Bundle) else Path(bundle)


def _path(path: Path | str | None) -> Path | None:
    return None if path is None else Path(path)
