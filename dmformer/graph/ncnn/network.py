"""ncnn's ``.param`` text: layers in the order of the computation, each with the blobs that it reads and gives.

Format: ncnn, ``docs/developer-guide/param-and-model-file-structure.md``. A magic number; the counts of layers and
blobs; then for each layer ``type name inputs outputs [input names] [output names] [id=value ...]``, where an array is
``-23300 - id=length,value,...`` and a number with a point or an exponent is a float.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MAGIC = "7767517"
ARRAY = -23300
MAX_LAYERS = 1 << 16
MAX_NAME = 255
"""What ncnn's reader has room for."""
INTEGER = re.compile(r"-?\d{1,10}", re.ASCII)
FLOAT = re.compile(r"-?\d{1,45}\.\d{0,45}(e[+-]?\d{1,3})?|-?\d{1,10}e[+-]?\d{1,3}", re.ASCII)

Parameter = int | float | tuple[int, ...]


class NetworkError(ValueError):
    """A file that is no network of the kind that dmformer writes; the message says what is wrong with which part."""


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        kind: ncnn's type, as ``Convolution``.
        name: The node of the exported graph that it was made from.
        inputs: Names of the blobs that it reads.
        outputs: Names of the blobs that it gives.
        parameters: By ncnn's number of each.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: Mapping[int, Parameter] = field(default_factory=dict)

    def integer(self, number: int, default: int = 0) -> int:
        """An integer parameter.

        Raises:
            NetworkError: It is a float or an array.
        """
        value = self.parameters.get(number, default)
        if not isinstance(value, int):
            raise NetworkError(f"layer {self.name[:80]}: its parameter {number} is no integer")
        return value


def to_text(layers: tuple[Layer, ...]) -> str:
    """The ``.param`` file of a network."""
    blobs = sum(len(layer.outputs) for layer in layers)
    return "\n".join([MAGIC, f"{len(layers)} {blobs}", *map(_line, layers)]) + "\n"


def _line(layer: Layer) -> str:
    counts = f"{len(layer.inputs)} {len(layer.outputs)}"
    parameters = (_parameter(number, value) for number, value in sorted(layer.parameters.items()))
    return " ".join([layer.kind, layer.name, counts, *layer.inputs, *layer.outputs, *parameters])


def _parameter(number: int, value: Parameter) -> str:
    if isinstance(value, tuple):
        return f"{ARRAY - number}={','.join(map(str, (len(value), *value)))}"
    return f"{number}={value!r}"


def from_text(text: str) -> tuple[Layer, ...]:
    """The layers that a ``.param`` file names, as they stand there: `dmformer.graph.ncnn.layers` checks what they say.

    Raises:
        NetworkError: It is no such file, or its counts are not those of its layers.
    """
    magic, _, rest = text.partition("\n")
    counts, *lines = rest.strip().split("\n")
    if magic.strip() != MAGIC:
        raise NetworkError(f"it does not begin with {MAGIC}")
    stated = tuple(int(word) for word in counts.split() if INTEGER.fullmatch(word))
    if len(lines) > MAX_LAYERS:
        raise NetworkError(f"it has more than {MAX_LAYERS} layers")
    layers = tuple(_layer(line) for line in lines)
    has = (len(layers), sum(len(layer.outputs) for layer in layers))
    if stated != has:
        raise NetworkError(f"it says {counts[:40]!r} layers and blobs, and has {has[0]} and {has[1]}")
    return layers


def _layer(line: str) -> Layer:
    words = line.split()
    if len(words) < 4 or not all(re.fullmatch(r"\d{1,5}", word, re.ASCII) for word in words[2:4]):
        raise NetworkError(f"a line is no layer: {line[:80]!r}")
    inputs, outputs = int(words[2]), int(words[3])
    blobs, parameters = words[4 : 4 + inputs + outputs], words[4 + inputs + outputs :]
    if len(blobs) != inputs + outputs or max(map(len, words)) > MAX_NAME:
        raise NetworkError(f"layer {words[1][:80]}: it has fewer blobs than it says, or a name that is too long")
    values = dict(_value(words[1], word) for word in parameters)
    return Layer(words[0], words[1], tuple(blobs[:inputs]), tuple(blobs[inputs:]), values)


def _value(layer: str, word: str) -> tuple[int, Parameter]:
    number, _, value = word.partition("=")
    parts = value.split(",")
    if INTEGER.fullmatch(number) and all(INTEGER.fullmatch(part) for part in parts):
        if len(parts) == 1 and int(number) >= 0:
            return int(number), int(value)
        if int(number) <= ARRAY and int(parts[0]) == len(parts) - 1:
            return ARRAY - int(number), tuple(map(int, parts[1:]))
    if INTEGER.fullmatch(number) and int(number) >= 0 and FLOAT.fullmatch(value):
        return int(number), float(value)
    raise NetworkError(f"layer {layer[:80]}: {word[:40]!r} is no parameter")
