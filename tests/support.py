"""What several rooms' tests share: a tiny network, snapshots of folders, and the command line as a process."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import pydoc
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np
import pytest
import typer.main
from numpy.typing import NDArray
from pydantic import TypeAdapter
from typer.core import TyperGroup

from dmformer.bundle import Bundle, entry_of, parse_manifest
from dmformer.calibration.typed import ScannedImages
from dmformer.cli.app import COMMANDS, app
from dmformer.data.dataset import Dataset
from dmformer.errors import BundleError
from dmformer.evaluation.batches import answered
from dmformer.evaluation.flips import FlipCount, Flips
from dmformer.evaluation.metrics import Measured
from dmformer.framing import Framing
from dmformer.golden import GOLDEN_FILE, Golden
from dmformer.manifest import Comparison, Proof
from dmformer.model.config import ModelConfig
from dmformer.pipeline.fleet import FleetDocument
from dmformer.pipeline.option_groups import ToleranceOptions
from dmformer.progress import Silent
from dmformer.runtimes.base import Session, SessionOptions
from dmformer.runtimes.engine import Engine
from dmformer.runtimes.registry import open_bundle
from dmformer.tasks.base import Legend, Result
from dmformer.tasks.classification import Classification, LinearHead
from dmformer.tasks.segmentation_heads import FpnHead

T = TypeVar("T")
Command = Callable[..., tuple[str, str]]
ROOT = Path(__file__).parent.parent
TARGETS = ("onnx", "onnxruntime", "openvino")
CLASSES = 10
LOOSE = ToleranceOptions(max_error=1e9, min_agreement=0, min_sqnr=-500, max_drop=100)
"""Nothing falls below it."""
TINY = ModelConfig(
    widths=(8, 8, 16, 16),
    depths=(1, 1, 1, 1),
    ffn_ratios=(2, 2, 2, 2),
    stem_width=4,
    head=LinearHead(classes=CLASSES),
)
SEGMENTER = TINY.model_copy(update={"head": FpnHead(classes=5, neck=8, width=8)})
KINDS = ("ground", "shirt", "bag", "boot", "coat")
PATIENCE = 600
"""Seconds that a child process of a test may take on a busy machine."""


FOREIGN = (".ses",)
"""ONNX Runtime's telemetry writes it among the temporary files; nothing that we could ask it stops that."""


def snapshot(folder: Path) -> dict[str, str]:
    """Every path under a folder, hidden ones too, with its content's digest (empty for directories)."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
        if path.name not in FOREIGN
    }


def world(folder: Path) -> dict[str, dict[str, str]]:
    """A test's folder, the working directory and the temporary files: all that a command could leave something in."""
    places = {"folder": folder, "work": Path.cwd(), "tmp": Path(os.environ["TMPDIR"])}
    return {name: snapshot(place) for name, place in places.items()}


def random_images(count: int, side: int = 40, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def random_batch(count: int, side: int = 32, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, 3, side, side), dtype=np.float32)


def scanned(batch: NDArray[np.float32]) -> ScannedImages:
    """One batch as the images whose ranges are looked at."""
    return ScannedImages(lambda: [batch], len(batch))


def start(
    *arguments: str | Path, code: str | None = None, program: Sequence[str] = (), **options: Any
) -> subprocess.Popen[str]:
    """Starts the command line, or some Python code, in a process group of its own."""
    head = list(program) or ([sys.executable, "-c", code] if code else [sys.executable, "-m", "dmformer"])
    return subprocess.Popen(
        [*head, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        # A test run in the background ignores Ctrl-C, and its children would inherit that.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
        **options,
    )


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run(*arguments: str | Path, code: str | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    return finish(start(*arguments, code=code, **options))


def kill_when(process: subprocess.Popen[str], moment: Callable[[], bool], number: signal.Signals) -> None:
    """Sends a signal to the whole process group as soon as ``moment`` is there."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and not moment():
        assert time.monotonic() < deadline, "the moment to stop the process at never came"
        time.sleep(0.005)
    if process.poll() is None:
        os.killpg(process.pid, number)


def partials(folder: Path) -> list[Path]:
    return sorted(folder.glob(".*.partial")) if folder.is_dir() else []


def outputs(bundle: Bundle | Path, batch: NDArray[np.float32], threads: int = 1) -> NDArray[np.float32]:
    """The logits of a bundle for one batch."""
    loaded = Bundle.load(bundle) if isinstance(bundle, Path) else bundle
    with open_bundle(loaded, SessionOptions(threads=threads)) as session:
        return logits_of(session, batch)


def logits_of(session: Session, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(session.run(batch)["logits"], np.float32)


def edit_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = bundle / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    golden = bundle / GOLDEN_FILE
    with contextlib.suppress(BundleError, KeyError):
        # As somebody would who means it: the golden samples vouch for the edited manifest.
        manifest = parse_manifest(document, path)
        if entry_of(golden, "golden") == manifest.files[GOLDEN_FILE]:
            Golden.load(golden).save(golden, manifest.digest())
            document["files"][GOLDEN_FILE] = entry_of(golden, "golden").model_dump()
    path.write_text(json.dumps(document))


def with_fields(bundle: Bundle, **fields: object) -> Bundle:
    """A bundle in memory whose manifest says what no file could: loading would refuse it."""
    return replace(bundle, manifest=bundle.manifest.model_copy(update=fields))


def proof_of(path: Path) -> Proof:
    proof = Bundle.load(path).manifest.proof
    assert proof is not None
    return proof


def invoke(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Runs the command line in this process; exit code, stdout and stderr. No exception but SystemExit may leave it."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        app([str(argument) for argument in arguments], prog_name="dmformer")
    found = capsys.readouterr()
    # A command of a group has two words.
    name = next((one.name for one in COMMANDS if [*map(str, arguments[:2])] == one.name.split()), str(arguments[0]))
    assert not unknown_options(found.err, name), found.err
    if "--json" in arguments and found.out:
        answer: TypeAdapter[Any] = TypeAdapter(
            answer_of(name) | FleetDocument if "--on" in arguments else answer_of(name)
        )
        assert answer.validate_json(found.out).to_json() == found.out
    return int(caught.value.code or 0), found.out, found.err


@functools.cache
def answer_of(command: str) -> Any:
    """The type of what a command answers: a document, or a union of several."""
    run = next(one.run for one in COMMANDS if one.name == command)
    return get_type_hints(pydoc.locate(run.replace(":", ".")))["return"]


@functools.cache
def options_of() -> dict[str, frozenset[str]]:
    """The options of every command."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    commands = [
        (" ".join(filter(None, (title, name))), command)
        for title, one in group.commands.items()
        for name, command in (one.commands.items() if isinstance(one, TyperGroup) else [("", one)])
    ]
    return {
        name: frozenset(one for each in command.params for one in (*each.opts, *each.secondary_opts)) | {"--help"}
        for name, command in commands
    }


def unknown_options(text: str, command: str | None = None) -> list[str]:
    """The options that the hints of a text name, and that neither ``command`` nor another that a hint names has."""
    found = list[str]()
    for line in text.splitlines():
        hint = line.partition("how to mend it: ")[2].replace("dmformer --verbose", "")
        named = {*command.split(), *re.findall(r"\w+", hint)} if command else set(options_of())
        known = frozenset[str]().union(
            *(options for name, options in options_of().items() if not command or {*name.split()} <= named)
        )
        found += [one for one in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", hint) if one not in known]
    return found


def one_line(text: str) -> str:
    """The one line of an error, asserted to be the only ``error:`` and no traceback."""
    lines = [line for line in text.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in text, text
    assert len(lines) == 1, text
    assert not re.search(": :|Value error", lines[0]), "pydantic's own words"
    return lines[0]


def names(paths: Sequence[Path]) -> list[str]:
    return sorted(path.name for path in paths)


class Notes:
    """Watches an export and collects what the user would be told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        yield from items

    def say(self, message: str) -> None:
        self.said.append(message)


Logits = NDArray[np.float32]


def measured_logits(classes: int) -> Measured:
    """Nothing measured yet of a classifier."""
    return Measured(Classification(LinearHead(classes=classes)), "shorter")


def compare(reference: Logits, outputs: Logits, labels: NDArray[np.int64] | None = None) -> Comparison:
    """Everything that is measured of logits beside the reference's; labels below 0 are not known."""
    measured = measured_logits(reference.shape[1])
    known = [None] * len(outputs) if labels is None else [int(label) if label >= 0 else None for label in labels]
    measured.add(reference, Result(outputs), known)
    return measured.comparison("some images", "f" * 64)


def relative_noise(reference: Logits, outputs: Logits) -> float:
    """Energy of the difference over that of the reference."""
    measured = measured_logits(reference.shape[1])
    measured.add(reference, Result(outputs), [None] * len(outputs))
    return measured.relative_noise


def engine_of(bundle: Bundle, session: Session) -> Engine:
    """A session as the engine of a bundle."""
    return Engine(bundle.manifest, session, str(bundle.path))


def logits_on(engine: Engine, dataset: Dataset) -> Logits:
    """An engine's logits on every readable image of a dataset."""
    parts = answered(engine, dataset, Framing(engine.manifest.preprocessing), Silent())
    return np.concatenate([part.result.outputs for part in parts])


def flips_of(
    data: str,
    reference: Logits,
    outputs: Logits,
    labels: NDArray[np.int64] | None,
    image: Callable[[int], NDArray[np.uint8]],
) -> Flips:
    """The changed answers from both sides' logits."""
    count = FlipCount(Classification(LinearHead(classes=reference.shape[1])))
    count.add(reference, Result(outputs), [None] * len(outputs) if labels is None else labels.tolist())
    return count.flips(data, image, Legend(tuple(str(index) for index in range(reference.shape[1]))))


@contextlib.contextmanager
def added_by(page: str, table: dict[str, Any], folder: Path) -> Iterator[str]:
    """The name that a page of ``docs`` adds to a table with its two blocks: a file, written to a folder, and a row."""
    file, row = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    module, before = re.findall(r'"(\w+):\w+"', row)[0], dict(table)
    (folder / f"{module}.py").write_text(file)
    sys.path.insert(0, str(folder))
    try:
        exec(row, {})
        (added,) = table.keys() - before.keys()
        yield added
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(module, None)
        table.clear()
        table.update(before)
