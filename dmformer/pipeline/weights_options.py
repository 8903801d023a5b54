"""Which weights a request is about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from dmformer.options import Option
from dmformer.signatures import Plain
from dmformer.tasks.registry import TASKS

WEIGHTS = "Weights"
"""Panel of the help."""

TaskName = Annotated[
    str | None,
    Option("--task", f"What the weights are for: {', '.join(TASKS)}.", WEIGHTS, default="what their head says"),
]
WeightsKey = Annotated[
    str | None,
    Option("--weights-key", "Where in the file they are: ema, state.model.", WEIGHTS, default="averaged ones first"),
]
HeadKind = Annotated[
    str | None, Option("--head", "Of a preset: linear, fpn or upernet.", WEIGHTS, default="the task's usual one")
]


@dataclass(frozen=True)
class WeightsOptions:
    """Which weights.

    Attributes:
        path: Their file; None takes the embedded checkpoint, or random ones.
        names: Rules for the tensors' names, where no dialect that is known has them all: a TOML file.
        key: Where in the file the weights are, as ``ema`` or ``state.model``; None takes averaged ones first.
        labels: Class names, as a text file of one per line or a JSON list.
        dilation: Of each level, where the weights do not say; empty keeps theirs.
        preset: ``tiny``, ``small`` or ``large``, with `random_weights`.
        random_weights: Seeded random weights, where only speed matters.
        task: What the weights are for, by a task's name; None takes what their head says.
        head: Of a preset: ``linear``, ``fpn`` or ``upernet``; None takes the task's usual one.

    Examples:
        >>> import dmformer
        >>> dmformer.ExportOptions(weights=dmformer.WeightsOptions(preset="small", random_weights=True))
        ExportOptions(weights.preset='small', weights.random_weights=True)
    """

    __signature__ = Plain()

    path: Annotated[
        Path | None,
        Option(
            "weights",
            "Trained weights: .safetensors, .pt, .pth, the folder of shards, or hf://org/name. "
            "Default: the embedded checkpoint.",
        ),
    ] = None
    names: Annotated[
        Path | None,
        Option("--names", "Rules for foreign names of tensors, as `dmformer inspect FILE --names` proposes.", WEIGHTS),
    ] = None
    key: WeightsKey = None
    labels: Annotated[Path | None, Option("--labels", "Class names: text, one per line, or a JSON list.", WEIGHTS)] = (
        None
    )
    dilation: Annotated[
        tuple[int, ...],
        Option("--dilation", "Dilation of each level, where the weights do not say.", WEIGHTS, default="1, 2, 3"),
    ] = ()
    preset: Annotated[str | None, Option("--preset", "tiny, small or large; with --random-weights.", WEIGHTS)] = None
    random_weights: Annotated[
        bool, Option("--random-weights", "Seeded random weights, where only speed matters.", WEIGHTS)
    ] = False
    task: TaskName = None
    head: HeadKind = None
