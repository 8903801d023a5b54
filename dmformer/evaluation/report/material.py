"""What a report is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dmformer.evaluation.flips import Flips
from dmformer.evaluation.latency.accuracy import Accuracy
from dmformer.evaluation.latency.document import Document, Result
from dmformer.evaluation.latency.names import short_names
from dmformer.fields import Score
from dmformer.tasks.base import Figure
from dmformer.tasks.registry import figures_of


@dataclass(frozen=True)
class Examined:
    """A bundle that was at hand when the report was made.

    Attributes:
        name: Its directory's name.
        accuracy: Its proof; None without one.
        labels: Class names, or None.
        flips: Its changed answers.
        by_class: The headline of each class in its proof; empty where the task has none.
    """

    name: str
    accuracy: Accuracy | None
    labels: tuple[str, ...] | None
    flips: Flips
    by_class: tuple[Score | None, ...] = ()

    @property
    def scored(self) -> list[tuple[str, Score]]:
        """Names and headlines of the classes that are anywhere."""
        return [(self.label(index), score) for index, score in enumerate(self.by_class) if score is not None]

    def label(self, index: int) -> str:
        """A class in words, its number where it has no name."""
        return self.labels[index] if self.labels and 0 <= index < len(self.labels) else f"class {index}"


@dataclass(frozen=True)
class Material:
    """Everything in one report.

    Attributes:
        title: Of the page.
        documents: Measurements, each of one machine and one set of settings.
        examined: Bundles whose answers were compared again.
    """

    title: str
    documents: tuple[Document, ...]
    examined: tuple[Examined, ...] = field(default=())

    def machines(self) -> list[str]:
        """What each measurement is called where there are several: its device, or its number."""
        names = [document.device or str(index) for index, document in enumerate(self.documents, 1)]
        return [name if names.count(name) == 1 else f"{name}, {index}" for index, name in enumerate(names, 1)]

    def results(self) -> list[Result]:
        """All candidates of all measurements."""
        return [result for document in self.documents for result in document.results]

    def proofs(self) -> list[tuple[str, Accuracy]]:
        """Names and proofs of all that was measured, and then of what else was at hand."""
        results = self.results()
        measured = {result.name for result in results}
        records = [(result.name, result.accuracy) for result in results]
        records += [(bundle.name, bundle.accuracy) for bundle in self.examined if bundle.name not in measured]
        return [(name, record) for name, record in records if record]

    def shortened(self) -> Material:
        """The same with short names of candidates: the title names the model. See `short_names`."""
        names = short_names(self.results())
        return replace(
            self,
            documents=tuple(_renamed(document, names) for document in self.documents),
            examined=tuple(replace(bundle, name=names.get(bundle.name, bundle.name)) for bundle in self.examined),
        )

    def to_json(self) -> dict[str, Any]:
        """The document ``dmformer.report/2``, without images."""
        return {
            "title": self.title,
            "measurements": [document.model_dump(mode="json", by_alias=True) for document in self.documents],
            "bundles": [_bundle_json(bundle) for bundle in self.examined],
        }


def figures_among(records: Iterable[Accuracy | None]) -> tuple[Figure, ...]:
    """The figures of every task among the records, each task's headline before its others."""
    tasks = dict.fromkeys(record.task for record in records if record is not None)
    return tuple(figure for task in tasks for figure in figures_of(task))


def _renamed(document: Document, names: Mapping[str, str]) -> Document:
    results = tuple(
        result.model_copy(update={"name": names[result.name], "reference": names.get(result.reference or "")})
        for result in document.results
    )
    lines = {"warnings": document.warnings, "notes": document.notes}
    said = {key: tuple(_shortened(line, names) for line in value) for key, value in lines.items()}
    return document.model_copy(update={"results": results, **said})


def _shortened(line: str, names: Mapping[str, str]) -> str:
    """A warning with the candidate that it begins with under its short name."""
    name, colon, rest = line.partition(":")
    return f"{names.get(name, name)}{colon}{rest}"


def _bundle_json(bundle: Examined) -> dict[str, Any]:
    flips = bundle.flips
    return {
        "name": bundle.name,
        "accuracy": bundle.accuracy.model_dump(mode="json") if bundle.accuracy else None,
        "data": flips.data,
        "images": flips.images,
        "changed": flips.count,
        "decisions": flips.decisions,
        "changed_decisions": flips.changed,
        "by_class": [{"label": name, **score.model_dump()} for name, score in bundle.scored],
        "confusion": [
            {"from": bundle.label(old), "to": bundle.label(new), "count": count} for old, new, count in flips.confusion
        ],
        "classes": [{"label": bundle.label(change.index), **vars(change)} for change in flips.classes],
    }
