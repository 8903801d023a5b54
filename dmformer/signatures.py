"""Signatures as people read them."""

from __future__ import annotations

from dataclasses import MISSING, fields
from inspect import Parameter, Signature
from typing import get_type_hints


class Plain:
    """The signature of a request as people read it: types without how they are declared. Made when it is asked for."""

    def __get__(self, _instance: object, owner: type) -> Signature:
        hints = get_type_hints(owner)
        defaults = {
            entry.name: entry.default_factory() if entry.default_factory is not MISSING else entry.default
            for entry in fields(owner)
        }
        return Signature(
            [
                Parameter(
                    name,
                    Parameter.POSITIONAL_OR_KEYWORD,
                    default=Parameter.empty if default is MISSING else default,
                    annotation=hints[name],
                )
                for name, default in defaults.items()
            ]
        )
