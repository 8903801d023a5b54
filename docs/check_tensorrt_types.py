"""Checks the rooms for NVIDIA's libraries against the types of TensorRT's Python API, without TensorRT.

    python docs/check_tensorrt_types.py          (or: make types-tensorrt)

The package `tensorrt-stubs` asks for all of TensorRT when it is installed, and a few signatures in it are no Python. So
it is downloaded without its requirements, unpacked into a scratch folder, those signatures are widened there, and mypy
looks into that folder first.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

STUBS = "tensorrt-stubs==10.13.0.35.1"
CHECKED = ("dmformer/runtimes/tensorrt", "dmformer/runtimes/inspection/tensorrt.py")
SIGNATURE = re.compile(r"^(?P<indent>\s*)def (?P<name>\w+)\(.*\) -> .*?:(?P<rest>.*)$")


def mended(source: str) -> tuple[str, int]:
    """The text of a stub file with every one-line signature that does not parse widened, and how many there were."""
    lines, count = source.splitlines(), 0
    for index, line in enumerate(lines):
        match = SIGNATURE.match(line)
        if match and not parses(line):
            body = " ..." if match["rest"].strip() else ""
            lines[index] = f"{match['indent']}def {match['name']}(*args: Any, **kwargs: Any) -> Any:{body}"
            count += 1
    return "\n".join(["from typing import Any", *lines] if count else lines) + "\n", count


def parses(line: str) -> bool:
    """Whether a line with a signature is Python, whatever its body."""
    text = line.strip()
    try:
        ast.parse(f"{text}\n    ..." if text.endswith(":") else text)
    except SyntaxError:
        return False
    return True


def main() -> int:
    """Downloads, mends and checks; 1 where a file of this project disagrees with the stubs."""
    with tempfile.TemporaryDirectory(prefix="dmformer-") as folder:
        scratch = Path(folder)
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, STUBS]
        subprocess.run(download, check=True)  # noqa: S603 - pip
        with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
            wheel.extractall(scratch / "stubs")
        for path in (scratch / "stubs").rglob("*.pyi"):
            text, count = mended(path.read_text(encoding="utf-8").replace("from __future__ import annotations\n", ""))
            path.write_text(text, encoding="utf-8")
            if count:
                print(f"{path.name}: {count} signatures widened", file=sys.stderr)
        environment = {**os.environ, "MYPYPATH": str(scratch / "stubs")}
        command = [sys.executable, "-m", "mypy", "--cache-dir", str(scratch / "cache"), *CHECKED]
        told = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)  # noqa: S603 - mypy
    # What is wrong in the stubs themselves is not ours to mend.
    lines = told.stdout.splitlines()
    ours = [line for line in lines if line.startswith("dmformer/") or "prevented further checking" in line]
    print("\n".join([*ours, told.stderr.strip()]).strip() or f"no disagreement with {STUBS}")
    return 1 if ours or told.stderr.strip() else 0


if __name__ == "__main__":
    sys.exit(main())
