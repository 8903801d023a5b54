"""ML Programs of a few operations, made by hand and run as packages are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dmformer.runtimes.mlprogram.evaluator import Evaluator
from dmformer.runtimes.mlprogram.messages import Model, Operation, Program, Type, Value
from dmformer.runtimes.mlprogram.package import Package

Results = Sequence[tuple[str, str]]
FED = ("x", "input")
"""Parameters that are fed where they are float32; all others are constants of the program."""


def constant(content: Any) -> Value:
    """Texts and labels as they are; numbers as arrays."""
    if isinstance(content, str | tuple):
        return Value(Type("string"), content)
    array = np.asarray(content)
    return Value(Type(array.dtype.name, array.shape), array)


def operation(kind: str, results: Results = (("result", "float32"),), /, **parameters: Any) -> Operation:
    """Names of values are given as lists of one or several; everything else is a constant."""
    bound = {name: tuple(one) if isinstance(one, list) else (constant(one),) for name, one in parameters.items()}
    return Operation(kind, bound, tuple((name, Type(dtype)) for name, dtype in results))


def package(operations: Sequence[Operation], inputs: dict[str, Type], outputs: Sequence[str] = ("result",)) -> Package:
    return Package(Model(6, (), {}, Program(inputs, tuple(operations), tuple(outputs))), {})


def run(kind: str, results: Results = (("result", "float32"),), /, **parameters: Any) -> Any:
    """What an operation gives; a tuple where it gives several results."""
    fed = {name: parameters[name] for name in FED if getattr(parameters.get(name), "dtype", None) == np.float32}
    bound = parameters | {name: [name] for name in fed}
    inputs = {name: Type("float32", array.shape) for name, array in fed.items()}
    given = Evaluator(
        package([operation(kind, results, **bound)], inputs, [name for name, _ in results]), threads=1
    ).run(fed)
    return given["result"] if len(results) == 1 else tuple(given.values())
