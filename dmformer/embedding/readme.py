"""The README of a project: what it is, the commands, and what else its language has to say."""

from __future__ import annotations

from dmformer.bundle import Bundle
from dmformer.embedding.escape import markdown
from dmformer.embedding.languages import Language
from dmformer.manifest import Manifest


def readme(bundle: Bundle, language: Language, name: str) -> str:
    """Short Markdown; names are made harmless."""
    manifest = bundle.manifest
    runtime = markdown(manifest.runtime.name)
    commands = "\n".join(f"$ {step.command}    # {step.why}" for step in language.steps(bundle))
    return f"""# {markdown(name)} in {language.title}

{manifest.precision.requested.upper()} engine of {markdown(manifest.name)} for {runtime}, made by
dmformer. It takes images of any size and answers with {manifest.task.promise()}.

```console
{commands}
```

The self-test preprocesses golden images and compares with PyTorch's tensors (stage "preprocessing"), then runs the
engine on those tensors and compares with the answers of PyTorch in FP32 (stage "engine"). It names the stage that
differs.

Preprocessing: {describe(manifest)}

{language.notes(bundle, name).strip()}
"""


def describe(manifest: Manifest) -> str:
    """One sentence: what happens to an image before the engine sees it."""
    spec = manifest.preprocessing
    height, width = spec.size
    inside = " (normalized inside the engine, which takes the pixels)" if manifest.takes_pixels else ""
    sizes = {
        "exact": f"stretched to {width}x{height}",
        "shorter": f"shorter side to {spec.shorter_side}, then the central {width}x{height}",
        "letterbox": f"fitted into {width}x{height}, padded with {spec.fill}",
    }
    return (
        f"{spec.channel_order}, {sizes[spec.resize]}, {spec.interpolation} with antialiasing as Pillow's, "
        f"divided by 255, mean {list(spec.mean)}, deviation {list(spec.std)}{inside}."
    )
