"""Runs an ML Program as an ONNX graph: its operations in order, each result rounded to its dtype.

Core ML promises float16 storage between operators in a float16 program, not the width of sums inside one; here they
are float32, as on Apple's hardware where it is known. So an answer is Core ML's up to the rounding inside operators.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer import telemetry
from dmformer.runtimes.base import short_reason
from dmformer.runtimes.mlprogram.messages import Operation, Value
from dmformer.runtimes.mlprogram.operators import OPERATORS, Call
from dmformer.runtimes.mlprogram.package import Package
from dmformer.runtimes.mlprogram.writer import Name, Operand, Writer
from dmformer.runtimes.onnx_runtime import PROVIDER, session_options

CONST = "const"
SETTINGS = {
    # Each dequantized weight and activation is rounded: nothing of it may be computed in integers.
    "session.disable_quant_qdq": "1",
    "session.strict_shape_type_inference": "1",
}
SILENT = 4


class UnknownOperatorError(ValueError):
    """A program holds operators that are not known here; the message names them."""


class Evaluator:
    """A program in ONNX Runtime, ready to run.

    Attributes:
        inputs: Names of the inputs.
        outputs: Names of the outputs that it gives.
    """

    def __init__(self, package: Package, outputs: Collection[str] | None = None, threads: int = 0) -> None:
        """Translates a program and opens it.

        Args:
            package: What `read_package` gave.
            outputs: Which of the program's outputs are wanted; None is all. What no wanted one needs is not computed.
            threads: Inside an operator; 0 leaves the choice to ONNX Runtime.

        Raises:
            UnknownOperatorError: Operators that are not known.
            ValueError: An operation cannot be what it says, or reads a value that nothing gives.
        """
        program = package.model.program
        unknown = Counter(op.kind for op in program.operations if op.kind != CONST and op.kind not in OPERATORS)
        if unknown:
            names = ", ".join(f"{name} ({count})" for name, count in sorted(unknown.items()))
            raise UnknownOperatorError(f"the evaluator does not know these operators: {names}")
        self.inputs = tuple(program.inputs)
        self.outputs = tuple(name for name in program.outputs if outputs is None or name in outputs)
        self._session = _opened(_translated(package, self.outputs), threads)

    def run(self, feeds: dict[str, NDArray[np.float32]]) -> dict[str, Any]:
        """Runs the program.

        Args:
            feeds: float32 by input name.

        Returns:
            By output name: arrays of float32 (also where the program's are float16) that the caller owns, for a
            classifier the label of each image and a dictionary of its probabilities.

        Raises:
            ValueError: Shapes that do not go together; the message names the operation.
        """
        nodes = [node.name for node in self._session.get_inputs()]
        try:
            results = self._session.run(
                None, {node: feeds[name] for node, name in zip(nodes, self.inputs, strict=True)}
            )
        except Exception as error:
            raise ValueError(short_reason(error)) from error
        return dict(zip(self.outputs, results, strict=True))


def _opened(model: bytes, threads: int) -> Any:
    options = session_options(threads)
    options.log_severity_level = SILENT
    for name, value in SETTINGS.items():
        options.add_session_config_entry(name, value)
    try:
        return telemetry.onnxruntime().InferenceSession(model, options, providers=[PROVIDER])
    except Exception as error:
        raise ValueError(short_reason(error)) from error


def _translated(package: Package, outputs: tuple[str, ...]) -> bytes:
    """The part of a program that some outputs need, as a serialized ONNX graph."""
    writer, program = Writer(), package.model.program
    values: dict[str, Operand] = {
        name: writer.declared(writer.input(kind), kind) for name, kind in program.inputs.items()
    }
    for operation in _needed(program.operations, outputs):
        where = f"{operation.kind} ({operation.outputs[0][0]})"
        try:
            values |= _results(operation, Call(where, _operands(operation, package, values), writer))
        except KeyError as error:
            raise ValueError(f"{where}: its parameter {error} is missing") from error
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"{where}: {error}") from error
    results = [value for name in outputs if isinstance(value := values.get(name), Name)]
    if len(results) < len(outputs):
        raise ValueError(f"nothing gives all of the outputs {', '.join(outputs)}")
    return writer.model(results)


def _needed(operations: Sequence[Operation], outputs: Collection[str]) -> list[Operation]:
    """The operations that some values depend on, in order."""
    read, needed = set(outputs), []
    for operation in reversed(operations):
        if any(name in read for name, _ in operation.outputs):
            read |= {one for bound in operation.inputs.values() for one in bound if isinstance(one, str)}
            needed.append(operation)
    return needed[::-1]


def _operands(operation: Operation, package: Package, values: dict[str, Operand]) -> dict[str, tuple[Operand, ...]]:
    """What is bound to each parameter."""
    names = [one for bound in operation.inputs.values() for one in bound if isinstance(one, str)]
    unknown = [name for name in names if name not in values]
    if unknown:
        raise ValueError(f"nothing gives its input {unknown[0]!r}")
    return {
        parameter: tuple(package.content(one) if isinstance(one, Value) else values[one] for one in bound)
        for parameter, bound in operation.inputs.items()
    }


def _results(operation: Operation, call: Call) -> dict[str, Operand]:
    """The values that an operation gives."""
    if operation.kind == CONST:
        return {operation.outputs[0][0]: call["val"]}
    written = OPERATORS[operation.kind](call)
    results = (written,) if isinstance(written, Name) else written
    return {
        name: call.writer.declared(result, kind)
        for (name, kind), result in zip(operation.outputs, results, strict=True)
    }
