"""Passes over the exported ONNX graph, one small function each; the function that it computes stays the same."""

from __future__ import annotations

import re
from collections import Counter

import onnx
import onnx_ir as ir
from onnx import shape_inference
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, RemoveUnusedNodesPass

from dmformer.errors import ExportError, reraise_stop
from dmformer.progress import Progress

SPATIAL_AXES = ([2, 3], [-2, -1])
SCOPE_KEY = "pkg.torch.onnx.name_scopes"
PRODUCER = "dmformer"


def name_nodes_by_module(model: ir.Model) -> None:
    """Names every node by the module that it came from, as ``stages.0.1.dma.expand``.

    The paths come from the exporter's own scopes. Nodes that are not a module of their own get their
    operator behind the path; repeated names get a number.
    """
    seen: Counter[str] = Counter()
    for node in model.graph:
        path = _module_path(node)
        is_module = any(
            name.startswith(f"{path}.") and name.count(".") == path.count(".") + 1 for name in _inputs(node)
        )
        name = path if is_module and path else ".".join(filter(None, [path, node.op_type.lower()]))
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}.{seen[name] - 1}"


def _module_path(node: ir.Node) -> str:
    """The innermost module of a node: from its weight's name where it has one, otherwise from its scope."""
    weights = [name for name in _inputs(node) if name.endswith((".weight", ".bias"))]
    if weights:
        return weights[0].rpartition(".")[0]
    names = [name for name in re.findall(r"'([^']*)'", node.metadata_props.get(SCOPE_KEY, "[]"))[:-1] if name]
    return names[-1] if names else ""


def _inputs(node: ir.Node) -> list[str]:
    return [value.name for value in node.inputs if value is not None and value.name]


def name_values_by_node(model: ir.Model) -> None:
    """Names every intermediate tensor by the node that computes it; graph outputs keep theirs."""
    for node in model.graph:
        for index, value in enumerate(node.outputs):
            if not value.is_graph_output():
                value.name = f"{node.name}:{index}"


def pool_globally(model: ir.Model) -> None:
    """Replaces ReduceMean over height and width by GlobalAveragePool.

    The same function; ONNX Runtime keeps its blocked layout across it and has an INT8 version of it.
    """
    for node in model.graph:
        if node.op_type != "ReduceMean" or len(node.inputs) != 2 or not node.attributes.get_int("keepdims", 1):
            continue
        axes = ir.convenience.get_const_tensor(node.inputs[1]) if node.inputs[1] is not None else None
        if axes is not None and sorted(axes.numpy().tolist()) in SPATIAL_AXES:
            node.op_type = "GlobalAveragePool"
            node.resize_inputs(1)
            node.attributes.clear()


def strip(model: ir.Model) -> None:
    """Removes what nobody reads, and the exporter's notes about its sources: bytes must depend on the model alone."""
    RemoveUnusedNodesPass()(model)
    ClearMetadataAndDocStringPass()(model)
    values = [*model.graph.inputs, *model.graph.initializers.values()]
    for value in (*values, *(output for node in model.graph for output in node.outputs)):
        value.metadata_props.clear()
        value.doc_string = None
    model.metadata_props.clear()
    model.doc_string = None


def to_proto(model: ir.Model) -> onnx.ModelProto:
    """The graph as others take it. A constant's empty note stays: ranges files know their graph by its digest."""
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    for entry in proto.graph.initializer:
        entry.doc_string = ""
    return proto


def name_open_sides(model: onnx.ModelProto) -> None:
    """Calls open heights and widths so; what torch.export calls them is a number of its own, and no name."""
    for value in (*model.graph.input, *model.graph.output):
        for dim, name in zip(value.type.tensor_type.shape.dim[2:], ("height", "width"), strict=False):
            if dim.dim_param:
                dim.dim_param = name if value in model.graph.input else f"{value.name} {name}"


def simplify(model: ir.Model, progress: Progress) -> ir.Model:
    """onnxsim: folds constants and removes what does nothing.

    Args:
        model: Stays as it is.
        progress: Told what changed, or why nothing did: an export does not depend on onnxsim.
    """
    import onnxsim

    simplified: onnx.ModelProto
    try:
        simplified, equal = onnxsim.simplify(ir.to_proto(model))
    except Exception as error:
        reraise_stop(error)
        first = next(iter(str(error).splitlines()), type(error).__name__)
        progress.say(f"the graph is not simplified: onnxsim failed ({first})")
        return model
    if not equal:
        progress.say("the graph is not simplified: onnxsim changed what it computes")
        return model
    before, after = (Counter(node.op_type for node in nodes) for nodes in (model.graph, simplified.graph.node))
    changes = [f"{count} {kind} fewer" for kind, count in sorted((before - after).items())]
    changes += [f"{count} {kind} more" for kind, count in sorted((after - before).items())]
    if changes:
        progress.say(f"onnxsim: {', '.join(changes)}")
    return ir.from_proto(simplified)


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
