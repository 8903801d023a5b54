"""What trainers put around the weights: the content of one file, from the weights that are meant and others."""

from __future__ import annotations

import argparse
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tests.model.elsewhere.sizes import CLASSES

State = dict[str, Tensor]
Layout = Callable[[nn.Module, nn.Module], Any]
"""The content of a file from the network that is meant and one of other weights."""


def state_of(network: nn.Module, prefix: str = "") -> State:
    return OrderedDict((prefix + name, value.clone()) for name, value in network.state_dict().items())


def optimizer_of(network: nn.Module) -> dict[str, Any]:
    """As AdamW saves itself after some steps."""
    parameters = list(network.parameters())
    state = {
        index: {"step": torch.tensor(9.0), "exp_avg": torch.zeros_like(value), "exp_avg_sq": torch.ones_like(value)}
        for index, value in enumerate(parameters)
    }
    group = {"lr": 1e-3, "betas": (0.9, 0.999), "weight_decay": 0.05, "params": list(range(len(parameters)))}
    return {"state": state, "param_groups": [group]}


def bare(network: nn.Module, _: nn.Module) -> Any:
    return state_of(network)


def data_parallel(network: nn.Module, _: nn.Module) -> Any:
    return state_of(network, "module.")


def compiled(network: nn.Module, _: nn.Module) -> Any:
    return {"model": state_of(network, "_orig_mod."), "step": 900}


def compiled_by_block(network: nn.Module, _: nn.Module) -> Any:
    """``torch.compile`` of every block alone, in a DistributedDataParallel."""
    return {"module." + inside_blocks(name, "_orig_mod"): value for name, value in state_of(network).items()}


def activation_checkpointing(network: nn.Module, _: nn.Module) -> Any:
    named = ((inside_blocks(name, "_checkpoint_wrapped_module"), value) for name, value in state_of(network).items())
    return {"model_state_dict": dict(named), "epoch": 4}


def inside_blocks(name: str, wrapper: str) -> str:
    """A tensor's name with what a wrapper around each block puts in its middle."""
    return re.sub(r"^((?:blocks?\d|stages\.\d(?:\.blocks)?|layers\.\d\.blocks)\.\d+\.)", rf"\g<1>{wrapper}.", name)


def tutorial(network: nn.Module, _: nn.Module) -> Any:
    """PyTorch's "Saving and loading a general checkpoint"."""
    content = {"epoch": 5, "model_state_dict": state_of(network), "optimizer_state_dict": optimizer_of(network)}
    return content | {"loss": torch.tensor(0.4)}


def cifar(network: nn.Module, _: nn.Module) -> Any:
    """As short scripts save: the network under ``net``, in a DataParallel."""
    return {"net": state_of(network, "module."), "acc": 91.2, "epoch": 199}


def imagenet_example(network: nn.Module, _: nn.Module) -> Any:
    """PyTorch's ImageNet example, whose files end in ``.pth.tar``."""
    content = {"epoch": 90, "arch": "dmformer", "state_dict": state_of(network, "module."), "best_acc1": 71.0}
    return content | {"optimizer": optimizer_of(network), "scheduler": {"last_epoch": 90, "_last_lr": [1e-5]}}


def swin_style(network: nn.Module, _: nn.Module) -> Any:
    """FocalNet's and Swin's ``main.py``, the configuration dumped as text."""
    content = {"model": state_of(network), "optimizer": optimizer_of(network), "lr_scheduler": {"last_epoch": 3}}
    return content | {"max_accuracy": 80.1, "epoch": 299, "config": "MODEL:\n  TYPE: focalnet\n"}


def lightning(
    prefix: str, surplus: Callable[[], State] = dict, averaged: str | None = None, swapped: bool = False
) -> Layout:
    """Lightning's checkpoint.

    Args:
        prefix: The name of the network in the module.
        surplus: More tensors of the module.
        averaged: The name in the module of an `AveragedModel` of the network that is meant; the other is plain.
        swapped: As the callback WeightAveraging leaves it: ``state_dict`` is the average.
    """

    def content(network: nn.Module, other: nn.Module) -> Any:
        state = state_of(network if averaged is None else other, prefix)
        if averaged is not None:
            state |= {averaged + name: value for name, value in AveragedModel(network).state_dict().items()}
        whole: dict[str, Any] = {
            "epoch": 12,
            "global_step": 9000,
            "pytorch-lightning_version": "2.5.1",
            "state_dict": state | surplus(),
            "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 12}}}},
            "callbacks": {"ModelCheckpoint{'monitor': 'val_acc'}": {"best_model_score": torch.tensor(0.8)}},
            "optimizer_states": [optimizer_of(network)],
            "lr_schedulers": [{"last_epoch": 12}],
            "hparams_name": "kwargs",
            "hyper_parameters": {"lr": 1e-3, "depths": [1, 2, 1, 1]},
        }
        if swapped:
            whole["current_model_state"] = state_of(other, prefix)
            whole["averaging_state"] = {"n_averaged": torch.tensor(40)}
        return whole

    return content


def training_tensors() -> State:
    """What losses and metrics add to a module's state."""
    return {
        "criterion.weight": torch.ones(CLASSES),
        "val_acc.tp": torch.zeros(CLASSES, dtype=torch.int64),
        "val_acc.fn": torch.zeros(CLASSES, dtype=torch.int64),
        "confusion.confmat": torch.zeros(CLASSES, CLASSES, dtype=torch.int64),
    }


def fabric(prefix: str) -> Layout:
    def content(network: nn.Module, _: nn.Module) -> Any:
        return {"model": state_of(network, prefix), "optimizer": optimizer_of(network), "iteration": 900}

    return content


def mmengine(averaged: bool, prefix: str = "", surplus: Callable[[], State] = dict) -> Layout:
    """MMEngine's runner; its EMA hook puts the average into ``state_dict``."""

    def content(network: nn.Module, other: nn.Module) -> Any:
        meta = {"epoch": 100, "iter": 9000, "cfg": "model = dict(type='ImageClassifier')", "mmengine_version": "0.10.7"}
        whole: dict[str, Any] = {
            "meta": meta | {"seed": 1, "experiment_name": "dmformer_1", "time": "20260101_000000"},
            "state_dict": state_of(network, prefix) | surplus(),
            "message_hub": {"log_scalars": {}, "runtime_info": {"epoch": 100}, "resumed_keys": {}},
            "optimizer": optimizer_of(network),
            "param_schedulers": [{"last_step": 100}],
        }
        if averaged:
            whole["ema_state_dict"] = state_of(other, "module." + prefix) | {"steps": torch.tensor(9000)}
        return whole

    return content


def timm_saver(args: bool, averaged: bool = True) -> Layout:
    """timm's CheckpointSaver."""

    def content(network: nn.Module, other: nn.Module) -> Any:
        whole: dict[str, Any] = {"epoch": 299, "arch": "dmformer_small", "version": 2, "metric": 80.3}
        whole |= {"state_dict": state_of(other if averaged else network), "optimizer": optimizer_of(network)}
        whole["amp_scaler"] = {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 0}
        if averaged:
            whole["state_dict_ema"] = state_of(network)
        if args:
            whole["args"] = argparse.Namespace(model="dmformer_small", lr=1e-3, model_ema=True)
        return whole

    return content


def torchvision_references(network: nn.Module, other: nn.Module) -> Any:
    whole: dict[str, Any] = {"model": state_of(other), "optimizer": optimizer_of(network), "lr_scheduler": {}}
    whole |= {"epoch": 599, "args": argparse.Namespace(model="dmformer", data_path="/data"), "scaler": {"scale": 1.0}}
    return whole | {"model_ema": dict(AveragedModel(network, use_buffers=True).state_dict())}


def convnext_style(network: nn.Module, other: nn.Module) -> Any:
    """ConvNeXt's ``utils.save_model``."""
    whole = {"model": state_of(other), "optimizer": optimizer_of(network), "epoch": 299, "scaler": {"scale": 1.0}}
    return whole | {"args": argparse.Namespace(model="convnext_tiny"), "model_ema": state_of(network)}


def ultralytics(network: nn.Module, _: nn.Module) -> Any:
    """A module in half precision as the average, and no other."""
    whole: dict[str, Any] = {"epoch": -1, "best_fitness": 0.8, "model": None, "ema": network.half(), "updates": 900}
    return whole | {"optimizer": None, "train_args": {"imgsz": 64}, "date": "2026-01-01", "version": "8.3.0"}


def averaged_model(network: nn.Module, _: nn.Module) -> Any:
    return AveragedModel(network).state_dict()


def stochastic_averages(network: nn.Module, other: nn.Module) -> Any:
    return {"epoch": 160, "state_dict": state_of(other), "swa_state_dict": AveragedModel(network).state_dict()}


def shadow(network: nn.Module, other: nn.Module) -> Any:
    """An average that keeps parameters and statistics."""
    return {"model": state_of(other), "ema": {"decay": 0.9998, "num_updates": 900, "shadow": state_of(network)}}


def shadow_of_parameters(network: nn.Module, other: nn.Module) -> Any:
    """An average of parameters alone: without statistics it is no network, so the plain weights are meant."""
    parameters = {name: value.detach().clone() for name, value in other.named_parameters()}
    return {"model": state_of(network), "ema": {"decay": 0.9998, "shadow": parameters}}


def ema_model(network: nn.Module, other: nn.Module) -> Any:
    return {"model": state_of(other, "module."), "ema_model": state_of(network, "module."), "step": 900}


def profiled(network: nn.Module, _: nn.Module) -> Any:
    """thop leaves two counters in every module."""
    for module in network.modules():
        module.register_buffer("total_ops", torch.zeros(1, dtype=torch.float64))
        module.register_buffer("total_params", torch.zeros(1, dtype=torch.float64))
    return {"state_dict": state_of(network)}


def auxiliary() -> State:
    """The second head of mmsegmentation."""
    return {
        "auxiliary_head.conv_seg.weight": torch.ones(CLASSES, 8, 1, 1),
        "auxiliary_head.conv_seg.bias": torch.ones(5),
    }
