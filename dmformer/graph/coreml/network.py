"""The module that is converted: the canonical network, taking pixels and giving probabilities where that is wanted."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dmformer.errors import ExportError
from dmformer.model.config import ModelConfig
from dmformer.model.network import DMFormer
from dmformer.preprocessing import Preprocessing
from dmformer.tasks.base import ClassMap

if TYPE_CHECKING:
    import onnx

    Arrays = dict[str, Tensor]


class WithProbabilities(nn.Module):
    """Logits and their softmax: what a classifier in Core ML gives."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps ``[N, C, H, W]`` to logits and probabilities, both ``[N, classes]``."""
        logits = self.network(x)
        return logits, torch.softmax(logits, 1)


class WithClassMap(nn.Module):
    """Scores, and the class of every pixel of the input; see `dmformer.graph.class_map`."""

    def __init__(self, network: nn.Module, map_: ClassMap) -> None:
        super().__init__()
        self.network, self.map = network, map_

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps ``[N, C, H, W]`` to scores ``[N, planes, H / stride, W / stride]`` and classes int32 ``[N, H, W]``."""
        scores = self.network(x)
        resized = nn.functional.interpolate(scores, scale_factor=self.map.stride, mode="bilinear", align_corners=False)
        if self.map.planes == 1:
            return scores, (resized > self.map.logit).squeeze(1).int()
        return scores, resized.argmax(1).int()


def canonical_network(config: ModelConfig, weights: Arrays) -> DMFormer:
    """The canonical network of a configuration with given weights, in eval mode.

    Raises:
        ExportError: The weights are not those of such a network.
    """
    with torch.device("meta"):
        network = DMFormer(config.canonical())
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise ExportError(
            f"the weights are not those of the canonical network: {str(error).splitlines()[0]}"
        ) from error
    return network.eval().requires_grad_(False)


def weights_of(graph: onnx.ModelProto, config: ModelConfig) -> Arrays:
    """The weights of a canonical ONNX graph as the module's: what equalization and bias correction made of them.

    Args:
        graph: A float32 graph whose nodes are named by module.
        config: The network's configuration.

    Raises:
        ExportError: A layer of the network is not in the graph.
    """
    from dmformer.graph.qdq.graph import Graph

    edited = Graph(graph)
    with torch.device("meta"):
        network = DMFormer(config.canonical())
    weights: Arrays = {}
    for name, module in network.named_modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        node = edited.by_name.get(name)
        if node is None:
            raise ExportError(f"the graph has no layer {name}", "please report this")
        weight = torch.from_numpy(edited.array(node.input[1]).copy())
        if weight.shape != module.weight.shape:
            weight = weight.t().contiguous()
        weights[f"{name}.weight"] = weight
        if module.bias is not None:
            weights[f"{name}.bias"] = torch.from_numpy(edited.array(node.input[2]).copy())
    return weights


def taking_pixels(network: DMFormer, preprocessing: Preprocessing) -> DMFormer:
    """The same network for images from which only the mean was taken, not divided by the deviation.

    Core ML's image input knows one scale for all channels and a bias for each. The division goes into the first
    convolution's weights, which is exact: its padding of zeros is a pixel of the mean before and after.
    """
    changed = copy.deepcopy(network)
    deviation = torch.tensor(preprocessing.std, dtype=torch.float64).reshape(1, -1, 1, 1)
    conv = changed.stem.conv1
    conv.weight = nn.Parameter((conv.weight.double() / deviation).float(), requires_grad=False)
    return changed
