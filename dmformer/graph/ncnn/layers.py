"""What each layer must be: its parameters' bounds, the shape that it gives, and the weights that belong to it.

ncnn believes what a file says: a count beyond the weights or a kernel larger than its input reads beyond memory. So a
network is computed here in shapes alone before the library sees it, by the documented meaning of each layer (ncnn,
``docs/developer-guide/operators.md``). Kinds that dmformer does not write are not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from dmformer.graph.ncnn.network import Layer, NetworkError

Shape = tuple[int, ...]
"""Of a blob, as NumPy has it: ``(C, H, W)``, ``(H, W)`` or ``(C,)``; a batch has no place in it."""
MAX_ELEMENTS = 1 << 28
"""Of one blob, or one weight: a gigabyte in float32."""
NONE, RELU, SIGMOID = 0, 1, 4
"""Activations inside a layer with weights."""
ADD, SUBTRACT, MULTIPLY, REVERSE_SUBTRACT = 0, 1, 2, 7
MAXIMUM, FLOOR, CEIL, AVERAGE, NEAREST, BILINEAR, SWAP_SIDES = 4, 2, 3, 1, 1, 2, 1
COUNT, SIDE, FLAG = range(1, 1 << 16), range(1, 1 << 12), range(2)
SIZE = range(1, MAX_ELEMENTS + 1)


@dataclass(frozen=True)
class Stored:
    """One array in the ``.bin`` file.

    Attributes:
        count: Its values.
        tagged: Whether a tag before it says the type; without one it is float32.
    """

    count: int
    tagged: bool = False


Shaped = Callable[[Layer, Sequence[Shape]], Shape]
Weighed = Callable[[Layer, Sequence[Shape]], tuple[Stored, ...]]


@dataclass(frozen=True)
class Kind:
    """What is known of a kind of layer.

    Attributes:
        shape: From a layer and the shapes of its inputs to that of its outputs; raises `NetworkError`.
        inputs: How many it may read.
        parameters: The values that each may have; None for any float or array.
        weights: What it has in the ``.bin`` file.
    """

    shape: Shaped
    inputs: range = range(1, 2)
    parameters: Mapping[int, Sequence[int] | None] | None = None
    weights: Weighed = lambda layer, shapes: ()


def need(holds: bool, layer: Layer, what: str) -> None:
    """Raises `NetworkError` where something does not hold of a layer."""
    if not holds:
        raise NetworkError(f"layer {layer.name[:80]} ({layer.kind[:40]}): {what}")


def _unchanged(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    return shapes[0]


def _given(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    """The shape that three parameters spell: of an input, and of what a blob is made into."""
    shape = tuple(layer.integer(number) for number in (2, 1, 0) if number in layer.parameters)
    need(bool(shape) and 0 in layer.parameters, layer, "it names no width")
    if shapes:
        need(prod(shape) == prod(shapes[0]), layer, f"{shapes[0]} cannot become {shape}")
    return shape


def _sides(layer: Layer, across: int, down: int) -> tuple[int, int]:
    width = layer.integer(across, 1)
    return layer.integer(down, width), width


def _convolved(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    need(len(shapes[0]) == 3 and {0, 1, 6} <= layer.parameters.keys(), layer, f"it cannot take {shapes[0]}")
    (channels, *sides), outputs, groups = shapes[0], layer.integer(0), layer.integer(7, 1)
    kernel, dilation, stride = _sides(layer, 1, 11), _sides(layer, 2, 12), _sides(layer, 3, 13)
    left = layer.integer(4)
    top = layer.integer(14, left)
    padding = (top + layer.integer(16, top), left + layer.integer(15, left))
    need(outputs % groups == channels % groups == 0, layer, f"{channels} channels are not {groups} groups")
    need(layer.integer(6) == outputs * channels // groups * prod(kernel), layer, "its weights do not fit its input")
    rest = [side + pad - dil * (k - 1) - 1 for side, pad, dil, k in zip(sides, padding, dilation, kernel, strict=True)]
    need(min(rest) >= 0, layer, "its kernel is larger than its input")
    return (outputs, *(side // step + 1 for side, step in zip(rest, stride, strict=True)))


def _multiplied(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    outputs, size = layer.integer(0), layer.integer(2)
    rows = len(shapes[0]) == 2
    need(size == outputs * (shapes[0][1] if rows else prod(shapes[0])), layer, "its weights do not fit its input")
    return (shapes[0][0], outputs) if rows else (outputs,)


def _weights(bias: int, size: int) -> Weighed:
    """Weights, biases and scales of a layer that keeps its number of weights in the parameter ``size``."""

    def stored(layer: Layer, shapes: Sequence[Shape]) -> tuple[Stored, ...]:
        outputs = layer.integer(0)
        biases = (Stored(outputs),) * layer.integer(bias)
        scales = (Stored(layer.integer(7, outputs)), Stored(1)) * layer.integer(8)
        return (Stored(layer.integer(size), tagged=True), *biases, *scales)

    return stored


def _broadcast(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    need(len(shapes) == 2 - layer.integer(1), layer, "it has another number of inputs than it says")
    first, last = shapes[0], shapes[-1]
    fit = len(first) == len(last) and all(a == b or 1 in (a, b) for a, b in zip(first, last, strict=True))
    need(fit, layer, f"{first} does not go with {last}")
    return tuple(map(max, first, last))


def _averaged(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    need(len(shapes[0]) == 3 and {0, 4} <= layer.parameters.keys(), layer, f"it cannot take {shapes[0]}")
    return shapes[0][:1]


def _resized(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    need(len(shapes[0]) == 3, layer, f"it cannot take {shapes[0]}")
    # Between one value and none, ncnn's bilinear kernel reads what lies before the row.
    need(layer.integer(0) == NEAREST or min(shapes[0][1:]) > 1, layer, "it cannot interpolate a side of one")
    need({0, 3, 4} <= layer.parameters.keys(), layer, "it names no size")
    return (shapes[0][0], layer.integer(3), layer.integer(4))


def _largest(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    need(len(shapes[0]) == 3 and layer.parameters.get(3) == (0,), layer, "it is not over channels")
    need({1, 4, 5} <= layer.parameters.keys(), layer, "it is not over channels")
    return (1, *shapes[0][1:])


def _scaled(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    need(len(shapes[0]) == 3 and layer.integer(0) == shapes[0][0], layer, f"it cannot scale {shapes[0]}")
    return shapes[0]


def _joined(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    need(len({(len(shape), *shape[1:]) for shape in shapes}) == 1, layer, "its inputs cannot be joined")
    return (sum(shape[0] for shape in shapes), *shapes[0][1:])


def _swapped(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    need(len(shapes[0]) == 3 and 0 in layer.parameters, layer, f"it cannot turn {shapes[0]}")
    return (shapes[0][0], shapes[0][2], shapes[0][1])


CONVOLUTION = {
    **{number: COUNT for number in (0, 7)},
    **{number: range(1, 1 << 8) for number in (1, 2, 3, 11, 12, 13)},
    **{number: range(1 << 8) for number in (4, 14, 15, 16)},
    **{5: FLAG, 6: SIZE, 8: FLAG, 9: (NONE, RELU, SIGMOID)},
}
SIDES = dict.fromkeys((0, 1, 2), SIZE)
KINDS = {
    "Input": Kind(_given, range(1), SIDES),
    "Split": Kind(_unchanged),
    "Convolution": Kind(_convolved, parameters={**CONVOLUTION, 7: (1,)}, weights=_weights(bias=5, size=6)),
    "ConvolutionDepthWise": Kind(_convolved, parameters=CONVOLUTION, weights=_weights(bias=5, size=6)),
    "InnerProduct": Kind(
        _multiplied,
        parameters={0: COUNT, 1: FLAG, 2: SIZE, 8: FLAG, 9: (NONE, RELU, SIGMOID)},
        weights=_weights(bias=1, size=2),
    ),
    "ReLU": Kind(_unchanged),
    "Sigmoid": Kind(_unchanged),
    "GELU": Kind(_unchanged),
    "BinaryOp": Kind(_broadcast, range(1, 3), {0: (ADD, SUBTRACT, MULTIPLY, REVERSE_SUBTRACT), 1: FLAG, 2: None}),
    "Pooling": Kind(_averaged, parameters={0: (AVERAGE,), 4: (1,)}),
    "Reshape": Kind(_given, parameters=SIDES),
    "Interp": Kind(_resized, parameters={0: (NEAREST, BILINEAR), 3: SIDE, 4: SIDE}),
    "Reduction": Kind(_largest, parameters={0: (MAXIMUM,), 1: (0,), 3: None, 4: (1,), 5: (1,)}),
    "Clip": Kind(_unchanged, parameters={0: None, 1: None}),
    "UnaryOp": Kind(_unchanged, parameters={0: (FLOOR, CEIL)}),
    "Scale": Kind(
        _scaled, parameters={0: COUNT, 1: (1,)}, weights=lambda layer, shapes: (Stored(layer.integer(0)),) * 2
    ),
    "Concat": Kind(_joined, range(2, 1 << 8)),
    "Permute": Kind(_swapped, parameters={0: (SWAP_SIDES,)}),
}
WITH_WEIGHTS = ("Convolution", "ConvolutionDepthWise", "InnerProduct")
"""What multiplies, in floats or integers."""


def shapes_of(layers: Sequence[Layer]) -> dict[str, Shape]:
    """The shape of every blob.

    Raises:
        NetworkError: The layers are not such a network; the message names the first that is wrong.
    """
    if len({layer.name for layer in layers}) < len(layers):
        raise NetworkError("two of its layers have one name")
    shapes: dict[str, Shape] = {}
    read: Counter[str] = Counter(name for layer in layers for name in layer.inputs)
    for layer in layers:
        kind = KINDS.get(layer.kind)
        if kind is None:
            raise NetworkError(f"layer {layer.name[:80]}: dmformer writes no {layer.kind[:40]!r}")
        _check_parameters(layer, kind)
        need(len(layer.inputs) in kind.inputs, layer, f"it cannot read {len(layer.inputs)} blobs")
        need(all(name in shapes and read[name] == 1 for name in layer.inputs), layer, "it reads what nothing gives it")
        need(
            len(layer.outputs) == 1 or (layer.kind == "Split" and bool(layer.outputs)), layer, "it gives too many blobs"
        )
        shape = kind.shape(layer, [shapes[name] for name in layer.inputs])
        need(prod(shape) <= MAX_ELEMENTS, layer, f"it gives {shape}, more than {MAX_ELEMENTS} values")
        need(not shapes.keys() & {*layer.outputs}, layer, "another layer gives its blob")
        shapes |= dict.fromkeys(layer.outputs, shape)
    return shapes


def _check_parameters(layer: Layer, kind: Kind) -> None:
    allowed = kind.parameters or {}
    for number, value in layer.parameters.items():
        need(number in allowed, layer, f"its parameter {number} is none that dmformer writes")
        choices = allowed[number]
        need(choices is None or (isinstance(value, int) and value in choices), layer, f"{number}={value} cannot be")


def stored_in(layers: Sequence[Layer], shapes: Mapping[str, Shape]) -> list[tuple[Layer, Stored]]:
    """The arrays of the ``.bin`` file in their order, each with its layer."""
    return [
        (layer, stored)
        for layer in layers
        for stored in KINDS[layer.kind].weights(layer, [shapes[name] for name in layer.inputs])
    ]
