"""What a command answers: documents that go through JSON and back, each with the name of its schema."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ConfigDict, Field

from dmformer.fields import Strict


def schema(name: str) -> Any:
    """The field that names a document's schema."""
    return Field(default=name, alias="schema")


class Document(Strict):
    """Base of every command's answer; a subclass says its ``schema_`` first."""

    model_config = ConfigDict(populate_by_name=True)

    @property
    def within_tolerance(self) -> bool:
        """Whether all that was asked for held: what a gate goes by."""
        return True

    @property
    def answered(self) -> bool:
        """Whether everybody who was asked could answer."""
        return True

    def to_json(self) -> str:
        """The text of the document, indented, ending in a newline."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=2) + "\n"


class Summarized(Document):
    """Base of an answer about one bundle: its other fields are the figures of `dmformer.summary.summarize`."""

    model_config = ConfigDict(extra="allow")

    path: str | None
    verified: bool | None

    @property
    def within_tolerance(self) -> bool:
        return self.verified is not False
