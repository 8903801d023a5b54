"""The PyTorch reference: answers that overflow end the run before anything is built."""

from __future__ import annotations

import numpy as np
import pytest

from dmformer.errors import CheckpointError
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.reference import infer
from tests.model.small_models import small_config


@pytest.mark.parametrize("name", ["head.weight", "stem.norm1.weight", "norm.weight"])
def test_outputs_that_are_not_finite_are_said(name: str) -> None:
    checkpoint = random_checkpoint(small_config(), size=32)
    checkpoint.state[name].fill_(3e38)
    with pytest.raises(CheckpointError, match="outputs are not finite"):
        infer(checkpoint.build(), np.ones((2, 3, 32, 32), np.float32))
