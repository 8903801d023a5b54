"""Wheels that go to a device: of what runs here, as it runs here, and of what it needs there."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from dmformer.devices.facts import Facts
from dmformer.errors import DeviceError, MissingBackendError
from dmformer.texts import one_line

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Of every file in a wheel, so that equal content is an equal wheel."""
OLDEST_GLIBC = 17
TAIL = 400


def package_files(package: str) -> Iterator[tuple[str, Path]]:
    """The files of an installed package, an editable one too, by their names in a wheel."""
    spec = find_spec(package)
    for place in spec.submodule_search_locations or () if spec else ():
        for path in sorted(Path(place).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{package}/{path.relative_to(place).as_posix()}", path


def source_digest(package: str = "dmformer") -> str:
    """SHA-256 over a package's files: the same here and there means the same program."""
    digest = hashlib.sha256()
    for name, path in package_files(package):
        digest.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def wheel_of(name: str, package: str, into: Path) -> Path:
    """Packs an installed distribution of pure Python, as it is here, into a wheel.

    Args:
        name: Of the distribution.
        package: The one package that it holds.
        into: The directory of the wheel.

    Raises:
        MissingBackendError: It is not installed here.
    """
    try:
        about = distribution(name)
    except PackageNotFoundError:
        raise MissingBackendError(f"{name} is not installed here", f"pip install {name}") from None
    stem = f"{name.replace('-', '_')}-{about.version}"
    contents = {entry: path.read_bytes() for entry, path in package_files(package)}
    contents[f"{stem}.dist-info/METADATA"] = (about.read_text("METADATA") or "").encode()
    contents[f"{stem}.dist-info/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = f"{stem}.dist-info/RECORD"
    lines = [f"{entry},sha256={_digest(content)},{len(content)}\n" for entry, content in contents.items()]
    contents[record] = "".join([*lines, f"{record},,\n"]).encode()
    wheel = into / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in contents.items():
            archive.writestr(zipfile.ZipInfo(entry, EPOCH), content, zipfile.ZIP_DEFLATED)
    return wheel


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def download(requirements: Sequence[str], facts: Facts, into: Path) -> None:
    """Fetches the wheels that a device needs, for its architecture and Python, by this machine's pip.

    Args:
        requirements: As pip takes them, wheels' paths among them.
        facts: The device.
        into: The directory of the wheels.

    Raises:
        DeviceError: There are none for it, or this machine has no network either.
    """
    tags = platform_tags(facts)
    # pip reads markers as if for the Python that runs it.
    older = ["tomli"] if facts.python[:2] < (3, 11) else []
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", "{}.{}".format(*facts.python)]
    command += [f"--platform={tag}" for tag in tags]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [*command, "--dest", str(into), *requirements, *older], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = one_line((done.stderr.strip().splitlines() or ["pip failed"])[-1])[-TAIL:]
        raise DeviceError(f"no wheels for {facts.machine}, Python {facts.version}: {last}", "pip says why")


def platform_tags(facts: Facts) -> list[str]:
    """The platforms whose wheels run on a device, the newest first.

    Raises:
        DeviceError: It is no Linux with glibc.
    """
    name, _, version = facts.libc[0] if facts.libc else "", None, facts.libc[-1] if facts.libc else ""
    parts = version.split(".")
    if facts.system != "Linux" or name != "glibc" or not (len(parts) > 1 and parts[1].isdigit()):
        raise DeviceError(
            f"wheels can be carried to Linux with glibc, not to {facts.system} ({name or 'another C library'})",
            "give the device a network",
        )
    newest = min(int(parts[1]), 99)
    return [f"manylinux_2_{minor}_{facts.machine}" for minor in range(newest, OLDEST_GLIBC - 1, -1)] + [
        f"manylinux2014_{facts.machine}"
    ]
