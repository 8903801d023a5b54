"""Whether the user wants to hear what third-party libraries say about themselves (``dmformer --verbose``).

Asked of Python's own logging, so that an application that embeds dmformer decides by its logging
configuration and no flag is passed around.
"""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("dmformer")


def wanted() -> bool:
    """True where the logger ``dmformer`` shows debug messages."""
    return LOGGER.isEnabledFor(logging.DEBUG)
