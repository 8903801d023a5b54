"""A campaign of kills: SIGKILL, SIGTERM and Ctrl-C at random moments of every command that writes something.

After SIGTERM and Ctrl-C nothing may be left at once; after SIGKILL nothing but what the next run of the same command
removes. Prints what was left, and how the commands ended. Slow (about ten minutes): no part of the tests.
"""

from __future__ import annotations

import argparse
import functools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.hostile import remains

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def commands(material: Path, out: Path) -> dict[str, list[str]]:
    """Each command that writes, with small inputs."""
    base, data, bundle = (str(material / name) for name in ("weights.safetensors", "data.npz", "bundle"))
    return {
        "export": [
            "export", base, "-t", "onnxruntime", "-t", "openvino", "--data", data, "-o", str(out / "built"), "--force",
        ],
        "calibrate": [
            "calibrate", base, "--calibration", data, "--images", "12", "-o", str(out / "ranges.json"), "--force",
        ],
        "bench": [
            "bench", bundle, "--against", "none", "--duration", "1", "--launches", "2", "-o", str(out / "bench.json"),
        ],
        "embed": ["embed", bundle, "--lang", "python", "-o", str(out / "project"), "--force"],
        "report": ["report", str(out / "page.html"), str(material / "bench.json")],
        "verify": ["verify", bundle, "--data", data],
    }  # fmt: skip


def start(arguments: list[str], place: Path) -> subprocess.Popen[bytes]:
    """The command in a process group of its own, with its own home and temporary folder."""
    environment = {**os.environ, "HOME": str(place / "home"), "TMPDIR": str(place / "tmp")}
    return subprocess.Popen(
        [sys.executable, "-m", "dmformer", *arguments],
        cwd=place / "work", env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        # A campaign in the background ignores Ctrl-C, and its children would inherit that.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads
    )  # fmt: skip


def unfinished(place: Path) -> list[str]:
    """What no command may leave: temporary files, and half-written siblings of outputs."""
    siblings = [str(path) for path in sorted((place / "out").rglob(".*"))]
    return [*remains([place / name for name in ("tmp", "work")]), *siblings]


def wait_for_end(group: int, seconds: float = 20) -> bool:
    """Whether every process of the group has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    os.killpg(group, signal.SIGKILL)
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)
    ends: Counter[tuple[str, str, int | None]] = Counter()
    faults = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        place, material = Path(scratch), Path(scratch) / "material"
        for name in ("material", "home", "tmp", "work", "out"):
            (place / name).mkdir()
        subprocess.run([sys.executable, "-m", "benchmarks.hostile", "--material", str(material)], check=True)
        known = commands(material, place / "out")
        lasting = {name: _seconds(arguments, place) for name, arguments in known.items()}
        for index in range(chosen.kills):
            name, number = draw.choice(list(known)), SIGNALS[index % len(SIGNALS)]
            before = set(unfinished(place))
            process = start(known[name], place)
            time.sleep(draw.uniform(0.05, lasting[name]))
            # Ctrl-C goes to all of a terminal's processes, the others to the one that was named.
            (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
            code = process.wait()
            ends[name, number.name, code] += 1
            orphan = not wait_for_end(process.pid)
            left = sorted(set(unfinished(place)) - before) if number != signal.SIGKILL else []
            if orphan or left:
                faults += 1
                print(f"kill {index}: {name} by {number.name}, exit code {code}: orphan {orphan}, left {left[:5]}")
        for arguments in known.values():
            _seconds(arguments, place)
        left = unfinished(place)
        for (name, sign, end), count in sorted(ends.items(), key=str):
            print(f"{name} by {sign}: exit code {end}, {count} times")
        print(f"{chosen.kills} kills, {faults} left something at once; after one more run of each command: {left}")


def _seconds(arguments: list[str], place: Path) -> float:
    begin = time.monotonic()
    code = start(arguments, place).wait()
    if code not in {0, 1}:
        raise SystemExit(f"{arguments} ended with {code}")
    return time.monotonic() - begin


if __name__ == "__main__":
    main()
