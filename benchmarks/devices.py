"""What a device behind SSH costs: verify and bench on this machine through a real sshd, beside the same done directly.

    python -m benchmarks.devices overhead    # one `verify --on`, again and again, beside the same in its environment
    python -m benchmarks.devices neutral     # bench through ssh against bench directly: is anything of SSH measured?
    python -m benchmarks.devices cuts        # connections that are cut at random moments

As root, with OpenSSH's server installed: see `tests.devices.sshd`.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.timing import machine
from dmformer.bundle import Bundle
from dmformer.devices.content import content_of
from dmformer.devices.device import Device, driver_of
from dmformer.devices.environment import set_up
from dmformer.errors import DeviceError
from dmformer.evaluation.latency.comparison import slices_of
from dmformer.evaluation.latency.document import Document
from dmformer.evaluation.latency.settings import BenchSettings
from dmformer.evaluation.latency.statistics import slowdown
from dmformer.pipeline.requests import BenchOptions, VerifyOptions
from dmformer.pipeline.travelling import Errand, travel
from dmformer.progress import Silent
from tests.devices.sshd import Served, served

NAME = "loopback"


@contextmanager
def loopback() -> Iterator[Served]:
    """A device behind sshd, set up with ONNX Runtime."""
    with served() as one:
        with Device(driver_of(NAME, one.resource)) as device:
            set_up(device, ("onnxruntime",), carry=False, progress=Silent())
        yield one


def overhead(bundle: Path, rounds: int) -> None:
    """Prints the seconds of `verify` there and here, in turn, in one environment, and what was copied."""
    errand = Errand("dmformer.pipeline.verifying:verify", VerifyOptions(bundle, threads=1))
    with loopback() as one:
        python = one.home / ".dmformer-device" / "environment" / "bin" / "python"
        here: list[float] = []
        there: list[float] = []
        for _ in range(rounds):
            started = time.perf_counter()
            words = [str(python), "-I", "-m", "dmformer", "verify", str(bundle), "--threads", "1", "--json"]
            subprocess.run(words, check=True, capture_output=True)
            here.append(time.perf_counter() - started)
            started = time.perf_counter()
            with Device(driver_of(NAME, one.resource)) as device:
                travel(device, errand, Silent())
                copied = device.put(content_of(bundle))[1]
            there.append(time.perf_counter() - started)
    print(f"first, with the bundle copied: {there[0]:.2f} s; then copied again: {'yes' if copied else 'nothing'}")
    near, far = statistics.median(here[1:]), statistics.median(there[1:])
    print(f"verify: {near:.2f} s directly, {far:.2f} s over ssh (medians of {rounds - 1}): {far - near:+.2f} s")


def neutral(bundle: Path, tries: int) -> None:
    """Prints in how many tries the interval of the slow-down over ssh holds 1.0."""
    settings = BenchSettings(duration_s=2, launches=4, threads=1)
    request = BenchOptions((bundle,), against="none", settings=settings, layers=False)
    errand = Errand("dmformer.pipeline.measurement:bench", request, measures=True)
    held = 0
    with loopback() as one, Device(driver_of(NAME, one.resource)) as device:
        for index in range(tries):
            far: Document = travel(device, errand, Silent())
            near = directly(one, bundle, settings)
            ratio, low, high = slowdown(slices_of(near.results[0]), slices_of(far.results[0]))
            held += low <= 1 <= high
            print(f"{index + 1:3d}: over ssh {ratio:.3f} of the time directly ({low:.3f} to {high:.3f})", flush=True)
    print(f"the interval holds 1.0 in {held} of {tries} tries")


def directly(one: Served, bundle: Path, settings: BenchSettings) -> Document:
    """The same measurement in the same environment, without ssh."""
    python = one.home / ".dmformer-device" / "environment" / "bin" / "python"
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "bench.json"
        words = ["bench", str(bundle), "--against", "none", "--no-layers", "--duration", str(settings.duration_s)]
        words += ["--launches", str(settings.launches), "--threads", str(settings.threads), "-o", str(kept)]
        subprocess.run([str(python), "-I", "-m", "dmformer", *words], check=True, capture_output=True)
        return Document.model_validate_json(kept.read_text())


def cuts(bundle: Path, count: int) -> None:
    """Prints what connections leave that are cut at random moments of copying, starting and measuring."""
    random.seed(16)
    request = BenchOptions((bundle,), against="none", settings=BenchSettings(duration_s=0.5, launches=2))
    errand = Errand("dmformer.pipeline.measurement:bench", request, measures=True)
    told: Counter[str] = Counter()
    finished = left = slow = 0
    with loopback() as one, tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large"
        for _ in range(count):
            timer = threading.Timer(random.uniform(0.05, 3.0), one.cut)
            large.write_bytes(os.urandom(16 << 20))
            timer.start()
            try:
                with Device(driver_of(NAME, one.resource)) as device:
                    device.put(content_of(large))
                    travel(device, errand, Silent())
                finished += 1
            except DeviceError as error:
                told[re.sub(r"\S*loopback[^:]*: |\S+@\S+", "", error.message)] += "\n" not in error.message
            timer.join()
            deadline = time.monotonic() + 10
            while [line for line in one.processes() if "python" in line] and time.monotonic() < deadline:
                time.sleep(0.1)
            slow += bool([line for line in one.processes() if "python" in line])
            left += len(list(one.home.rglob("*.partial")))
    cut = count - finished
    print(f"{count} tries: {cut} were cut in the middle, {told.total()} of them told in one line:")
    for line, times in told.most_common():
        print(f"{times:5d}  {line}")
    print(f"processes left after 10 s: in {slow} tries; unfinished files left: {left}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("overhead", "neutral", "cuts"))
    parser.add_argument("--bundle", type=Path, required=True, help="an ONNX Runtime bundle")
    parser.add_argument("--count", type=int, help="rounds, tries or cuts")
    arguments = parser.parse_args()
    print(machine())
    bundle = Bundle.load(arguments.bundle).path
    if arguments.what == "overhead":
        overhead(bundle, arguments.count or 8)
    elif arguments.what == "neutral":
        neutral(bundle, arguments.count or 20)
    else:
        cuts(bundle, arguments.count or 100)


if __name__ == "__main__":
    main()
