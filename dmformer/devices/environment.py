"""The environment on a device that commands run in: made without torch, of this machine's own dmformer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dmformer.devices.content import content_of
from dmformer.devices.defaults import EXTRAS
from dmformer.devices.device import Device, Ended
from dmformer.devices.facts import OLDEST_PYTHON, Facts, Installed
from dmformer.devices.wheels import download, source_digest, wheel_of
from dmformer.errors import DeviceError
from dmformer.progress import Progress
from dmformer.scratch import scratch_directory
from dmformer.targets import TARGETS
from dmformer.version import __version__

PATIENCE = ("--retries", "1", "--timeout", "10")
WRITE = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
SYSTEM = """
import glob, os, sys
site = next(path for path in sys.path if path.endswith("site-packages"))
found = sorted(glob.glob("/usr/lib/python3*/dist-packages/" + sys.argv[1] + "*"))
mine = [path for path in found if os.path.isdir(path)]
for path in mine:
    link = os.path.join(site, os.path.basename(path))
    os.path.lexists(link) or os.symlink(path, link)
print(mine[0] if mine else "")
"""
"""Lets the environment see a package that the device's system brings, and nothing else of the system."""


@dataclass(frozen=True)
class Setup:
    """What was set up.

    Attributes:
        installed: What the environment was made of.
        changed: Whether anything was done: a second time nothing is.
        source: ``index`` or ``carried``, where the wheels came from; None where nothing was done.
        system: Directories of libraries that its system brings and that were found.
    """

    installed: Installed
    changed: bool
    source: str | None = None
    system: tuple[str, ...] = ()


def set_up(device: Device, targets: Sequence[str], carry: bool, progress: Progress) -> Setup:
    """Makes the environment on a device, unless it is there.

    Args:
        device: Where.
        targets: Whose libraries are installed, beside those that are there.
        carry: Bring every wheel from here, also where the device has a network.
        progress: Watches.

    Raises:
        DeviceError: Its Python does not do, it has no room, or nobody has wheels for it.
        MissingBackendError: This machine has no pip.
    """
    check_python(device.name, device.facts)
    there = device.facts.environment
    targets = sorted({*targets, *(target for target in (there.targets if there else ()) if target in EXTRAS)})
    with scratch_directory() as scratch:
        wheels = own_wheels(scratch)
        wanted = described(wheels, targets, device.facts)
        if there is not None and there.key == wanted.key:
            run = _Runner(device, f"{device.facts.directory}/environment")
            return Setup(there, False, None, libraries_of_system(run, targets))
        place = device.job()
        run = _Runner(device, place)
        run.check("making an environment", [device.facts.executable, "-m", "venv", "--without-pip", place])
        folder, _ = device.put(content_of(scratch))
        run.wheels = {name: f"{folder}/{path.name}" for name, path in wheels.items()}
        source = install(run, wheels, targets, carry, progress)
        system = libraries_of_system(run, targets)
        run.check("writing", [run.python, "-c", WRITE, f"{place}/about.json"], wanted.model_dump_json())
        run.check("cleaning up", ["/bin/rm", "-rf", *run.carried, folder.rpartition("/")[0]])
        device.adopt(place)
    return Setup(wanted, True, source, system)


def check_python(name: str, facts: Facts) -> None:
    """Refuses a Python that dmformer does not run on.

    Raises:
        DeviceError: Says which it needs, and how another is named.
    """
    if not facts.runs_dmformer:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise DeviceError(
            f"{name}: {facts.executable} is Python {facts.version}; dmformer needs {oldest} to 3.13",
            "install another there, and name it: dmformer device add NAME ... --python /path/to/python3.11",
        )


def own_wheels(into: Path) -> dict[str, Path]:
    """This program as it is here, and pip.

    Without its demonstration: 10,000 images take a small board ten minutes, and golden samples travel in every bundle.
    """
    return {"dmformer": wheel_of("dmformer", "dmformer", into), "pip": wheel_of("pip", "pip", into)}


def described(wheels: dict[str, Path], targets: Sequence[str], facts: Facts) -> Installed:
    """What the environment will be made of."""
    digest = hashlib.sha256(json.dumps([sorted(targets), facts.version, facts.machine]).encode())
    for _, wheel in sorted(wheels.items()):
        digest.update(wheel.read_bytes())
    return Installed(
        version=__version__, source=source_digest(), targets=tuple(sorted(targets)), key=digest.hexdigest()
    )


class _Runner:
    """Programs of an environment that is being made."""

    def __init__(self, device: Device, place: str) -> None:
        self.device, self.place, self.python = device, place, f"{place}/bin/python"
        self.wheels: dict[str, str] = {}
        self.carried: list[str] = []

    def check(self, doing: str, words: Sequence[str], text: str = "") -> None:
        """Runs something that must work out."""
        ended = self.device.run(words, text, doing=doing)
        if ended.code:
            hint = "apt install python3-venv" if "No module named" in ended.tail else None
            raise DeviceError(f"{self.device.name}: {doing} failed there: {ended.tail}", hint)

    def ask(self, words: Sequence[str]) -> str:
        """What a program prints."""
        lines: list[bytes] = []

        def hear(stream: str, line: bytes) -> None:
            lines.append(line)

        self.device.run(words, heard=hear)
        return b"".join(lines).decode(errors="replace")

    def pip(self, *arguments: str) -> Ended:
        """Installs; nothing is cached there, and its temporary files are gone with the environment that is not done."""
        words = [self.python, f"{self.wheels['pip']}/pip", "install", "--no-cache-dir", "--no-input", "--quiet"]
        words += ["--disable-pip-version-check", *arguments]
        return self.device.run(words, environment={"TMPDIR": self.place}, doing="installing")


def install(run: _Runner, wheels: dict[str, Path], targets: Sequence[str], carry: bool, progress: Progress) -> str:
    """Installs dmformer and the libraries: from an index where the device reaches one, else from wheels from here."""
    extras = ",".join(sorted({EXTRAS[target] for target in targets}))
    wanted = f"{run.wheels['dmformer']}[{extras}]"
    if not carry:
        progress.say(f"{run.device.name}: installing {extras} there")
        if not run.pip(*PATIENCE, wanted).code:
            return "index"
        progress.say(f"{run.device.name}: its pip reaches no index; carrying the wheels from here")
    with scratch_directory() as folder:
        download([f"{wheels['dmformer']}[{extras}]"], run.device.facts, folder)
        place, _ = run.device.put(content_of(folder))
    run.carried.append(place.rpartition("/")[0])
    ended = run.pip("--no-index", "--find-links", place, wanted)
    if ended.code:
        raise DeviceError(f"{run.device.name}: installing failed there: {ended.tail}")
    return "carried"


def libraries_of_system(run: _Runner, targets: Sequence[str]) -> tuple[str, ...]:
    """Where the system's own packages of the targets are, which the environment sees from now on."""
    packages = filter(None, (TARGETS[target].from_system for target in targets))
    found = [run.ask([run.python, "-I", "-c", SYSTEM, package]).strip() for package in packages]
    return tuple(filter(None, found))
