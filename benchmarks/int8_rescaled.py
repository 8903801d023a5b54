"""INT8 accuracy when a checkpoint's channels are scaled unevenly: the same function in float.

Output channel c of each expand convolution is multiplied by s_c and its depthwise kernels divided by it;
channel c of the level sum is multiplied by t_c (in the BatchNorm behind it) and the fuse convolution's input
divided by it. s and t are log-normal with sigma 1, 2 and 3. Trained networks are a milder case of this.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.int8_accuracy import CALIBRATION_IMAGES, RUN_BATCH, logits_of, row, tensors
from benchmarks.int8_recipes import engines, graphs_of
from dmformer import assets
from dmformer.model.checkpoint import Checkpoint
from dmformer.pipeline.sources import resolve_checkpoint
from dmformer.pipeline.trial import opened

SIGMAS = (0.0, 1.0, 2.0, 3.0)


def rescaled(checkpoint: Checkpoint, sigma: float, seed: int = 0) -> Checkpoint:
    """The same function with unevenly scaled channels."""
    generator = torch.Generator().manual_seed(seed)
    state = dict(checkpoint.state)
    for name in [name for name in state if name.endswith(".dma.expand.weight")]:
        block = name.removesuffix(".expand.weight")
        wide = len(state[name])
        s, t = (torch.exp(sigma * torch.randn(wide, generator=generator)) for _ in range(2))
        state[name] = state[name] * s[:, None, None, None]
        state[f"{block}.expand.bias"] = state[f"{block}.expand.bias"] * s
        for level in range(len(checkpoint.config.kernels)):
            key = f"{block}.levels.{level}.weight"
            state[key] = state[key] / s[:, None, None, None]
        for part in ("weight", "bias"):
            state[f"{block}.norm.{part}"] = state[f"{block}.norm.{part}"] * t
        state[f"{block}.fuse.weight"] = state[f"{block}.fuse.weight"] / t[None, :, None, None]
    return replace(checkpoint, state=state, name=f"{checkpoint.name}-sigma{sigma:g}")


def main() -> None:
    original = resolve_checkpoint(None)
    images, _ = tensors(assets.calibration_images(), original, CALIBRATION_IMAGES)
    test, labels = tensors(assets.test_images(), original)
    print(f"{'sigma':<7}{'runtime':<12}{'recipe':<52}{'top-1':>7}{'agreement':>11}{'SQNR dB':>9}")
    for sigma in SIGMAS:
        graphs = graphs_of(rescaled(original, sigma), dynamic=True)
        reference = logits_of(opened("onnxruntime", graphs.plain), test, RUN_BATCH)
        for runtime, recipes in engines(graphs, images).items():
            for name, open_engine in recipes.items():
                figures = row(reference, logits_of(open_engine(), test, RUN_BATCH), labels)
                print(f"{sigma:<7g}{runtime:<12}{name:<52}{figures}", flush=True)


if __name__ == "__main__":
    main()
