"""Options that several requests share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dmformer.options import Option

IMAGES = "Images"
"""Panel of the help."""

Bundled = Annotated[Path, Option("bundle", "A bundle: the directory that export made.")]
Data = Annotated[
    Path | None,
    Option(
        "--data",
        "Labelled images to verify on: a folder with class subfolders, a flat folder, .npz, or an IDX file. "
        "Default: the embedded test set, where the embedded checkpoint is used.",
        IMAGES,
    ),
]
MaxImages = Annotated[int | None, Option("--max-images", "Verify on at most this many images.", IMAGES, min=1)]
Threads = Annotated[int, Option("--threads", "Threads inside an inference; 0: the runtime's choice.", min=0, max=1024)]
Device = Annotated[str, Option("--device", "Device to run on.")]
ForceFile = Annotated[bool, Option("--force", "Replace a file that exists, though dmformer did not make it.")]
