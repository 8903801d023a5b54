"""Compiles the C++ sources of the templates, whole projects and parts of them."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dmformer.embedding.languages import TEMPLATES
from dmformer.preprocessing import Preprocessing
from tests.embedding.pictures import FILTERS, ORDERS, RESIZES
from tests.support import PATIENCE

COMMON = TEMPLATES / "cpp" / "common"
DRIVER = Path(__file__).parent / "cpp" / "preprocess.cpp"
PARTS = ("image", "orientation", "jpeg", "png", "resample", "preprocessing")
STRICT = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffp-contract=off")

needs_compiler = pytest.mark.skipif(
    not all(map(shutil.which, ("g++", "cmake"))) or not Path("/usr/include/jpeglib.h").exists(),
    reason="no g++, cmake or libjpeg-dev here: .ci/system-packages installs them",
)


def execute(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a program with the environment of the tests first on the PATH, and gives what it said."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [str(part) for part in command],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **options,
    )


@contextlib.contextmanager
def sanitized(folder: Path) -> Iterator[None]:
    """What is compiled and run inside ends at a read of what is gone; writes a file of known leaks to a folder."""
    # What TBB's own threads hold at the end is sometimes told as a leak, and is not the project's.
    leaks = folder / "leaks"
    leaks.write_text("leak:libtbb.so\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXXFLAGS", "-fsanitize=address,undefined -fno-sanitize-recover")
        patch.setenv("CMAKE_BUILD_TYPE", "Unoptimized")  # -O2 takes the compiler half as long again
        patch.setenv("LSAN_OPTIONS", f"suppressions={leaks}:print_suppressions=0")
        # OpenVINO's threads would load libraries in a way that sanitizers refuse.
        patch.setenv("TBB_ENABLE_SANITIZERS", "1")
        yield


def build(project: Path) -> Path:
    """Configures and compiles a project as its README says; the folder of its programs."""
    for command in (("cmake", "-S", ".", "-B", "build"), ("cmake", "--build", "build", "--parallel")):
        done = execute(*command, cwd=project)
        assert done.returncode == 0, done.stdout + done.stderr
    return project / "build"


@dataclass(frozen=True)
class Driver:
    """The decoding and preprocessing of the templates as a program of its own."""

    program: Path
    folder: Path

    @classmethod
    def compile(cls, folder: Path) -> Driver:
        sources = [COMMON / "src" / f"{part}.cpp" for part in PARTS]
        program = folder / "preprocess"
        done = execute("g++", *STRICT, "-I", COMMON / "include", *sources, DRIVER, "-o", program, "-ljpeg", "-lpng")
        assert done.returncode == 0, done.stderr
        return cls(program, folder)

    def run(self, lines: list[str], memory: int | None = None) -> list[str]:
        """One answer for each case. ``memory`` limits the address space, in bytes."""

        def limit() -> None:
            if memory is not None:
                resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

        done = execute(self.program, input="\n".join(lines), preexec_fn=limit)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def decode(self, paths: list[Path]) -> list[NDArray[np.uint8] | str]:
        """The pixels of each file, or the error."""
        outputs = [self.folder / f"{index}.u8" for index in range(len(paths))]
        answers = self.run([f"{path} 0 0 0 0 0 0 0 0 {out}" for path, out in zip(paths, outputs, strict=True)])
        found: list[NDArray[np.uint8] | str] = []
        for answer, output in zip(answers, outputs, strict=True):
            if answer.startswith("error: "):
                found.append(answer)
                continue
            width, height, channels = map(int, answer.split())
            found.append(np.fromfile(output, np.uint8).reshape(height, width, channels))
        return found

    def tensors(self, cases: list[tuple[NDArray[np.uint8], Preprocessing]]) -> list[NDArray[np.float32]]:
        lines = []
        for index, (image, _) in enumerate(cases):
            image.tofile(self.folder / f"{index}.raw")
        for index, (image, spec) in enumerate(cases):
            height, width, channels = image.shape
            place = f"raw:{width}:{height}:{channels}:{self.folder / f'{index}.raw'}"
            lines.append(f"{place} {line_of(spec)} {self.folder / f'{index}.f32'}")
        assert self.run(lines) == ["tensor"] * len(cases)
        return [np.fromfile(self.folder / f"{i}.f32", "<f4").reshape(spec.shape) for i, (_, spec) in enumerate(cases)]


def line_of(spec: Preprocessing) -> str:
    """Parameters as the driver reads them."""
    numbers = [
        *spec.size,
        RESIZES.index(spec.resize),
        spec.shorter_side,
        FILTERS.index(spec.interpolation),
        ORDERS.index(spec.channel_order),
        spec.fill,
        spec.channels,
        *spec.mean,
        *spec.std,
    ]
    return " ".join(map(repr, numbers))
