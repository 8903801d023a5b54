"""ONNX from the PyTorch module, by ``torch.onnx.export(dynamo=True)``."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir
import torch

from dmformer import chatter
from dmformer.errors import ExportError, UsageError, reraise_stop
from dmformer.geometry import TOTAL_STRIDE
from dmformer.model.config import check_size
from dmformer.model.network import DMFormer
from dmformer.preprocessing import MAX_SIDE

INPUT = "image"
MIN_OPSET, DEFAULT_OPSET, MAX_OPSET = 20, 20, 23
"""20 is the first opset with one ``Gelu`` operator (onnx/docs/Operators.md)."""


@dataclass(frozen=True)
class GraphOptions:
    """The shape of an exported graph.

    Attributes:
        size: Height and width of the input; both divisible by 32.
        batch: Images in a batch; with ``dynamic`` the one that the graph is traced with.
        dynamic: Whether the batch dimension is left open.
        open_size: Whether height and width are; ``size`` is one of those that are possible then.
        opset: Version of the ONNX operator set.
        simplify: Whether onnxsim runs on the graph.
    """

    size: tuple[int, int]
    batch: int = 1
    dynamic: bool = False
    opset: int = DEFAULT_OPSET
    simplify: bool = True
    open_size: bool = False

    @property
    def example(self) -> tuple[int, int, int]:
        """Batch, height and width to trace with: what is 1 would be taken for a constant by torch.export."""
        batch = max(2, self.batch) if self.dynamic else self.batch
        height, width = (max(2 * TOTAL_STRIDE, side) if self.open_size else side for side in self.size)
        return batch, height, width

    @property
    def open_dimensions(self) -> dict[int, torch.export.Dim]:
        """What is left open of ``[N, C, H, W]``, as torch.export takes it."""
        most = MAX_SIDE // TOTAL_STRIDE
        sides = {axis: TOTAL_STRIDE * torch.export.Dim(f"side{axis}", min=1, max=most) for axis in (2, 3)}
        return ({0: torch.export.Dim("batch")} if self.dynamic else {}) | (sides if self.open_size else {})

    def __post_init__(self) -> None:
        check_size(self.size)
        if not 1 <= self.batch <= 4096:
            raise UsageError(f"a batch of {self.batch} images is out of range", "give --batch from 1 to 4096")
        if not MIN_OPSET <= self.opset <= MAX_OPSET:
            raise UsageError(
                f"opset {self.opset} is out of range",
                f"give --opset from {MIN_OPSET} (the first with Gelu) to {MAX_OPSET}",
            )


def onnx_from_torch(model: DMFormer, options: GraphOptions) -> ir.Model:
    """Exports a module in eval mode.

    Args:
        model: Reference or canonical network in float32.
        options: Shape of the graph.

    Returns:
        A graph from ``image`` (float32 ``[N, C, H, W]``) to what the configuration says.

    Raises:
        ExportError: PyTorch's exporter failed.
    """
    batch, height, width = options.example
    example = torch.zeros(batch, model.config.in_channels, height, width)
    shapes = (options.open_dimensions,) if options.open_dimensions else None
    try:
        with quiet_exporter():
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                opset_version=options.opset,
                input_names=[INPUT],
                output_names=[spec.name for spec in model.config.outputs(options.size)],
                dynamic_shapes=shapes,
                verbose=False,
            )
    except Exception as error:
        reraise_stop(error)
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ExportError(f"PyTorch's ONNX exporter failed: {first}") from error
    if program is None:
        raise ExportError("PyTorch's ONNX exporter gave no program")
    return program.model


@contextlib.contextmanager
def quiet_exporter() -> Iterator[None]:
    """Silences what the exporter says about itself and about torchvision, which is not used here."""
    if chatter.wanted():
        yield
        return
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
