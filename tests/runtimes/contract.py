"""What every runtime promises; each runtime's test file subclasses it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dmformer.bundle import Bundle, assemble
from dmformer.errors import EngineError, MissingBackendError, UsageError
from dmformer.model.checkpoint import load_checkpoint
from dmformer.model.network import DMFormer
from dmformer.preprocessing import preprocess_batch
from dmformer.runtimes.base import EngineRequest, Session, SessionOptions
from dmformer.runtimes.child import build_in_child
from dmformer.runtimes.registry import get_runtime, open_bundle
from dmformer.targets import TARGETS
from tests.conftest import Segmented
from tests.support import compare, logits_of, outputs, random_batch, random_images

Exported = Callable[..., Path]


def sqnr(right: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """How far ``found`` is from what is right, dB; infinite where it is the same."""
    value = compare(right, found).sqnr_db
    return float("inf") if value is None else value


class Hiding(MetaPathFinder):
    """Finds nothing of one package, as where it is not installed."""

    def __init__(self, package: str, finder: Any) -> None:
        self._package, self._finder = package, finder

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] == self._package:
            return None
        found: ModuleSpec | None = self._finder.find_spec(name, path, target)
        return found


class RuntimeContract:
    """Subclasses name the target, what it reports, and how far it may be from PyTorch.

    Attributes:
        target: Its name.
        provider: What its sessions run on.
        full_db: Smallest SQNR in full precision: rounding to float32, in another order of sums.
        half_db: Smallest SQNR where weights, or more, are rounded to half precision.
        takes: Sizes that messages name for a batch of one.
        opens_without: Whether engines are opened without the target's library.
    """

    target: str
    provider: str
    full_db = 115.0
    half_db: float
    takes = "1x3x32x32"
    opens_without = False

    @classmethod
    def setup_class(cls) -> None:
        if reason := cls.unable():
            pytest.skip(reason)

    @classmethod
    def unable(cls) -> str | None:
        """Why nothing of it can be tested here."""
        runtime = get_runtime(cls.target)
        return runtime.missing() or runtime.missing_for_export()

    @property
    def library(self) -> str:
        return TARGETS[self.target].library

    def threads_of(self, session: Session) -> int:
        pytest.skip(f"sessions of {self.target} do not tell their threads")

    def expected(self, reference: DMFormer, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(reference(torch.from_numpy(batch)).numpy(), np.float32)

    def test_it_answers_like_pytorch(self, exported: Exported, reference: DMFormer) -> None:
        batch = random_batch(1)
        assert sqnr(self.expected(reference, batch), outputs(exported(self.target), batch)) > self.full_db

    def test_half_stored_weights_answer_nearly_like_pytorch(self, exported: Exported, reference: DMFormer) -> None:
        path, batch = exported(self.target, precision="fp16"), random_batch(1)
        found = outputs(path, batch)
        assert sqnr(self.expected(reference, batch), found) > self.half_db
        assert not np.array_equal(found, outputs(exported(self.target), batch)), "the weights were rounded"
        assert Bundle.load(path).manifest.precision.stored == "float16"
        weights = [Bundle.load(bundle).manifest.files for bundle in (path, exported(self.target))]
        half, full = (sum(f.bytes for f in files.values() if f.role == "weights") for files in weights)
        assert half <= 0.55 * full or full == 0

    def test_the_caller_owns_the_arrays(self, exported: Exported) -> None:
        one, two = random_batch(1, seed=1), random_batch(1, seed=2)
        kept = one.copy()
        with open_bundle(str(exported(self.target)), SessionOptions(threads=1)) as session:
            first = session.run(one)["logits"]
            copy = first.copy()
            second = session.run(two)["logits"]
            assert not np.shares_memory(first, second)
            assert np.array_equal(first, copy), "a later run must not write into an earlier one's result"
            assert not np.array_equal(first, second)
            first[:] = 0
            assert np.array_equal(session.run(one)["logits"], copy)
        assert np.array_equal(one, kept), "the input is not changed"
        assert second.flags.writeable

    def test_results_outlive_the_session(self, exported: Exported) -> None:
        with open_bundle(str(exported(self.target))) as session:
            kept = session.run(random_batch(1))["logits"]
            copy = kept.copy()
        del session
        assert np.array_equal(kept, copy)
        assert kept.dtype == np.float32
        assert kept.shape == (1, 10)

    @pytest.mark.parametrize("kind", ["strided", "read-only"])
    def test_any_memory_layout_gives_the_same(self, exported: Exported, kind: str) -> None:
        batch = random_batch(1)
        expected = outputs(exported(self.target), batch)
        given = np.ascontiguousarray(batch.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        if kind == "read-only":
            given = batch.copy()
            given.setflags(write=False)
        np.testing.assert_allclose(outputs(exported(self.target), given), expected, atol=1e-6)

    def test_a_dynamic_batch_takes_every_size(self, exported: Exported, reference: DMFormer) -> None:
        path = exported(self.target, dynamic=True)
        with open_bundle(str(path), SessionOptions(threads=1)) as session:
            for count in (1, 5, 2):
                batch = random_batch(count, seed=count)
                found = logits_of(session, batch)
                assert sqnr(self.expected(reference, batch), found) > self.full_db

    @pytest.mark.parametrize(
        "batch",
        [
            random_batch(2),
            random_batch(1, side=64),
            random_batch(1)[0],
            random_batch(1).astype(np.float64),
            random_batch(1).astype(np.float16),
            np.zeros((1, 32, 32, 3), np.float32),
        ],
        ids=["two images", "another size", "no batch dimension", "float64", "float16", "channels last"],
    )
    def test_a_batch_that_does_not_fit_is_refused_and_the_session_lives_on(
        self, exported: Exported, batch: NDArray[Any]
    ) -> None:
        with open_bundle(str(exported(self.target))) as session:
            if len(batch) == 2 and self.takes.startswith("N"):
                assert len(logits_of(session, batch)) == 2
                return
            with pytest.raises(UsageError, match=f"float32 {self.takes}"):
                session.run(batch)
            assert session.run(random_batch(1))

    def test_an_empty_batch_is_refused(self, exported: Exported) -> None:
        with open_bundle(str(exported(self.target, dynamic=True))) as session:
            with pytest.raises(UsageError, match="Nx3x32x32"):
                session.run(random_batch(0))
            assert len(logits_of(session, random_batch(1))) == 1

    def test_a_session_is_a_context_manager_and_may_be_closed_twice(self, exported: Exported) -> None:
        session = open_bundle(str(exported(self.target)))
        with session as entered:
            assert entered is session
            assert session.run(random_batch(1))
        session.close()

    def test_two_sessions_live_side_by_side(self, exported: Exported) -> None:
        batch = random_batch(1)
        with open_bundle(str(exported(self.target))) as one, open_bundle(str(exported(self.target))) as two:
            first = logits_of(one, batch)
            one.close()
            np.testing.assert_allclose(logits_of(two, batch), first, atol=1e-6)

    @pytest.mark.parametrize("threads", [1, 2])
    def test_the_threads_asked_for_are_the_runtime_s(self, exported: Exported, threads: int) -> None:
        with open_bundle(str(exported(self.target)), SessionOptions(threads=threads)) as session:
            assert self.threads_of(session) == threads
            assert np.isfinite(logits_of(session, random_batch(1))).all()

    def test_the_session_tells_what_it_runs_on(self, exported: Exported) -> None:
        for precision in ("fp32", "fp16"):
            bundle = Bundle.load(exported(self.target, precision=precision))
            with open_bundle(bundle) as session:
                assert session.execution.provider == self.provider
                assert session.execution.precision == bundle.manifest.precision.executes
                if precision == "fp32":
                    assert session.execution.precision == "float32"

    def test_another_device_is_refused(self, exported: Exported) -> None:
        with pytest.raises(UsageError, match="'npu'"):
            open_bundle(str(exported(self.target)), SessionOptions(device="npu"))
        with open_bundle(str(exported(self.target)), SessionOptions(device="CPU")) as session:
            assert session.run(random_batch(1))

    def test_missing_names_the_command_that_installs_it(
        self, exported: Exported, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, runtime = str(exported(self.target)), get_runtime(self.target)
        assert runtime.missing() is None
        monkeypatch.delitem(sys.modules, self.library, raising=False)
        monkeypatch.setattr(sys, "meta_path", [Hiding(self.library, finder) for finder in sys.meta_path])
        assert TARGETS[self.target].install in str(runtime.missing() or runtime.missing_for_export())
        if self.opens_without:
            open_bundle(path).close()
            return
        with pytest.raises(MissingBackendError, match="not installed") as caught:
            open_bundle(path)
        assert caught.value.hint == TARGETS[self.target].install

    def test_an_installation_that_is_broken_is_named(
        self, exported: Exported, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        path = str(exported(self.target))
        (tmp_path / f"{self.library}.py").write_text("raise ImportError('libgomp.so.1: cannot open')")
        monkeypatch.delitem(sys.modules, self.library, raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        if self.opens_without:
            open_bundle(path).close()
            return
        with pytest.raises(MissingBackendError, match=r"libgomp\.so\.1"):
            open_bundle(path)

    def test_an_engine_that_is_none_is_refused_by_the_runtime(self, exported: Exported, tmp_path: Path) -> None:
        bundle = Bundle.load(exported(self.target))
        roles = {name: entry.role for name, entry in bundle.manifest.files.items() if entry.role != "golden"}
        for name in roles:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"no engine at all")
        damaged = assemble(tmp_path, bundle.manifest, bundle.golden(), roles)
        with pytest.raises(EngineError, match="cannot load it"):
            open_bundle(damaged)

    def test_building_again_gives_the_same_bytes(self, exported: Exported, tmp_path: Path) -> None:
        graph, reports = exported("onnx") / "model.onnx", []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            # In a process of its own, as always: OpenVINO numbers nodes anew in every process, not in every model.
            request = EngineRequest(str(graph), str(tmp_path / name), "fp32", "float32")
            reports.append(build_in_child(self.target, request))
        assert reports[0] == reports[1]
        assert list(reports[0].roles.values()).count("engine") == 1
        assert {path.name for path in (tmp_path / "one").iterdir()} == set(reports[0].roles)
        for name in reports[0].roles:
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()

    def test_a_segmenter_scores_like_pytorch_and_decides_itself(
        self, segmented: Segmented, segmenter_weights: Path
    ) -> None:
        checkpoint = load_checkpoint(segmenter_weights)
        batch = preprocess_batch([*random_images(1, 48)], checkpoint.preprocessing)
        right = self.expected(checkpoint.build(), batch)
        with open_bundle(str(segmented(self.target, argmax=True)), SessionOptions(threads=1)) as session:
            given = session.run(batch)
            alone = session.run(batch, "classes")
        assert sqnr(right, np.asarray(given["scores"], np.float32)) > self.full_db
        decided = checkpoint.config.task.decisions(right)
        assert given["classes"].shape == (1, 64, 64)
        assert np.mean(given["classes"] == decided) > 0.999, "but where two scores are equal up to rounding"
        assert list(alone) == ["classes"] and np.array_equal(alone["classes"], given["classes"])

    def test_a_bundle_opens_from_its_path_and_from_itself(self, exported: Exported, tmp_path: Path) -> None:
        bundle = Bundle.load(exported(self.target))
        assert np.array_equal(outputs(bundle, random_batch(1)), outputs(bundle.path, random_batch(1)))
        assert replace(bundle, path=bundle.path) == bundle
