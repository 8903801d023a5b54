"""What trainers write as a folder: accelerate's, sharded weights, DeepSpeed's shards and PyTorch's distributed ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.model.elsewhere.layouts import optimizer_of, state_of

Writer = Callable[[Path, nn.Module, nn.Module], Path]
"""Writes into a folder from the network that is meant and one of other weights; gives what is given to the loader."""


def beside(folder: Path, network: nn.Module) -> None:
    """What ``accelerator.save_state`` puts beside the weights."""
    torch.save(optimizer_of(network), folder / "optimizer.bin")
    torch.save({"last_epoch": 3}, folder / "scheduler.bin")
    torch.save({"random": torch.arange(8)}, folder / "random_states_0.pkl")


def accelerate(folder: Path, network: nn.Module, _: nn.Module) -> Path:
    folder = folder / "checkpoint_3"
    folder.mkdir()
    save_file(state_of(network), folder / "model.safetensors", metadata={"format": "pt"})
    beside(folder, network)
    return folder


def accelerate_pickled(folder: Path, network: nn.Module, _: nn.Module) -> Path:
    """With ``safe_serialization=False``."""
    folder = folder / "checkpoint_4"
    folder.mkdir()
    torch.save(state_of(network), folder / "pytorch_model.bin")
    beside(folder, network)
    return folder


def shards(state: dict[str, Tensor], folder: Path, stem: str, suffix: str) -> Path:
    """Two files and their index, as ``save_model(max_shard_size=...)`` writes them."""
    names, half = list(state), len(state) // 2
    weight_map: dict[str, str] = {}
    for number, part in enumerate((names[:half], names[half:]), 1):
        file = f"{stem}-{number:05}-of-00002{suffix}"
        tensors = {name: state[name] for name in part}
        if suffix == ".safetensors":
            save_file(tensors, folder / file, metadata={"format": "pt"})
        else:
            torch.save(tensors, folder / file)
        weight_map |= dict.fromkeys(part, file)
    total = sum(value.nbytes for value in state.values())
    index = folder / f"{stem}{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2))
    return index


def sharded(folder: Path, network: nn.Module, _: nn.Module) -> Path:
    shards(state_of(network), folder, "model", ".safetensors")
    return folder


def sharded_by_index(folder: Path, network: nn.Module, _: nn.Module) -> Path:
    return shards(state_of(network), folder, "model", ".safetensors")


def sharded_pickled(folder: Path, network: nn.Module, _: nn.Module) -> Path:
    shards(state_of(network, "module."), folder, "pytorch_model", ".bin")
    return folder


def shard_missing(folder: Path, network: nn.Module, _: nn.Module) -> Path:
    shards(state_of(network), folder, "model", ".safetensors")
    (folder / "model-00002-of-00002.safetensors").unlink()
    return folder


def shard_elsewhere(folder: Path, network: nn.Module, _: nn.Module) -> Path:
    """An index that leads out of its folder, to a file that is there."""
    inside = folder / "inside"
    inside.mkdir()
    index = shards(state_of(network), inside, "model", ".safetensors")
    (inside / "model-00002-of-00002.safetensors").rename(folder / "other.safetensors")
    index.write_text(index.read_text().replace("model-00002-of-00002.safetensors", "../other.safetensors"))
    return inside


def deepspeed(stage: int) -> Writer:
    """DeepSpeed's folder; with stage 3 no file holds a whole tensor."""

    def write(folder: Path, network: nn.Module, _: nn.Module) -> Path:
        step = folder / "global_step900"
        step.mkdir()
        (folder / "latest").write_text("global_step900")
        (folder / "zero_to_fp32.py").write_text("# extracts the fp32 weights\n")
        state = state_of(network)
        shapes = [{name: value.shape for name, value in state.items()}]
        module = {name: torch.empty(0) for name in state} if stage == 3 else {k: v.half() for k, v in state.items()}
        name = "zero_pp_rank_0_mp_rank_00" if stage == 3 else "mp_rank_00"
        torch.save(
            {"module": module, "param_shapes": shapes, "ds_version": "0.16.4", "dp_world_size": 2},
            step / f"{name}_model_states.pt",
        )
        flat = torch.cat([value.float().flatten() for value in state.values()])
        for rank, part in enumerate(flat.chunk(2)):
            partition = {"zero_stage": stage, "partition_count": 2, "fp32_flat_groups": [part.clone()]}
            torch.save({"optimizer_state_dict": partition}, step / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
        return folder

    return write


def deepspeed_step(folder: Path, network: nn.Module, other: nn.Module) -> Path:
    """The folder of a step, one below that of the script."""
    return deepspeed(3)(folder, network, other) / "global_step900"


def deepspeed_file(folder: Path, network: nn.Module, other: nn.Module) -> Path:
    """The file of one rank, whose tensors are empty."""
    return deepspeed_step(folder, network, other) / "zero_pp_rank_0_mp_rank_00_model_states.pt"


def distributed(folder: Path, network: nn.Module, _: nn.Module) -> Path:
    """PyTorch's distributed checkpoint, as FSDP writes it: read by its own tool alone."""
    (folder / ".metadata").write_bytes(b"\x80\x04N.")
    (folder / "__0_0.distcp").write_bytes(bytes(64 + len(state_of(network))))
    return folder


def nothing(folder: Path, _: nn.Module, __: nn.Module) -> Path:
    (folder / "events.out.tfevents").write_bytes(b"log")
    return folder
