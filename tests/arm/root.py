"""The file system of an aarch64 machine, unpacked of Debian's packages, and the emulator that runs what is in it.

It is that of Debian 12, Python 3.11: what Raspberry Pi OS and many boards run. apt resolves, fetches and authenticates
the packages, from the mirror that this machine is configured for, with a state of its own: nothing of this machine's
packages changes, and root is not needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.arm.caching import cached, digest_of

SUITE = "bookworm"
EMULATOR_SUITE = f"{SUITE}-backports"
"""Its emulator makes an Arm ``/proc/cpuinfo`` by itself: in the suite's own ONNX Runtime dies without."""
PACKAGES = ("base-files", "coreutils", "dash", "grep", "libc-bin", "libgomp1", "libstdc++6", "python3", "sed")
CPU = "cortex-a76"
"""Of a Raspberry Pi 5: dot products, no matrix instructions of INT8. As the emulator calls it."""
USER, HOME = "arm", "/home/arm"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITES = {SUITE, "trixie", "oldoldstable", "oldstable", "stable", "testing", "sid", "unstable"}
"""By which the mirror is recognized among the machine's sources."""
CONFIGURATION = """
Dir::State "{apt}/state";
Dir::State::status "{apt}/status";
Dir::Cache "{apt}/cache";
Dir::Etc::SourceList "{apt}/sources.list";
Dir::Etc::SourceParts "{apt}/none";
Dir::Etc::Preferences "{apt}/none";
Dir::Etc::PreferencesParts "{apt}/none";
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; "{native}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
"""


class UnsuitableError(RuntimeError):
    """This machine cannot emulate an Arm machine; one line says why, and what would mend it."""


def root_of(parts: Path) -> Path:
    """The file system; made below a directory of cached parts, unless it is there."""
    return cached(parts / "root", digest_of(Path(__file__), mirror().encode()), _make_root)


def emulator_of(parts: Path) -> Path:
    """The emulator, a static program; made likewise."""
    made = cached(parts / "emulator", digest_of(Path(__file__), mirror().encode()), _make_emulator)
    return made / "usr" / "bin" / "qemu-aarch64"


def mirror() -> str:
    """The address of Debian's packages in this machine's configuration of apt.

    Raises:
        UnsuitableError: This is not Debian.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise UnsuitableError("needs Debian's apt-get and dpkg-deb, which are not here: run it on Debian 12 or later")
    found = _output(
        "apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"
    )
    for line in found.splitlines():
        release, component, address = line.split(maxsplit=2)
        if release in SUITES and component == "main":
            return address
    raise UnsuitableError("needs a mirror of Debian in the configuration of apt: run it on Debian 12 or later")


def native() -> str:
    """This machine's architecture, as Debian calls it.

    Raises:
        UnsuitableError: It is Arm itself.
    """
    found = _output("dpkg", "--print-architecture").strip()
    if found == "arm64":
        raise UnsuitableError("this machine is Arm itself: nothing need be emulated")
    return found


def _make_root(into: Path) -> None:
    for name in ("bin", "sbin", "lib"):
        (into / "usr" / name).mkdir(parents=True)
        (into / name).symlink_to(f"usr/{name}")
    with tempfile.TemporaryDirectory(dir=into.parent) as apt:
        environment = _configure(Path(apt), f"[arch=arm64{_signed()}]", SUITE)
        _apt(environment, "-y", "--download-only", "install", *PACKAGES)
        for package in sorted(Path(apt, "cache", "archives").glob("*.deb")):
            _unpack(package, into)
    for name in ("proc", "dev", "tmp", HOME[1:]):
        (into / name).mkdir(parents=True, exist_ok=True)
    (into / "etc" / "passwd").write_text(f"root:x:0:0:root:/root:/bin/sh\n{USER}:x:1000:1000::{HOME}:/bin/sh\n")
    (into / "etc" / "group").write_text(f"root:x:0:\n{USER}:x:1000:\n")
    (into / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    _compile(into, emulator_of(into.parent))


def _compile(root: Path, emulator: Path) -> None:
    """Compiles the standard library, as Debian does when Python is installed: else every start does."""
    library = root / "usr" / "lib" / "python3.11"
    python: list[str | Path] = [emulator, "-L", root, root / "usr" / "bin" / "python3.11"]
    subprocess.run([*python, "-m", "compileall", "-q", "-s", root, "-p", "/", library], check=True)


def _make_emulator(into: Path) -> None:
    with tempfile.TemporaryDirectory(dir=into.parent) as apt:
        environment = _configure(Path(apt), f"[arch={native()}{_signed()}]", EMULATOR_SUITE)
        _apt(environment, "download", f"qemu-user:{native()}", cwd=Path(apt))
        _unpack(next(Path(apt).glob("qemu-user_*.deb")), into, "./usr/bin/qemu-aarch64")


def _configure(apt: Path, options: str, suite: str) -> dict[str, str]:
    """Gives apt a state of its own, and reads the list of a suite; gives the environment in which it is used."""
    for name in ("state/lists/partial", "cache/archives/partial", "none"):
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb {options} {mirror()} {suite} main\n")
    (apt / "apt.conf").write_text(CONFIGURATION.format(apt=apt, native=native()))
    environment = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
    _apt(environment, "update")
    return environment


def _signed() -> str:
    return f" signed-by={KEYRING}" if KEYRING.is_file() else ""


def _apt(environment: dict[str, str], *words: str, cwd: Path | None = None) -> None:
    done = subprocess.run(
        ["apt-get", "-qq", *words], env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UnsuitableError(f"apt-get {words[0]} failed: {done.stderr.strip() or done.stdout.strip()}")


def _unpack(package: Path, into: Path, *only: str) -> None:
    """Unpacks without running anything of it, through the links that ``/bin`` and ``/lib`` are."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as archive:
        words: Sequence[str | Path] = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", into, *only]
        subprocess.run(words, stdin=archive.stdout, check=True)
    if archive.returncode:
        raise UnsuitableError(f"{package.name} cannot be unpacked")


def _output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
