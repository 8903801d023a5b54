"""The tasks by name. They are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dmformer.errors import UsageError

if TYPE_CHECKING:
    from dmformer.tasks.base import Figure, Task
    from dmformer.tasks.head import Head

TASKS = {
    "classification": "dmformer.tasks.classification:Classification",
    "segmentation": "dmformer.tasks.segmentation:SemanticSegmentation",
    "features": "dmformer.tasks.features:FeatureMaps",
}
"""Name -> ``"module:Class"``."""
FIRST_TASK, DEFAULT_HEAD, CLASSES = "classification", "linear", "num_classes"
"""What documents mean that were written when there was nothing to tell apart."""


def get_task(name: str) -> type[Task]:
    """The task of a name.

    Raises:
        UsageError: There is none.
    """
    if name not in TASKS:
        raise UsageError(f"there is no task {name[:80]!r}", f"choose among {', '.join(TASKS)}")
    module, _, attribute = TASKS[name].partition(":")
    task: type[Task] = getattr(import_module(module), attribute)
    return task


def figures_of(name: str) -> tuple[Figure, ...]:
    """The figures of a task; none of one that only another version knows."""
    return get_task(name).figures if name in TASKS else ()


def task_of(head: Head) -> Task:
    """The task that a head answers.

    Raises:
        UsageError: No task knows the head.
    """
    for task in map(get_task, TASKS):
        if isinstance(head, task.heads):
            return task(head)
    raise UsageError(f"no task has the head {head.kind[:80]!r}", f"the tasks are {', '.join(TASKS)}")


def read_head(value: object) -> Head:
    """A head from the content of a document, which says its ``kind``; one that is a `Head` already stays as it is.

    Raises:
        ValueError: No task knows the kind, or the content is not that of its head.
    """
    from dmformer.tasks.head import Head

    if isinstance(value, Head):
        return value
    kind = value.get("kind") if isinstance(value, dict) else None
    kinds = head_kinds()
    if kind not in kinds:
        raise ValueError(f"the head is {ascii(kind)[:80]}: {', '.join(kinds)} are known")
    return kinds[kind].model_validate(value)


def head_kinds() -> dict[str, type[Head]]:
    """The heads that tasks know, by their kinds."""
    return {head.model_fields["kind"].default: head for task in map(get_task, TASKS) for head in task.heads}


def suited_head(kind: str, widths: Sequence[int], said: Mapping[str, Any]) -> Head:
    """A head of a kind for a backbone of these widths.

    Args:
        kind: As `head_kinds` has it.
        widths: Channels of the four stages.
        said: Fields that are decided.

    Raises:
        UsageError: No task knows the kind.
        ValidationError: What is said cannot be.
    """
    kinds = head_kinds()
    if kind not in kinds:
        raise UsageError(f"there is no head {kind[:80]!r}", f"choose among {', '.join(kinds)}")
    return kinds[kind].suited(widths, said)


def infer_head(shapes: Mapping[str, tuple[int, ...]]) -> Head:
    """The head that weights of these shapes belong to; the default one where no task knows it."""
    heads = (head.from_shapes(shapes) for task in map(get_task, TASKS) for head in task.heads)
    return next((head for head in heads if head is not None), None) or default_head()


def default_head() -> Head:
    """The head of a network of which nothing is said: the backbone's own, for the 1000 classes of ImageNet."""
    return read_head({"kind": DEFAULT_HEAD})


def with_head(values: Any) -> Any:
    """The content of a network's configuration with its head: until heads were told apart it had `CLASSES` alone."""
    if not isinstance(values, dict) or CLASSES not in values or "head" in values:
        return values
    rest = {name: value for name, value in values.items() if name != CLASSES}
    return {**rest, "head": {"kind": DEFAULT_HEAD, "classes": values[CLASSES]}}
