"""Runs an ML Program: its operations in order, each rounded to the dtype that the program gives its output.

Core ML promises float16 storage between operators in a float16 program, not the width of sums inside one; here they
are float32, as on Apple's hardware where it is known. So an answer is Core ML's up to the rounding inside operators.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.runtimes.mlprogram.messages import Operation, Value
from dmformer.runtimes.mlprogram.operators import OPERATORS, Operator
from dmformer.runtimes.mlprogram.package import Package
from dmformer.runtimes.mlprogram.rounding import to_half

CONST = "const"
HALF = "float16"


class UnknownOperatorError(ValueError):
    """A program holds operators that are not known here; the message names them."""


@dataclass(frozen=True)
class Step:
    """One operation, ready to run.

    Attributes:
        kind: Name of the operator.
        function: What computes it.
        fixed: Parameters that are constants.
        bound: Names of values by parameter.
        outputs: Name and dtype of each output.
        last: Values that nothing reads after this step.
    """

    kind: str
    function: Operator
    fixed: dict[str, Any]
    bound: dict[str, str]
    outputs: tuple[tuple[str, str], ...]
    last: tuple[str, ...]


class Evaluator:
    """A program with its constants, ready to run.

    Attributes:
        inputs: Names of the inputs.
        outputs: Names of the outputs that it gives.
    """

    def __init__(self, package: Package, outputs: Collection[str] | None = None) -> None:
        """Prepares a program: unpacks its weights and finds what each operation reads.

        Args:
            package: What `read_package` gave.
            outputs: Which of the program's outputs are wanted; None is all. What no wanted one needs is not computed.

        Raises:
            UnknownOperatorError: Operators that are not known.
            ValueError: An operation reads a value that nothing gives.
        """
        program = package.model.program
        unknown = Counter(op.kind for op in program.operations if op.kind != CONST and op.kind not in OPERATORS)
        if unknown:
            names = ", ".join(f"{name} ({count})" for name, count in sorted(unknown.items()))
            raise UnknownOperatorError(f"the evaluator does not know these operators: {names}")
        self.inputs = tuple(program.inputs)
        self.outputs = tuple(name for name in program.outputs if outputs is None or name in outputs)
        self._input_dtypes = {name: kind.dtype for name, kind in program.inputs.items()}
        constants: dict[str, Any] = {}
        steps: list[Step] = []
        known = set(program.inputs)
        for operation in program.operations:
            step = _step(operation, package, constants, known)
            if step is None:
                continue
            if not step.bound:
                # Weights are unpacked once, as Core ML does when it loads a model.
                constants.update(_run(step, {}))
                continue
            steps.append(step)
            known.update(name for name, _ in step.outputs)
        missing = [name for name in self.outputs if name not in known]
        if missing:
            raise ValueError(f"nothing gives the output {missing[0]!r}")
        self._steps = _with_last_uses(_needed(steps, set(self.outputs)), set(self.outputs))

    def run(
        self, feeds: dict[str, NDArray[np.float32]], watch: Callable[[Step, float], object] | None = None
    ) -> dict[str, Any]:
        """Runs the program.

        Args:
            feeds: float32 by input name.
            watch: Told each step and the seconds that it took, rounding included.

        Returns:
            By output name: arrays of float32 (also where the program's are float16) that the caller owns, for a
            classifier a label and a dictionary of probabilities.

        Raises:
            ValueError: Shapes that do not go together; the message names the operation.
        """
        values: dict[str, Any] = {
            name: _rounded(np.asarray(value, np.float32), self._input_dtypes[name]) for name, value in feeds.items()
        }
        with np.errstate(over="ignore", invalid="ignore"):
            for step in self._steps:
                started = time.perf_counter()
                values.update(_run(step, values))
                if watch is not None:
                    watch(step, time.perf_counter() - started)
                for name in step.last:
                    del values[name]
        return {
            name: values[name].copy() if isinstance(values[name], np.ndarray) else values[name] for name in self.outputs
        }


def _step(operation: Operation, package: Package, constants: dict[str, Any], known: set[str]) -> Step | None:
    """An operation with its constant parameters filled in; None for a constant, which is noted."""
    if operation.kind == CONST:
        (value,) = operation.inputs["val"]
        if isinstance(value, str):
            raise ValueError("a constant has no value")
        constants[operation.outputs[0][0]] = _widened(package.content(value))
        return None
    fixed: dict[str, Any] = {}
    bound: dict[str, str] = {}
    for parameter, given in operation.inputs.items():
        if len(given) != 1:
            raise ValueError(f"{operation.kind}: {len(given)} values for its parameter {parameter!r}")
        one = given[0]
        if isinstance(one, Value):
            fixed[parameter] = _widened(package.content(one))
        elif one in constants:
            fixed[parameter] = constants[one]
        elif one in known:
            bound[parameter] = one
        else:
            raise ValueError(f"{operation.kind}: nothing gives its input {one!r}")
    outputs = tuple((name, kind.dtype) for name, kind in operation.outputs)
    return Step(operation.kind, OPERATORS[operation.kind], fixed, bound, outputs, ())


def _widened(content: Any) -> Any:
    """Halves as float32, in which everything is computed."""
    if isinstance(content, np.ndarray) and content.dtype == np.float16:
        return content.astype(np.float32)
    return content


def _run(step: Step, values: dict[str, Any]) -> dict[str, Any]:
    parameters = {**step.fixed, **{parameter: values[name] for parameter, name in step.bound.items()}}
    try:
        found = step.function(parameters)
    except KeyError as error:
        raise ValueError(f"{step.kind} ({step.outputs[0][0]}): its parameter {error} is missing") from error
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{step.kind} ({step.outputs[0][0]}): {error}") from error
    return {name: _rounded(value, dtype) for (name, dtype), value in zip(step.outputs, found, strict=True)}


def _rounded(value: Any, dtype: str) -> Any:
    """A float32 array with the values that float16 has, where that is the dtype."""
    if dtype != HALF or not isinstance(value, np.ndarray | np.generic):
        return value
    return to_half(np.asarray(value))


def _needed(steps: list[Step], wanted: set[str]) -> list[Step]:
    """The steps that some values depend on, in order."""
    read, found = set(wanted), []
    for step in reversed(steps):
        if any(name in read for name, _ in step.outputs):
            read.update(step.bound.values())
            found.append(step)
    return found[::-1]


def _with_last_uses(steps: list[Step], kept: set[str]) -> tuple[Step, ...]:
    """The same steps, each knowing which values can be forgotten after it."""
    seen, found = set(kept), []
    for step in reversed(steps):
        # An output that nobody reads is forgotten at once.
        names = dict.fromkeys([*step.bound.values(), *(name for name, _ in step.outputs)])
        last = tuple(name for name in names if name not in seen)
        seen.update(last)
        found.append(Step(step.kind, step.function, step.fixed, step.bound, step.outputs, last))
    return tuple(reversed(found))
