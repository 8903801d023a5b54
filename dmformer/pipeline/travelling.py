"""A command that runs on another machine as if it ran here: files go there, its document and files come back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from dmformer import chatter, errors
from dmformer.bundle import Bundle
from dmformer.devices.content import content_of
from dmformer.devices.defaults import EXTRAS
from dmformer.devices.device import Device, Ended
from dmformer.devices.wheels import source_digest
from dmformer.documents import Document
from dmformer.errors import DeviceError
from dmformer.files import write_output
from dmformer.options import Leaf, Place, changed, leaves
from dmformer.processes import cause_of
from dmformer.progress import Progress
from dmformer.scratch import scratch_directory
from dmformer.staging import MANIFEST_FILE, staged
from dmformer.targets import TARGETS, load
from dmformer.texts import first_problem, plain_document

SERVICE = "dmformer.devices.there"
PICTURES = (".png", ".svg", ".pdf")
MAX_DOCUMENT, MOST_STEPS = 1 << 26, 1 << 20


@dataclass(frozen=True)
class Errand:
    """What is to be done on a device.

    Attributes:
        run: The function of the library, as ``module:name``.
        request: What it is asked.
        made: Names of options that say where files are made: they are made there and brought here.
        stays: Names of options that are not for the device.
        measures: Nothing else may be measured there meanwhile.
    """

    run: str
    request: Any
    made: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    measures: bool = False

    def among_several(self, name: str) -> Errand:
        """The same, with a device's name in those of the files that are made: several would be made in one place."""
        made = {leaf.place: value for leaf, value in _paths(self.request) if leaf.name in self.made}
        renamed = {place: _with_name(value, name) for place, value in made.items()}
        return replace(self, request=changed(self.request, renamed))


def travel(device: Device, errand: Errand, progress: Progress) -> Any:
    """Does an errand on a device, and gives its document, in which paths are those of this machine.

    Raises:
        DeviceError: The device is not set up, was lost, or what it answers cannot be.
        DmformerError: What the command itself raised there.
    """
    python = python_of(device, progress)
    luggage, spoken = _Luggage(device, errand), _Spoken(progress)
    kind = type(luggage.request)
    options = TypeAdapter(kind).dump_python(luggage.request, mode="json")
    text = json.dumps({"run": errand.run, "request": f"{kind.__module__}:{kind.__qualname__}", "options": options})
    # What libraries leave among temporary files is gone with the job; a builder's timings serve the next build.
    where = {"TMPDIR": luggage.job, "XDG_CACHE_HOME": f"{device.facts.directory}/cache"}
    words, doing = [python, "-I", "-m", SERVICE], "measuring" if errand.measures else "working"
    ended = device.run(words, text, spoken.heard, where, errand.measures, doing)
    document = validated(device.name, errand.run, _answer(device.name, spoken, ended, luggage))
    luggage.bring()
    # A document that has a place for it says where it was made.
    return document.model_copy(update={"device": device.name} if "device" in type(document).model_fields else {})


def python_of(device: Device, progress: Progress) -> str:
    """The interpreter that runs dmformer there.

    Raises:
        DeviceError: Nothing is set up.
    """
    if device.is_here:
        return device.facts.executable
    installed = device.facts.environment
    if installed is None:
        raise DeviceError(f"{device.name}: dmformer is not set up there", f"dmformer device setup {device.name}")
    if installed.source != source_digest():
        progress.say(f"dmformer {installed.version} there is not the one here: dmformer device setup {device.name}")
    return f"{device.facts.directory}/environment/bin/python"


def _with_name(path: Path, name: str) -> Path:
    """A path with a device's name behind its own; what looks like a suffix may be a part of a bundle's name."""
    if path.suffix.lower() in PICTURES:
        return path.with_name(f"{path.stem}-{name}{path.suffix}")
    return path.with_name(f"{path.name}-{name}")


class _Luggage:
    """The files of an errand: what goes there, what is made there, and what each is called on either side."""

    def __init__(self, device: Device, errand: Errand) -> None:
        self.device, self.job = device, device.job()
        self._errand, self._names, self._made = errand, dict[str, str](), list[tuple[str, Path]]()
        given: dict[Place, Any] = {}
        for leaf, value in _paths(errand.request):
            if leaf.name in errand.made:
                given[leaf.place] = self._there(value)
            elif leaf.name not in errand.stays:
                given[leaf.place] = self._sent(value)
        given |= {leaf.place: leaf.default for leaf in leaves(type(errand.request)) if leaf.name in errand.stays}
        self.request = changed(errand.request, given)

    def _sent(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(self._sent(one) for one in value)
        place = str(Path(value).absolute())
        if not self.device.is_here:
            place, _ = self.device.put(content_of(Path(value)))
        self._names[place] = str(value)
        return type(value)(place)

    def _there(self, value: Path) -> Path:
        place = f"{self.job}/{value.absolute().name}"
        if value.is_dir() and not (value / MANIFEST_FILE).is_file():
            # A directory that is here is one there too.
            self.device.run(["/bin/mkdir", place])
        self._made.append((place, value))
        self._names[place] = str(value)
        return Path(place)

    def here(self, value: Any) -> Any:
        """A document, or a text, with the names that its files have here."""
        if isinstance(value, str):
            for there in sorted(self._names, key=len, reverse=True):
                value = value.replace(there, self._names[there])
            return value
        if isinstance(value, dict):
            return {key: self.here(item) for key, item in value.items()}
        return [self.here(item) for item in value] if isinstance(value, list) else value

    def bring(self) -> None:
        """Fetches what was made, and puts it into its place here."""
        for place, target in self._made:
            with scratch_directory() as scratch:
                self.device.fetch(place, scratch / "made")
                put_into_place(scratch / "made", target, self._errand.request)


def _paths(request: Any) -> Iterator[tuple[Leaf, Any]]:
    """The options of a request that name files, with what they name."""
    for leaf in leaves(type(request)):
        value = request
        for name in leaf.place:
            value = getattr(value, name)
        if leaf.typed in (Path, list[Path]) and value not in (None, ()):
            yield leaf, value


def put_into_place(made: Path, target: Path, request: Any) -> None:
    """Puts what a device made where the user wants it: a bundle whole and checked, files one by one.

    Raises:
        BundleError: The bundle did not arrive as it was made.
        OutputError: It cannot be written.
    """
    if (made / MANIFEST_FILE).is_file():
        Bundle.load(made)
        with staged(target, bool(getattr(request, "force", False))) as staging:
            shutil.copytree(made, staging.directory, dirs_exist_ok=True)
            staging.publish()
        return
    files = sorted(path for path in made.rglob("*") if path.is_file())
    for file in files:
        place = target if len(files) == 1 and target.suffix else target / file.relative_to(made)
        write_output(place, file.read_bytes(), force=None)


class _Spoken:
    """What the other end says, line by line."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self.document, self.error = progress, None, dict[str, Any]()
        self._bar: Iterator[int] | None = None
        self._at, self._begun = 0, b""

    def heard(self, stream: str, line: bytes) -> None:
        if stream == "out":
            # A long line comes in pieces.
            self._begun += line if len(self._begun) <= MAX_DOCUMENT else b""
            if not line.endswith(b"\n"):
                return
            line, self._begun = self._begun, b""
        message = self._message(line) if stream == "out" else {}
        if not message:
            chatter.LOGGER.debug("%s", line.decode(errors="replace").rstrip())
        elif "say" in message:
            self._progress.say(str(message["say"])[:1000])
        elif "track" in message:
            total = min(message["total"], MOST_STEPS) if isinstance(message.get("total"), int) else 1
            self._bar = iter(self._progress.track(range(total + 1), str(message["track"])[:80], total))
            self._at = next(self._bar, 0)
        elif "at" in message and self._bar is not None:
            self._move(message["at"])
        self.document = message.get("document", self.document)
        self.error = message.get("error", self.error)

    def _move(self, at: object) -> None:
        bar = self._bar
        if not isinstance(at, int):
            # Whatever it did not reach it passes over: the bar ends.
            for _ in bar or ():
                pass
            self._bar = None
            return
        while bar is not None and self._at < at and next(bar, None) is not None:
            self._at += 1

    @staticmethod
    def _message(line: bytes) -> dict[str, Any]:
        with suppress(ValueError, RecursionError):
            message = json.loads(line) if len(line) <= MAX_DOCUMENT else None
            if isinstance(message, dict):
                return message
        return {}


def _answer(name: str, spoken: _Spoken, ended: Ended, luggage: _Luggage) -> dict[str, Any]:
    """The document that came, with this machine's names in it.

    Raises:
        DmformerError: What came instead.
    """
    if spoken.error:
        raise told(name, luggage.here(plain_document(spoken.error)))
    if not isinstance(spoken.document, dict):
        raise DeviceError(f"{name}: dmformer ended there without an answer ({cause_of(ended.code)}): {ended.tail}")
    document: dict[str, Any] = luggage.here(spoken.document)
    return document


def told(name: str, error: Mapping[str, Any]) -> errors.DmformerError:
    """An error that was raised there, and how it is mended from here."""
    kind = errors.kind_named(error.get("kind"), DeviceError)
    hint = str(error["hint"]) if error.get("hint") else None
    if kind is errors.MissingBackendError and hint is not None:
        lacking = [target for target, row in TARGETS.items() if row.install == hint and target in EXTRAS]
        hint = f"dmformer device setup {name} --target {lacking[-1]}" if lacking else f"there: {hint}"
    return kind(f"{name}: {error.get('message')}", hint)


def validated(name: str, run: str, document: Mapping[str, Any]) -> Document:
    """A device's document, of the type that the command answers with.

    Raises:
        DeviceError: It is none.
    """
    adapter: TypeAdapter[Document] = TypeAdapter(get_type_hints(load(run))["return"])
    try:
        return adapter.validate_python(document)
    except ValidationError as error:
        raise DeviceError(
            f"{name}: its answer is not of this version: {first_problem(error)}", f"dmformer device setup {name}"
        ) from error
