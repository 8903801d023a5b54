"""What loading weights costs over `torch.load` alone: time and memory of ``large``, as a torch file and safetensors.

Demanded: at most 1.3 times the time of `torch.load`, at most 1.5 times the file's size in memory. Of safetensors its
own reader is timed, which maps the file and reads nothing. Times are taken in turns in one process; memory is the
growth of the peak in a process for each. The same file in the names of VAN is timed too. The file's SHA-256 is no part
of loading: it is computed when it is asked for.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch

from benchmarks.timing import interleaved_ms, machine
from dmformer.model.checkpoint import load_checkpoint
from dmformer.model.random_weights import random_checkpoint

MIB = 1 << 20
VAN = {
    r"stages\.(\d)\.(\d+)\.": lambda found: f"block{int(found[1]) + 1}.{found[2]}.",
    r"downsamples\.(\d)": lambda found: f"patch_embed{int(found[1]) + 2}.proj",
    r"stem\.": lambda _: "patch_embed1.",
    r"dma\.expand": lambda _: "attn.proj_1",
    r"dma\.fuse": lambda _: "attn.proj_2",
    r"dma\.": lambda _: "attn.",
    r"ffn\.conv": lambda _: "mlp.fc",
    r"scale(\d)\.weight": lambda found: f"layer_scale_{found[1]}",
}


def in_names_of_van(name: str) -> str:
    """A tensor's name as somebody calls it who began with VAN."""
    for pattern, theirs in VAN.items():
        name = re.sub(pattern, theirs, name)
    return name


def write(folder: Path) -> dict[str, Path]:
    """The files to load."""
    state = dict(random_checkpoint("large").state)
    files = {"torch": folder / "large.pt", "safetensors": folder / "large.safetensors", "VAN": folder / "van.pt"}
    torch.save(state, files["torch"])
    safetensors.torch.save_file(state, files["safetensors"])
    torch.save({in_names_of_van(name): tensor for name, tensor in state.items()}, files["VAN"])
    return files


def bare(path: Path) -> Callable[[], object]:
    """The library's own reader."""
    if path.suffix == ".safetensors":
        return lambda: safetensors.torch.load_file(path)
    return lambda: torch.load(path, weights_only=True)


def growth_mib(path: Path, ours: bool) -> float:
    """How much the peak of a process grows that loads a file once."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.checkpoint_loading",
        "--once",
        str(path),
        *(["--ours"] if ours else []),
    ]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def once(path: Path, ours: bool) -> None:
    """Loads a file and prints the growth of the peak in MiB."""
    load = (lambda: load_checkpoint(path)) if ours else bare(path)
    # A process begins with the peak of the one that started it.
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_kib()
    kept = load()
    print((peak_kib() - before) / 1024)
    del kept


def peak_kib() -> int:
    """Most memory that this process had at a time."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]


def main() -> None:
    """Prints a line for each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once is not None:
        return once(arguments.once, arguments.ours)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        files = write(Path(folder))
        for name, path in files.items():
            calls = {"bare": bare(path), "ours": lambda path=path: load_checkpoint(path)}  # type: ignore[misc]
            times = interleaved_ms(calls, arguments.rounds, 0.0)
            size = path.stat().st_size / MIB
            memory = growth_mib(path, ours=True)
            print(
                f"{name:12} {size:.0f} MiB: bare {times['bare']:.0f} ms, ours {times['ours']:.0f} ms "
                f"({times['ours'] / times['bare']:.2f}x); memory {memory:.0f} MiB ({memory / size:.2f}x of the file)"
            )
    return None


if __name__ == "__main__":
    main()
