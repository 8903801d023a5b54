"""One thread for each session: this room opens thousands of small ones, on machines that do other work as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dmformer.calibration.observe.threads_per_stream", lambda asked: 1)
        yield
