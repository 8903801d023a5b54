"""Passes over the exported ONNX graph, one small function each.

Every pass takes a ModelProto and returns a changed copy or the same object; the function it computes
stays the same.
"""

from __future__ import annotations

import re
from collections import Counter

import onnx
from onnx import numpy_helper, shape_inference

from dmformer.errors import ExportError

SPATIAL_AXES = [2, 3]
SCOPE_KEY = "pkg.torch.onnx.name_scopes"
PRODUCER = "dmformer"


def name_nodes_by_module(model: onnx.ModelProto) -> onnx.ModelProto:
    """Names every node by the module that it came from, as ``stages.0.1.dma.expand``.

    The paths come from the exporter's own scopes. Nodes that are not a module of their own get their
    operator behind the path; repeated names get a number.
    """
    seen: Counter[str] = Counter()
    for node in model.graph.node:
        path = _module_path(node)
        is_module = any(name.startswith(f"{path}.") and name.count(".") == path.count(".") + 1 for name in node.input)
        name = path if is_module and path else ".".join(filter(None, [path, node.op_type.lower()]))
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}.{seen[name] - 1}"
    return model


def _module_path(node: onnx.NodeProto) -> str:
    """The innermost module of a node: from its weight's name where it has one, otherwise from its scope."""
    weights = [str(name) for name in node.input if name.endswith((".weight", ".bias"))]
    if weights:
        return weights[0].rpartition(".")[0]
    scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPE_KEY), "[]")
    names = [str(name) for name in re.findall(r"'([^']*)'", scopes)[:-1] if name]
    return names[-1] if names else ""


def name_values_by_node(model: onnx.ModelProto) -> onnx.ModelProto:
    """Names every intermediate tensor by the node that computes it; graph outputs keep theirs."""
    outputs = {value.name for value in model.graph.output}
    renamed: dict[str, str] = {}
    for node in model.graph.node:
        for index, old in enumerate(node.output):
            if old not in outputs:
                renamed[old] = f"{node.name}:{index}"
                node.output[index] = renamed[old]
        for index, old in enumerate(node.input):
            node.input[index] = renamed.get(old, old)
    del model.graph.value_info[:]
    return model


def pool_globally(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replaces ReduceMean over height and width by GlobalAveragePool.

    The same function; ONNX Runtime keeps its blocked layout across it and has an INT8 version of it.
    """
    constants = {entry.name: entry for entry in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "ReduceMean" or len(node.input) != 2 or node.input[1] not in constants:
            continue
        axes = sorted(numpy_helper.to_array(constants[node.input[1]]).tolist())
        keeps = all(attribute.i != 0 for attribute in node.attribute if attribute.name == "keepdims")
        if axes in (SPATIAL_AXES, [-2, -1]) and keeps:
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            del node.attribute[:]
    return model


def strip_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Removes what the exporter notes about its source files: the bytes must depend on the model alone."""
    for group in (
        model.graph.node,
        model.graph.input,
        model.graph.output,
        model.graph.value_info,
        model.graph.initializer,
    ):
        for item in group:
            del item.metadata_props[:]
            item.doc_string = ""
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    model.graph.doc_string = model.doc_string = ""
    return model


def drop_unused_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """Removes initializers that no node reads."""
    used = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    kept = [entry for entry in model.graph.initializer if entry.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """onnxsim: folds constants and removes what does nothing.

    Raises:
        ExportError: onnxsim failed, or says that its result is not equal.
    """
    import onnxsim

    try:
        simplified: onnx.ModelProto
        simplified, equal = onnxsim.simplify(model)
    except Exception as error:
        raise ExportError(f"onnxsim failed: {error}", "use --no-simplify") from error
    if not equal:
        raise ExportError("onnxsim changed what the graph computes", "use --no-simplify")
    return simplified


def check(model: onnx.ModelProto) -> onnx.ModelProto:
    """Checks the graph against the ONNX specification and infers every shape.

    Raises:
        ExportError: The graph breaks the specification, or the shapes contradict each other.
    """
    try:
        inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(inferred, full_check=True)
    except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise ExportError(f"the ONNX graph is not valid: {str(error).splitlines()[0]}") from error
    return inferred


def stamp(model: onnx.ModelProto, version: str, metadata: dict[str, str]) -> onnx.ModelProto:
    """Writes producer and metadata, sorted by key."""
    model.producer_name, model.producer_version = PRODUCER, version
    model.graph.name = PRODUCER
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))
    return model
