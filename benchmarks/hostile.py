"""A campaign of hostile inputs: damaged and extreme files through the command line, each in a process of its own.

A case holds when the command ends within `PATIENCE` seconds and a gibibyte, with exit code 0, 1 or 2, no traceback,
short lines without control characters, and nothing left in the temporary folder, the working directory or the home.
Prints the cases that do not, and how many of each kind did. Slow (several minutes): no part of the tests.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks.hostile_cases import KINDS, Material

PATIENCE = 30
MEMORY = 1 << 30
CACHES = ("torchinductor_", "/.config", "/.cache")
LONGEST_LINE = 1200
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def make_material(folder: Path) -> None:
    """Exports, measures and calibrates a tiny network once."""
    import numpy as np
    import torch
    from PIL import Image

    from dmformer.model.checkpoint import save_checkpoint
    from dmformer.model.config import ModelConfig
    from dmformer.model.random_weights import random_checkpoint
    from dmformer.tasks.classification import LinearHead

    config = ModelConfig(
        widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), ffn_ratios=(2, 2, 2, 2), stem_width=4, head=LinearHead(classes=10)
    )
    checkpoint = random_checkpoint(config, size=32, name="mini")
    save_checkpoint(checkpoint, folder / "weights.safetensors")
    torch.save(checkpoint.build().state_dict(), folder / "weights.pt")
    images = np.random.default_rng(0).integers(0, 256, (12, 40, 40, 3), dtype=np.uint8)
    np.savez(folder / "data.npz", images=images, labels=np.arange(12) % 10)
    np.save(folder / "data.npy", images)
    for suffix in ("png", "jpg", "tif"):
        Image.fromarray(images[0]).save(folder / f"image.{suffix}")
    base, data = str(folder / "weights.safetensors"), str(folder / "data.npz")
    for target, name in (("onnxruntime", "bundle"), ("openvino", "openvino")):
        _good(folder, "export", base, "-t", target, "--data", data, "-o", str(folder / "made"))
        (folder / "made" / f"mini-{target}-fp32").rename(folder / name)
    _good(
        folder, "bench", str(folder / "bundle"), "--against", "none", "--duration", "0.1", "--launches", "1",
        "-o", str(folder / "bench.json"),
    )  # fmt: skip
    _good(folder, "calibrate", base, "--calibration", data, "--images", "12", "-o", str(folder / "ranges.json"))


def _good(folder: Path, *arguments: str) -> None:
    place = folder / "setup"
    place.mkdir()
    code, problems = run(list(arguments), place, patience=600)
    if code != 0:
        raise SystemExit(f"{arguments}: {problems}\n{(place / 'said').read_text(errors='replace')}")
    shutil.rmtree(place)


def remains(folders: Iterable[Path]) -> list[str]:
    """What lies in the folders, but for the caches that torch and matplotlib keep for themselves."""
    paths = [path for folder in folders for path in sorted(folder.rglob("*"))]
    return [str(path) for path in paths if not any(word in str(path) for word in CACHES)]


def run(arguments: list[str], place: Path, patience: float = PATIENCE) -> tuple[int, list[str]]:
    """Runs the command line in a fork of this process; its exit code and what is wrong with how it ended."""
    own = [place / name for name in ("work", "tmp", "home")]
    for directory in own:
        directory.mkdir()
    pid = os.fork()
    if pid == 0:
        _become(arguments, place)
    begin, grace = time.monotonic(), 0.0
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() - begin > patience and not grace:
            os.killpg(pid, signal.SIGKILL)
            grace = 1.0
        time.sleep(0.01)
    text = (place / "said").read_bytes().decode("utf-8", "surrogateescape")
    left = remains(own)
    taken = usage.ru_maxrss * 1024 - resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    code = os.waitstatus_to_exitcode(status)
    problems = [
        "took too long" if grace else "",
        f"exit code {code}" if code not in {0, 1, 2} else "",
        "traceback" if "Traceback" in text else "",
        f"{taken >> 20} MiB" if taken > MEMORY else "",
        f"left {left[:4]}" if left else "",
        "a long line" if max(map(len, text.splitlines()), default=0) > LONGEST_LINE else "",
        "control characters" if UNPRINTABLE.search(text) else "",
        "no error line" if code == 2 and "error: " not in text and "Usage:" not in text else "",
    ]
    return code, [problem for problem in problems if problem]


def _become(arguments: list[str], place: Path) -> None:
    """Turns this fork into the command; never returns."""
    code = 99
    try:
        os.setsid()
        os.environ.update(HOME=str(place / "home"), TMPDIR=str(place / "tmp"), NO_COLOR="1", COLUMNS="100")
        os.environ["XDG_CACHE_HOME"] = str(place.parent / "cache")
        os.chdir(place / "work")
        said = os.open(place / "said", os.O_WRONLY | os.O_CREAT)
        for number in (1, 2):
            os.dup2(said, number)
        tempfile.tempdir = None
        sys.argv = ["dmformer", *arguments]
        from dmformer.cli import main

        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--material", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.material:
        make_material(chosen.material)
        return
    held: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="hostile-") as scratch:
        base = Path(scratch) / "material"
        base.mkdir()
        # In a process of its own: threads that a library started here would be missing in every fork.
        subprocess.run([sys.executable, "-m", "benchmarks.hostile", "--material", str(base)], check=True)
        material = Material(base)
        for index in range(chosen.cases):
            draw = random.Random(f"{chosen.seed} {index}")
            kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
            place = Path(scratch) / f"case{index}"
            place.mkdir()
            arguments = kind(draw, material, place)
            _, problems = run(arguments, place)
            (failed if problems else held)[kind.__name__] += 1
            if problems:
                last = (place / "said").read_text(errors="replace").strip().splitlines()[-1:]
                print(f"case {index} ({kind.__name__}): {'; '.join(problems)}", [a[-60:] for a in arguments], last)
            shutil.rmtree(place)
    for name in sorted({*held, *failed}):
        print(f"{name:>14}: {held[name]} held, {failed[name]} did not")
    print(f"{held.total()} of {chosen.cases} cases held (seed {chosen.seed})")


if __name__ == "__main__":
    main()
