"""Python without dmformer: NumPy, Pillow and the runtime are all that the project needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from dmformer.bundle import Bundle
from dmformer.embedding import escape
from dmformer.embedding.answers import reading
from dmformer.embedding.languages import (
    Content,
    Step,
    cpu_flags,
    engine_file,
    passed_on,
    sources,
    task_files,
    template_files,
    variant_of,
)
from dmformer.targets import get_target

HEAD = '''"""What this engine needs to know, written by dmformer from the bundle's manifest."""

from __future__ import annotations

'''


class Python:
    """A `dmformer.embedding.languages.Language`."""

    name = "python"
    title = "Python"
    targets = ("onnxruntime", "openvino", "ncnn")
    inputs = ("float32", "uint8")
    decides = True
    resources = "."

    def files(self, bundle: Bundle, name: str) -> Mapping[str, Content]:
        runtime = variant_of(bundle.manifest.target)
        return {
            **sources("python", bundle, runtime),
            "parameters.py": parameters(bundle).encode(),
            "requirements.txt": requirements(bundle, runtime).encode(),
        }

    def steps(self, bundle: Bundle) -> tuple[Step, ...]:
        common = template_files("python/common")
        program = next(name for name in task_files("python", bundle) if name not in common)
        return (
            Step("python -m pip install -r requirements.txt", "best in a virtual environment"),
            Step("python self_test.py", "compares with PyTorch, stage by stage"),
            Step(f"python {program} photo.jpg", "an image of yours"),
        )

    def notes(self, bundle: Bundle, name: str) -> str:
        return """`requirements.txt` takes no newer a runtime than the bundle was proven with, and an older one where
there is no other for your Python: the self-test says whether it answers alike.

`preprocessing.py`, `images.py`, `inference.py`, `outputs.py`, `machine.py` and `engine.py` are what an application
takes over; `parameters.py` is all that differs between two bundles of one runtime. dmformer itself is not needed."""


def parameters(bundle: Bundle) -> str:
    """The module ``parameters.py``: constants alone, so that nothing in a manifest becomes code."""
    manifest = bundle.manifest
    spec = manifest.preprocessing
    read = reading(manifest)
    taken = (manifest.answer,) if manifest.answer else manifest.compared
    values: dict[str, Any] = {
        "ENGINE_FILE": f"engine/{engine_file(bundle)}",
        "INPUT": manifest.input.name,
        "INPUT_DTYPE": manifest.input.dtype,
        "OUTPUT_DTYPE": read.spec.dtype,
        "OUTPUTS": {spec.name: manifest.outputs.index(spec) for spec in taken},
        "BATCH": manifest.input.shape[0],
        "OPTIONS": passed_on(manifest),
        "CPU_FLAGS": cpu_flags(manifest),
        "SIZE": spec.size,
        "RESIZE": spec.resize,
        "SHORTER_SIDE": spec.shorter_side,
        "INTERPOLATION": spec.interpolation,
        "CHANNEL_ORDER": spec.channel_order,
        "MEAN": spec.mean,
        "STD": spec.std,
        "FILL": spec.fill,
        "LABELS": read.legend.names,
    }
    decided = manifest.task.class_map(manifest.output)
    if decided is not None:
        values |= {"PALETTE": read.legend.palette, "STRIDE": decided.stride, "LOGIT": decided.logit}
    if len(taken) > 1:
        values["SHAPES"] = {spec.name: spec.shape[1:] for spec in manifest.outputs_for(manifest.usual_input)}
    return HEAD + "".join(f"{name} = {escape.python(value)}\n" for name, value in values.items())


def requirements(bundle: Bundle, runtime: str) -> str:
    """What dmformer itself requires, and no newer a runtime than the bundle was built and proven with.

    An older one may be all that there is for the device's Python; the self-test says whether it answers alike.
    """
    version = bundle.manifest.runtime.version
    same = get_target(bundle.manifest.target).library == get_target(runtime).library
    # A version comes from a file; what is none would be an option of pip.
    newest = f",<={version}" if same and re.fullmatch(r"\d+(\.\w+)*", version) else ""
    return f"{required('numpy')}\n{required('pillow')}\n{required(runtime)}{newest}\n"


def required(package: str) -> str:
    """A package as this distribution's metadata requires it: ``numpy>=1.26``. A checkout may have none."""
    try:
        lines = metadata.requires("dmformer") or ()
    except metadata.PackageNotFoundError:
        lines = ()
    return next((found[0] for line in lines if (found := re.match(rf"{package}(?![\w-])[^;]*", line))), package).strip()
