"""Tensors by the modules that hold them, and what a module can be by its shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

COUNTER = "num_batches_tracked"
LEAVES = frozenset({"weight", "bias", "running_mean", "running_var", COUNTER})
"""What PyTorch's layers call their tensors."""

KERNEL_SIDES = {"stem.conv1": 7, "stem.conv2": 3, "stem.conv3": 2}
"""Of the stem's convolutions (paper, section 3.1)."""
NORM, SCALE, LEVEL, MATRIX, KERNEL, ANY = "norm", "scale", "depthwise convolution", "1x1 or Linear", "convolution", ""
_KINDS = (
    (re.compile(r"(.*\.)?(norm\d?|bn|norms_(before|after)\.\d)"), NORM),
    (re.compile(r".*\.scale\d"), SCALE),
    (re.compile(r".*\.levels\.(\d+|\{kernel\})"), LEVEL),
    (re.compile(r".*\.(expand|fuse|reduce|\{matrix\}|ffn\.conv\d)|head"), MATRIX),
    (re.compile(r"stem\.conv\d|downsamples\.\d"), KERNEL),
)


@dataclass(frozen=True)
class Module:
    """A layer of a file: its path, and the shapes of its tensors by their last names.

    A parameter of a larger module, such as ``block1.0.layer_scale_1``, is one too: its only tensor is called ``""``.
    """

    path: str
    shapes: Shapes

    def name(self, leaf: str) -> str:
        """The whole name of one of its tensors."""
        return f"{self.path}.{leaf}" if leaf else self.path

    @cached_property
    def weight(self) -> Shape:
        """The shape that tells what it is."""
        return self.shapes.get("weight", self.shapes.get("", ()))

    @property
    def kernel(self) -> int:
        """Side of its square kernel; 0 where it has none."""
        return self.weight[2] if len(self.weight) == 4 and self.weight[2] == self.weight[3] else 0

    @property
    def is_matrix(self) -> bool:
        """Whether it is a Linear, or a convolution of kernel 1."""
        return len(self.weight) >= 2 and set(self.weight[2:]) <= {1} and self.shapes.keys() <= {"weight", "bias"}

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of a matrix."""
        return self.weight[0], self.weight[1]

    def can_be(self, kind: str) -> bool:
        """Whether its tensors are those of a kind of layer."""
        return kind == ANY or _TESTS[kind](self)

    @property
    def is_norm(self) -> bool:
        """Whether it has running statistics, as BatchNorm has, or only factors and shifts, as LayerNorm."""
        return "running_mean" in self.shapes or (len(self.weight) == 1 and "bias" in self.shapes)

    @property
    def is_scale(self) -> bool:
        """Whether it is one vector."""
        return sum(side != 1 for side in self.weight) <= 1 and self.shapes.keys() <= {"", "weight"}

    @property
    def is_depthwise(self) -> bool:
        """Whether it is a convolution of each channel by itself."""
        return self.kernel % 2 == 1 and self.weight[1] == 1

    @property
    def is_spatial(self) -> bool:
        """Whether it is a depthwise convolution with more than a point in its kernel."""
        return self.is_depthwise and self.kernel > 1


_TESTS: Mapping[str, Callable[[Module], bool]] = {
    NORM: lambda module: module.is_norm,
    SCALE: lambda module: module.is_scale,
    LEVEL: lambda module: module.is_depthwise,
    MATRIX: lambda module: module.is_matrix,
    KERNEL: lambda module: len(module.weight) == 4,
}


def modules_of(shapes: Shapes) -> tuple[Module, ...]:
    """The layers of a file, in its order."""
    found: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        path, leaf = split(name)
        found.setdefault(path, {})[leaf] = shape
    return tuple(Module(path, inner) for path, inner in found.items())


def split(name: str) -> tuple[str, str]:
    """A tensor's name as its module's path and its last name, which is empty for a parameter of its own."""
    path, _, leaf = name.rpartition(".")
    return (path, leaf) if path and leaf in LEAVES else (name, "")


@lru_cache(maxsize=1 << 14)
def kind_of(part: str) -> str:
    """What kind of layer a part of the network is."""
    return next((kind for pattern, kind in _KINDS if pattern.fullmatch(part)), ANY)


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Sorts names as people count: ``block2`` before ``block10``."""
    return tuple((int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", name) if piece)
